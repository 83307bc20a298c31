"""What runs here: version, instruction sets, threads."""

from __future__ import annotations

from typing import Any

from macqueen import _core
from macqueen.engine.kernels import chosen_isa
from macqueen.threads import resolve_threads

__version__ = "0.1.0"

ISAS = ("scalar", "avx2", "avx512", "avx512vnni", "avx512amx", "neon")


def runtime_info() -> dict[str, Any]:
    """Return what to put into a bug report.

    Returns
    -------
    dict
        ``version``; ``isa``, the instruction set in force; ``available_isas`` of this processor;
        ``known_isas`` of the library; ``threads``, used where `RunConfig.num_threads` is not set.
    """
    return {
        "version": __version__,
        "isa": chosen_isa(),
        "available_isas": _core.available_isas(),
        "known_isas": list(ISAS),
        "threads": resolve_threads(None),
    }

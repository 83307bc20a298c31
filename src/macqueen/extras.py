"""Optional packages: imported when first used; a missing one is answered with the extra to install."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from macqueen.errors import MissingExtraError


def needed(module: str, extra: str, purpose: str) -> Any:
    """Import a module of an optional package.

    Parameters
    ----------
    module
        Its full name.
    extra
        The extra of macqueen that installs it.
    purpose
        What it is needed for, as the beginning of a sentence: "reading frames".

    Raises
    ------
    MissingExtraError
        The package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{purpose} needs the package {module.partition('.')[0]!r}, which is not installed or cannot be imported "
            f"({error}). Run: pip install 'macqueen[{extra}]'"
        ) from error


def loaded(module: str) -> Any:
    """Return a package if the program has imported it, else None: nothing can be one of its objects then.

    It is never imported here. One that another thread is still importing does not count: it is half there.
    """
    found = sys.modules.get(module)  # None also stands in for a module that must not be imported
    return None if getattr(getattr(found, "__spec__", None), "_initializing", False) else found

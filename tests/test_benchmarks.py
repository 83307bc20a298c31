"""Benchmarks are commands, not part of the suite; what they call inside of the engine must be there all the same."""

import importlib
from pathlib import Path

from macqueen.engine import Kernels

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def test_the_peak_of_8_bit_products_is_measured(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    found = importlib.import_module("peaks").int8_operations(1, rows=64, clusters=16, dims=40)
    assert found > 0 if Kernels(1).int8 else found is None

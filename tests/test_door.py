"""Python's door to the kernels."""

from __future__ import annotations

import numpy as np
import pytest

from macqueen import _core
from tests.core import ISAS


def test_an_array_of_another_dtype_or_order_is_refused():
    """A copy would be freed while it is used, or filled and lost."""
    rows, threads = np.zeros((1000, 8)), _core.Threads(1)
    centers = _core.Centers64(ISAS[0], np.eye(8))
    with pytest.raises(TypeError):
        _core.Packed32(rows, 1000)
    with pytest.raises(TypeError):
        _core.Packed64(np.asfortranarray(rows), 1000)
    with pytest.raises(TypeError):
        centers.assign(threads, rows, False, np.zeros(1000, np.int64))
    centers.assign(threads, rows, False, np.zeros(1000, np.int32))

"""What arguments are checked by: each returns the value in its plain form, or names argument, rule and value."""

from __future__ import annotations

import math
import numbers
import operator
import os
from typing import Any

import numpy as np

from macqueen.errors import ArgumentError, ArgumentTypeError

BOOLS = (bool, np.bool_)


def integer(name: str, value: Any, least: int | None = None) -> int:
    """Return `value` as an int; a bool is none."""
    try:
        if isinstance(value, BOOLS):
            raise TypeError
        found = operator.index(value)
    except TypeError:
        raise ArgumentTypeError(f"{name} must be an integer, got {shown(value)}") from None
    if least is not None and found < least:
        raise ArgumentError(f"{name} must be an integer of at least {least}, got {found}")
    return found


def above_zero(name: str, value: Any) -> int | None:
    """Return a number of steps as an int; None stays None."""
    if value is None:
        return None
    found = integer(name, value)
    if found <= 0:
        raise ArgumentError(f"Must specify {name} > 0, given: {value}")
    return found


def real(name: str, value: Any) -> float:
    """Return `value` as a finite float."""
    if isinstance(value, BOOLS) or not isinstance(value, numbers.Real):
        raise ArgumentTypeError(f"{name} must be a number or None, got {shown(value)}")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise ArgumentError(f"{name} must be a finite number or None, got {shown(value)}")
    return found


def number(name: str, value: Any, zero: bool) -> float:
    """Return a finite number above 0, or 0 where that is allowed; integers stay integers."""
    found = real(name, value)
    if found < 0 or (found == 0 and not zero):
        raise ArgumentError(f"{name} must be {'at least' if zero else 'above'} 0 or None, got {shown(value)}")
    return int(value) if isinstance(value, numbers.Integral) else found


def tf_seed(name: str, value: Any) -> int:
    """Return a seed as an int. As in the old system a bool is one, and anything else is a ValueError."""
    try:
        return operator.index(int(value) if isinstance(value, BOOLS) else value)
    except TypeError:
        raise ArgumentError(f"{name} must be an integer or None, got {shown(value)}") from None


def folder(name: str, value: Any) -> str:
    """Return the path of a model directory as a string."""
    path = value if isinstance(value, str) or not isinstance(value, os.PathLike) else os.fspath(value)
    if not isinstance(path, str):
        raise ArgumentTypeError(f"{name} must be a str, an os.PathLike or None, got {shown(value)}")
    if not path:
        raise ArgumentError(f"{name} must not be empty; name a folder, or pass None")
    return path


def one_of(name: str, value: Any, known: tuple[str, ...], complaint: str) -> None:
    """Refuse what is not one of the known words."""
    if not isinstance(value, str) or value not in known:
        raise ArgumentError(f"{complaint} {shown(value)}: {name} must be one of {', '.join(map(repr, known))}")


def shown(value: object) -> str:
    """Return a value and its type, short enough for one line."""
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"

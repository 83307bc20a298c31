"""A process that ends at any moment at which a file gets its name, or loses it."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress


class Crash(BaseException):
    """The process ends here."""


@contextmanager
def crash_at(monkeypatch, number, changes=("replace", "unlink")):
    """End what is done in the block before the change of that number, the first is 1; yields the changes it came to.

    Where there were fewer, the block has come to its end.
    """
    seen = []

    def crashing(change):
        def changed(*paths, **options):
            seen.append(paths)
            if len(seen) == number:
                raise Crash
            change(*paths, **options)

        return changed

    with monkeypatch.context() as patched, suppress(Crash):
        for name in changes:
            patched.setattr(os, name, crashing(getattr(os, name)))
        yield seen

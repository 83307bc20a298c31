"""Reading ahead of the step: one thread, a bounded queue, and an end that leaves nothing behind."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

_LOG = logging.getLogger("macqueen")

DEPTH = 2  # batches held beside the one being made and the one being used: memory stays flat
PATIENCE = 10.0  # seconds that a closed pipeline is given to notice


class _End:
    """Comes last; `error` says why, None for the end of the input."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class Ahead(Iterator[Any]):
    """An iterator whose items are made by a thread of its own, `DEPTH` ahead.

    Parameters
    ----------
    make
        Called in that thread; returns the iterator of the items. What it raises arrives in `next`, as does what
        the iterator raises.
    cancel
        Makes a read that is under way come back; called once, by `close`.
    """

    def __init__(self, make: Callable[[], Iterator[Any]], cancel: Callable[[], None] = lambda: None) -> None:
        self._make = make
        self._cancel = cancel
        self._items: queue.Queue[Any] = queue.Queue(DEPTH)
        self._closed = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._read, name="macqueen-input", daemon=True)
        self._thread.start()

    def __next__(self) -> Any:
        if self._ended:
            raise StopIteration
        item = self._items.get()
        if not isinstance(item, _End):
            return item
        self._ended = True
        if item.error is None:
            raise StopIteration
        raise item.error

    def close(self) -> None:
        """End the thread, wherever it is; nothing can be read afterwards."""
        if self._closed.is_set():
            return
        self._ended = True
        self._closed.set()
        self._cancel()
        self._empty()  # room for what is being put
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            _LOG.warning("the input pipeline has not noticed for %g s that nobody reads it any more", PATIENCE)
        self._empty()

    def _empty(self) -> None:
        while not self._items.empty():
            self._items.get_nowait()

    def _read(self) -> None:
        """Be the thread: put items until they end, something fails, or nobody wants them."""
        error: BaseException | None = None
        try:
            for item in self._make():
                self._items.put(item)
                if self._closed.is_set():
                    return
        except BaseException as caught:  # noqa: BLE001 -- it is raised again where the items are read
            error = caught
        if not self._closed.is_set():
            self._items.put(_End(error))

"""MANY ARE ONE: where rows live while they are trained on. One process is the smallest cluster."""

from macqueen.workers.local import Local

__all__ = ["Local"]

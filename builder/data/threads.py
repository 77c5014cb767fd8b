"""Doing the same with many things at once: asking a data root is mostly waiting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_THREADS = 16


def in_threads(work: Callable[[T], R], items: Sequence[T], threads: int = _THREADS) -> list[R]:
    """`work` of every item, in the items' order. After the first error, which goes on, nothing more is begun."""
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(threads, len(items))) as pool:
        return list(pool.map(work, items))  # an error cancels what has not begun

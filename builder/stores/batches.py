"""Removing many manifests some at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

from builder.stores.interface import GONE, REMOVED


def remove_in_batches(digests: Iterable[str], size: int, some: Callable[[list[str]], Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    """What became of each, as `Holdings.remove` says it; `some` removes at most `size`.

    What is refused is tried once more when the others are gone: an index that names it may have been among them.
    """
    left, refused, removed = iter(digests), dict[str, str](), False
    while batch := list(dict.fromkeys(islice(left, size))):
        for digest, became in some(batch).items():
            if became in (REMOVED, GONE):
                removed = True
                yield digest, became
            else:
                refused[digest] = became
    again = iter(refused)
    while batch := list(islice(again, size)):
        yield from some(batch).items() if removed else [(digest, refused[digest]) for digest in batch]

"""What might go, and what was decided of it: the same for images, templates, runs, logs, checkouts and checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

REMOVED, GONE, USED, FAILED = "removed", "gone", "used", "failed"
"""What became of a thing that was to go: it is removed, was gone already, is needed by now (so it stays), or could not be removed."""


@dataclass(frozen=True, slots=True)
class Thing:
    """`kind` is the word for it in the table, `name` what identifies it in its `place` (a store, a namespace, `bastion:root`, a directory).

    `label` is what people know it by, such as tags or a commit; `size` the bytes that its removal frees, counted once: what two things
    share is the first one's. None where nobody knows.
    """

    kind: str
    name: str
    place: str = ""
    label: str = ""
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`why` it goes, or stays; `group` sums up those that stay for a like reason (`branches and tags`); `young`: it stays only because of
    its age.
    """

    thing: Thing
    goes: bool
    why: str
    group: str = ""
    young: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """`became` is one of the words above; of FAILED `error` says why."""

    verdict: Verdict
    became: str
    error: str = ""


class Collector(Protocol):
    """One kind of things. Made from a Scene; planned once, and then told what of that to remove."""

    def plan(self) -> Sequence[Verdict]:
        """Of everything that there is. Removes nothing. Raises BuilderError when something cannot be read: then nothing at all goes."""

    def remove(self, going: Sequence[Verdict]) -> Iterator[Done]:
        """Removes what is still not needed, some at a time; tells of each as it is done. Killed anywhere and run again, it goes on.

        Raises BuilderError when it cannot go on: what was told until then is done.
        """

    def freed(self, done: Sequence[Done]) -> int:
        """How many bytes that really freed."""

    def remarks(self) -> Iterable[str]:
        """What a person should know of the plan, a line each."""


def freed_by(done: Iterable[Done]) -> int:
    """The sizes of what is removed: for kinds that share nothing."""
    return sum(one.verdict.thing.size or 0 for one in done if one.became == REMOVED)

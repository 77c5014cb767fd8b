"""What `builder gc` plans and does, kind by kind, as people and programs read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from builder.cli import output
from builder.cli.progress import progress
from builder.collect.kinds import KINDS, collector
from builder.collect.scene import Scene
from builder.collect.things import FAILED, GONE, REMOVED, USED, Collector, Done, Verdict

_DIGITS = len("sha256:") + 12


@dataclass
class Plans:
    """What was decided of everything, by kind, and what became of it so far."""

    scene: Scene
    collectors: Mapping[str, Collector]
    verdicts: Mapping[str, Sequence[Verdict]]
    done: dict[str, list[Done]] = field(default_factory=dict)

    @classmethod
    def make(cls, scene: Scene, kinds: Sequence[str]) -> Plans:
        """Of these kinds; of all when none is named. Raises BuilderError when something cannot be read."""
        collectors = {kind: collector(kind, scene) for kind in KINDS if kind in kinds or not kinds}
        return cls(scene, collectors, {kind: tuple(one.plan()) for kind, one in collectors.items()})

    @property
    def going(self) -> list[Verdict]:
        return [verdict for kind in self.collectors for verdict in self._going(kind)]

    def _going(self, kind: str) -> list[Verdict]:
        return [verdict for verdict in self.verdicts[kind] if verdict.goes]

    @property
    def has_failed(self) -> bool:
        return any(one.became == FAILED for done in self.done.values() for one in done)

    def remove(self, kind: str) -> None:
        """Raises BuilderError when it cannot go on."""
        if going := self._going(kind):
            done = self.done.setdefault(kind, [])
            with progress().task(f"deleting {kind}", len(going)) as advance:
                for one in self.collectors[kind].remove(going):
                    done.append(one)
                    advance(1)
                    if one.became == FAILED:
                        thing = one.verdict.thing
                        output.warn(f"{thing.kind} {thing.label or thing.name} could not be removed: {one.error}")

    # told

    def say_asked(self) -> None:
        for line in self.scene.needs.said:
            output.note(f"asked {line}")

    def show(self) -> None:
        """What would go is the result; what stays is summed up."""
        rows = [_row(verdict) for verdict in self.going]
        if rows:
            output.table(("KIND", "NAME", "WHAT", "WHY", "SIZE"), rows, right=("SIZE",))
        for kind, verdicts in self.verdicts.items():
            kept = Counter(verdict.group or verdict.why for verdict in verdicts if not verdict.goes)
            told = ", ".join(f"{count} {group}" for group, count in kept.most_common())
            output.note(f"{kind}: {sum(kept.values())} {'stays' if sum(kept.values()) == 1 else 'stay'}" + (f": {told}" if told else ""))
            for line in self.collectors[kind].remarks():
                output.note(line)

    def say_end(self, *, delete: bool) -> None:
        if not self.going:
            output.note("nothing to delete")
        elif not delete:
            size = sum(verdict.thing.size or 0 for verdict in self.going)
            output.note(f"{output.plural(len(self.going), 'thing')} would go, {output.size(size)}; nothing was deleted: --yes does it")
        else:
            words = Counter(one.became for done in self.done.values() for one in done)
            told = ", ".join(f"{words[word]} {word}" for word in (REMOVED, GONE, USED, FAILED) if words[word])
            later = " once the registry's own garbage collector has run" if "images" in self.done and not self.scene.store.sparse else ""
            output.note(f"{told or 'nothing was deleted'}; {output.size(self._freed())} freed{later}")

    def _freed(self) -> int:
        return sum(self.collectors[kind].freed(done) for kind, done in self.done.items())

    def document(self, *, delete: bool) -> dict[str, Any]:
        became = {id(one.verdict): one for done in self.done.values() for one in done}
        things = [_as_json(kind, verdict, became.get(id(verdict))) for kind, verdicts in self.verdicts.items() for verdict in verdicts]
        freed = self._freed() if delete else sum(verdict.thing.size or 0 for verdict in self.going)
        return {"deleted": delete, "asked": self.scene.needs.said, "things": things, "freed": freed}


def _row(verdict: Verdict) -> tuple[str, str, str, str, str]:
    thing = verdict.thing
    name = thing.name[:_DIGITS] if thing.name.startswith("sha256:") else thing.name
    return thing.kind, name, thing.label, verdict.why, "" if thing.size is None else output.size(thing.size)


def _as_json(kind: str, verdict: Verdict, done: Done | None) -> dict[str, Any]:
    thing = verdict.thing
    became = done.became if done else "would go" if verdict.goes else "kept"
    known = {"of": kind, "kind": thing.kind, "place": thing.place, "name": thing.name, "label": thing.label, "size": thing.size}
    return {**known, "became": became, "why": (done.error if done else "") or verdict.why}

"""The stages in their order, each remembered by the hash of its inputs: mirrored, planned, and, once the plan is approved, archived,
rewritten, verified, recorded, bundled; published when asked for.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any

from repo_slim import bundle, lfs, plan, publish, record
from repo_slim.analyse import Analysis, analyse, tips
from repo_slim.archive import Entry, archive, from_lines, read_back, to_lines
from repo_slim.errors import ArchiveError, AskedError, DamagedError, MovedError
from repo_slim.files import canonical, digest, remove, write_whole
from repo_slim.git import Git
from repo_slim.mirror import Listing, full_url, list_remote, mirror
from repo_slim.progress import SILENT, Progress
from repo_slim.report import HTML, JSON, make_report, portable, summary, write_report
from repo_slim.rewrite import MAP_REF, bring_lfs, rewrite
from repo_slim.rules import Rules
from repo_slim.selection import Selection, Tips, select
from repo_slim.state import STAGES, State, locked
from repo_slim.stores import Store, open_store
from repo_slim.verify import verify


@dataclass(frozen=True, slots=True)
class Asked:
    """One invocation. `rules` holds what flags say (None: nothing); `archive` is a directory or `s3://bucket/prefix`."""

    source: str
    work: Path
    archive: str
    endpoint: str = ""
    rules: Mapping[str, Any] | None = None
    approve: str = ""
    publish_to: str = ""


def restart(work: Path) -> None:
    """Takes away all that was made in the working directory. A plan changed by hand stays as `plan.toml.old`; the archive stays."""
    with locked(work):
        if (work / plan.NAME).exists():
            (work / plan.NAME).replace(work / f"{plan.NAME}.old")
        for path in work.iterdir():
            if path.name not in ("lock", f"{plan.NAME}.old"):
                remove(path)


def run(asked: Asked, progress: Progress = SILENT) -> dict[str, Any]:
    """Goes on until the plan waits for its approval, or, approved, to the end. Returns where it stands, as JSON."""
    asked = replace(asked, work=asked.work.absolute())  # programs are started in other directories
    with locked(asked.work):
        return _Run(asked, progress).go()


class _Run:
    def __init__(self, asked: Asked, progress: Progress) -> None:
        self._asked, self._progress, self._work = asked, progress, asked.work
        self._source = full_url(asked.source)
        self._state = State(asked.work)
        self._git = Git(asked.work / "mirror.git")
        self._slim = Git(asked.work / "slim.git")
        self._listing = Listing({}, "")
        self._read_tips: dict[tuple[str, ...], Tips] = {}

    def go(self) -> dict[str, Any]:
        self._mirror()
        self._plan_bytes = self._plan()
        told = self._planned()
        if not self._asked.approve:
            return told
        if self._asked.approve != told["approve"]:
            text = f"--approve {self._asked.approve} is not the hash of this plan and source, which is {told['approve']}"
            raise AskedError(text, f"read {self._work / plan.NAME}, then approve it with that hash")
        return told | self._approved(told["approve"])

    # until the approval

    def _mirror(self) -> None:
        there = list_remote(self._source)
        inputs = digest(self._source, there.hash)
        known = self._state.last("mirrored")
        if self._asked.approve and self._state.result("mirrored", inputs) is None:
            if known is None:
                raise AskedError(f"nothing is planned yet in {self._work}", "run it without --approve first, and read the plan")
            raise MovedError(
                f"{self._asked.source} is not what the plan was made for: its refs changed since",
                "run it again without --approve: it plans anew",
            )

        def make() -> dict[str, Any]:
            self._state.forget("mirrored")
            with self._progress.task("mirroring"):
                found = mirror(self._source, self._git.directory)
            return {"refs": found.hash, "head": found.head}

        def still(_: Any) -> bool:
            return (self._git.directory / "HEAD").is_file() and Listing(self._git.refs(), there.head).hash == there.hash

        result = self._state.done("mirrored", inputs, make, still)
        self._listing = Listing(self._git.refs(), result["head"])

    @cached_property
    def _analysis(self) -> Analysis:
        with self._progress.task("analysing"):
            return analyse(self._git)

    @cached_property
    def _rules(self) -> Rules:
        return plan.parse(self._plan_bytes, str(self._work / plan.NAME))

    @property
    def _tips(self) -> Tips:
        return self._tips_of(self._rules)

    def _tips_of(self, rules: Rules) -> Tips:
        if rules.protect not in self._read_tips:
            self._read_tips[rules.protect] = tips(self._git, rules.protects)
        return self._read_tips[rules.protect]

    @cached_property
    def _selection(self) -> Selection:
        return select(self._analysis, self._rules, self._tips)

    def _plan(self) -> bytes:
        """The plan's bytes: as a person left it, or written from the flags."""
        path = self._work / plan.NAME
        there = path.read_bytes() if path.exists() else b""
        ours = (self._state.last("planned") or {}).get("written") == digest(there)
        said = {key: value for key, value in (self._asked.rules or {}).items() if value is not None}
        if there and (self._asked.approve or not ours):
            if said and plan.with_flags(plan.parse(there, str(path)), said) != plan.parse(there, str(path)):
                text = f"{path} says something else than the command line"
                raise AskedError(text, "change the plan itself, or take it away and run it without --approve")
            return there
        rules = plan.with_flags(plan.parse(there, str(path)) if there else plan.DEFAULT, said)
        selection = select(self._analysis, rules, self._tips_of(rules))
        data = plan.render(rules, self._analysis, selection, _name(self._source))
        if data != there:
            write_whole(path, data)
        self._written = digest(data)
        return data

    def _planned(self) -> dict[str, Any]:
        approve = plan.approval(self._plan_bytes, self._listing.hash)
        page, numbers = self._work / HTML, self._work / JSON

        def make() -> dict[str, Any]:
            self._state.forget("archived", "rewritten", "verified", "recorded", "published")  # they were of another plan
            missing = lfs.bring(self._git, self._source, self._analysis.pointers)
            with self._progress.task("writing the report"):
                report = make_report(self._git, self._analysis, self._selection, _name(self._source), missing)
                write_report(report, self._work)
            written = getattr(self, "_written", (self._state.last("planned") or {}).get("written", ""))
            return {"written": written, "approve": approve, "summary": summary(report.document())}

        known = self._state.done("planned", approve, make, lambda _: page.exists() and numbers.exists())
        files = {"plan": str(self._work / plan.NAME), "report": str(page), "numbers": str(numbers)}
        places = {"work": str(self._work), **files, "archive": self._store.name}
        return {"stage": "planned", "approve": approve, **places, **known["summary"]}

    # after the approval

    @cached_property
    def _store(self) -> Store:
        return open_store(self._asked.archive, self._asked.endpoint)

    def _approved(self, approve: str) -> dict[str, Any]:
        entries, kept = self._archived(approve)
        commits, made = self._rewritten(approve, kept)
        findings = self._verified(approve, commits, entries, kept, made)
        recorded = self._recorded(approve, commits, entries, made)
        size = self._state.done("bundled", self._listing.hash, self._bundle, lambda _: (self._work / bundle.NAME).exists())
        told = {
            "stage": "verified",
            "verified": findings,
            "unsigned_tags": made["unsigned"],
            "before": clone_size(self._git),
            "after": clone_size(self._slim),
            "repository": str(self._slim.directory),
            "manifest": f"{self._store.name}/{recorded['manifest']}",
            "published": None,
            "bundle": {"path": str(self._work / bundle.NAME), "size": size},
        }
        return told | (self._published(recorded) if self._asked.publish_to else {})

    def _archived(self, approve: str) -> tuple[tuple[Entry, ...], str]:
        path = self._work / "objects.jsonl"

        def make() -> str:
            entries = archive(self._git, self._selection, self._analysis.size, self._store, self._work / "spool", self._progress)
            data = to_lines(entries)
            write_whole(path, data)
            return digest(data)

        known = self._state.done("archived", digest(approve, self._store.name), make, lambda known: _is(path, known))
        return from_lines(path.read_bytes()), known

    def _rewritten(self, approve: str, kept: str) -> tuple[dict[str, str], dict[str, Any]]:
        path = self._work / "commit-map.json"

        def make() -> dict[str, Any]:
            with self._progress.task("rewriting"):
                entries = from_lines((self._work / "objects.jsonl").read_bytes())
                placeholders = self._rules.replace == "placeholder"
                made = rewrite(self._git, self._slim.directory, self._selection, entries, placeholders=placeholders)
                bring_lfs(self._git, self._slim, self._tip_objects())
            data = canonical(dict(made.commits))
            write_whole(path, data)
            return {"map": digest(data), "refs": _refs_hash(made.refs), "unsigned": list(made.unsigned)}

        def still(known: dict[str, Any]) -> bool:
            return _is(path, known["map"]) and (self._slim.directory / "HEAD").exists() and _refs_hash(self._slim.refs()) == known["refs"]

        made = self._state.done("rewritten", digest(approve, kept), make, still)
        return json.loads(path.read_bytes()), made

    def _tip_objects(self) -> list[str]:
        """LFS objects that protected tips still point to."""
        at_tips = {blob for found in self._tips.values() for _, blob in found}
        return sorted({pointer.oid for blob, pointer in self._analysis.pointers.items() if blob in at_tips})

    def _verified(
        self, approve: str, commits: Mapping[str, str], entries: tuple[Entry, ...], kept: str, made: Mapping[str, Any]
    ) -> dict[str, Any]:
        def make() -> dict[str, Any]:
            try:
                read_back(self._store, entries, self._progress)
            except (DamagedError, ArchiveError):
                self._state.forget("archived")  # so that the next run writes it anew
                raise
            if Listing(self._git.refs(), self._listing.head) != self._listing:
                raise MovedError(f"{self._git.directory} changed while it was worked on", "run it again")
            return verify(self._git, self._slim, commits, self._rules, entries, self._progress)

        result: dict[str, Any] = self._state.done("verified", digest(approve, kept, made["map"], made["refs"], self._store.name), make)
        return result

    def _recorded(self, approve: str, commits: Mapping[str, str], entries: tuple[Entry, ...], made: Mapping[str, Any]) -> dict[str, Any]:
        def make() -> dict[str, Any]:
            told = portable(json.loads((self._work / JSON).read_bytes()))
            kept = record.make(self._git, approve, self._plan_bytes, told, self._selection, entries, commits)
            ref = record.write_ref(self._slim, self._git, kept, self._analysis.last)
            return {"ref": ref, "manifest": record.write_archive(self._store, kept, entries, self._work / "spool")}

        inputs = digest(approve, made["map"], made["refs"], self._store.name)
        result: dict[str, Any] = self._state.done(
            "recorded", inputs, make, lambda known: bool(self._slim.refs().get(MAP_REF) == known["ref"])
        )
        return result

    def _bundle(self) -> int:
        with self._progress.task("writing the bundle of the original"):
            return bundle.write_bundle(self._git, self._work / bundle.NAME)

    def _published(self, recorded: Mapping[str, Any]) -> dict[str, Any]:
        url = full_url(self._asked.publish_to)
        oids = sorted(path.name for path in (self._slim.directory / "lfs" / "objects").glob("??/??/*"))
        began = time.monotonic()
        with self._progress.task("publishing"):
            done = publish.publish(self._slim, url, self._listing, oids, self._work / "trial.git")
        self._state.keep("published", digest(url, recorded["ref"], _refs_hash(self._slim.refs())), done, time.monotonic() - began)
        return {"stage": "published", "published": done}


def status(work: Path) -> dict[str, Any]:
    """Which stages are done, by name, and the hash that approves the plan, empty while there is none. Changes nothing."""
    state = State(work)
    done = list(takewhile(lambda stage: state.last(stage) is not None, STAGES))
    mirrored, path = state.last("mirrored"), work / plan.NAME
    approve = plan.approval(path.read_bytes(), mirrored["refs"]) if mirrored and path.exists() else ""
    current = (state.last("planned") or {}).get("approve") == approve
    return {
        "work": str(work),
        "done": done if current else done[:2],
        "seconds": {stage: took for stage, took in state.seconds().items() if stage in done},
        "approve": approve,
        "stage": done[-1] if done and current else "planned" if approve else "new",
    }


def clone_size(git: Git) -> int:
    """Bytes of all that refs lead to, as it is packed: what a clone brings, but for the pack's own lists."""
    return int(git.text("rev-list", "--objects", "--all", "--disk-usage"))


def _name(source: str) -> str:
    return source.rstrip("/").rpartition("/")[2].removesuffix(".git") or "the repository"


def _is(path: Path, known: str) -> bool:
    return path.exists() and digest(path.read_bytes()) == known


def _refs_hash(refs: Mapping[str, str]) -> str:
    return digest(*(f"{oid} {name}" for name, oid in sorted(refs.items()) if name != MAP_REF))

"""The stages after the approval: archived, rewritten, verified, recorded, bundled, and published when asked for."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from repo_slim import bundle, publish, record
from repo_slim.archive import Entry, archive, from_lines, read_back, to_lines
from repo_slim.errors import ArchiveError, DamagedError, MovedError
from repo_slim.files import aside_of, canonical, digest, write_whole
from repo_slim.git import Git
from repo_slim.mirror import Listing, full_url
from repo_slim.planning import Planning
from repo_slim.report import JSON, portable
from repo_slim.rewrite import MAP_REF, bring_lfs, rewrite
from repo_slim.verify import verify


class Approved:
    """Does what an approved plan says."""

    def __init__(self, planned: Planning) -> None:
        self._known, self._state, self._git, self._work, self._progress = (
            planned,
            planned.state,
            planned.git,
            planned.work,
            planned.progress,
        )
        self._slim = Git(planned.work / "slim.git")

    def go(self, approve: str) -> dict[str, Any]:
        """To the end. Returns what was made, as JSON."""
        entries, kept = self._archived(approve)
        commits, made = self._rewritten(approve, kept)
        findings = self._verified(approve, commits, entries, kept, made)
        recorded = self._recorded(approve, commits, entries, made)
        original = self._work / bundle.name_for(self._known.listing.hash)
        size = self._state.done("bundled", self._known.listing.hash, lambda: self._bundle(original), lambda _: original.exists())
        told = {
            "stage": "verified",
            "verified": findings,
            "unsigned_tags": made["unsigned"],
            "before": clone_size(self._git),
            "after": clone_size(self._slim),
            "repository": str(self._slim.directory),
            "manifest": f"{self._known.store.name}/{recorded['manifest']}",
            "published": None,
            "bundle": {"path": str(original), "size": size},
        }
        return told | (self._published(recorded) if self._known.asked.publish_to else {})

    def _archived(self, approve: str) -> tuple[tuple[Entry, ...], str]:
        path = self._work / "objects.jsonl"

        def make() -> str:
            entries = archive(
                self._git, self._known.selection, self._known.analysis.size, self._known.store, self._work / "spool", self._progress
            )
            data = to_lines(entries)
            write_whole(path, data)
            return digest(data)

        known = self._state.done("archived", digest(approve, self._known.store.name), make, lambda known: _is(path, known))
        return from_lines(path.read_bytes()), known

    def _rewritten(self, approve: str, kept: str) -> tuple[dict[str, str], dict[str, Any]]:
        path = self._work / "commit-map.json"

        def make() -> dict[str, Any]:
            with self._progress.task("rewriting"):
                entries = from_lines((self._work / "objects.jsonl").read_bytes())
                placeholders = self._known.rules.replace == "placeholder"
                made = rewrite(self._git, self._slim.directory, self._known.selection, entries, placeholders=placeholders)
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
        at_tips = {blob for found in self._known.tips.values() for _, blob in found}
        return sorted({pointer.oid for blob, pointer in self._known.analysis.pointers.items() if blob in at_tips})

    def _verified(
        self, approve: str, commits: Mapping[str, str], entries: tuple[Entry, ...], kept: str, made: Mapping[str, Any]
    ) -> dict[str, Any]:
        def make() -> dict[str, Any]:
            try:
                read_back(self._known.store, entries, self._progress)
            except (DamagedError, ArchiveError):
                self._state.forget("archived")  # so that the next run writes it anew
                raise
            if Listing(self._git.refs(), self._known.listing.head) != self._known.listing:
                raise MovedError(f"{self._git.directory} changed while it was worked on", "run it again")
            return verify(self._git, self._slim, commits, self._known.rules, entries, self._progress)

        result: dict[str, Any] = self._state.done(
            "verified", digest(approve, kept, made["map"], made["refs"], self._known.store.name), make
        )
        return result

    def _recorded(self, approve: str, commits: Mapping[str, str], entries: tuple[Entry, ...], made: Mapping[str, Any]) -> dict[str, Any]:
        def make() -> dict[str, Any]:
            told = portable(json.loads((self._work / JSON).read_bytes()))
            kept = record.make(self._git, approve, self._known.plan_bytes, told, self._known.selection, entries, commits)
            ref = record.write_ref(self._slim, self._git, kept, self._known.analysis.last)
            return {"ref": ref, "manifest": record.write_archive(self._known.store, kept, entries, self._work / "spool")}

        inputs = digest(approve, made["map"], made["refs"], self._known.store.name)
        result: dict[str, Any] = self._state.done(
            "recorded", inputs, make, lambda known: bool(self._slim.refs().get(MAP_REF) == known["ref"])
        )
        return result

    def _bundle(self, path: Path) -> int:
        with self._progress.task("writing the bundle of the original"):
            return bundle.write_bundle(self._git, path)

    def _published(self, recorded: Mapping[str, Any]) -> dict[str, Any]:
        url = full_url(self._known.asked.publish_to)
        oids = sorted(path.name for path in (self._slim.directory / "lfs" / "objects").glob("??/??/*"))
        began = time.monotonic()
        with self._progress.task("publishing"):
            done = publish.publish(self._slim, url, self._known.listing, oids, aside_of(self._work / "trial.git"))
        self._state.keep("published", digest(url, recorded["ref"], _refs_hash(self._slim.refs())), done, time.monotonic() - began)
        return {"stage": "published", "published": done}


def clone_size(git: Git) -> int:
    """Bytes of all that refs lead to, as it is packed: what a clone brings, but for the pack's own lists."""
    return int(git.text("rev-list", "--objects", "--all", "--disk-usage"))


def _is(path: Path, known: str) -> bool:
    return path.exists() and digest(path.read_bytes()) == known


def _refs_hash(refs: Mapping[str, str]) -> str:
    return digest(*(f"{oid} {name}" for name, oid in sorted(refs.items()) if name != MAP_REF))

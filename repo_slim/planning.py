"""The stages until a person approves: mirrored and planned."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from repo_slim import lfs, plan
from repo_slim.analyse import Analysis, analyse, tips
from repo_slim.asked import Asked
from repo_slim.errors import AskedError, MovedError
from repo_slim.files import digest, write_whole
from repo_slim.git import Git
from repo_slim.mirror import Listing, mirror
from repo_slim.progress import Progress
from repo_slim.report import HTML, JSON, make_report, summary, write_report
from repo_slim.rules import Rules
from repo_slim.selection import Selection, Tips, select
from repo_slim.state import State
from repo_slim.stores import Store, open_store


class Planning:
    """What is known of a source and its plan, and where things lie. `there`: what the source has now."""

    def __init__(self, asked: Asked, there: Listing, progress: Progress) -> None:
        self.asked, self.progress, self.work = asked, progress, asked.work
        self.state = State(asked.work)
        self.git = Git(asked.work / "mirror.git")
        self.listing = there
        self._read_tips: dict[tuple[str, ...], Tips] = {}

    def go(self) -> dict[str, Any]:
        """Plans, or finds that the plan is approved. Returns what the plan comes to, as JSON."""
        self._mirror()
        self.plan_bytes = self._plan()
        self.state.remember(self.store.name)
        told = self._planned()
        if self.asked.approve and self.asked.approve != told["approve"]:
            text = f"--approve {self.asked.approve} is not the hash of this plan and source, which is {told['approve']}"
            raise AskedError(text, f"read {self.work / plan.NAME}, then approve it with that hash")
        return told

    @cached_property
    def store(self) -> Store:
        """The archive: the one that is named, else that of the runs before."""
        remembered, asked = self.state.archive, self.asked
        store = open_store(asked.archive or remembered or asked.default_archive, asked.endpoint)
        if remembered and store.name != remembered and self.state.last("archived") is not None:
            text = f"what was taken out is in {remembered} already, and --archive says {store.name}"
            raise AskedError(text, f"leave --archive out; or begin anew: --restart --archive {store.name}")
        return store

    def _mirror(self) -> None:
        there, source = self.listing, self.asked.source
        inputs = digest(source, there.hash)
        known = self.state.last("mirrored")
        if self.asked.approve and self.state.result("mirrored", inputs) is None:
            if known is None:
                raise AskedError(f"nothing is planned yet in {self.work}", "run it without --approve first, and read the plan")
            raise MovedError(
                f"{self.asked.source} is not what the plan was made for: its refs changed since",
                "run it again without --approve: it plans anew",
            )

        def make() -> dict[str, Any]:
            self.state.forget("mirrored")
            with self.progress.task("mirroring"):
                found = mirror(source, self.git.directory)
            return {"refs": found.hash, "head": found.head}

        def still(_: Any) -> bool:
            return (self.git.directory / "HEAD").is_file() and Listing(self.git.refs(), there.head).hash == there.hash

        result = self.state.done("mirrored", inputs, make, still)
        self.listing = Listing(self.git.refs(), result["head"])

    @property
    def name(self) -> str:
        return self.asked.source.rstrip("/").rpartition("/")[2].removesuffix(".git") or "the repository"

    @cached_property
    def analysis(self) -> Analysis:
        with self.progress.task("analysing"):
            return analyse(self.git)

    @cached_property
    def rules(self) -> Rules:
        return plan.parse(self.plan_bytes, str(self.work / plan.NAME))

    @property
    def tips(self) -> Tips:
        return self._tips_of(self.rules)

    def _tips_of(self, rules: Rules) -> Tips:
        if rules.protect not in self._read_tips:
            self._read_tips[rules.protect] = tips(self.git, rules.protects)
        return self._read_tips[rules.protect]

    @cached_property
    def selection(self) -> Selection:
        return select(self.analysis, self.rules, self.tips)

    def _plan(self) -> bytes:
        """The plan's bytes: as a person left it, or written from the flags."""
        path = self.work / plan.NAME
        there = path.read_bytes() if path.exists() else b""
        ours = (self.state.last("planned") or {}).get("written") == digest(there)
        said = {key: value for key, value in (self.asked.rules or {}).items() if value is not None}
        if there and (self.asked.approve or not ours):
            if said and plan.with_flags(plan.parse(there, str(path)), said) != plan.parse(there, str(path)):
                text = f"{path} says something else than the command line"
                raise AskedError(text, "change the plan itself, or take it away and run it without --approve")
            return there
        rules = plan.with_flags(plan.parse(there, str(path)) if there and not said else plan.DEFAULT, said)
        selection = select(self.analysis, rules, self._tips_of(rules))
        data = plan.render(rules, self.analysis, selection, self.name)
        if data != there:
            write_whole(path, data)
        self._written = digest(data)
        return data

    def _planned(self) -> dict[str, Any]:
        approve = plan.approval(self.plan_bytes, self.listing.hash)
        page, numbers = self.work / HTML, self.work / JSON

        def make() -> dict[str, Any]:
            self.state.forget("archived", "rewritten", "verified", "recorded", "published")  # they were of another plan
            missing = lfs.bring(self.git, self.asked.source, {pointer.oid for pointer in self.analysis.pointers.values()})
            with self.progress.task("writing the report"):
                report = make_report(self.git, self.analysis, self.selection, self.name, missing, self.tips)
                write_report(report, self.work)
            written = getattr(self, "_written", (self.state.last("planned") or {}).get("written", ""))
            found = {"written": written, "approve": approve, "lfs": lfs.count(self.git)}
            unmatched = plan.unmatched(self.rules, self.analysis, self.git.refs())
            return {**found, "summary": {**summary(report.document()), "unmatched": unmatched}}

        def still(known: dict[str, Any]) -> bool:
            return page.exists() and numbers.exists() and self._all_lfs(known["lfs"], known["summary"]["lfs_missing"])

        known = self.state.done("planned", approve, make, still)
        files = {"plan": str(self.work / plan.NAME), "report": str(page), "numbers": str(numbers)}
        places = {"work": str(self.work), **files, "archive": self.store.name}
        return {"stage": "planned", "approve": approve, **places, **known["summary"]}

    def _all_lfs(self, count: int, missing: Sequence[str]) -> bool:
        """Whether the mirror has the LFS objects that it had, and what was missing still is: in each run it is looked for again."""
        return lfs.count(self.git) == count and list(lfs.bring(self.git, self.asked.source, missing)) == list(missing)

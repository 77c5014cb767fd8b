"""`slim-repo --move-clone`: looks at a clone, says what would be done, and does it when told to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repo_slim import process
from repo_slim.commit_map import CommitMap, read
from repo_slim.errors import AskedError, SlimError
from repo_slim.git import Git
from repo_slim.mirror import full_url
from repo_slim.move.carry_out import carry_out, settle
from repo_slim.move.clone import AFTER, BEFORE, Clone, find, refuse_half_done
from repo_slim.move.keep import BUNDLE, Memory
from repo_slim.move.plan import Plan, Planner, Step, taken_blobs
from repo_slim.move.replay import Replay, TakenOut
from repo_slim.progress import SILENT, Progress
from repo_slim.rewrite import MAP_REF
from repo_slim.state import locked
from repo_slim.text import last_words


@dataclass(frozen=True, slots=True)
class Asked:
    """`to`: the new repository, or empty where it took the old one's place. Without `really` nothing but refs/builder changes."""

    directory: Path
    to: str = ""
    taken_out: TakenOut = "stop"
    really: bool = False


def move(asked: Asked, progress: Progress = SILENT) -> dict[str, Any]:
    """What was done, or would be, as JSON."""
    clone = find(asked.directory)
    refuse_half_done(clone)
    with locked(clone.folder):
        url = full_url(asked.to) if asked.to else clone.url
        known = _fetched(clone, url, progress)
        replay = Replay(clone.git, known, _now(clone.git), taken_blobs(clone.git), asked.taken_out, clone.folder)
        memory = Memory.of(clone)
        if asked.really and memory.pending:
            settle(clone, memory, replay)
        with progress.task("looking at branches"):
            plan = Planner(clone, known, replay).plan()
        warnings = list(plan.warnings)
        if asked.really:
            with progress.task("moving"):
                warnings += carry_out(clone, plan, replay, memory, url)
        return _told(clone, plan, url, done=asked.really) | {"warnings": warnings}


def _fetched(clone: Clone, url: str, progress: Progress) -> CommitMap:
    """Brings the new history and the map, beside what is there."""
    specs = [f"+{MAP_REF}:{MAP_REF}", *(f"+refs/{kind}/*:{AFTER}{kind}/*" for kind in ("heads", "tags", "notes"))]
    words = [
        "fetch",
        "--quiet",
        "--no-tags",
        "--prune",
        "--no-filter",
        "--no-write-fetch-head",
        "--recurse-submodules=no",
        "--",
        url,
        *specs,
    ]
    with progress.task("fetching the new history"):
        done = process.run(["git", "-C", str(clone.git.directory), *words], check=False)
    said = done.stderr.decode("utf-8", "replace").strip()
    if done.returncode and MAP_REF in said:
        raise AskedError(f"{url} has no {MAP_REF}: nothing was published there", "name the new repository: --to URL")
    if done.returncode:
        raise SlimError(f"{url} cannot be fetched: {last_words(said)}", "correct that, then run this again; nothing was moved")
    known = read(clone.git)
    assert known is not None
    return known


def _now(git: Git) -> frozenset[str]:
    """Every commit that the new repository's refs lead to."""
    names = [name for name in git.refs() if name.startswith(AFTER)]
    peeled = git.peeled()
    tips = [peeled[name][1] for name in names if peeled[name][0] == "commit"]
    listed = git.text("rev-list", "--stdin", stdin="".join(f"{tip}\n" for tip in tips).encode()) if tips else ""
    return frozenset(listed.splitlines())


def _told(clone: Clone, plan: Plan, url: str, *, done: bool) -> dict[str, Any]:
    bundle = clone.folder / BUNDLE
    return {
        "clone": str(clone.git.directory),
        "remote": {"name": clone.remote, "before": clone.url, "after": url},
        "branches": _steps(plan.heads),
        "tags": _steps(plan.tags),
        "stashes": _steps(plan.stashes),
        "heads": _steps(step for _, step in plan.detached),
        "notes": sum(map(len, plan.notes.values())),
        "untracked": {name: list(paths) for name, paths in plan.untracked.items() if paths},
        "elsewhere": _steps(plan.elsewhere),
        "others": [name for name in clone.git.ask("remote").splitlines() if name not in (clone.remote, "before-slim")],
        "unsigned": list(plan.unsigned),
        "left": len(plan.left),
        "moves": sum(step.moves for step in plan.steps) + sum(map(len, plan.notes.values())) + (url != clone.url),
        "kept": BEFORE.rstrip("/"),
        "bundle": str(bundle) if bundle.exists() or not done else "",
        "done": done,
    }


def _steps(steps: Iterable[Step]) -> list[dict[str, Any]]:
    return [{"name": step.name, "before": step.before, "after": step.after, "replayed": step.commits, "why": step.why} for step in steps]

"""Carries a plan out. What is done is found done: killed anywhere and run again, it ends the same. No file of a working tree is touched."""

from __future__ import annotations

from pathlib import Path

from repo_slim import tags
from repo_slim.errors import ProcessError, SlimError
from repo_slim.files import write_whole
from repo_slim.git import Git
from repo_slim.move.clone import AFTER, Clone, Place, fetched_specs
from repo_slim.move.keep import Memory, keep, set_refs
from repo_slim.move.plan import Plan, in_index, kept_refs
from repo_slim.move.replay import Replay, index_lines
from repo_slim.sizes import partial
from repo_slim.text import last_words

_WHY = "slim-repo --move-clone"
_PERSON = {"GIT_COMMITTER_NAME": "slim-repo", "GIT_COMMITTER_EMAIL": "slim-repo@localhost"}
_PERSON |= {"GIT_AUTHOR_NAME": "slim-repo", "GIT_AUTHOR_EMAIL": "slim-repo@localhost"}


def carry_out(clone: Clone, plan: Plan, replay: Replay, memory: Memory, url: str) -> list[str]:
    """Keeps all of before, then moves; returns what is worth knowing. Raises SlimError when something in the clone changed meanwhile."""
    moving = {step.before for step in plan.steps if step.moves}
    wanted = kept_refs(clone, plan.entries)
    keep(clone, memory, {name: oid for name, oid in wanted.items() if oid in moving} if memory.kept else wanted)
    replay.write()
    tags.write_objects(clone.git, "tag", plan.tag_objects, clone.folder / "tags")
    _write_names(clone.folder / "commits", replay)
    for ref, pairs in plan.notes.items():
        lines = "".join(f"{old} {new}\n" for old, new in pairs)
        clone.git.run("notes", f"--ref={ref}", "copy", "--stdin", stdin=lines.encode(), **_PERSON)
    memory.pending = (*memory.pending, *_indexes(clone, plan))
    memory.write()
    _point(clone, memory, url)
    set_refs(clone.git, [(step.name, step.after, step.before) for step in (*plan.heads, *plan.tags) if step.moves], _WHY)
    for place, step in plan.detached:
        if step.moves:
            set_refs(place.git, [("HEAD", step.after, step.before)], _WHY)
    settle(clone, memory, replay)
    _stashes(clone.git, plan)
    return _fetch(clone)


def _write_names(path: Path, replay: Replay) -> None:
    """Lines `old new` of local commits, of all runs: no map that is shared knows these."""
    known = dict(line.split() for line in path.read_text().splitlines()) if path.exists() else {}
    known |= replay.replayed
    if known:
        write_whole(path, "".join(f"{old} {new}\n" for old, new in sorted(known.items())).encode())


def _indexes(clone: Clone, plan: Plan) -> list[tuple[str, str, str]]:
    """Place, commit before, commit afterwards, for each place whose HEAD moves."""
    moved = {step.name: step for step in plan.heads if step.moves} | {step.name: step for _, step in plan.detached if step.moves}
    steps = [(place, moved.get(place.branch or f"HEAD of {place.name}")) for place in clone.places if place.index]
    return [(place.name, step.before, step.after) for place, step in steps if step]


def settle(clone: Clone, memory: Memory, replay: Replay) -> None:
    """Takes out of the indexes what the new commits do not have. Only entries that are what the old commit had."""
    replay.run(old for _, old, _ in memory.pending)
    places = {place.name: place for place in clone.places}
    for name, old, new in memory.pending:
        place = places.get(name)
        if place and place.git.ask("rev-parse", "--verify", "--quiet", "HEAD") == new:
            _settle(place, replay, old)
    memory.pending = ()
    memory.write()


def _settle(place: Place, replay: Replay, old: str) -> None:
    removed = replay.removed(old)
    found = in_index(place, removed) if removed else {}
    lines = index_lines({(path, blob): removed[path, blob] for path, blob in found.items()})
    if lines:
        place.git.run("update-index", "-z", "--index-info", stdin=lines, GIT_INDEX_FILE=place.index)


def _point(clone: Clone, memory: Memory, url: str) -> None:
    """The remote's URL is the new one, for pushes too. What a partial clone lacks, the old one still has."""
    name = f"remote.{clone.remote}"
    if partial(clone.git) and memory.url != url:
        old = "remote.before-slim"
        filtered = clone.git.ask("config", "--get", f"{name}.partialclonefilter") or "blob:none"
        for key, value in (("url", memory.url), ("promisor", "true"), ("partialclonefilter", filtered), ("skipFetchAll", "true")):
            clone.git.run("config", "--replace-all", f"{old}.{key}", value)
    if clone.git.ask("config", "--get-all", f"{name}.url") != url:
        clone.git.run("config", "--replace-all", f"{name}.url", url)
    if clone.git.ask("config", "--get-all", f"{name}.pushurl"):
        clone.git.run("config", "--unset-all", f"{name}.pushurl")


def _stashes(git: Git, plan: Plan) -> None:
    """The new ones on top, oldest first, then the old ones go from the bottom: no moment at which one is not there."""
    there = {entry.commit for entry in plan.entries}
    moving = [(entry, step) for entry, step in zip(plan.entries, plan.stashes, strict=True) if step.moves]
    for entry, step in reversed(moving):
        if step.after not in there:
            said = {"GIT_COMMITTER_NAME": entry.name, "GIT_COMMITTER_EMAIL": entry.email, "GIT_COMMITTER_DATE": entry.date}
            git.run("stash", "store", "--quiet", "-m", entry.message, step.after, stdin=b"", **said)
            there.add(step.after)
    if moving:
        _drop(git, {step.before for _, step in moving})


def _drop(git: Git, gone: set[str]) -> None:
    listed = git.text("log", "-g", "--no-show-signature", "--format=%H", "refs/stash", "--").splitlines()
    for at in reversed(range(len(listed))):
        if listed[at] in gone:
            git.run("reflog", "delete", "--updateref", "--rewrite", f"refs/stash@{{{at}}}")


def _fetch(clone: Clone) -> list[str]:
    """The remote's branches as git itself sees them; then what was only for the move goes."""
    prune = [] if any(":refs/tags/" in spec for spec in fetched_specs(clone)) else ["--prune"]  # it would take tags of one's own away
    words = ["-c", "fetch.prune=false", "-c", "fetch.pruneTags=false", "-c", f"remote.{clone.remote}.prune=false"]
    words += ["-c", f"remote.{clone.remote}.pruneTags=false", "fetch", "--quiet", "--no-tags", *prune]
    warnings = []
    try:
        clone.git.run(*words, "--no-write-fetch-head", "--recurse-submodules=no", clone.remote)
    except ProcessError as error:
        if "couldn't find remote ref" not in error.stderr:
            text = f"{clone.remote} cannot be fetched: {last_words(error.stderr)}"
            raise SlimError(text, "branches are moved already; correct that, then run this again") from error
        warnings = [f"this clone fetches a branch that the new repository lacks: `git remote set-branches {clone.remote} '*'`"]
    if clone.git.ask("symbolic-ref", "--quiet", f"refs/remotes/{clone.remote}/HEAD"):
        clone.git.ask("remote", "set-head", clone.remote, "--auto")
    clone.git.set_refs({}, gone=[name for name in clone.git.refs() if name.startswith(AFTER)])
    return warnings

"""The part of the verification that is about refs: branches, tag objects, tagged trees, notes."""

from __future__ import annotations

from collections.abc import Mapping

from repo_slim.git import Git, Objects
from repo_slim.history import Change, steps
from repo_slim.oracle import Oracle

_MAP = "refs/builder/commit-map"


def check_refs(mirror: Git, slim: Git, commits: Mapping[str, str], oracle: Oracle, wrong: list[str]) -> None:
    """No ref is lost and none came up; each leads to what its old one leads to, renamed. HEAD too."""
    old, new = ({name: oid for name, oid in git.refs().items() if name != _MAP} for git in (mirror, slim))
    wrong += [f"{name} is lost" for name in sorted(old.keys() - new.keys())]
    wrong += [f"{name} is new" for name in sorted(new.keys() - old.keys())]
    with Objects(mirror) as before, Objects(slim) as after:
        for name in sorted(old.keys() & new.keys()):
            if not _same(old[name], new[name], before, after, commits, oracle):
                wrong.append(f"{name} is {new[name]}, which is not what {old[name]} became")
    head, new_head = mirror.head(), slim.head()
    if new_head != (head if head.startswith("refs/") else commits.get(head, "")):
        wrong.append(f"HEAD is {new_head}, and was {head}")


def _same(old: str, new: str, before: Objects, after: Objects, commits: Mapping[str, str], oracle: Oracle) -> bool:
    kind, data = before.read(old)
    if kind == "commit":
        return commits.get(old) == new
    if kind == "tree":
        return oracle.tree(old) == new
    if kind == "blob":
        return old == new
    new_kind, new_data = after.read(new)
    if new_kind != "tag" or not _same(data[7:47].decode(), new_data[7:47].decode(), before, after, commits, oracle):
        return False
    unchanged = data[:47] == new_data[:47]
    return data == new_data if unchanged else _same_tag(data[47:], new_data[47:])


def _same_tag(old: bytes, new: bytes) -> bool:
    """The same but for a signature, which no longer fits: a header `gpgsig`, or the end of the message."""
    (head, body), (new_head, new_body) = (_split(text) for text in (old, new))
    if head != new_head:
        return False
    return body == new_body or (body.startswith(new_body) and body[len(new_body) :].startswith(b"-----BEGIN "))


def _split(tag: bytes) -> tuple[list[bytes], bytes]:
    head, _, body = tag.partition(b"\n\n")
    lines, signed = [], False
    for line in head.split(b"\n"):
        signed = line.startswith(b"gpgsig") or (signed and line.startswith(b" "))
        if not signed:
            lines.append(line)
    return lines, body


def check_notes(mirror: Git, slim: Git, commits: Mapping[str, str], wrong: list[str]) -> None:
    """Every note is on the new name of what it was on, in every commit of its ref: each changes the same, from the first one on."""
    names = {**commits, **_tags(mirror, slim)}
    for ref, oid in mirror.refs().items():
        if not ref.startswith("refs/notes/") or oid not in commits:
            continue
        old = {step.commit: step for step in steps(mirror, oid)}
        new = {step.commit: step for step in steps(slim, commits[oid])}
        for sha, step in old.items():
            found = new.get(commits[sha])
            if found is None or found.parents != tuple(commits[parent] for parent in step.parents):
                wrong.append(f"{ref}: commit {sha} of the notes is lost, or has other parents")
            elif sorted(_renamed(change, names) for change in step.changes) != sorted(_flat(change) for change in found.changes):
                wrong.append(f"{ref}: the notes that commit {sha} changes are others in {commits[sha]}")
        _check_messages(mirror, slim, {sha: commits[sha] for sha in old}, ref, wrong)


def _check_messages(mirror: Git, slim: Git, notes: Mapping[str, str], ref: str, wrong: list[str]) -> None:
    with Objects(mirror) as before, Objects(slim) as after:
        for old, new in notes.items():
            if _people(before.read(old)[1]) != _people(after.read(new)[1]):
                wrong.append(f"{ref}: people, dates or message of {old} are others in {new}")


def _people(commit: bytes) -> tuple[list[bytes], bytes]:
    head, _, message = commit.partition(b"\n\n")
    return [line for line in head.split(b"\n") if line.startswith((b"author ", b"committer "))], message


def _tags(mirror: Git, slim: Git) -> dict[str, str]:
    """Old tag object -> new one, by their refs."""
    new = slim.refs()
    return {oid: new[name] for name, oid in mirror.refs().items() if name.startswith("refs/tags/") and name in new}


def _renamed(change: Change, names: Mapping[str, str]) -> tuple[bytes, tuple[int, ...], str, str]:
    path, lengths, mode, blob = _flat(change)
    return names.get(path.decode("ascii", "replace"), "").encode() or path, lengths, mode, blob


def _flat(change: Change) -> tuple[bytes, tuple[int, ...], str, str]:
    """The name without its slashes, where they were, and what is there afterwards."""
    path, _, _, mode, blob = change
    parts = path.split(b"/")
    return b"".join(parts), tuple(map(len, parts)), mode, blob

"""Stage six: every invariant, commit by commit, on what was rewritten. Nothing is published before all of them hold."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from repo_slim.archive import Entry
from repo_slim.errors import ProcessError, VerifyError
from repo_slim.git import Git, Objects
from repo_slim.oracle import Oracle
from repo_slim.progress import SILENT, Progress
from repo_slim.rules import Rules
from repo_slim.verify_refs import check_notes, check_refs

_SHA = re.compile(rb"\b[0-9a-f]{7,40}\b")
_KEPT = (b"tree", b"parent", b"author", b"committer", b"encoding")
_SHOWN = 5


@dataclass
class Findings:
    """`commits` and `trees` are how many were compared. What follows is said to people, and is no error.

    `unsigned`: commits whose signature is dropped. `left`: commits whose message has an old sha that stays. `headers`: other headers that
    are dropped, by name.
    """

    commits: int = 0
    changed: int = 0
    unsigned: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    headers: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def result(self) -> dict[str, Any]:
        """Raises VerifyError when anything is not as it must be."""
        if self.wrong:
            more = f"\n... and {len(self.wrong) - _SHOWN} more" if len(self.wrong) > _SHOWN else ""
            text = "the new history is not what the plan says:\n" + "\n".join(self.wrong[:_SHOWN]) + more
            raise VerifyError(text, "nothing was published and the source is untouched; please report this")
        return {key: value for key, value in asdict(self).items() if key != "wrong"}


def verify(
    mirror: Git,
    slim: Git,
    commits: Mapping[str, str],
    rules: Rules,
    entries: Sequence[Entry],
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Compares the two repositories. `commits` is the map, old -> new; `entries` is what the archive has.

    Returns what people should know. Raises VerifyError, which names the first few differences.
    """
    findings = Findings()
    sha256 = {entry.blob: entry.sha256 for entry in entries if entry.kind == "blob"}
    check_map(mirror, slim, commits, findings.wrong)
    with Oracle(mirror, rules, sha256) as oracle:
        check_commits(mirror, slim, commits, oracle, findings, progress)
        check_refs(mirror, slim, commits, oracle, findings.wrong)
    check_notes(mirror, slim, commits, findings.wrong)
    check_blobs(mirror, slim, rules, entries, findings.wrong)
    check_fsck(slim, findings.wrong)
    return findings.result()


def check_map(mirror: Git, slim: Git, commits: Mapping[str, str], wrong: list[str]) -> None:
    """The map has every old commit, and every new one comes from one."""
    old, new = ({*git.text("rev-list", *_OURS, "--all").split()} for git in (mirror, slim))
    wrong += [f"commit {sha} is not in the map" for sha in sorted(old - commits.keys())]
    wrong += [f"the map has {sha}, which the source has not" for sha in sorted(commits.keys() - old)]
    wrong += [f"commit {sha} of the new history comes from none" for sha in sorted(new ^ set(commits.values()))]


_OURS = ("--exclude=refs/builder/commit-map",)
"""Refs that are no history of the project."""


def check_commits(mirror: Git, slim: Git, commits: Mapping[str, str], oracle: Oracle, findings: Findings, progress: Progress) -> None:
    """Trees, parents, people, dates and messages of all commits but those of notes."""
    ordinary = mirror.text("rev-list", "--exclude=refs/notes/*", *_OURS, "--all").split()
    names = sorted(commits)
    with Objects(mirror) as old, Objects(slim) as new, progress.task("verifying", len(ordinary)) as advance:
        for number, sha in enumerate(ordinary):
            if sha not in commits:
                continue  # said already
            _check_commit(sha, old.read(sha)[1], new.read(commits[sha])[1], commits, names, oracle, findings)
            if number % 100 == 99:
                advance(100)
    findings.commits = len(ordinary)


def _check_commit(
    sha: str, old: bytes, new: bytes, commits: Mapping[str, str], names: list[str], oracle: Oracle, findings: Findings
) -> None:
    wrong = findings.wrong
    (head, said), (new_head, new_said) = _parts(old), _parts(new)
    expected = oracle.tree(head[0][1].decode())
    if new_head[0] != (b"tree", expected.encode()):
        wrong.append(f"commit {sha}: the tree is {new_head[0][1].decode()} and should be {expected}")
    if old == new:
        return
    findings.changed += 1
    wanted = [(key, _mapped(value, commits) if key == b"parent" else value) for key, value in head[1:] if key in _KEPT]
    if wanted != new_head[1:]:
        wrong.append(f"commit {sha}: parents, people or dates differ in {commits[sha]}")
    _note_dropped(sha, head, findings)
    if not _same_message(sha, said, new_said, commits, names, findings):
        wrong.append(f"commit {sha}: the message differs in {commits[sha]}")


def _note_dropped(sha: str, head: Sequence[tuple[bytes, bytes]], findings: Findings) -> None:
    for key, _ in head:
        if key.startswith(b"gpgsig"):
            findings.unsigned.append(sha)
        elif key not in _KEPT:
            name = key.decode("utf-8", "replace")
            findings.headers[name] = findings.headers.get(name, 0) + 1


def _parts(data: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers in their order (a line that begins with a space goes on with the one before), and the message."""
    head, _, message = data.partition(b"\n\n")
    found: list[tuple[bytes, bytes]] = []
    for line in head.split(b"\n"):
        if line.startswith(b" ") and found:
            found[-1] = (found[-1][0], found[-1][1] + b"\n" + line[1:])
        else:
            key, _, value = line.partition(b" ")
            found.append((key, value))
    return found, message


def _mapped(value: bytes, commits: Mapping[str, str]) -> bytes:
    return commits.get(value.decode("ascii", "replace"), "").encode()


def _same_message(sha: str, old: bytes, new: bytes, commits: Mapping[str, str], names: list[str], findings: Findings) -> bool:
    """The same text, in which the name of an old commit may be that of the new one, cut to the same length."""
    if _SHA.sub(b"", old) != _SHA.sub(b"", new):
        return False
    left = False
    for before, after in zip(_SHA.findall(old), _SHA.findall(new), strict=True):
        possible = {commits[name][: len(before)].encode() for name in _begin_with(before.decode(), names)}
        if before != after and after not in possible:
            return False
        left = left or (before == after and bool(possible - {before}))
    if left:
        findings.left.append(sha)
    return True


def _begin_with(prefix: str, names: list[str]) -> Iterator[str]:
    at = bisect_left(names, prefix)
    while at < len(names) and names[at].startswith(prefix):
        yield names[at]
        at += 1


def check_blobs(mirror: Git, slim: Git, rules: Rules, entries: Sequence[Entry], wrong: list[str]) -> None:
    """What the new history lacks is exactly what the archive says is gone, and nothing else is new but placeholders."""
    old, new = _blobs(mirror), _blobs(slim)
    archived = {entry.blob for entry in entries if entry.kind == "blob" and entry.gone}
    wrong += [f"blob {blob} is lost: it is neither in the new history nor in the archive" for blob in sorted(old - new - archived)]
    wrong += [f"blob {blob} should be gone, and the new history has it" for blob in sorted(archived & new)]
    wrong += [f"the archive has blob {blob}, which the source has not" for blob in sorted(archived - old)]
    if rules.replace != "placeholder":
        wrong += [f"blob {blob} of the new history is not of the source" for blob in sorted(new - old)]


def _blobs(git: Git) -> set[str]:
    only = ("--no-object-names", "--filter=object:type=blob", "--filter-provided-objects")
    return set(git.text("rev-list", "--objects", *only, *_OURS, "--all").split())


def check_fsck(slim: Git, wrong: list[str]) -> None:
    try:
        slim.run("fsck", "--full", "--no-dangling", "--no-progress")
    except ProcessError as error:
        wrong.append(f"`git fsck --full` of the new history: {error.stderr.strip()[:500]}")

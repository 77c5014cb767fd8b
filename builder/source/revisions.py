"""From a revision in any of git's spellings to a commit, and from commits to their parents."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from builder import process
from builder.errors import OldNameError, RevisionError, SourceError
from builder.model.tree import Commit
from builder.source.objects import GitObject, ObjectReader
from builder.source.old_names import SHORT, SPELLED, OldNames, Renamed

_FULL_SHA = re.compile(r"[0-9a-f]{40}\Z")
_PERSON = re.compile(r"(.*?) ?<[^>]*> (-?\d+) [+-]\d{4}\Z", re.DOTALL)


class Revisions:
    """Those of one clone, named `where` in what is said of it. `reader` reads its objects, `run` starts git in it.

    `tell` hears of names that commits had before the history was slimmed; where nobody listens, no remote is asked for these. What the
    methods promise is said in Git, which people use.
    """

    def __init__(
        self,
        git_dir: Path,
        where: Path,
        reader: Callable[[], AbstractContextManager[ObjectReader]],
        run: Callable[..., process.Completed],
        *,
        shallow: bool = False,
        tell: Callable[[str], object] | None = None,
    ) -> None:
        self._git_dir, self._where, self._reader, self._run, self._shallow, self._tell = git_dir, where, reader, run, shallow, tell
        self._commits: dict[str, Commit] = {}
        self._old_names = OldNames(git_dir, run, self._blob)
        self._told: set[Renamed] = set()

    def resolve(self, revision: str) -> Commit:
        found = self._find(revision)
        if found is None:
            return self._by_old_name(revision)
        return self._of_now(found) if self._spells(revision) else found

    def new_name(self, sha: str) -> str:
        new = self._old_names.new_name(sha)
        return "" if new == sha else new

    def commit(self, sha: str) -> Commit:
        found = self._commits.get(sha) or self._find(sha)
        if found is None:
            raise self._unknown(sha)
        return found

    def _find(self, revision: str) -> Commit | None:
        if not revision or "\n" in revision or "\0" in revision:
            raise RevisionError(f"{revision!r} is not a revision")
        # `^{commit}` looks through tags, and decides between objects with the same first digits. After `:/` it would be part of the text.
        name = revision if revision.startswith(":/") else f"{revision}^{{commit}}"
        with self._reader() as reader:
            try:
                found = reader.find(name)
            except SourceError as error:
                raise RevisionError(error.message, error.hint) from error
        return None if found is None or found.kind != "commit" else self._remember(found)

    def _by_old_name(self, revision: str) -> Commit:
        match = SPELLED.match(revision)
        renamed = self._old_names.find(match[1], fetch=self._tell is not None) if match else None
        if match is None or renamed is None:
            raise self._unknown(revision, match[1] if match else "")
        commit = self._find(renamed.new + match[2])
        if commit is None:
            text = f"{renamed.old[:7]} is now {renamed.new[:7]}, and this clone has no {renamed.new[:12]}{match[2]}"
            raise OldNameError(text, self._how_to_find(renamed.new))
        self._say(renamed)
        return commit

    def _spells(self, revision: str) -> bool:
        """Whether it begins with the name of a commit, and not with that of a branch."""
        digits = re.match(r"[0-9a-f]{4,40}(?=[~^]|\Z)", revision)
        found = self._find(digits[0]) if digits else None
        return bool(digits and found and found.sha.startswith(digits[0]))

    def _of_now(self, commit: Commit) -> Commit:
        """The commit that took this one's place when the history was slimmed; itself where none did, or this clone does not have that."""
        new = self._old_names.new_name(commit.sha)
        found = self._find(new) if _FULL_SHA.match(new) else None
        if found:
            self._say(Renamed(commit.sha, new))
        return found or commit

    def _say(self, renamed: Renamed) -> None:
        if self._tell and renamed.old != renamed.new and renamed not in self._told:
            self._told.add(renamed)
            self._tell(f"{renamed.old[:7]} is now {renamed.new[:7]}")

    def _blob(self, name: str) -> bytes | None:
        with self._reader() as reader:
            found = reader.find(name)
        return found.data if found and found.kind == "blob" else None

    def parents(self, commit: Commit, most: int) -> list[Commit]:
        if self._shallow and commit.sha in self._shallow_ends():
            return []  # only looking would make git fetch it, with all of its history, if the clone is partial too
        found = []
        for sha in commit.parents[:most]:
            with suppress(RevisionError):
                found.append(self.commit(sha))
        return found

    def _shallow_ends(self) -> list[str]:
        """Read anew each time: a fetch may have deepened the clone."""
        try:
            return (self._git_dir / "shallow").read_text().split()
        except FileNotFoundError:
            return []

    def _remember(self, found: GitObject) -> Commit:
        commit = parse_commit(found)
        self._commits[commit.sha] = commit
        return commit

    def _unknown(self, revision: str, digits: str = "") -> RevisionError:
        """`digits`: what may have been meant as a commit's name."""
        if not _FULL_SHA.match(revision) and self._is_new(revision):
            text = f"there is no commit yet on the current branch of {self._where}"
            return RevisionError(text, "commit something: `git add` what belongs to it, then `git commit`")
        text = f"no commit is named {revision!r} in {self._where}"
        if digits and self._old_names.unreachable:
            text += f", and the map of old names could not be asked for ({self._old_names.unreachable})"
        short = "; a name from before slim-repo needs 7 digits or more" if SHORT.match(revision) else ""
        return RevisionError(text, self._near(digits) + self._how_to_find(revision) + short)

    def _near(self, digits: str) -> str:
        names = self._run("rev-list", "--all", check=False).text.split() if digits else []
        near = [name[:12] for name in self._old_names.near(digits, names)] if digits else []
        return f"did you mean {' or '.join(near)}? If not: " if near else ""

    def _is_new(self, revision: str) -> bool:
        unborn = self._run("rev-parse", "--verify", "--quiet", "HEAD", check=False).returncode != 0
        return unborn and (revision == "HEAD" or not self._run("for-each-ref", "--count=1").stdout)

    def _how_to_find(self, revision: str) -> str:
        if self._shallow:
            return "this clone is shallow: `git fetch --unshallow` brings the rest of the history"
        if _FULL_SHA.match(revision):
            return "`git fetch origin " + revision + "` brings it, if a remote has it"
        return "`git branch -a` and `git tag` list the names; `git fetch` brings new ones"


def parse_commit(found: GitObject) -> Commit:
    """Reads a commit object (git help cat-file; the format is fixed)."""
    head, _, message = found.data.partition(b"\n\n")
    tree, date, author, parents = "", 0, "", []
    for line in head.split(b"\n"):
        key, _, value = line.partition(b" ")
        if key == b"tree":
            tree = value.decode()
        elif key == b"parent":
            parents.append(value.decode())
        elif key == b"author":
            author = _person(value)[0]
        elif key == b"committer":
            date = _person(value)[1]
    subject = message.decode("utf-8", "replace").strip().partition("\n")[0]
    return Commit(found.oid, tree, tuple(parents), date, author, subject)


def _person(value: bytes) -> tuple[str, int]:
    match = _PERSON.match(value.decode("utf-8", "replace"))
    return (match[1], int(match[2])) if match else ("", 0)

"""One git repository, opened for reading: revisions to commits, commits to files, files to bytes.

Everything goes through a few `git cat-file --batch` processes; GitPython is for porcelain elsewhere (it takes 140 ms to import).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from builder import process
from builder.errors import OldNameError, RevisionError, SourceError
from builder.model.tree import SUBMODULE, Commit, Entry
from builder.source import paths, sizes, submodules
from builder.source.objects import GitObject, ObjectReader, ReaderPool, git_environment
from builder.source.old_names import SHORT, SPELLED, OldNames, Renamed
from builder.source.partial import PromisedBlobs
from builder.source.trees import TreeCache

_FULL_SHA = re.compile(r"[0-9a-f]{40}\Z")
_PERSON = re.compile(r"(.*?) ?<[^>]*> (-?\d+) [+-]\d{4}\Z", re.DOTALL)


class Git:
    """A repository, a worktree of one, or a bare one. Close it, or use it in a `with` statement.

    `git_dir` is the directory that holds the objects, `own_dir` the one of this worktree (mostly the same);
    `top` is the root of the working tree, None in a bare repository.
    """

    def __init__(self, git_dir: Path, top: Path | None, *, shallow: bool = False, worktree_dir: Path | None = None) -> None:
        self.git_dir = git_dir
        self.own_dir = worktree_dir or git_dir
        self.top = top
        self.shallow = shallow
        # HEAD and other revisions are looked up where the worktree keeps them; objects are shared.
        self._pool = ReaderPool(self.own_dir)
        self._promised = PromisedBlobs(git_dir)
        self._trees = TreeCache()
        self._commits: dict[str, Commit] = {}
        self._submodules: dict[bytes, Git] = {}  # by their git directories
        self._names: dict[str, dict[bytes, str]] = {}  # by the oid of .gitmodules
        self._old_names = OldNames(git_dir, self.run, self._blob)
        self._tell: Callable[[str], object] | None = None
        self._told: set[Renamed] = set()

    @classmethod
    def open(cls, start: Path, tell: Callable[[str], object] | None = None) -> Git:
        """The repository that holds the directory `start`. Raises SourceError when there is none, or it uses sha256 names.

        `tell` hears of names that commits had before the history was slimmed; where nobody listens, no remote is asked for these.
        """
        asked = ("--absolute-git-dir", "--git-common-dir", "--is-shallow-repository", "--show-object-format", "--show-toplevel")
        argv = ["git", "-C", str(start), "rev-parse", "--path-format=absolute", *asked]
        done = process.run(argv, env=git_environment(), check=False)
        lines = done.text.splitlines()
        if len(lines) < len(asked) - 1:
            raise SourceError(f"{start} is not in a git repository: {_last_line(done.stderr)}", "name one with --repo DIR")
        own, common, shallow, form = lines[: len(asked) - 1]
        if form != "sha1":
            raise SourceError(f"{start}: repositories with {form} object names are not supported yet", "use one with sha1 names")
        top = Path(lines[len(asked) - 1]) if done.returncode == 0 and len(lines) == len(asked) else None
        git = cls(Path(common), top, shallow=shallow == "true", worktree_dir=Path(own))
        git._pool.warm()
        git._tell = tell
        return git

    def __enter__(self) -> Git:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._pool.close()
        for module in self._submodules.values():
            module.close()

    def run(self, *argv: str, stdin: bytes = b"", check: bool = True) -> process.Completed:
        """A git command in this repository (in its working tree, where there is one)."""
        where = ["-C", str(self.top)] if self.top else ["--git-dir", str(self.git_dir)]
        return process.run(["git", *where, *argv], env=git_environment(), stdin=stdin, check=check)

    @contextmanager
    def reader(self) -> Iterator[ObjectReader]:
        """A reader of objects, for this thread alone while in the `with` statement."""
        with self._pool.reader() as reader:
            yield reader

    def resolve(self, revision: str) -> Commit:
        """The commit that a revision names, in any of git's spellings, or by a name that it had before the history was slimmed.

        Such a name means the same in every clone, also where the commit of before is still there. Raises RevisionError when there is none.
        """
        found = self._find(revision)
        if found is None:
            return self._by_old_name(revision)
        return self._of_now(found) if self._spells(revision) else found

    def new_name(self, sha: str) -> str:
        """What a commit of before the slimming is called now, as far as this clone knows; empty for any other."""
        new = self._old_names.new_name(sha)
        return "" if new == sha else new

    def commit(self, sha: str) -> Commit:
        """By its 40 hex digits. Raises RevisionError when this clone lacks it."""
        found = self._commits.get(sha) or self._find(sha)
        if found is None:
            raise self._unknown(sha)
        return found

    def _find(self, revision: str) -> Commit | None:
        if not revision or "\n" in revision or "\0" in revision:
            raise RevisionError(f"{revision!r} is not a revision")
        # `^{commit}` looks through tags, and decides between objects with the same first digits. After `:/` it would be part of the text.
        name = revision if revision.startswith(":/") else f"{revision}^{{commit}}"
        with self.reader() as reader:
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
        with self.reader() as reader:
            found = reader.find(name)
        return found.data if found and found.kind == "blob" else None

    def parents(self, commit: Commit, most: int = 2) -> list[Commit]:
        """The first of its parents, those that this clone has. Where a shallow clone ends there are none."""
        if self.shallow and commit.sha in self._shallow_ends():
            return []  # only looking would make git fetch it, with all of its history, if the clone is partial too
        found = []
        for sha in commit.parents[:most]:
            with suppress(RevisionError):
                found.append(self.commit(sha))
        return found

    def ancestors(self, commit: Commit) -> Iterator[Commit]:
        """First parents from the nearest on, as far as this clone reaches."""
        while parents := self.parents(commit, 1):
            commit = parents[0]
            yield commit

    def entries(self, commit: Commit, *, submodules: bool = False) -> tuple[Entry, ...]:
        """Every file of the commit, sorted by path.

        With `submodules` their files stand in their places, read from the clones that `git submodule update` makes
        (SourceError naming the path when one's commit is absent); without, they are left out.
        """
        with self.reader() as reader:
            self._trees.load(reader, commit.tree)
        flat = self._trees.flatten(commit.tree)
        links = [entry for entry in flat if entry.mode == SUBMODULE]
        if not links:
            return tuple(flat)
        if not submodules:
            return tuple(entry for entry in flat if entry.mode != SUBMODULE)
        names = self._module_names(flat)
        return tuple(file for entry in flat for file in (self._inside(entry, names) if entry.mode == SUBMODULE else (entry,)))

    def read(self, entry: Entry) -> bytes:
        """The whole content of one file."""
        with self.home(entry).reader() as reader:
            return b"".join(found.data for found in reader.objects([entry.oid]))

    def read_path(self, commit: Commit, path: str) -> bytes | None:
        """The content of one path of a commit; None when there is no such file. One link is followed, inside of the commit."""
        with self.reader() as reader:
            return paths.read_path(reader, commit, path)

    def stream(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, int, Iterator[bytes]]]:
        """Each file with its size and its content in chunks, in order; each must be read before the next is taken."""
        for home, group in _runs_of_home(entries):
            with self._at(home).reader() as reader:
                for entry, blob in zip(group, reader.blobs(entry.oid for entry in group), strict=True):
                    yield entry, blob.size, blob.chunks

    def sizes(self, entries: Iterable[Entry]) -> dict[str, int]:
        """oid -> size in bytes of each file's blob. In a partial clone, `fetch_missing` first."""
        found: dict[str, int] = {}
        for home, group in _runs_of_home(sorted(entries, key=lambda entry: entry.home)):
            oids = [entry.oid for entry in group]
            if len(oids) > sizes.FEW:
                found |= sizes.ask_sizes(self._at(home).git_dir, oids)
            else:
                with self._at(home).reader() as reader:
                    found |= sizes.read_sizes(reader, oids)
        return found

    def fetch_missing(self, commit: Commit, entries: Iterable[Entry]) -> int:
        """In a partial clone, gets the absent blobs of these files in one request; returns how many. Elsewhere does nothing."""
        return self._promised.fetch(commit.tree, [entry.oid for entry in entries if not entry.home])

    def at_hand(self, commit: Commit, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Those of the files whose blobs are here: in a partial clone not all."""
        absent = self._promised.absent(commit.tree)
        return [entry for entry in entries if entry.home or entry.oid not in absent] if absent else entries

    def _shallow_ends(self) -> list[str]:
        """Read anew each time: a fetch may have deepened the clone."""
        try:
            return (self.git_dir / "shallow").read_text().split()
        except FileNotFoundError:
            return []

    def _remember(self, found: GitObject) -> Commit:
        commit = parse_commit(found)
        self._commits[commit.sha] = commit
        return commit

    def home(self, entry: Entry) -> Git:
        """The repository that holds the file: this one, or a submodule's."""
        return self._at(entry.home)

    def _at(self, home: bytes) -> Git:
        return self._submodules[home] if home else self

    def _module_names(self, entries: Iterable[Entry]) -> dict[bytes, str]:
        modules = next((entry for entry in entries if entry.path == b".gitmodules"), None)
        if modules is None:
            return {}
        if modules.oid not in self._names:
            self._names[modules.oid] = submodules.names(self, modules)
        return self._names[modules.oid]

    def _inside(self, link: Entry, names: Mapping[bytes, str]) -> Iterator[Entry]:
        name = names.get(link.path) or link.path.decode("utf-8", "surrogateescape")
        directory = submodules.directory(self, link, name)
        home = os.fsencode(directory)  # not the path: another commit may have another submodule there
        module = self._submodules.get(home)
        if module is None:
            module = self._submodules[home] = Git(directory, None)
        try:
            inner = module.commit(link.oid)
        except RevisionError as error:
            raise submodules.absent(link) from error
        for entry in module.entries(inner, submodules=True):
            if entry.home:
                self._submodules[entry.home] = module._submodules[entry.home]
            yield Entry(link.path + b"/" + entry.path, entry.mode, entry.oid, entry.home or home)

    def _unknown(self, revision: str, digits: str = "") -> RevisionError:
        """`digits`: what may have been meant as a commit's name."""
        where = self.top or self.git_dir
        if not _FULL_SHA.match(revision) and self._is_new(revision):
            text = f"there is no commit yet on the current branch of {where}"
            return RevisionError(text, "commit something: `git add` what belongs to it, then `git commit`")
        text = f"no commit is named {revision!r} in {where}"
        if digits and self._old_names.unreachable:
            text += f", and the map of old names could not be asked for ({self._old_names.unreachable})"
        short = "; a name from before slim-repo needs 7 digits or more" if SHORT.match(revision) else ""
        return RevisionError(text, self._near(digits) + self._how_to_find(revision) + short)

    def _near(self, digits: str) -> str:
        names = self.run("rev-list", "--all", check=False).text.split() if digits else []
        near = [name[:12] for name in self._old_names.near(digits, names)] if digits else []
        return f"did you mean {' or '.join(near)}? If not: " if near else ""

    def _is_new(self, revision: str) -> bool:
        unborn = self.run("rev-parse", "--verify", "--quiet", "HEAD", check=False).returncode != 0
        return unborn and (revision == "HEAD" or not self.run("for-each-ref", "--count=1").stdout)

    def _how_to_find(self, revision: str) -> str:
        if self.shallow:
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


def _runs_of_home(entries: Iterable[Entry]) -> Iterator[tuple[bytes, list[Entry]]]:
    run: list[Entry] = []
    for entry in entries:
        if run and run[-1].home != entry.home:
            yield run[-1].home, run
            run = []
        run.append(entry)
    if run:
        yield run[-1].home, run


def _last_line(text: bytes) -> str:
    lines = text.decode("utf-8", "replace").strip().splitlines()
    return lines[-1].removeprefix("fatal: ") if lines else ""

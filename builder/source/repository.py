"""One git repository, opened for reading: revisions to commits, commits to files, files to bytes.

Everything goes through a few `git cat-file --batch` processes; GitPython is for porcelain elsewhere (it takes 140 ms to import).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from builder import process
from builder.errors import RevisionError, SourceError
from builder.model.tree import SUBMODULE, Commit, Entry
from builder.source import paths, sizes, submodules
from builder.source.objects import ObjectReader, ReaderPool, git_environment
from builder.source.partial import PromisedBlobs
from builder.source.revisions import Revisions
from builder.source.trees import TreeCache


class Git:
    """A repository, a worktree of one, or a bare one. Close it, or use it in a `with` statement.

    `git_dir` is the directory that holds the objects, `own_dir` the one of this worktree (mostly the same);
    `top` is the root of the working tree, None in a bare repository.
    """

    def __init__(
        self,
        git_dir: Path,
        top: Path | None,
        *,
        shallow: bool = False,
        worktree_dir: Path | None = None,
        tell: Callable[[str], object] | None = None,
    ) -> None:
        self.git_dir = git_dir
        self.own_dir = worktree_dir or git_dir
        self.top = top
        self.shallow = shallow
        # HEAD and other revisions are looked up where the worktree keeps them; objects are shared.
        self._pool = ReaderPool(self.own_dir)
        self._promised = PromisedBlobs(git_dir)
        self._trees = TreeCache()
        self._submodules: dict[bytes, Git] = {}  # by their git directories
        self._names: dict[str, dict[bytes, str]] = {}  # by the oid of .gitmodules
        self._revisions = Revisions(git_dir, top or git_dir, self.reader, self.run, shallow=shallow, tell=tell)

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
        git = cls(Path(common), top, shallow=shallow == "true", worktree_dir=Path(own), tell=tell)
        git._pool.warm()
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
        return self._revisions.resolve(revision)

    def new_name(self, sha: str) -> str:
        """What a commit of before the slimming is called now, as far as this clone knows; empty for any other."""
        return self._revisions.new_name(sha)

    def commit(self, sha: str) -> Commit:
        """By its 40 hex digits. Raises RevisionError when this clone lacks it."""
        return self._revisions.commit(sha)

    def parents(self, commit: Commit, most: int = 2) -> list[Commit]:
        """The first of its parents, those that this clone has. Where a shallow clone ends there are none."""
        return self._revisions.parents(commit, most)

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

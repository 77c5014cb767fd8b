"""What commands that read runs share: the settings in force, the ledger, git and the cluster, each opened when it is first needed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from builder.cli import output, wiring
from builder.errors import BuilderError, SettingsError, SourceError, UsageError

_FEW = 4  # digits of a name that may stand for it

if TYPE_CHECKING:
    from builder.cli.making import Maker
    from builder.cluster.interface import Cluster
    from builder.data.interface import Objects
    from builder.data.ledger import Ledger
    from builder.runs.history import Filter, Seen
    from builder.runs.words import Sources
    from builder.settings import Settings
    from builder.source.repository import Git
    from builder.stores.interface import Store


class Reader:
    """Reads only: neither the ledger nor anything else is written."""

    def __init__(self, start: Path, settings: Settings | None = None) -> None:
        self.start = start
        self.settings = settings or _readable_settings(start)

    @classmethod
    def beside(cls, maker: Maker) -> Reader:
        """With the repository and the store that are open already; they are not its to close."""
        reader = cls(maker.start, maker.settings)
        reader.__dict__.update(git=maker.git, store=maker.store)
        return reader

    @cached_property
    def objects(self) -> Objects:
        from builder.data.open import open_root
        from builder.runs.prepare import data_of

        data = data_of(self.settings)
        return open_root(data.root, self.start, data.endpoint)

    @cached_property
    def ledger(self) -> Ledger:
        from builder.cache import cache_root
        from builder.data.ledger import Ledger

        return Ledger(self.objects, cache_root(os.environ) / "ledger")

    @cached_property
    def git(self) -> Git:
        """Raises SourceError when there is no repository here."""
        from builder.source.repository import Git

        return Git.open(self.start, output.note)

    @cached_property
    def maybe_git(self) -> Git | None:
        try:
            return self.git
        except SourceError:
            return None

    @cached_property
    def store(self) -> Store:
        return wiring.open_store("", self.settings)

    def read_file(self, path: str) -> bytes | None:
        """A file of the working tree, by its path from the repository's root."""
        from builder.steps.config import read_file

        git = self.maybe_git
        return read_file(git.top if git and git.top else self.settings.root, path)

    def connect(self) -> Cluster:
        """Raises ClusterError when nothing says where a cluster is."""
        return self.cluster

    @cached_property
    def cluster(self) -> Cluster:
        from builder.cluster.kubernetes import connect

        return connect(self.settings.deploy.namespace, self.settings.deploy.context)

    @property
    def sources(self) -> Sources:
        from builder.cli.person import who
        from builder.runs.words import Sources

        return Sources(self.objects, self.ledger, self.connect, who())

    def runs(self, wanted: Filter, last: int | None = None) -> list[Seen]:
        """As they stand now, the one that was started last first."""
        from builder.runs.history import runs_of
        from builder.runs.reconcile import reconcile

        return reconcile(runs_of(self.ledger, wanted, last, output.warn), self.connect, output.warn)

    def run(self, name: str) -> Seen | None:
        """One run as it stands now; None when nothing is known of it."""
        from builder.runs.history import Seen
        from builder.runs.reconcile import reconcile

        records = self.ledger.read(name)
        return reconcile([Seen.of(name, records)], self.connect, output.warn)[0] if records else None

    def last_run(self) -> str:
        """The name of the last run of whoever asks. Raises UsageError when there is none."""
        from builder.cli.person import who
        from builder.runs.lookup import last_run

        found = last_run(self.ledger, who())
        if not found:
            raise UsageError("there is no run yet", "`builder run FLOW` starts one; `builder show REV` explains a commit")
        return found

    def known_run(self, name: str) -> Seen:
        """As `run`; the last digits of its name will do where they are those of no other, and no name is the last run.

        Raises UsageError naming what is near.
        """
        name = name or self.last_run()
        found = self.run(name) if _is_name(name) else None
        if found is not None:
            return found
        runs = self._names()
        same = [run for run in runs if len(name) >= _FEW and run.endswith(name)]
        if len(same) == 1 and (found := self.run(same[0])) is not None:
            return found
        raise UsageError(f"there is no run {name} in {self.objects.name}", _near(name, runs))

    def _names(self) -> list[str]:
        from builder.runs.history import Filter, runs_of

        return [seen.run for seen in runs_of(self.ledger, Filter())]

    def close(self) -> None:
        for name in ("git", "store"):
            if name in self.__dict__:
                self.__dict__[name].close()


def _readable_settings(start: Path) -> Settings:
    """Those in force; while somebody edits them, and they cannot be read, those of the last commit: runs must be seen and stopped."""
    try:
        return wiring.load_settings(start)
    except SettingsError as error:
        committed = _committed_settings(start)
        if committed is None:
            raise
        output.warn(f"{error.message}; until that is mended, settings of the last commit count")
        return committed


def _committed_settings(start: Path) -> Settings | None:
    from builder.settings import load
    from builder.source.repository import Git

    try:
        with Git.open(start) as git:
            head, top = git.resolve("HEAD"), git.top or start

            def read(path: Path) -> bytes | None:
                return git.read_path(head, path.relative_to(top).as_posix()) if path.is_relative_to(top) else None

            return load(start.resolve(), os.environ, read)
    except BuilderError:
        return None


def _near(name: str, runs: Sequence[str]) -> str:
    import difflib

    near = [run for run in runs if name and (run.startswith(name) or run.endswith(name))] or difflib.get_close_matches(name, runs, 3)
    return f"did you mean {' or '.join(near[:3])}?" if near else "`builder status` lists them"


def _is_name(text: str) -> bool:
    from builder.data.keys import is_plain_name

    return is_plain_name(text)


@contextmanager
def reading(repo: Path | None = None) -> Iterator[Reader]:
    reader = Reader((repo or Path.cwd()).absolute())
    try:
        yield reader
    finally:
        reader.close()

"""`builder image --report`: the forge is told what became of each commit. Also what a fork's build without credentials says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from builder.cli import output, wiring
from builder.errors import AuthError, BuilderError, SourceError

if TYPE_CHECKING:
    from builder.cli.making import Maker
    from builder.forge.report import Build, Told
    from builder.forge.wording import Outcome
    from builder.model.image import BuiltImage
    from builder.model.tree import Commit

_SHOWN = 5


class Reporter:
    """Sees the images of one build as they are made. `missing`: the built commit's first parents belong to the build, too."""

    def __init__(self, maker: Maker, revision: str, *, missing: bool) -> None:
        self._maker, self._revision, self._missing = maker, revision, missing
        self._made: dict[str, BuiltImage] = {}
        self._refused = ""

    def watch(self, images: Iterable[BuiltImage]) -> Iterator[BuiltImage]:
        """The same images. In the build of a fork's pull request they end, with a warning, where a registry refuses its credentials."""
        try:
            for image in images:
                self._made[image.commit.sha] = image
                yield image
        except AuthError as error:
            here = wiring.build_here()
            if not here.fork:
                raise
            self._refused = error.message
            self._explain(here.pull)

    def _explain(self, pull: int) -> None:
        left = [commit.sha for commit in self._unmade()] or [self._head().sha]
        listed = ", ".join(sha[:12] for sha in left[:_SHOWN]) + (f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else "")
        output.warn(self._refused)
        output.note(f"this is the build of a fork's pull request, which has no credentials: no image of {listed}; that is no failure")
        fetch = f"git fetch origin pull/{pull}/head && builder image --missing --commit FETCH_HEAD"
        output.note(f"next: a maintainer makes them: {fetch if pull else f'builder image --missing --commit {left[-1][:12]}'}")

    def _unmade(self) -> list[Commit]:
        return [commit for commit in self._maker.wanted if commit.sha not in self._made and commit.sha not in self._maker.skipped]

    def _head(self) -> Commit:
        return self._maker.git.resolve(self._revision)

    def tell(self) -> None:
        """What goes wrong is a warning: the images are made."""
        from builder.forge.report import tell

        for sentence in wiring.build_here().wrong:
            output.warn(f"{sentence}; it is left out of the report")
        try:
            self._say(tell(wiring.open_forge(self._maker.settings, remote_of(self._maker)), self._build()))
        except BuilderError as error:
            output.warn(f"not reported: {error.message}")
            if error.hint:
                output.note(error.hint)

    def _say(self, told: Told) -> None:
        statuses = "1 status" if told.statuses == 1 else f"{told.statuses} statuses"
        comments = [f"the comment on pull request {number}: {done}" for number, done in told.comments.items()]
        output.note("; ".join([f"reported: {statuses}", *comments]))
        if told.unknown:
            listed = ", ".join(sha[:12] for sha in told.unknown[:_SHOWN])
            output.note(f"{output.plural(len(told.unknown), 'commit')} not at the forge, so without a status: {listed}")

    def _build(self) -> Build:
        from builder.forge.report import Build

        head = self._head()
        line: Iterable[str] = (head.sha,)
        if self._missing:
            line = (commit.sha for commit in (head, *self._maker.git.ancestors(head)))
        return Build(dict(self._outcomes()), line, wiring.build_here(), self._find)

    def _outcomes(self) -> Iterator[tuple[str, Outcome]]:
        """Of what this build made, or could not make; newest first."""
        from builder.forge.wording import Cost, Outcome

        for commit in reversed(self._maker.wanted):
            sha, image = commit.sha, self._made.get(commit.sha)
            if sha in self._maker.skipped:
                yield sha, Outcome(sha, why=self._maker.skipped[sha])
            elif image and not image.existed:
                yield sha, Outcome(sha, image.digest, Cost(image.new_bytes, image.seconds), run=self._lines(sha))
            elif not image and self._refused:
                yield sha, Outcome(sha, why="the build of a fork has no credentials; a maintainer can make it", waits=True)

    def _find(self, sha: str) -> Outcome:
        from builder.forge.wording import Outcome
        from builder.image.report import own_manifest

        with suppress(AuthError):
            stored = self._maker.store.get_manifest(sha)
            if stored and own_manifest(stored):
                return Outcome(sha, stored.digest, run=self._lines(sha))
        return Outcome(sha, why="`builder run` makes it when it is asked for", waits=True)

    def _lines(self, sha: str) -> tuple[str, ...]:
        """What to paste, for each flow of the built commit."""
        from builder.settings.keeping import is_keeper

        flows = self._maker.settings_at(self._head()).flow
        short = self._maker.git.run("rev-parse", "--short=7", sha, check=False).text.strip() or sha[:7]
        return tuple(f"builder {name}@{short}" for name, flow in sorted(flows.items()) if not is_keeper(name, flow))


@contextmanager
def reporting(maker: Maker, revision: str, *, missing: bool, report: bool) -> Iterator[Reporter]:
    """Reports at the end, if asked to; also of what was made before something failed."""
    reporter = Reporter(maker, revision, missing=missing)
    try:
        yield reporter
    except Exception:
        if report:
            reporter.tell()
        raise
    if report:
        reporter.tell()


def remote_of(maker: Maker) -> str:
    """The URL that the clone came from; empty where there is none, or nothing says which."""
    from builder.source.remotes import preferred_remote

    with suppress(SourceError):
        return maker.git.run("remote", "get-url", preferred_remote(maker.git), check=False).text.strip()
    return ""

"""What `builder image`, `run` and `demo` share: a repository, the settings of each commit, a store, and images made from them.

Often there is nothing to make, so what makes images is only imported when it is needed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from builder.cli import output, wiring
from builder.errors import BlobUnknownError, BuilderError, DepsError, SettingsError, UsageError
from builder.image.report import count_as_sent, existing_image, settings_key
from builder.model.annotations import BASE_NAME, SETTINGS
from builder.model.image import BuiltImage
from builder.model.tree import Commit
from builder.settings import ImageSettings, Settings, at_commit
from builder.settings.keeping import kept_since
from builder.source.repository import Git
from builder.stores.interface import Store

if TYPE_CHECKING:
    from builder.image.compose import Inputs
    from builder.image.prepare import Workshop
    from builder.stores.layout import LayoutStore


class Maker:
    """Makes images of one repository's commits in one store.

    `to` names the store as the command line did; `base`, unless empty, replaces `[image] base`;
    `start` is where the settings were found from.
    """

    def __init__(
        self,
        git: Git,
        settings: Settings,
        store: Store,
        to: str,
        *,
        base: str = "",
        refresh: bool = False,
        dry_run: bool = False,
        start: Path | None = None,
    ) -> None:
        self.git = git
        self.settings = settings
        self.store = store
        self.start = start or settings.root
        self._base = base
        self._refresh = refresh
        self._dry_run = dry_run
        self._to = to
        self._workshop: Workshop | None = None
        self._said: set[str] = set()
        self._sent: set[str] = set()
        self._answers: dict[str, bool] = {}
        self.wanted: tuple[Commit, ...] = ()
        """Commits that an image was asked of, oldest first: of `missing` those that have none."""
        self.skipped: dict[str, str] = {}
        """Commits that `missing` could not make an image of, by their sha, and why."""
        self.gaps: frozenset[str] = frozenset()
        """Those of `wanted` above which there are images: a build has told of them already, or people do without."""
        self.unmade: list[str] = []
        """What a dry run left out, as it is not made yet: then digests are not those of the real run."""

    @property
    def workshop(self) -> Workshop:
        """Where images are made."""
        self._workshop = self._workshop or wiring.workshop(self.store, self._to, self.settings, self._sent.add)
        return self._workshop

    @property
    def gaps_since(self) -> float:
        """Seconds since 1970. Images of older commits may be missing as clean-up has removed them."""
        return kept_since(self.settings.gc.keep_days, time.time())

    def one(self, revision: str) -> BuiltImage:
        commit = self.git.resolve(revision)
        self.wanted = (commit,)
        if revision == "HEAD" and self.image_settings(commit) != self._with_base(self.settings.image):
            self.say_once("[image] in the working tree is not the commit's, which counts; commit it, or use --dirty", output.note)
        return self.make(commit)

    def working_tree(self, include: Sequence[str] = ()) -> BuiltImage:
        from builder.source.snapshot import take_snapshot

        snapshot = take_snapshot(self.git, include, keep=not self._dry_run)
        output.note(f"the working tree is {snapshot.describe()}: {snapshot.commit.sha[:12]}")
        return self.make(snapshot.commit)

    def missing(self, revision: str, since: str = "") -> Iterator[BuiltImage]:
        """Oldest first, each on top of the one before it."""
        try:
            yield from self._missing(revision, since)
        except BlobUnknownError:
            self._doubt()
            yield from self._missing(revision, since)

    def _missing(self, revision: str, since: str) -> Iterator[BuiltImage]:
        from builder.image.build import build_images
        from builder.image.missing import find_missing

        last = self.git.resolve(since) if since else None
        found = find_missing(self.git, self.store, self.git.resolve(revision), last, gaps_since=self.gaps_since)
        count = output.plural(len(found.commits), "commit") if found.commits else "no commit is"
        output.note(f"{count} without an image; the search ended at {found.stopped}")
        self.wanted, self.gaps = found.commits, found.gaps
        for image in build_images(self.git, self.store, self._with_inputs(found.commits), skip=self._skip):
            yield self._count_below(image)

    def _with_inputs(self, commits: Iterable[Commit]) -> Iterator[tuple[Commit, Inputs]]:
        """Leaves out commits whose own settings or dependencies cannot be used: one of them must not hold up all after it."""
        for commit in commits:
            if inputs := self._inputs_or_skip(commit):
                yield commit, inputs

    def _inputs_or_skip(self, commit: Commit) -> Inputs | None:
        try:
            return self._inputs(commit, self.image_settings(commit))
        except (SettingsError, DepsError) as error:
            self._skip(commit, error)
            return None

    def _skip(self, commit: Commit, error: BuilderError) -> None:
        self.skipped[commit.sha] = error.message
        output.warn(f"{commit.sha[:12]} {commit.subject[:60]}: skipped: {error.message}")

    def make(self, commit: Commit) -> BuiltImage:
        """The commit's image: the one that is there, unless `refresh` is asked for, else a new one."""
        asked, began = self.store.requests, time.monotonic()
        image = self._find_or_make(commit)
        return replace(image, requests=self.store.requests - asked, seconds=time.monotonic() - began)

    def _find_or_make(self, commit: Commit) -> BuiltImage:
        settings = self.image_settings(commit)
        if not self._refresh and (found := existing_image(self.store, commit, commit.sha)):
            self._say_if_other(found, settings)
            return found
        return self._make_new(commit, settings)

    def image_settings(self, commit: Commit) -> ImageSettings:
        return self._with_base(self.settings_at(commit).image)

    def _with_base(self, settings: ImageSettings) -> ImageSettings:
        """[image] python was found in the base that is replaced; it stands only where no base can say its own."""
        if not self._base or self._base == settings.base:
            return settings
        return replace(settings, base=self._base, python=settings.python if self._base == "scratch" else "")

    def settings_at(self, commit: Commit) -> Settings:
        """The settings that hold for the commit; says on stderr what its file holds that this tool does not know."""
        settings, warnings = at_commit(self.settings, lambda path: self.git.read_path(commit, path), commit.sha)
        for warning in warnings:
            self.say_once(warning, output.warn)
        return settings

    def answers(self, about: str, ask: Callable[[], bool]) -> bool:
        """What a person said to a question, which is put once."""
        if about not in self._answers:
            self._answers[about] = ask()
        return self._answers[about]

    def layout(self) -> LayoutStore:
        """The store, where `--with-base` can be. Raises UsageError for any other."""
        from builder.stores.layout import LayoutStore

        if not isinstance(self.store, LayoutStore):
            raise UsageError("--with-base only goes with --to oci:DIR: other stores always hold the base")
        return self.store

    def with_bases(self, images: Iterable[BuiltImage]) -> Iterator[BuiltImage]:
        """Copies the base of each image into the layout."""
        from builder.cli.progress import progress
        from builder.image.base import pinned
        from builder.image.base_mirror import copy_blobs

        store = self.layout()
        for image in images:
            if missing := store.missing_blobs(image.manifest):
                name = image.manifest.annotations.get(BASE_NAME) or pinned(self.image_settings(image.commit).base)[0]
                copy_blobs(missing, wiring.open_base_store(name, self.settings), store, progress())
            yield image

    def _make_new(self, commit: Commit, settings: ImageSettings) -> BuiltImage:
        from builder.cli.restoring import with_content

        return with_content(self, commit, lambda: self._make(commit, settings))

    def _make(self, commit: Commit, settings: ImageSettings) -> BuiltImage:
        from builder.image.build import build_image

        inputs = self._inputs(commit, settings)
        if self._refresh and (found := existing_image(self.store, commit, f"{commit.sha}-{inputs.key(commit)}")):
            return found
        plain = not self._refresh or self.store.get_manifest(commit.sha) is None
        try:
            return self._count_below(build_image(self.git, self.store, commit, inputs, plain=plain))
        except BlobUnknownError:
            self._doubt()
            return self._count_below(build_image(self.git, self.store, commit, self._inputs(commit, settings), plain=plain))

    def _count_below(self, image: BuiltImage) -> BuiltImage:
        """Dependencies and tool layers that were sent for this image count with it, once."""
        counted = count_as_sent(image, self._sent)
        self._sent.clear()
        return counted

    def _doubt(self) -> None:
        """This machine remembered dependencies or tool layers that are gone from the store: they are looked for, and made, again."""
        self._workshop = replace(self.workshop, artifacts=self.workshop.artifacts.doubting())

    def _inputs(self, commit: Commit, settings: ImageSettings) -> Inputs:
        from builder.image.prepare import foresee, prepare
        from builder.image.tool import without_tool

        if self._dry_run:
            inputs, missing = foresee(self.workshop, self.git, commit, settings)
            self.unmade += missing
            for what in missing:
                self.say_once(f"{what} would be made first; not in this plan", output.note)
        else:
            inputs = prepare(self.workshop, self.git, commit, settings)
        self.say_once(without_tool(settings, inputs.base) or "", output.warn)
        return inputs

    def say_once(self, text: str, say: Callable[[str], None]) -> None:
        """What is the same for several images, or runs, is said for the first."""
        if text and text not in self._said:
            self._said.add(text)
            say(text)

    def _say_if_other(self, found: BuiltImage, settings: ImageSettings) -> None:
        made_with = found.manifest.annotations.get(SETTINGS)
        if made_with and made_with != settings_key(settings):
            output.note(f"the image of {found.commit.sha[:12]} was made with other [image] settings; --refresh makes one with today's")


@contextmanager
def making(repo: Path | None, to: str = "", base: str = "", *, refresh: bool = False, dry_run: bool = False) -> Iterator[Maker]:
    """Opens the repository around `repo` (the working directory when None) and the store."""
    start = (repo or Path.cwd()).absolute()
    settings = wiring.load_settings(start)
    with Git.open(start, output.note) as git:
        store = wiring.open_store(to, settings)
        if dry_run:
            from builder.stores.dry import DryRun

            store = DryRun(store)
        try:
            yield Maker(git, settings, store, to, base=base, refresh=refresh, dry_run=dry_run, start=start)
        finally:
            store.close()

"""What a person means by one word: a run, a flow, a revision, an image's digest or a checkpoint's, or the beginning of one of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from builder.data.interface import Objects
from builder.data.keys import is_plain_name
from builder.data.ledger import Ledger
from builder.data.threads import in_threads
from builder.errors import OldNameError, RevisionError, UsageError
from builder.runs.graph import commit_of_image
from builder.runs.history import Filter, newest_first, runs_of
from builder.source.repository import Git
from builder.stores.interface import Store

KINDS = ("run", "flow", "commit", "image", "checkpoint")
_HEX = re.compile(r"[0-9a-f]{6,64}\Z")
_SHA = re.compile(r"[0-9a-f]{40}\Z")
_MOST = 500
"""How many images are asked for their digest before one gives up."""


@dataclass(frozen=True, slots=True)
class Meant:
    """`kind` is one of KINDS; `name` the run's id, the flow's name, the commit's sha, or a digest (`sha256:<64 hex>`).

    Of an image `commit` is the commit that it is of; `flow` is the one that was named before an `@`.
    """

    kind: str
    name: str
    commit: str = ""
    flow: str = ""


@dataclass(frozen=True, slots=True)
class Places:
    """Where is looked. `resolve` turns FLOW and REV into a sha, and raises RevisionError; `store` opens the images' store."""

    ledger: Ledger
    objects: Objects
    git: Git | None
    flows: frozenset[str]
    resolve: Callable[[str, str], str]
    store: Callable[[], Store]


def meant_by(word: str, places: Places) -> Meant:
    """Exact names first: a run, a flow, FLOW@REV, a whole digest; then git's revisions and the beginnings of names.

    Raises UsageError when it is none of them, or several.
    """
    if found := _exactly(word, places):
        return found
    found_all = list(dict.fromkeys(_begins(word, places)))
    if not found_all and _HEX.match(_hex(word)):
        found_all = list(dict.fromkeys(_in_store(_hex(word), places)))
    if len(found_all) == 1:
        return found_all[0]
    if found_all:
        listed = "; ".join(f"{found.kind} {found.name}" for found in found_all[:6])
        raise UsageError(f"{word} may be several things: {listed}", "write more of it")
    where = f"no run, flow, image or checkpoint is called {word!r}, and git knows no such revision"
    raise UsageError(where, _near(word, places) or "`builder status` lists runs; an image's digest is looked for in [store]")


def last_run(ledger: Ledger, who: str) -> str:
    """The newest that the person started, else the newest of all; empty when there is none."""
    mine = runs_of(ledger, Filter(who=who), 1) or runs_of(ledger, Filter(), 1)
    return mine[0].run if mine else ""


def _exactly(word: str, places: Places) -> Meant | None:
    flow, at, revision = word.partition("@")
    if at and flow in places.flows and not revision.startswith("sha256:"):
        return Meant("commit", places.resolve(flow, revision), flow=flow)
    if word in places.flows:
        return Meant("flow", word)
    if is_plain_name(word) and places.ledger.read(word):
        return Meant("run", word)
    digits = _hex(word)
    if len(digits) == 64 and _HEX.match(digits):
        return next(iter([*_checkpoints(digits, places), *_images(digits, places), *_in_store(digits, places)]), None)
    return None


def _hex(word: str) -> str:
    """The digits of a digest, a reference by digest, or of what may be the beginning of one."""
    return word.rpartition("sha256:")[2]


def _begins(word: str, places: Places) -> Iterator[Meant]:
    if "sha256:" not in word:
        yield from _commit(word, places)
        yield from _runs(word, places)
    if _HEX.match(_hex(word)):
        yield from _checkpoints(_hex(word), places)
        yield from _images(_hex(word), places)


def _commit(word: str, places: Places) -> Iterator[Meant]:
    try:
        yield Meant("commit", places.resolve("", word))
    except RevisionError as error:
        if "ambiguous" in error.message or isinstance(error, OldNameError):
            raise


def _near(word: str, places: Places) -> str:
    """Commits that somebody who mistyped may have meant, or that digits are too few; else where names are listed."""
    try:
        places.resolve("", word)
    except RevisionError as error:
        return error.hint if error.hint.startswith("did you mean") else f"`builder status` lists runs; {error.hint}"
    return ""


def _runs(word: str, places: Places) -> Iterator[Meant]:
    """Whose name begins or ends so: the last digits of one are its own."""
    if len(word) < 4:
        return
    for seen in newest_first(runs_of(places.ledger, Filter())):
        if seen.run.startswith(word) or seen.run.endswith(f"-{word}"):
            yield Meant("run", seen.run)


def _checkpoints(digits: str, places: Places) -> Iterator[Meant]:
    for found in places.objects.list(f"checkpoints/{digits}"):
        yield Meant("checkpoint", f"sha256:{found.key.rpartition('/')[2].removesuffix('.json')}")


def _images(digits: str, places: Places) -> Iterator[Meant]:
    """Images that a run used."""
    for seen in runs_of(places.ledger, Filter()):
        digest = seen.reference.rpartition("@")[2]
        if digest.startswith(f"sha256:{digits}"):
            yield Meant("image", digest, commit=seen.commit)


def _in_store(digits: str, places: Places) -> Iterator[Meant]:
    """Images of which there is no run. For the beginning of a digest the store is asked image by image, the newest commits' first."""
    store, digest = places.store(), f"sha256:{digits}"
    if len(digits) == 64:
        sha = commit_of_image(store, digest)
        if sha:
            yield Meant("image", digest, commit=sha)
        return
    for tag, found in _digests(store, places.git):
        if found.startswith(digest):
            yield Meant("image", found, commit=tag)


def _digests(store: Store, git: Git | None) -> list[tuple[str, str]]:
    tags = {tag for tag in store.list_tags() if _SHA.match(tag)}
    log = git.run("rev-list", "--all", f"--max-count={20 * _MOST}", check=False).text.split() if git else []
    ordered = [sha for sha in log if sha in tags]
    ordered = [*ordered, *sorted(tags - set(ordered))][:_MOST]
    stored = in_threads(store.get_manifest, ordered)
    return [(tag, manifest.digest) for tag, manifest in zip(ordered, stored, strict=True) if manifest]

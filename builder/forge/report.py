"""Tells the forge of a build: which statuses are set, which pull requests get the comment. Done again, it changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from builder.forge.here import Here
from builder.forge.interface import Forge, Pull
from builder.forge.wording import MARKER, ROWS, Outcome, comment_of, status_of

STATUSES = 50
"""At most so many are set by one build, the newest: GitHub allows 80 requests a minute that write.

https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits
"""
_BACK = 20

Find = Callable[[str], Outcome]
"""What the store has of a commit, by its sha."""


@dataclass(frozen=True, slots=True)
class Build:
    """`outcomes`: the commits that got an image, or could not, newest first. `line`: the built commit, then those below it, shas alone.

    `here`: what the CI system says; `find` looks for what this build did not make.
    """

    outcomes: Mapping[str, Outcome]
    line: Iterable[str]
    here: Here
    find: Find


@dataclass(frozen=True, slots=True)
class Told:
    """How many statuses were set; commits that the forge does not have; what became of the comment on each pull request."""

    statuses: int
    unknown: tuple[str, ...]
    comments: Mapping[int, str]


def tell(forge: Forge, build: Build) -> Told:
    """Raises ForgeError; what was told by then stays."""
    set_, unknown = _set_statuses(forge, build)
    comments = {pull.number: _comment(forge, pull, build) for pull in _pulls(forge, build.here)}
    return Told(set_, tuple(unknown), comments)


def _set_statuses(forge: Forge, build: Build) -> tuple[int, list[str]]:
    count, unknown = 0, []
    for outcome in [*islice(build.outcomes.values(), STATUSES), *_untold(forge, build)]:
        if not outcome.cost and _is_told(forge, outcome, build.here.link):
            continue
        if forge.set_status(outcome.sha, status_of(outcome, build.here.link)):
            count += 1
        else:
            unknown.append(outcome.sha)
    return count, unknown


def _is_told(forge: Forge, outcome: Outcome, link: str) -> bool:
    """Whether the commit's status says the same already. One that says what the image took is not replaced by one that does not know."""
    found, wanted = forge.status(outcome.sha), status_of(outcome, link)
    if found is None:
        return False
    return found.state == "success" if outcome.digest else (found.state, found.text) == (wanted.state, wanted.text)


def _untold(forge: Forge, build: Build) -> Iterable[Outcome]:
    """Commits with an image that no build told of: it was killed, or a person made the image. As far as the first that has a status."""
    for sha in islice(build.line, _BACK + len(build.outcomes)):
        if sha in build.outcomes:
            continue
        outcome = build.find(sha)
        if not outcome.digest or ((status := forge.status(sha)) and status.state == "success"):
            return
        yield outcome


def _pulls(forge: Forge, here: Here) -> tuple[Pull, ...]:
    """Outside of CI, where nobody says what is built, none."""
    if not here.provider or not (here.pull or here.branch or here.sha):
        return ()
    return forge.pulls(here.branch, here.sha, here.pull)


def _comment(forge: Forge, pull: Pull, build: Build) -> str:
    newest = [sha for sha, _ in reversed(pull.commits)][:ROWS]
    outcomes = {sha: build.outcomes.get(sha) or build.find(sha) for sha in newest}
    return forge.upsert_comment(pull.number, MARKER, lambda before: comment_of(pull, outcomes, before))

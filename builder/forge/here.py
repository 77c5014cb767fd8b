"""What the CI system says of the build that we are in: a function of its environment, and of the file with GitHub's event.

https://docs.github.com/en/actions/reference/workflows-and-actions/variables
https://circleci.com/docs/reference/variables/#built-in-environment-variables
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

Read = Callable[[str], bytes]
"""The bytes of a file; raises OSError."""

_SHA = re.compile(r"[0-9a-f]{40}\Z")
_YES, _NO = ("1", "true", "yes"), ("", "0", "false", "no")
_NUMBER = re.compile(r"(?:\A|/)(\d{1,9})\Z")


@dataclass(frozen=True, slots=True)
class Here:
    """`provider` is empty outside of CI; what is not known is empty, a pull request that is not known 0.

    `sha` is the commit that people pushed: on a pull request its head, and no merge that the CI system made. `branch` is one of the
    repository itself, so a fork's build has none. `link` leads to the build, and `who` started it. `wrong` are sentences on what was said
    and makes no sense: it counts as not known.
    """

    provider: str = ""
    sha: str = ""
    branch: str = ""
    tag: str = ""
    pull: int = 0
    fork: bool = False
    link: str = ""
    api: str = ""
    repository: str = ""
    who: str = ""
    wrong: tuple[str, ...] = ()


def where_we_are(environ: Mapping[str, str], read: Read) -> Here:
    """GitHub Actions, CircleCI, or any other system that sets BUILDER_CI and its like; `Here()` on a person's machine."""
    if environ.get("BUILDER_CI"):
        return _other(environ)
    if environ.get("GITHUB_ACTIONS") == "true":
        return _github(environ, _event(environ.get("GITHUB_EVENT_PATH", ""), read))
    if environ.get("CIRCLECI") == "true":
        return _circleci(environ)
    return Here()


def _other(environ: Mapping[str, str]) -> Here:
    """What a job of another CI system sets itself: BUILDER_CI is its name."""
    said = {name: environ.get(f"BUILDER_CI_{name.upper()}", "").strip() for name in ("sha", "branch", "tag", "link", "who")}
    wrong = tuple(_nonsense(environ))
    if said["sha"] and not _SHA.match(said["sha"]):
        said["sha"] = ""
    fork = environ.get("BUILDER_CI_FORK", "").strip().lower() in _YES
    if fork:
        said["branch"] = ""
    return Here(environ["BUILDER_CI"], pull=_number(environ.get("BUILDER_CI_PULL", "")), fork=fork, wrong=wrong, **said)


def _nonsense(environ: Mapping[str, str]) -> Iterator[str]:
    sha, pull, fork = (environ.get(f"BUILDER_CI_{name}", "").strip() for name in ("SHA", "PULL", "FORK"))
    if sha and not _SHA.match(sha):
        yield f"BUILDER_CI_SHA is {sha[:50]!r}: expected the 40 hexadecimal digits of a commit"
    if pull and not _number(pull):
        yield f"BUILDER_CI_PULL is {pull[:50]!r}: expected the number of a pull request"
    if fork.lower() not in (*_YES, *_NO):
        yield f"BUILDER_CI_FORK is {fork[:50]!r}: expected true or false"


def _github(environ: Mapping[str, str], event: Mapping[str, Any]) -> Here:
    kind, name = environ.get("GITHUB_REF_TYPE", ""), environ.get("GITHUB_REF_NAME", "")
    server, repository = environ.get("GITHUB_SERVER_URL", ""), environ.get("GITHUB_REPOSITORY", "")
    here = Here(
        "github",
        sha=environ.get("GITHUB_SHA", ""),
        branch=name if kind == "branch" else "",
        tag=name if kind == "tag" else "",
        link=f"{server}/{repository}/actions/runs/{environ.get('GITHUB_RUN_ID', '')}",
        api=environ.get("GITHUB_API_URL", ""),
        repository=repository,
        who=environ.get("GITHUB_ACTOR", ""),
    )
    pull = event.get("pull_request")
    return _of_pull(here, pull) if isinstance(pull, dict) else here


def _of_pull(here: Here, pull: Mapping[str, Any]) -> Here:
    """The ref of such a build is a merge that GitHub made. Where the head's repository is gone, it was a fork."""
    head = pull.get("head")
    head = head if isinstance(head, dict) else {}
    home = head.get("repo")
    owner = str(home.get("full_name", "")) if isinstance(home, dict) else ""
    fork = owner.lower() != here.repository.lower()
    branch, number = "" if fork else str(head.get("ref", "")), pull.get("number")
    sha = str(head.get("sha") or here.sha)
    return replace(here, sha=sha, branch=branch, tag="", pull=number if isinstance(number, int) else 0, fork=fork)


def _circleci(environ: Mapping[str, str]) -> Here:
    """CIRCLE_PR_* are there for pull requests of forks alone, whose branch is called `pull/N`."""
    pulls = environ.get("CIRCLE_PULL_REQUESTS", "").split(",")
    number = environ.get("CIRCLE_PR_NUMBER") or environ.get("CIRCLE_PULL_REQUEST") or pulls[0]
    fork = bool(environ.get("CIRCLE_PR_USERNAME") or environ.get("CIRCLE_PR_REPONAME"))
    return Here(
        "circleci",
        sha=environ.get("CIRCLE_SHA1", ""),
        branch="" if fork else environ.get("CIRCLE_BRANCH", ""),
        tag=environ.get("CIRCLE_TAG", ""),
        pull=_number(number),
        fork=fork,
        link=environ.get("CIRCLE_BUILD_URL", ""),
        who=environ.get("CIRCLE_USERNAME", ""),
    )


def _event(path: str, read: Read) -> Mapping[str, Any]:
    """What happened, as GitHub wrote it down; nothing when it cannot be read."""
    try:
        found = json.loads(read(path)) if path else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _number(text: str) -> int:
    """Of `12`, or of a URL that ends so."""
    match = _NUMBER.search(text.strip())
    return int(match[1]) if match else 0

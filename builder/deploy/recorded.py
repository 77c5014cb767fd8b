"""Manifests in a directory of a git repository: written, committed with where they come from, and pushed however many do so at once."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from builder.deploy.apply import Applied
from builder.deploy.checkout import IMAGE, SOURCE, Checkout
from builder.deploy.folder import KUSTOMIZATION, Folder, Owned, file_name, is_ours, parse
from builder.errors import DeployError

_TRIES = 20
_LONGEST = 1.0  # seconds to wait before another try
_SUBJECT = 72


@dataclass(frozen=True, slots=True)
class Source:
    """The commit that manifests are of, and its image by digest, if they run one."""

    sha: str
    subject: str
    reference: str = ""


def record(
    checkout: Checkout,
    folder: Folder,
    manifests: Sequence[Mapping[str, Any]],
    owned: Owned,
    source: Source,
    *,
    push: bool,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[list[Applied], str]:
    """Writes the files, commits them, and pushes the commit; where somebody else was quicker, on top of theirs, written anew.

    What was done, and the commit; empty when there was nothing to commit. Killed anywhere and run again, it goes on from there. Raises
    DeployError, AuthError.
    """
    checkout.check()
    with checkout.alone():
        for _ in range(_TRIES):
            if push:
                checkout.catch_up(lambda name, content: _governs(name, content, manifests, owned))
            names = folder.files(manifests, owned)
            planned = folder.write(manifests, owned)
            sha = checkout.commit(names, is_ours, message(source, planned))
            if not push or checkout.push():
                return planned, sha
            sleep(random.uniform(0, _LONGEST))  # noqa: S311 - only so that two do not keep step
    raise DeployError(f"{checkout.top}: others pushed {_TRIES} times while this deploy tried to", "run it again when they are done")


def message(source: Source, planned: Sequence[Applied]) -> str:
    """A commit's message, with trailers that any git reads."""
    subject = f"Deploy {source.sha[:12]}: {source.subject}"
    cut = subject if len(subject) <= _SUBJECT else f"{subject[: _SUBJECT - 3]}..."
    changed = [f"{applied.done} {applied.kind} {applied.name}" for applied in planned if applied.done != "found"]
    trailers = [f"{SOURCE}: {source.sha}", *([f"{IMAGE}: {source.reference}"] if source.reference else [])]
    return "\n\n".join(filter(None, [cut, "\n".join(changed), "\n".join(trailers)])) + "\n"


def _governs(name: str, content: bytes, manifests: Sequence[Mapping[str, Any]], owned: Owned) -> bool:
    if name in (KUSTOMIZATION, *map(file_name, manifests)):
        return True
    if not is_ours(name):
        return False
    try:
        return owned(parse(content, name))
    except DeployError:
        return False

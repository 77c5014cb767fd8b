"""Images of commits that this clone does not know: they may be another repository's, or another clone's, whose needs nobody here knows."""

from __future__ import annotations

import re

from builder.collect.manifests import IMAGE, Inventory
from builder.collect.scene import Scene
from builder.source.repository import Git

_SHA = re.compile(r"[0-9a-f]{40}\Z")


def strangers(scene: Scene, inventory: Inventory) -> frozenset[str]:
    """Their digests. None where `scene.unknown` says that they may go.

    An image that says that it comes from where [image] source says is ours, also when its commit is not known any more.
    """
    if scene.unknown:
        return frozenset()
    ours = scene.settings.image.source
    images = [fact for fact in inventory.facts.values() if fact.kind == IMAGE and not (ours and fact.source == ours)]
    known = known_commits(scene.git, {fact.commit for fact in images})
    return frozenset(fact.digest for fact in images if fact.commit not in known)


def known_commits(git: Git, shas: set[str]) -> frozenset[str]:
    """Those of the commits (40 hex digits) that are in this clone: no remote is asked for them, in a partial clone either."""
    asked = "".join(f"{sha}\n" for sha in sorted(shas) if _SHA.match(sha))
    if not asked:
        return frozenset()
    # --missing=allow-any switches off that git fetches what a partial clone lacks, one by one (builtin/rev-list.c: fetch_if_missing)
    argv = ("rev-list", "--no-walk=unsorted", "--ignore-missing", "--missing=allow-any", "--stdin")
    return frozenset(git.run(*argv, stdin=asked.encode()).text.split())

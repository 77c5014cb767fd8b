"""What tips of branches without an image need: base, dependencies and tool layers are there already, or made for them in a moment."""

from __future__ import annotations

from collections.abc import Iterator

from builder.collect.manifests import ARTIFACTS, IMAGE, Inventory
from builder.collect.needs import TIPS, Needs, Reason
from builder.collect.scene import Scene
from builder.errors import BuilderError, DepsError, SettingsError
from builder.image.base import Base
from builder.image.deps import plan_deps
from builder.image.prepare import Workshop, commit_files, find_base
from builder.image.tool import tool_key
from builder.model.tree import Commit
from builder.settings import ImageSettings, at_commit
from builder.source.repository import Git


def names_of_tips(scene: Scene, inventory: Inventory) -> Needs:
    """Of the tips whose images the store lacks, and of the settings in force. A tip of which nobody here knows keeps all there is."""
    needs = Needs()
    if all(fact.kind not in ARTIFACTS for fact in inventory.facts.values()):
        return needs
    made = {fact.commit for fact in inventory.facts.values() if fact.kind == IMAGE}
    for sha in sorted(scene.needs.tips - made):
        _note(needs, _of_tip(scene, sha), scene.needs.commits[sha].text)
    head = scene.git.resolve("HEAD") if scene.needs.tips else None
    if head is not None:
        _note(needs, _of_settings(scene.workshop, scene.git, head, scene.settings.image), "the settings in force")
    return needs


def _note(needs: Needs, tags: list[str] | None, who: str) -> None:
    if tags is None:
        tags, who = [f"{kind}-" for kind in ARTIFACTS], f"{who}, which has no image: nobody here knows what it will be made of;"
    for tag in tags:
        needs.tags.setdefault(tag, Reason(TIPS, f"{who} needs it"))


def _of_tip(scene: Scene, sha: str) -> list[str] | None:
    """None where this clone lacks the commit, or cannot read it, or its base cannot be found."""
    try:
        commit = scene.git.commit(sha)
        settings, _ = at_commit(scene.settings, lambda path: scene.git.read_path(commit, path), sha)
    except SettingsError:
        return []  # nobody can make an image of it
    except BuilderError:
        return None
    return _of_settings(scene.workshop, scene.git, commit, settings.image)


def _of_settings(workshop: Workshop, git: Git, commit: Commit, image: ImageSettings) -> list[str] | None:
    try:
        base = find_base(workshop, image)
        return list(_tags(git, commit, image, base))
    except (SettingsError, DepsError):
        return []
    except BuilderError:
        return None


def _tags(git: Git, commit: Commit, image: ImageSettings, base: Base) -> Iterator[str]:
    if base.digest:
        yield base.tag
    if recipe := plan_deps(image, commit_files(git, commit), base):
        yield recipe.tag
    if base.python:
        yield f"tool-{image.tool}-" if image.tool else f"tool-{tool_key(base.python, image.platform)}"

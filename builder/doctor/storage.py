"""The store and the base."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from builder.doctor.machine import existing
from builder.doctor.scene import Found, Scene, failed, not_needed, ok
from builder.errors import BuilderError
from builder.model.units import size
from builder.stores.interface import Store

if TYPE_CHECKING:
    from builder.image.prepare import Workshop

_PROBE = "builder-doctor"  # a tag that nobody has: one request that shows address, credentials and rights


def store(scene: Scene) -> Found:
    target = scene.settings.store.target
    opened = scene.open_store("")
    opened.get_manifest(_PROBE)
    if target.startswith("oci:"):
        return _layout(opened.name.removeprefix("oci:"), len(opened.list_tags()))
    return ok(f"{opened.name} answers")


def _layout(directory: str, tags: int) -> Found:
    import os

    there = existing(Path(directory))
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return failed(f"{there} cannot be written", "change its owner, or set [store] to")
    if there != Path(directory):
        return ok(f"oci:{directory} will be made")
    return ok(f"oci:{directory} is a valid layout with {tags} tags")


def credentials(scene: Scene) -> Found:
    target = scene.settings.store.target
    if target.startswith(("oci:", "docker:")):
        return not_needed(f"{target} needs none")
    from builder.model.reference import Repository
    from builder.stores.registry.credentials import find_credential

    host = Repository.parse(target).host
    found = find_credential(host)
    if found is None:
        return not_needed(f"none for {host}: anonymous; if it asks for them, `docker login {host}`")
    return ok(f"{found.username or 'an identity token'} for {host}")


def base(scene: Scene) -> Found:
    """It must be named by digest, be there, and be in the store that commits go to, or where it can be mounted from."""
    from builder.image.base import SCRATCH, require_base
    from builder.image.prepare import find_base

    text, file = scene.settings.image.base, scene.settings.file
    if not text:
        how = f"set [image] base in {file}: `builder base pin REF` writes it" if file else "run `builder init`, then `builder base pin REF`"
        return failed("no base", how)
    if text == SCRATCH:
        return ok("scratch: the code alone")
    shop = workshop(scene)
    found = find_base(shop, scene.settings.image)
    mounted = _mountable(text, shop.store)
    if not shop.store.sparse and not mounted:
        require_base(found, shop.store)
    detail = f"{text}: {_layers(len(found.layers))}, {size(found.size)}{mounted}"
    return ok(detail + (f", Python {found.python}" if found.python else ", Python unknown: no tool layers"))


def built_deps(scene: Scene) -> bool:
    """Whether the store has the dependencies of HEAD's image, so that nobody has to build them."""
    from builder.image.deps import lookup, plan_deps
    from builder.image.prepare import commit_files, find_base
    from builder.settings import at_commit
    from builder.source.repository import Git

    shop = workshop(scene)
    try:
        with Git.open(scene.start) as git:
            commit = git.resolve("HEAD")
            image = at_commit(scene.settings, lambda path: git.read_path(commit, path), commit.sha)[0].image
            recipe = plan_deps(image, commit_files(git, commit), find_base(shop, image))
            return recipe is not None and lookup(recipe, shop.artifacts) is not None
    except BuilderError:
        return False


def workshop(scene: Scene) -> Workshop:
    """To look things up in as `builder image` does."""
    from builder.cache import blob_cache
    from builder.image.deps import Artifacts
    from builder.image.prepare import Workshop

    def open_base(name: str) -> Store:
        directory = name.removeprefix("oci:")
        return scene.open_store(name if directory == name else f"oci:{scene.settings.root / directory}")

    target = scene.open_store("")
    return Workshop(target, Artifacts(target), blob_cache(scene.environ), open_base)


def _mountable(base: str, target: Store) -> str:
    """A text when both are in one registry, as then `builder image` mounts what is missing."""
    return ", in the same registry" if base.partition("/")[0] in target.hosts else ""


def _layers(count: int) -> str:
    return f"{count} layer" + ("" if count == 1 else "s")

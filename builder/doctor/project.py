"""The repository and its settings, and the data root."""

from __future__ import annotations

import os
import time
from pathlib import Path

from builder.data.directory import DirectoryObjects
from builder.data.open import open_root
from builder.doctor import machine, storage
from builder.doctor.machine import existing
from builder.doctor.scene import Found, Scene, failed, not_needed, ok
from builder.errors import BuilderError
from builder.model.units import age
from builder.process import run
from builder.settings.keeping import PAGE


def repository(scene: Scene) -> Found:
    found = run(["git", "rev-parse", "--git-dir", "--show-object-format", "--is-shallow-repository"], cwd=scene.start, check=False)
    if found.returncode != 0:
        return failed(f"{scene.start} is in no git repository", "go into one, or run `git init`")
    _, form, shallow = found.text.splitlines()
    if form != "sha1":
        return failed(f"objects are named by {form}", "builder reads sha1 repositories only")
    if run(["git", "rev-parse", "--verify", "--quiet", "HEAD"], cwd=scene.start, check=False).returncode != 0:
        return failed("no commit yet", "commit something")
    return ok("shallow: older commits are fetched when they are asked for" if shallow == "true" else "has its history")


def docker(scene: Scene) -> Found:
    """As `machine.docker`; but dependencies that are in the store need none."""
    found, settings = machine.docker(scene), scene.settings
    needed_by_others = settings.store.target.startswith("docker:") or settings.run.on == "docker"
    if found.state == "failed" and not needed_by_others and storage.built_deps(scene):
        return not_needed(f"{found.detail}; the dependencies of HEAD are built already")
    return found


def settings(scene: Scene) -> Found:
    if scene.trouble is not None:
        return failed(scene.trouble.message, scene.trouble.hint or "the page Settings of the reference lists every key")
    if scene.settings.file is None:
        return failed("no builder.toml from here upwards", "run `builder init`")
    return ok(str(scene.settings.file))


def data_root(scene: Scene) -> Found:
    data = scene.settings.data
    try:
        objects = open_root(data.root, scene.settings.root, data.endpoint)
        if isinstance(objects, DirectoryObjects):
            return _directory(objects.root)
        next(iter(objects.list()), None)
    except BuilderError as error:
        return failed(error.message, error.hint)
    return ok(f"{objects.name} can be listed")


def page(scene: Scene) -> Found:
    """Where the page lies that tells of all this, for whoever looks for it."""
    data = scene.settings.data
    try:
        objects = open_root(data.root, scene.settings.root, data.endpoint)
        found = objects.find(PAGE)
    except BuilderError:
        return not_needed("the data root does not answer")
    if found is None:
        return not_needed("none yet: `builder status --html FILE` writes one, [schedule.housekeep] one every night")
    return ok(f"{objects.url(PAGE)}, {age(time.time() - found.modified)} old")


def _directory(path: Path) -> Found:
    there = existing(path)
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return ok(f"{path} can be written" if there == path else f"{path} will be made")
    return failed(f"{there} cannot be written", "change its owner, or set [data] root")


def deps(scene: Scene) -> Found:
    chosen = scene.settings.image.deps
    if chosen is None:
        return not_needed("none in the settings")
    name = chosen.lock or chosen.dockerfile
    if (scene.settings.root / name).is_file():
        return ok(name)
    return failed(f"{name} is not there", f"[image.deps] in {scene.settings.file} names it: correct the path, or add the file")

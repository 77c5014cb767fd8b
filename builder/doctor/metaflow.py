"""Which Metaflow compiles and which runs, and whose configuration of it is ignored."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from builder.deploy.compile import variables_of
from builder.deploy.release import target_of
from builder.doctor.cluster import when_needed
from builder.doctor.scene import Found, Scene, failed, ok
from builder.image.tool import locked_version

_LOCKED = re.compile(r"^metaflow==([^\s;\\]+)", re.MULTILINE)


@when_needed
def versions(scene: Scene) -> Found:
    """The tool's own compiles templates, that of the tool layers runs them; the commit's counts for the team's own flows alone."""
    ours, inside = version("metaflow"), locked_version("metaflow")
    said = f"{ours} compiles and runs" if ours == inside else f"{ours} compiles, {inside} runs in images"
    theirs = _of_the_commit(scene)
    if theirs and theirs != inside:
        said += f"; the team's own flows run on their {theirs}"
    if ours.split(".")[0] != inside.split(".")[0]:
        return failed(said, f"install metaflow {inside} beside builder, or builder again")
    return ok(said)


def _of_the_commit(scene: Scene) -> str:
    """From the lock of the dependencies; a Dockerfile does not say."""
    deps = scene.settings.image.deps
    if deps is None or not deps.lock:
        return ""
    try:
        match = _LOCKED.search((scene.settings.root / deps.lock).read_text(errors="replace"))
    except OSError:
        return ""
    return match[1] if match else ""


@when_needed
def configuration(scene: Scene) -> Found:
    """What somebody set for their own Metaflow and that says otherwise has no part in what builder does."""
    wanted = variables_of(target_of(scene.settings))
    ignored = [f"{name} of {place}" for name, value, place in _set(scene.environ) if name in wanted and wanted[name] != value]
    return ok(f"ignored, as the settings say otherwise: {', '.join(ignored)}" if ignored else "nothing of yours says otherwise")


def _set(environ: Mapping[str, str]) -> Iterator[tuple[str, object, str]]:
    """Name, value and where it is set: the environment, and the file that Metaflow would read (metaflow_config_funcs.py)."""
    for name in sorted(environ):
        if name.startswith("METAFLOW_"):
            yield name, environ[name], "the environment"
    home = environ.get("METAFLOW_HOME") or str(Path(environ.get("HOME", "~")).expanduser() / ".metaflowconfig")
    profile = environ.get("METAFLOW_PROFILE", "")
    path = Path(home) / (f"config_{profile}.json" if profile else "config.json")
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return
    yield from ((name, value, str(path)) for name, value in sorted(found.items()) if isinstance(found, dict))

"""This tool's own layers: what the built-in flows import inside a pod, under /opt/builder, so that commits older than the tool run too.

Two layers: the packages of tool-requirements.txt, and this tool's own files, laid out as an installed wheel has them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import builder
from builder.data_files import data_path
from builder.errors import SettingsError
from builder.image.base import Base
from builder.image.deps.artifacts import Artifact, Artifacts
from builder.image.deps.packages import content
from builder.image.layers import CODEC, BuiltLayer, LayerFile, write_layer
from builder.model.annotations import TITLE
from builder.model.oci import Descriptor, canonical_json
from builder.model.platform import Platform
from builder.model.progress import SILENT, Progress
from builder.settings import ImageSettings

ROOT = "opt/builder"
KIND = "tool"
OLDEST_PYTHON = (3, 10)
_FORMAT = 2
_PACKAGE = Path(builder.__file__).parent
_DATA = frozenset({"py.typed", "tool-requirements.txt"})
_WEB = "page/web"
"""What the page of a nightly is made of."""
_LOCK = Path(__file__).with_name("tool-requirements.txt")


@dataclass(frozen=True, slots=True)
class ToolLayers:
    """Layers to put on base and dependencies. `key` is the hash of what they hold, empty for a version that does not run here;
    `digest` that of the manifest which keeps them.
    """

    key: str
    digest: str
    layers: tuple[Descriptor, ...]
    diff_ids: tuple[str, ...]


def resolve_tool(settings: ImageSettings, base: Base, artifacts: Artifacts, *, progress: Progress = SILENT) -> ToolLayers | None:
    """The tool's layers for the base's Python, made and stored if they are nowhere yet; None where `without_tool` says why.

    Unchanged tool: one request, or none. Raises SettingsError when `[image] tool` names a version that is neither this nor in the store.
    """
    found = find_tool(settings, base, artifacts)
    if found is not None or without_tool(settings, base) is not None:
        return found
    key = tool_key(base.python, settings.platform)
    made = artifacts.bring(f"tool-{key}", KIND) or _build(key, base.python, settings.platform, artifacts, progress)
    return ToolLayers(key, made.digest, made.layers, made.diff_ids)


def find_tool(settings: ImageSettings, base: Base, artifacts: Artifacts) -> ToolLayers | None:
    """As `resolve_tool`, but makes nothing: None as well when the layers are nowhere yet."""
    if without_tool(settings, base) is not None:
        return None
    if settings.tool and settings.tool != builder.__version__:
        return _other_version(settings, base.python, artifacts)
    key = tool_key(base.python, settings.platform)
    found = artifacts.find(f"tool-{key}", KIND)
    return ToolLayers(key, found.digest, found.layers, found.diff_ids) if found else None


def without_tool(settings: ImageSettings, base: Base) -> str | None:
    """Why the image gets no tool layers: a warning, an empty text where nothing is wrong (scratch), None when it gets them."""
    if settings.base == "scratch":
        return ""
    python = base.python
    if not python:
        return 'the base\'s Python is unknown, so the image can run no built-in flow; say it in builder.toml: [image] python = "3.12"'
    if tuple(int(part) for part in python.split(".")) < OLDEST_PYTHON:
        return f"the base has Python {python}, so the image can run no built-in flow: they need 3.10 or newer"
    return None


@lru_cache
def tool_key(python: str, platform: str) -> str:
    """32 hex digits of what is in the layers: this tool's files and the lock, for one Python and platform."""
    own = hashlib.sha256()
    for path, data in own_files():
        own.update(f"{path}\0{len(data)}\0".encode() + data)
    inputs = {"format": _FORMAT, "codec": CODEC, "python": python, "platform": platform, "own": own.hexdigest()}
    lock = hashlib.sha256(_LOCK.read_bytes()).hexdigest()
    return hashlib.sha256(canonical_json({**inputs, "lock": lock})).hexdigest()[:32]


def locked_version(package: str) -> str:
    """Of a package that the tool layers hold."""
    from builder.image.deps import lock

    found = {requirement.name: requirement.text for requirement in lock.parse(_LOCK.read_bytes(), _LOCK.name)}
    return found[package].partition("==")[2].partition(";")[0].strip()


def own_files() -> Iterator[tuple[str, bytes]]:
    """Path below /opt/builder and content, sorted by path: the same in a checkout and in an installed wheel.

    Only Python, the files named in _DATA, and those of _WEB: what editors and merges leave in a checkout would go into everybody's images.
    """
    roots = {"builder": _PACKAGE, "builder/_data/workflows": data_path("workflows"), "repo_slim": _PACKAGE.parent / "repo_slim"}
    found = {f"{name}/{path.relative_to(root).as_posix()}": path for name, root in roots.items() for path in _sources(root)}
    for name in sorted(found):
        yield name, found[name].read_bytes()


def _sources(root: Path) -> Iterator[Path]:
    for path in root.iterdir():
        if path.is_dir():
            if not path.name.startswith((".", "__pycache__")) and path != _PACKAGE / "_data":
                yield from _sources(path)
        elif path.name in _DATA or (path.suffix in _kinds(root) and not path.name.startswith(".")):
            yield path


def _kinds(folder: Path) -> tuple[str, ...]:
    return (".html", ".css", ".js") if folder == _PACKAGE / _WEB else (".py",)


def _build(key: str, python: str, platform: str, artifacts: Artifacts, progress: Progress) -> Artifact:
    with progress.task(f"making the tool's layers for Python {python}"):
        layers = (_packages_layer(python, platform), _own_layer())
    made = artifacts.publish(f"tool-{key}", KIND, layers, platform, copy=True)
    artifacts.also(made, _version_tag(builder.__version__, python, platform))
    return made


def _packages_layer(python: str, platform: str) -> BuiltLayer:
    import tempfile

    from builder.image.deps import lock
    from builder.image.deps.from_lock import installed, placed

    requirements = lock.parse(_LOCK.read_bytes(), _LOCK.name)
    with tempfile.TemporaryDirectory(prefix="builder-tool-") as scratch:
        files = [file for package in installed(requirements, python, platform, Path(scratch)) for file in package.files]
        return write_layer(placed(files, ROOT)).annotated({TITLE: "tool: packages"})


def _own_layer() -> BuiltLayer:
    from builder.image.deps.from_lock import placed

    files: list[LayerFile] = [content(path, data) for path, data in own_files()]
    return write_layer(placed(files, ROOT)).annotated({TITLE: f"tool: builder {builder.__version__}"})


def _other_version(settings: ImageSettings, python: str, artifacts: Artifacts) -> ToolLayers:
    found = artifacts.find(_version_tag(settings.tool, python, settings.platform), KIND)
    if found is None:
        ours = builder.__version__
        raise SettingsError(
            f"[image] tool asks for version {settings.tool}; this is {ours}, and {artifacts.store.name} has no layers of {settings.tool}",
            f'build any commit with version {settings.tool} once, into the same store, or write tool = "{ours}"',
        )
    return ToolLayers("", found.digest, found.layers, found.diff_ids)


def _version_tag(version: str, python: str, platform: str) -> str:
    return f"tool-{version.replace('+', '_')}-cp{python.replace('.', '')}-{Platform.parse(platform).architecture}"

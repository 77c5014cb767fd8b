"""Compiles a flow into an Argo WorkflowTemplate with placeholders, in a process of its own; once per flow file and settings.

Metaflow reads its settings when it is imported, so they are given to a subprocess. It needs the data root, where it puts the code package,
and no cluster. The flow is compiled outside any git repository: the package takes in the state of one.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from builder import process
from builder.data.interface import Objects
from builder.errors import DeployError, ProcessError
from builder.files import write_whole
from builder.model.oci import canonical_json, sha256
from builder.steps import begin

NAME, IMAGE, TOKEN = "builder-name-placeholder", "builder.invalid/image-placeholder", "builder-token-placeholder"
"""They stand in command lines, in JSON inside JSON and in plain values, and are replaced as text: nothing in them needs quoting."""

RETRIES = 4
"""As many as Metaflow allows (MAX_ATTEMPTS in metaflow_config.py). What really holds is put into the template later."""

_FORMAT = 1
_RANDOM_NAME = re.compile(r"(metaflow\.plugins\.argo\.set_parameters )([a-z]{10}) ")
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+00:00")
_EPOCH = "1980-01-01T00:00:00.000000+00:00"


@dataclass(frozen=True, slots=True)
class Target:
    """What of the cluster and the data root stands in a compiled template. `root` is `s3://bucket/prefix`."""

    namespace: str
    account: str
    root: str
    endpoint: str
    secrets: tuple[str, ...] = ()
    service: str = ""


class Files(Protocol):
    """What a team's own flow is compiled in: files of the commit, with the flow's among them."""

    @property
    def name(self) -> str:
        """The flow file, relative to their root."""

    @property
    def key(self) -> str:
        """The hash of all of them, and of what they are compiled with."""

    def fill(self, directory: Path) -> None:
        """Writes them."""

    def variables(self, directory: Path, tool: Sequence[str]) -> Mapping[str, str]:
        """With which the interpreter that compiles finds what they import, written to `directory`."""


@dataclass(frozen=True, slots=True)
class Source:
    """A built-in flow's file, or the files of a team's own; `path` is where this tool and Metaflow are, `label` names it in messages."""

    file: Path | Files
    path: tuple[str, ...]
    label: str

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def key(self) -> str:
        return sha256(self.file.read_bytes()) if isinstance(self.file, Path) else self.file.key

    def written(self, directory: Path) -> Path:
        """The flow file, written into `directory` with what belongs to it."""
        if isinstance(self.file, Path):
            (directory / self.name).write_bytes(self.file.read_bytes())
        else:
            self.file.fill(directory)
        return directory / self.name

    def variables(self, directory: Path) -> Mapping[str, str]:
        if isinstance(self.file, Path):
            return {"PYTHONPATH": ":".join(self.path)}
        return self.file.variables(directory, self.path)

    @property
    def options(self) -> tuple[str, ...]:
        """A team's own flow says by itself what is tried again."""
        return ("--with", f"retry:times={RETRIES},minutes_between_retries=0") if isinstance(self.file, Path) else ()


def compile_flow(source: Source, target: Target, objects: Objects, cache: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """The WorkflowTemplate with placeholders for name, image and token, the same on every machine.

    `objects` is the data root of `target`: a template whose code package is gone from there is compiled again. Raises DeployError
    with what Metaflow said.
    """
    kept = cache / f"{_key(source, target)}.json"
    try:
        found: dict[str, Any] = json.loads(kept.read_bytes())
    except (OSError, ValueError):
        found = {}
    if found and _package_is_there(found, target, objects):
        return found
    compiled = normalise(_run(source, target, environ))
    write_whole(kept, canonical_json(compiled))
    return compiled


def normalise(text: str) -> dict[str, Any]:
    """Without the time of compilation and the random name of a file in the first step."""
    match = _RANDOM_NAME.search(text)
    named = text.replace(match[2], "parameters") if match else text
    compiled: dict[str, Any] = json.loads(_TIMESTAMP.sub(_EPOCH, named))
    return compiled


def _key(source: Source, target: Target) -> str:
    parts = [_FORMAT, version("metaflow"), sys.version_info[:2], source.key, source.name, asdict(target)]
    own = [Path(__file__).with_name(name).read_bytes().hex() for name in ("thin.py", "compile.py")]
    return sha256(canonical_json([*parts, own]))[7:39]


def _package_is_there(compiled: Mapping[str, Any], target: Target, objects: Objects) -> bool:
    url = next(env["value"] for env in first_container(compiled)["env"] if env["name"] == "METAFLOW_CODE_URL")
    return objects.get(str(url).removeprefix(f"{target.root.rstrip('/')}/")) is not None


def first_container(compiled: Mapping[str, Any]) -> Mapping[str, Any]:
    container: Mapping[str, Any] = next(part["container"] for part in compiled["spec"]["templates"] if "container" in part)
    return container


def _run(source: Source, target: Target, environ: Mapping[str, str]) -> str:
    with tempfile.TemporaryDirectory(prefix="builder-compile-") as scratch:
        directory = Path(scratch) / "flow"
        directory.mkdir()
        flow = source.written(directory)
        _set_modes(directory)
        environment = {**_environment(target, scratch, environ), **source.variables(directory)}
        try:
            done = process.run(_command(flow, source.options), cwd=scratch, env=environment, timeout=300)
        except ProcessError as error:
            said = "\n".join(f"  {line}" for line in error.stderr.strip().splitlines()[-12:])
            raise DeployError(f"{source.label} cannot be compiled for Argo; Metaflow says:\n{said}", _hint(error.stderr)) from error
    start = done.text.find("{")
    if start < 0:
        raise DeployError(f"{source.label} cannot be compiled for Argo: Metaflow printed no template", "run it with -v")
    return done.text[start:]


def _set_modes(directory: Path) -> None:
    """Those that git knows, whatever the umask: they are in the package."""
    for path in directory.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def _command(flow: Path, options: Sequence[str]) -> Sequence[str]:
    """`thin.py` is started as a file: a repository may have a package of any name, `builder` too."""
    argo = ["argo-workflows", "--name", NAME, "create", "--only-json", "--new-token", TOKEN, "--no-auto-emit-argo-events"]
    thin = str(Path(__file__).with_name("thin.py"))
    return [sys.executable, thin, str(flow), "--no-pylint", "--quiet", *options, *argo, "--no-enable-error-msg-capture"]


def _environment(target: Target, scratch: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The caller's variables less every setting of Metaflow and Python: nobody's ~/.metaflowconfig takes part."""
    kept = {name: value for name, value in environ.items() if not name.startswith(("METAFLOW_", "PYTHON"))}
    return {**kept, "PYTHONWARNINGS": "ignore", "METAFLOW_HOME": scratch, **variables_of(target)}


def variables_of(target: Target) -> dict[str, str]:
    """Metaflow's settings for a target, whatever a person's own are."""
    service = {"METAFLOW_SERVICE_URL": target.service} if target.service else {}
    endpoint = {"METAFLOW_S3_ENDPOINT_URL": target.endpoint} if target.endpoint else {}
    return {
        **service,
        **endpoint,
        "METAFLOW_USER": "builder",
        "METAFLOW_DEFAULT_METADATA": "service" if target.service else "local",
        "METAFLOW_DEFAULT_DATASTORE": "s3",
        "METAFLOW_DATASTORE_SYSROOT_S3": f"{target.root.rstrip('/')}/{begin.FOLDER}",
        "METAFLOW_KUBERNETES_NAMESPACE": target.namespace,
        "METAFLOW_KUBERNETES_SERVICE_ACCOUNT": target.account,
        "METAFLOW_KUBERNETES_SECRETS": ",".join(target.secrets),
        "METAFLOW_KUBERNETES_CONTAINER_IMAGE": IMAGE,
        "METAFLOW_ARGO_WORKFLOWS_USE_SCHEDULES": "true",
    }


def _hint(said: str) -> str:
    if "S3" in said or "Credentials" in said:
        return "compiling writes into [data] root: `builder doctor` checks whether that can be written"
    if "No module named" in said:
        return "what a flow imports at its top must be Python of the commit; import the rest inside of steps, which run in the image"
    return "python FLOW.py show says more"

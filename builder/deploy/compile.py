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
from typing import Any

from builder import process
from builder.data.interface import Objects
from builder.errors import DeployError, ProcessError
from builder.files import write_whole
from builder.model.oci import canonical_json, sha256

NAME, IMAGE, TOKEN = "builder-name-placeholder", "builder.invalid/image-placeholder", "builder-token-placeholder"
"""They stand in command lines, in JSON inside JSON and in plain values, and are replaced as text: nothing in them needs quoting."""

RETRIES = 4
"""As many as Metaflow allows (MAX_ATTEMPTS in metaflow_config.py). What really holds is put into the template later."""

METAFLOW_FOLDER = "metaflow"
"""Of the data root: where Metaflow keeps artifacts, logs and code packages."""

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


@dataclass(frozen=True, slots=True)
class Source:
    """A flow file and the import path with which it is compiled. `label` names it in messages."""

    file: Path
    path: tuple[str, ...]
    label: str


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
    parts = [_FORMAT, version("metaflow"), sys.version_info[:2], sha256(source.file.read_bytes()), source.file.name, asdict(target)]
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
        flow = Path(scratch) / source.file.name
        flow.write_bytes(source.file.read_bytes())
        environment = {**_environment(target, scratch, environ), "PYTHONPATH": ":".join(source.path)}
        try:
            done = process.run(_command(flow), cwd=scratch, env=environment, timeout=300)
        except ProcessError as error:
            said = "\n".join(f"  {line}" for line in error.stderr.strip().splitlines()[-12:])
            raise DeployError(f"{source.label} cannot be compiled for Argo; Metaflow says:\n{said}", _hint(error.stderr)) from error
    start = done.text.find("{")
    if start < 0:
        raise DeployError(f"{source.label} cannot be compiled for Argo: Metaflow printed no template", "run it with -v")
    return done.text[start:]


def _command(flow: Path) -> Sequence[str]:
    argo = ["argo-workflows", "--name", NAME, "create", "--only-json", "--new-token", TOKEN, "--no-auto-emit-argo-events"]
    retry = ["--with", f"retry:times={RETRIES},minutes_between_retries=0"]
    return [
        sys.executable,
        "-m",
        "builder.deploy.thin",
        str(flow),
        "--no-pylint",
        "--quiet",
        *retry,
        *argo,
        "--no-enable-error-msg-capture",
    ]


def _environment(target: Target, scratch: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The caller's variables less every setting of Metaflow and Python: nobody's ~/.metaflowconfig takes part."""
    kept = {name: value for name, value in environ.items() if not name.startswith(("METAFLOW_", "PYTHON"))}
    service = {"METAFLOW_SERVICE_URL": target.service} if target.service else {}
    endpoint = {"METAFLOW_S3_ENDPOINT_URL": target.endpoint} if target.endpoint else {}
    return {
        **kept,
        **service,
        **endpoint,
        "PYTHONWARNINGS": "ignore",
        "METAFLOW_HOME": scratch,
        "METAFLOW_USER": "builder",
        "METAFLOW_DEFAULT_METADATA": "service" if target.service else "local",
        "METAFLOW_DEFAULT_DATASTORE": "s3",
        "METAFLOW_DATASTORE_SYSROOT_S3": f"{target.root.rstrip('/')}/{METAFLOW_FOLDER}",
        "METAFLOW_KUBERNETES_NAMESPACE": target.namespace,
        "METAFLOW_KUBERNETES_SERVICE_ACCOUNT": target.account,
        "METAFLOW_KUBERNETES_SECRETS": ",".join(target.secrets),
        "METAFLOW_KUBERNETES_CONTAINER_IMAGE": IMAGE,
        "METAFLOW_ARGO_WORKFLOWS_USE_SCHEDULES": "true",
    }


def _hint(said: str) -> str:
    if "S3" in said or "Credentials" in said:
        return "compiling writes into [data] root: `builder doctor` checks whether that can be written"
    return "python FLOW.py show says more"

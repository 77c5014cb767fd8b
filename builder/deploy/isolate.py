"""Keeps the tool's Python and the team's code apart in the pods of a compiled flow, and pins every container to one digest.

Metaflow's bootstrap makes `metaflow/` in the working directory, and `python -c` and `-m` put that directory first on the import path. So
a container works in an empty directory of its own, with the tool's path alone, and the team's values wait in the request for the team's
commands. A static `image=` of a step wins over what was asked for at compile time, hence the check.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from builder.errors import DeployError
from builder.launch.behind import beside, path_of, with_tool_behind
from builder.steps import contract
from builder.steps.request import Place

TOOL_PATH = "/opt/builder"
_VOLUME = {"name": "builder-work", "emptyDir": {}}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every container of a flow gets: the directory it works in, and variables."""

    workdir: str
    env: Mapping[str, str]


def for_built_in(workdir: str) -> Surroundings:
    """A built-in flow runs on the tool's path alone. Without the last variable every pod would install packages."""
    env = {"PYTHONPATH": TOOL_PATH, "PYTHONNOUSERSITE": "1", "METAFLOW_HOME": workdir, "METAFLOW_SKIP_INSTALL_DEPENDENCIES": "1"}
    return Surroundings(workdir, env)


def for_own(workdir: str, place: Place, file: str) -> Surroundings:
    """A team's own flow runs on the team's path, as the image has it, with the tool behind everything.

    Its file comes with Metaflow's code package, and Python looks beside it: so the commit's directory of the file is put first.
    """
    path = (beside(place.workdir, file), *path_of(place.env))
    home = {"METAFLOW_HOME": workdir, "METAFLOW_SKIP_INSTALL_DEPENDENCIES": "1", contract.WORKDIR: place.workdir}
    return Surroundings(workdir, {**with_tool_behind(path, (TOOL_PATH,)), **home, contract.RUN: "{{workflow.name}}"})


def isolated(template: Mapping[str, Any], around: Surroundings) -> dict[str, Any]:
    """A template with one container, in its surroundings; others stay as they are."""
    if not template.get("container"):
        return dict(template)
    volumes = [*(template.get("volumes") or []), _VOLUME]
    return {**template, "container": _contained(template["container"], around), "volumes": volumes}


def _contained(container: Mapping[str, Any], around: Surroundings) -> dict[str, Any]:
    mounts = [*(container.get("volumeMounts") or []), {"name": _VOLUME["name"], "mountPath": around.workdir}]
    kept = [variable for variable in container.get("env") or [] if variable["name"] not in around.env]
    env = [*kept, *({"name": name, "value": value} for name, value in sorted(around.env.items()))]
    return {**container, "workingDir": around.workdir, "volumeMounts": mounts, "env": env}


def check_pinned(manifest: Mapping[str, Any], reference: str, others: Mapping[str, str] | None = None) -> None:
    """Raises DeployError unless every image in the manifest is `reference`, and names a digest. Templates in `others` have that image."""
    expected = {f"spec.templates[{name}].container.image": image for name, image in (others or {}).items()}
    for image in (reference, *expected.values()):
        if "@sha256:" not in image:
            raise DeployError(f"{image} names no digest", "an OCI layout or a registry gives one; a Docker daemon does not")
    for place, image in images(manifest):
        if image != expected.get(place, reference):
            raise DeployError(f"{place} is {image}, not the commit's image", "take `image=` out of the flow's decorators")


def images(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Every `image` of a manifest with its path."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name == "image" and isinstance(inner, str):
                yield f"{place}.image".lstrip("."), inner
            else:
                yield from images(inner, f"{place}.{name}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            named = inner.get("name", index) if isinstance(inner, Mapping) else index
            yield from images(inner, f"{place}[{named}]")

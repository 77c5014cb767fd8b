"""The table of development machines. Taken from the settings in force, never from a commit."""

from __future__ import annotations

from dataclasses import dataclass, field

from builder.settings import checks
from builder.settings.fields import key
from builder.settings.running import PodSettings


@dataclass(frozen=True, slots=True)
class DevboxSettings:
    """A machine to work on: a pod of a commit's image, with a home that stays."""

    allow: bool = key(False, "leave to have them: without it `devbox up` starts none, and `deploy --bootstrap` gives nobody the rights")
    idle: str = key("4h", "it stops after so long without a connection, and without work for a processor", checks.time_limit)
    home: str = key("50Gi", "the size of its home, which stays when it stops")
    storage_class: str = key("", "the storage class of the home; the cluster's default when empty")
    shell: str = key("bash", "the shell; `sh` where the image has no such program")
    dockerfile: str = key(
        "",
        "a Dockerfile with what a shell needs besides, built once on base and dependencies; of the commit, else of this tool: "
        "`dockerfiles/devbox/Dockerfile`",
        checks.inside,
    )
    secrets: tuple[str, ...] = key((), "Kubernetes secrets whose keys are environment variables there, such as S3 credentials")
    pod: PodSettings = field(
        default_factory=lambda: PodSettings(cpu="2", memory="8Gi"), metadata={"meaning": "what it asks the cluster for; 2 CPUs and 8Gi"}
    )

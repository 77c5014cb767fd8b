"""The list of checks, in the order in which they are shown."""

from __future__ import annotations

from builder.doctor import ci, cluster, deep, ecr, machine, metaflow, project, storage
from builder.doctor.scene import Check

_MACHINE, _PROJECT, _STORE, _CLUSTER = "This machine", "This repository", "Images and data", "The cluster"

CHECKS = (
    Check(_MACHINE, "python", machine.python, by_settings=False),
    Check(_MACHINE, "git", machine.git, by_settings=False),
    Check(_MACHINE, "git-lfs", machine.git_lfs),
    Check(_MACHINE, "docker", project.docker),
    Check(_MACHINE, "uv", machine.uv),
    Check(_MACHINE, "disk", machine.disk, by_settings=False),
    Check(_PROJECT, "repository", project.repository, by_settings=False),
    Check(_PROJECT, "settings", project.settings, by_settings=False),
    Check(_PROJECT, "dependencies", project.deps),
    Check(_PROJECT, "ci", ci.jobs),
    Check(_STORE, "store", storage.store),
    Check(_STORE, "credentials", storage.credentials),
    Check(_STORE, "lifecycle", ecr.lifecycle),
    Check(_STORE, "base", storage.base),
    Check(_STORE, "data root", project.data_root),
    Check(_STORE, "page", project.page),
    Check(_CLUSTER, "cluster", cluster.reachable),
    Check(_CLUSTER, "argo", cluster.argo),
    Check(_CLUSTER, "rights", cluster.rights),
    Check(_CLUSTER, "accounts", cluster.accounts),
    Check(_CLUSTER, "pods", deep.pods),
    Check(_CLUSTER, "metaflow", metaflow.versions),
    Check(_CLUSTER, "its settings", metaflow.configuration),
)

"""What Argo CD and Flux must know of a manifest that they find in a directory. The cluster's own objects do not need it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_KEPT = {
    "argocd.argoproj.io/sync-options": "Prune=false",
    "argocd.argoproj.io/compare-options": "IgnoreExtraneous",  # else what is kept would count as out of sync for good
    "kustomize.toolkit.fluxcd.io/prune": "disabled",
}
"""Runs that go on, and whoever rolls back, need templates that the directory no longer has; `builder run housekeep` removes them."""
_FIRST = {"argocd.argoproj.io/sync-wave": "-1"}
"""Before the schedules that start them: Argo's controller ignores a schedule whose template it does not know."""
ORDER = ("Namespace", "ServiceAccount", "Role", "RoleBinding", "ConfigMap", "WorkflowTemplate")

Manifest = Mapping[str, Any]

_WATCHERS = {
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "app.kubernetes.io/instance": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
}


def for_gitops(manifest: Manifest) -> dict[str, Any]:
    """The manifest as it goes into a directory. Its name, which is made of what it holds, stays."""
    kind = manifest["kind"]
    marks = {**(_KEPT if kind == "WorkflowTemplate" else {}), **(_FIRST if kind in ("WorkflowTemplate", "ConfigMap") else {})}
    if not marks:
        return dict(manifest)
    metadata = manifest["metadata"]
    return {**manifest, "metadata": {**metadata, "annotations": {**(metadata.get("annotations") or {}), **marks}}}


def place_of(kind: str) -> int:
    """Where objects of a kind stand in the list of files: `kubectl apply -k` goes by it."""
    return ORDER.index(kind) if kind in ORDER else len(ORDER)


def watched_by(there: Manifest) -> str:
    """Who keeps an object of the cluster as a repository says, and would undo what is done here: `Argo CD`, `Flux`, or empty."""
    metadata = there["metadata"]
    marks = {*(metadata.get("labels") or {}), *(metadata.get("annotations") or {})}
    return next((name for mark, name in _WATCHERS.items() if mark in marks), "")

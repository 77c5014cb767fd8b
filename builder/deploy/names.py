"""How things are called in a cluster: at most 45 characters, as Metaflow wants it, of lower case letters, digits and hyphens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MANAGED = {"app.kubernetes.io/managed-by": "builder"}
"""The label of every object that this tool makes."""


def template_name(flow: str, commit: str, hash8: str) -> str:
    """`finetune-0123456789ab-89abcdef`: a flow's name has at most 22 characters."""
    return f"{flow}-{commit[:12]}-{hash8}"


def token(flow: str) -> str:
    """Metaflow's production token guards against two people deploying under one name; our names say what they hold."""
    return f"builder-{flow}"


def schedule_name(schedule: str) -> str:
    """A CronWorkflow keeps its name, whichever commit it starts: its runs are called after it, with a time of ten digits."""
    return schedule


_PLAIN = {"WorkflowTemplate": "template", "CronWorkflow": "schedule", "ConfigMap": "queue"}


def plain_kind(manifest: Mapping[str, Any]) -> str:
    """What people call an object of that kind."""
    kind = str(manifest["kind"])
    return _PLAIN.get(kind, kind.lower())

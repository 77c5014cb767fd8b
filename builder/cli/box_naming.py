"""What the commands of `builder devbox` share: where to look, and which box is meant."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from builder.cluster.kubernetes import KubernetesCluster
    from builder.settings import Settings

repo_option = click.option("--repo", metavar="DIR", type=click.Path(path_type=Path), help="The repository. Default: the one you are in.")


def settings_of(repo: Path | None) -> Settings:
    """Raises SourceError where there are neither settings nor a repository: somebody looks in the wrong place."""
    from builder.cli import wiring
    from builder.source.repository import Git

    start = (repo or Path.cwd()).absolute()
    settings = wiring.load_settings(start)
    if settings.file is None:
        with Git.open(start):
            pass
    return settings


def cluster_of(settings: Settings) -> KubernetesCluster:
    from builder.cluster.kubernetes import connect

    return connect(settings.deploy.namespace, settings.deploy.context)


def named(name: str) -> str:
    """The box's name; that of whoever asks, when he says none."""
    from builder.cli.person import who
    from builder.devbox.box import checked_name, name_for

    return checked_name(name) if name else name_for(who())

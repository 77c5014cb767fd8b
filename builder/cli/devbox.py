"""`builder devbox`: a machine to work on, which is the image of a commit, in the cluster."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder.cli import output
from builder.cli.box_naming import cluster_of, named, repo_option, settings_of
from builder.cli.box_ssh import ssh_command
from builder.cli.box_up import up_command
from builder.errors import UsageError

if TYPE_CHECKING:
    from builder.cluster.kubernetes import KubernetesCluster
    from builder.devbox.box import Box


@click.group("devbox")
def command() -> None:
    """A machine to work on: a commit's image as a pod, with a home that stays.

    Reached with ssh, and by editors that use ssh, through Kubernetes alone. Needs [devbox] allow = true in the settings.
    """


command.add_command(up_command)
command.add_command(ssh_command)


@command.command("ls")
@click.option("--mine", is_flag=True, help="Boxes that you started.")
@repo_option
@output.format_option("table", "json", "name")
def list_command(mine: bool, repo: Path | None, form: str) -> None:
    """List the boxes: whose, of which commit, and how they stand."""
    from builder.cli.person import who
    from builder.devbox import boxes

    cluster = cluster_of(settings_of(repo))
    found = [box for box in boxes.boxes(cluster) if not mine or box.who == who()]
    if not found:
        boxes.check_namespace(cluster)
    if form == "json":
        output.document([_as_json(box) for box in found])
    elif form == "name":
        for box in found:
            output.result(box.name)
    elif found:
        output.table(("BOX", "WHO", "COMMIT", "SUBJECT", "STATE", "SAYS"), [_row(cluster, box) for box in found])
    else:
        output.note("no box is there; next: builder devbox up")


def _as_json(box: Box) -> dict[str, Any]:
    """The documented form (docs/reference/json.md)."""
    from dataclasses import asdict

    return {name: value for name, value in asdict(box).items() if name not in ("ssh", "gpus", "idle")}


def _row(cluster: KubernetesCluster, box: Box) -> tuple[str, ...]:
    from builder.devbox import boxes

    said = boxes.says(cluster, box.name) if box.state in ("running", "stopped") else box.detail
    return (box.name, box.who, box.commit[:12], box.subject[:50], box.state, said)


@command.command("stop")
@click.argument("name", default="")
@click.option("--home", is_flag=True, help="Delete the home, too, with all that is in it.")
@click.option("--yes", is_flag=True, help="Do not ask: neither before a home is deleted, nor about somebody else's box.")
@repo_option
def stop_command(name: str, home: bool, yes: bool, repo: Path | None) -> None:
    """Stop a box. Its home stays. Default NAME: yours.

    Somebody else's, as of one who has left, once you have said yes.
    """
    from builder.devbox import boxes
    from builder.devbox.client import Client

    cluster, name = cluster_of(settings_of(repo)), named(name)
    if not yes:
        _ask(cluster, name, home=home and boxes.has_home(cluster, name))
    removed = boxes.stop(cluster, name, home=home)
    if home:
        Client.of(os.environ).remove(name)
    if not removed:
        output.note(f"there is no box {name}; nothing to do")
        return
    kept = "" if home or not boxes.has_home(cluster, name) else f"; its home stays: builder devbox up {name} goes on there"
    output.note(f"{' and '.join(removed)} {name} removed{kept}")


def _ask(cluster: KubernetesCluster, name: str, *, home: bool) -> None:
    """Before a home goes, and before somebody else's box does. Raises UsageError, and nothing has been done, without a yes."""
    from builder.cli.person import who
    from builder.devbox import boxes

    owner = boxes.owner_of(cluster, name)
    foreign = owner not in ("", who())
    if not home and not (foreign and boxes.find(cluster, name)):
        return
    whose = f" of {owner}" if foreign else ""
    question = f"delete the home of box {name}{whose}, for good?" if home else f"stop box {name}{whose}?"
    if not (sys.stdin.isatty() and click.confirm(question, err=True)):
        what = f"box {name} is {owner}'s" if foreign else f"the home of box {name} would be deleted, for good"
        raise UsageError(f"{what}: nothing was done", "--yes does it without asking")


@command.command("proxy", hidden=True)
@click.argument("name")
@click.option("--namespace", required=True)
@click.option("--context", default="")
def proxy_command_(name: str, namespace: str, context: str) -> None:
    """What ssh starts: carries its connection to the box."""
    from builder.cluster.forward import carry
    from builder.cluster.kubernetes import connect
    from builder.devbox.box import checked_name, pod_name
    from builder.devbox.contract import PORT

    carry(connect(namespace, context), pod_name(checked_name(name)), PORT, sys.stdin.buffer, sys.stdout.buffer)

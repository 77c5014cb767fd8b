"""`builder devbox`: a machine to work on, which is the image of a commit, in the cluster."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder.cli import complete, output
from builder.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.cli.making import Maker
    from builder.cluster.kubernetes import KubernetesCluster
    from builder.devbox.box import Box, Wanted
    from builder.devbox.client import Client
    from builder.model.image import BuiltImage
    from builder.model.tree import Commit
    from builder.settings import Settings

_PATIENCE = 1800.0  # seconds: a node may have to pull a base of many gigabytes

_repo = click.option("--repo", metavar="DIR", type=click.Path(path_type=Path), help="The repository. Default: the one you are in.")


@click.group("devbox")
def command() -> None:
    """A machine to work on: a commit's image as a pod, with a home that stays.

    Reached with ssh, and by editors that use ssh, through Kubernetes alone. Needs [devbox] allow = true in the settings.
    """


@command.command("up")
@click.argument("name", default="")
@click.option(
    "--commit", "revision", metavar="REV", default="", help="The commit. Default: your tree as it is.", shell_complete=complete.revision
)
@click.option("--include", metavar="PATH", multiple=True, help="With your tree as it is: an untracked file that would stop it.")
@click.option("--gpus", metavar="N", type=click.IntRange(min=0), help="GPUs. Default: [devbox.pod] gpus.")
@click.option("--dry-run", is_flag=True, help="Say what would be started; start nothing.")
@_repo
def up_command(name: str, revision: str, include: tuple[str, ...], gpus: int | None, dry_run: bool, repo: Path | None) -> None:
    """Start a box, and wait until it runs. Default NAME: yours.

    Run again, it does nothing while the box runs. A box that has stopped is started anew, on the home that it had. Files of the
    commit are where the image has them, and what is changed there goes with the box; what is in the home stays.
    """
    if include and revision:
        raise UsageError("--include goes with your tree as it is, not with --commit")
    from builder.cli.making import making
    from builder.cli.person import who

    person, name = who(), _named(name)
    with making(repo, dry_run=dry_run) as maker:
        cluster = _cluster(maker.settings)
        image = _image(maker, revision, include)
        settings = _with_gpus(maker.settings, gpus)
        wanted = _wanted(name, person, image, _reference(maker, image, dry_run=dry_run))
        if dry_run:
            _say_planned(wanted, settings)
            return
        _up(cluster, wanted, settings)


def _image(maker: Maker, revision: str, include: Sequence[str]) -> BuiltImage:
    """Where it is pushed for nodes to pull. Raises UsageError when no node could."""
    if not maker.store.hosts:
        raise UsageError(f"nodes cannot pull from {maker.store.name}", "[store] to: a registry")
    return maker.one(revision) if revision else maker.working_tree(include)


def _reference(maker: Maker, image: BuiltImage, *, dry_run: bool) -> str:
    """The commit's image; where the settings say so, with what a shell needs on top."""
    path = maker.settings.devbox.dockerfile
    if not path or dry_run:
        return image.reference
    from builder.data_files import data_path
    from builder.image.shell import with_shell

    text = maker.git.read_path(image.commit, path)
    found = text if text is not None else data_path(path).read_bytes()
    digest = with_shell(maker.workshop, image.manifest, path, found, maker.image_settings(image.commit).platform)
    return maker.store.reference(digest)


def _wanted(name: str, person: str, image: BuiltImage, reference: str) -> Wanted:
    from builder.devbox.box import Wanted
    from builder.devbox.client import Client

    has_tool = any(layer.kind == "tool" for layer in image.layers)
    keys = Client.of(os.environ).public_keys() if has_tool else ""
    commit: Commit = image.commit
    return Wanted(name, person, reference, commit.sha, commit.subject, keys, has_tool)


def _with_gpus(settings: Settings, gpus: int | None) -> Settings:
    from dataclasses import replace

    if gpus is None:
        return settings
    return replace(settings, devbox=replace(settings.devbox, pod=replace(settings.devbox.pod, gpus=gpus)))


def _up(cluster: KubernetesCluster, wanted: Wanted, settings: Settings) -> None:
    from builder.devbox import boxes

    made = boxes.start(cluster, wanted, settings.devbox, settings.deploy.pull_secrets)
    if made:
        output.note(f"box {wanted.name} starts with {wanted.commit[:12]} {wanted.subject}")
    box = boxes.wait_until_running(cluster, wanted.name, lambda detail: output.note(f"  {detail}"), _PATIENCE)
    output.result(box.name)
    if not made:
        output.note(f"box {box.name} runs {box.commit[:12]} already; nothing to do")
    if box.ssh:
        _say_how_to_reach(_introduce(cluster, box.name, settings), box.name)
    else:
        output.warn("the image has no tool layers, so it serves no ssh: `builder devbox ssh` uses kubectl exec")
    output.note(_stops(settings, ssh=box.ssh))
    output.note(f"next: builder devbox ssh{'' if box.name == _named('') else f' {box.name}'}")


def _introduce(cluster: KubernetesCluster, name: str, settings: Settings) -> Client:
    """To this machine's ssh, which then accepts this one host key: the box may have been started from another machine."""
    from builder.devbox import boxes
    from builder.devbox.client import Client, proxy_command

    client, deploy = Client.of(os.environ), settings.deploy
    client.add(name, boxes.host_key(cluster, name), proxy_command(name, deploy.namespace, deploy.context, os.environ))
    return client


def _say_how_to_reach(client: Client, name: str) -> None:
    from builder.devbox.client import alias_of

    if client.is_included:
        output.note(f"ssh and editors know it as {alias_of(name)}")
    else:
        output.note(f"for editors, once: put this line first in ~/.ssh/config, and the box is the host {alias_of(name)}")
        output.note(f"  {client.include_line()}")


def _stops(settings: Settings, *, ssh: bool) -> str:
    idle = settings.devbox.idle
    if not ssh:
        return f"it stops after {idle}; its home stays"
    return f"it stops when nobody has been connected, and nothing has worked there, for {idle}; its home stays"


def _say_planned(wanted: Wanted, settings: Settings) -> None:
    pod = settings.devbox.pod
    asks = f"{pod.cpu} CPUs, {pod.memory}" + (f", {pod.gpus} {pod.gpu_resource}" if pod.gpus else "")
    output.note(f"box {wanted.name} would start with {wanted.commit[:12]} {wanted.subject}: {wanted.reference}")
    if settings.devbox.dockerfile:
        output.note(f"{settings.devbox.dockerfile} would come on top")
    output.note(f"it would ask for {asks}, and a home of {settings.devbox.home}; {_stops(settings, ssh=wanted.ssh)}")


@command.command("ssh", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("name", default="")
@click.argument("words", metavar="[-- COMMAND...]", nargs=-1, type=click.UNPROCESSED)
@_repo
def ssh_command(name: str, words: tuple[str, ...], repo: Path | None) -> int:
    """Open a shell in a box, or run a command there. Default NAME: yours."""
    name, words = _parted(name, words)
    from builder.cli import wiring
    from builder.devbox import boxes

    settings = wiring.load_settings((repo or Path.cwd()).absolute())
    cluster, name = _cluster(settings), _named(name)
    box = boxes.find(cluster, name)
    if box is None or box.state != "running":
        state = f"is {box.state}" if box else "is not there"
        raise UsageError(f"box {name} {state}", f"builder devbox up {name}")
    if not box.ssh:
        return _execute(settings, name, words)
    _introduce(cluster, name, settings)
    return _ssh(name, words)


def _parted(name: str, words: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """`--` stands before a command, also where no box is named."""
    if name == "--":
        return "", words
    return name, words[1:] if words[:1] == ("--",) else words


def _ssh(name: str, words: Sequence[str]) -> int:
    from builder import process
    from builder.devbox.client import Client, alias_of

    terminal = ["-t"] if not words and sys.stdin.isatty() else []
    argv = ["ssh", "-F", str(Client.of(os.environ).ssh_config), *terminal, alias_of(name), *words]
    return process.start(argv, stdin=None, stdout=None, stderr=None).wait()


def _execute(settings: Settings, name: str, words: Sequence[str]) -> int:
    from builder import process
    from builder.devbox.box import CONTAINER, pod_name

    deploy = settings.deploy
    context = ["--context", deploy.context] if deploy.context else []
    terminal = ["-t"] if sys.stdin.isatty() else []
    inside = list(words) or ["sh", "-c", f"exec {settings.devbox.shell} 2>/dev/null || exec sh"]
    argv = ["kubectl", *context, "--namespace", deploy.namespace, "exec", "-i", *terminal, pod_name(name), "-c", CONTAINER, "--", *inside]
    return process.start(argv, stdin=None, stdout=None, stderr=None).wait()


@command.command("ls")
@click.option("--mine", is_flag=True, help="Boxes that you started.")
@_repo
@output.format_option("table", "json", "name")
def list_command(mine: bool, repo: Path | None, form: str) -> None:
    """List the boxes: whose, of which commit, and how they stand."""
    from builder.cli import wiring
    from builder.cli.person import who
    from builder.devbox import boxes

    cluster = _cluster(wiring.load_settings((repo or Path.cwd()).absolute()))
    found = [box for box in boxes.boxes(cluster) if not mine or box.who == who()]
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

    return {name: value for name, value in asdict(box).items() if name != "ssh"}


def _row(cluster: KubernetesCluster, box: Box) -> tuple[str, ...]:
    from builder.devbox import boxes

    said = boxes.says(cluster, box.name) if box.state in ("running", "stopped") else box.detail
    return (box.name, box.who, box.commit[:12], box.subject[:50], box.state, said)


@command.command("stop")
@click.argument("name", default="")
@click.option("--home", is_flag=True, help="Delete the home, too, with all that is in it.")
@click.option("--yes", is_flag=True, help="With --home: do not ask.")
@_repo
def stop_command(name: str, home: bool, yes: bool, repo: Path | None) -> None:
    """Stop a box. Its home stays. Default NAME: yours."""
    from builder.cli import wiring
    from builder.devbox import boxes
    from builder.devbox.client import Client

    cluster, name = _cluster(wiring.load_settings((repo or Path.cwd()).absolute())), _named(name)
    if home and boxes.has_home(cluster, name) and not yes and not _sure(name):
        raise UsageError(f"the home of box {name} stays, and so does the box", "--yes deletes it without asking")
    removed = boxes.stop(cluster, name, home=home)
    if home:
        Client.of(os.environ).remove(name)
    if not removed:
        output.note(f"there is no box {name}; nothing to do")
        return
    kept = "" if home or not boxes.has_home(cluster, name) else f"; its home stays: builder devbox up {name} goes on there"
    output.note(f"{' and '.join(removed)} {name} removed{kept}")


def _sure(name: str) -> bool:
    return sys.stdin.isatty() and click.confirm(f"delete the home of box {name}, for good?", err=True)


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


def _cluster(settings: Settings) -> KubernetesCluster:
    from builder.cluster.kubernetes import connect

    return connect(settings.deploy.namespace, settings.deploy.context)


def _named(name: str) -> str:
    from builder.cli.person import who
    from builder.devbox.box import checked_name, name_for

    return checked_name(name) if name else name_for(who())

"""`builder devbox up`: starts a box, and says how it is reached."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli import complete, output
from builder.cli.box_naming import cluster_of, named, repo_option
from builder.cli.box_ssh import introduce
from builder.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.cli.making import Maker
    from builder.cluster.kubernetes import KubernetesCluster
    from builder.devbox.box import Wanted
    from builder.devbox.client import Client
    from builder.model.image import BuiltImage
    from builder.model.tree import Commit
    from builder.settings import Settings

_PATIENCE = 1800.0  # seconds: a node may have to pull a base of many gigabytes


@click.command("up")
@click.argument("name", default="")
@click.option(
    "--commit", "revision", metavar="REV", default="", help="The commit. Default: your tree as it is.", shell_complete=complete.revision
)
@click.option("--include", metavar="PATH", multiple=True, help="With your tree as it is: an untracked file that would stop it.")
@click.option("--gpus", metavar="N", type=click.IntRange(min=0), help="GPUs. Default: [devbox.pod] gpus.")
@click.option("--dry-run", is_flag=True, help="Say what would be started; start nothing.")
@repo_option
def up_command(name: str, revision: str, include: tuple[str, ...], gpus: int | None, dry_run: bool, repo: Path | None) -> None:
    """Start a box, and wait until it runs. Default NAME: yours.

    Run again, it does nothing while the box runs, unless another commit or other --gpus are asked for: stop it first. A box that has
    stopped is started anew, on the home that it had. Files of the commit are where the image has them, and what is changed there goes
    with the box; what is in the home stays.
    """
    if include and revision:
        raise UsageError("--include goes with your tree as it is, not with --commit")
    from dataclasses import replace

    from builder.cli.making import making
    from builder.cli.person import who
    from builder.devbox import boxes

    person, name = who(), named(name)
    with making(repo, dry_run=dry_run) as maker:
        _check_allowed(maker.settings)
        cluster = cluster_of(maker.settings)
        boxes.check_namespace(cluster)
        image = _image(maker, revision, include)
        settings = _with_gpus(maker.settings, gpus)
        wanted = replace(_wanted(name, person, image, _reference(maker, image, dry_run=dry_run)), gpus=gpus)
        if dry_run:
            _say_planned(wanted, settings)
            return
        _up(cluster, wanted, settings)


def _check_allowed(settings: Settings) -> None:
    if not settings.devbox.allow:
        hint = "set it in builder.toml; then an administrator runs `builder deploy --bootstrap`"
        raise UsageError("there are no boxes here: [devbox] allow = true is not set", hint)


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
    from builder.devbox.idle import in_words

    made = boxes.start(cluster, wanted, settings.devbox, settings.deploy.pull_secrets)
    if made:
        output.note(f"box {wanted.name} starts with {wanted.commit[:12]} {wanted.subject}")
    box = boxes.wait_until_running(cluster, wanted.name, lambda detail: output.note(f"  {detail}"), _PATIENCE)
    output.result(box.name)
    if not made:
        output.note(f"box {box.name} runs {box.commit[:12]} already; nothing to do")
    if box.ssh:
        _say_how_to_reach(introduce(cluster, box.name, settings), box.name)
    else:
        output.warn("the image has no tool layers, so it serves no ssh: `builder devbox ssh` uses kubectl exec")
    output.note(_stops(in_words(box.idle), ssh=box.ssh))
    output.note(f"next: builder devbox ssh{'' if box.name == named('') else f' {box.name}'}")


def _say_how_to_reach(client: Client, name: str) -> None:
    from builder.devbox.client import alias_of

    if client.is_included:
        output.note(f"ssh and editors know it as {alias_of(name)}")
    else:
        output.note(f"for editors, once: put this line first in ~/.ssh/config, and the box is the host {alias_of(name)}")
        output.note(f"  {client.include_line()}")


def _stops(idle: str, *, ssh: bool) -> str:
    if not ssh:
        return f"it stops after {idle}; its home stays"
    return f"it stops when nobody has been connected, and nothing has worked there, for {idle}; its home stays"


def _say_planned(wanted: Wanted, settings: Settings) -> None:
    pod = settings.devbox.pod
    asks = f"{pod.cpu} CPUs, {pod.memory}" + (f", {pod.gpus} {pod.gpu_resource}" if pod.gpus else "")
    output.note(f"box {wanted.name} would start with {wanted.commit[:12]} {wanted.subject}: {wanted.reference}")
    if settings.devbox.dockerfile:
        output.note(f"{settings.devbox.dockerfile} would come on top")
    output.note(f"it would ask for {asks}, and a home of {settings.devbox.home}; {_stops(settings.devbox.idle, ssh=wanted.ssh)}")

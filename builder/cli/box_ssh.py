"""`builder devbox ssh`: a shell in a box, or a command."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli.box_naming import cluster_of, named, repo_option, settings_of
from builder.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.cluster.kubernetes import KubernetesCluster
    from builder.devbox.client import Client
    from builder.settings import Settings


class _WithCommand(click.Command):
    """Its words may begin with `--` where no NAME stands: click takes it away, and takes the command for the name."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            before, _, _ = self.make_parser(ctx).parse_args(args=args[:at])
            if not isinstance(before.get("name"), str):
                args = [*args[:at], "", *args[at:]]
        return super().parse_args(ctx, args)


@click.command("ssh", cls=_WithCommand, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("name", default="")
@click.argument("words", metavar="[-- COMMAND...]", nargs=-1, type=click.UNPROCESSED)
@repo_option
def ssh_command(name: str, words: Sequence[str], repo: Path | None) -> int:
    """Open a shell in a box, or run a command there. Default NAME: yours.

    A command of one word is a line for the shell there; more words arrive as they are.
    """
    from builder.devbox import boxes

    settings, words = settings_of(repo), _words(words)
    cluster, name = cluster_of(settings), named(name)
    box = boxes.find(cluster, name)
    if box is None or box.state != "running":
        state = f"is {box.state}" if box else "is not there"
        raise UsageError(f"box {name} {state}", f"builder devbox up {name}")
    if not box.ssh:
        return _execute(settings, name, words)
    introduce(cluster, name, settings)
    return _ssh(name, words)


def _words(words: Sequence[str]) -> Sequence[str]:
    """What comes after the name: `--` may stand before a command."""
    return words[1:] if words[:1] == ("--",) else words


def _ssh(name: str, words: Sequence[str]) -> int:
    from builder import process
    from builder.devbox.client import Client, alias_of

    terminal = ["-t"] if not words and sys.stdin.isatty() else []
    argv = ["ssh", "-F", str(Client.of(os.environ).ssh_config), *terminal, alias_of(name), *_line(words)]
    return process.start(argv, stdin=None, stdout=None, stderr=None).wait()


def _line(words: Sequence[str]) -> list[str]:
    """For ssh, which joins words with spaces, and leaves it to a shell to part them. `--`: they are no options of its own."""
    return ["--", words[0] if len(words) == 1 else shlex.join(words)] if words else []


def _execute(settings: Settings, name: str, words: Sequence[str]) -> int:
    from builder import process
    from builder.devbox.box import CONTAINER, pod_name

    deploy = settings.deploy
    context = ["--context", deploy.context] if deploy.context else []
    terminal = ["-t"] if sys.stdin.isatty() else []
    shell = f"exec {settings.devbox.shell} 2>/dev/null || exec sh"
    inside = list(words) if len(words) > 1 else ["sh", "-c", *(words or [shell])]
    argv = ["kubectl", *context, "--namespace", deploy.namespace, "exec", "-i", *terminal, pod_name(name), "-c", CONTAINER, "--", *inside]
    return process.start(argv, stdin=None, stdout=None, stderr=None).wait()


def introduce(cluster: KubernetesCluster, name: str, settings: Settings) -> Client:
    """To this machine's ssh, which then accepts this one host key: the box may have been started from another machine."""
    from builder.devbox import boxes
    from builder.devbox.client import Client, proxy_command

    client, deploy = Client.of(os.environ), settings.deploy
    client.add(name, boxes.host_key(cluster, name), proxy_command(name, deploy.namespace, deploy.context, os.environ))
    return client

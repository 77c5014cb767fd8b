"""`builder completion`: the shell's own completion, with flows and revisions."""

from __future__ import annotations

import click

from builder.cli import output

_INSTALL = {
    "bash": "builder completion bash > ~/.local/share/bash-completion/completions/builder",
    "zsh": "builder completion zsh > ~/.zfunc/_builder   # with `fpath+=~/.zfunc` before `compinit` in ~/.zshrc",
    "fish": "builder completion fish > ~/.config/fish/completions/builder.fish",
}
_KEEP_AT = "COMP_WORDBREAKS=${COMP_WORDBREAKS//@}  # FLOW@REV is one word\n"


@click.command()
@click.argument("shell", type=click.Choice(list(_INSTALL)))
def command(shell: str) -> None:
    """Print the completion script of your shell.

    It completes commands, options, flows, and after `FLOW@` branches, tags and commits.
    """
    from click.shell_completion import get_completion_class

    from builder.cli.frame import root

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    script = kind(root, {}, "builder", "_BUILDER_COMPLETE").source()
    output.result((_KEEP_AT if shell == "bash" else "") + script.strip())
    output.note(f"to install it: {_INSTALL[shell]}")

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
_GO_ON = """
_builder_go_on() {  # after FLOW@ and KEY= there comes more
    _builder_completion "$@"
    if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[@=] ]]; then compopt -o nospace 2>/dev/null; fi
}
complete -o nosort -F _builder_go_on builder"""


@click.command()
@click.argument("shell", type=click.Choice(list(_INSTALL)))
def command(shell: str) -> None:
    """Print the completion script of your shell.

    It completes commands, options, flows, after `FLOW@` branches, tags and commits, and the keys of a flow's configuration.
    """
    from click.shell_completion import get_completion_class

    from builder.cli.frame import root

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    script = kind(root, {}, "builder", "_BUILDER_COMPLETE").source()
    output.result(f"{_KEEP_AT}{script.strip()}{_GO_ON}" if shell == "bash" else script.strip())
    output.note(f"to install it: {_INSTALL[shell]}")

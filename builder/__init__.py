"""builder: every commit of an ML team's repository as a runnable, digest-pinned image."""

from __future__ import annotations

__version__ = "0.1.0"


def start_run(flow: str, *, rev: str = "same", evals: list[str] | tuple[str, ...] = (), on: str = "", **values: object) -> None:
    """For a team's own flows: asks for a run of a flow, with `values` for its configuration, once this step has ended well.

    `rev` is a revision, or `same` for the commit that runs now. What cannot be asked for raises LaunchError at once. It is one line
    in the file that $BUILDER_OUTBOX names (docs/reference/contract.md): a command that has no `builder` on its path writes it itself.
    """
    import json
    import os

    from builder.errors import LaunchError
    from builder.model.asks import check_line

    asked = {
        "start": flow,
        "rev": rev,
        "set": values,
        "evals": evals if isinstance(evals, str) else list(evals),
        **({"on": on} if on else {}),
    }
    check_line(asked, "start_run")
    path = os.environ.get("BUILDER_OUTBOX")
    if not path:
        raise LaunchError(f"start_run({flow!r}): $BUILDER_OUTBOX names no file", "it is there in what `builder run` started")
    with open(path, "a", encoding="utf-8") as outbox:  # noqa: PTH123 - pathlib would cost every start of builder
        outbox.write(json.dumps(asked) + "\n")

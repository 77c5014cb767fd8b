"""What `builder --help` lists. A table, so that help and completion import no command; a command's own file is its truth."""

from __future__ import annotations

import os
from collections.abc import Iterator

GROUPS = {
    "Daily": {
        "run": "Run a flow at any commit, or with your tree as it is.",
        "show": "Explain a run, a revision, a digest or a checkpoint.",
        "status": "List runs: who runs what, where, and how it stands.",
        "logs": "Print a run's logs.",
        "stop": "Stop a run.",
        "retry": "Go on with a failed run.",
        "compare": "Compare revisions or runs.",
        "bisect": "Find the commit that changed a score.",
        "devbox": "Start a development machine at a commit.",
    },
    "Images": {
        "image": "Build and push the image of a commit.",
        "base": "Pin the base image, or mirror it into your registry.",
        "deps": "Build the dependencies image or layers.",
        "verify": "Check that an image is exactly its commit.",
        "test": "Run your tests in the image of a commit.",
    },
    "Ship": {
        "deploy": "Deploy the flows of a commit.",
        "gc": "Delete what nothing needs any more.",
    },
    "Once": {
        "init": "Look at the repository and write a builder.toml.",
        "doctor": "Check this machine, the settings, the store and the cluster.",
        "slim-repo": "Make a big repository small, losing nothing.",
        "data": "List and fetch what slim-repo moved out.",
        "demo": "Try it all on a small repository.",
        "completion": "Print the completion script of your shell.",
    },
}

BUILT_IN_FLOWS = ("finetune", "train", "watch", "housekeep")


def module_name(command: str) -> str:
    return command.replace("-", "_")


def existing() -> Iterator[tuple[str, dict[str, str]]]:
    """The groups, with those commands whose file is there."""
    files = frozenset(os.listdir(os.path.dirname(__file__)))  # noqa: PTH120, PTH208 - pathlib costs help 5 ms
    for title, commands in GROUPS.items():
        found = {name: line for name, line in commands.items() if f"{module_name(name)}.py" in files}
        if found:
            yield title, found


def names() -> list[str]:
    return [name for _, commands in existing() for name in commands]

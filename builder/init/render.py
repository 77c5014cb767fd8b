"""A proposal as the text of a builder.toml, with a comment wherever a person has to decide."""

from __future__ import annotations

import json
from collections.abc import Sequence

from builder.init.propose import Dependencies, Proposal
from builder.init.training import Training

_CATALOG = "https://catalog.ngc.nvidia.com/orgs/nvidia/containers/pytorch/tags"
_EXAMPLE_EXCLUDES = ("docs/", "notebooks/", "*.ipynb")

_CONTRACT = (
    "# A command for each action type that is scored; a run needs one at least. It ends with 0 after it has appended a line",
    '# {"step": 1, "name": "score", "value": 0.5} to the file that $BUILDER_METRICS names; training does the same with',
    '# "loss". {action} is the name on the left, {checkpoint} the directory that training has written to.',
)


def render(proposal: Proposal) -> str:
    """The file's text; `load` accepts it as it is."""
    flow = render_flow("finetune", "finetune", proposal.training)
    parts = [_image(proposal), _deps(proposal.dependencies), _store(), flow, _ci(proposal.test)]
    return (
        "# What every commit's image is made of, and how its flows run. Every key is in builder's documentation,\n"
        "# on the page Settings of its reference; `builder doctor` checks what is written here.\n\n" + "\n\n".join(parts) + "\n"
    )


def _image(proposal: Proposal) -> str:
    lines = ["[image]", *_base(proposal)]
    lines.append(f"pythonpath = {_list(proposal.import_roots)}  # where the team's packages are, relative to /code")
    if proposal.source:
        lines.append(f"source = {_text(proposal.source)}  # goes into the images' labels")
    if proposal.lfs:
        lines.append('lfs = "pointers"  # the repository uses Git LFS: "fetch" puts the real files into every image')
    if proposal.submodules:
        lines.append('submodules = "include"  # or "skip"')
    return "\n".join([*lines, *_exclude(proposal)])


def _base(proposal: Proposal) -> list[str]:
    if proposal.base:
        return [f"base = {_text(proposal.base)}  # from {_comment(proposal.base_from)}; `builder base pin` adds the digest"]
    return [
        f"# The image below everything; choose one at {_CATALOG}",
        "# and let `builder base pin nvcr.io/nvidia/pytorch:YY.MM-py3` write it here, with its digest.",
        '# base = ""',
    ]


def _exclude(proposal: Proposal) -> list[str]:
    lines = [f"# not translated from .dockerignore: {_comment(line)}" for line in proposal.exclude.left_out]
    if not proposal.exclude.patterns:
        return [*lines, f"# exclude = {_list(_EXAMPLE_EXCLUDES)}  # files that no run needs, as in .gitignore"]
    listed = "".join(f"    {_text(pattern)},\n" for pattern in proposal.exclude.patterns)
    return [*lines, "# from .dockerignore, in .gitignore's way of writing", f"exclude = [\n{listed}]"]


def _deps(found: Dependencies) -> str:
    if found.dockerfile:
        context = f"\ncontext = {_list(found.context)}  # exactly these are sent to the build" if found.context else ""
        said = f"\nargs = {{ REQUIREMENTS = {_text(found.requirements)} }}" if found.requirements else ""
        return f"[image.deps]\ndockerfile = {_text(found.dockerfile)}{context}{said}"
    if found.lock:
        return f'[image.deps]\nlock = {_text(found.lock)}\n# provided = ["torch"]  # what the base has already'
    advice = "".join(f"\n#   {_comment(line)}" for line in found.advice)
    intro = "# Packages that the base lacks: from a lock with hashes, without Docker, or from a Dockerfile." + advice
    return f'{intro}\n# [image.deps]\n# lock = "requirements.lock"'


def _store() -> str:
    return (
        "[store]\n"
        "# to = \"registry.example.com/team/images\"  # without it images go to oci:.builder/images on this disk"
    )  # fmt: skip


def _ci(test: Sequence[str]) -> str:
    command = f"test = {_list(test)}" if test else '# test = ["python", "-m", "pytest"]  # when empty: whether Python can read every file'
    return f"# `builder test` runs it in the image of a commit, and CI in that of every commit.\n[ci]\n{command}"


def render_flow(name: str, kind: str, found: Training) -> str:
    """The tables of a flow of a built-in kind; what is not known stands there as a comment to fill in."""
    table = f"[flow.{name}]"
    use = [f"use = {_text(kind)}"] if name != kind else []
    evaluation = found.evaluation or ("python", "-m", "team.evaluate", "--checkpoint", "{checkpoint}")
    evals = [*_CONTRACT, f"# [flow.{name}.evals]", _comment(f"# click = {_list(evaluation)}")]
    if not found.command:
        example = '# command = ["python", "-m", "team.train", "--config", "{config}"]'
        return "\n".join([f"# {table}", *(f"# {line}" for line in use), example, f"# {_config(found)}", "", *evals])
    others = [f"# or {_comment(path)}" for path in found.others]
    config = _config(found) if found.reads_config else f"# {_config(found)}  # if the command shall get one, as {{config}}"
    return "\n".join([table, *use, *others, f"command = {_list(found.command)}", config, "", *evals])


def _config(found: Training) -> str:
    return f"config = {_text(found.config or 'configs/finetune.yaml')}"


def _list(items: Sequence[str]) -> str:
    return "[" + ", ".join(_text(item) for item in items) + "]"


def _text(value: str) -> str:
    """A TOML basic string: JSON's, which leaves DEL as it is where TOML does not allow it."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    """One line whatever the repository's files are called."""
    return "".join(character if character.isprintable() else "?" for character in text)

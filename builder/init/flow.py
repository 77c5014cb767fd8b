"""A new flow in the settings: one of the built-in kind, or a Metaflow file of the team's own to begin with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from builder.data_files import data_path
from builder.errors import SettingsError, UsageError
from builder.init.render import render_flow
from builder.init.training import Training
from builder.settings import checks, load
from builder.settings.load import FILE, has_project_table

_KIND = "finetune"


@dataclass(frozen=True, slots=True)
class NewFlow:
    """The table to add to builder.toml, and with a flow of the team's own its file, relative to the repository's root."""

    table: str
    path: str = ""
    text: str = ""


def propose_flow(name: str, training: Training, *, own: bool) -> NewFlow:
    """Raises UsageError on what cannot be a flow's name."""
    try:
        checks.flow_names([name])
    except ValueError as error:
        raise UsageError(f"{name!r} cannot be the name of a flow: it is {error}") from error
    if not own:
        return NewFlow(render_flow(name, _KIND, training))
    path = f"flows/{name.replace('-', '_')}.py"
    words = "".join(part.capitalize() for part in name.split("-"))
    text = data_path("examples/flow.py").read_text(encoding="utf-8").replace("NEW-FLOW", name).replace("NewFlow", words)
    return NewFlow(f'[flow.{name}]\nfile = "{path}"\n# description = "One line for people"\n', path, text)


def add_flow(root: Path, name: str, flow: NewFlow) -> list[Path]:
    """Writes it, and returns the files that it wrote into. Raises UsageError when it is there, or there are no settings to add it to."""
    settings = root / FILE
    if has_project_table(root):
        raise UsageError("the settings are in pyproject.toml", f"--dry-run prints the table: add it there, as [tool.builder.flow.{name}]")
    if not settings.exists():
        raise UsageError(f"there is no {settings}", "`builder init` writes one")
    before = settings.read_text(encoding="utf-8")
    if name in load(root, {}).flow or re.search(rf"^# *\[flow\.{name}\]", before, re.MULTILINE):
        raise UsageError(f"[flow.{name}] is in {settings} already", "choose another name, or fill in what is commented out there")
    written = [settings]
    if flow.path:
        written.append(_new_file(root / flow.path, flow.text))
    settings.write_text(f"{before.rstrip()}\n\n{flow.table.rstrip()}\n", encoding="utf-8")
    return written


def _new_file(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise UsageError(f"{path} is there already", f'say in the settings that it is a flow: file = "{path.name}"') from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror}") from error
    return path

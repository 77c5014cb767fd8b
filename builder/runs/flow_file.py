"""What a team's own Metaflow file says without being run: its flow's class and parameters.

It is only read, never imported: what it needs may not be installed here.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from builder.errors import SettingsError, UsageError

UNSEEN = "?"
"""Stands for a default that is no plain value."""


@dataclass(frozen=True, slots=True)
class FlowFile:
    """`parameters`: name to default, None where there is none. `complete`: there are no others, as none can come from elsewhere."""

    path: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    complete: bool = True


def read_flow_file(path: str, data: bytes | None, where: str) -> FlowFile:
    """The file of a commit. `where` is the key in the settings that names it. Raises SettingsError when it is no Metaflow flow."""
    if data is None:
        raise SettingsError(f"{where}: the commit has no {path}", "paths start at the commit's root")
    try:
        tree = ast.parse(data, path)
    except (SyntaxError, ValueError) as error:
        raise SettingsError(f"{where}: {path} is no Python: {error}") from error
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    flow = _flow_class(tree, classes)
    if flow is None and any(_name(node.func)[:1].isupper() for node in _script(tree)):
        return FlowFile(path, {}, complete=False)  # its class is from another file
    if flow is None:
        raise SettingsError(
            f"{where}: {path} has no flow", "a class that is a FlowSpec, and at the end: if __name__ == '__main__': NAME_OF_THE_CLASS()"
        )
    lineage, complete = _lineage(flow, classes)
    parameters = {name: value for node in reversed(lineage) for name, value in _parameters(node)}
    return FlowFile(path, parameters, complete)


def check_words(file: FlowFile, words: Sequence[str], where: str) -> dict[str, str]:
    """`key=value` words as the flow's parameters. Raises UsageError on a key that is none, if that can be said without running the file."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise UsageError(f"{word!r} is not key=value")
        if file.complete and name not in file.parameters:
            near = difflib.get_close_matches(name, file.parameters, 1)
            known = ", ".join(file.parameters) or "none"
            raise UsageError(
                f"{name}: {where} has no such parameter; it has {known}",
                f"did you mean {near[0]}?" if near else f'add it to {file.path}: {name} = Parameter("{name}", default=...)',
            )
        found[name] = value
    return found


def _flow_class(tree: ast.Module, classes: Mapping[str, ast.ClassDef]) -> ast.ClassDef | None:
    """The class that the file makes an instance of when it runs as a script; else the only one that looks like a flow."""
    called = [classes[name] for name in map(_name, (call.func for call in _script(tree))) if name in classes]
    flows = called or [node for node in classes.values() if any(_name(base).endswith("FlowSpec") for base in node.bases)]
    return flows[-1] if flows else None


def _script(tree: ast.Module) -> Iterator[ast.Call]:
    """What is called where it says `if __name__ == "__main__"`."""
    parts = (node for node in tree.body if isinstance(node, ast.If) and "__name__" in ast.dump(node.test))
    return (call for node in parts for call in ast.walk(node) if isinstance(call, ast.Call))


def _lineage(flow: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> tuple[list[ast.ClassDef], bool]:
    """The class and those of its file that it comes from; whether that is all, but for FlowSpec itself."""
    found, complete, open_ = [flow], not flow.keywords and not _mutated(flow), list(flow.bases)
    while open_:
        name = _name(open_.pop())
        if name in classes and classes[name] not in found:
            found.append(classes[name])
            open_ += classes[name].bases
        elif name.rpartition(".")[2] != "FlowSpec":
            complete = False
    return found, complete


def _mutated(flow: ast.ClassDef) -> bool:
    """A decorator that is not Metaflow's own may add parameters (FlowMutator)."""
    known = ("project", "schedule", "trigger", "trigger_on_finish", "conda_base", "pypi_base", "exit_hook")
    names = (_name(node.func if isinstance(node, ast.Call) else node).rpartition(".")[2] for node in flow.decorator_list)
    return any(name not in known for name in names)


def _parameters(node: ast.ClassDef) -> Iterator[tuple[str, Any]]:
    for line in node.body:
        value = line.value if isinstance(line, (ast.Assign, ast.AnnAssign)) else None
        if isinstance(value, ast.Call) and _name(value.func).rpartition(".")[2] in ("Parameter", "IncludeFile"):
            name = _keyword(value, "name") if not value.args else _literal(value.args[0])
            if isinstance(name, str):
                yield name, _keyword(value, "default")


def _keyword(call: ast.Call, name: str) -> Any:
    return next((_literal(word.value) for word in call.keywords if word.arg == name), None)


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return UNSEEN


def _name(node: ast.AST) -> str:
    """`metaflow.FlowSpec` of a name or an attribute; nothing of anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}".lstrip(".")
    return ""

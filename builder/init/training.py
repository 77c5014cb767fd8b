"""Which commands of the repository train and evaluate, as far as names and a look at the scripts tell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from builder.init.repository import Repository

_TRAINS = re.compile(r"(?:run_|main_)?(fine_?tune|finetuning|sft|train)(?:er|ing)?(?:_\w+)?\.py\Z")
_EVALUATES = re.compile(r"(?:run_|main_)?(?:eval|evaluate|evaluation|evaluator|score)(?:_\w+)?\.py\Z")
_ELSEWHERE = frozenset({"tests", "test", "docs", "third_party", "vendor", "notebooks", "benchmarks"})
_CONFIG = re.compile(r"(?:^|/)(?:configs?|conf)/.*\.ya?ml\Z|(?:^|/)config\.ya?ml\Z")


@dataclass(frozen=True, slots=True)
class Training:
    """`command` and `config` are empty when nothing was found; `others` are scripts that may be meant instead.

    `reads_config`: the command takes the configuration. `evaluation` is the likeliest command for one action type; a guess.
    """

    command: tuple[str, ...] = ()
    config: str = ""
    others: tuple[str, ...] = ()
    reads_config: bool = False
    evaluation: tuple[str, ...] = ()


def find(repository: Repository, import_roots: tuple[str, ...]) -> Training:
    """The likeliest one: fine-tuning before training, near the root before deep down."""
    scripts = _scripts(repository, _TRAINS)
    config, evaluation = _config(repository), _evaluation(repository, import_roots)
    if not scripts:
        return Training(config=config, evaluation=evaluation)
    flag = _flag(repository.text(scripts[0]), "config")
    words = ("python", *_start(scripts[0], repository, import_roots), *(flag if config else ()))
    return Training(words, config, tuple(scripts[1:4]), bool(flag and config), evaluation)


def _scripts(repository: Repository, wanted: re.Pattern[str]) -> list[str]:
    paths = ((path, PurePosixPath(path)) for path in repository.files)
    return sorted((path for path, pure in paths if wanted.match(pure.name) and _ELSEWHERE.isdisjoint(pure.parts[:-1])), key=_rank)


def _evaluation(repository: Repository, import_roots: tuple[str, ...]) -> tuple[str, ...]:
    scripts = _scripts(repository, _EVALUATES)
    if not scripts:
        return ()
    text = repository.text(scripts[0])
    flags = (word for name in ("config", "checkpoint", "action") for word in _flag(text, name))
    return ("python", *_start(scripts[0], repository, import_roots), *flags)


def _rank(path: str) -> tuple[bool, int, str]:
    return "tune" not in PurePosixPath(path).name, path.count("/"), path


def _start(script: str, repository: Repository, import_roots: tuple[str, ...]) -> tuple[str, ...]:
    """`-m package.module` for a module of a package, else the file."""
    for root in sorted(import_roots, key=len, reverse=True):
        inside = script if root == "." else script.removeprefix(f"{root}/")
        parts = inside.removesuffix(".py").split("/")
        starts_here = root == "." or inside != script
        prefix = "" if root == "." else f"{root}/"
        is_package = f"{prefix}{parts[0]}/__init__.py" in repository.files
        if starts_here and len(parts) > 1 and is_package and all(part.isidentifier() for part in parts):
            return "-m", ".".join(parts)
    return (script,)


def _flag(script: str, name: str) -> tuple[str, ...]:
    """The option of the script that takes what the placeholder `{name}` stands for."""
    match = re.search(rf"""["'](--{name}(?:[-_](?:file|path|type))?)["']""", script)
    return (match[1], f"{{{name}}}") if match else ()


def _config(repository: Repository) -> str:
    found = sorted(
        (path for path in repository.files if _CONFIG.search(path)), key=lambda path: ("tune" not in path, path.count("/"), path)
    )
    return found[0] if found else ""

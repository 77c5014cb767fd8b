"""What a file of the tip is to the search for dead code: an entry point of some kind, a module, or a text that may name one."""

from __future__ import annotations

import re
from typing import Literal

Kind = Literal["test", "script", "packaging", "ci", "docker", "notebook", "cron", "text"]
"""Of entry points. Every text that is no Python is one: whatever it names is used."""
PLURAL: dict[Kind, str] = {
    "test": "tests",
    "script": "scripts",
    "packaging": "packaging files",
    "ci": "CI files",
    "docker": "Docker files",
    "notebook": "notebooks",
    "cron": "cron files",
    "text": "other texts",
}

_CI = re.compile(
    r"(?:.*/)?(?:\.github/|\.circleci/|\.buildkite/|\.woodpecker/|\.ci/|ci/|jenkinsfile|\.gitlab-ci|\.travis\.yml|azure-pipelines|bitbucket-pipelines|"
    r"\.pre-commit-config)",
    re.IGNORECASE,
)
_DOCKER = re.compile(r"(?:.*/)?(?:dockerfile[^/]*|[^/]*\.dockerfile|(?:docker-)?compose[^/]*\.ya?ml|\.devcontainer/.*)\Z", re.IGNORECASE)
_CRON = re.compile(r"(?:.*/)?(?:[^/]*cron[^/]*(?:/.*)?|[^/]*\.(?:timer|service))\Z", re.IGNORECASE)
_PACKAGING = re.compile(r"(?:.*/)?(?:pyproject\.toml|setup\.cfg|setup\.py|tox\.ini|noxfile\.py|manifest\.in)\Z", re.IGNORECASE)
_TEST = re.compile(r"(?:.*/)?(?:tests?/.*|test_[^/]*|[^/]*_test\.py|conftest\.py)\Z")
_BY_NAME = frozenset(("__main__.py", "manage.py", "wsgi.py", "asgi.py", "sitecustomize.py", "usercustomize.py", "fabfile.py", "tasks.py"))
"""Names that some program looks for by itself."""
_MAIN = re.compile(rb"""^if\s+(?:__name__\s*==\s*['"]__main__['"]|['"]__main__['"]\s*==\s*__name__)""", re.MULTILINE)
_DOES = re.compile(rb"^(?:[A-Za-z_][\w.]*\(|(?:for|while|with)\s)", re.MULTILINE)
"""A call, or a loop, where a module has its definitions."""
_DEFINES = re.compile(rb"^(?:async\s+def|def|class)\s", re.MULTILINE)
_SHEBANG = re.compile(rb"#![^\n]*\bpython")


def kind_of_text(path: str) -> Kind:
    """Of a file that is no Python."""
    patterns: tuple[tuple[re.Pattern[str], Kind], ...] = ((_CI, "ci"), (_DOCKER, "docker"), (_PACKAGING, "packaging"), (_CRON, "cron"))
    name = path.rpartition("/")[2]
    suffix = name[name.rfind(".") :].lower() if "." in name else ""
    if suffix == ".ipynb":
        return "notebook"
    found = next((kind for pattern, kind in patterns if pattern.match(path)), None)
    return found or ("script" if suffix in (".sh", ".bash", ".mk") or name == "Makefile" else "text")


def is_python(path: str, data: bytes) -> bool:
    return path.endswith((".py", ".pyw")) or bool("." not in path.rpartition("/")[2] and _SHEBANG.match(data))


def kind_of_python(path: str, data: bytes, *, executable: bool, packaged: bool) -> Kind | None:
    """None for a module that is started by nobody.

    What does something from the top to the bottom is a script, too; in a package (`packaged`) only when it defines nothing besides.
    """
    if _PACKAGING.match(path):
        return "packaging"
    if _TEST.match(path):
        return "test"
    started = executable or path.rpartition("/")[2] in _BY_NAME or _SHEBANG.match(data) or _MAIN.search(data)
    runs_through = _DOES.search(data) and not (packaged and _DEFINES.search(data))
    return "script" if started or runs_through else None

"""What a value must be beyond its type. Each raises ValueError(what was expected)."""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Iterable, Mapping

from builder.errors import without_passwords
from builder.model.json_path import parse as parse_json_path

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?\Z")
_PYTHON = re.compile(r"3\.\d+\Z")
_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+\Z")
_FLOW = re.compile(r"[a-z](?:[a-z0-9-]{0,20}[a-z0-9])?\Z")  # they are labels in a cluster, too


def workdir(value: str) -> None:
    if not value.startswith("/") or value == "/" or value.startswith("//") or posixpath.normpath(value) != value or "\0" in value:
        raise ValueError('an absolute directory such as "/code", without "..", "." or a slash at the end')


def import_path(values: Iterable[str]) -> None:
    for value in values:
        if not value or ":" in value or "\0" in value or ".." in value.split("/"):
            raise ValueError('directories, relative to image.workdir or absolute, without ".." and ":"')


def patterns(values: Iterable[str]) -> None:
    from builder.model.globs import parse  # only for those who exclude something

    try:
        for value in values:
            parse(value)
    except ValueError as error:
        raise ValueError(f"patterns as in .gitignore, with {error}") from error


def cluster_file(value: str) -> None:
    if value and (not value.startswith(("/", "~/")) or set(value) & set(":,\0")):
        raise ValueError('an absolute path on the cluster, or one such as "~/.aws/credentials", without ":" and ","')


def inside(value: str) -> None:
    if value and (value.startswith("/") or ".." in value.split("/") or "\0" in value):
        raise ValueError('a path relative to the repository\'s root, without ".."')


def all_inside(values: Iterable[str]) -> None:
    for value in values:
        inside(value)


def variable(value: str) -> None:
    if not _VARIABLE.match(value):
        raise ValueError("the name of an environment variable: letters, digits and _")


def maybe_variable(value: str) -> None:
    if value:
        variable(value)


def repository(value: str) -> None:
    if value and not _REPOSITORY.match(value):
        raise ValueError('a repository such as "team/agent"')


def variables(values: Mapping[str, str]) -> None:
    for name, value in values.items():
        if not _VARIABLE.match(name) or "\0" in value:
            raise ValueError("names of environment variables (letters, digits and _) with their values")


def platform(value: str) -> None:
    if not _PLATFORM.match(value):
        raise ValueError('a platform such as "linux/amd64"')


def python(value: str) -> None:
    if value and not _PYTHON.match(value):
        raise ValueError('a Python version such as "3.12"')


def public_url(value: str) -> None:
    """It ends up in labels that everybody who can pull can read."""
    if value and ("://" not in value or without_passwords(value) != value or any(c.isspace() for c in value)):
        raise ValueError('a URL such as "https://git.example.com/team/repository", without user and password')


def word(value: str) -> None:
    """It becomes a word of a command line in a file of others'."""
    if value and not re.fullmatch(r"[A-Za-z0-9@=_.,/:+%#-]+", value):
        raise ValueError("one word without spaces, quotes and other characters of a shell")


def command(value: tuple[str, ...]) -> None:
    if any("\0" in word for word in value):
        raise ValueError("words without NUL characters")


def flow_names(values: Iterable[str]) -> None:
    for name in values:
        if not _FLOW.match(name):
            raise ValueError("a name of at most 22 lower case letters, digits and hyphens, a letter first and no hyphen last")


_DURATION = re.compile(r"(\d+)(s|m|h|d)\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_ENDS = re.compile(r"(failed|timeout|killed|memory|lost|cancelled|stage|exit:\d{1,3})\Z")
_KUBERNETES = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")
_PLACEHOLDERS = {"run", "flow", "commit", "workflow", "namespace", "step", "job", "job_name", "job_log"}
_EVENTS = ("started", "queued", "succeeded", "failed")


def seconds(value: str) -> int:
    """`90s`, `15m`, `2h`, `7d` as seconds. Raises ValueError(what was expected)."""
    match = _DURATION.match(value)
    if not match:
        raise ValueError('a duration such as "90s", "15m", "2h" or "7d"')
    return int(match[1]) * _SECONDS[match[2]]


def duration(value: str) -> None:
    seconds(value)


def time_limit(value: str) -> None:
    if seconds(value) == 0:
        raise ValueError("more than no time at all")


def maybe_time_limit(value: str) -> None:
    if value:
        time_limit(value)


def json_path(value: str) -> None:
    try:
        parse_json_path(value)
    except ValueError as error:
        raise ValueError(f'keys and places in lists, such as "$.click.acc" or "$.runs[0].acc" ({error})') from error


def finite(value: float) -> None:
    if not math.isfinite(value):
        raise ValueError("a finite number")


def more_than_one(value: float) -> None:
    if not math.isfinite(value) or value <= 1:
        raise ValueError("a number greater than 1")


def not_negative(value: int) -> None:
    if value < 0:
        raise ValueError("0 or more")


def positive(value: int) -> None:
    if value < 1:
        raise ValueError("1 or more")


def gpus(value: str) -> None:
    if value and value != "all" and not value.isdecimal():
        raise ValueError('"all", or a number such as "2"')


def docker_size(value: str) -> None:
    if value and not re.fullmatch(r"[1-9]\d*[bkmg]?", value):
        raise ValueError('a size such as "512m" or "16g"')


def retries(value: int) -> None:
    """Metaflow keeps six attempts of a task (MAX_ATTEMPTS in metaflow_config.py): the first, four more, and one to go on without."""
    if not 0 <= value <= 4:
        raise ValueError("0 to 4")


def expression(value: str) -> None:
    try:
        groups = re.compile(value).groups
    except re.error as error:
        raise ValueError(f"a regular expression ({error})") from error
    if value and groups < 1:
        raise ValueError('a regular expression with a group for the number, such as "acc=([0-9.]+)"')


def ends(values: Iterable[str]) -> None:
    for value in values:
        if not _ENDS.match(value):
            raise ValueError("a list of `failed`, `timeout`, `killed`, `memory`, `lost`, `cancelled`, `stage` and `exit:N`")


def events(values: Iterable[str]) -> None:
    for value in values:
        if value not in _EVENTS:
            raise ValueError(f"a list of {', '.join(f'`{event}`' for event in _EVENTS)}")


def types(values: Mapping[str, str]) -> None:
    for value in values.values():
        if value not in ("int", "float", "str", "bool", "list", "dict"):
            raise ValueError("for every key one of `int`, `float`, `str`, `bool`, `list`, `dict`")


def kubernetes_name(value: str) -> None:
    if not _KUBERNETES.match(value):
        raise ValueError("a name of Kubernetes: lower case letters, digits and hyphens, at most 63")


def assignments(values: Iterable[str]) -> None:
    for value in values:
        if "=" not in value or value.startswith("="):
            raise ValueError('words such as "lr=3e-5"')


def links(values: Mapping[str, str]) -> None:
    for value in values.values():
        if "://" not in value or set(re.findall(r"\{(\w+)\}", value)) - _PLACEHOLDERS:
            raise ValueError("URLs, in which " + ", ".join(f"{{{name}}}" for name in sorted(_PLACEHOLDERS)) + " are replaced")

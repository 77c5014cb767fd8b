"""The one loader of configurations: defaults < the commit's file < key=value. The same values on every machine.

A file is YAML, JSON or TOML by its suffix. What was resolved is written in the file's own format, for the team's commands to read.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from builder.errors import SettingsError
from builder.files import write_whole
from builder.model.oci import canonical_json, sha256
from builder.steps.external import check_keys
from builder.steps.links import links_of
from builder.steps.perform import Facts, perform
from builder.steps.publish import publish
from builder.steps.request import Request, Task, identity
from builder.steps.request_file import keep_request
from builder.steps.types import check_types

_FORMATS = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml"}


@dataclass(frozen=True, slots=True)
class Config:
    """A resolved configuration: the values, the same as a file's text, that file's suffix, and `sha256:<hex>` of the values."""

    values: Mapping[Any, Any] = field(default_factory=dict)
    text: str = ""
    suffix: str = ".yaml"
    digest: str = ""


def load(
    name: str,
    read: Callable[[str], bytes | None],
    overrides: Sequence[str] = (),
    defaults: Mapping[str, Any] | None = None,
    schema: Mapping[str, str] | None = None,
) -> Config:
    """Resolves the configuration file `name`, a path from the commit's root (empty: no file).

    `read` gives a file of the commit, or None; `schema` maps dotted keys to the types they must have. Raises SettingsError naming file
    and key: no such file, not a mapping, a key=value for a key that nothing defines, or of another type than the file's or the schema's.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    suffix = PurePosixPath(name).suffix.lower() or ".yaml"
    try:
        merged = OmegaConf.merge(OmegaConf.create(dict(defaults or {})), OmegaConf.create(_parse(name, suffix, read)))
        for override in overrides:
            _apply(merged, override, name, schema or {})
        _forbid_environment(merged, name)
        values = OmegaConf.to_container(merged, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        key = f": {error.full_key}" if error.full_key else ""
        raise SettingsError(f"{name}{key}: {str(error).splitlines()[0]}") from error
    assert isinstance(values, dict)
    check_types(_with_names(values), schema or {}, name or "the flow's defaults")
    return Config(values, _render(values, suffix), suffix, sha256(canonical_json(_with_names(values))))


def resolve(task: Task) -> Config:
    """The step: resolves the run's configuration, which is kept with the run."""
    keep_request(task.request)
    return perform(task, "start", Config, lambda facts: _resolve(task.request, facts))


def _resolve(request: Request, facts: Facts) -> Config:
    settings = request.settings
    check_keys(request)
    read = partial(read_file, Path(request.place.workdir))
    config = load(request.config, read, request.overrides, settings.defaults, settings.schema)
    publish(request, "", {f"config{config.suffix}": config_file(request, config)})
    facts.update(about(request), config=config.digest, values=_with_names(dict(config.values)), identity=identity(request, config.digest))
    return config


def about(request: Request) -> Facts:
    """What the ledger says of the run itself: a nightly has no starter that could write it down."""
    import msgspec

    names = ("flow", "reference", "subject", "on", "namespace", "overrides", "evals", "origin")
    restore = {"restore": request.restore} if request.restore else {}
    return {**{name: msgspec.to_builtins(getattr(request, name)) for name in names}, **restore, "links": links_of(request)}


def config_file(request: Request, config: Config) -> Path:
    """The resolved configuration as a file of this step's machine, written when it is not there yet."""
    path = Path(request.place.output) / f"config{config.suffix}"
    if not path.exists():
        write_whole(path, config.text.encode())
    return path


def read_file(root: Path, name: str) -> bytes | None:
    """A file of the commit's tree, by its path from the root; None when there is none."""
    try:
        return (root / name).read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _parse(name: str, suffix: str, read: Callable[[str], bytes | None]) -> dict[str, Any]:
    if not name:
        return {}
    if suffix not in _FORMATS:
        raise SettingsError(f"{name}: a configuration ends with one of {', '.join(_FORMATS)}")
    data = read(name)
    if data is None:
        raise SettingsError(f"the commit has no configuration file {name}", "paths start at the commit's root")
    values = _decode(name, suffix, data)
    if not isinstance(values, dict):
        raise SettingsError(f"{name}: expected keys with values, got {type(values).__name__}")
    return values


def _decode(name: str, suffix: str, data: bytes) -> Any:
    try:
        text = data.decode("utf-8")
        if _FORMATS[suffix] == "json":
            return json.loads(text)
        if _FORMATS[suffix] == "toml":
            import tomlkit

            return tomlkit.parse(text).unwrap()
        return _yaml(text)
    except ValueError as error:  # not UTF-8, not JSON, not TOML, not YAML
        raise SettingsError(f"{name}: {error}") from error


def _yaml(text: str) -> Any:
    """With OmegaConf's reader: `1e-5` is a number to it, as YAML 1.2 has it."""
    import yaml
    from omegaconf import OmegaConf

    try:
        return OmegaConf.to_container(OmegaConf.create(text))
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error


def _apply(merged: Any, override: str, name: str, schema: Mapping[str, str]) -> None:
    from omegaconf import OmegaConf

    source = name or "the flow's defaults"

    key, equals, text = override.partition("=")
    if not key or not equals:
        raise SettingsError(f"{override!r} is not key=value")
    known = OmegaConf.select(merged, key, throw_on_resolution_failure=False) is not None or _has(merged, key) or key in schema
    if not known:
        if not name and not merged:
            hint = 'name one: config = "FILE" in the flow\'s table, [flow.NAME], or --config FILE'
            raise SettingsError(f"{override}: the flow has no configuration file whose {key} it could change", hint)
        near = difflib.get_close_matches(key, _keys(OmegaConf.to_container(merged)), 1)
        raise SettingsError(f"{key}: {source} has no such key", f"did you mean {near[0]}?" if near else "add it to the file first")
    before = OmegaConf.select(merged, key, throw_on_resolution_failure=False)
    value = read_word(text)
    if not _fits(OmegaConf.to_container(before) if OmegaConf.is_config(before) else before, value):
        raise SettingsError(f"{key}: {source} has {_kind(before)} here, {text!r} is {_kind(value)}")
    OmegaConf.update(merged, key, value)


def read_word(text: str) -> Any:
    """The value that a word on the command line stands for. Raises SettingsError on what stands for none, such as `@x`."""
    import yaml
    from omegaconf import OmegaConf

    try:
        return OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]))["value"]  # type: ignore[index,call-overload]
    except yaml.YAMLError as error:
        why = str(getattr(error, "problem", None) or error)
        raise SettingsError(
            f"{text!r} cannot be a value: {why}", "text with such characters stands in double quotes, inside of the shell's"
        ) from error


def _has(merged: Any, key: str) -> bool:
    from omegaconf import OmegaConf

    return key in _keys(OmegaConf.to_container(merged))


def _keys(values: Any, prefix: str = "") -> list[str]:
    """Every key, the inner ones with dots."""
    found: list[str] = []
    for name, value in values.items() if isinstance(values, dict) else ():
        found += [f"{prefix}{name}", *_keys(value, f"{prefix}{name}.")]
    return found


def flat(values: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """The innermost keys with dots, as `key=value` takes them."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) and value else {f"{prefix}{name}": value}
    return found


def _with_names(value: Any) -> Any:
    """YAML has keys that are numbers (`0: click`) or true (`on: 1`); JSON has text alone."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else json.dumps(key): _with_names(inner) for key, inner in value.items()}
    return [_with_names(inner) for inner in value] if isinstance(value, list) else value


def _fits(before: object, after: object) -> bool:
    if before is None or isinstance(before, str):
        return True
    if isinstance(before, bool) or isinstance(after, bool):
        return isinstance(before, bool) and isinstance(after, bool)
    if isinstance(before, (int, float)) and isinstance(after, (int, float)):
        return isinstance(before, float) or isinstance(after, int)
    return type(before) is type(after)


def _kind(value: object) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "nothing"}
    return names.get(type(value), "a list" if "list" in type(value).__name__.lower() else "a table")


def _forbid_environment(merged: Any, name: str) -> None:
    """`${oc.env:X}` would give other values on other machines."""
    from omegaconf import OmegaConf

    if "${oc.env:" in OmegaConf.to_yaml(merged):
        raise SettingsError(f"{name}: ${{oc.env:...}} depends on the machine", "let the command read the variable itself")


def _render(values: Mapping[Any, Any], suffix: str) -> str:
    if _FORMATS[suffix] == "json":
        return json.dumps(values, indent=2) + "\n"
    if _FORMATS[suffix] == "toml":
        import tomlkit

        return tomlkit.dumps(values)
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(dict(values)))

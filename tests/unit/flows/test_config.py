"""The loader of configurations: defaults < file < key=value."""

from __future__ import annotations

import json
from typing import Any

import pytest

from builder.errors import SettingsError
from builder.steps.config import Config, load

YAML = "# comment\nlr: 1e-5\nepochs: 3\nname: base\nnested:\n  deep: [1, 2]\n  flag: true\nnothing: null\n"


def resolve(text: str | bytes = YAML, *overrides: str, name: str = "c.yaml", defaults: dict[str, Any] | None = None) -> Config:
    files = {name: text.encode() if isinstance(text, str) else text}
    return load(name, files.get, overrides, defaults)


def message(*overrides: str, text: str | bytes = YAML, name: str = "c.yaml") -> str:
    with pytest.raises(SettingsError) as caught:
        resolve(text, *overrides, name=name)
    return f"{caught.value.message}; {caught.value.hint}"


def test_values_of_a_file() -> None:
    nested = {"deep": [1, 2], "flag": True}
    assert resolve().values == {"lr": 1e-5, "epochs": 3, "name": "base", "nested": nested, "nothing": None}


def test_command_line_over_file_over_defaults() -> None:
    found = resolve(YAML, "lr=0.1", "nested.deep=[3]", "nothing=4", defaults={"lr": 1.0, "seed": 7})
    assert found.values["lr"] == 0.1
    assert found.values["nested"] == {"deep": [3], "flag": True}
    assert (found.values["seed"], found.values["nothing"]) == (7, 4)


@pytest.mark.parametrize(
    ("name", "text"),
    [("c.yaml", "a: 1\nb: x\n"), ("c.yml", "{a: 1, b: x}"), ("c.json", '{"a": 1, "b": "x"}'), ("c.toml", 'a = 1\nb = "x"\n')],
)
def test_every_format_gives_the_same_values_and_digest(name: str, text: str) -> None:
    found = resolve(text, "a=2", name=name)
    assert found.values == {"a": 2, "b": "x"}
    assert found.digest == "sha256:e5a71045b6b297a5ba41ee2a7551269c2ef5e7b0d5b1032456e17b6b7b373db5"
    again = resolve(found.text, name=f"again{found.suffix}")
    assert (again.values, again.digest) == (found.values, found.digest)


def test_what_was_resolved_is_written_so_that_plain_yaml_readers_see_numbers() -> None:
    import yaml

    assert yaml.safe_load(resolve(YAML, "lr=3e-5").text)["lr"] == 3e-5


def test_keys_that_are_no_text_stay_what_they_are() -> None:
    found = resolve("labels: {0: click, 1: type}\non: 1\n")
    assert found.values == {"labels": {0: "click", 1: "type"}, True: 1}
    assert resolve(found.text).values == found.values
    assert found.digest != resolve("labels: {0: click, 1: drag}\non: 1\n").digest


def test_json_stays_json() -> None:
    assert json.loads(resolve('{"a": [1, {"b": null}]}', name="c.json").text) == {"a": [1, {"b": None}]}


def test_the_digest_is_of_the_values_alone() -> None:
    assert resolve("a: 1\nb: 2\n").digest == resolve("# other\nb: 2\na: 1\n").digest != resolve("a: 1\nb: 3\n").digest


def test_without_a_file_there_is_nothing_to_change() -> None:
    with pytest.raises(SettingsError, match="lr=3: the flow has no configuration file") as caught:
        load("", {}.get, ["lr=3"])
    assert "[flow.NAME], or --config FILE" in caught.value.hint


def test_no_file_is_an_empty_configuration() -> None:
    assert load("", {}.get).values == {}


def test_interpolation_within_the_file() -> None:
    assert resolve("a: x\nb: ${a}/y\n", "a=z").values == {"a": "z", "b": "z/y"}


def test_the_environment_stays_out() -> None:
    assert "c.yaml: ${oc.env:...} depends on the machine" in message(text="a: ${oc.env:HOME}\n")
    assert "depends on the machine" in message("a=${oc.env:HOME}", text="a: x\n")


def test_a_key_that_is_not_there_names_the_nearest() -> None:
    assert message("epoch=1") == "epoch: c.yaml has no such key; did you mean epochs?"
    assert message("nested.deeq=1") == "nested.deeq: c.yaml has no such key; did you mean nested.deep?"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("lr=fast", "lr: c.yaml has a number here, 'fast' is text"),
        ("epochs=1.5", "epochs: c.yaml has a whole number here, '1.5' is a number"),
        ("epochs=true", "epochs: c.yaml has a whole number here, 'true' is true or false"),
        ("nested.flag=1", "nested.flag: c.yaml has true or false here, '1' is a whole number"),
        ("nested=1", "nested: c.yaml has a table here, '1' is a whole number"),
        ("nested.deep=1", "nested.deep: c.yaml has a list here, '1' is a whole number"),
        ("lr=", "lr: c.yaml has a number here, '' is "),
        ("lr=null", "lr: c.yaml has a number here, 'null' is nothing"),
        ("nested=null", "nested: c.yaml has a table here, 'null' is nothing"),
        ("=1", "'=1' is not key=value"),
        ("lr", "'lr' is not key=value"),
    ],
)
def test_a_value_of_another_kind(override: str, expected: str) -> None:
    assert message(override).startswith(expected)


def test_text_takes_anything() -> None:
    assert resolve(YAML, "name=7").values["name"] == 7


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("c.yaml", "a: [1", "c.yaml: "),
        ("c.yaml", b"a: \xff", "c.yaml: "),
        ("c.yaml", "- 1\n", "c.yaml: expected keys with values, got list"),
        ("c.json", "{", "c.json: "),
        ("c.json", "[1]", "c.json: expected keys with values, got list"),
        ("c.toml", "a = ", "c.toml: "),
        ("c.ini", "a=1", "c.ini: a configuration ends with one of .yaml, .yml, .json, .toml"),
        ("c.yaml", "a: ${b}\n", "c.yaml: a: "),
        ("c.yaml", "a: ???\n", "c.yaml: a: "),
    ],
)
def test_a_file_that_cannot_be_read_is_named(name: str, text: str | bytes, expected: str) -> None:
    assert message(text=text, name=name).startswith(expected)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(SettingsError, match=r"the commit has no configuration file none\.yaml"):
        load("none.yaml", {}.get)


def test_a_word_that_is_no_value() -> None:
    assert message("name=@x").startswith("'@x' cannot be a value: found character")
    assert resolve(YAML, 'name="@x"').values["name"] == "@x"

"""What differs: whatever we set, and nothing that a server or somebody else adds. Random objects, random changes."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path as Directory
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from builder.deploy.compare import differences, without_others
from tests.fixtures.requests import request_in

NAMES = st.sampled_from(["name", "spec", "labels", "image", "args", "env", "value", "a", "b", "metadata"])
LEAVES = st.one_of(st.booleans(), st.integers(-3, 3), st.text("ab{}\n", max_size=3), st.just(0.5))
VALUES = st.recursive(
    LEAVES, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)), max_leaves=12
)
OBJECTS = st.fixed_dictionaries(
    {
        "kind": st.just("CronWorkflow"),
        "metadata": st.fixed_dictionaries({"name": st.just("nightly"), "labels": st.dictionaries(NAMES, st.text(max_size=2), min_size=1)}),
        "spec": st.dictionaries(NAMES, VALUES, min_size=1, max_size=4),
    }
)
Path = tuple[Any, ...]


def mappings(value: Any, path: Path = ()) -> Iterator[Path]:
    """Where fields could be added."""
    if isinstance(value, dict):
        yield path
        for name, inner in value.items():
            yield from mappings(inner, (*path, name))
    if isinstance(value, list):
        for index, inner in enumerate(value):
            yield from mappings(inner, (*path, index))


def fields(value: Any, path: Path = ()) -> Iterator[Path]:
    """Whatever could be changed: every field and every item."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield from fields(inner, (*path, name))


def at(value: Any, path: Path) -> Any:
    for name in path:
        value = value[name]
    return value


def same(one: Any, other: Any) -> bool:
    """As JSON has it: true is not 1."""
    if isinstance(one, bool) != isinstance(other, bool):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@given(OBJECTS, st.lists(st.tuples(st.randoms(use_true_random=False), st.text("xyz", min_size=1, max_size=3), VALUES), max_size=4))
def test_what_others_add_never_shows(wanted: dict[str, Any], added: list[Any]) -> None:
    there = copy.deepcopy(wanted)
    for random, name, value in added:
        at(there, random.choice(list(mappings(there))))[f"x-{name}"] = value
    there["metadata"] |= {"uid": "1", "resourceVersion": "2", "namespace": "team", "managedFields": [{"manager": "argocd"}]}
    assert differences(wanted, {**there, "status": {"phase": "Running"}}) == ()


@given(OBJECTS, st.randoms(use_true_random=False), VALUES)
def test_what_we_set_always_shows(wanted: dict[str, Any], random: Any, value: Any) -> None:
    there = copy.deepcopy(wanted)
    path = random.choice(list(fields(wanted)))
    assume(not same(at(wanted, path), value))
    assume(not _only_adds(at(wanted, path), value))
    at(there, path[:-1])[path[-1]] = value
    (line, *_) = differences(wanted, there)
    assert line.startswith(str(path[0]))
    assert differences(wanted, there, exact=True)


def _only_adds(before: Any, value: Any) -> bool:
    """Whether the change only adds fields, which is what others may do."""
    if isinstance(before, dict) and isinstance(value, dict):
        return all(name in value and (same(before[name], value[name]) or _only_adds(before[name], value[name])) for name in before)
    if isinstance(before, list) and isinstance(value, list):
        return len(before) == len(value) and all(
            same(one, other) or _only_adds(one, other) for one, other in zip(before, value, strict=True)
        )
    return False


@given(OBJECTS, st.randoms(use_true_random=False))
def test_what_is_gone_always_shows(wanted: dict[str, Any], random: Any) -> None:
    there = copy.deepcopy(wanted)
    path = random.choice(list(fields(wanted)))
    del at(there, path[:-1])[path[-1]]
    assert differences(wanted, there)
    assert differences(wanted, there, exact=True)


@given(OBJECTS, st.randoms(use_true_random=False), VALUES)
def test_in_a_file_what_is_added_shows_unless_it_is_a_servers(wanted: dict[str, Any], random: Any, value: Any) -> None:
    there = copy.deepcopy(wanted)
    there["metadata"] |= {
        "uid": "1",
        "generation": 3,
        "creationTimestamp": "2024-05-01T08:00:00Z",
        "managedFields": [],
        "resourceVersion": "7",
    }
    there["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "argocd.argoproj.io/tracking-id": "x"}
    there["metadata"]["labels"] |= {"app.kubernetes.io/instance": "team", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
    there["status"] = {"active": []}
    assert differences(wanted, there, exact=True) == ()
    assert without_others(there) == wanted
    place = random.choice(list(mappings(wanted)))
    at(there, place)["x-more"] = value
    assert differences(wanted, there, exact=True)


def valued(value: str) -> dict[str, Any]:
    return {"parameters": [{"name": "request", "value": value}]}


def test_requests_are_told_field_by_field(tmp_path: Directory) -> None:
    one = request_in(tmp_path)
    other = replace(one, subject="Lower the rate", overrides=("lr=1",), origin=replace(one.origin, main=not one.origin.main))
    lines = differences(valued(other.pack()), valued(one.pack()))
    assert [line.partition(": ")[0].rpartition("].value.")[2] for line in lines] == ["origin.main", "overrides", "subject"]
    assert lines[1].endswith(': [] -> ["lr=1"]')


def test_what_is_no_request_or_says_the_same_is_a_difference_still(tmp_path: Directory) -> None:
    packed = request_in(tmp_path).pack()
    spaced = json.dumps(json.loads(base64.urlsafe_b64decode(packed.removeprefix("request-"))), indent=1)
    again = "request-" + base64.urlsafe_b64encode(spaced.encode()).decode()
    for there in (again, "request-", "request-%%%", "request-W10=", f"{packed[:-9]}", "other"):
        assert len(differences(valued(packed), valued(there))) == 1, there

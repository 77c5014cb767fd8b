"""What differs between machines is taken out of installed packages."""

from __future__ import annotations

import pytest

from builder.image.deps.inputs import Deps
from builder.image.deps.packages import rewritten

BODY = b"# -*- coding: utf-8 -*-\nimport sys\n"


@pytest.mark.parametrize(
    "first",
    [
        b"#!/home/me/project/.venv/bin/python\n",
        b"#!/usr/bin/python3\n",
        b"#!/usr/local/bin/python3.11\n",
        b"#!/opt/python 3/bin/pypy3\n",
        b"#!/bin/sh\n'''exec' \"/a directory/with spaces/bin/python\" \"$0\" \"$@\"\n' '''\n",
        b"#!/bin/sh\n'''exec' /" + b"x" * 200 + b"/bin/python \"$0\" \"$@\"\n' '''\n",
    ],
)
def test_scripts_start_with_the_images_interpreter(first: bytes) -> None:
    assert rewritten(first + BODY, "3.12") == b"#!/usr/bin/env python3.12\n" + BODY


@pytest.mark.parametrize(
    "script", [b"#!/usr/bin/env python3\n", b"#!/bin/sh\necho python\n", b"#!/usr/bin/env bash\n", b"#!/bin/bash\n", b"\x7fELF"]
)
def test_other_scripts_stay(script: bytes) -> None:
    assert rewritten(script + BODY, "3.12") == script + BODY


def test_configure_puts_search_paths_in_front_and_keeps_the_rest() -> None:
    deps = Deps("k", "d", (), (), search_path={"PATH": "/opt/deps/bin", "PYTHONPATH": "/opt/deps"})
    base = {"Env": ["PATH=/base/bin:/bin", "A=b=c"], "Entrypoint": ["/e"]}
    assert deps.configure(base) == {"Env": ["PATH=/opt/deps/bin:/base/bin:/bin", "A=b=c", "PYTHONPATH=/opt/deps"], "Entrypoint": ["/e"]}
    assert base["Env"] == ["PATH=/base/bin:/bin", "A=b=c"]


def test_configure_without_a_path_in_the_base_keeps_the_engines_own() -> None:
    deps = Deps("k", "d", (), (), search_path={"PATH": "/opt/deps/bin"})
    assert deps.configure({})["Env"] == ["PATH=/opt/deps/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]


def test_configure_replaces_and_removes_keys() -> None:
    deps = Deps("k", "d", (), (), config={"User": "me", "Entrypoint": None, "Env": ["A=2"]})
    assert deps.configure({"Entrypoint": ["/e"], "Env": ["A=1"], "Cmd": ["x"]}) == {"User": "me", "Env": ["A=2"], "Cmd": ["x"]}

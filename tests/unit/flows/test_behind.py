"""The tool behind everything else that an interpreter can import, in the processes that it starts, too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import builder
from builder.launch.behind import beside, path_of, with_tool_behind

SEEN = """
import json, subprocess, sys
import team, common, only_tool
found = {"team": team.WHOSE, "common": common.WHOSE, "only_tool": only_tool.WHOSE, "path": sys.path}
if len(sys.argv) == 1:
    found["child"] = json.loads(subprocess.check_output([sys.executable, "-u", sys.argv[0], "child"]))
print(json.dumps(found))
"""


def write(directory: Path, **modules: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in modules.items():
        (directory / f"{name}.py").write_text(text)
    return directory


@pytest.fixture(name="tool")
def the_tool(tmp_path: Path) -> tuple[str, ...]:
    """This tool's packages, and what it needs."""
    needs = write(tmp_path / "needs", only_tool="WHOSE = 'tool'", common="WHOSE = 'tool'")
    return (str(Path(builder.__file__).parents[1]), str(needs))


@pytest.fixture(name="python", scope="module")
def an_interpreter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an environment that has a package, which the tool has in another version."""
    directory = tmp_path_factory.mktemp("environment")
    venv.create(directory, symlinks=True)
    write(next(directory.glob("lib/python3*/site-packages")), common="WHOSE = 'environment'")
    return directory / "bin" / "python"


def run(python: Path, script: Path, environ: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], **environ}
    return subprocess.run([python, *words, script], env=env, capture_output=True, text=True, check=True)


def test_what_an_environment_has_comes_before_the_tools(tmp_path: Path, python: Path, tool: tuple[str, ...]) -> None:
    team = write(tmp_path / "team", team="WHOSE = 'team'")
    script = write(tmp_path / "flows", x=SEEN) / "x.py"
    found = json.loads(run(python, script, with_tool_behind([str(team)], tool)).stdout)
    child = found.pop("child")
    for seen in (found, child):
        assert (seen["team"], seen["common"], seen["only_tool"]) == ("team", "environment", "tool")
        assert seen["path"][:2] == [str(script.parent), str(team)]
        assert seen["path"][-2:] == list(tool)
        assert not any("behind" in entry for entry in seen["path"])


def test_the_path_of_the_team_comes_before_all(tmp_path: Path, python: Path, tool: tuple[str, ...]) -> None:
    team = write(tmp_path / "team", team="WHOSE = 'team'", common="WHOSE = 'team'", only_tool="WHOSE = 'team'")
    script = write(tmp_path / "flows", x=SEEN) / "x.py"
    found = json.loads(run(python, script, with_tool_behind([str(team)], tool)).stdout)
    assert (found["common"], found["only_tool"], found["child"]["common"]) == ("team", "team", "team")


@pytest.mark.parametrize("where", ["team", "environment"])
def test_a_sitecustomize_of_the_team_is_not_hidden(tmp_path: Path, tool: tuple[str, ...], where: str) -> None:
    text = "import sys\nsys.customized = __file__\n"
    venv.create(tmp_path / "environment", symlinks=True)
    site = next(tmp_path.glob("environment/lib/python3*/site-packages"))
    file = write(tmp_path / "team" if where == "team" else site, sitecustomize=text) / "sitecustomize.py"
    script = write(tmp_path, x="import sys, only_tool, sitecustomize\nprint(sys.customized, sitecustomize.__file__)") / "x.py"
    done = run(tmp_path / "environment/bin/python", script, with_tool_behind([str(tmp_path / "team")], tool))
    assert done.stdout.split() == [str(file), str(file)]
    assert done.stderr == ""


def test_a_sitecustomize_that_breaks_leaves_the_tool_in_its_place(tmp_path: Path, python: Path, tool: tuple[str, ...]) -> None:
    team = write(tmp_path / "team", sitecustomize="import nothing_of_that_name\n")
    script = write(tmp_path, x="import only_tool\nprint(only_tool.WHOSE)") / "x.py"
    done = run(python, script, with_tool_behind([str(team)], tool), "-v")
    assert done.stdout.strip() == "tool"
    assert "nothing_of_that_name" in done.stderr


def test_nothing_is_there_without_the_variable(python: Path, tool: tuple[str, ...], tmp_path: Path) -> None:
    script = write(tmp_path, x="import sys\nprint(sys.path[-1])") / "x.py"
    environ = with_tool_behind([], tool)
    del environ["BUILDER_TOOL_PATH"]
    assert "site-packages" in run(python, script, environ).stdout


def test_paths() -> None:
    assert path_of({"PYTHONPATH": "/code:/code/src"}) == ("/code", "/code/src")
    assert path_of({}) == ()
    assert beside("/code", "flows/x.py") == "/code/flows"
    assert beside("/code", "x.py") == "/code"


def test_the_tool_itself_is_found_last(python: Path, tmp_path: Path) -> None:
    """As it is really installed: this checkout, and what its own environment has."""
    needs = [entry for entry in sys.path if "site-packages" in entry]
    script = write(tmp_path, x="import metaflow, builder\nprint(metaflow.__file__, builder.__file__)") / "x.py"
    done = run(python, script, with_tool_behind([], (str(Path(builder.__file__).parents[1]), *needs)))
    assert str(Path(builder.__file__)) in done.stdout

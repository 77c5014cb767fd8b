"""What the last line of a run says, and what becomes of tests whose server is not there."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"
TESTS = """
import pytest

def test_plain(): pass

@pytest.mark.docker
def test_marked(): pass

def test_by_fixture(docker_registry): pass

@pytest.mark.cluster
def test_in_a_cluster(): pass

def test_skipping(): pytest.skip("here")
"""
INI = "[pytest]\naddopts = -q -p no:cacheprovider\nmarkers =\n    docker: d\n    cluster: c\n"


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "conftest.py").write_bytes(CONFTEST.read_bytes())
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text(INI)
    return tmp_path


def last_line(suite: Path, *options: str, **env: str) -> tuple[int, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("BUILDER_", "PYTEST_"))}
    clean |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "BUILDER_SERVICES_HOME": str(suite)}
    argv = [sys.executable, "-m", "pytest", *options]
    done = subprocess.run(argv, cwd=suite, env=clean | env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines()[-1]


@pytest.mark.parametrize("options", [(), ("-p", "xdist", "-n", "2")])
def test_what_is_missing_is_counted(suite: Path, options: tuple[str, ...]) -> None:
    assert last_line(suite, "--deselect", "test_some.py::test_skipping", *options) == (
        0,
        "passed 1; needs docker 1, needs registry 1, needs cluster 1: make test-all",
    )


def test_what_is_required_fails(suite: Path) -> None:
    code, line = last_line(suite, "-k", "not skipping", BUILDER_TEST_REQUIRE="docker")
    assert (code, line) == (1, "failed 1, passed 1; needs registry 1, needs cluster 1: make test-all")


def test_nothing_is_skipped_where_all_is_required(suite: Path) -> None:
    assert last_line(suite, "-k", "plain or skipping") == (0, "passed 1, skipped 1")
    assert last_line(suite, "-k", "plain or skipping", BUILDER_TEST_REQUIRE="all") == (1, "passed 1, skipped 1")


def test_a_server_that_no_longer_listens_is_not_there(suite: Path) -> None:
    (suite / "run").mkdir()
    (suite / "run" / "env").write_text(
        f"export BUILDER_TEST_DOCKER_HOST=unix://{suite}/gone.sock\nexport BUILDER_TEST_REGISTRY=127.0.0.1:1\n"
    )
    assert last_line(suite, "-k", "marked or fixture")[1] == "passed 0; needs docker 1, needs registry 1: make test-all"


KUBECONFIG = """
clusters: [{{name: other, cluster: {{server: "https://127.0.0.1:1"}}}}, {{name: here, cluster: {{server: "https://127.0.0.1:{port}"}}}}]
contexts: [{{name: a, context: {{cluster: other}}}}, {{name: b, context: {{cluster: here}}}}]
current-context: b
"""


def test_a_cluster_is_there_when_its_api_server_listens(suite: Path) -> None:
    config = suite / "config.yaml"
    with socket.create_server(("127.0.0.1", 0)) as server:
        config.write_text(KUBECONFIG.format(port=server.getsockname()[1]))
        assert last_line(suite, "-k", "cluster", BUILDER_TEST_CLUSTER=str(config))[1] == "passed 1"
    for gone in (config, suite / "none.yaml"):
        assert last_line(suite, "-k", "cluster", BUILDER_TEST_CLUSTER=str(gone))[1] == "passed 0; needs cluster 1: make test-all"


def test_no_two_modules_of_tests_have_one_name() -> None:
    """pytest could not collect them together."""
    names = Counter(path.name for path in Path(__file__).parents[1].rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []

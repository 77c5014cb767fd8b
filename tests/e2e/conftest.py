"""What end-to-end tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.cluster import Cluster
from tests.fixtures.servers import S3Server
from tests.fixtures.team import Images, Team, make_team


@pytest.fixture
def images(docker_registry: str, cluster_registry: str, ngc_base: str) -> Images:
    return Images(ngc_base, docker_registry, cluster_registry)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tool's layers take seconds to make: once is enough."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def team(
    tmp_path: Path,
    cluster: Cluster,
    namespace: str,
    images: Images,
    s3_server: S3Server,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Team:
    """With a namespace, images and data of its own."""
    for name, value in s3_server.environment.items():  # the test reads what the team's runs leave
        monkeypatch.setenv(name, value)
    return make_team(tmp_path / "agent", cluster, namespace, images, s3_server, f"e2e/{namespace}", cache)


@pytest.fixture(autouse=True)
def share_the_cluster(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that stops the API server waits for the others to end, and they for it."""
    if "cluster" not in request.fixturenames:
        yield
        return
    cluster: Cluster = request.getfixturevalue("cluster")
    with cluster.shared():
        yield

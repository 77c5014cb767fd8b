"""Which tests can run here: those that need a real server run when it is up, and are counted in the last line when it is not.

A test needs what its markers say (`@pytest.mark.docker`) and what its fixtures are (`docker_host`). `tests/services/up` starts the
servers and writes down where they are; a variable of the same name wins over that file. With BUILDER_TEST_REQUIRE=all (or a list:
`docker,registry`) a server that is missing is a failure, and so is a skipped test.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from tests.fixtures.browser import Page
    from tests.fixtures.cluster import Cluster
    from tests.fixtures.gangs import GangQueue
    from tests.fixtures.servers import S3Server, SlurmServer

PROVIDED_BY = "make test-all"


@dataclass(frozen=True, slots=True)
class Service:
    """A server: the variable that tells where it is, and the fixtures that stand for it."""

    variable: str
    fixtures: tuple[str, ...]


CLUSTER = "BUILDER_TEST_CLUSTER"
"""Unlike the others no address but a kubeconfig, which names one."""
SERVICES = {
    "docker": Service("BUILDER_TEST_DOCKER_HOST", ("docker_host", "docker_cli")),
    "containerd": Service("BUILDER_TEST_CONTAINERD", ("containerd_socket",)),
    "buildkit": Service("BUILDER_TEST_BUILDKIT_HOST", ("buildkit_host", "buildctl")),
    "registry": Service("BUILDER_TEST_REGISTRY", ("docker_registry", "crane")),
    "base": Service("BUILDER_TEST_BASE", ("ngc_base",)),
    "skopeo": Service("BUILDER_TEST_SKOPEO", ("skopeo",)),
    "chromium": Service("BUILDER_TEST_CHROMIUM", ("chromium", "page")),
    "s3": Service("BUILDER_TEST_S3", ("s3_server",)),
    "mlflow": Service("BUILDER_TEST_MLFLOW", ("mlflow_server",)),
    "slurm": Service("BUILDER_TEST_SLURM", ("slurm",)),
    "charliecloud": Service("BUILDER_TEST_CHARLIECLOUD", ("charliecloud",)),
    "cluster": Service(CLUSTER, ("cluster", "kubeconfig", "kubectl", "cluster_registry", "namespace")),
    "kueue": Service("BUILDER_TEST_KUEUE", ("gang_queue",)),
    "minutes": Service("BUILDER_TEST_MINUTES", ()),  # no server, but time, which not everybody has
}
"""In the order in which a test that lacks several is counted."""

MISSING = pytest.StashKey[Counter[str]]()
PLACES = pytest.StashKey[dict[str, str]]()


NAMESPACE = "{apiVersion: v1, kind: Namespace, metadata: {generateName: test-}}"


# --- what is there --------------------------------------------------------------------------------------------------------------------


def service_places(environ: Mapping[str, str]) -> dict[str, str]:
    """Variable -> value for every service that can be reached now."""
    known = {f"BUILDER_TEST_{name.upper()}": shutil.which(name) or "" for name in ("skopeo", "chromium", "kubectl")} | written_down(environ)
    known |= {name: value for name, value in environ.items() if name.startswith("BUILDER_TEST_")}
    return {name: value for name, value in known.items() if value and reachable(api_server(value) if name == CLUSTER else value)}


def written_down(environ: Mapping[str, str]) -> dict[str, str]:
    """The `export NAME=VALUE` lines that tests/services/up left."""
    home = Path(environ.get("BUILDER_SERVICES_HOME") or Path.home() / ".cache" / "builder-services")
    try:
        lines = (home / "run" / "env").read_text().splitlines()
    except OSError:
        return {}
    words = [word for line in lines for word in shlex.split(line) if "=" in word]
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def reachable(place: str) -> bool:
    """False for the address of a server that no longer listens; whatever is no address is taken as it is."""
    url = urlsplit(place if "://" in place else f"tcp://{place}")
    if url.scheme == "unix" or place.endswith(".sock"):
        return connects(socket.AF_UNIX, url.path if url.scheme == "unix" else place)
    try:
        port = url.port
    except ValueError:
        port = None
    port = port or {"https": 443, "http": 80}.get(url.scheme)
    return connects(socket.AF_INET, (url.hostname or "", port)) if port else True


def api_server(kubeconfig: str) -> str:
    """The address of the server that a kubeconfig's current context names; where nobody listens if it cannot be read."""
    import yaml

    try:
        config = yaml.safe_load(Path(kubeconfig).read_text())
        contexts, clusters = ({item["name"]: item for item in config[kind]} for kind in ("contexts", "clusters"))
        return str(clusters[contexts[config["current-context"]]["context"]["cluster"]]["cluster"]["server"])
    except (OSError, KeyError, TypeError, yaml.YAMLError):
        return "127.0.0.1:1"


def connects(family: int, address: str | tuple[str, int]) -> bool:
    with socket.socket(family) as probe:
        probe.settimeout(1)
        return probe.connect_ex(address) == 0


# --- which tests run ------------------------------------------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts its background jobs with the one ignored, nohup with the other; and tests send both.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    config.stash[MISSING] = Counter()
    config.stash[PLACES] = service_places(os.environ)
    for name in ("containerd", "buildkit", "base", "skopeo", "mlflow", "slurm", "charliecloud", "kueue"):
        config.addinivalue_line("markers", f"{name}: needs {name} (tests/services/up)")


@pytest.hookimpl(trylast=True)  # after -k and -m have chosen
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept, left_out = [], []
    for item in items:
        lacking = lacks(item)
        if lacking and not required(lacking):
            config.stash[MISSING][lacking] += 1
            left_out.append(item)
        else:
            kept.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


def lacks(item: pytest.Item) -> str:
    """The first service that the test needs and that is not there, or nothing."""
    fixtures = getattr(item, "fixturenames", ())
    for name, service in SERVICES.items():
        needed = item.get_closest_marker(name) or any(fixture in fixtures for fixture in service.fixtures)
        if needed and service.variable not in item.config.stash[PLACES]:
            return name
    return ""


def required(service: str) -> bool:
    wanted = os.environ.get("BUILDER_TEST_REQUIRE", "")
    return wanted == "all" or service in wanted.split(",")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if lacking := lacks(item):
        pytest.fail(f"needs {lacking}, and BUILDER_TEST_REQUIRE says that it must be there: {PROVIDED_BY}", pytrace=False)


# --- what the end says ----------------------------------------------------------------------------------------------------------------


def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    missing = config.stash[MISSING]
    if hasattr(config, "workeroutput"):  # a worker of pytest-xdist: the controller, which collects nothing, asks for it
        config.workeroutput["missing"] = dict(missing)
    elif outcomes(config)["skipped"] and os.environ.get("BUILDER_TEST_REQUIRE") == "all" and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object, error: object) -> None:
    missing: dict[str, int] = getattr(node, "workeroutput", {}).get("missing", {})
    counted: Counter[str] = Counter(missing)
    node.config.stash[MISSING] = counted  # type: ignore[attr-defined]  # every worker collects the same


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter and not hasattr(config, "workeroutput") and not config.option.collectonly:
        reporter.write_line(closing_line(outcomes(config), config.stash[MISSING]))


def outcomes(config: pytest.Config) -> Counter[str]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    stats = reporter.stats if reporter else {}
    return Counter({kind: len(stats.get(kind, ())) for kind in ("failed", "error", "passed", "skipped")})


def closing_line(counted: Counter[str], missing: Counter[str]) -> str:
    """`failed 1, passed 412; needs docker 9, needs registry 14: make test-all`."""
    done = {"failed": counted["failed"] + counted["error"], "passed": counted["passed"], "skipped": counted["skipped"]}
    text = ", ".join(f"{kind} {number}" for kind, number in done.items() if number or kind == "passed")
    needs = ", ".join(f"needs {name} {missing[name]}" for name in SERVICES if missing[name])
    return f"{text}; {needs}: {PROVIDED_BY}" if needs else text


# --- where they are -------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def services(pytestconfig: pytest.Config) -> dict[str, str]:
    """Variable -> value, of the services that are up."""
    return pytestconfig.stash[PLACES]


@pytest.fixture(scope="session")
def docker_registry(services: dict[str, str]) -> str:
    """`host:port` of a docker-registry on loopback, over http."""
    return services["BUILDER_TEST_REGISTRY"]


@pytest.fixture(scope="session")
def ngc_base(services: dict[str, str]) -> str:
    """Reference by digest, in docker_registry, of an image shaped like NVIDIA's PyTorch one."""
    return services["BUILDER_TEST_BASE"]


@pytest.fixture(scope="session")
def docker_host(services: dict[str, str]) -> str:
    """`unix://...` of a Docker engine with BuildKit; it has no bridge: run with --network=none, build with --network=host."""
    return services["BUILDER_TEST_DOCKER_HOST"]


@pytest.fixture(scope="session")
def docker_cli(services: dict[str, str]) -> str:
    """Path of a docker command line that can build with BuildKit."""
    return services["BUILDER_TEST_DOCKER"]


@pytest.fixture(scope="session")
def containerd_socket(services: dict[str, str]) -> str:
    """Path of the socket, for `ctr --address`."""
    return services["BUILDER_TEST_CONTAINERD"]


@pytest.fixture(scope="session")
def buildkit_host(services: dict[str, str]) -> str:
    """`unix://...` of a buildkitd that reads and writes docker_registry."""
    return services["BUILDER_TEST_BUILDKIT_HOST"]


@pytest.fixture(scope="session")
def buildctl(services: dict[str, str]) -> str:
    return services["BUILDER_TEST_BUILDCTL"]


@pytest.fixture(scope="session")
def crane(services: dict[str, str]) -> str:
    return services["BUILDER_TEST_CRANE"]


@pytest.fixture(scope="session")
def skopeo(services: dict[str, str]) -> str:
    return services["BUILDER_TEST_SKOPEO"]


@pytest.fixture(scope="session")
def chromium(services: dict[str, str]) -> str:
    return services["BUILDER_TEST_CHROMIUM"]


@pytest.fixture
def page(chromium: str, tmp_path: Path) -> Iterator[Page]:
    """A tab of a browser of its own."""
    from tests.fixtures.browser import browser

    with browser(chromium, tmp_path / "chromium") as opened:
        yield opened


@pytest.fixture(scope="session")
def s3_server(services: dict[str, str]) -> S3Server:
    """Under a URL that pods reach, too."""
    from tests.fixtures.servers import S3Server

    place = services["BUILDER_TEST_S3"]
    return S3Server(place, *(services[f"BUILDER_TEST_S3_{name}"] for name in ("KEY", "SECRET", "BUCKET")))


@pytest.fixture(scope="session")
def charliecloud(services: dict[str, str]) -> tuple[str, Path]:
    """`host:port` of docker_registry's images over TLS, and the file with the certificate that is to be trusted."""
    return services["BUILDER_TEST_CHARLIECLOUD"], Path(services["BUILDER_TEST_CHARLIECLOUD_CA"])


@pytest.fixture(scope="session")
def slurm(services: dict[str, str]) -> SlurmServer:
    """Four nodes of 16 CPUs and 8 pretended GPUs each; jobs see this machine's files."""
    from tests.fixtures.servers import SlurmServer

    place = services["BUILDER_TEST_SLURM"]
    return SlurmServer(place, Path(services["BUILDER_TEST_SLURM_SSH"]), Path(services["BUILDER_TEST_SLURM_CONF"]))


@pytest.fixture(scope="session")
def mlflow_server(services: dict[str, str]) -> str:
    """The URL of an MLflow tracking server, which pods reach, too."""
    return services["BUILDER_TEST_MLFLOW"]


@pytest.fixture(scope="session")
def bridge_address(services: dict[str, str]) -> str:
    """An address of this machine that pods reach: a server for them listens on it."""
    return services["BUILDER_TEST_BRIDGE"]


@pytest.fixture(scope="session")
def kubeconfig(services: dict[str, str]) -> Path:
    """An administrator's, of a cluster with Argo Workflows."""
    return Path(services["BUILDER_TEST_CLUSTER"])


@pytest.fixture(scope="session")
def kubectl(services: dict[str, str]) -> str:
    return services["BUILDER_TEST_KUBECTL"]


@pytest.fixture(scope="session")
def cluster_registry(services: dict[str, str]) -> str:
    """`host:port` under which the cluster, its pods and this machine reach docker_registry's images."""
    return services["BUILDER_TEST_CLUSTER_REGISTRY"]


@pytest.fixture(scope="session")
def cluster(kubectl: str, kubeconfig: Path) -> Cluster:
    from tests.fixtures.cluster import Cluster

    return Cluster(kubectl, kubeconfig)


@pytest.fixture
def gang_queue(services: dict[str, str], cluster: Cluster, namespace: str) -> Iterator[GangQueue]:
    """A queue of Kueue's in the test's namespace, for four pretended GPUs."""
    from tests.fixtures.gangs import GangQueue

    queue = GangQueue(cluster, namespace, services["BUILDER_TEST_GPU"])
    queue.give(4)
    yield queue
    queue.delete()


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """The test's own, and empty: what runs in it brings its accounts and roles."""
    name = cluster.output("create", "--filename=-", "--output=name", stdin=NAMESPACE).strip().rpartition("/")[2]
    yield name
    cluster.output("delete", "namespace", name, "--wait=false")

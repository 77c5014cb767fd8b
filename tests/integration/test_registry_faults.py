"""A push with a fault at each of its requests ends with the same digest, or with a clear error, and never with half an image."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from builder.errors import AuthError, StoreError
from builder.model.oci import sha256
from builder.stores.registry import Credential, RegistryStore, Retry
from tests.fixtures.pushes import BASE, LAYER, SETTINGS, TAG, image, push
from tests.fixtures.registry_auth import Auth
from tests.fixtures.registry_server import Fault, RegistryServer, Reset, Run, Slow, Status, Truncate

DIGEST = sha256(image())
REQUESTS = 10  # of the push below, tokens and challenges included; test_the_sweep_covers_every_request keeps it true
QUICK = Retry(sleep=lambda seconds: None)
EXPIRE = "expired token"
Make = Callable[..., RegistryStore]

FAULTS: dict[str, Fault | str] = {
    "429": Status(429, {"Retry-After": "1"}),
    "500": Status(500),
    "503": Status(503, body=b"<html>upstream connect error</html>"),
    "reset before": Reset("before"),
    "reset in the middle": Reset("mid"),
    "reset after": Reset("after"),
    "slow": Slow(0.6),
    "truncated": Truncate(0),
    EXPIRE: EXPIRE,
}


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    auth = Auth("bearer", users={"me": "secret"})
    with RegistryServer(auth=auth) as made:
        made.add_blob("team/base", BASE)
        yield made


@pytest.fixture
def store(server: RegistryServer) -> Iterator[Make]:
    """Makes clients of `server` that are closed at the end."""

    def make(**kinds: object) -> RegistryStore:
        options = {"credentials": lambda host: Credential("me", "secret"), "retry": QUICK, "timeout": 30.0, **kinds}
        return stack.enter_context(closing(RegistryStore(server.repository(), **options)))  # type: ignore[arg-type]

    with ExitStack() as stack:
        yield make


def whole(server: RegistryServer) -> bool:
    """Every tag that was ever set names the image, and the image is there."""
    repo = server.state.repo("team/app")
    return all(digest == DIGEST and digest in repo.manifests for _, digest in repo.tagged)


def plan(server: RegistryServer, when: int | Callable[[object], bool], fault: Fault | str, times: int = 1) -> None:
    server.fault(when, Run(lambda request: server.auth.expire()) if isinstance(fault, str) else fault, times)


def test_the_sweep_covers_every_request(store: Make, server: RegistryServer) -> None:
    assert push(store()) == DIGEST
    assert len(server.requests) == REQUESTS


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("index", range(REQUESTS))
def test_one_fault_at_each_request_is_survived(store: Make, server: RegistryServer, index: int, fault: str) -> None:
    plan(server, index, FAULTS[fault])
    made = store(timeout=0.25 if fault == "slow" else 30.0)
    assert push(made) == DIGEST
    assert server.state.repo("team/app").tags == {TAG: DIGEST}
    assert whole(server)
    assert made.requests >= REQUESTS - 1


@pytest.mark.parametrize("fault", ["503", "reset in the middle", "reset after", "truncated"])
@pytest.mark.parametrize("index", range(REQUESTS))
def test_a_fault_that_stays_is_a_clear_error_and_the_next_push_heals_it(
    store: Make, server: RegistryServer, index: int, fault: str
) -> None:
    broken = [True]
    plan(server, lambda request: broken[0] and request.index >= index, FAULTS[fault], times=10_000)  # type: ignore[attr-defined]
    made = store(retry=Retry(tries=3, sleep=lambda seconds: None))
    if index:
        with pytest.raises(StoreError, match=r"127\.0\.0\.1:\d+/team/app: cannot .+") as caught:
            push(made)
        assert caught.value.hint
        assert "secret" not in caught.value.message
    assert whole(server)
    broken[0] = False
    assert push(made) == DIGEST
    assert server.state.repo("team/app").tags == {TAG: DIGEST}


def test_a_refusal_is_not_tried_again(store: Make, server: RegistryServer) -> None:
    server.fault(
        lambda request: request.method == "PUT", Status(403, body=b'{"errors":[{"code":"DENIED","message":"quota\\u0007 is used up"}]}')
    )
    with pytest.raises(AuthError, match="403 DENIED: quota  is used up") as caught:
        push(store(retry=Retry(sleep=lambda seconds: pytest.fail("slept"))))
    assert caught.value.exit_code == 4
    assert caught.value.hint == f"docker login {server.host}"
    assert len(server.seen("PUT")) == 1


@pytest.mark.parametrize("status", [400, 402, 405, 409, 411, 413, 418, 451, 501])
def test_no_other_status_is_tried_again(store: Make, server: RegistryServer, status: int) -> None:
    server.fault(lambda request: request.method == "PUT", Status(status))
    with pytest.raises(StoreError, match=f"upload sha256:.*answered {status} UNKNOWN: on demand"):
        push(store(retry=Retry(sleep=lambda seconds: pytest.fail("slept"))))
    assert len(server.seen("PUT")) == 1


def test_the_server_says_how_long_to_wait(store: Make, server: RegistryServer) -> None:
    slept: list[float] = []
    server.fault(0, Status(429, {"Retry-After": "7"}))
    server.fault(1, Status(503, {"Retry-After": "100000"}))
    push(store(retry=Retry(sleep=slept.append)))
    assert slept == [7.0, 20.0]


def test_a_lost_answer_does_not_send_the_bytes_twice(store: Make, server: RegistryServer) -> None:
    for size in (len(SETTINGS), len(LAYER)):
        server.fault(lambda request, size=size: request.method == "PUT" and request.size == size, Reset("after"))  # type: ignore[misc]
    assert push(store()) == DIGEST
    assert [request.size for request in server.seen("PUT", "/uploads/")] == [len(LAYER), len(SETTINGS)]


PUSHER = """
import sys
from builder.model.reference import Repository
from builder.stores.registry import RegistryStore
from tests.fixtures.pushes import push
print(push(RegistryStore(Repository(sys.argv[1], "team/app"))))
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_each_request_and_run_again(when: str) -> None:
    with RegistryServer() as server:
        server.add_blob("team/base", BASE)
        for index in range(8):
            server.state.repos.pop("team/app", None)
            server.requests.clear()
            children: list[subprocess.Popen[bytes]] = []
            server.fault(index, Run(lambda request, children=children: kill(children)))  # type: ignore[misc]
            if when == "before":
                server.fault(index, Status(500))
            children.append(pusher(server))
            children[0].communicate()
            assert children[0].returncode == -signal.SIGKILL
            assert whole(server)
            again = pusher(server)
            assert again.communicate()[0].decode().strip() == DIGEST
            assert server.state.repo("team/app").tags == {TAG: DIGEST}


def kill(children: list[subprocess.Popen[bytes]]) -> None:
    while not children:  # it may be quicker than we are
        time.sleep(0.001)
    children[0].send_signal(signal.SIGKILL)


def pusher(server: RegistryServer) -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[2]
    return subprocess.Popen([sys.executable, "-c", PUSHER, server.host], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=root)


def test_thirty_two_push_the_same_at_once(store: Make, server: RegistryServer) -> None:
    with ThreadPoolExecutor(32) as pool:
        digests = list(pool.map(lambda _: push(store()), range(32)))
    assert set(digests) == {DIGEST}
    assert server.state.repo("team/app").tags == {TAG: DIGEST}

"""Where a registry may send the client."""

from __future__ import annotations

import pytest

from builder.errors import StoreError
from builder.stores.registry.urls import base_url, is_loopback, origin, resolve

BASE = "https://registry.example/v2/team/app/blobs/uploads/"


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "127.0.0.1", "127.9.9.9:80", "[::1]:5000", "[::1]"])
def test_this_machine_is_reached_over_http(host: str) -> None:
    assert is_loopback(host)
    assert base_url(host, insecure=False) == f"http://{host}"


@pytest.mark.parametrize(
    "host", ["127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1:5000", "1127.0.0.1", "[::2]", "registry:5000"]
)
def test_any_other_host_is_reached_over_https(host: str) -> None:
    assert base_url(host, insecure=False) == f"https://{host}"
    assert base_url(host, insecure=True) == f"http://{host}"


def test_a_location_is_absolute_or_relative_and_keeps_its_query() -> None:
    assert resolve(BASE, "/v2/x/1?_state=a%2Fb%3D%3D&x=1", False) == "https://registry.example/v2/x/1?_state=a%2Fb%3D%3D&x=1"
    assert resolve(BASE, "1?s=%20", False) == BASE + "1?s=%20"
    assert resolve(BASE, "https://cdn.example/b?X-Sig=a+b/c", False) == "https://cdn.example/b?X-Sig=a+b/c"
    assert resolve(BASE, "//cdn.example/b", False) == "https://cdn.example/b"


@pytest.mark.parametrize(
    "location",
    [
        "",
        "/a b",
        "/a\r\n Evil: yes",
        "/a\nHost: evil",
        "/\x00",
        "/é",
        "ftp://registry.example/x",
        "file:///etc/passwd",
        "https://user:word@registry.example/x",
        "https://[::1/x",
        "https://registry.example:port/x",
        "javascript:alert(1)",
    ],
)
def test_what_is_no_usable_url_is_refused(location: str) -> None:
    with pytest.raises(StoreError, match="no usable URL"):
        resolve(BASE, location, False)


def test_encryption_is_never_given_up() -> None:
    with pytest.raises(StoreError, match="without encryption"):
        resolve(BASE, "http://registry.example/v2/x", False)
    assert resolve(BASE, "http://registry.example/v2/x", True) == "http://registry.example/v2/x"
    assert resolve("http://127.0.0.1:5000/v2/", "http://127.0.0.2:5001/x", False) == "http://127.0.0.2:5001/x"


def test_secrets_go_in_clear_text_to_the_allowed_host_alone() -> None:
    base = "http://registry.example:5000"
    assert resolve(base, "http://registry.example:5001/token", True, secret=True) == "http://registry.example:5001/token"
    with pytest.raises(StoreError, match=r"http://auth\.example, without encryption"):
        resolve(base, "http://auth.example/token", True, secret=True)
    with pytest.raises(StoreError, match="without encryption") as caught:
        resolve(base, "http://registry.example:5001/token", False, secret=True)
    assert "[store] insecure = true" in caught.value.hint


def test_an_origin_is_scheme_host_and_port() -> None:
    assert origin("https://Registry.example/a") == origin("https://registry.example:443/b")
    assert origin("https://registry.example") != origin("http://registry.example")
    assert origin("https://registry.example:5000") != origin("https://registry.example")

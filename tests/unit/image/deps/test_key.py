"""A key changes with every input, and with nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from builder.image.deps.key import dockerfile_key, lock_key
from builder.model.tree import EXECUTABLE, FILE, Entry

LOCK: dict[str, Any] = {"lock": b"six", "provided": ["torch"], "python": "3.12", "platform": "linux/amd64"}
DOCKERFILE: dict[str, Any] = {
    "dockerfile": b"FROM x",
    "context": [Entry(b"a", FILE, "1" * 40), Entry(b"b\xff", FILE, "2" * 40)],
    "args": {"A": "1"},
    "target": "",
    "base_digest": "sha256:" + "0" * 64,
    "platform": "linux/amd64",
}


@pytest.mark.parametrize(("name", "value"), [("lock", b"other"), ("provided", []), ("python", "3.11"), ("platform", "linux/arm64")])
def test_every_input_of_a_lock_counts(name: str, value: object) -> None:
    assert lock_key(**{**LOCK, name: value}) != lock_key(**LOCK)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dockerfile", b"FROM y"),
        ("context", []),
        ("context", [Entry(b"c", FILE, "1" * 40), DOCKERFILE["context"][1]]),
        ("context", [Entry(b"a", EXECUTABLE, "1" * 40), DOCKERFILE["context"][1]]),
        ("context", [Entry(b"a", FILE, "3" * 40), DOCKERFILE["context"][1]]),
        ("args", {"A": "2"}),
        ("args", {}),
        ("target", "final"),
        ("base_digest", "sha256:" + "1" * 64),
        ("platform", "linux/arm64"),
    ],
)
def test_every_input_of_a_dockerfile_counts(name: str, value: object) -> None:
    assert dockerfile_key(**{**DOCKERFILE, name: value}) != dockerfile_key(**DOCKERFILE)


def test_order_does_not_count() -> None:
    assert dockerfile_key(**{**DOCKERFILE, "context": DOCKERFILE["context"][::-1]}) == dockerfile_key(**DOCKERFILE)
    assert lock_key(**{**LOCK, "provided": ["b", "a"]}) == lock_key(**{**LOCK, "provided": ["a", "b"]})


def test_keys_do_not_change_from_release_to_release() -> None:
    assert dockerfile_key(**DOCKERFILE) == "a80b5126e145a03159d2d6060341c919"
    assert len(lock_key(**LOCK)) == 32

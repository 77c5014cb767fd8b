"""How many layers code may have on top of the base."""

from __future__ import annotations

import pytest

from builder.errors import BuilderError
from builder.image.budget import LIMIT, choose_budget
from builder.image.shards import COMPACT, FULL
from builder.model.oci import LAYER_GZIP, Descriptor


def layers(count: int, kind: str = "base") -> list[Descriptor]:
    return [Descriptor(LAYER_GZIP, f"sha256:{number:064x}", 1, {"dev.builder.kind": kind}) for number in range(count)]


@pytest.mark.parametrize(
    ("base", "deps", "budget"), [(0, 0, FULL), (55, 18, FULL), (85, 0, FULL), (84, 1, FULL), (86, 0, COMPACT), (55, 54, COMPACT)]
)
def test_as_many_as_there_is_room_for(base: int, deps: int, budget: object) -> None:
    assert choose_budget(layers(base), layers(deps, "deps")) == budget


@pytest.mark.parametrize("base", range(126))
def test_it_is_never_more_than_overlayfs_takes(base: int) -> None:
    try:
        assert base + choose_budget(layers(base), []).total <= LIMIT
    except BuilderError:
        assert base + COMPACT.total > LIMIT


def test_too_many_is_an_error_with_the_counts() -> None:
    below = [*layers(20, "deps"), *layers(2, "tool")]
    with pytest.raises(BuilderError) as caught:
        choose_budget(layers(100), below)
    assert caught.value.message == "too many layers: 100 base, 20 deps, 2 tool leave room for 3 of the 16 that code needs (at most 125)"
    assert "squash" in caught.value.hint


def test_there_is_never_room_for_less_than_nothing() -> None:
    with pytest.raises(BuilderError, match="room for 0 of"):
        choose_budget(layers(200), [])

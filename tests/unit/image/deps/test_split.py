"""Packages are cut into few layers, and a change moves as little as can be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from builder.image.deps.split import LARGE, OWN, SHARED, split

sizes = st.dictionaries(st.text("abcdefghij-", min_size=1, max_size=6), st.integers(0, 4 * LARGE), max_size=60)


def layer_of(packages: dict[str, int]) -> dict[str, tuple[str, ...]]:
    return {name: group.names for group in split(packages) for name in group.names}


@given(sizes)
def test_every_package_is_in_exactly_one_of_at_most_sixteen_layers(packages: dict[str, int]) -> None:
    groups = split(packages)
    assert sorted(name for group in groups for name in group.names) == sorted(packages)
    assert len(groups) <= OWN + SHARED == 16
    assert all(group.names for group in groups)


@given(sizes, st.randoms())
def test_order_does_not_matter(packages: dict[str, int], random: object) -> None:
    shuffled = list(packages.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert split(dict(shuffled)) == split(packages)


@given(sizes, st.text("klm", min_size=1, max_size=4), st.integers(0, LARGE - 1))
def test_a_new_small_package_touches_one_layer(packages: dict[str, int], name: str, size: int) -> None:
    before, after = {g.names for g in split(packages)}, {g.names for g in split({**packages, name: size})}
    assert len(after - before) == 1


@given(sizes, st.text("klm", min_size=1, max_size=4))
def test_a_new_large_package_moves_at_most_one_other(packages: dict[str, int], name: str) -> None:
    before, after = {g.names for g in split(packages)}, {g.names for g in split({**packages, name: 2 * LARGE})}
    assert len(after - before) <= 2


def test_large_packages_have_a_layer_each() -> None:
    layers = layer_of({"torch": 900 * LARGE, "scipy": LARGE, "six": LARGE - 1, "click": 10})
    assert layers["torch"] == ("torch",)
    assert layers["scipy"] == ("scipy",)


def test_where_small_packages_go_is_fixed() -> None:
    """Another hash or number would upload every team's dependencies again: then FORMAT in key.py goes up, too."""
    assert [group.names for group in split(dict.fromkeys(["six", "click", "rich", "idna", "boto3", "requests"], 1))] == [
        ("click", "rich"),
        ("boto3",),
        ("six",),
        ("idna", "requests"),
    ]


def test_titles_are_for_people() -> None:
    titles = [group.title for group in split({"torch": LARGE, "": 3})]
    assert titles == ["torch", "other files"]

"""What travels from one image to the next about the sizes of files."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from builder.image import code
from builder.image.shards import LARGE
from builder.settings import ImageSettings

oids = st.integers(0, 16**16 - 1).map(lambda number: f"{number:016x}".ljust(40, "0"))
classes = st.integers(LARGE.bit_length(), 50)


@given(st.dictionaries(oids, classes, max_size=20))
def test_large_files_are_read_back(large: dict[str, int]) -> None:
    assert code.read_large(code.write_large(large)) == {oid[:16]: size for oid, size in large.items()}


@given(st.dictionaries(oids, classes, min_size=2, max_size=20))
def test_their_order_does_not_show(large: dict[str, int]) -> None:
    assert code.write_large(large) == code.write_large(dict(reversed(large.items())))


def test_no_large_files_are_no_text() -> None:
    assert code.write_large({}) == ""
    assert code.read_large("") == {}


def test_a_text_cut_short_is_read_as_far_as_it_goes() -> None:
    text = code.write_large({"1" * 40: 20, "2" * 40: 21})
    assert code.read_large(text[:-1]) == {"1" * 16: 20}


def test_rules_change_with_what_chooses_files_and_with_nothing_else() -> None:
    settings = ImageSettings(base="scratch", exclude=("a", "b"))
    same = [replace(settings, base="other"), replace(settings, workdir="/app"), replace(settings, env={"A": "1"})]
    other = [replace(settings, exclude=("b", "a")), replace(settings, lfs="fetch"), replace(settings, submodules="skip")]
    assert {code.rules(changed) for changed in same} == {code.rules(settings)}
    assert len({code.rules(changed) for changed in [settings, *other]}) == 4

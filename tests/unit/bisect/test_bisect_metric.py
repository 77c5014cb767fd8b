"""What makes a commit bad, and what several runs of it say together."""

from __future__ import annotations

from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.bisect.metric import Metric, judge
from builder.errors import UsageError


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("click<0.8", ("click", "<", 0.8)),
        (" long-tap.v2 >= 1e-3 ", ("long-tap.v2", ">=", 0.001)),
        ("loss>.5", ("loss", ">", 0.5)),
        ("gain<=-1", ("gain", "<=", -1.0)),
    ],
)
def test_a_metric(text: str, parts: tuple[str, str, float]) -> None:
    found = Metric.parse(text)
    assert (found.name, found.compares, found.threshold) == parts
    assert found.is_loss == (found.name == "loss")
    assert Metric.parse(str(found)) == found


@pytest.mark.parametrize(
    "text", ["", "click", "click<", "<0.8", "click=0.8", "click==0.8", "click<much", "click<nan", "click<0.8<1", "a b<1"]
)
def test_what_is_no_metric(text: str) -> None:
    with pytest.raises(UsageError, match="is not NAME<NUMBER") as refused:
        Metric.parse(text)
    assert "click<0.8" in refused.value.hint


@pytest.mark.parametrize(
    ("values", "repeat", "says", "missing"),
    [
        ([], 1, "open", 1),
        ([0.9], 1, "good", 0),
        ([0.8], 1, "good", 0),
        ([0.7], 1, "bad", 0),
        ([], 3, "open", 2),
        ([0.7], 3, "open", 1),
        ([0.7, 0.7], 3, "bad", 0),
        ([0.7, 0.9], 3, "open", 1),
        ([0.7, 0.9, 0.9], 3, "good", 0),
        ([0.7, 0.9], 2, "unclear", 0),
        ([0.9, 0.9], 2, "good", 0),
        ([0.7, 0.9], 1, "unclear", 0),
        ([0.7, 0.9, 0.7, 0.9, 0.7], 3, "bad", 0),
        ([0.7, 0.7, 0.9], 5, "open", 1),
        ([0.9, 0.7], 5, "open", 2),
    ],
)
def test_the_majority_as_soon_as_it_is_certain(values: list[float], repeat: int, says: str, missing: int) -> None:
    found = judge(Metric.parse("click<0.8"), values, repeat)
    assert (found.says, found.missing) == (says, missing)
    assert found.split == (0.7 in values and 0.9 in values)
    assert found.value == (median(values) if values else None)


@given(st.lists(st.floats(0, 1), max_size=9), st.sampled_from([1, 3, 5, 7]))
def test_a_verdict_is_that_of_the_median_of_all_repeats(values: list[float], repeat: int) -> None:
    metric = Metric.parse("click<0.5")
    early = judge(metric, values, repeat)
    whole = [*values, *[0.0] * (repeat - len(values))], [*values, *[1.0] * (repeat - len(values))]
    if early.says in ("good", "bad"):
        assert all(metric.is_bad(median(every)) == (early.says == "bad") or len(every) % 2 == 0 for every in whole)
    if early.says == "open":
        assert 0 < early.missing <= repeat - len(values)
    if early.says == "unclear":
        assert len(values) >= repeat

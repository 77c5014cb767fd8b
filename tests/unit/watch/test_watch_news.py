"""What is told: nothing twice, an end once, whatever comes and goes, and whoever else looks at the same time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from builder.data.directory import DirectoryObjects
from builder.errors import DataError
from builder.watch.findings import Finding
from builder.watch.journal import Journal
from builder.watch.news import Memory, Open, news

steady = examples(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine takes its time

KEYS = [f"long:run-{number}" for number in range(4)]
looks = st.lists(st.tuples(st.frozensets(st.sampled_from(KEYS)), st.frozensets(st.sampled_from(["Argo", "bastion"]))), max_size=12)


def finding(key: str, **more: object) -> Finding:
    source = "Argo" if KEYS.index(key) % 2 else "bastion"
    return replace(Finding(key, "long", key, "goes on", (source,)), **more)  # type: ignore[arg-type]


@steady
@given(looks)
def test_nothing_is_told_twice_and_an_end_once(story: list[tuple[frozenset[str], frozenset[str]]]) -> None:
    memory: Memory = {}
    open_for_people: set[str] = set()
    for now, (there, unseen) in enumerate(story):
        visible = [finding(key) for key in sorted(there) if not set(finding(key).sources) & unseen]
        seen = news(memory, visible, float(now), unseen)
        fresh, over = {found.key for found in seen.fresh}, {was.subject for was in seen.over}
        assert not fresh & open_for_people, "told before, and not over since"
        assert over <= open_for_people, "only what people know of is over"
        open_for_people = (open_for_people | fresh) - over
        assert open_for_people == {key for key, was in seen.memory.items() if was.told}
        blind = {key for key in KEYS if set(finding(key).sources) & unseen}
        assert open_for_people - blind == there - blind, "people know what is so, as far as it can be seen"
        memory = seen.memory


@steady
@given(looks)
def test_a_look_that_is_repeated_has_no_news(story: list[tuple[frozenset[str], frozenset[str]]]) -> None:
    memory: Memory = {}
    for now, (there, _) in enumerate(story):
        visible = [finding(key) for key in sorted(there)]
        memory = news(memory, visible, float(now)).memory
        again = news(memory, visible, float(now))
        assert again.is_empty
        assert again.memory == memory


def test_what_must_hold_for_a_while_is_told_late_and_if_it_passes_never() -> None:
    patient = finding(KEYS[0], patience=10.0)
    first = news({}, [patient], 0.0)
    assert first.is_empty
    assert [found.key for found in news(first.memory, [patient], 10.0).fresh] == [KEYS[0]]
    assert news(first.memory, [], 5.0).is_empty, "nobody was told, so nobody is told that it is over"


def test_events_end_without_a_word_and_a_new_detail_is_news() -> None:
    event = finding(KEYS[0], lasting=False)
    told = news({}, [event], 0.0)
    assert len(told.fresh) == 1
    assert news(told.memory, [], 1.0).is_empty
    nightly = finding(KEYS[1], detail="run-1")
    failed = news({}, [nightly], 0.0)
    again = news(failed.memory, [replace(nightly, detail="run-2")], 1.0)
    assert [found.detail for found in again.fresh] == ["run-2"]
    assert not again.over
    assert len(news(again.memory, [], 2.0).over) == 1, "the next night was good"


# the journal


OPEN = Open("long", "run-1", "goes on", 1.0, told=True, sources=("Argo",))


def test_of_two_looks_one_tells(tmp_path: Path) -> None:
    ada, bob = (Journal(DirectoryObjects(tmp_path)) for _ in range(2))
    page = ada.read()
    assert bob.read() == page
    number = ada.claim(page, {"x": OPEN})
    assert number == 1
    assert bob.claim(page, {"x": OPEN}) == 0
    assert bob.read().busy
    ada.confirm(number, {"x": OPEN})
    after = bob.read()
    assert (after.busy, after.memory) == (False, {"x": OPEN})


def test_what_was_not_sent_counts_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(DirectoryObjects(tmp_path))
    journal.confirm(journal.claim(journal.read(), {"x": OPEN}), {"x": OPEN})
    assert journal.claim(journal.read(), {}) == 2
    monkeypatch.setattr("builder.watch.journal._SENDING", 0.0)
    killed = journal.read()
    assert (killed.number, killed.memory, killed.busy) == (2, {"x": OPEN}, False)


def test_who_was_away_for_long_cannot_write_where_old_entries_were(tmp_path: Path) -> None:
    objects = DirectoryObjects(tmp_path)
    slow, journal = Journal(objects).read(), Journal(objects)
    for _ in range(14):
        journal.confirm(journal.claim(journal.read(), {"x": OPEN}), {"x": OPEN})
    assert len(list(objects.list("watch/journal/"))) == 10
    assert Journal(objects).claim(slow, {}) == 0
    assert (journal.read().number, journal.read().memory) == (14, {"x": OPEN})


def test_a_damaged_entry_is_an_error_that_names_it(tmp_path: Path) -> None:
    objects = DirectoryObjects(tmp_path)
    for text in (b"{", b"[]", b'{"schema": 2, "open": {}}', b'{"schema": 1, "open": {"x": 3}}'):
        objects.put("watch/journal/000000000001.json", text)
        with pytest.raises(DataError, match="000000000001"):
            Journal(objects).read()

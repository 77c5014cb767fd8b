"""The numbers about a history, and the page that shows them."""

from __future__ import annotations

import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repo_slim.advice import Advice, Dead
from repo_slim.advice.touched import Touch
from repo_slim.analyse import Analysis, Born, analyse
from repo_slim.git import Git
from repo_slim.lfs import Pointer
from repo_slim.report import Report, write_report
from repo_slim.report.dead_code import advice_of
from repo_slim.report.growth import POINTS, Growth, growth
from repo_slim.report.markup import tag
from repo_slim.report.page import page
from repo_slim.report.plot import plot
from repo_slim.report.tally import ROWS, directories_of, extension_of, tables
from repo_slim.rules import Rules
from repo_slim.text import bytes_text, day, text_of
from tests.fixtures.reports import DAY, EVIL_AUTHOR, EVIL_PATHS, START, commit_at, report_of, rewritten
from tests.fixtures.repositories import Repository, an_empty_repository, at_nobodys_home, clone

__all__ = ["an_empty_repository", "at_nobodys_home"]

BIG = 1 << 20


def noise(count: int, seed: str = "") -> bytes:
    return hashlib.shake_128(seed.encode()).digest(count)


def pointer(content: bytes) -> bytes:
    return b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n" % (
        hashlib.sha256(content).hexdigest().encode(),
        len(content),
    )


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Big files that went, one that stayed, LFS, and code. Not to be changed."""
    made = Repository.make(tmp_path_factory.mktemp("grown") / "agents")
    commit_at(made, 0, {"run/a.ckpt": noise(2 * BIG, "a"), "data/x.bin": noise(BIG, "x"), "src/a.py": b"a = 1\n"})
    commit_at(made, 400, {"run/a.ckpt": None, "data/x.bin": noise(BIG - 1, "y"), "l.bin": pointer(b"one")}, author="Eve <eve@x>")
    commit_at(made, 800, {"data/keep.BIN": noise(BIG, "k"), "l.bin": pointer(b"three"), "m.bin": pointer(b"one")})
    return made


@pytest.fixture(scope="module")
def report(grown: Repository) -> Report:
    return report_of(grown.directory)


def test_the_filter_is_what_git_itself_takes(grown: Repository, report: Report, tmp_path: Path) -> None:
    for name, options, told in (
        ("filtered", ("--filter=blob:limit=1m",), report.clone.filter_blob_limit_1m),
        ("whole", (), report.clone.before),
    ):
        cloned = clone(grown, tmp_path / name, *options)
        objects = sum(path.stat().st_size for path in (cloned.directory / ".git/objects").rglob("*.pack"))
        assert told == pytest.approx(objects, rel=0.01)
    assert report.clone.before - report.clone.filter_blob_limit_1m == pytest.approx(3 * BIG, rel=0.01)  # run/a.ckpt, and x.bin as it was


def test_clones_after_the_plan(grown: Repository) -> None:
    clone = report_of(grown.directory, Rules(drop_over=2 * BIG - 1)).clone
    assert clone.before - clone.after == pytest.approx(2 * BIG, rel=0.01)
    assert clone.after_with_filter == pytest.approx(clone.filter_blob_limit_1m, rel=0.01)
    assert clone.lfs_of_head == len(b"three") + len(b"one")


def test_sums_by_path_directory_extension_age_and_author(report: Report) -> None:
    rows = {row.name: row for row in report.paths.rows}
    assert (rows["data/x.bin"].versions, rows["data/x.bin"].size) == (2, 2 * BIG - 1)
    assert 0 < rows["data/x.bin"].at_tip < rows["data/x.bin"].disk
    assert rows["run/a.ckpt"].at_tip == 0
    assert {row.name: row.versions for row in report.directories.rows} == {"data/": 3, "run/": 1, "src/": 1, "(top)": 2}
    assert {row.name: row.size // BIG for row in report.extensions.rows} == {".ckpt": 2, ".bin": 3, ".py": 0}
    assert {row.name: row.versions for row in report.ages.rows} == {"over 2 years": 3, "1 to 2 years": 2, "under a month": 2}
    assert {row.name: row.versions for row in report.authors.rows} == {"ada@example.org": 5, "eve@x": 2}
    for table in (report.paths, report.extensions, report.ages, report.authors):
        assert sum(row.disk for row in table.rows) == sum(row.disk for row in report.paths.rows)
        assert [row.disk for row in table.rows] == sorted((row.disk for row in table.rows), reverse=True)


def test_the_largest_ever_and_the_commits_that_added_most(report: Report) -> None:
    first = report.largest[0]
    assert (first.paths, first.size, first.author, first.time) == (("run/a.ckpt",), 2 * BIG, "ada@example.org", START)
    assert (first.at_tip, first.goes) == (False, True)
    assert [each.paths[0] for each in report.largest[:4]][-1] == "data/x.bin"
    assert {each.paths[0]: each.at_tip for each in report.largest if each.size == BIG} == {"data/x.bin": False, "data/keep.BIN": True}
    jumps = [(jump.subject, jump.time, jump.author, jump.versions) for jump in report.growth.jumps]
    assert jumps[0] == ("Change 0", START, "ada@example.org", 3)
    assert set(jumps[1:]) == {
        ("Change 0", START + 400 * DAY, "eve@x", 2),
        ("Change 0", START + 800 * DAY, "ada@example.org", 2),
    }
    assert report.growth.jumps[0].disk == pytest.approx(3 * BIG, rel=0.01)


def test_how_it_grew(report: Report) -> None:
    points = report.growth.points
    assert (len(points), points[0].time, points[-1].time) == (POINTS, START, START + 800 * DAY)
    assert points[-1].disk == pytest.approx(5 * BIG, rel=0.01)
    assert points[-1].small == pytest.approx(BIG, rel=0.01)
    halfway = next(point for point in points if point.time > START + 390 * DAY)
    assert halfway.disk == pytest.approx(3 * BIG, rel=0.01)


def test_lfs_by_path_with_what_tips_still_point_to(grown: Repository, report: Report, tmp_path: Path) -> None:
    found = report.lfs
    assert (found.objects, found.size) == (2, len(b"one") + len(b"three"))
    assert (found.at_tips.objects, found.at_tips.size) == (2, len(b"one") + len(b"three"))
    assert [(row.name, row.objects, row.size) for row in found.paths] == [("l.bin", 2, 8)]  # m.bin has an object that l.bin had first
    later = clone(grown, tmp_path / "later")
    commit_at(later, 900, {"m.bin": None})
    after = report_of(later.directory).lfs
    assert [(row.at_tip, row.missing) for row in after.paths] == [(5, 0)]


def test_the_same_report_twice_and_as_json(grown: Repository, tmp_path: Path) -> None:
    texts = set()
    for number in range(2):
        report = report_of(grown.directory)
        write_report(report, tmp_path / str(number))
        texts.add(((tmp_path / str(number) / "report.json").read_bytes(), (tmp_path / str(number) / "report.html").read_bytes()))
    (told, _), *others = texts
    assert not others
    document = json.loads(told)
    assert document["schema"] == 1
    assert document["clone"]["before"] == report.clone.before
    assert document["paths"]["rows"][0]["name"] == report.paths.rows[0].name
    assert document["advice"]["python"] == 1


# hostile names


class _Read(HTMLParser):
    """Elements, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_hostile_names_are_text(repository: Repository) -> None:
    commit_at(repository, 0, {path: noise(100, repr(path)) for path in EVIL_PATHS})
    rewritten(repository, EVIL_AUTHOR, b"</td><script>hit=9</script>")
    commit_at(repository, 1, {"evil/</style><script>": b"x", "agent/<b>.py": b"x = 1\n", "agent/<b>_test.py": b"print 'x'\n"})
    report = report_of(repository.directory, name="<script>window.hit=0</script>")
    html = page(report)
    read = _Read(html)
    assert (read.tags.count("script"), read.tags.count("style"), "img" in read.tags) == (1, 1, False)
    assert not {name for name in read.attributes if name.startswith("on")} | ({"src", "style"} & read.attributes)
    assert "<script>window.hit=1<.script>.bin" in read.text
    assert "caf\\xe9.npz" in read.text
    assert "\\u202etxt.exe" in read.text
    assert "two\\nlines\\x1b[31m.bin" in read.text
    assert not set(html) & set("\N{RIGHT-TO-LEFT OVERRIDE}\x1b\0")
    html.encode("utf-8")  # no lone surrogates
    json.dumps(report.document()).encode("ascii")


@given(st.text() | st.binary())
def test_names_become_characters_that_can_be_seen(name: str | bytes) -> None:
    shown = text_of(name)
    assert shown.isprintable()
    shown.encode("utf-8")
    if isinstance(name, str) and name.isprintable():
        assert shown == name


@given(st.text(), st.text())
def test_markup_never_grows_from_text(inside: str, attribute: str) -> None:
    read = _Read(tag("p", inside, title=attribute).html)
    assert (read.tags, read.attributes) == (["p"], {"title"})
    assert read.text.replace("\r\n", "\n").replace("\r", "\n") == inside.replace("\r\n", "\n").replace("\r", "\n") or "\0" in inside


def test_the_page_loads_nothing(report: Report) -> None:
    html = page(report)
    assert "default-src 'none'" in html
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:,)""", html)
    assert not re.findall(r"url\(|@import|fetch\(|XMLHttpRequest|import\(", html)


# many, few, odd


def history(versions: list[tuple[str, int, int]]) -> Analysis:
    """Of (path, size, time): a blob each."""
    names = {f"{number:040x}": version for number, version in enumerate(versions)}
    size = {blob: version[1] for blob, version in names.items()}
    born = {blob: Born("c" * 40, "a@x", version[2]) for blob, version in names.items()}
    paths = {blob: frozenset((version[0].encode(),)) for blob, version in names.items()}
    last = max((version[2] for version in versions), default=0)
    none: dict[str, Pointer] = {}
    return Analysis(1, last, size, dict(size), paths, frozenset(), born, frozenset(), none)


VERSIONS = st.lists(st.tuples(st.from_regex(r"([a-c]/){0,2}[a-d](\.[xy])?", fullmatch=True), st.integers(0, 10**9), st.integers(0, 2**40)))


@given(VERSIONS, st.integers(0, 50))
def test_nothing_is_lost_in_sums(versions: list[tuple[str, int, int]], tips: int) -> None:
    analysis = history(versions)
    at_tip = frozenset(list(analysis.size)[:tips])
    for kind, table in tables(analysis, at_tip).items():
        if kind != "directories":
            rows = (*table.rows, *([table.rest] if table.rest else []))
            assert sum(row.versions for row in rows) == len(versions)
            assert sum(row.disk for row in rows) == sum(size for _, size, _ in versions)
            assert sum(row.at_tip for row in rows) == sum(analysis.disk[blob] for blob in at_tip)


def test_ten_thousands_of_paths_are_told_in_short() -> None:
    analysis = history([(f"d{number % 300}/f{number}.txt", number, START) for number in range(30_000)])
    found = tables(analysis, frozenset())
    rest = found["paths"].rest
    assert len(found["paths"].rows) == ROWS
    assert rest is not None
    assert (rest.name, rest.versions) == ("29,800 more", 29_800)
    assert found["paths"].rows[0].name == "d299/f29999.txt"


def test_thousands_of_dead_files_are_told_in_short() -> None:
    files = tuple(Dead(f"old/m{number}.py", 10, 5, Touch("c" * 40, START, "a@x"), ("why",), f"old/m{number}.py") for number in range(3000))
    html = "".join(each.html for each in advice_of(Advice("c" * 40, 12, 3000, {"test": 1}, files, (), {}, 0)))
    read = _Read(html)
    assert (read.tags.count("li"), html.count("--drop old/")) == (ROWS, ROWS)
    assert f"{3000 - ROWS:,} more28.0 kB14.0 kBin report.json" in read.text


@given(st.lists(st.integers(-(2**62), 2**62), max_size=20))
def test_dates_that_no_calendar_has_break_nothing(times: list[int]) -> None:
    analysis = history([("a", 10, time) for time in times])

    class NoGit:
        def run(self, *words: str, stdin: bytes = b"") -> bytes:
            return b"\0".join(line + b"\na@x\nChange" for line in stdin.split())

    found = growth(NoGit(), analysis)  # type: ignore[arg-type]
    assert len(found.points) <= POINTS
    if times:
        assert found.points[-1].disk == 10 * len(times)
    plot(found.points)
    assert all(re.fullmatch(r"\d{4,}-\d\d-\d\d|\?", day(time)) for time in times)


def test_a_wrong_clock_does_not_make_a_line_of_all_others() -> None:
    times = [START + number * DAY for number in range(1000)]
    analysis = history([("a", 10, time) for time in (0, *times, 2**40)])

    class NoGit:
        def run(self, *words: str, stdin: bytes = b"") -> bytes:
            return b"\0".join(line + b"\na@x\nChange" for line in stdin.split())

    points = growth(NoGit(), analysis).points  # type: ignore[arg-type]
    assert points[0].time >= START
    assert points[-1].time <= times[-1]
    assert points[-1].disk == 10 * 1002


def test_a_history_of_one_empty_commit(repository: Repository) -> None:
    repository.history({})
    report = report_of(repository.directory)
    assert (report.growth, report.paths.rows, report.advice) == (Growth((), ()), (), None)
    assert "next to nothing is gained" in page(report)


@pytest.mark.parametrize("head", ["refs/heads/none", "detached"])
def test_a_history_that_only_a_tag_has(repository: Repository, head: str) -> None:
    (sha,) = repository.history({"a.py": b"x = 1\n", "big": noise(BIG)})
    repository.git("tag", "v1", sha)
    repository.git("update-ref", "-d", "refs/heads/main")
    repository.git(*(("update-ref", "--no-deref", "HEAD", sha) if head == "detached" else ("symbolic-ref", "HEAD", head)))
    report = report_of(repository.directory)
    assert report.clone.before > BIG
    assert {row.at_tip > 0 for row in report.paths.rows} == {head == "detached"}
    assert (report.advice is not None) == (head == "detached")
    assert "v1" not in page(report)


def test_names_of_groups() -> None:
    assert directories_of("a/b/c.txt") == ("a/", "a/b/")
    assert [extension_of(name) for name in ("a.PY", "a/.env", "Makefile", "a.tar.gz", "a.", "x.d/y")] == [
        ".py",
        "(none)",
        "(none)",
        ".gz",
        "(none)",
        "(none)",
    ]
    assert [bytes_text(count) for count in (0, 999, 1000, 999_949, 999_950, 10**9)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "999.9 kB",
        "1.0 MB",
        "1.0 GB",
    ]


def test_every_key_is_in_the_reference(report: Report) -> None:
    text = (Path(__file__).parents[3] / "docs" / "reference" / "slim-report.md").read_text(encoding="utf-8")
    document = report.document()
    assert keys_of(document) <= set(re.findall(r"`([a-z_0-9]+)`", text))


def keys_of(value: object) -> set[str]:
    if isinstance(value, dict):
        names = {key for key in value if re.fullmatch(r"[a-z_0-9]+", key)}
        return names.union(*(keys_of(inner) for inner in value.values()))
    return set().union(*map(keys_of, value)) if isinstance(value, (list, tuple)) else set()


def test_a_report_can_be_made_of_a_mirror_alone(grown: Repository, report: Report, tmp_path: Path) -> None:
    """It reads git's store, not files of a working tree."""
    grown.git("clone", "--quiet", "--mirror", str(grown.directory), str(tmp_path / "m.git"))
    mirrored: Report = report_of(tmp_path / "m.git")
    assert mirrored.advice == report.advice
    assert analyse(Git(tmp_path / "m.git")).commits == 3

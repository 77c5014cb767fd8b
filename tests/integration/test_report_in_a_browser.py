"""The report of a slimmed repository, opened in a real browser: it sorts, it shows what is hostile as text, and it asks for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from repo_slim.report import write_report
from tests.fixtures.browser import Page
from tests.fixtures.reports import EVIL_AUTHOR, EVIL_PATHS, commit_at, report_of, rewritten
from tests.fixtures.repositories import Repository, an_empty_repository, at_nobodys_home

__all__ = ["an_empty_repository", "at_nobodys_home"]

COLUMN = "[...document.querySelectorAll('#{} tbody td:nth-child({})')].map(cell => {})"
SHADE = "getComputedStyle(document.body).backgroundColor"


def sizes(page: Page, section: str, column: int) -> list[float]:
    return page.value(COLUMN.format(section, column, "Number(cell.dataset.value)"))


def names(page: Page, section: str) -> list[str]:
    return page.value(COLUMN.format(section, 1, "cell.textContent"))


def heading(section: str, column: int) -> str:
    return f"#{section} th:nth-child({column}) button"


@pytest.fixture
def opened(repository: Repository, tmp_path: Path, page: Page) -> Page:
    """Hostile names, files and directories by the hundred, dead code."""
    commit_at(repository, 0, {path: b"x" * (100 + number) for number, path in enumerate(EVIL_PATHS)})
    rewritten(repository, EVIL_AUTHOR, b"<b>One</b>")
    commit_at(repository, 0, {f"data/{number % 40}/{number}.txt": b"%d" % number * (number % 7) for number in range(400)})
    commit_at(repository, 0, {"agent/old_loop.py": b"x = 1\n", "agent/old_script.py": b"if __name__ == '__main__': pass\n"})
    commit_at(repository, 900, {"weights.ckpt": bytes(range(256)) * 8000, "agent/<img src=x onerror=hit>.py": b"print 'x'\n"})
    write_report(report_of(repository.directory, name="<script>window.hit=0</script>"), tmp_path)
    page.open(tmp_path / "report.html")
    return page


def test_a_report_in_a_browser(opened: Page, tmp_path: Path) -> None:
    page = opened
    before = sizes(page, "paths", 3)
    assert len(before) == 200
    assert before == sorted(before, reverse=True)

    page.click(heading("paths", 3))
    assert sizes(page, "paths", 3) == sorted(before)
    assert page.value("document.querySelector('#paths th:nth-child(3)').ariaSort") == "ascending"
    page.click(heading("paths", 1))
    by_name = names(page, "paths")
    folders = [int(name.split("/")[1]) for name in by_name if name.endswith(".txt")]
    assert folders == sorted(folders)  # 9 comes before 10
    page.click(heading("paths", 1))
    assert names(page, "paths") == by_name[::-1]
    assert page.value("document.querySelector('#paths tfoot').textContent").startswith("148 more")

    page.value(f"document.querySelector('{heading('authors', 5)}').focus()")
    page.press("Enter", 13, "\r")
    counts = sizes(page, "authors", 5)
    assert counts == sorted(counts, reverse=True)
    assert page.value("document.querySelector('#authors th:nth-child(5)').ariaSort") == "descending"

    assert page.value("typeof window.hit") == "undefined"
    assert "data/<script>window.hit=1<.script>.bin" in names(page, "largest") + by_name
    assert page.value("document.querySelector('h1').textContent") == "<script>window.hit=0</script>"

    page.click("#advice summary")
    page.click("#advice button.copy")
    assert page.value("new Promise(done => setTimeout(() => done(document.querySelector('button.copy').textContent), 300))") in (
        "Copied",
        "Selected",
    )
    assert page.value("document.querySelector('#advice pre').textContent") == "--drop agent/old_loop.py"

    assert page.said == []
    assert page.asked == [(tmp_path / "report.html").as_uri()]


def test_how_a_report_looks(opened: Page, tmp_path: Path) -> None:
    """In both shades, wide and narrow. The pictures stay in the test's directory: they are for people."""
    page = opened
    shades = set()
    for scheme in ("light", "dark"):
        page.prefer(scheme)
        shades.add(page.value(SHADE))
        for width in (1280, 400):
            page.screenshot(tmp_path / f"{scheme}-{width}.png", width=width)
            assert page.value("document.documentElement.scrollWidth") <= width, "it scrolls sideways"
    assert len(shades) == 2
    pictures = {path.read_bytes() for path in tmp_path.glob("*.png")}
    assert len(pictures) == 4
    assert min(map(len, pictures)) > 10_000
    assert page.said == []


def test_without_a_script_it_can_be_read(opened: Page, tmp_path: Path) -> None:
    page = opened
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    page.open(tmp_path / "report.html")
    assert len(sizes(page, "paths", 3)) == 200

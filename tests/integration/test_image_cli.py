"""`builder image` as people and scripts use it: stdout, forms, plans, what is there already."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from builder.cli import frame
from builder.stores.layout import LayoutStore
from tests.fixtures.images import flatten
from tests.fixtures.registry_server import RegistryServer
from tests.fixtures.repositories import Repository, an_empty_repository, at_nobodys_home, numbered  # noqa: F401

REFERENCE = re.compile(r"\S+@sha256:[0-9a-f]{64}")
TOML = b'[image]\nbase = "scratch"\n'


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def images(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.out)
        return found


Builder = Callable[..., Said]


@pytest.fixture
def builder(capsys: pytest.CaptureFixture[str]) -> Builder:
    """`builder image ...` in this process; fails when the command does, unless `code` says how it should end."""

    def run(*words: str, code: int = 0) -> Said:
        capsys.readouterr()
        ended = frame.run(["image", *words])
        said = Said(ended, *capsys.readouterr())
        assert ended == code, said.err
        return said

    return run


@pytest.fixture
def here(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """Three commits, checked out; the working directory."""
    repository.history(
        {**numbered(60), "builder.toml": TOML, ".gitignore": b".builder/\n"}, {"src/file1/1.py": b"2"}, {"src/file1/1.py": b"3"}
    )
    repository.check_out()
    monkeypatch.chdir(repository.directory)
    return repository


@pytest.fixture
def registry() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        yield server


def layout(directory: Path) -> dict[str, bytes]:
    return (
        {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
        if directory.exists()
        else {}
    )


# --- stdout ---------------------------------------------------------------------------------------------------------------------------


def test_stdout_is_the_reference_alone(here: Repository, builder: Builder) -> None:
    for words in ((), ("-o", "name"), ("--commit", "HEAD~1")):
        (line,) = builder(*words).lines
        assert REFERENCE.fullmatch(line)
        assert line.startswith(f"oci:{here.directory}/.builder/images@")


def test_one_line_for_each_commit(here: Repository, builder: Builder) -> None:
    said = builder("--missing")
    assert len(said.lines) == 3
    assert all(REFERENCE.fullmatch(line) for line in said.lines)
    assert builder("--missing").out == ""


def test_the_image_is_the_commit(here: Repository, builder: Builder) -> None:
    (line,) = builder("--commit", "main~1").lines
    store = LayoutStore(here.directory / ".builder/images")
    assert flatten(store, line.rpartition("@")[2]) == here.files("main~1")
    sha = here.text("rev-parse", "main~1")
    assert sorted(re.sub("-.*", "-KEY", tag) for tag in store.list_tags()) == [sha, f"{sha}-KEY"]


def test_json_has_the_fields_that_are_promised(here: Repository, builder: Builder) -> None:
    builder("--commit", "HEAD~1")
    (image,) = builder("-o", "json").images
    assert set(image) == {
        "schema",
        "commit",
        "reference",
        "digest",
        "subject",
        "layers",
        "new_bytes",
        "reused_bytes",
        "requests",
        "seconds",
    }
    assert (image["schema"], image["commit"], image["subject"]) == (1, here.text("rev-parse", "HEAD"), "Change 2")
    assert image["reference"].endswith("@" + image["digest"])
    for layer in image["layers"]:
        assert set(layer) == {"digest", "size", "kind", "state"}
        assert layer["kind"] == "code"
    assert {layer["state"] for layer in image["layers"]} == {"uploaded", "reused"}
    assert image["new_bytes"] > sum(layer["size"] for layer in image["layers"] if layer["state"] == "uploaded")  # and the config
    assert image["reused_bytes"] == sum(layer["size"] for layer in image["layers"] if layer["state"] == "reused")


def test_a_table_is_for_people(here: Repository, builder: Builder) -> None:
    head, row = builder("-o", "table").lines
    assert head.split() == ["COMMIT", "SUBJECT", "DIGEST", "NEW", "REUSED", "TIME"]
    assert here.text("rev-parse", "HEAD")[:12] in row


def test_hostile_subjects_do_not_reach_the_terminal(here: Repository, builder: Builder) -> None:
    here.git("commit", "--quiet", "--allow-empty", "-m", "\x1b]0;owned\x07 red \x1b[31m")
    said = builder("-o", "table")
    assert "\x1b" not in said.out + said.err


# --- what is there already ------------------------------------------------------------------------------------------------------------


def test_a_second_run_has_nothing_to_do(here: Repository, builder: Builder, registry: RegistryServer) -> None:
    first = builder("--to", str(registry.repository()))
    before = len(registry.requests)
    second = builder("--to", str(registry.repository()))
    assert second.out == first.out
    assert "nothing to do" in second.err
    assert len(registry.requests) - before <= 2
    (image,) = builder("--to", str(registry.repository()), "-o", "json").images
    assert (image["new_bytes"], image["requests"]) == (0, 1)


def test_a_commit_on_top_costs_few_requests(here: Repository, builder: Builder, registry: RegistryServer) -> None:
    builder("--to", str(registry.repository()), "--commit", "HEAD~1")
    before = len(registry.requests)
    (image,) = builder("--to", str(registry.repository()), "-o", "json").images
    assert image["requests"] == len(registry.requests) - before <= 10
    assert sum(layer["state"] == "uploaded" for layer in image["layers"]) == 1


def test_other_settings_are_told_and_refresh_builds_with_them(here: Repository, builder: Builder, registry: RegistryServer) -> None:
    """The plain tag stays where it is; the new image has its own."""
    here.commit({"builder.toml": None})
    here.check_out()
    (here.directory / "builder.toml").write_bytes(TOML)
    to, sha = ("--to", str(registry.repository())), here.text("rev-parse", "HEAD")
    (old,) = builder(*to).lines
    (here.directory / "builder.toml").write_bytes(TOML + b'workdir = "/app"\n')
    again = builder(*to)
    assert again.lines == [old]
    assert "other [image] settings" in again.err
    assert "--refresh" in again.err
    (new,) = builder(*to, "--refresh").lines
    assert new != old
    assert builder(*to, "--refresh").lines == [new]
    assert builder(*to).lines == [old]
    repo = registry.state.repo("team/app")
    assert [digest for tag, digest in repo.tagged if tag == sha] == [old.rpartition("@")[2]]
    assert sorted(set(repo.tags.values())) == sorted(line.rpartition("@")[2] for line in (old, new))
    assert len([tag for tag in repo.tags if re.fullmatch(sha + "-[0-9a-f]{16}", tag)]) == 2


def test_refresh_of_what_is_as_it_was_is_nothing(here: Repository, builder: Builder, registry: RegistryServer) -> None:
    first = builder("--to", str(registry.repository()))
    puts = len(registry.seen("PUT"))
    assert builder("--to", str(registry.repository()), "--refresh").out == first.out
    assert len(registry.seen("PUT")) == puts


def test_settings_of_a_historic_commit_are_its_own(here: Repository, builder: Builder) -> None:
    here.history({"builder.toml": TOML + b'workdir = "/app"\nnovelty = 1\n'}, {"builder.toml": TOML})
    here.check_out()
    said = builder("--commit", "HEAD~1")
    assert "novelty" in said.err
    store = LayoutStore(here.directory / ".builder/images")
    assert flatten(store, said.lines[0].rpartition("@")[2], b"app/") == here.files("main~1")


# --- plans ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [(), ("--commit", "HEAD~2"), ("--missing",)])
def test_a_plan_writes_nothing_and_is_what_is_then_built(
    here: Repository, builder: Builder, tmp_path: Path, words: tuple[str, ...]
) -> None:
    store = tmp_path / "store"
    builder("--to", f"oci:{store}", "--commit", "HEAD~2" if not words else "HEAD~1")
    for earlier in (False, True):
        where = store if earlier else tmp_path / "new"
        before = layout(where)
        planned = builder("--to", f"oci:{where}", "--dry-run", "-o", "json", *words).images
        assert layout(where) == before
        assert where.exists() == earlier
        made = builder("--to", f"oci:{where}", "-o", "json", *words).images
        assert [_without_time(image) for image in planned] == [_without_time(image) for image in made]


def _without_time(image: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in image.items() if key != "seconds"}


def test_a_plan_sends_a_registry_nothing_but_questions(here: Repository, builder: Builder, registry: RegistryServer) -> None:
    to = ("--to", str(registry.repository()))
    (planned,) = builder(*to, "--dry-run", "-o", "json").images
    assert {request.method for request in registry.requests} <= {"GET", "HEAD"}
    (made,) = builder(*to, "-o", "json").images
    assert {**_without_time(planned), "requests": 0} == {**_without_time(made), "requests": 0}


def test_a_plan_says_every_layer_and_why(here: Repository, builder: Builder) -> None:
    builder("--commit", "HEAD~1")
    said = builder("--dry-run", "-o", "table")
    head, *rows = said.lines
    assert head.split() == ["LAYER", "KIND", "SIZE", "STATE", "WHY"]
    assert sum("changed since the ancestor" in row for row in rows) == 1
    assert sum("as in the ancestor" in row for row in rows) == len(rows) - 1
    assert "a cold node pulls" in said.err
    assert "a node that has the ancestor's image pulls" in said.err
    assert "nothing was written" in said.err


# --- many -----------------------------------------------------------------------------------------------------------------------------


def test_missing_builds_oldest_first_each_on_the_one_before(here: Repository, builder: Builder) -> None:
    images = builder("--missing", "-o", "json").images
    assert [image["commit"] for image in images] == here.text("rev-list", "--reverse", "main").split()
    assert [sum(layer["state"] == "uploaded" for layer in image["layers"]) for image in images[1:]] == [1, 1]


def test_missing_since(here: Repository, builder: Builder) -> None:
    assert [image["commit"] for image in builder("--missing", "--since", "HEAD~1", "-o", "json").images] == [here.text("rev-parse", "HEAD")]


def test_missing_images_are_those_of_single_builds(here: Repository, builder: Builder, tmp_path: Path) -> None:
    together = builder("--missing", "--to", f"oci:{tmp_path}/a").lines
    alone = [builder("--to", f"oci:{tmp_path}/b", "--commit", f"HEAD~{back}").lines[0] for back in (0, 2, 1)]
    assert [line.rpartition("@")[2] for line in together] == [alone[index].rpartition("@")[2] for index in (1, 2, 0)]


# --- the working tree -----------------------------------------------------------------------------------------------------------------


def test_dirty_takes_the_tree_as_it_is(here: Repository, builder: Builder) -> None:
    (here.directory / "new.py").write_bytes(b"new")
    (here.directory / "src/file1/1.py").write_bytes(b"changed")
    said = builder("--dirty")
    found = flatten(LayoutStore(here.directory / ".builder/images"), said.lines[0].rpartition("@")[2])
    assert (found[b"new.py"][1], found[b"src/file1/1.py"][1]) == (b"new", b"changed")
    assert not any(path.startswith(b".builder") for path in found)
    assert "main + 1 changed, 1 new file" in said.err
    assert builder("--dirty").out == said.out


def test_a_commits_image_holds_nothing_untracked(here: Repository, builder: Builder) -> None:
    (here.directory / "new.py").write_bytes(b"new")
    (here.directory / "src/file1/1.py").write_bytes(b"changed")
    (line,) = builder().lines
    assert flatten(LayoutStore(here.directory / ".builder/images"), line.rpartition("@")[2]) == here.files("HEAD")


def test_dirty_stops_at_secrets_and_include_lets_them_in(here: Repository, builder: Builder) -> None:
    (here.directory / "key.pem").write_bytes(b"s")
    said = builder("--dirty", code=2)
    assert (said.out, "key.pem" in said.err, "--include" in said.err) == ("", True, True)
    assert builder("--dirty", "--include", "*.pem").out


# --- what goes wrong ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "what"),
    [
        (("--commit", "nope"), 2, "nope"),
        (("--commit", ""), 2, "--commit is empty"),
        (("--commit", "HEAD^{tree}"), 2, "no commit"),
        (("--dirty", "--commit", "HEAD"), 2, "--dirty"),
        (("--dirty", "--missing"), 2, "--dirty"),
        (("--include", "x"), 2, "--include"),
        (("--since", "HEAD"), 2, "--since"),
        (("--to", "nowhere"), 2, "nowhere"),
        (("--with-base", "--to", "127.0.0.1:1/x/y", "--commit", "HEAD"), 2, "--with-base"),
        (("--base", "registry.example/x:latest"), 2, "builder base pin"),
        (("--repo", "/"), 1, "not in a git repository"),
    ],
)
def test_mistakes_are_told_and_stdout_stays_empty(here: Repository, builder: Builder, words: tuple[str, ...], code: int, what: str) -> None:
    said = builder(*words, code=code)
    assert what in said.err
    assert (said.out == "") == (code != 0)
    assert "Traceback" not in said.err


def test_no_base_at_all_names_init(here: Repository, builder: Builder) -> None:
    here.commit({"builder.toml": None})
    here.check_out()
    assert "builder init" in builder(code=2).err


def test_pointers_are_listed_in_a_warning(here: Repository, builder: Builder) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 1\n" % (b"a" * 64)
    here.commit({".gitattributes": b"*.bin filter=lfs\n", **{f"w/{number}.bin": pointer for number in range(7)}})
    said = builder("--commit", "main")
    assert "7 Git LFS files went in as pointers" in said.err
    assert "w/0.bin" in said.err
    assert "and 2 more" in said.err
    assert 'lfs = "fetch"' in said.err


def test_the_error_of_a_broken_store_names_it(here: Repository, builder: Builder, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_bytes(b"mine")
    said = builder("--to", f"oci:{tmp_path}/full", code=1)
    assert str(tmp_path / "full") in said.err
    assert layout(tmp_path / "full") == {"file": b"mine"}

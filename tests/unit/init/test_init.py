"""`builder init`: what it sees, what it writes."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.cli import frame
from builder.errors import SourceError
from builder.init import Proposal, Repository, dockerfile, look, propose, render
from builder.init.dockerignore import Translated
from builder.init.propose import Dependencies
from builder.init.repository import public_url
from builder.init.training import Training
from builder.settings import DepsSettings, at_commit, load
from builder.settings.tables import Settings

LOCK = "torch==2.4.0 \\\n    --hash=sha256:00\n"


def repository(root: Path, files: Mapping[str, str], remote: str = "") -> Repository:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run(["git", "add", "-A"], cwd=root, check=True)
    if remote:
        subprocess.run(["git", "remote", "add", "origin", remote], cwd=root, check=True)
    return look(root)


def accepted(proposal: Proposal) -> Settings:
    text = render(proposal).encode()
    settings, warnings = at_commit(Settings(), lambda path: text if path == "builder.toml" else None)
    assert warnings == ()
    return settings


def test_a_repository_with_everything(tmp_path: Path) -> None:
    found = repository(
        tmp_path,
        {
            "Dockerfile": "ARG BASE=nvcr.io/nvidia/pytorch:24.05-py3\nFROM ${BASE}\nCOPY deps/ pyproject.toml nowhere /x/\nRUN x\n",
            ".dockerignore": "docs\n*.md\n",
            ".gitattributes": "*.pt filter=lfs diff=lfs merge=lfs -text\n",
            ".gitmodules": "",
            "pyproject.toml": "[project]\n",
            "deps/requirements.txt": "torch\n",
            "src/team/__init__.py": "",
            "src/team/train.py": "",
            "src/team/finetune.py": 'parser.add_argument("--config-path")',
            "configs/finetune/base.yaml": "",
            "tests/train.py": "",
        },
        "git@git.example.com:team/agent.git",
    )
    settings = accepted(propose(found))
    assert settings.image.base == "nvcr.io/nvidia/pytorch:24.05-py3"
    assert settings.image.pythonpath == ("src",)
    assert settings.image.source == "https://git.example.com/team/agent"
    assert settings.image.exclude == ("/docs", "/*.md")
    assert settings.image.deps == DepsSettings(dockerfile="Dockerfile", context=("deps", "pyproject.toml"))
    assert settings.flow["finetune"].command == ("python", "-m", "team.finetune", "--config-path", "{config}")
    assert settings.flow["finetune"].config == "configs/finetune/base.yaml"
    text = render(propose(found))
    assert 'lfs = "pointers"' in text
    assert 'submodules = "include"' in text
    assert "# or src/team/train.py" in text


def test_an_empty_repository_gets_comments_to_fill_in(tmp_path: Path) -> None:
    proposal = propose(repository(tmp_path, {}))
    assert accepted(proposal).image == Settings().image
    text = render(proposal)
    assert '# base = ""' in text
    assert "nvcr.io/nvidia/pytorch:YY.MM-py3" in text
    assert "sha256" not in text


@pytest.mark.parametrize(
    ("files", "dependencies", "advice"),
    [
        ({"requirements.txt": LOCK}, Dependencies(lock="requirements.txt"), ""),
        ({"requirements.txt": "torch\n"}, None, "uv pip compile --generate-hashes requirements.txt"),
        ({"uv.lock": ""}, None, "uv export"),
        ({"pyproject.toml": "", "Dockerfile": "FROM x\n"}, None, "or begin Dockerfile with `ARG BASE`"),
        ({"environment.yml": ""}, None, "conda"),
    ],
)
def test_dependencies(tmp_path: Path, files: dict[str, str], dependencies: Dependencies | None, advice: str) -> None:
    found = propose(repository(tmp_path, files))
    if dependencies:
        assert found.dependencies == dependencies
    assert advice in render(found)


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"train.py": ""}, ("python", "train.py")),
        ({"scripts/train.py": "", "deep/er/finetune.py": ""}, ("python", "deep/er/finetune.py")),
        ({"team/__init__.py": "", "team/train.py": ""}, ("python", "-m", "team.train")),
        ({"team/__init__.py": "", "team/a-b/train.py": ""}, ("python", "team/a-b/train.py")),
        ({"train.py": "'--config'", "config.yaml": ""}, ("python", "train.py", "--config", "{config}")),
        ({"train.py": "'--config'"}, ("python", "train.py")),
        ({"tests/train.py": "", "constraint.py": ""}, ()),
    ],
)
def test_the_training_command(tmp_path: Path, files: dict[str, str], command: tuple[str, ...]) -> None:
    assert propose(repository(tmp_path, files)).training.command == command


@pytest.mark.parametrize("script", ["", "add('--action'); add('--checkpoint-path')"])
@pytest.mark.parametrize("train", ["train.py", "other.py"])
def test_what_a_run_needs_is_written_down(tmp_path: Path, script: str, train: str) -> None:
    """Whoever takes the comments in has a flow that is not refused."""
    text = render(propose(repository(tmp_path, {train: "", "team/__init__.py": "", "team/evaluate.py": script, "configs/a.yaml": ""})))
    assert '"name": "score"' in text
    assert "$BUILDER_METRICS" in text
    assert "docs/reference" not in text
    words = "# [flow", "# click", "# command", "# config"
    taken = "\n".join(line[2:] if line.startswith(words) else line for line in text.splitlines())
    settings, warnings = at_commit(Settings(), lambda path: taken.encode() if path == "builder.toml" else None)
    assert warnings == ()
    flow = settings.flow["finetune"]
    assert flow.config == "configs/a.yaml"
    options = ("--checkpoint-path", "{checkpoint}", "--action", "{action}") if script else ()
    assert flow.evals["click"] == ("python", "-m", "team.evaluate", *options)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("RUN x\n", None),
        ("FROM a/b:1\nFROM c/d@sha256:0 AS last\n", ("c/d@sha256:0", (), False)),
        ("FROM a/b:1 as one\nRUN x\nFROM one\nCOPY --from=one /a /b\n", ("a/b:1", (), False)),
        ("FROM --platform=linux/amd64 a/b\n", ("a/b", (), False)),
        ("FROM ${UNKNOWN}\n", ("", (), False)),
        ("FROM ${TAG:-a/b}\n", ("a/b", (), False)),
        ("arg BASE=a/b\nfrom $BASE\n", ("a/b", (), True)),
        ("ARG BASE\nFROM ${BASE}\n", ("", (), True)),
        (
            'FROM a\nCOPY ["./x y", "z/", "/to/"]\nADD https://x/y /z\nCOPY a \\\n  b /to\n# COPY c /d\n',
            ("a", ("x y", "z", "a", "b"), False),
        ),
        ("FROM a\nCOPY [broken\n", ("a", (), False)),
    ],
)
def test_dockerfiles(text: str, expected: tuple[str, tuple[str, ...], bool] | None) -> None:
    found = dockerfile.read(text)
    assert (None if found is None else (found.base, found.copied, found.takes_base)) == expected


@pytest.mark.parametrize(
    ("remote", "url"),
    [
        ("git@git.example.com:team/x.git", "https://git.example.com/team/x"),
        ("ssh://git@git.example.com:2222/team/x.git", "https://git.example.com/team/x"),
        ("https://user:secret@git.example.com/team/x", "https://git.example.com/team/x"),
        ("/srv/git/x.git", ""),
        ("C:x", ""),
        ("", ""),
    ],
)
def test_the_public_url_holds_no_secret(remote: str, url: str) -> None:
    assert public_url(remote) == url


@given(st.text(), st.text(min_size=1).filter(lambda text: text.isprintable()), st.text())
def test_hostile_names_cannot_break_the_file(first: str, second: str, third: str) -> None:
    proposal = Proposal(
        base=first, base_from=third, exclude=Translated((), (third,)), dependencies=Dependencies(advice=(third,)),
        training=Training((first, second), first, (third,), False, (third,)),
    )  # fmt: skip
    if "\0" not in first and "\ud800" not in first:
        assert accepted(proposal).image.base == first


def test_the_command_writes_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    repository(tmp_path, {"a/train.py": ""})
    monkeypatch.chdir(tmp_path / "a")
    file = tmp_path / "builder.toml"
    assert frame.run(["init", "--dry-run"]) == 0
    assert not file.exists()
    printed = capsys.readouterr().out
    assert frame.run(["init"]) == 0
    said = capsys.readouterr()
    assert (file.read_text(), said.out) == (printed, f"{file}\n")
    assert said.err.splitlines()[-1].startswith("next: builder base pin")
    assert load(tmp_path, {}).flow["finetune"].command == ("python", "a/train.py")
    file.write_text("mine")
    assert frame.run(["init"]) == 2
    assert "--force" in capsys.readouterr().err
    assert file.read_text() == "mine"
    assert frame.run(["init", "--force"]) == 0
    assert file.read_text() == printed


def test_a_bare_repository_and_one_that_git_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "bare"], check=True)
    with pytest.raises(SourceError, match="bare repository"):
        look(tmp_path / "bare")
    repository(tmp_path / "broken", {"a": ""})
    (tmp_path / "broken/.git/index").write_bytes(b"damaged")
    with pytest.raises(SourceError, match="index"):
        look(tmp_path / "broken")


@pytest.mark.parametrize(("remotes", "found"), [((), ""), (("up",), "/up"), (("up", "origin"), "/origin"), (("one", "two"), "")])
def test_the_remote_is_origin_or_the_only_one(tmp_path: Path, remotes: tuple[str, ...], found: str) -> None:
    repository(tmp_path, {"a": ""})
    for name in remotes:
        subprocess.run(["git", "remote", "add", name, f"/{name}"], cwd=tmp_path, check=True)
    assert look(tmp_path).remote == found


def test_settings_in_pyproject_are_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    repository(tmp_path, {"pyproject.toml": "[tool.builder.image]\n"})
    assert frame.run(["init", "--repo", str(tmp_path), "--force"]) == 2
    assert "[tool.builder]" in capsys.readouterr().err
    assert not (tmp_path / "builder.toml").exists()


def test_outside_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert frame.run(["init"]) == 1
    said = capsys.readouterr().err
    assert "git init" in said
    assert f"{tmp_path} is not in a git repository" in said

"""A directory in a git repository: what was deployed is committed, alone, and pushed, however many do so at once."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from builder.deploy import checkout as module
from builder.deploy.checkout import Checkout
from builder.deploy.folder import KUSTOMIZATION, Folder
from builder.deploy.recorded import Source, message, record
from builder.errors import AuthError, BuilderError, DeployError
from tests.fixtures.patience import stride

SOURCE = Source("a" * 40, "What opens", f"registry.test/team@sha256:{'5' * 64}")
IDENTITY = "[user]\nname = Ada\nemail = ada@example.org\n[init]\ndefaultBranch = main\n"


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gitconfig").write_text(IDENTITY)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")


def git(directory: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=directory, capture_output=True, text=True, check=True).stdout.strip()


def repository(directory: Path) -> Path:
    git(directory.parent, "init", "--quiet", directory.name)
    (directory / "README").write_text("theirs\n")
    git(directory, "add", "README")
    git(directory, "commit", "--quiet", "--message", "Begin")
    return directory


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    git(tmp_path, "clone", "--quiet", "--bare", str(repository(tmp_path / "seed")), "remote")
    return tmp_path / "remote"


def clone(remote: Path, name: str) -> Path:
    git(remote.parent, "clone", "--quiet", str(remote), name)
    return remote.parent / name


def cron(name: str, flow: str = "tiny", **spec: Any) -> dict[str, Any]:
    return {"kind": "CronWorkflow", "metadata": {"name": name, "labels": {"builder/flow": flow}}, "spec": {"timezone": "UTC", **spec}}


def template(name: str, flow: str = "tiny") -> dict[str, Any]:
    return {"kind": "WorkflowTemplate", "metadata": {"name": name, "labels": {"builder/flow": flow}}, "spec": {"a": 1}}


def of(flow: str) -> Callable[[Any], bool]:
    return lambda manifest: bool(manifest["metadata"]["labels"]["builder/flow"] == flow)


def deploy(directory: Path, *manifests: dict[str, Any], flow: str = "tiny", push: bool = False, source: Source = SOURCE) -> str:
    """The commit that was made; empty when none was."""
    checkout = Checkout.around(directory)
    assert checkout is not None
    return record(checkout, Folder(directory), manifests, of(flow), source, push=push, sleep=lambda _: None)[1]


def files_at(where: Path, revision: str = "HEAD") -> list[str]:
    return git(where, "ls-tree", "-r", "--name-only", revision).splitlines()


# --- committed


def test_exactly_these_files_with_trailers(tmp_path: Path) -> None:
    top = repository(tmp_path / "cluster")
    (top / "README").write_text("changed\n")
    (top / "staged").write_text("staged\n")
    git(top, "add", "staged")
    (top / "team").mkdir()
    (top / "team/notes").write_text("not known to git\n")
    before = git(top, "status", "--porcelain", "README", "staged", "team/notes")
    sha = deploy(top / "team", template("one"), cron("nightly"))
    assert sha == git(top, "rev-parse", "HEAD")
    assert git(top, "show", "--name-only", "--format=", "HEAD").splitlines() == [
        "team/cronworkflow-nightly.yaml",
        "team/kustomization.yaml",
        "team/workflowtemplate-one.yaml",
    ]
    assert git(top, "status", "--porcelain", "README", "staged", "team/notes") == before
    shown = git(top, "log", "-1", "--format=%s%n%(trailers:only)").splitlines()
    assert shown == ["Deploy aaaaaaaaaaaa: What opens", f"Source-Commit: {'a' * 40}", f"Image: {SOURCE.reference}"]


def test_the_same_again_makes_no_commit(tmp_path: Path) -> None:
    top = repository(tmp_path / "cluster")
    first = deploy(top / "team", template("one"), cron("nightly"))
    assert deploy(top / "team", cron("nightly"), template("one")) == ""
    assert git(top, "rev-parse", "HEAD") == first


def test_what_goes_is_committed_too(tmp_path: Path) -> None:
    top = repository(tmp_path / "cluster")
    deploy(top, template("one"), cron("nightly"))
    assert deploy(top, template("two"), cron("nightly"))
    assert files_at(top) == ["README", "cronworkflow-nightly.yaml", "kustomization.yaml", "workflowtemplate-two.yaml"]
    assert git(top, "status", "--porcelain") == ""
    assert "removed template one" in git(top, "log", "-1", "--format=%b")


@pytest.mark.parametrize("away", [False, True])
def test_killed_before_the_commit(tmp_path: Path, away: bool) -> None:
    """The files are written, and what they replaced may be gone: the next deploy commits all of it."""
    top = repository(tmp_path / "cluster")
    deploy(top, template("one"), cron("nightly"))
    Folder(top).write([template("two"), cron("nightly")], of("tiny"))
    assert not (top / "workflowtemplate-one.yaml").exists()
    if away:
        git(top, "add", "--all")
    assert deploy(top, template("two"), cron("nightly"))
    assert files_at(top) == ["README", "cronworkflow-nightly.yaml", "kustomization.yaml", "workflowtemplate-two.yaml"]
    assert git(top, "status", "--porcelain") == ""


def test_the_first_commit_of_a_repository(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "cluster")
    assert deploy(tmp_path / "cluster/a/b", cron("nightly"))
    assert files_at(tmp_path / "cluster") == ["a/b/cronworkflow-nightly.yaml", "a/b/kustomization.yaml"]


def test_names_that_git_would_read_otherwise(tmp_path: Path) -> None:
    top = repository(tmp_path / "cluster")
    directory = top / ":(glob)*é x"
    assert deploy(directory, cron("nightly"))
    assert deploy(directory) != ""
    assert git(top, "-c", "core.quotePath=false", "ls-files").splitlines() == [":(glob)*é x/kustomization.yaml", "README"]


@pytest.mark.parametrize("subject", ["# a hash", "x" * 200, "Signed-off-by: nobody", "{{x}} \U0001f642", ""])
def test_any_subject(tmp_path: Path, subject: str) -> None:
    top = repository(tmp_path / "cluster")
    deploy(top, cron("nightly"), source=Source("a" * 40, subject, "r@sha256:1"))
    assert git(top, "log", "-1", "--format=%(trailers:only)").splitlines() == [f"Source-Commit: {'a' * 40}", "Image: r@sha256:1"]
    assert len(git(top, "log", "-1", "--format=%s")) <= 72


def test_a_message_without_an_image() -> None:
    assert message(Source("a" * 40, "S"), []) == f"Deploy aaaaaaaaaaaa: S\n\nSource-Commit: {'a' * 40}\n"


# --- refused, before anything is written


def detached(top: Path) -> None:
    git(top, "switch", "--quiet", "--detach")


def merging(top: Path) -> None:
    (top / ".git/MERGE_HEAD").write_text(git(top, "rev-parse", "HEAD") + "\n")


def picking(top: Path) -> None:
    (top / ".git/CHERRY_PICK_HEAD").write_text(git(top, "rev-parse", "HEAD") + "\n")


def ignoring(top: Path) -> None:
    (top / ".gitignore").write_text("team/\n")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (detached, r"is on no branch \(detached HEAD\)"),
        (merging, "is in the middle of a merge"),
        (picking, "middle of a cherry-pick"),
        (ignoring, "is ignored in"),
    ],
)
def test_a_repository_that_takes_no_commit(tmp_path: Path, spoil: Callable[[Path], None], said: str) -> None:
    top = repository(tmp_path / "cluster")
    spoil(top)
    with pytest.raises(DeployError, match=said) as error:
        deploy(top / "team", cron("nightly"))
    assert "--no-record" in error.value.hint
    assert not (top / "team").exists()


@pytest.mark.parametrize("inside", ["team", "objects/team", "."])
def test_a_bare_repository(tmp_path: Path, remote: Path, inside: str) -> None:
    with pytest.raises(DeployError, match="a bare repository or the inside of one"):
        Checkout.around(remote / inside)
    with pytest.raises(DeployError, match="a bare repository or the inside of one"):
        Checkout.around(repository(tmp_path / "x") / ".git/team")


def test_no_repository(tmp_path: Path) -> None:
    assert Checkout.around(tmp_path / "a/b") is None


def test_a_link_into_another_repository(tmp_path: Path) -> None:
    one, other = repository(tmp_path / "one"), repository(tmp_path / "other")
    (other / "team").mkdir()
    (one / "team").symlink_to(other / "team")
    assert deploy(one / "team", cron("nightly"))
    assert "team/cronworkflow-nightly.yaml" in files_at(other)
    assert files_at(one) == ["README"]


# --- the user's own git


def hook(top: Path, name: str, text: str) -> None:
    path = top / ".git/hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_a_hook_that_refuses(tmp_path: Path) -> None:
    top = repository(tmp_path / "cluster")
    hook(top, "pre-commit", "echo schedules are frozen >&2; exit 1")
    with pytest.raises(DeployError, match=r"git commit failed: schedules are frozen"):
        deploy(top, cron("nightly"))
    (top / ".git/hooks/pre-commit").unlink()
    assert deploy(top, cron("nightly")), "the next deploy commits what was written"


def test_signing_that_fails_is_no_commit(tmp_path: Path) -> None:
    top = repository(tmp_path / "cluster")
    git(top, "config", "commit.gpgsign", "true")
    git(top, "config", "gpg.program", "/bin/false")
    with pytest.raises(DeployError, match=r"git commit failed: .*(gpg|sign)"):
        deploy(top, cron("nightly"))
    assert files_at(top) == ["README"]


def test_nobody_to_commit_as(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top = repository(tmp_path / "cluster")
    (tmp_path / "gitconfig").write_text("[user]\nuseConfigOnly = true\n")
    for name in ("EMAIL", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(DeployError) as error:
        deploy(top, cron("nightly"))
    assert "git config user.name" in error.value.hint


def test_a_formatter_may_have_its_way(tmp_path: Path) -> None:
    """A file that says the same keeps its bytes: no commit goes back and forth."""
    top = repository(tmp_path / "cluster")
    deploy(top, cron("nightly"))
    path = top / "cronworkflow-nightly.yaml"
    path.write_text("# checked by Bob\n" + path.read_text())
    git(top, "commit", "--quiet", "--all", "--message", "Say who checked")
    assert deploy(top, cron("nightly")) == ""
    assert path.read_text().startswith("# checked by Bob")


# --- pushed


def test_it_is_pushed_to_what_the_branch_follows(remote: Path) -> None:
    top = clone(remote, "mine")
    git(top, "switch", "--quiet", "--create", "work", "--track", "origin/main")
    sha = deploy(top / "team", cron("nightly"), push=True)
    assert git(remote, "rev-parse", "main") == sha
    assert git(remote, "branch", "--format=%(refname:short)") == "main"
    assert deploy(top / "team", cron("nightly"), push=True) == ""


def test_the_first_push_of_a_branch(remote: Path) -> None:
    top = clone(remote, "mine")
    git(top, "switch", "--quiet", "--create", "production")
    assert deploy(top / "team", cron("nightly"), push=True) == git(remote, "rev-parse", "production")


def test_what_others_pushed_before_comes_first(remote: Path) -> None:
    mine, theirs = clone(remote, "mine"), clone(remote, "theirs")
    deploy(theirs / "team", cron("weekly", "other"), flow="other", push=True)
    (mine / "README").write_text("changed\n")
    deploy(mine / "team", cron("nightly"), push=True)
    listed = yaml.safe_load(git(remote, "show", f"main:team/{KUSTOMIZATION}"))["resources"]
    assert listed == ["cronworkflow-nightly.yaml", "cronworkflow-weekly.yaml"]
    assert (mine / "README").read_text() == "changed\n"
    assert git(mine, "status", "--porcelain") == "M README"


def test_somebody_is_quicker(remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They push between our look and our push: what was deployed is written anew on top of theirs."""
    mine, theirs = clone(remote, "mine"), clone(remote, "theirs")
    (mine / "staged").write_text("staged\n")
    git(mine, "add", "staged")
    pushing, late = Checkout.push, iter([True])

    def push(checkout: Checkout) -> bool:
        if checkout.top == mine.resolve() and next(late, False):
            deploy(theirs / "team", cron("weekly", "other"), flow="other", push=True)
        return pushing(checkout)

    monkeypatch.setattr(module.Checkout, "push", push)
    sha = deploy(mine / "team", template("one"), cron("nightly"), push=True)
    assert git(remote, "rev-parse", "main") == sha == git(mine, "rev-parse", "HEAD")
    listed = yaml.safe_load(git(remote, "show", f"main:team/{KUSTOMIZATION}"))["resources"]
    assert listed == ["workflowtemplate-one.yaml", "cronworkflow-nightly.yaml", "cronworkflow-weekly.yaml"]
    assert git(remote, "rev-list", "--count", "--no-merges", "main") == git(remote, "rev-list", "--count", "main") == "3"
    assert git(mine, "status", "--porcelain") == "A  staged"


def test_many_at_once(remote: Path) -> None:
    """Each from a clone of its own, each with a flow of its own, some twice: all of them are there in the end."""
    clones = [clone(remote, f"clone-{number}") for number in range(3)]

    def one(number: int) -> str:
        flow = f"flow{number}"
        deploy(clones[number] / "team", template(f"{flow}-1", flow), cron(flow, flow), flow=flow, push=True)
        return deploy(clones[number] / "team", template(f"{flow}-2", flow), cron(flow, flow), flow=flow, push=True)

    with ThreadPoolExecutor(3) as pool:
        assert all(pool.map(one, range(3)))
    listed = yaml.safe_load(git(remote, "show", f"main:team/{KUSTOMIZATION}"))["resources"]
    assert listed == [f"workflowtemplate-flow{n}-2.yaml" for n in range(3)] + [f"cronworkflow-flow{n}.yaml" for n in range(3)]
    assert files_at(remote, "main") == sorted(["README", f"team/{KUSTOMIZATION}", *(f"team/{name}" for name in listed)])
    assert git(remote, "rev-list", "--count", "main") == "7"


def test_two_in_one_clone(remote: Path) -> None:
    top = clone(remote, "mine")

    def one(flow: str) -> str:
        return deploy(top / "team", cron(flow, flow), flow=flow, push=True)

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(one, ["one", "two"]))
    assert git(remote, "rev-parse", "main") == git(top, "rev-parse", "HEAD")
    assert len(files_at(remote, "main")) == 4


class Killed(BaseException):
    """What no code of ours catches."""


@pytest.mark.parametrize("at", range(1, 40, stride(6)))
def test_killed_at_any_command_of_git(remote: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """While somebody else is quicker: what is run again ends with both deploys pushed, and nobody's work lost."""
    mine, theirs = clone(remote, "mine"), clone(remote, "theirs")
    deploy(mine / "team", template("one"), cron("nightly"))
    deploy(theirs / "team", cron("weekly", "other"), flow="other", push=True)
    (mine / "README").write_text("changed\n")
    running, count = module.process.run, iter(range(1, 1000))

    def run(argv: Any, **options: Any) -> Any:
        if next(count) == at:
            raise Killed
        return running(argv, **options)

    monkeypatch.setattr(module.process, "run", run)
    try:
        deploy(mine / "team", template("two"), cron("nightly"), push=True)
        finished = True
    except Killed:
        finished = False
    monkeypatch.setattr(module.process, "run", running)
    if not finished:
        deploy(mine / "team", template("two"), cron("nightly"), push=True)
    else:
        assert at > 20, "there are more commands than this"
    assert git(remote, "rev-parse", "main") == git(mine, "rev-parse", "HEAD")
    expected = ["README", *(f"team/{name}" for name in ("cronworkflow-nightly.yaml", "cronworkflow-weekly.yaml", KUSTOMIZATION))]
    assert files_at(remote, "main") == [*expected, "team/workflowtemplate-two.yaml"]
    assert git(mine, "status", "--porcelain") == "M README"


def test_commits_of_people_are_not_pushed_along(remote: Path) -> None:
    top = clone(remote, "mine")
    git(top, "commit", "--quiet", "--allow-empty", "--message", "Not ready yet")
    with pytest.raises(DeployError, match=r"that no deploy made: [0-9a-f]{7}"):
        deploy(top / "team", cron("nightly"), push=True)
    assert git(remote, "rev-list", "--count", "main") == "1"


def test_a_deploy_of_another_flow_that_was_never_pushed(remote: Path) -> None:
    """It cannot be written anew here, so it is not undone."""
    mine, theirs = clone(remote, "mine"), clone(remote, "theirs")
    deploy(mine / "team", cron("monthly", "third"), flow="third")
    head = git(mine, "rev-parse", "HEAD")
    deploy(theirs / "team", cron("weekly", "other"), flow="other", push=True)
    with pytest.raises(DeployError, match="a deploy that was never pushed, and its remote has gone on"):
        deploy(mine / "team", cron("nightly"), push=True)
    assert git(mine, "rev-parse", "HEAD") == head


def test_a_change_of_mine_that_they_changed_too(remote: Path) -> None:
    mine, theirs = clone(remote, "mine"), clone(remote, "theirs")
    (theirs / "README").write_text("pushed\n")
    git(theirs, "commit", "--quiet", "--all", "--message", "Change")
    git(theirs, "push", "--quiet")
    (mine / "README").write_text("mine\n")
    with pytest.raises(DeployError, match=r"git merge failed: .*README"):
        deploy(mine / "team", cron("nightly"), push=True)
    assert (mine / "README").read_text() == "mine\n"


def test_a_remote_that_refuses(remote: Path) -> None:
    top = clone(remote, "mine")
    (remote / "hooks/pre-receive").write_text("#!/bin/sh\necho main is protected >&2; exit 1\n")
    (remote / "hooks/pre-receive").chmod(0o755)
    with pytest.raises(DeployError, match=r"git push failed: .*main is protected"):
        deploy(top / "team", cron("nightly"), push=True)
    (remote / "hooks/pre-receive").unlink()
    assert deploy(top / "team", cron("nightly"), push=True) == ""
    assert git(remote, "rev-parse", "main") == git(top, "rev-parse", "HEAD"), "the commit of before is pushed"


def test_no_remote(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="nothing says where to push main"):
        deploy(repository(tmp_path / "cluster") / "team", cron("nightly"), push=True)


def test_a_remote_that_wants_credentials(remote: Path, tmp_path: Path) -> None:
    top = clone(remote, "mine")
    helper = tmp_path / "git-remote-locked"
    helper.write_text("#!/bin/sh\necho 'fatal: Authentication failed for https://ada:secret@git.test/x' >&2; exit 1\n")
    helper.chmod(0o755)
    git(top, "remote", "set-url", "origin", "locked::x")
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{tmp_path}:{path}"
    try:
        with pytest.raises(AuthError) as error:
            deploy(top / "team", cron("nightly"), push=True)
    finally:
        os.environ["PATH"] = path
    assert "secret" not in error.value.message


def test_every_error_is_ours(tmp_path: Path) -> None:
    top = repository(tmp_path / "cluster")
    (top / ".git/index").write_bytes(b"damaged")
    with pytest.raises(BuilderError):
        deploy(top, cron("nightly"))

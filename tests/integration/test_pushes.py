"""What a build makes of each kind of push: every first-parent commit of a pushed branch has its image, the others on demand."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.image.report import own_manifest
from builder.model.reference import Repository as Name
from builder.stores.registry import RegistryStore
from tests.fixtures.builds import Builds, Built
from tests.fixtures.images import flatten
from tests.fixtures.registry_auth import Auth
from tests.fixtures.registry_server import RegistryServer, Run, Status
from tests.fixtures.repositories import at_nobodys_home, submodule  # noqa: F401

pytestmark = pytest.mark.usefixtures("at_home")


@pytest.fixture
def registry() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        yield server


@pytest.fixture
def builds(tmp_path: Path, registry: RegistryServer, capsys: pytest.CaptureFixture[str]) -> Builds:
    return Builds.make(tmp_path, str(registry.repository()), capsys.readouterr)


def with_image(builds: Builds, *revisions: str) -> list[bool]:
    """Whether each commit has an image that is its tree."""
    store = RegistryStore(Name.parse(builds.to))
    found = []
    for revision in revisions:
        sha = builds.work.text("rev-parse", revision)
        stored = store.get_manifest(sha)
        found.append(stored is not None and own_manifest(stored) is not None)
        assert not stored or flatten(store, stored.digest) == builds.work.files(sha)
    store.close()
    return found


def complete(builds: Builds, revision: str) -> bool:
    """Whether every first parent of a revision has its image."""
    return all(with_image(builds, *builds.work.text("rev-list", "--first-parent", revision).split()))


def made(built: Built) -> list[str]:
    assert built.code == 0, built.err
    return built.commits


# --- branches -------------------------------------------------------------------------------------------------------------------------


def test_the_first_build_of_a_repository(builds: Builds) -> None:
    commits = builds.commit(5)
    builds.push("main")
    assert made(builds.build()) == commits
    assert complete(builds, "main")


def test_the_first_build_of_a_branch_makes_what_the_branch_adds(builds: Builds) -> None:
    main = builds.commit(4)
    builds.push("main")
    builds.build()
    builds.branch("topic", main[1])
    topic = builds.commit(3, "topic")
    builds.push("topic")
    assert made(builds.build("topic")) == topic
    assert complete(builds, "topic")


def test_the_first_build_of_a_branch_whose_main_was_never_built(builds: Builds) -> None:
    main = builds.commit(2)
    builds.branch("topic", "main")
    topic = builds.commit(2, "topic")
    builds.push("topic", "main")
    assert made(builds.build("topic")) == main + topic
    assert made(builds.build("main")) == []


def test_several_commits_in_one_push(builds: Builds) -> None:
    builds.commit(2)
    builds.push("main")
    builds.build()
    pushed = builds.commit(6)
    builds.push("main")
    assert made(builds.build()) == pushed
    assert complete(builds, "main")


def test_pushes_whose_builds_never_ran(builds: Builds) -> None:
    """A CI system that builds only the newest of several pushes."""
    builds.commit(1)
    builds.push("main")
    builds.build()
    later = []
    for _ in range(3):
        later += builds.commit(2)
        builds.push("main")
    assert made(builds.build()) == later


def test_a_build_of_an_older_push_that_comes_late(builds: Builds) -> None:
    commits = builds.commit(3)
    builds.push("main")
    assert made(builds.build()) == commits
    assert made(builds.build(commits[1])) == []


# --- cancelled ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("puts", [0, 1, 4, 7, 10, 13])
def test_what_a_cancelled_build_left_is_made_by_the_next(builds: Builds, registry: RegistryServer, puts: int) -> None:
    """Killed at some write; whatever is named by then, no commit in the middle is forgotten."""
    first = builds.commit(1)
    builds.push("main")
    builds.build()
    pushed = builds.commit(5)
    builds.push("main")
    job = builds.checkout("main")
    started, writes = threading.Event(), []

    def kill(request: object) -> None:
        writes.append(request)
        if len(writes) == puts + 1:
            assert started.wait(20)
            process.send_signal(signal.SIGKILL)

    registry.fault(lambda request: request.method == "PUT", Run(kill), times=99)
    process = builds.start(job)
    started.set()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    done = with_image(builds, *pushed)
    assert done == sorted(done, reverse=True)  # oldest first: what is left is at the end
    more = builds.commit(1)
    builds.push("main")
    assert made(builds.build()) == [sha for sha, there in zip(pushed, done, strict=True) if not there] + more
    assert complete(builds, "main")
    assert first


def test_a_registry_that_fails_half_way(builds: Builds, registry: RegistryServer) -> None:
    pushed = builds.commit(5)
    builds.push("main")
    registry.fault(lambda request: request.method == "PUT" and pushed[3] in request.path, Status(400), times=99)
    assert builds.build().code == 1
    assert with_image(builds, *pushed) == [True, True, True, False, False]
    registry._faults.clear()
    assert made(builds.build()) == pushed[3:]


# --- gaps -----------------------------------------------------------------------------------------------------------------------------


def test_a_commit_that_somebody_ran_before_it_was_pushed_hides_none(builds: Builds) -> None:
    """The image of the tip is there already; those of the commits below it are not."""
    builds.commit(2)
    builds.push("main")
    builds.build()
    local = builds.commit(4)
    builds.work.check_out()
    assert made(builds.run_in(builds.work)) == local[-1:]
    builds.push("main")
    assert made(builds.build()) == local[:-1]
    assert complete(builds, "main")


def test_a_commit_that_could_not_be_made_is_made_once_it_can(builds: Builds, tmp_path: Path) -> None:
    """Its submodule could not be fetched at first, and the commit after it has none."""
    (inner,) = builds.commit(1, "inner")
    builds.commit(1)
    builds.push("main")
    builds.build()
    modules = b'[submodule "lib"]\n\tpath = lib\n\turl = ./lib\n'
    (with_module,) = builds.commit(1, change={".gitmodules": modules, "lib": submodule(inner)})
    (without,) = builds.commit(1, change={".gitmodules": None, "lib": None})
    builds.push("main")
    built = builds.build()
    assert (built.code, built.commits) == (1, [without])
    assert f"{with_module[:12]} Change 0: skipped" in built.err
    again = builds.build()
    assert (again.code, again.commits) == (0, [])
    assert f"{with_module[:12]} Change 0: skipped" in again.err
    job = builds.checkout("main")
    job.git("clone", "--quiet", "--bare", f"file://{builds.work.directory}", str(job.directory / ".git/modules/lib"))
    assert made(builds.run_in(job, "--missing")) == [with_module]


def test_a_commit_that_never_can_be_made_fails_the_first_build_alone(builds: Builds) -> None:
    builds.commit(1)
    builds.push("main")
    builds.build()
    (broken,) = builds.commit(1, change={"builder.toml": b"[image\n"})
    (mended,) = builds.commit(1, change={"builder.toml": b'[image]\nbase = "scratch"\n'})
    builds.push("main")
    built = builds.build()
    assert (built.code, built.commits) == (1, [mended])
    (more,) = builds.commit(1)
    builds.push("main")
    assert made(builds.build()) == [more]
    assert with_image(builds, broken, mended, more) == [False, True, True]


# --- force pushes ---------------------------------------------------------------------------------------------------------------------


def test_a_force_push_of_rebased_commits(builds: Builds) -> None:
    main = builds.commit(3)
    builds.branch("topic", main[0])
    before = builds.commit(2, "topic")
    builds.push("main", "topic")
    builds.build("topic")
    builds.build("main")
    builds.branch("topic", main[2])
    rebased = builds.commit(2, "topic", change={"src/other.py": b"rebased"})
    builds.push("topic", force=True)
    assert made(builds.build("topic")) == rebased
    assert complete(builds, "topic")
    assert with_image(builds, *before) == [True, True]  # a run may still use them


def test_a_force_push_onto_older_history(builds: Builds) -> None:
    commits = builds.commit(5)
    builds.push("main")
    builds.build()
    builds.branch("main", commits[1])
    builds.push("main", force=True)
    assert made(builds.build()) == []
    assert complete(builds, "main")


def test_a_force_push_onto_history_that_no_build_made(builds: Builds) -> None:
    """The build of five commits was cancelled after two; then the branch goes back to the fourth, which has no image."""
    commits = builds.commit(5)
    builds.push("main")
    builds.build(commits[1])
    builds.branch("main", commits[3])
    builds.push("main", force=True)
    assert made(builds.build()) == commits[2:4]
    assert complete(builds, "main")


# --- merges and tags ------------------------------------------------------------------------------------------------------------------


def test_a_merge_gets_its_image_and_the_commits_of_the_branch_on_demand(builds: Builds) -> None:
    main = builds.commit(2)
    builds.branch("topic", main[0])
    topic = builds.commit(3, "topic")
    merge = builds.merge("topic")
    builds.push("main")
    assert made(builds.build()) == [*main, merge]
    assert with_image(builds, *topic) == [False, False, False]
    assert made(builds.run_in(builds.checkout("main"), "--commit", topic[1])) == [topic[1]]
    assert with_image(builds, *topic) == [False, True, False]


def test_a_branch_that_was_built_and_then_merged(builds: Builds) -> None:
    main = builds.commit(2)
    builds.branch("topic", main[0])
    topic = builds.commit(2, "topic")
    builds.push("main", "topic")
    builds.build("main")
    builds.build("topic")
    merge = builds.merge("topic")
    builds.push("main")
    assert made(builds.build()) == [merge]
    assert with_image(builds, *topic) == [True, True]


def test_a_merge_whose_first_parents_are_those_of_the_branch(builds: Builds) -> None:
    """main was merged into the branch, and then moved there: its line of first parents is another one now."""
    main = builds.commit(3)
    builds.branch("topic", main[0])
    topic = builds.commit(2, "topic")
    builds.push("main")
    builds.build()
    merge = builds.merge("main", into="topic")
    builds.branch("main", "topic")
    builds.push("main")
    assert made(builds.build()) == [*topic, merge]
    assert complete(builds, "main")


def test_a_tag(builds: Builds) -> None:
    commits = builds.commit(3)
    builds.work.git("tag", "v1", commits[1])
    builds.push("v1")
    assert made(builds.build("v1")) == commits[:2]
    builds.work.git("tag", "--annotate", "v2", commits[2], "-m", "Second")
    builds.push("v2")
    assert made(builds.build("v2")) == commits[2:]


@pytest.mark.parametrize(
    "options",
    [("--depth=1",), ("--depth=2", "--filter=blob:none"), ("--filter=blob:none", "--single-branch"), ("--filter=tree:0",), ("--no-local",)],
)
def test_every_kind_of_checkout(builds: Builds, options: tuple[str, ...]) -> None:
    commits = builds.commit(4)
    builds.push("main")
    builds.build(commits[0])
    assert made(builds.build(options=options)) == commits[1:]
    assert complete(builds, "main")


# --- forks ----------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def guarded(registry: RegistryServer) -> RegistryServer:
    """Who has no credentials may read, and not write."""
    registry.auth = Auth("bearer", users={"ci": "secret"}, anonymous_pull=True)
    return registry


@pytest.fixture
def fork(tmp_path: Path) -> dict[str, str]:
    """The environment of a job for the pull request of a fork, in GitHub Actions."""
    event = {"pull_request": {"number": 12, "head": {"sha": "b" * 40, "ref": "topic", "repo": {"full_name": "mallory/agent"}}}}
    (tmp_path / "event.json").write_text(json.dumps(event))
    return {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "team/agent", "GITHUB_EVENT_PATH": str(tmp_path / "event.json")}


def test_a_fork_without_credentials_is_no_failure(builds: Builds, guarded: RegistryServer, fork: dict[str, str]) -> None:
    commits = builds.commit(3)
    builds.push("main")
    built = builds.build(environ=fork)
    assert (built.code, built.commits) == (0, [])
    assert all(sha[:12] in built.err for sha in commits)
    assert "which has no credentials: no image of" in built.err
    assert "git fetch origin pull/12/head && builder image --missing --commit FETCH_HEAD" in built.err
    assert not guarded.state.repo("team/app").manifests


def test_a_fork_that_may_not_even_read(builds: Builds, guarded: RegistryServer, fork: dict[str, str]) -> None:
    guarded.auth.anonymous_pull = False
    commits = builds.commit(2)
    builds.push("main")
    built = builds.build(environ=fork)
    assert (built.code, built.commits) == (0, [])
    assert commits[-1][:12] in built.err


def test_a_fork_on_circleci(builds: Builds, guarded: RegistryServer) -> None:
    (commit,) = builds.commit(1)
    builds.push("main")
    built = builds.build(
        environ={"CIRCLECI": "true", "CIRCLE_PR_USERNAME": "mallory", "CIRCLE_PR_NUMBER": "12", "CIRCLE_BRANCH": "pull/12"}
    )
    assert built.code == 0
    assert commit[:12] in built.err


def test_a_fork_whose_commits_have_images_needs_no_credentials(builds: Builds, registry: RegistryServer, fork: dict[str, str]) -> None:
    builds.commit(2)
    builds.push("main")
    builds.build()
    registry.auth = Auth("bearer", users={"ci": "secret"}, anonymous_pull=True)
    built = builds.build(environ=fork)
    assert (built.code, built.commits) == (0, [])
    assert "credentials" not in built.err


@pytest.mark.parametrize("environ", [{}, {"CIRCLECI": "true", "CIRCLE_BRANCH": "main"}])
def test_without_credentials_everybody_else_fails(builds: Builds, guarded: RegistryServer, environ: dict[str, str]) -> None:
    builds.commit(1)
    builds.push("main")
    assert builds.build(environ=environ).code == 4


def test_a_pull_request_of_the_repository_itself_fails_too(
    builds: Builds, guarded: RegistryServer, fork: dict[str, str], tmp_path: Path
) -> None:
    builds.commit(1)
    builds.push("main")
    assert builds.build(environ={**fork, "GITHUB_REPOSITORY": "Mallory/agent"}).code == 4


def test_a_fork_fails_for_every_other_reason(builds: Builds, registry: RegistryServer, fork: dict[str, str]) -> None:
    builds.commit(1)
    builds.push("main")
    registry.fault(lambda request: request.method == "PUT", Status(400), times=99)
    assert builds.build(environ=fork).code == 1


# --- a real registry ------------------------------------------------------------------------------------------------------------------


@pytest.mark.registry
def test_with_a_real_registry(tmp_path: Path, docker_registry: str, capsys: pytest.CaptureFixture[str]) -> None:
    builds = Builds.make(
        tmp_path, f"{docker_registry}/pushes/{tmp_path.name.lower().replace('_', '-')}-{id(tmp_path):x}", capsys.readouterr
    )
    main = builds.commit(3)
    builds.branch("topic", main[0])
    topic = builds.commit(2, "topic")
    builds.push("main", "topic")
    assert made(builds.build(main[1])) == main[:2]
    assert made(builds.build("topic")) == topic
    merge = builds.merge("topic")
    builds.push("main")
    assert made(builds.build()) == [main[2], merge]
    assert complete(builds, "main")
    assert complete(builds, "topic")

"""Each source alone: what it says is needed, and how it says that it does not know."""

from __future__ import annotations

import json
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from builder.collect.archive_side import archive_needs
from builder.collect.cluster_side import cluster_needs
from builder.collect.git_side import _what_failed, local_needs, remote_needs
from builder.collect.needs import Needs
from builder.collect.slurm_side import _of_cluster, refuse_unknown
from builder.collect.sources import has_cluster, is_remote
from builder.errors import AuthError, BuilderError, ClusterError, LaunchError, ProcessError, SourceError
from builder.launch.slurm.bastion import Said
from builder.settings import GcSettings, LaunchSettings, RunSettings, Settings, SlurmSettings
from builder.source.repository import Git
from tests.fixtures.memory_cluster import MemoryCluster
from tests.fixtures.repositories import Repository, an_empty_repository, at_nobodys_home, clone  # noqa: F401

DIGEST = "sha256:" + "ab" * 32


# --- git ------------------------------------------------------------------------------------------------------------------------------


def test_annotated_tags_of_a_remote_are_those_of_their_commits(repository: Repository, tmp_path: Path) -> None:
    first, second = repository.history({"a": b"1"}, {"a": b"2"})
    repository.git("tag", "--annotate", "-m", "One", "v1", first)
    cloned = clone(repository, tmp_path / "clone")
    with Git.open(cloned.directory) as git:
        (needs,) = remote_needs(git, ())
        assert needs.commits[first].text == "tag v1 of origin"
        assert needs.commits[second].text == "branch main of origin"
        assert {first, second} <= needs.tips
        more = list(remote_needs(git, (f"file://{repository.directory}",)))
        assert len(more) == 2
    with Git.open(repository.directory) as git:
        assert local_needs(git, 0).commits[first].text == "tag v1 here"


def test_a_remote_that_is_away_is_named(repository: Repository) -> None:
    repository.commit({"a": b"1"})
    repository.git("remote", "add", "mirror", "file:///nowhere/at/all")
    with Git.open(repository.directory) as git, pytest.raises(SourceError, match="the remote mirror does not answer") as caught:
        list(remote_needs(git, ()))
    assert caught.value.message.endswith("'/nowhere/at/all' does not appear to be a git repository")
    assert "`git remote remove`" in caught.value.hint


def test_one_that_settings_name_is_taken_out_there(repository: Repository) -> None:
    repository.commit({"a": b"1"})
    with Git.open(repository.directory) as git, pytest.raises(SourceError) as caught:
        list(remote_needs(git, ("file:///nowhere/at/all",)))
    assert "[gc] remotes in builder.toml names it" in caught.value.hint
    assert "git remote remove" not in caught.value.hint


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "ssh: connect to host x: refused\nfatal: Could not read from remote repository.\n\nPlease make sure\nexists.",
            "ssh: connect to",
        ),
        ("fatal: Could not read from remote repository.\n\nPlease make sure\nand the repository exists.", "Could not read from remote"),
        ("warning: x\nfatal: unable to access 'https://x/': Could not resolve host: x\n", "unable to access 'https://x/'"),
        ("still running after 120.0 s", "still running after 120.0 s"),
        ("", "git ended with exit code 128"),
    ],
)
def test_of_what_git_says_the_reason_is_told(said: str, told: str) -> None:
    assert _what_failed(ProcessError(("git", "ls-remote"), 128, said)).startswith(told)


def test_a_name_that_looks_like_an_option_is_none(repository: Repository) -> None:
    repository.commit({"a": b"1"})
    with Git.open(repository.directory) as git, pytest.raises(SourceError):
        list(remote_needs(git, ("--upload-pack=touch /tmp/x",)))


def test_other_worktrees_have_commits_of_their_own(repository: Repository, tmp_path: Path) -> None:
    first, _ = repository.history({"a": b"1"}, {"a": b"2"})
    repository.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "other"), first)
    with Git.open(repository.directory) as git:
        assert local_needs(git, 0).commits[first].text == f"HEAD of {tmp_path / 'other'}"


# --- the cluster ----------------------------------------------------------------------------------------------------------------------


def pod(name: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [{"image": f"r/x@{DIGEST}"}]}, **more}


def test_who_may_not_see_all_namespaces_looks_at_those_that_are_known() -> None:
    here, there = MemoryCluster("here"), MemoryCluster("there")
    here.sees_all = False
    there.create(pod("theirs"))
    others = {"here": here, "there": there}
    assert cluster_needs(here, ["here"], others.__getitem__).digests == {}
    assert cluster_needs(here, ["here", "there"], others.__getitem__).digests[DIGEST].text == "pod theirs names it"


def test_who_may_not_see_pods_at_all_does_not_know_what_they_need() -> None:
    def refuse(verb: str, kind: str, name: str) -> None:
        if kind == "pods":
            raise AuthError("pods: forbidden")

    cluster = MemoryCluster()
    cluster.fault = refuse
    with pytest.raises(AuthError):
        cluster_needs(cluster, [], lambda name: cluster)


def test_kinds_that_the_server_lacks_need_nothing() -> None:
    cluster = MemoryCluster()
    cluster.unknown = {"jobsets"}
    cluster.fault = lambda verb, kind, name: pytest.fail("asked") if (verb, kind) == ("list", "jobsets") else None
    cluster.create(pod("one"))
    needs = cluster_needs(cluster, [], lambda name: cluster)
    assert list(needs.digests) == [DIGEST]
    assert needs.said == ["cluster https://memory.test: 1 pod"]


def test_an_image_may_be_named_by_its_commit_s_tag() -> None:
    cluster = MemoryCluster()
    for name, tag in (("plain", "a" * 40), ("with a key", f"{'b' * 40}-{'0' * 16}")):
        cluster.create({**pod(name), "spec": {"containers": [{"image": f"registry.example.com:5000/team/app:{tag}"}]}})
    needs = cluster_needs(cluster, [], lambda name: cluster)
    assert set(needs.commits) == {"a" * 40, "b" * 40}


def test_argo_says_itself_that_it_archives() -> None:
    cluster = MemoryCluster()
    cluster.create(pod("one"))
    assert cluster_needs(cluster, [], lambda name: cluster).archived == set()
    labels = {"workflows.argoproj.io/workflow-archiving-status": "Archived"}
    cluster.create({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": "old", "labels": labels}})
    assert cluster_needs(cluster, [], lambda name: cluster).archived == {"https://memory.test"}


def test_a_request_that_cannot_be_unpacked_may_need_anything() -> None:
    cluster = MemoryCluster()
    cluster.create(pod("one", args=["request-eyJhIjox_broken==="]))
    with pytest.raises(ClusterError, match="pod one carries a request"):
        cluster_needs(cluster, [], lambda name: cluster)


def test_whether_there_is_a_cluster() -> None:
    assert not has_cluster(Settings(), Needs())
    assert has_cluster(Settings(run=RunSettings(on="argo")), Needs())
    assert has_cluster(Settings(gc=GcSettings(contexts=("other",))), Needs())
    assert has_cluster(Settings(launch={"train": LaunchSettings(on="jobset")}), Needs())
    assert has_cluster(Settings(origin={"deploy": "builder.toml in force"}), Needs())
    assert has_cluster(Settings(), Needs(namespaces={"builder"}))


@pytest.mark.parametrize(
    ("hosts", "remote"),
    [
        ((), False),
        (("127.0.0.1:5000",), False),
        (("localhost:5000", "localhost"), False),
        (("[::1]:5000",), False),
        (("127.0.0.1:5000", "registry.example.com"), True),
        (("10.0.0.1:5000",), True),
        (("localhost.example.com:5000",), True),
    ],
)
def test_a_registry_is_remote_when_others_could_reach_it(hosts: tuple[str, ...], remote: bool) -> None:
    assert is_remote(hosts) is remote


# --- Argo's archive -------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[Callable[[Callable[[dict[str, str]], tuple[int, Any]]], str]]:
    """An Argo server that answers as it is told; gives its URL."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Callable[[dict[str, str]], tuple[int, Any]]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(asked.query).items()}
                assert asked.path == "/api/v1/archived-workflows"
                status, body = answer({**query, "token": self.headers.get("Authorization", "")})
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for one in servers:
        one.shutdown()
        one.server_close()


def archived(name: str, digest: str) -> dict[str, Any]:
    labels = {"builder/digest": digest[7:23], "builder/commit": "c" * 40}
    return {"metadata": {"name": name, "labels": labels}, "status": {"phase": "Succeeded"}}


def test_all_pages_of_the_archive_are_read(server: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {"": ([archived("one", "sha256:" + "1" * 64)], "2"), "2": ([archived("two", "sha256:" + "2" * 64)], "")}

    def answer(query: dict[str, str]) -> tuple[int, Any]:
        items, more = pages[query.get("listOptions.continue", "")]
        return (200 if query["token"] == "Bearer secret" else 401), {"items": items, "metadata": {"continue": more}}

    settings = GcSettings(argo_server=server(answer))
    with pytest.raises(AuthError, match="status 401"):
        archive_needs(settings)
    monkeypatch.setenv("ARGO_TOKEN", "secret")
    needs = archive_needs(settings)
    assert set(needs.digests) == {f"sha256:{'1' * 16}", f"sha256:{'2' * 16}"}
    assert needs.digests[f"sha256:{'2' * 16}"].text == "workflow two is in Argo's archive"
    assert set(needs.commits) == {"c" * 40}


@pytest.mark.parametrize(
    "answer",
    [
        lambda query: (500, {}),
        lambda query: (404, {}),
        lambda query: (200, []),
        lambda query: (200, {"items": [], "metadata": {"continue": "again"}}),
    ],
)
def test_an_archive_that_does_not_tell_all_is_an_error(server: Callable[..., str], answer: Any) -> None:
    with pytest.raises(BuilderError, match="Argo's archive at http://127"):
        archive_needs(GcSettings(argo_server=server(answer)))


# --- Slurm ----------------------------------------------------------------------------------------------------------------------------


class Local:
    """A bastion whose commands run here; squeue says what it is told."""

    def __init__(self, rows: list[tuple[str, str]]) -> None:
        self.settings = SlurmSettings(bastion="login", root="/shared")
        self.name = "login"
        self.rows = rows

    def ask(self, command: str, stdin: bytes = b"") -> Said:
        if "squeue" in command:
            row, _, rest = shlex.split(command.partition("-o ")[2])[0].partition("%i")
            between = rest.partition("%T")[0]
            fields = [
                row + between.join([str(n), "PENDING", "N/A", "N/A", "N/A", "1", "ada", "Priority", "", place, "gpu", name])
                for n, (name, place) in enumerate(self.rows)
            ]
            return Said(0, (f"{int(time.time())}\nada\n" + "\n".join(fields) + "\n").encode(), b"")
        done = subprocess.run(["bash", "-c", command], input=stdin, capture_output=True)
        return Said(done.returncode, done.stdout, done.stderr)


def test_the_script_of_a_job_says_which_image_it_needs(tmp_path: Path) -> None:
    places = {name: tmp_path / name for name in ("read", "empty dir", "gone", "other's")}
    for name in ("read", "empty dir", "other's"):
        places[name].mkdir()
    (places["read"] / "script").write_text(f"pull registry/x@{DIGEST}\nimage=/shared/sqsh/{DIGEST[7:]}.sqsh")
    (places["read"] / "env").write_bytes(b"BUILDER_COMMIT=" + b"d" * 40 + b"\0A=b\0")
    (places["read"] / "code").mkdir()
    rows = [
        ("finetune-1.finetune-a1", str(places["read"])),
        ("finetune-2.finetune-a1", str(places["empty dir"])),
        ("finetune-3.evaluate-click-a2", str(places["gone"])),
        ("jupyter", str(places["other's"])),
        ("finetune-4.a\nb-a1", str(tmp_path / "new\nline")),
    ]
    needs, unread = _of_cluster(Local(rows), ["/shared"])  # type: ignore[arg-type]
    assert needs.digests[DIGEST].text == "job 0 of finetune-1 waits in Slurm"
    assert set(needs.commits) == {"d" * 40}
    assert {"finetune-1", "finetune-2", "finetune-3"} <= set(needs.runs)
    assert {"finetune-2", "finetune-3"} <= set(unread) and "finetune-1" not in unread
    with pytest.raises(LaunchError, match="job 1 of finetune-2, by ada, may need an image"):
        refuse_unknown(unread, Needs(known_runs={"finetune-3", "finetune-4"}))
    refuse_unknown(unread, Needs(known_runs={"finetune-2", "finetune-3", "finetune-4"}))


def test_a_bastion_that_breaks_off_does_not_know() -> None:
    class Dropping(Local):
        def ask(self, command: str, stdin: bytes = b"") -> Said:
            return super().ask(command, stdin) if "squeue" in command else Said(0, b"= \0", b"")

    rows = [("finetune-1.finetune-a1", "/a"), ("finetune-2.finetune-a1", "/b")]
    with pytest.raises(LaunchError, match="login: the scripts of jobs cannot be read"):
        _of_cluster(Dropping(rows), ["/shared"])  # type: ignore[arg-type]

"""`builder devbox` in a real cluster: the very image of a commit, a home that stays, ssh through Kubernetes alone, an end when idle."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.team import Team, digest_of
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

BOX = "ada-box"
VOLUME = """
apiVersion: v1
kind: PersistentVolume
metadata: {{name: "{name}"}}
spec:
  capacity: {{storage: 1Gi}}
  accessModes: [ReadWriteOnce]
  storageClassName: "{name}"
  persistentVolumeReclaimPolicy: Retain
  hostPath: {{path: "{path}", type: Directory}}
"""


@pytest.fixture
def disk(team: Team, tmp_path: Path) -> Iterator[str]:
    """The storage class of one volume: nothing makes volumes in this cluster."""
    name, path = f"home-{team.namespace}", tmp_path / "disk"
    path.mkdir()
    team.cluster.output("apply", "-f", "-", stdin=VOLUME.format(name=name, path=path))
    yield name
    team.run("devbox", "stop", BOX, "--home", "--yes")
    team.cluster.run("delete", "persistentvolume", name, "--wait=false")


@pytest.fixture
def boxes(team: Team, disk: str, tmp_path: Path) -> Team:
    """The team with leave to have boxes, and a person with a key."""
    pod = '[devbox.pod]\ncpu = "0.1"\nmemory = "256Mi"\n'
    team.settings(f'\n[devbox]\nallow = true\nhome = "1Gi"\nstorage_class = "{disk}"\nidle = "1h"\n{pod}')
    team.ok("deploy", "--bootstrap", KUBECONFIG=str(team.cluster.kubeconfig))
    home = tmp_path / "ada"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / ".ssh" / "id_ed25519"], check=True)
    team.environ |= {"HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config")}
    team.environ.pop("SSH_AUTH_SOCK", None)
    return team


def ssh(team: Team, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """The user's own ssh, with what `up` has written for it."""
    config = Path(team.environ["XDG_CONFIG_HOME"]) / "builder" / "devbox" / "ssh_config"
    argv = ["ssh", "-F", str(config), "-o", "BatchMode=yes", f"devbox-{BOX}", *words]
    return subprocess.run(argv, env=team.environ, input=stdin, capture_output=True, text=True, timeout=120)


def said(team: Team, *words: str, stdin: str = "") -> str:
    done = ssh(team, *words, stdin=stdin)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout.strip()


def test_a_box_is_the_image_of_a_commit_and_its_home_stays(boxes: Team) -> None:
    team = boxes
    image = team.json("image", "--commit", "HEAD")[0]
    assert team.ok("devbox", "up", BOX, "--commit", "HEAD") == f"{BOX}\n"
    pod = team.get("pod", f"devbox-{BOX}")
    assert digest_of(pod["status"]["containerStatuses"][0]) == image["digest"]
    assert pod["metadata"]["labels"]["builder/devbox"] == BOX

    again = team.run("devbox", "up", BOX, "--commit", "HEAD")
    assert again.returncode == 0
    assert "nothing to do" in again.stderr
    other = team.run("devbox", "up", BOX, "--commit", "HEAD~1")
    assert (other.returncode, "builder devbox stop" in other.stderr) == (2, True)

    look_around(team)
    move_files(team)
    use_a_terminal(team)
    forward_a_port(team)
    assert ssh(team, "exit 7").returncode == 7
    assert team.run("devbox", "ssh", BOX, "--", "echo", "from", "builder").stdout == "from builder\n"
    assert team.run("devbox", "ssh", BOX, "--", "sh", "-c", "exit 7").returncode == 7
    assert team.run("devbox", "ssh", "--", "echo", "mine", LOGNAME=BOX).stdout == "mine\n", "the box of whoever names none"

    (listed,) = team.json("devbox", "ls")
    assert (listed["name"], listed["state"], listed["commit"]) == (BOX, "running", team.git("rev-parse", "HEAD"))
    said(team, "echo kept > ~/kept; echo lost > /tmp/lost")
    assert "its home stays" in team.run("devbox", "stop", BOX).stderr
    assert team.run("devbox", "ssh", BOX).returncode == 2, "it is not there"
    team.write({"note.txt": "my tree as it is\n"})
    team.ok("devbox", "up", BOX)
    assert said(team, "cat ~/kept; cat /tmp/lost 2>/dev/null; cat note.txt") == "kept\nmy tree as it is", "the same host, and nobody asked"


def look_around(team: Team) -> None:
    """A shell sees the commit's files and the team's path, and nothing of the tool's."""
    assert said(team, "pwd; echo $HOME $USER $PYTHONPATH; ls builder.toml") == "/code\n/home/dev dev /code\nbuilder.toml"
    assert "BUILDER_DEVBOX" not in said(team, "env")
    assert "asyncssh" in said(team, "python -c 'import asyncssh' 2>&1; true")
    assert said(team, "cat", stdin="through and back\n") == "through and back"
    many = said(team, "head -c 3000000 /dev/zero | tr '\\0' x | wc -c; seq 200000 | tail -n 1")
    assert many.split() == ["3000000", "200000"]


def move_files(team: Team) -> None:
    """As editors do: with sftp."""
    config = Path(team.environ["XDG_CONFIG_HOME"]) / "builder" / "devbox" / "ssh_config"
    local = Path(team.environ["HOME"]) / "large"
    local.write_bytes(bytes(range(256)) * 4000)
    assert shutil.which("sftp")
    batch = f"put {local} large\nget large {local}.back\n"
    argv = ["sftp", "-q", "-F", str(config), "-b", "-", f"devbox-{BOX}:/home/dev"]
    done = subprocess.run(argv, env=team.environ, input=batch, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert Path(f"{local}.back").read_bytes() == local.read_bytes()


def forward_a_port(team: Team) -> None:
    """As editors do: a connection to what listens in the box, which is here the box's own server."""
    config = Path(team.environ["XDG_CONFIG_HOME"]) / "builder" / "devbox" / "ssh_config"
    argv = ["ssh", "-F", str(config), "-o", "BatchMode=yes", "-W", "127.0.0.1:2222", f"devbox-{BOX}"]
    with subprocess.Popen(argv, env=team.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as inside:
        assert inside.stdout
        assert inside.stdout.readline().startswith(b"SSH-2.0-")
        inside.terminate()


def use_a_terminal(team: Team) -> None:
    """As a person does who reads what comes before he types on."""
    config = Path(team.environ["XDG_CONFIG_HOME"]) / "builder" / "devbox" / "ssh_config"
    pipe = subprocess.PIPE
    argv = ["ssh", "-F", str(config), "-o", "BatchMode=yes", "-tt", f"devbox-{BOX}"]
    with subprocess.Popen(argv, env=team.environ, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT) as person:
        assert person.stdin and person.stdout
        seen = b""
        for typed, shown in (
            ("tty; stty size", b"/dev/pts/"),
            ("echo begins-$((1+1)); sleep 1000", b"begins-2"),
            ("\x03", b"^C"),
            ("echo after-$((40+2))", b"after-42"),
            ("exit 3", b""),
        ):
            person.stdin.write(typed.encode() + (b"" if typed == "\x03" else b"\n"))
            person.stdin.flush()
            while shown not in seen:
                data = os.read(person.stdout.fileno(), 4096)
                assert data, (typed, seen)
                seen += data
        assert person.wait(60) == 3, seen


def test_an_idle_box_stops_and_says_so(boxes: Team) -> None:
    team = boxes
    path = team.repository / "builder.toml"
    path.write_text(path.read_text().replace('idle = "1h"', 'idle = "15s"'))
    started = team.run("devbox", "up", BOX, "--commit", "HEAD")
    assert started.returncode == 0, started.stderr
    assert "for 15s" in started.stderr
    until(lambda: team.json("devbox", "ls")[0]["state"] == "stopped")
    assert "nobody was here" in team.ok("devbox", "ls", "-o", "table")
    assert team.run("devbox", "ssh", BOX).returncode == 2
    assert team.ok("devbox", "up", BOX, "--commit", "HEAD") == f"{BOX}\n", "a box that has stopped is started anew"


def test_what_a_shell_needs_comes_on_top(boxes: Team, buildkit_host: str, buildctl: str) -> None:
    """And a box of somebody else is left alone."""
    team = boxes
    text = "ARG BASE\nFROM ${BASE}\nRUN echo 'echo of the box' >/usr/local/bin/of-the-box && chmod +x /usr/local/bin/of-the-box\n"
    path = team.repository / "builder.toml"
    path.write_text(path.read_text().replace('idle = "1h"', 'idle = "1h"\ndockerfile = "box/Dockerfile"'))
    team.commit("Say what a box needs", {"box/Dockerfile": text})
    image = team.json("image", "--commit", "HEAD")[0]
    team.environ |= {"BUILDKIT_HOST": buildkit_host, "PATH": f"{Path(buildctl).parent}:{team.environ['PATH']}"}
    team.ok("devbox", "up", BOX, "--commit", "HEAD", LOGNAME="ada")
    pod = team.get("pod", f"devbox-{BOX}")
    assert digest_of(pod["status"]["containerStatuses"][0]) != image["digest"]
    assert said(team, "of-the-box; pwd; ls builder.toml") == "of the box\n/code\nbuilder.toml"

    refused = team.run("devbox", "up", BOX, "--commit", "HEAD", LOGNAME="eve")
    assert (refused.returncode, "is ada's" in refused.stderr) == (2, True), refused.stderr


def test_an_image_without_the_tool_is_entered_with_kubectl(boxes: Team) -> None:
    team = boxes
    path = team.repository / "builder.toml"
    path.write_text(path.read_text().replace('python = "3.11"\n', ""))
    team.commit("Do not say which Python the base has")
    team.environ["PATH"] = f"{Path(team.cluster.kubectl).parent}:{team.environ['PATH']}"
    started = team.run("devbox", "up", BOX, "--commit", "HEAD")
    assert started.returncode == 0, started.stderr
    assert "serves no ssh" in started.stderr
    entered = team.run("devbox", "ssh", BOX, "--", "cat", "builder.toml")
    assert entered.stdout == path.read_text(), entered.stderr
    assert team.run("devbox", "ssh", BOX, "--", "sh", "-c", "exit 5").returncode == 5

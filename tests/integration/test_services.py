"""The real servers are what the other tests take them for, and go without a trace."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import subprocess
import tarfile
import tempfile
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.fixtures.cluster import Cluster
from tests.fixtures.servers import S3Server

SERVICES = Path(__file__).parents[1] / "services"
NGC_NAMES = {"PATH", "LD_LIBRARY_PATH", "PYTHONIOENCODING", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_PYTORCH_VERSION", "PIP_CONSTRAINT"}


def output(*argv: str, **env: str) -> str:
    done = subprocess.run(argv, env=os.environ | env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_registry_answers_and_allows_deletion(docker_registry: str) -> None:
    with urllib.request.urlopen(f"http://{docker_registry}/v2/", timeout=5) as answer:
        assert answer.status == 200
    gone = urllib.request.Request(f"http://{docker_registry}/v2/none/manifests/sha256:{'0' * 64}", method="DELETE")
    with pytest.raises(urllib.request.HTTPError) as refused:
        urllib.request.urlopen(gone, timeout=5)
    with refused.value as answer:
        assert answer.code == 404  # 405 where deletion is off


def test_the_base_is_shaped_like_the_real_one(ngc_base: str, crane: str) -> None:
    manifest = json.loads(output(crane, "manifest", ngc_base))
    config = json.loads(output(crane, "config", ngc_base))
    assert len(manifest["layers"]) >= 50
    assert len(config["rootfs"]["diff_ids"]) == len(manifest["layers"]) == len(config["history"])
    assert len({layer["digest"] for layer in manifest["layers"]}) < len(manifest["layers"])
    assert {item.partition("=")[0] for item in config["config"]["Env"]} >= NGC_NAMES
    assert config["config"]["Entrypoint"] == ["/opt/nvidia/nvidia_entrypoint.sh"]
    assert config["config"]["WorkingDir"] == "/workspace"


def test_the_base_is_made_the_same_again(ngc_base: str, docker_registry: str, tmp_path: Path) -> None:
    home = Path(os.environ.get("BUILDER_SERVICES_HOME") or Path.home() / ".cache" / "builder-services")
    root = next(home.glob("rootfs-*[0-9a-f]"))
    again = output("python3", str(SERVICES / "base.py"), "--root", str(root), "--registry", docker_registry, "--cache", str(tmp_path))
    assert again.strip() == ngc_base


def test_docker_runs_the_base_by_digest(docker_host: str, docker_cli: str, ngc_base: str) -> None:
    script = "import os, torch; print(torch.__version__, os.getcwd(), os.environ['NVIDIA_PRODUCT_NAME'])"
    said = output(docker_cli, "run", "--rm", "--network=none", ngc_base, "python", "-c", script, DOCKER_HOST=docker_host)
    assert said.split() == ["2.4.0a0+3bcc3cddb5.nv24.7", "/workspace", "PyTorch"]


def test_containerd_unpacks_the_base(containerd_socket: str, ngc_base: str) -> None:
    ctr = ("ctr", "--address", containerd_socket, "--namespace", "builder-test")
    output(*ctr, "images", "pull", "--plain-http", ngc_base)
    try:
        assert ngc_base in output(*ctr, "images", "check", "--quiet")
    finally:
        output(*ctr, "images", "rm", "--sync", ngc_base)


def test_s3_keeps_what_is_written_under_conditions(s3_server: S3Server) -> None:
    keys = {"aws_access_key_id": s3_server.key, "aws_secret_access_key": s3_server.secret}
    s3 = boto3.client("s3", endpoint_url=s3_server.endpoint, region_name="us-east-1", **keys)
    place = {"Bucket": s3_server.bucket, "Key": f"test/{uuid.uuid4().hex}"}
    s3.put_object(**place, Body=b"first", IfNoneMatch="*", ChecksumAlgorithm="SHA256")
    try:
        with pytest.raises(ClientError, match="PreconditionFailed"):
            s3.put_object(**place, Body=b"second", IfNoneMatch="*")
        assert s3.get_object(**place)["Body"].read() == b"first"
        checksum = s3.head_object(**place, ChecksumMode="ENABLED")["ChecksumSHA256"]
        assert base64.b64decode(checksum) == hashlib.sha256(b"first").digest()
    finally:
        s3.delete_object(**place)
    with pytest.raises(ClientError, match="404"):
        s3.head_object(**place)


@pytest.fixture
def own_home() -> Iterator[Path]:
    """Empty, with a path short enough for sockets, which pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="services-") as home:
        yield Path(home)


@pytest.mark.minutes
def test_down_leaves_no_process_mount_or_cgroup(docker_host: str, docker_cli: str, own_home: Path) -> None:
    """In an instance of its own, with a container that runs on."""
    own = {
        "BUILDER_SERVICES_HOME": str(own_home),
        "BUILDER_SERVICES_PORT": str(free_port()),
        "DOCKER_HOST": f"unix://{own_home}/run/docker.sock",
    }
    share_tools(own_home)
    try:
        output(str(SERVICES / "up"), "registry", "docker", **own)
        with (image := own_home / "image.tar").open("wb") as file:
            write_sleeping_image(file)
        digest = output(docker_cli, "import", str(image), **own).strip()
        output(docker_cli, "run", "--detach", "--network=none", digest, "/bin/sleep", "300", **own)
        assert processes_naming(own_home) and mounts_below(own_home) and cgroups_of(own_home)
    finally:
        output(str(SERVICES / "down"), **own)
    assert not processes_naming(own_home)
    assert not mounts_below(own_home)
    assert not cgroups_of(own_home)
    assert not (own_home / "run").exists()


@pytest.fixture
def kernel_panic() -> Iterator[int]:
    """A value that nobody sets, for as long as the test lasts."""
    setting = Path("/proc/sys/kernel/panic")
    before = setting.read_text()
    setting.write_text("11")
    yield 11
    setting.write_text(before)


@pytest.mark.minutes
def test_down_leaves_nothing_of_a_cluster(kubectl: str, own_home: Path, kernel_panic: int) -> None:
    """In an instance of its own beside the other one, with a pod that runs on."""
    bridge, port = Path("/sys/class/net/builder255"), free_port()
    own = {"BUILDER_SERVICES_HOME": str(own_home), "BUILDER_SERVICES_PORT": str(port), "BUILDER_SERVICES_NETWORK": "255"}
    cluster = Cluster(kubectl, own_home / "run/cluster/admin.kubeconfig")
    share_tools(own_home)
    others = loopbacks()
    try:
        output(str(SERVICES / "up"), "s3", "cluster", **own)
        cluster.output("run", "sleeping", f"--image=127.0.0.1:{port}/services/pause:made")
        cluster.output("wait", "--for=condition=Ready", "pod/sleeping", "--timeout=60s")
        assert bridge.exists() and kept_outside(own_home) and cgroups_of(own_home)
        of_pod = [name for name in loopbacks() - others if name.split("-")[2] in str(kept_outside(own_home))]
        assert of_pod
        assert Path("/proc/sys/kernel/panic").read_text().strip() != str(kernel_panic)
    finally:
        output(str(SERVICES / "down"), **own)
    assert not processes_naming(own_home)
    assert not mounts_below(own_home)
    assert not cgroups_of(own_home)
    assert not kept_outside(own_home)
    assert not loopbacks() & set(of_pod)
    assert not bridge.exists()
    assert Path("/proc/sys/kernel/panic").read_text().strip() == str(kernel_panic)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def share_tools(home: Path) -> None:
    """What `up` would build anew in an empty home."""
    shared = Path(os.environ.get("BUILDER_SERVICES_HOME") or Path.home() / ".cache" / "builder-services")
    (home / "bin").symlink_to(shared / "bin")


def write_sleeping_image(file: object) -> None:
    """This machine's own `sleep` and the libraries it needs."""
    needed = [word for word in output("ldd", "/bin/sleep").split() if word.startswith("/")]
    with tarfile.open(fileobj=file, mode="w", dereference=True) as tar:  # type: ignore[call-overload]
        for path in ["/bin/sleep", *needed]:
            tar.add(path)


def processes_naming(home: Path) -> list[str]:
    found = []
    for proc in Path("/proc").glob("[0-9]*"):
        try:
            words = (proc / "cmdline").read_bytes().decode()
            state = (proc / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if str(home) in words and state != "Z":
            found.append(words)
    return found


def mounts_below(home: Path) -> list[str]:
    return [line for line in Path("/proc/mounts").read_text().splitlines() if line.split()[1].startswith(f"{home}/")]


def cgroup_name(home: Path) -> str:
    return f"builder-services-{hashlib.sha256(str(home).encode()).hexdigest()[:8]}"


def cgroups_of(home: Path) -> list[Path]:
    return list(Path("/sys/fs/cgroup").glob(f"**/{cgroup_name(home)}"))


def loopbacks() -> set[str]:
    """What the network plugins note of pods' own loopback, `cni-loopback-ID-lo`, for every cluster here alike."""
    return {path.name for path in Path("/var/lib/cni").glob("**/cni-loopback-*")}


def kept_outside(home: Path) -> list[Path]:
    """What the kubelet and the network plugins write in fixed places."""
    logs = [link for link in Path("/var/log/containers").glob("*") if str(link.readlink()).startswith(f"{home}/")]
    return [*logs, *Path("/var/lib/cni").glob(f"**/{cgroup_name(home)}-*")]

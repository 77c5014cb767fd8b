"""docs/tutorial.md, every command of it, against a real registry, cluster, S3 and Slurm."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from tests.fixtures.cluster import Cluster
from tests.fixtures.servers import S3Server, SlurmServer
from tests.fixtures.story import Reader, plain_environment, told
from tests.fixtures.team import Images

pytestmark = [pytest.mark.cluster, pytest.mark.slurm, pytest.mark.timeout(1800), pytest.mark.xdist_group("slurm")]

PAGE = "tutorial.md"


@pytest.fixture
def reader(tmp_path: Path, cluster: Cluster, namespace: str, images: Images, s3_server: S3Server, slurm: SlurmServer) -> Reader:
    """The page's names, and what they are called here."""
    home = tmp_path / "ada"
    home.mkdir()
    name, endpoint = f"e2e/{namespace}", f'\nendpoint = "{s3_server.endpoint}"'
    keys = f'identity_file = "{slurm.ssh / "user"}"\nknown_hosts = "{slurm.ssh / "known_hosts"}"\nuser = "root"'
    names = {
        'to = "registry.example.com/team/agent"': f'push = "{images.push}/{name}"\npull = "{images.pull}/{name}"',
        "nvcr.io/nvidia/pytorch:24.05-py3": images.base,
        "registry.example.com/team/agent": f"{images.pull}/{name}",
        'root = "s3://team-data/agent"': f'root = "s3://{s3_server.bucket}/{name}"{endpoint}',
        "s3://team-data/agent": f"s3://{s3_server.bucket}/{name}",
        "AWS_ACCESS_KEY_ID=...": f"AWS_ACCESS_KEY_ID={s3_server.key}",
        "AWS_SECRET_ACCESS_KEY=...": f"AWS_SECRET_ACCESS_KEY={s3_server.secret}",
        "agent-team": namespace,
        'bastion = "login.hpc.example.com"': f'bastion = "{slurm.bastion}"\n{keys}',
        "local laptop ": f"local {platform.node()} ",
        "/shared/ada/builder": str(tmp_path / "shared"),
        "module load python": f"export PATH={Path(sys.executable).parent}:$PATH",
    }
    environ = {
        **plain_environment(),
        **s3_server.environment,
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "KUBECONFIG": str(cluster.kubeconfig),
        "PATH": f"{Path(sys.executable).parent}:{Path(cluster.kubectl).parent}:/usr/local/bin:/usr/bin:/bin",
        "LOGNAME": "ada",
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
    }
    (home / ".gitconfig").write_text("[user]\nname = Ada Example\nemail = ada@example.org\n[init]\ndefaultBranch = main\n")
    return Reader(home, names, environ)


def test_the_whole_in_one_sitting(reader: Reader) -> None:
    for one in told(PAGE):
        print(f"$ {one.command}", flush=True)
        print(reader.follow(one), flush=True)

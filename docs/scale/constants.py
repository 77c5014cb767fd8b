"""What docs/scale.py knows of the world. Each constant is measured, cited, or plainly assumed."""

from __future__ import annotations

from dataclasses import dataclass

KB, MB, GB, TB = 1e3, 1e6, 1e9, 1e12
HOUR, DAY = 3600, 86400


@dataclass(frozen=True, slots=True)
class Constant:
    """`source` begins with `measured`, `cited` or `assumed`."""

    value: float
    unit: str
    meaning: str
    source: str

    def meaning_with(self, name: str) -> str:
        return f"{name}: {self.meaning}"


_BENCH = "measured, [benchmarks](../benchmarks.md)"
_ECR = "cited, Amazon ECR service quotas, the default"
_S3 = "cited, Amazon S3 performance guidelines"

CONSTANTS = {
    "requests a commit": Constant(14, "", "to the registry, from a cold machine", f"{_BENCH}, one-file commit, cold"),
    "seconds a commit": Constant(0.476, "s", "in which they are sent", f"{_BENCH}, one-file commit, cold"),
    "requests in a row": Constant(12, "", "for each further commit of a push", f"{_BENCH}, every commit of a branch"),
    "seconds in a row": Constant(0.08, "s", "in which they are sent", f"{_BENCH}, every commit of a branch"),
    "new bytes": Constant(2.9 * MB, "B", "that a commit adds, compressed, median", "measured, 300 commits of a public repository of 94 MB"),
    "whole layer": Constant(101 * MB, "B", "the same when all code is one layer", "measured, the same 300 commits"),
    "changed layers": Constant(
        3, "", "that a node lacks of a commit nearby", "measured, the median of the benchmark's 119 commits, rounded up"
    ),
    "code layers": Constant(40, "", "of an image", f"{_BENCH}, new bytes per commit"),
    "code bytes": Constant(38.6 * MB, "B", "of all code layers, compressed", f"{_BENCH}, first build of the whole tree"),
    "base layers": Constant(55, "", "of an NVIDIA PyTorch base", "measured, several of NGC's manifests: 50 to 60"),
    "base bytes": Constant(20 * GB, "B", "of base and dependencies", "assumed: NGC's base of some 10 GB, compressed, and as much again"),
    "unpack": Constant(100 * MB, "B/s", "that a node downloads and unpacks", f"{_BENCH}, a cold node less a warm one: 2 GB in 20 s"),
    "node link": Constant(3.1 * GB, "B/s", "of a node", "assumed: 25 Gbit/s"),
    "registry link": Constant(1.25 * GB, "B/s", "of the registry", "assumed: one machine, 10 Gbit/s"),
    "seconds of start": Constant(10, "s", "within which the pods of a gang are started", "assumed"),
    "requests, registry": Constant(
        1300, "/s", "that one registry process answers", "measured: docker-registry 2.8 on 2 cores, shared with the four processes that ask"
    ),
    "objects a run": Constant(10, "", "of the ledger", "measured, finetune on Argo with 3 evals"),
    "bytes an object": Constant(925, "B", "of the ledger", "measured, the 16 of `builder demo`"),
    "keys a page": Constant(1000, "", "of a listing", "cited, S3 ListObjectsV2"),
    "seconds a page": Constant(0.15, "s", "until a page is there", f"{_S3}: 100 to 200 ms"),
    "template": Constant(55 * KB, "B", "of finetune in etcd", "measured, as the API server gives it, compact"),
    "workflow": Constant(71 * KB, "B", "of a finetune that has ended", "measured, the same"),
    "pods a run": Constant(8, "", "of finetune with 3 evals", "measured"),
    "puts, ECR": Constant(10, "/s", "PutImage", _ECR),
    "images, ECR": Constant(100_000, "", "in one repository", _ECR),
    "puts, S3": Constant(3500, "/s", "under one prefix", _S3),
    "etcd": Constant(2 * 1024**3, "B", "of all objects", "cited, etcd system limits, the default"),
    "writes, GitHub": Constant(500, "/h", "of content by one account", "cited, GitHub REST API, secondary rate limits"),
    "delete": Constant(
        0.47 / 20_000,
        "s",
        "of docker-registry 2.8, for each tag of the repository, whenever an image is deleted",
        f"{_BENCH}, clean-up of 10,000 images",
    ),
    "night": Constant(8 * 60, "min", "that clean-up has", "assumed"),
    "patience": Constant(5, "s", "that a person waits for a list", "assumed"),
    "looks": Constant(10, "/min", "squeue, however many steps wait", f"{_BENCH}, waiting for Slurm"),
    "squeue": Constant(60, "/min", "that nobody minds", "assumed: one a second"),
    "pods": Constant(20, "/s", "that a scheduler and its API server start", "assumed: a tenth of what is claimed for 5,000 nodes"),
}


def constant(name: str) -> float:
    return CONSTANTS[name].value

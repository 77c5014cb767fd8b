"""Makes an image shaped like NVIDIA's PyTorch one (NGC) from a Debian root and pushes it; prints its reference by digest.

Alike: about 55 gzip layers under a Docker schema 2 manifest, some of them the same empty layer; the environment, entrypoint and working
directory; python3, pip and an importable (pretended) torch with its metadata. Same root, same digest. `--size` pads it with bytes that
do not compress, to weigh what the real one weighs. Standard library only: it runs before there is a virtual environment.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import io
import json
import random
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LAYERS = 55
EMPTY_EVERY = 7  # in the real image, too, the same empty layer comes back several times
MTIME = 1704067200  # 2024-01-01: every entry's, so that the digest depends on content alone
CREATED = "2024-07-01T00:00:00Z"
REPOSITORY = "nvidia/pytorch"
TAG = "24.07-py3"
TORCH = "2.4.0a0+3bcc3cddb5.nv24.7"
SITE = "usr/local/lib/python3.11/dist-packages"

LEFT_OUT = (
    "dev/", "proc/", "sys/", "run/", "tmp/", "var/log/", "var/cache/", "var/lib/apt/lists/", "usr/share/doc/", "usr/share/man/",
    "usr/share/locale/", "usr/share/info/", "etc/machine-id", "etc/hostname", "etc/resolv.conf", "usr/lib/python3.11/EXTERNALLY-MANAGED",
)  # fmt: skip
ROOT_PARTS = ("usr/lib/x86_64-linux-gnu/", "usr/lib/python3", "usr/share/")  # a layer each, after one with everything else

ENV = {
    "PATH": "/usr/local/mpi/bin:/usr/local/nvidia/bin:/usr/local/cuda/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:"
    "/usr/local/ucx/bin:/opt/tensorrt/bin",
    "CUDA_VERSION": "12.5.1.007",
    "CUDA_DRIVER_VERSION": "555.42.06",
    "CUDA_CACHE_DISABLE": "1",
    "ENV": "/etc/shinit_v2",
    "BASH_ENV": "/etc/bash.bashrc",
    "SHELL": "/bin/bash",
    "NVIDIA_REQUIRE_CUDA": "cuda>=9.0",
    "NCCL_VERSION": "2.22.3",
    "CUDNN_VERSION": "9.2.1.18",
    "LD_LIBRARY_PATH": "/usr/local/cuda/compat/lib:/usr/local/nvidia/lib:/usr/local/nvidia/lib64",
    "LIBRARY_PATH": "/usr/local/cuda/lib64/stubs:",
    "NVIDIA_VISIBLE_DEVICES": "all",
    "NVIDIA_DRIVER_CAPABILITIES": "compute,utility,video",
    "NVIDIA_PRODUCT_NAME": "PyTorch",
    "NVIDIA_PYTORCH_VERSION": "24.07",
    "PYTORCH_BUILD_VERSION": TORCH,
    "PYTORCH_VERSION": "2.4.0a0+3bcc3cddb5",
    "PYTORCH_HOME": "/opt/pytorch/pytorch",
    "PYTHONIOENCODING": "utf-8",
    "LC_ALL": "C.UTF-8",
    "PIP_CONSTRAINT": "/etc/pip/constraint.txt",
    "PIP_DEFAULT_TIMEOUT": "100",
    "TORCH_CUDA_ARCH_LIST": "5.2 6.0 6.1 7.0 7.2 7.5 8.0 8.6 8.7 9.0+PTX",
    "NVIDIA_BUILD_ID": "100464919",
}

ENTRYPOINT = '#!/bin/bash\n# The real one greets, checks the driver and warns; then it does this.\nexec "${@:-/bin/bash}"\n'
TORCH_INIT = f'"""Stands in for the torch of the real image."""\n\n__version__ = "{TORCH}"\n'
TORCH_METADATA = f"Metadata-Version: 2.1\nName: torch\nVersion: {TORCH}\nSummary: Tensors and dynamic neural networks\n"


Registry = http.client.HTTPConnection
Headers = dict[str, str]


@dataclass(frozen=True)
class Layer:
    """A gzip layer, whole in memory (the largest of a padded 2 GB base has about 60 MB)."""

    data: bytes
    diff_id: str
    created_by: str

    @property
    def digest(self) -> str:
        return "sha256:" + hashlib.sha256(self.data).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="a Debian root made by debootstrap")
    parser.add_argument("--registry", required=True, metavar="HOST:PORT")
    parser.add_argument("--size", default="0", help="pad to about this many bytes (500M, 2G); 0: do not")
    parser.add_argument("--cache", type=Path, required=True, help="folder that remembers the digest of what was pushed")
    args = parser.parse_args()
    registry = http.client.HTTPConnection(args.registry, timeout=60)
    known = args.cache / (recipe(args.root, args.size) + ".digest")
    if not (known.exists() and pushed(registry, known.read_text())):
        digest = push(registry, layers(args.root, size_in_bytes(args.size)), TAG if args.size == "0" else f"{TAG}-{args.size.lower()}")
        args.cache.mkdir(parents=True, exist_ok=True)
        known.write_text(digest)
    print(f"{args.registry}/{REPOSITORY}@{known.read_text()}")


def recipe(root: Path, size: str) -> str:
    """What the image follows from: this file, the root (named after its packages) and the size."""
    return hashlib.sha256(b"\0".join([Path(__file__).read_bytes(), root.name.encode(), size.encode()])).hexdigest()[:16]


def size_in_bytes(text: str) -> int:
    unit = {"K": 10**3, "M": 10**6, "G": 10**9}.get(text[-1].upper(), 1)
    return int(text.rstrip("kKmMgG")) * unit


# --- layers ---------------------------------------------------------------------------------------------------------------------------


def layers(root: Path, size: int) -> Iterator[Layer]:
    """The root's parts, then the fixed files, then small (or padded) and empty layers up to LAYERS."""
    by_part = split_root(root)
    for part, names in by_part.items():
        yield layer(f"ADD {part or 'rootfs'} # buildkit", tar_of_root(root, names))
    fixed = [layer(f"COPY {', '.join(files)} # buildkit", tar_of_files(files)) for files in fixed_files()]
    yield from fixed
    rest = LAYERS - len(by_part) - len(fixed)
    numbers = [number for number in range(rest) if number % EMPTY_EVERY != 1]
    for number in range(rest):
        files = filler(number, size // len(numbers)) if number in numbers else {}
        yield layer(f"COPY part-{number:02d} /opt/nvidia/parts # buildkit", tar_of_files(files), level=0)


def layer(created_by: str, tar: bytes, level: int = 1) -> Layer:
    squeeze = zlib.compressobj(level=level, wbits=31)
    return Layer(squeeze.compress(tar) + squeeze.flush(), "sha256:" + hashlib.sha256(tar).hexdigest(), created_by)


def split_root(root: Path) -> dict[str, list[str]]:
    parts: dict[str, list[str]] = {part: [] for part in ("", *ROOT_PARTS)}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if not (name.startswith(LEFT_OUT) or (name.endswith(".pyc") and not name.startswith("usr/lib/python3"))):
            parts[next((part for part in ROOT_PARTS if name.startswith(part)), "")].append(name)
    return parts


def tar_of_root(root: Path, names: list[str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in names:
            info = tar.gettarinfo(root / name, name)
            info.mtime, info.uname, info.gname = MTIME, "", ""
            if info.isreg():
                with (root / name).open("rb") as file:
                    tar.addfile(info, file)
            else:
                tar.addfile(info)
    return buffer.getvalue()


def tar_of_files(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.mtime, info.size, info.mode = MTIME, len(content), 0o755 if content.startswith(b"#!") else 0o644
            if content.startswith(b"-> "):
                info.type, info.linkname, info.size = tarfile.SYMTYPE, content[3:].decode(), 0
            tar.addfile(info, None if info.issym() else io.BytesIO(content))
    return buffer.getvalue()


def fixed_files() -> list[dict[str, bytes]]:
    """A mapping a layer: path -> content; a content of `-> target` is a symbolic link."""
    return [
        {"usr/bin/python": b"-> python3"},
        {"etc/shinit_v2": b"", "etc/pip/constraint.txt": b""},
        {"opt/nvidia/nvidia_entrypoint.sh": ENTRYPOINT.encode()},
        {f"{SITE}/torch/__init__.py": TORCH_INIT.encode(), f"{SITE}/torch/version.py": f'__version__ = "{TORCH}"\n'.encode()},
        {
            f"{SITE}/torch-{TORCH}.dist-info/METADATA": TORCH_METADATA.encode(),
            f"{SITE}/torch-{TORCH}.dist-info/INSTALLER": b"pip\n",
            f"{SITE}/torch-{TORCH}.dist-info/RECORD": b"torch/__init__.py,,\ntorch/version.py,,\n",
        },
        {"workspace/README.md": b"This is the PyTorch container's workspace.\n"},
    ]


def filler(number: int, size: int) -> dict[str, bytes]:
    """One file: a line, or `size` bytes that are the same on every run and do not compress."""
    name = f"opt/nvidia/parts/{number:02d}"
    return {name: random.Random(number).randbytes(size) if size else f"part {number}\n".encode()}


# --- registry -------------------------------------------------------------------------------------------------------------------------


def push(registry: Registry, made: Iterator[Layer], tag: str) -> str:
    """Blobs, then the configuration, then the manifest under its tag; returns its digest."""
    descriptors, diff_ids, history = [], [], []
    for one in made:
        put_blob(registry, one.digest, one.data)
        descriptors.append(descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", one.data))
        diff_ids.append(one.diff_id)
        history.append({"created": CREATED, "created_by": one.created_by, "comment": "buildkit.dockerfile.v0"})
    config = json.dumps(configuration(diff_ids, history), separators=(",", ":")).encode()
    put_blob(registry, "sha256:" + hashlib.sha256(config).hexdigest(), config)
    media_type = "application/vnd.docker.distribution.manifest.v2+json"
    manifest = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": descriptor("application/vnd.docker.container.image.v1+json", config),
        "layers": descriptors,
    }
    body = json.dumps(manifest, indent=3).encode()
    request(registry, "PUT", f"/v2/{REPOSITORY}/manifests/{tag}", 201, body, {"Content-Type": media_type})
    return "sha256:" + hashlib.sha256(body).hexdigest()


def configuration(diff_ids: list[str], history: list[dict[str, str]]) -> dict[str, object]:
    return {
        "architecture": "amd64",
        "os": "linux",
        "created": CREATED,
        "config": {
            "Env": [f"{name}={value}" for name, value in ENV.items()],
            "Entrypoint": ["/opt/nvidia/nvidia_entrypoint.sh"],
            "WorkingDir": "/workspace",
            "ExposedPorts": {"6006/tcp": {}, "8888/tcp": {}},
            "Labels": {"com.nvidia.pytorch.version": "2.4.0a0+3bcc3cddb5", "maintainer": "NVIDIA CORPORATION"},
        },
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": history,
    }


def descriptor(media_type: str, data: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "size": len(data), "digest": "sha256:" + hashlib.sha256(data).hexdigest()}


def pushed(registry: Registry, digest: str) -> bool:
    accept = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
    return send(registry, "HEAD", f"/v2/{REPOSITORY}/manifests/{digest}", None, accept)[0] == 200


def put_blob(registry: Registry, digest: str, data: bytes) -> None:
    if send(registry, "HEAD", f"/v2/{REPOSITORY}/blobs/{digest}")[0] == 200:
        return
    location = request(registry, "POST", f"/v2/{REPOSITORY}/blobs/uploads/", 202)
    path = location[location.index("/v2/") :]
    request(registry, "PUT", f"{path}{'&' if '?' in path else '?'}digest={digest}", 201, data, {"Content-Type": "application/octet-stream"})


def request(registry: Registry, verb: str, path: str, expected: int, body: bytes | None = None, headers: Headers | None = None) -> str:
    """Sends, insists on a status and returns the Location."""
    status, location, text = send(registry, verb, path, body, headers)
    if status != expected:
        raise SystemExit(f"{verb} {path}: {status} instead of {expected}: {text[:300]!r}")
    return location


def send(registry: Registry, verb: str, path: str, body: bytes | None = None, headers: Headers | None = None) -> tuple[int, str, bytes]:
    registry.request(verb, path, body=body, headers=(headers or {}) | ({"Content-Length": "0"} if verb == "POST" else {}))
    response = registry.getresponse()
    return response.status, response.getheader("Location") or "", response.read()


if __name__ == "__main__":
    main()

"""Below a root of Slurm's side: what find lists, and what is removed. The commands are real; the bastion is this machine's bash."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from builder.errors import LaunchError
from builder.housekeep.slurm_side import Place, remove, things_at
from builder.housekeep.things import ON_SLURM, Thing
from builder.launch.slurm.bastion import Said
from builder.launch.slurm.code import bring_code, tree_of
from builder.settings import SlurmSettings

DAY = 86400.0
DIGEST, OTHER = "a" * 64, "b" * 64


@dataclass
class Here:
    """A bastion whose commands run here. `path` comes before PATH; `dies` breaks the connection off."""

    root: Path
    path: Path
    dies: bool = False
    user: int | None = None
    commands: list[str] = field(default_factory=list)
    name = "here"

    @property
    def settings(self) -> SlurmSettings:
        return SlurmSettings(bastion="here", root=str(self.root))

    def ask(self, command: str, stdin: Any = b"", stdout: Any = None) -> Said:
        self.commands.append(command)
        if self.dies:
            raise LaunchError("ssh to here: gone", "", "lost")
        env = {**os.environ, "PATH": f"{self.path}:{os.environ['PATH']}"}
        given = stdin if isinstance(stdin, bytes) else stdin.seek(0) or stdin.read()
        done = subprocess.run(["sh", "-c", command], input=given, capture_output=True, env=env, user=self.user, check=False)
        return Said(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    root = tmp_path / "it's a $(touch root)"
    root.mkdir()
    (tmp_path / "bin").mkdir()
    return Place(Here(root, tmp_path / "bin"))  # type: ignore[arg-type]


def made(place: Place, path: str, days: float = 0, text: str | None = None) -> Path:
    """A directory, or a file with that text, changed so many days ago, and all above it, too."""
    found = Path(place.root) / path
    (found.parent if text is not None else found).mkdir(parents=True, exist_ok=True)
    if text is not None:
        found.write_text(text)
    then = time.time() - days * DAY
    for changed in (found, *found.parents):
        if changed == Path(place.root):
            break
        os.utime(changed, (then, then))
    return found


def listed(place: Place) -> dict[tuple[str, str], Thing]:
    return {(thing.kind.folder, thing.name): thing for thing in things_at(place)}


def test_what_is_there_and_since_when(place: Place) -> None:
    made(place, "runs/run-1/finetune-a1/log", 40, "line")
    made(place, "runs/run-2/finetune-a1", 40)
    made(place, f"code/{DIGEST}/train.py", 3, "pass")
    made(place, f"code/layers/{OTHER}/train.py", 3, "pass")
    made(place, f"sqsh/{DIGEST}.sqsh", 5, "image")
    made(place, f"sqsh/{DIGEST}.sqsh.new.77", 5, "half")
    made(place, f"charliecloud/{DIGEST}/bin", 5)
    (Path(place.root) / "runs/run-1/finetune-a1/log").write_text("another line")
    (Path(place.root) / "runs/file").write_text("not ours")
    found = listed(place)
    assert sorted(found) == [
        ("charliecloud", DIGEST),
        ("code", DIGEST),
        ("code/layers", OTHER),
        ("runs", "run-1"),
        ("runs", "run-2"),
        ("sqsh", f"{DIGEST}.sqsh"),
        ("sqsh", f"{DIGEST}.sqsh.new.77"),
    ]
    assert time.time() - found["runs", "run-1"].used < 1000, "its log grew, two directories below"
    assert round((time.time() - found["runs", "run-2"].used) / DAY) == 40
    assert [key[1] for key, thing in found.items() if thing.leftover] == [f"{DIGEST}.sqsh.new.77"]
    assert listed(Place(Here(Path(place.root) / "nowhere", Path()))) == {}  # type: ignore[arg-type]


def test_one_find_a_folder(place: Place) -> None:
    for number in range(50):
        made(place, f"code/{number:064}", 3)
    listed(place)
    assert len(place.bastion.commands) == len(ON_SLURM)  # type: ignore[attr-defined]


def test_layers_that_a_tree_shares(place: Place) -> None:
    shared = made(place, f"code/layers/{DIGEST}/train.py", 40, "pass")
    made(place, f"code/layers/{OTHER}/train.py", 40, "fail")
    tree = made(place, f"code/{DIGEST}", 40)
    os.link(shared, tree / "train.py")
    found = listed(place)
    assert found["code/layers", DIGEST].linked
    assert not found["code/layers", OTHER].linked


def test_whoever_brings_code_marks_what_he_uses(place: Place, tmp_path: Path) -> None:
    """Also where it is made of layers of long ago: else it would look as old as they."""
    source = tmp_path / "source"
    (source / "a").mkdir(parents=True)
    (source / "a" / "train.py").write_text("pass")
    bring_code(place.bastion, tree_of(source))
    for thing in listed(place).values():
        path = Path(place.root) / thing.kind.folder / thing.name
        os.utime(path, (0, 0))
    assert {thing.used for thing in listed(place).values()} == {0}
    (source / "b").mkdir()
    (source / "b" / "eval.py").write_text("pass")
    bring_code(place.bastion, tree_of(source))
    used = {key: time.time() - thing.used < 1000 for key, thing in listed(place).items()}
    assert [folder for (folder, _), fresh in used.items() if not fresh] == ["code"], "the tree of before alone was not used"
    assert len(used) == 4


HOSTILE = ["-rf", "$(touch x)", "a b", "it's", "*", "ü☃", "a\\nb", '"; rm -rf . #', "{}", "@", "%s"]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_data(place: Place, name: str) -> None:
    made(place, f"runs/{name}/x/log", 40, "line")
    kept = made(place, "runs/other/x/log", 40, "line")
    before = sorted(Path(place.root).parent.rglob("*"))
    thing = listed(place)["runs", name]
    assert list(remove(place, [thing])) == [(thing, "removed")]
    gone = {path for path in before if f"/runs/{name}" in str(path)}
    assert sorted(Path(place.root).parent.rglob("*")) == [path for path in before if path not in gone]
    assert kept.exists()
    assert list(remove(place, [thing])) == [(thing, "gone")]


@pytest.mark.parametrize("name", ["a\nb", "bell\a", "esc\x1b[31m"])
def test_names_that_no_terminal_should_see_are_none_of_ours(place: Place, name: str) -> None:
    made(place, f"runs/{name}", 40)
    assert listed(place) == {}


def test_links_are_never_followed(place: Place, tmp_path: Path) -> None:
    """Not one that is listed, not one inside of what goes, and not one in a folder's place."""
    treasure = tmp_path / "treasure"
    (treasure / "gold").mkdir(parents=True)
    made(place, "runs/run-1/x", 40)
    (Path(place.root) / "runs/run-1/x/link").symlink_to(treasure)
    (Path(place.root) / "runs/link").symlink_to(treasure)
    os.utime(Path(place.root) / "runs/run-1", (0, 0))
    (Path(place.root) / "code").symlink_to(treasure)
    found = listed(place)
    assert list(found) == [("runs", "run-1")]
    assert [became for _, became in remove(place, list(found.values()))] == ["removed"]
    assert (treasure / "gold").is_dir()
    there = found["runs", "run-1"]
    made(place, "sif/x", 40, "image")
    swapped = listed(place)["sif", "x"]
    (Path(place.root) / "sif").rename(tmp_path / "sif")
    (Path(place.root) / "sif").symlink_to(tmp_path / "sif")
    with pytest.raises(LaunchError):
        list(remove(place, [swapped]))
    assert (tmp_path / "sif" / "x").exists()
    (Path(place.root) / "runs/run-1").symlink_to(treasure)
    assert next(remove(place, [there]))[1] == "used"
    assert (treasure / "gold").is_dir()


def test_what_is_used_meanwhile_stays(place: Place) -> None:
    tree = made(place, f"code/{DIGEST}", 40)
    thing = listed(place)["code", DIGEST]
    tree.touch()
    assert list(remove(place, [thing])) == [(thing, "used")]
    assert tree.exists()


def failing(place: Place, word: str) -> None:
    program = place.bastion.path / "mv"  # type: ignore[attr-defined]
    program.write_text(f'#!/bin/sh\ncase "$*" in *{word}*) echo "mv: $*: Permission denied" >&2; exit 1;; esac\nexec /bin/mv "$@"\n')
    program.chmod(0o755)


def test_one_that_cannot_be_removed_stops_no_other(place: Place) -> None:
    for number in range(4):
        made(place, f"runs/run-{number}/x", 40)
    failing(place, "run-2")
    things = [thing for _, thing in sorted(listed(place).items())]
    became = [word for _, word in remove(place, things)]
    assert [word.split()[0] for word in became] == ["removed", "removed", "failed", "removed"]
    assert "Permission denied" in became[2]
    assert [path.name for path in (Path(place.root) / "runs").iterdir()] == ["run-2"]


def test_a_connection_that_breaks_off(place: Place) -> None:
    made(place, "runs/run-1", 40)
    things = list(listed(place).values())
    place.bastion.dies = True  # type: ignore[attr-defined]
    with pytest.raises(LaunchError):
        list(remove(place, things))


def test_directories_that_their_owner_may_not_write_to(place: Place) -> None:
    """As images have them. Root may all: so it is somebody else who removes them."""
    with tempfile.TemporaryDirectory() as scratch:
        bastion = Here(Path(scratch) / "root", Path(scratch), user=65534 if os.getuid() == 0 else None)
        made(Place(bastion), f"charliecloud/{DIGEST}/usr/bin/sh", 90, "sh")  # type: ignore[arg-type]
        for path in (Path(scratch), *Path(scratch).rglob("*")):
            if bastion.user:
                os.chown(path, bastion.user, -1)
            if path.is_dir() and "usr" in path.parts:
                path.chmod(0o555)
        things = list(things_at(Place(bastion)))  # type: ignore[arg-type]
        assert [became for _, became in remove(Place(bastion), things)] == ["removed"]  # type: ignore[arg-type]
        assert not list((bastion.root / "charliecloud").iterdir())


def test_what_was_left_half_removed_goes_the_next_time(place: Place) -> None:
    made(place, "runs/.gone-7-1", 40)
    (thing,) = listed(place).values()
    assert thing.leftover
    assert [became for _, became in remove(place, [thing])] == ["removed"]

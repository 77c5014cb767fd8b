"""builder.toml: found, read, checked; and what of it holds for a commit."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from builder.errors import SettingsError
from builder.settings import DepsSettings, ImageSettings, LaunchSettings, Settings, StoreSettings, Tables, at_commit, image_key, load
from builder.settings.convert import hints_of


def load_text(tmp_path: Path, text: str, name: str = "builder.toml", **environ: str) -> Settings:
    (tmp_path / name).write_text(text)
    return load(tmp_path, environ)


def message(tmp_path: Path, text: str, name: str = "builder.toml") -> str:
    with pytest.raises(SettingsError) as caught:
        load_text(tmp_path, text, name)
    return caught.value.message


def test_defaults_without_a_file(tmp_path: Path) -> None:
    settings = load(tmp_path, {})
    assert settings.image == ImageSettings()
    assert settings.store.target == "oci:.builder/images"
    assert (settings.file, settings.root) == (None, tmp_path)
    assert settings.origin["image"] == "default"


def test_without_a_file_paths_start_at_the_repository(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "a/b").mkdir(parents=True)
    assert load(tmp_path / "a/b", {}).root == tmp_path


def test_every_table_is_read(tmp_path: Path) -> None:
    settings = load_text(
        tmp_path,
        """
        [image]
        base = "nvcr.io/nvidia/pytorch@sha256:00"
        pythonpath = ["src", "/opt/x"]
        exclude = ["data/", "!data/keep"]
        lfs = "fetch"
        env = { A = "1" }
        [image.deps]
        lock = "requirements.txt"
        provided = ["torch"]
        [store]
        push = "a.example.com/x"
        pull = "b.example.com/x"
        [flow.finetune]
        command = ["python", "-m", "agent.train"]
        evals = { click = ["python", "-m", "agent.eval"] }
        scores = { click = { log = "acc=([0-9.]+)" } }
        [run]
        on = "docker"
        [launch.finetune]
        on = "slurm"
        """,
    )
    assert settings.image.pythonpath == ("src", "/opt/x")
    assert settings.image.deps == DepsSettings(lock="requirements.txt", provided=("torch",))
    assert settings.store.target == "a.example.com/x"
    assert settings.flow["finetune"].evals["click"] == ("python", "-m", "agent.eval")
    assert settings.flow["finetune"].scores["click"].log == "acc=([0-9.]+)"
    assert settings.launch == {"finetune": LaunchSettings(on="slurm")}
    assert settings.origin["flow.finetune"] == "builder.toml in force"
    assert (settings.origin["data"], settings.root) == ("default", tmp_path)


def test_the_nearest_file_alone_counts(tmp_path: Path) -> None:
    (tmp_path / "builder.toml").write_text('[image]\nworkdir = "/far"\n[run]\non = "argo"\n')
    near = tmp_path / "a"
    (near / "b").mkdir(parents=True)
    assert load(near / "b", {}).origin["image"] == "../../builder.toml in force"
    (near / "pyproject.toml").write_text('[tool.builder.image]\nlfs = "fetch"\n')
    settings = load(near / "b", {})
    assert (settings.image.workdir, settings.image.lfs, settings.run.on) == ("/code", "fetch", "local")


def test_a_pyproject_of_others_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "builder.toml").write_text('[image]\nworkdir = "/far"\n')
    (tmp_path / "a").mkdir()
    (tmp_path / "a/pyproject.toml").write_text('[project]\nname = "builder-x"\n')
    assert load(tmp_path / "a", {}).image.workdir == "/far"


def test_two_files_in_one_directory_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.builder.image]\n")
    assert "has both" in message(tmp_path, "[image]\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[image]\nworkdr = "/x"', "builder.toml: image.workdr: unknown key; did you mean image.workdir?"),
        ('[imag]\nworkdir = "/x"', "builder.toml: imag: unknown key; did you mean image?"),
        ('base = "x"', "builder.toml: base: unknown key; did you mean image.base?"),
        ("[image]\nqqqq = 1", "builder.toml: image.qqqq: unknown key"),
        ("[image]\nfoo = 1", "builder.toml: image.foo: unknown key"),
        ("[image]\nimages = 1", "builder.toml: image.images: unknown key"),
        ('[image]\npythonpath = "src"', 'builder.toml: image.pythonpath: expected a list of strings, got "src"'),
        ("[image]\npythonpath = [1]", "builder.toml: image.pythonpath: expected a list of strings, got [1]"),
        ("image = 3", "builder.toml: image: expected a table, got 3"),
        ('[launch.x.slurm]\ns3_credentials = ".aws/credentials"', "slurm.s3_credentials: expected an absolute path on the cluster"),
        ('[launch.x.slurm]\ns3_credentials = "/a:b"', "slurm.s3_credentials: expected an absolute path on the cluster"),
        ('[image]\nlfs = "all"', 'builder.toml: image.lfs: expected one of "pointers", "fetch", got "all"'),
        ("[image]\nenv = { A = 1 }", "builder.toml: image.env.A: expected a string, got 1"),
        ('[store]\ninsecure = "yes"', 'builder.toml: store.insecure: expected true or false, got "yes"'),
        ("[store]\nto = true", "builder.toml: store.to: expected a string, got true"),
        ("[image.deps]\n", "builder.toml: image.deps: expected exactly one of dockerfile and lock, got {}"),
        ('[image.deps]\nlock = "a"\ntarget = "x"', "expected context, args and target only with dockerfile, got {lock, target}"),
        (
            "[flow.Fine]\n",
            "flow: expected a name of at most 22 lower case letters, digits and hyphens, a letter first and no hyphen last, got {Fine}",
        ),
        ("[flow.fine-]\n", "a letter first and no hyphen last, got {fine-}"),
        (f"[flow.{'f' * 23}]\n", "expected a name of at most 22"),
        ('[flow.a]\nscores = { x = { file = "a" } }', "builder.toml: flow.a.scores.x: expected file and path, or log"),
        ('[flow.a]\nscores = { x = { file = "a", path = "$.a[" } }', 'such as "$.click.acc" or "$.runs[0].acc" ([ cannot be read)'),
        ('[flow.a.evals]\nx = ["y"]\n[flow.a.errors.evaluate-z]\nretry = 1', 'flow.a.errors: "evaluate-z" is none of start, finetune,'),
        ('[flow.a.evals]\nx = ["y"]\n[flow.a.scores]\nz = { log = "(.)" }', 'builder.toml: flow.a.scores: "z" is none of x'),
        ('[flow.a.evals]\nx = { kind = "external" }\n[flow.a.scores]\nx = { log = "(.)" }', '"x" is about nothing: there is none at all'),
        ('[flow.a]\nafter = "b"', 'builder.toml: flow.a.after: "b" is none of a'),
        ('[launch.trian]\non = "here"', 'builder.toml: launch: "trian" is none of default, start, train, finetune,'),
        ('[flow.finetune]\n[launch.train]\non = "here"', 'builder.toml: launch: "train" is none of default, start, finetune,'),
        ("[flow.train.errors.finetune]\nretry = 1", 'flow.train.errors: "finetune" is none of start, train, freeze, handover, end'),
        ("[flow.a]\n[queue.b]\nat_once = 1", 'builder.toml: queue: "b" is none of a'),
        ('[launch.default]\ntimeout = "0s"', 'launch.default.timeout: expected more than no time at all, got "0s"'),
        ("[image]\nbase = \n", "builder.toml: line 2, column 8: invalid value"),
        ("[image]\nbase", "builder.toml: end of document: expected '=' after a key"),
        ("[image]\n[image]\n", "builder.toml: line 2, column 7: cannot declare"),
    ],
)
def test_errors_name_file_key_expected_and_got(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in message(tmp_path, text)


def test_all_unknown_keys_are_named_at_once(tmp_path: Path) -> None:
    assert message(tmp_path, "[image]\nworkdr = 1\n[stor]\n").count("unknown key") == 2


def test_the_key_path_in_pyproject_is_whole(tmp_path: Path) -> None:
    assert message(tmp_path, "[tool.builder.image]\nworkdr = 1", "pyproject.toml") == (
        "pyproject.toml: tool.builder.image.workdr: unknown key; did you mean tool.builder.image.workdir?"
    )


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "builder.toml").write_bytes(b'[image]\nbase = "\xff"\n')
    with pytest.raises(SettingsError, match=r"builder\.toml: line 2: not UTF-8"):
        load(tmp_path, {})


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("workdir", ['"/code"', '"/a/b"'], ['"code"', '"/"', '"/a/../b"', '"/code/"', '"//a"', '"/a\\u0000"']),
        ("pythonpath", ['["."]', "[]", '["/opt/x", "a/b"]'], ['["../x"]', '["a:b"]', '[""]']),
        ("exclude", ['["data/"]', '["!x", "*.bin", "a b"]'], ['[""]', '["#x"]', '["a\\nb"]', '["!"]', '["/"]']),
        ("env", ["{ A_1 = 'x' }"], ['{ "a-b" = "x" }', '{ "" = "x" }', '{ A = "\\u0000" }']),
        ("platform", ['"linux/amd64"', '"linux/arm/v7"'], ['"linux"', '""', '"linux/amd64/"']),
        ("python", ['"3.12"', '""'], ['"3"', '"2.7"', '"3.12.1"']),
        ("source", ['"https://git.example.com/a/b"', '"ssh://git@example.com/a"'], ['"https://me:secret@example.com/a"', '"example.com"']),
        ("deps", ['{ lock = "a/b.txt" }'], ['{ lock = "/etc/x" }', '{ lock = "../x" }', '{ dockerfile = "D", context = ["/"] }']),
    ],
)
def test_values_are_checked(tmp_path: Path, key: str, good: list[str], bad: list[str]) -> None:
    for value in good:
        load_text(tmp_path, f"[image]\n{key} = {value}")
    for value in bad:
        assert f"image.{key}" in message(tmp_path, f"[image]\n{key} = {value}"), value


def test_the_environment_stands_above_the_file(tmp_path: Path) -> None:
    text = '[store]\npush = "a.example.com/x"\npull = "b.example.com/x"\n[data]\nroot = "here"\n'
    settings = load_text(tmp_path, text, BUILDER_STORE_TO="oci:/x", BUILDER_DATA_ROOT="s3://b/p", BUILDER_RUN_ON="", BUILDER_COMMIT="x")
    assert settings.store == StoreSettings(to="oci:/x")
    assert (settings.data.root, settings.run.on) == ("s3://b/p", "local")
    assert settings.origin["store"] == "builder.toml in force, BUILDER_STORE_TO"


def of_commit(in_force: Settings, text: str, name: str = "builder.toml") -> tuple[Settings, tuple[str, ...]]:
    return at_commit(in_force, {name: text.encode()}.get, "abc" * 10)


def test_a_commit_without_settings_takes_those_in_force(tmp_path: Path) -> None:
    in_force = load_text(tmp_path, '[image]\nworkdir = "/now"\n')
    assert at_commit(in_force, lambda _: None) == (in_force, ())
    others: dict[str, bytes | None] = {"pyproject.toml": b"not = toml = but no business of ours"}
    assert at_commit(in_force, others.get) == (in_force, ())


def test_tables_of_the_commit_are_taken_whole(tmp_path: Path) -> None:
    in_force = load_text(
        tmp_path, '[image]\nworkdir = "/now"\nlfs = "fetch"\n[store]\nto = "oci:now"\n[flow.a]\nconfig = "now"\n[flow.b]\nconfig = "now"\n'
    )
    then, warnings = of_commit(in_force, '[image]\nworkdir = "/then"\n[store]\nto = 3\n[flow.b]\ncommand = ["x"]\n[flow.c]\n')
    assert warnings == ()
    assert then.image == ImageSettings(workdir="/then")
    assert then.store.to == "oci:now"
    assert [then.flow["a"].config, then.flow["b"].config, then.flow["b"].command] == ["now", "", ("x",)]
    assert sorted(then.flow) == ["a", "b", "c"]
    assert then.origin["image"] == then.origin["flow.b"] == "builder.toml of commit abcabcabcabc"
    assert then.origin["flow.a"] == then.origin["store"] == "builder.toml in force"


def test_a_commit_with_flows_only_keeps_the_image_in_force(tmp_path: Path) -> None:
    in_force = load_text(tmp_path, '[image]\nworkdir = "/now"\n')
    then, _ = of_commit(in_force, '[tool.builder.flow.a]\nconfig = "then"\n', "pyproject.toml")
    assert (then.image.workdir, then.flow["a"].config) == ("/now", "then")
    assert then.origin["flow.a"].startswith("pyproject.toml of commit")


def test_historic_unknown_keys_are_warnings(tmp_path: Path) -> None:
    then, warnings = of_commit(load(tmp_path, {}), '[image]\nworkdir = "/then"\nold = 1\n[flow.a]\nold = 2\n[gone]\n')
    assert then.image.workdir == "/then"
    assert [warning.split(": ")[1] for warning in warnings] == ["gone", "image.old", "flow.a.old"]


def test_historic_names_that_lead_nowhere_are_warnings(tmp_path: Path) -> None:
    in_force = load_text(tmp_path, '[flow.now.evals]\nx = ["y"]\n')
    text = '[flow.a]\nafter = "now"\n[flow.b]\nafter = "none"\n[flow.b.evals]\nx = ["y"]\n[flow.b.errors.evaluate-z]\nretry = 1\n'
    _, warnings = of_commit(in_force, text)
    assert [warning.partition(": ")[2].partition(" of")[0] for warning in warnings] == [
        'flow.b.errors: "evaluate-z" is none',
        'flow.b.after: "none" is none',
    ]


def test_a_historic_flow_that_cannot_be_read_does_not_stop_the_image(tmp_path: Path) -> None:
    in_force = load_text(tmp_path, '[flow.a]\nconfig = "now"\n')
    then, warnings = of_commit(in_force, "[image]\n[flow.a]\ncommand = 'x'\n")
    assert then.flow["a"].config == "now"
    assert "flow.a.command: expected a list of strings" in warnings[0]


@pytest.mark.parametrize(
    ("name", "text"), [("builder.toml", "[image]\nlfs = 1"), ("builder.toml", "["), ("pyproject.toml", "[tool]\nbuilder = 1")]
)
def test_a_historic_image_that_cannot_be_read_is_an_error(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(SettingsError, match="of commit abcabcabcabc: "):
        of_commit(load(tmp_path, {}), text, name)


def test_the_image_key_holds_what_changes_the_image_and_nothing_else() -> None:
    changes = {
        "workdir": "/x", "pythonpath": (), "exclude": ("a",), "lfs": "fetch", "submodules": "skip",
        "source": "https://x", "platform": "linux/arm64", "env": {"A": "1"},
    }  # fmt: skip
    others = {"base": "x", "tool": "1", "python": "3.12", "deps": DepsSettings(lock="x")}
    assert {*changes, *others} == {key.name for key in fields(ImageSettings)}
    assert image_key(ImageSettings(**others)) == {}  # type: ignore[arg-type]
    for name, value in changes.items():
        plain = list(value) if isinstance(value, tuple) else value
        assert image_key(ImageSettings(**{name: value})) == {name: plain}  # type: ignore[arg-type]


def test_every_key_says_what_it_means() -> None:
    for kind in (Tables, *(hint for hint in hints_of(Tables).values() if isinstance(hint, type))):
        for key in fields(kind):
            assert kind is Tables or key.metadata["meaning"], key.name


@pytest.mark.parametrize("url", ["https://me:se/cret@h/x", "https://me:secret@h:1/x", "https://secret@h/x", "ssh://me:se@cret@h/x"])
def test_a_password_is_refused_and_not_shown(tmp_path: Path, url: str) -> None:
    said = message(tmp_path, f'[image]\nsource = "{url}"')
    assert "without user and password" in said
    assert "cret" not in said


@pytest.mark.parametrize("url", ["https://h:443/a@b", "ssh://git@h/x", "https://h/x"])
def test_a_url_without_a_password_is_taken(tmp_path: Path, url: str) -> None:
    assert load_text(tmp_path, f'[image]\nsource = "{url}"').image.source == url


@pytest.mark.parametrize("text", [b"[image", b'[image]\nworkdir = "code"\n', b"\xff"])
def test_a_commit_whose_settings_cannot_be_read_is_told_how_to_be_left_out(text: bytes) -> None:
    with pytest.raises(SettingsError, match="of commit aaaaaaaaaaaa") as caught:
        at_commit(Settings(), {"builder.toml": text}.get, "a" * 40)
    assert "--since aaaaaaaaaaaa" in caught.value.hint

"""What a team's own flow file says without being run."""

from __future__ import annotations

import pytest

from builder.errors import BuilderError, SettingsError, UsageError
from builder.runs.flow_file import UNSEEN, FlowFile, check_words, read_flow_file

FLOW = b"""
import torch_that_is_not_here
import metaflow
from metaflow import FlowSpec, Parameter, step

class Other:
    x = 1

@metaflow.project(name="agent")
class Train(FlowSpec):
    lr = Parameter("lr", default=0.1, help="how fast")
    epochs: int = Parameter(name="max-epochs", default=3)
    words = Parameter("words", default=make())
    data = metaflow.IncludeFile("data")
    needed = Parameter("needed", required=True)
    other = Other()
    metaflow.Parameter("no attribute")

    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Train()
"""


def read(data: bytes | None) -> FlowFile:
    return read_flow_file("flows/x.py", data, "[flow.x] file")


def test_parameters_are_read_and_nothing_is_imported() -> None:
    found = read(FLOW)
    assert found.parameters == {"lr": 0.1, "max-epochs": 3, "words": UNSEEN, "data": None, "needed": None}
    assert found.complete


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"class Train(FlowSpec)", b"class Train(Base)"),
        (b"class Train(FlowSpec)", b"class Train(Mixin, FlowSpec)"),
        (b"class Train(FlowSpec)", b"class Train(FlowSpec, metaclass=Meta)"),
        (b'@metaflow.project(name="agent")', b"@with_parameters"),
    ],
)
def test_parameters_may_come_from_elsewhere(before: bytes, after: bytes) -> None:
    assert before in FLOW
    found = read(FLOW.replace(before, after))
    assert not found.complete
    assert "lr" in found.parameters
    assert check_words(found, ["unknown=1"], "flow x") == {"unknown": "1"}


def test_a_base_class_in_the_same_file() -> None:
    base = b'class Base(FlowSpec):\n    seed = Parameter("seed", default=7)\n    lr = Parameter("lr", default=9)\n\nclass Other'
    found = read(FLOW.replace(b"class Other", base, 1).replace(b"class Train(FlowSpec)", b"class Train(Base)"))
    assert found.complete
    assert (found.parameters["seed"], found.parameters["lr"]) == (7, 0.1)


def test_the_class_that_the_script_makes_counts() -> None:
    other = FLOW.replace(b"class Other:", b'class Other(FlowSpec):\n    alone = Parameter("alone")')
    assert "lr" in read(other).parameters
    assert set(read(other.replace(b"    Train()", b"    Other()")).parameters) == {"alone"}


def test_a_class_from_another_file() -> None:
    found = read(b"from shared import Train\n\nif __name__ == '__main__':\n    Train()\n")
    assert (found.parameters, found.complete) == ({}, False)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, r"\[flow.x\] file: the commit has no flows/x.py"),
        (b"def f(:\n", "flows/x.py is no Python"),
        (b"print(1)\n", "flows/x.py has no flow"),
        (b"\0", "flows/x.py is no Python"),
    ],
)
def test_what_is_no_flow(data: bytes | None, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read(data)


def test_words_are_parameters() -> None:
    assert check_words(read(FLOW), ["lr=0.5", "max-epochs=a=b"], "flow x") == {"lr": "0.5", "max-epochs": "a=b"}


@pytest.mark.parametrize(
    ("word", "message", "hint"),
    [
        ("lrr=1", "lrr: flow x has no such parameter; it has lr, max-epochs, words, data, needed", "did you mean lr?"),
        ("zzz=1", "zzz: flow x has no such parameter", 'zzz = Parameter("zzz", default=...)'),
        ("lr", "'lr' is not key=value", ""),
    ],
)
def test_a_word_that_is_none(word: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as error:
        check_words(read(FLOW), [word], "flow x")
    found: BuilderError = error.value
    assert message in found.message
    assert hint in found.hint

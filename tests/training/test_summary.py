"""What the networks cost, against the paper's count and our own."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

torch = pytest.importorskip("torch")

from tsfmicro.models.config import ModelConfig  # noqa: E402
from tsfmicro.training import commands  # noqa: E402
from tsfmicro.training.summary import ModelSummary, summarise  # noqa: E402


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_base_costs_what_the_design_says() -> None:
    summary = summarise(ModelConfig(size="base", classes=5))
    assert summary.parameters == 12_789_413
    assert summary.gmacs == pytest.approx(6.72, rel=0.01)


def test_small_is_a_fifteenth_of_it() -> None:
    summary = summarise(ModelConfig(size="small", classes=5))
    assert summary.parameters == 841_325
    assert summary.gmacs == pytest.approx(0.668, rel=0.01)


def test_a_class_costs_one_row_of_the_last_layer() -> None:
    three, five = (summarise(ModelConfig(size="small", classes=n)) for n in (3, 5))
    assert five.parameters - three.parameters == 2 * (256 + 1)
    assert (three.classes, five.classes) == (3, 5)


def counted(config: ModelConfig) -> ModelSummary:
    """What the command must print, without building two networks again."""
    return ModelSummary("tsfmicro", config.size, config.fusion, config.classes, 12_789_413, 6.722)


def test_models_command_lists_the_family(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "summarise", counted)
    commands.app(["models", "--json", "--classes", "3"], standalone_mode=False)
    rows = json.loads(capsys.readouterr().out)
    assert rows == [counted(ModelConfig(size=size, classes=3)).to_dict() for size in ("base", "small")]
    commands.app(["models"], standalone_mode=False)
    table = capsys.readouterr().out
    assert "12,789,413" in table
    assert "6.722" in table
    assert "base" in table
    assert "small" in table

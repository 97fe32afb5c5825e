"""What the networks cost, against the paper's count and our own."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from tsfmicro.models.card import AnyConfig  # noqa: E402
from tsfmicro.models.config import ModelConfig, family  # noqa: E402
from tsfmicro.models.fdp.config import FdpConfig, fdp_family  # noqa: E402
from tsfmicro.training import commands  # noqa: E402
from tsfmicro.training.published import paper_row  # noqa: E402
from tsfmicro.training.summary import ModelSummary, summarise, time_family  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def test_base_costs_what_the_design_says() -> None:
    summary = summarise(ModelConfig(size="base", classes=5))
    assert summary.parameters == 12_789_413
    assert summary.gmacs == pytest.approx(6.72, rel=0.01)


def test_small_is_a_fifteenth_of_it() -> None:
    summary = summarise(ModelConfig(size="small", classes=5))
    assert summary.parameters == 841_325
    assert summary.gmacs == pytest.approx(0.668, rel=0.01)


def test_a_window_costs_what_it_costs() -> None:
    """The released program, without a global block, has 55 M parameters in its frames alone."""
    base, small = (summarise(config) for config in fdp_family())
    assert (base.model, base.fusion, base.paper) == ("fdp", "window", None)
    assert (base.parameters, small.parameters) == (32_440_975, 1_289_167)
    assert (base.gmacs, small.gmacs) == pytest.approx((3.905, 0.171), abs=1e-3)
    page = (Path(__file__).parents[2] / "docs" / "fdp.md").read_text(encoding="utf-8")
    for row in (base, small):
        assert f"| {row.size} | {row.parameters:,} | {row.gmacs:.3f} |" in page
    longer = summarise(FdpConfig(size="small", frames=16))
    assert longer.gmacs == pytest.approx(2 * small.gmacs, rel=0.06)
    assert longer.parameters == small.parameters + 8


def test_a_class_costs_one_row_of_the_last_layer() -> None:
    three, five = (summarise(ModelConfig(size="small", classes=n)) for n in (3, 5))
    assert five.parameters - three.parameters == 2 * (256 + 1)
    assert (three.classes, five.classes) == (3, 5)


PUBLISHED = {  # million parameters, 10^9 multiply-adds at five classes
    ("tsfmicro", "late"): (12.789, 6.720),
    ("tsfmicro", "early"): (6.447, 6.228),
    ("tsfmicro", "t2s"): (12.789, 6.720),
    ("tsfmicro", "s2t"): (15.542, 7.953),
    ("tsfmicro", "temporal"): (6.381, 5.408),
    ("tsfmicro", "spatial"): (6.941, 1.415),
    ("mmnet", "late"): (9.442, 7.212),
}


@pytest.mark.parametrize("config", [c for c in family() if c.size == "base"], ids=lambda c: f"{c.model}-{c.fusion}")
def test_the_family_costs_what_is_published(config: ModelConfig) -> None:
    summary = summarise(config)
    parameters, gmacs = PUBLISHED[config.model, config.fusion]
    assert round(summary.parameters / 1e6, 3) == parameters
    assert summary.gmacs == pytest.approx(gmacs, abs=0.003)  # the resize as matrix products is 0.002


def test_counting_takes_no_memory_and_times_nothing() -> None:
    state = torch.get_rng_state()
    assert summarise(ModelConfig()).latency_ms is None
    assert torch.equal(torch.get_rng_state(), state), "weights were drawn, so the network was really built"


def test_latency_is_measured_on_request() -> None:
    configs = [ModelConfig(size="small", fusion="spatial"), ModelConfig(size="small", fusion="temporal")]
    for timed, config in zip(time_family(configs, rounds=2), configs, strict=True):
        assert timed.latency_ms is not None and timed.latency_ms > 0
        assert timed.processor_ms is not None and timed.processor_ms > 0
        assert dataclasses.replace(timed, latency_ms=None, processor_ms=None) == summarise(config)


def test_the_paper_is_quoted_for_its_own_networks_only() -> None:
    late = paper_row(ModelConfig())
    assert late is not None
    assert (late.casme2_5c, late.samm_5c) == ((87.50, 86.17), (80.88, 77.00))
    assert paper_row(ModelConfig(size="small")) is None
    assert paper_row(ModelConfig(patch_px=16)) is None
    mmnet = paper_row(ModelConfig(model="mmnet"))
    assert mmnet is not None and mmnet.casme2_5c == (86.09, 85.21)


def counted(config: AnyConfig) -> ModelSummary:
    """What the command must print, without counting again."""
    paper = paper_row(config) if isinstance(config, ModelConfig) else None
    return ModelSummary(config.model, config.size, config.fusion, config.classes, 12_789_413, 6.722, paper)


def test_models_command_lists_the_family(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "summarise", counted)
    monkeypatch.setenv("COLUMNS", "200")
    commands.app(["models", "--json", "--classes", "3"], standalone_mode=False)
    rows = json.loads(capsys.readouterr().out)
    expected = [counted(dataclasses.replace(config, classes=3)).to_dict() for config in family()]
    expected += [counted(dataclasses.replace(config, classes=3)).to_dict() for config in fdp_family()]
    assert rows == json.loads(json.dumps(expected))
    assert "paper" in rows[0] and "latency_ms" not in rows[0] and "paper" not in rows[-1]
    commands.app(["models"], standalone_mode=False)
    table = capsys.readouterr().out
    for words in ("12,789,413", "6.722", "base", "small", "s2t", "mmnet", "87.50 / 86.17", "paper"):
        assert words in table


def test_models_command_times_on_request(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def timed(configs: list[AnyConfig], rounds: int) -> list[ModelSummary]:
        return [dataclasses.replace(counted(config), latency_ms=float(rounds)) for config in configs]

    monkeypatch.setattr(commands, "time_family", timed)
    commands.app(["models", "--latency", "--json"], standalone_mode=False)
    assert {row["latency_ms"] for row in json.loads(capsys.readouterr().out)} == {commands._LATENCY_ROUNDS}

"""Published figures come with how they were made."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from tsfmicro.labels import PROTOCOLS
from tsfmicro.models.config import family
from tsfmicro.training.loso.fold import FoldResult
from tsfmicro.training.loso.spec import LosoSpec
from tsfmicro.training.published import _lines, paper_row, published
from tsfmicro.training.report.figures import curves_figure
from tsfmicro.training.report.page import page


@pytest.mark.parametrize("protocol", ["casme2_5c_tsf", "casme2_3c_tsf", "samm_5c_tsf", "samm_3c_tsf", "megc2019_full"])
def test_every_figure_says_how_its_epoch_was_chosen(protocol: str) -> None:
    lines = published(protocol)
    assert lines
    for line in lines:
        assert line.selection.startswith(("honest", "test-selected", "not known"))
        assert all(value is None or 0 < value < 100 for value in (line.acc, line.uf1, line.uar))


def test_the_papers_own_line_is_marked_as_test_selected() -> None:
    (line,) = [line for line in published("casme2_5c_tsf") if line.method == "TSFmicro"]
    assert (line.acc, line.uf1) == (87.50, 86.17) and line.selection.startswith("test-selected")
    assert published("no such protocol") == []


def test_the_report_and_the_model_table_quote_the_same_lines() -> None:
    for config in family():
        row = paper_row(config)
        lines = [
            line
            for data in ("casme2_5c", "casme2_3c", "samm_5c", "samm_3c")
            for line in published(f"{data}_tsf")
            if line.network == f"{config.model} {config.fusion}"
        ]
        assert len(lines) == 4
        if config.size == "base":
            assert row is not None
            assert (row.casme2_5c, row.casme2_3c, row.samm_5c, row.samm_3c) == tuple((x.acc, x.uf1) for x in lines)
            assert {line.source for line in lines} == {row.table}
        else:
            assert row is None


def test_lines_name_protocols_that_exist_once_each() -> None:
    for protocol in PROTOCOLS:
        methods = [line.method for line in published(protocol)]
        assert len(set(methods)) == len(methods)
    assert {protocol for line in _lines() for protocol in line.protocols} <= set(PROTOCOLS)


def a_result(epochs: int = 1, **more: Any) -> dict[str, Any]:
    scores = {"mean": 0.5, "sd": None, "ci95": None, "per_seed": [0.5]}
    return {
        "dataset": "casme2", "protocol": "casme2_5c_tsf", "mode": "honest", "stamp": None, "samples": 1, "folds": 1,
        "audit_digest": "a", "faces": "dataset", "preprocess_digest": "b", "pretraining": None, "seeds": [0],
        "failed_folds": [], "audit": None, "parts": None, "acc": scores, "uf1": scores, "uar": scores,
        "controls": {"shuffled": None, "majority": {"acc": 0.2, "uf1": 0.1, "uar": 0.2}},
        "spec": LosoSpec(size="small", epochs=epochs).to_dict(),
        "per_subject": {"<script>alert(1)</script>": {"clips": 1, "right": [1]}},
        **more,
    }  # fmt: skip


def test_a_name_cannot_break_the_page() -> None:
    found = a_result()
    text = page(found, [])
    assert "<script>" not in text and "&lt;script&gt;" in text
    assert set(PROTOCOLS) >= {found["protocol"]}


def test_the_page_counts_epochs_and_says_what_key_frames_were() -> None:
    one, some = page(a_result(epochs=1), []), page(a_result(epochs=3, key_frame_range=0.0375), [])
    assert "1 epoch, fixed" in one and "3 epochs, fixed" in some
    assert "as annotated: the crops of this run have no neighbours" in one
    assert "jittered in training, within 0.0375 of the way from onset to apex" in some


def test_a_single_epoch_can_be_seen() -> None:
    """A line of one point is not drawn."""

    def ink(losses: tuple[float, ...]) -> int:
        curve = tuple({"loss": loss, "accuracy": loss} for loss in losses)
        png = np.frombuffer(curves_figure([FoldResult(0, "p", (), (), (), 1, curve, "")]), np.uint8)
        picture = np.asarray(cv2.imdecode(png, cv2.IMREAD_COLOR))
        left = picture[30:-70, 80 : picture.shape[1] // 2 - 130]  # inside the axes, beside the legend
        return int((left[..., 0].astype(int) - left[..., 2] > 80).sum())

    assert ink((1.0,)) > 20 and ink((1.0, 0.5)) > 20

"""Published figures come with how they were made."""

from __future__ import annotations

import pytest

from tsfmicro.labels import PROTOCOLS
from tsfmicro.training.loso.spec import LosoSpec
from tsfmicro.training.report.page import page
from tsfmicro.training.report.published import published


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


def test_a_name_cannot_break_the_page() -> None:
    scores = {"mean": 0.5, "sd": None, "ci95": None, "per_seed": [0.5]}
    found = {
        "protocol": "casme2_5c_tsf", "mode": "honest", "stamp": None, "samples": 1, "folds": 1, "audit_digest": "a",
        "faces": "dataset", "preprocess_digest": "b", "pretraining": None, "seeds": [0], "failed_folds": [],
        "audit": None, "parts": None, "acc": scores, "uf1": scores, "uar": scores,
        "controls": {"shuffled": None, "majority": {"acc": 0.2, "uf1": 0.1, "uar": 0.2}},
        "spec": LosoSpec(size="small", epochs=1).to_dict(),
        "per_subject": {"<script>alert(1)</script>": {"clips": 1, "right": [1]}},
    }  # fmt: skip
    text = page(found, [])
    assert "<script>" not in text and "&lt;script&gt;" in text
    assert set(PROTOCOLS) >= {found["protocol"]}

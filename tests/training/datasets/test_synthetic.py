"""A synthetic corpus on the disk: fixed identities, read like anybody's own clips."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.running import Prompt
from tsfmicro.errors import UsageError
from tsfmicro.preprocess import Preprocessor
from tsfmicro.synthetic.pairs import LabelledClip, PairSpec, Stage, draw_clip
from tsfmicro.synthetic.portrait import Portrait, morphed
from tsfmicro.training.datasets.audit import audit
from tsfmicro.training.datasets.load import load
from tsfmicro.training.faces import astronaut
from tsfmicro.training.fixtures import synthetic
from tsfmicro.training.fixtures.synthetic import write_synthetic
from tsfmicro.values import AnyArray

CLASSES = ("happiness", "surprise")


def picture(root: Path, clip: str, frame: int) -> AnyArray:
    return np.asarray(cv2.imread(str(root / clip / f"{frame}.png"))).astype(np.float64)


def test_a_person_is_one_face_and_moves_by_class(tmp_path: Path) -> None:
    portraits = [(astronaut(),)]
    root = write_synthetic(tmp_path / "a", portraits, people=2, clips=2, classes=CLASSES)
    again = write_synthetic(tmp_path / "b", portraits, people=2, clips=2, classes=CLASSES)
    for path in sorted(root.rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (again / path.relative_to(root)).read_bytes()
    found = audit(load("csv", root, "casme2_5c_tsf"))
    assert len(found.data.clips) == 8 and found.missing == () and found.data.subjects == ("p01", "p02")
    onset, apex = picture(root, "p01/happiness_01", 1), picture(root, "p01/happiness_01", 2)
    assert onset.shape == (224, 224, 3) and np.abs(apex - onset).max() > 20


def test_a_person_is_the_photographs_or_one_morph_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixels cannot show it: light, place and mirroring of a picture differ more than two morphs do."""
    drawn: list[tuple[bytes, ...]] = []

    def remembering(
        portraits: tuple[Portrait, ...],
        spec: PairSpec,
        preprocessor: Preprocessor,
        rng: np.random.Generator,
        stages: Sequence[Stage],
    ) -> LabelledClip:
        assert spec.identity_strength == 0.0
        drawn.append(tuple(portrait.pixels.tobytes() for portrait in portraits))
        return draw_clip(portraits, spec, preprocessor, rng, stages)

    monkeypatch.setattr(synthetic, "draw_clip", remembering)
    one, other = astronaut(), morphed(astronaut(), np.random.default_rng(9))
    write_synthetic(tmp_path / "a", [(one, other), (other,)], people=4, clips=1, classes=CLASSES)
    people = drawn[::2]
    assert people == drawn[1::2]  # both clips of each
    pixels = (one.pixels.tobytes(), other.pixels.tobytes())
    assert people[:2] == [pixels, pixels[1:]]
    assert [len(person) for person in people] == [2, 1, 2, 1]
    assert len({picture for person in people for picture in person}) == 2 + 3


def test_nobody_to_leave_out_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be left out one by one"):
        write_synthetic(tmp_path, [], people=2, clips=1, classes=CLASSES)
    (tmp_path / "x").write_text("")
    with pytest.raises(UsageError, match="is not empty"):
        write_synthetic(tmp_path, [], people=2, clips=1, classes=CLASSES)


def test_synthetic_as_typed(prompt: Prompt, tmp_path: Path) -> None:
    out = tmp_path / "s"
    done = prompt("tsf-train", "synthetic", "--out", out, "--people", 2, "--clips", 1, "--amplitude", 3, 6)
    assert done.code == 0, done.err
    assert "1 photographed people as they are and 1 morphs" in done.out
    prompt("tsf-train", "synthetic", "--out", tmp_path / "x", "--amplitude", 6, 3).assert_refused(2, "--amplitude")
    done = prompt("tsf-train", "audit", "--dataset", "csv", "--root", out, "--protocol", "casme2_5c_tsf", "--json")
    report = json.loads(done.out)
    assert (report["samples"], report["subjects"], set(report["classes"].values())) == (10, 2, {2})

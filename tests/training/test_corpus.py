"""The corpus: every sample from its own seed, whoever draws it and in whatever order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import DataLoader  # noqa: E402

from tests.factories import astronaut  # noqa: E402
from tsfmicro.align import AlignSpec  # noqa: E402
from tsfmicro.preprocess import Preprocessor, PreprocessSpec  # noqa: E402
from tsfmicro.synthetic import pairs as drawing  # noqa: E402
from tsfmicro.synthetic.pairs import UNITS, LabelledPair, PairSpec  # noqa: E402
from tsfmicro.synthetic.portrait import Portrait  # noqa: E402
from tsfmicro.training import corpus  # noqa: E402
from tsfmicro.training.corpus import Sample, SyntheticPairs  # noqa: E402

PREPROCESSOR = Preprocessor(PreprocessSpec(align=AlignSpec(size_px=64, iod_px=28.0, eye_row_px=21.0)))
CLASSES = ("surprise", "happiness", "disgust")
SPEC = PairSpec(iod_px=(50.0, 55.0), classes=CLASSES)
PLAIN = replace(SPEC, identity_strength=0.0, noise_sigma=(0.0, 0.0), jpeg_share=0.0)


def make_pairs(seed: int = 3, length: int = 6, spec: PairSpec = SPEC) -> SyntheticPairs:
    return SyntheticPairs({"astronaut": (astronaut(),)}, spec, PREPROCESSOR, seed=seed, length=length)


def of_one_grey(level: int) -> Portrait:
    """A face whose crops tell whose they are."""
    return replace(astronaut(), name=str(level), pixels=np.full_like(astronaut().pixels, level))


def drawn_levels(people: dict[str, tuple[Portrait, ...]], length: int) -> list[int]:
    pairs = SyntheticPairs(people, PLAIN, PREPROCESSOR, seed=0, length=length)
    return [round(float(onset.double().mean()) / 40) * 40 for onset, *_ in samples_of(pairs)]


def samples_of(pairs: SyntheticPairs) -> list[Sample]:
    return [pairs[i] for i in range(len(pairs))]


def same(first: Sample, second: Sample) -> bool:
    return first[2] == second[2] and all(torch.equal(first[i], second[i]) for i in (0, 1, 3))


def test_samples_are_what_the_network_is_trained_on() -> None:
    onset, apex, label, contractions = make_pairs()[0]
    assert onset.shape == apex.shape == (64, 64, 3)
    assert onset.dtype == apex.dtype == torch.uint8
    assert not torch.equal(onset, apex)
    assert label in range(3)
    assert contractions.shape == (2, len(UNITS))
    assert contractions.dtype == torch.float32
    assert contractions.max() > 0


def test_a_sample_does_not_depend_on_the_others() -> None:
    forward = samples_of(make_pairs())
    backward_pairs = make_pairs()
    backward = [backward_pairs[i] for i in reversed(range(6))][::-1]
    assert all(map(same, forward, backward))
    assert same(make_pairs(length=1000)[5], forward[5])


def test_every_index_and_every_seed_is_another_sample() -> None:
    samples = [*samples_of(make_pairs(seed=3)), *samples_of(make_pairs(seed=4))]
    assert len({onset.numpy().tobytes() for onset, *_ in samples}) == len(samples)


def test_samples_do_not_depend_on_global_generators() -> None:
    first = make_pairs()[1]
    np.random.seed(99)  # noqa: NPY002
    torch.manual_seed(99)
    assert same(make_pairs()[1], first)


def test_workers_change_nothing() -> None:
    alone, helped = (list(DataLoader(make_pairs(), batch_size=2, num_workers=n)) for n in (0, 1))
    assert len(alone) == len(helped) == 3
    for first, second in zip(alone, helped, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_iteration_ends() -> None:
    pairs = make_pairs(length=2)
    iterable: Any = pairs  # by IndexError, the protocol mypy does not know
    assert len(pairs) == len(list(iterable)) == 2
    for index in (2, -1):
        with pytest.raises(IndexError):
            pairs[index]


def test_labels_count_in_the_order_of_the_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    emotions: list[str] = []

    def spy(
        portraits: tuple[Portrait, ...], spec: PairSpec, preprocessor: Preprocessor, rng: np.random.Generator
    ) -> LabelledPair:
        pair = drawing.draw_pair(portraits, spec, preprocessor, rng)
        emotions.append(pair.emotion)
        return pair

    monkeypatch.setattr(corpus, "draw_pair", spy)
    labels = [label for _, _, label, _ in samples_of(make_pairs(length=16))]
    assert [CLASSES[label] for label in labels] == emotions
    assert set(labels) == {0, 1, 2}


def test_every_person_is_drawn_equally_often_however_many_pictures_there_are() -> None:
    many = {"dark": tuple(of_one_grey(level) for level in (40, 80, 120)), "light": (of_one_grey(200),)}
    levels = drawn_levels(many, 80)
    assert set(levels) == {40, 80, 120, 200}
    assert 28 <= levels.count(200) <= 52  # 20 if pictures were drawn alike

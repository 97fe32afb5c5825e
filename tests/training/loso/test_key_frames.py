"""Key frames of training pairs: drawn near the annotated ones, repeatably, and never for a test."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.loso.tiny import PREPROCESS, make_tiny, tiny_cache, tiny_spec
from tsfmicro.errors import UsageError
from tsfmicro.training.choice import Model
from tsfmicro.training.crops.cache import CropCache
from tsfmicro.training.loso.fold import FoldResult, run_fold
from tsfmicro.training.loso.keyframes import jittered, pairs_of
from tsfmicro.training.loso.learn import Learner, weights_digest
from tsfmicro.training.loso.samples import NearFrames, Samples, load_samples
from tsfmicro.training.loso.spec import KeyFrames, LosoSpec
from tsfmicro.training.training_options import TrainingOptions

SHARE = 0.4
"""Of the tiny clips' four frames from onset to apex: one neighbour on each side."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> CropCache:
    return tiny_cache(tmp_path_factory.mktemp("tiny"), key_frame_range=SHARE)


@pytest.fixture(scope="module")
def samples(cache: CropCache) -> Samples:
    return load_samples(cache)


def fold(samples: Samples, key_frames: KeyFrames, seed: int = 0) -> FoldResult:
    spec = tiny_spec(key_frames=key_frames)
    return run_fold(samples, "p2", spec, PREPROCESS, make_tiny, seed=seed)


def near_of(samples: Samples) -> NearFrames:
    assert samples.near is not None
    return samples.near


def filled(counts: list[list[int]]) -> tuple[torch.Tensor, NearFrames]:
    """Clip i is painted 10 i (onset) and 10 i + 5 (apex), its neighbours 1, 2 … more, so a pixel says what it is of."""
    pictures: list[int] = []
    first: list[list[int]] = []
    for clip, (onsets, apexes) in enumerate(counts):
        first.append([len(pictures), len(pictures) + onsets])
        pictures += [10 * clip + 1 + i for i in range(onsets)] + [10 * clip + 6 + i for i in range(apexes)]
    pairs = torch.tensor([[10 * i, 10 * i + 5] for i in range(len(counts))], dtype=torch.uint8)
    painted = torch.tensor(pictures, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 2, 2, 3)
    return pairs.view(-1, 2, 1, 1, 1).expand(-1, -1, 2, 2, 3), NearFrames(
        painted, torch.tensor(first), torch.tensor(counts)
    )


def test_every_frame_in_range_is_drawn_alike_and_no_other_clips() -> None:
    counts = [[2, 1], [0, 0], [0, 4], [3, 0], [1, 1]]
    pairs, near = filled(counts)
    before = pairs.clone()
    random = torch.Generator().manual_seed(3)
    drawn = torch.stack([jittered(pairs, near, random)[:, :, 0, 0, 0] for _ in range(4000)])  # (R, N, 2)
    assert (pairs == before).all()
    for clip, kinds in enumerate(counts):
        for view, count in enumerate(kinds):
            times = Counter(drawn[:, clip, view].tolist())
            base = 10 * clip + 5 * view
            assert sorted(times) == list(range(base, base + count + 1))
            assert all(abs(number / 4000 - 1 / (count + 1)) < 0.04 for number in times.values())
    # Onset and apex are drawn apart from each other.
    both = drawn[:, 4]
    assert len({tuple(pair) for pair in both.tolist()}) == 4


def test_the_same_seed_draws_the_same(samples: Samples) -> None:
    places = torch.arange(len(samples))

    def draw(seed: int) -> torch.Tensor:
        return pairs_of(samples, KeyFrames.JITTERED, torch.Generator().manual_seed(seed))(places)

    assert (draw(1) == draw(1)).all()
    assert not (draw(1) == draw(2)).all()
    assert not (draw(1) == samples.crops).all()


def test_folds_repeat_and_the_choice_reaches_the_weights(samples: Samples) -> None:
    digests = {key_frames: fold(samples, key_frames).weights_sha256 for key_frames in KeyFrames}
    assert digests[KeyFrames.JITTERED] != digests[KeyFrames.ANNOTATED]
    assert digests[KeyFrames.LARGEST] == digests[KeyFrames.ANNOTATED]  # drawn so: nothing differs more
    for key_frames, digest in digests.items():
        assert fold(samples, key_frames).weights_sha256 == digest


def test_without_neighbours_or_as_annotated_nothing_changes(samples: Samples, tmp_path: Path) -> None:
    """Bit for bit what it was before there were neighbours: batches and augmentation draw the same numbers."""
    plain = load_samples(tiny_cache(tmp_path))
    assert plain.near is None and (plain.crops == samples.crops).all()
    expected = fold(plain, KeyFrames.ANNOTATED).weights_sha256
    assert fold(samples, KeyFrames.ANNOTATED).weights_sha256 == expected
    assert fold(plain, KeyFrames.JITTERED).weights_sha256 == expected
    assert fold(plain, KeyFrames.LARGEST).weights_sha256 == expected


@pytest.mark.parametrize("key_frames", list(KeyFrames))
def test_neighbours_of_the_held_out_person_do_not_reach_the_weights(samples: Samples, key_frames: KeyFrames) -> None:
    near = near_of(samples)

    def inverted(subject: str) -> Samples:
        pictures = near.pictures.clone()
        for clip, entry in enumerate(samples.entries):
            if entry.subject == subject:
                begin = int(near.first[clip, 0])
                end = begin + int(near.count[clip].sum())
                pictures[begin:end] = 255 - pictures[begin:end]
        return replace(samples, near=replace(near, pictures=pictures))

    clean = fold(samples, key_frames)
    dirty = fold(inverted("p2"), key_frames)
    assert (dirty.weights_sha256, dirty.logits) == (clean.weights_sha256, clean.logits)
    others = fold(inverted("p3"), key_frames)  # the test can fail
    assert (others.weights_sha256 == clean.weights_sha256) is (key_frames is KeyFrames.ANNOTATED)


def test_tests_see_the_annotated_frames(samples: Samples) -> None:
    """What a jittered fold says is what its weights say of the annotated pairs."""
    spec, mine = tiny_spec(), samples.of(["p2"])
    learner = Learner(samples.without("p2"), spec, PREPROCESS, make_tiny, seed=0, name="p2")
    for _ in range(spec.epochs):
        learner.epoch()
    found = fold(samples, KeyFrames.JITTERED)
    assert weights_digest(learner.fused.network) == found.weights_sha256
    assert learner.logits(mine.crops).tolist() == [list(row) for row in found.logits]
    assert learner.logits(near_of(mine).pictures[near_of(mine).first]).tolist() != [list(row) for row in found.logits]


def test_the_pair_that_differs_most_is_found_in_wide_integers() -> None:
    pairs, near = filled([[2, 2], [0, 0]])
    # Differences of 200 and more: as bytes, 216 - 0 would be taken for -40 and lose against 100.
    pictures = near.pictures.clone()
    pictures[0], pictures[1], pictures[2], pictures[3] = 0, 40, 100, 216
    crops = pairs.clone()
    crops[0, 0], crops[0, 1] = 30, 60
    clips = Samples(crops, torch.tensor([0, 1]), (), ("a", "b"), replace(near, pictures=pictures))
    picked = pairs_of(clips, KeyFrames.LARGEST, torch.Generator())(torch.arange(2))
    assert picked[:, :, 0, 0, 0].tolist() == [[0, 216], [10, 15]]
    # Of equals the annotated pair.
    pictures[:] = 7
    clips = replace(clips, crops=torch.full_like(crops, 7), near=replace(near, pictures=pictures))
    assert (pairs_of(clips, KeyFrames.LARGEST, torch.Generator())(torch.arange(2)) == 7).all()


def test_subsets_keep_their_own_neighbours(samples: Samples) -> None:
    near = near_of(samples)
    some = samples.take([7, 2])
    for place, clip in enumerate((7, 2)):
        for view in (0, 1):
            start, count = int(near.first[clip, view]), int(near.count[clip, view])
            mine = near_of(some)
            begin = int(mine.first[place, view])
            assert int(mine.count[place, view]) == count == 1
            assert (mine.pictures[begin] == near.pictures[start]).all()


def test_the_default_is_jitter_and_fdp_has_no_key_frames() -> None:
    assert LosoSpec().key_frames is TrainingOptions().spec(5).key_frames is KeyFrames.JITTERED
    assert TrainingOptions(key_frames=KeyFrames.LARGEST).spec(5).key_frames is KeyFrames.LARGEST
    assert TrainingOptions(model=Model.FDP).spec(5).key_frames is KeyFrames.ANNOTATED
    with pytest.raises(UsageError, match="fdp looks at windows"):
        TrainingOptions(model=Model.FDP, key_frames=KeyFrames.JITTERED).spec(5)

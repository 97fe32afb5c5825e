"""What training feeds the network and what the live loop feeds it are one tensor, bit for bit."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch.utils.data import Dataset  # noqa: E402

from tests.factories import astronaut  # noqa: E402
from tsfmicro.align import compose, crop_transform  # noqa: E402
from tsfmicro.bundle import Calibration  # noqa: E402
from tsfmicro.models.fused import FusedRecognizer  # noqa: E402
from tsfmicro.motion import REGIONS, Displacement  # noqa: E402
from tsfmicro.preprocess import Preprocessor, PreprocessSpec  # noqa: E402
from tsfmicro.realtime.analyzer import event_crops  # noqa: E402
from tsfmicro.realtime.follow import FaceFollower  # noqa: E402
from tsfmicro.realtime.recognise import Movement, Recogniser  # noqa: E402
from tsfmicro.realtime.samples import FaceSample  # noqa: E402
from tsfmicro.runners import RunnerOutput  # noqa: E402
from tsfmicro.synthetic.action_units import EMOTIONS  # noqa: E402
from tsfmicro.synthetic.field import expression_field  # noqa: E402
from tsfmicro.synthetic.pairs import UNITS  # noqa: E402
from tsfmicro.synthetic.portrait import framed  # noqa: E402
from tsfmicro.training.corpus import Sample  # noqa: E402
from tsfmicro.training.fit import FitSpec, fit  # noqa: E402
from tsfmicro.values import CropPair, Face, Float32Array, Float64Array, Frame, UInt8Array  # noqa: E402

PREPROCESSOR = Preprocessor(PreprocessSpec())
LABELS = ("happiness", "others")
IDENTITY = np.array([[1.0, 0, 0], [0, 1.0, 0]])


@dataclass(frozen=True)
class Scene:
    """Two frames of one face and where its landmarks were seen in them."""

    onset: UInt8Array
    apex: UInt8Array
    onset_landmarks: Float32Array
    apex_landmarks: Float32Array

    def trained(self, back: Float64Array = IDENTITY) -> CropPair:
        align = PREPROCESSOR.spec.align
        to_crop = compose(back, crop_transform(self.apex_landmarks, align))
        return PREPROCESSOR.crop_pair(self.onset, crop_transform(self.onset_landmarks, align), self.apex, to_crop)

    def samples(self) -> tuple[FaceSample, FaceSample]:
        align = PREPROCESSOR.spec.align
        return (
            FaceFollower(align).see(Frame(self.onset, 0, 0.0, 0.0, "test"), Face(self.onset_landmarks)),
            FaceFollower(align).see(Frame(self.apex, 9, 0.15, 0.0, "test"), Face(self.apex_landmarks)),
        )

    def lived(self, rigid: Float64Array = IDENTITY) -> CropPair:
        return event_crops(*self.samples(), Displacement(np.zeros(len(REGIONS)), rigid, 0.0), PREPROCESSOR)


def make_scene(seed: int, size: tuple[int, int], iod_px: float, eyes_at: tuple[float, float]) -> Scene:
    rng = np.random.default_rng(seed)
    person = framed(astronaut(), *size, iod_px, eyes_at)
    field = expression_field(person, EMOTIONS["happiness"][0], width_iod=0.11)
    to_full = np.array([[field.step_px, 0, 0], [0, field.step_px, 0]], dtype=np.float64)
    moves = cv2.warpAffine(field.values_px * np.float32(0.04 * iod_px), to_full, size, flags=cv2.INTER_LINEAR)
    columns, rows = np.meshgrid(np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32))
    moved = cv2.remap(person.pixels, columns - moves[..., 0], rows - moves[..., 1], cv2.INTER_CUBIC)
    onset, apex = (
        np.clip(picture + rng.normal(0, 1.5, picture.shape) + 0.5, 0, 255).astype(np.uint8)
        for picture in (person.pixels, moved)
    )
    seen = [(person.landmarks_px + rng.normal(0, 0.2, (468, 2))).astype(np.float32) for _ in range(2)]
    return Scene(onset, apex, seen[0], seen[1])


SCENES = {
    "in the middle": (1, (640, 480), 80.0, (0.5, 0.4)),
    "far from the corner": (2, (1280, 720), 70.5, (0.73, 0.61)),
    "at the right edge": (3, (800, 600), 90.0, (0.97, 0.5)),
    "at the top left": (4, (640, 480), 60.0, (0.04, 0.05)),
    "fills the frame": (5, (320, 240), 120.0, (0.5, 0.4)),
}


@pytest.fixture(scope="module", params=list(SCENES.values()), ids=list(SCENES))
def scene(request: pytest.FixtureRequest) -> Scene:
    return make_scene(*request.param)


class Recording(nn.Module):
    """A network that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(len(LABELS)))
        self.seen: list[tuple[Tensor, Tensor]] = []

    def forward(self, difference: Tensor, onset: Tensor) -> Tensor:
        self.seen.append((difference.detach().clone(), onset.detach().clone()))
        return self.bias.expand(len(onset), -1) * difference.mean(dim=(1, 2, 3))[:, None]


def make_fused() -> tuple[FusedRecognizer, Recording]:
    network, spec = Recording(), PREPROCESSOR.spec
    untyped: Any = network  # the recogniser asks for its own network, and calls nothing but forward
    return FusedRecognizer(untyped, spec.mean, spec.std), network


class Pairs(Dataset[Sample]):
    """One pair, as often as asked for, in the form the corpus gives it."""

    def __init__(self, crops: CropPair, length: int) -> None:
        self.crops, self.length = crops, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        if index >= self.length:
            raise IndexError(index)
        return torch.from_numpy(self.crops.onset), torch.from_numpy(self.crops.apex), 0, torch.zeros(2, len(UNITS))


class LiveRunner:
    """The fused recogniser behind the interface of the live loop."""

    backend, device, labels, preprocess = "test", "cpu", LABELS, PREPROCESSOR.spec

    def __init__(self, fused: FusedRecognizer) -> None:
        self.fused = fused

    def infer(self, onset: UInt8Array, apex: UInt8Array) -> RunnerOutput:
        with torch.inference_mode():
            probabilities, logits = self.fused(torch.tensor(onset), torch.tensor(apex))
        return RunnerOutput(probabilities.numpy(), logits.numpy())

    def close(self) -> None:
        """Nothing is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def test_the_scenes_move(scene: Scene) -> None:
    crops = scene.trained()
    assert np.abs(crops.apex.astype(int) - crops.onset).mean() > 1


def test_crops_of_the_kept_cutout_are_those_of_the_frame(scene: Scene) -> None:
    trained, lived = scene.trained(), scene.lived()
    np.testing.assert_array_equal(lived.onset, trained.onset)
    np.testing.assert_array_equal(lived.apex, trained.apex)


def test_the_live_sample_does_keep_only_a_cutout() -> None:
    scene = make_scene(*SCENES["far from the corner"])
    for sample in scene.samples():
        assert sample.pixels.size < 0.5 * scene.onset.size
        assert not np.shares_memory(sample.pixels, scene.onset)


def test_head_motion_is_taken_out_of_the_apex_as_training_would(scene: Scene) -> None:
    turn = np.deg2rad(1.5)
    rigid = np.array([[np.cos(turn), -np.sin(turn), 1.7], [np.sin(turn), np.cos(turn), -0.6]])
    back = np.asarray(cv2.invertAffineTransform(rigid), dtype=np.float64)
    trained, lived = scene.trained(back), scene.lived(rigid)
    np.testing.assert_array_equal(lived.onset, trained.onset)
    np.testing.assert_array_equal(lived.apex, trained.apex)
    assert not np.array_equal(lived.apex, scene.lived().apex)


@pytest.mark.usefixtures("one_torch_thread")
def test_training_and_live_loop_feed_the_network_the_same_tensor(scene: Scene) -> None:
    fused, network = make_fused()
    fit(fused, Pairs(scene.trained(), 2), FitSpec(steps=1, batch=2, workers=0, au_weight=0.0), lambda _: None)
    ((train_difference, train_onset),) = network.seen
    network.seen.clear()
    live = Recogniser(LiveRunner(fused.eval()), Calibration(1.0, 0.0, None))
    live.recognise([Movement(scene.lived(), 3.0)])
    ((live_difference, live_onset),) = network.seen
    assert train_difference.shape[1:] == live_difference.shape[1:] == (3, 224, 224)
    assert train_difference.dtype == live_difference.dtype == torch.float32
    for row in range(2):
        assert torch.equal(train_difference[row], live_difference[0])
        assert torch.equal(train_onset[row], live_onset[0])
    assert float(live_difference.abs().max()) > 0


@pytest.mark.usefixtures("one_torch_thread")
def test_the_tensor_is_the_documented_one() -> None:
    crops = make_scene(*SCENES["in the middle"]).lived()
    fused, _ = make_fused()
    difference, onset = fused.prepare(torch.from_numpy(crops.onset[None]), torch.from_numpy(crops.apex[None]))
    mean, std = (np.array(v) for v in (PREPROCESSOR.spec.mean, PREPROCESSOR.spec.std))
    first, second = ((crop / 255 - mean) / std for crop in (crops.onset, crops.apex))
    np.testing.assert_allclose(onset[0].permute(1, 2, 0).numpy(), first, atol=2e-6)
    np.testing.assert_allclose(difference[0].permute(1, 2, 0).numpy(), second - first, atol=2e-6)

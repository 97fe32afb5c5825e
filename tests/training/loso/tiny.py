"""A corpus and a network so small that a whole leave-one-subject-out run takes a second. Also a script to be killed."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from tsfmicro.align import AlignSpec
from tsfmicro.models.network import TSFmicro
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.training.crops.cache import CropCache
from tsfmicro.training.crops.faces import Faces
from tsfmicro.training.crops.prepare import index_of, prepare
from tsfmicro.training.datasets.audit import audit
from tsfmicro.training.datasets.load import load
from tsfmicro.training.fixtures import others
from tsfmicro.training.loso.result import write_result
from tsfmicro.training.loso.run import Plan, run
from tsfmicro.training.loso.samples import load_samples
from tsfmicro.training.loso.spec import LosoSpec

LABELS = ("happiness", "disgust", "repression", "surprise", "others")
PREPROCESS = PreprocessSpec(align=AlignSpec(size_px=32, iod_px=14, eye_row_px=11))


class TinyNetwork(nn.Module):
    """Takes what TSFmicro takes."""

    def __init__(self, classes: int = len(LABELS)) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 5, stride=3), nn.ReLU(), nn.AdaptiveAvgPool2d(5), nn.Flatten())
        self.drop = nn.Dropout(0.1)  # draws from the global generator, as stochastic depth does
        self.classify = nn.Linear(8 * 25, classes)

    def forward(self, difference: Tensor, onset: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.drop(self.features(difference)))
        return logits


def make_tiny(classes: int = len(LABELS)) -> TSFmicro:
    return TinyNetwork(classes)  # type: ignore[return-value]


def tiny_spec(**changes: object) -> LosoSpec:
    fixed: dict[str, object] = {
        "epochs": 4, "seeds": (0,), "shuffled_seeds": 0, "batch": 8, "weight_decay": 0.01, "learning_rate": 5e-3,
    }  # fmt: skip
    return LosoSpec(**{**fixed, **changes})  # type: ignore[arg-type]


def tiny_cache(folder: Path, *, people: int = 4, per_label: int = 2, key_frame_range: float = 0.0) -> CropCache:
    root = folder / "data"
    if not root.exists():
        others.write_plain(root, labels=LABELS, people=people, per_label=per_label)
    index = index_of(
        audit(load("csv", root, "casme2_5c_tsf")), Faces.DATASET, PREPROCESS, key_frame_range=key_frame_range
    )
    return prepare(index, root, folder / "crops", on_done=lambda done, total: None)


def run_tiny(out: Path, cache: CropCache, spec: LosoSpec) -> None:
    plan, samples = Plan(spec, cache.index, None), load_samples(cache)
    finished = run(out, plan, samples, make_tiny, device=torch.device("cpu"), on_fold=lambda done, total: None)
    write_result(out, plan, samples, finished)


if __name__ == "__main__":
    torch.set_num_threads(1)
    run_tiny(Path(sys.argv[2]), tiny_cache(Path(sys.argv[1])), tiny_spec(epochs=int(sys.argv[3]), seeds=(0, 1)))

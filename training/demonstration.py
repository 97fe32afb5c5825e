"""The demonstration bundle: TSFmicro ``small`` unless asked otherwise, trained on synthetic motion alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from tsfmicro.bundle import (
    Bundle,
    Calibration,
    Manifest,
    ModelCard,
    Provenance,
    SourceNote,
    require_replaceable,
    round_to_half,
    write_bundle,
)
from tsfmicro.errors import UsageError
from tsfmicro.labels import protocol
from tsfmicro.models.card import AnyConfig
from tsfmicro.models.config import ModelConfig
from tsfmicro.models.interface import Recognizer
from tsfmicro.models.recogniser import AnyNetwork, build_any, recogniser
from tsfmicro.preprocess import Preprocessor
from tsfmicro.synthetic.pairs import USUAL, PairSpec, default_preprocessor
from tsfmicro.synthetic.portrait import Portrait
from tsfmicro.training.calibrate import abstention_threshold, fit_temperature
from tsfmicro.training.corpus import SyntheticClips, drawn_for
from tsfmicro.training.fit import FitSpec, Progress, fit
from tsfmicro.training.revision import commit
from tsfmicro.values import AnyArray, Float64Array

PROTOCOL_ID = "casme2_5c_tsf"
DEFAULT_MODEL = ModelConfig(size="small", classes=len(protocol(PROTOCOL_ID).classes))
_CALIBRATION_PAIRS = 320
_ANSWER_ACCURACY = 0.9
_MIN_MAGNITUDE_PERCENT_IOD = 1.0

INTENDED_USE = (
    "A demonstration of the whole path, trained on synthetic motion only: photographs warped by FACS action units, "
    "no real micro-expression. What it says of real spontaneous expressions is unknown. Not for judging people, not "
    "for lie or stress detection, not for identification; inferring emotions at work or in education is restricted "
    "by law in places (EU AI Act, Article 5(1)(f))."
)
PORTRAIT_NOTE = SourceNote(
    "skimage.data.astronaut (Eileen Collins, NASA)", "public domain", "training identities, with random morphs"
)


@dataclass(frozen=True, slots=True)
class Request:
    """What to train and from whom."""

    train: dict[str, tuple[Portrait, ...]]
    """People to learn from."""
    calibrate: dict[str, tuple[Portrait, ...]]
    """Other people, for temperature and abstention; the training people serve where empty."""
    notes: tuple[SourceNote, ...]
    """Where their pictures come from."""
    command: str
    """The command line, for the manifest."""
    model: AnyConfig = DEFAULT_MODEL
    """Which network."""
    fit: FitSpec = field(default_factory=FitSpec)
    pairs: PairSpec = USUAL
    """What is drawn for training."""
    start: Bundle | None = None
    """Weights to begin from; random ones where None."""
    seed: int = 0

    def __post_init__(self) -> None:
        shared = sorted(set(self.train) & set(self.calibrate))
        if shared:
            raise UsageError(f"{', '.join(shared)} would be trained and calibrated on; name different people")


def train_demonstration(request: Request, out: Path, on_step: Callable[[Progress], None]) -> Bundle:
    """Train, calibrate and seal. The same request gives the same weights on the same machine and thread count."""
    require_replaceable(out)
    preprocessor = default_preprocessor()
    classes = protocol(PROTOCOL_ID).classes
    torch.manual_seed(request.seed)
    network = build_any(request.model)
    if request.start is not None:
        _start_from(network, request.start)
    spec = preprocessor.spec
    fused = recogniser(network, spec.mean, spec.std)
    clips = drawn_for(
        request.model,
        request.train,
        replace(request.pairs, classes=classes),
        preprocessor,
        seed=request.seed + 1,
        length=request.fit.steps * request.fit.batch,
    )
    fit(fused, clips, request.fit, on_step)
    return seal(network, request, preprocessor, out)


def seal(network: AnyNetwork, request: Request, preprocessor: Preprocessor, out: Path) -> Bundle:
    """Round the weights to what is stored, calibrate what is stored, and write the bundle."""
    weights = round_to_half({name: tensor.numpy() for name, tensor in network.state_dict().items()})
    network.load_state_dict({name: torch.from_numpy(np.array(w)) for name, w in weights.items()})
    classes = protocol(PROTOCOL_ID).classes
    calibration = _calibrate(network, request, preprocessor, classes)
    manifest = Manifest(
        name=_name(network.config),
        model=ModelCard.of(network.config),
        protocol_id=PROTOCOL_ID,
        labels=classes,
        preprocess=preprocessor.spec,
        provenance=Provenance(
            data=(
                f"synthetic micro-expressions: {len(request.train)} photographed people, morphed at random into "
                "others, moved by FACS action units; no recording of a real micro-expression"
            ),
            command=request.command,
            seed=request.seed,
            steps=request.fit.steps,
            commit=commit(),
            sources=request.notes,
            metrics={},
        ),
        calibration=calibration,
        licence="Apache-2.0",
        intended_use=INTENDED_USE,
    )
    return write_bundle(out, manifest, weights)


def _name(config: AnyConfig) -> str:
    fusion = [] if config.fusion in ("late", "window") else [config.fusion]
    return "-".join([config.model, config.size, *fusion, "demonstration"])


def _start_from(network: AnyNetwork, bundle: Bundle) -> None:
    card = bundle.manifest.model
    if card != ModelCard.of(network.config):
        raise UsageError(f"{bundle.path} holds {card}, which is not the network to be trained; leave --init out")
    network.load_state_dict({name: torch.from_numpy(np.array(w)) for name, w in bundle.weights().items()})


def _calibrate(
    network: AnyNetwork, request: Request, preprocessor: Preprocessor, classes: tuple[str, ...]
) -> Calibration:
    people = request.calibrate or request.train
    pairs = drawn_for(
        network.config,
        people,
        PairSpec(identity_strength=0.0, classes=classes),
        preprocessor,
        seed=request.seed + 2,
        length=_CALIBRATION_PAIRS,
    )
    logits, truth = _logits(recogniser(network.eval(), preprocessor.spec.mean, preprocessor.spec.std).eval(), pairs)
    temperature = fit_temperature(logits, truth)
    scaled = logits / temperature
    probabilities = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    threshold = abstention_threshold(probabilities, truth, _ANSWER_ACCURACY)
    return Calibration(round(temperature, 4), round(threshold, 4), _MIN_MAGNITUDE_PERCENT_IOD)


def _logits(fused: Recognizer, clips: SyntheticClips, batch: int = 16) -> tuple[Float64Array, AnyArray]:
    rows, truth = [], []
    with torch.inference_mode():
        for start in range(0, len(clips), batch):
            samples = [clips[i] for i in range(start, min(start + batch, len(clips)))]
            crops = torch.stack([torch.stack(views) for *views, _, _ in samples])  # (B, V, S, S, 3)
            rows.append(fused.logits(crops).double().numpy())
            truth += [label for *_, label, _ in samples]
    return np.concatenate(rows), np.array(truth)

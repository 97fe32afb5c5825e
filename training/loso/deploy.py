"""The bundle to deploy: trained on everybody, calibrated on what the folds said about people they had not seen."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import softmax

from tsfmicro.bundle import (
    Bundle,
    Calibration,
    Manifest,
    Provenance,
    SourceNote,
    require_replaceable,
    round_to_half,
    write_bundle,
)
from tsfmicro.errors import SourceError, UsageError
from tsfmicro.models.card import ModelCard
from tsfmicro.training.calibrate import abstention_threshold, expected_calibration_error, fit_temperature
from tsfmicro.training.crops.faces import Faces
from tsfmicro.training.datasets.load import DATASETS
from tsfmicro.training.loso.fold import FoldResult
from tsfmicro.training.loso.learn import Learner, MakeNetwork
from tsfmicro.training.loso.networks import model_config
from tsfmicro.training.loso.run import Plan, fold_path, read_fold
from tsfmicro.training.loso.samples import Samples
from tsfmicro.training.loso.spec import LosoSpec, Mode
from tsfmicro.training.revision import commit
from tsfmicro.values import AnyArray, Float64Array

ANSWER_ACCURACY = 0.9
"""Accuracy among the answers given that the abstention threshold aims at."""

_USE = (
    "Recognition of spontaneous micro-expressions like those of the data set named under provenance: few people, "
    "frontal faces, a laboratory's light, silence. What it says of others is unknown. Not for judging people, not for "
    "lie or stress detection, not for identification; inferring emotions at work or in education is restricted by law "
    "in places (EU AI Act, Article 5(1)(f))."
)
_OTHER_CROPS = (
    " Trained on crops made another way ({faces}) than the live loop makes them (landmarks), so live probabilities are "
    "not those that were calibrated."
)


@dataclass(frozen=True, slots=True)
class Deployment:
    """What was sealed."""

    bundle: Bundle
    epochs: int
    calibration_error: float
    """Expected calibration error of the out-of-fold predictions, after the temperature."""


def read_run(out: Path) -> dict[str, Any]:
    """``result.json`` of a run.

    Raises:
        SourceError: if there is none.
    """
    try:
        return dict(json.loads((out / "result.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise SourceError(f"{out} holds no finished run ({error}); run tsf-train loso --out {out} first") from error


def require_deployable(out: Path, result: dict[str, Any]) -> None:
    """Only an honest and complete run can calibrate a bundle.

    Raises:
        UsageError: saying why this one cannot.
    """
    if result["mode"] != Mode.HONEST.value:
        raise UsageError(
            f"{out} is a {result['stamp']}: it cannot calibrate a bundle; run tsf-train loso --mode honest"
        )
    if "trained_on" in result:
        raise UsageError(f"{out} was trained on another data set; only a tsf-train loso run can calibrate a bundle")
    if not result["complete"]:
        raise UsageError(f"{out} has failed folds; the same tsf-train loso command tries them again")


def out_of_fold(out: Path, spec: LosoSpec, samples: Samples) -> list[FoldResult]:
    """Folds of the first seed: every clip once, answered by a network that never saw the person.

    Raises:
        SourceError: if one cannot be read.
    """
    return [read_fold(fold_path(out, spec.seeds[0], subject)) for subject in samples.subjects]


def deploy(
    run: Path,
    plan: Plan,
    samples: Samples,
    make_network: MakeNetwork,
    target: Path,
    *,
    name: str,
    licence: str,
    command: str,
    device: torch.device,
) -> Deployment:
    """Train on everybody as the folds were trained, calibrate on the folds, write the bundle.

    Raises:
        UsageError: if the run is not honest or not complete.
        SourceError: if a fold is missing.
        BundleError: if ``target`` may not be replaced.
    """
    require_replaceable(target)
    result = read_run(run)
    require_deployable(run, result)
    folds = out_of_fold(run, plan.spec, samples)
    epochs = int(np.median([fold.chosen_epoch for fold in folds]))
    calibration, error = calibrate(folds)
    seed = plan.spec.seeds[0]
    learner = Learner(samples.to(device), plan.spec, plan.index.preprocess, make_network, seed=seed, name="everybody")
    for _ in range(epochs):
        learner.epoch()
    network = learner.fused.network.cpu().eval()
    weights = round_to_half({key: value.contiguous().numpy() for key, value in network.state_dict().items()})
    title = DATASETS[plan.index.dataset].title
    use = _USE
    if plan.index.faces is not Faces.LANDMARKS:
        use += _OTHER_CROPS.format(faces=plan.index.faces.value)
    data = f"{title}: {len(samples)} clips of {len(samples.subjects)} people, audit {plan.index.audit_digest[:12]}"
    if plan.pretraining is not None:
        data += f"; begun from {plan.pretraining['bundle']}: {plan.pretraining['data']}"
    manifest = Manifest(
        name=name,
        model=ModelCard.of(model_config(plan.spec, len(samples.classes))),
        protocol_id=plan.index.protocol_id,
        labels=samples.classes,
        preprocess=plan.index.preprocess,
        provenance=Provenance(
            data=data,
            command=command,
            seed=seed,
            steps=epochs * math.ceil(len(samples) / plan.spec.batch),
            commit=commit(),
            sources=(SourceNote(title, licence, "training, and calibration on out-of-fold predictions"),),
            metrics={"loso": _metrics(result, error)},
        ),
        calibration=calibration,
        licence=licence,
        intended_use=use,
    )
    return Deployment(write_bundle(target, manifest, weights), epochs, error)


def calibrate(folds: list[FoldResult]) -> tuple[Calibration, float]:
    """Temperature and abstention threshold from out-of-fold logits, and the calibration error that is left."""
    logits: Float64Array = np.array([row for fold in folds for row in fold.logits], dtype=np.float64)
    truth: AnyArray = np.array([label for fold in folds for label in fold.truth])
    temperature = round(fit_temperature(logits, truth), 4)
    probabilities = softmax(logits / temperature, axis=1)
    threshold = abstention_threshold(probabilities, truth, ANSWER_ACCURACY)
    error = expected_calibration_error(probabilities, truth)
    # The magnitude of a movement is not part of still crops, so none was validated.
    return Calibration(temperature, round(threshold, 4), None), error


def _metrics(result: dict[str, Any], calibration_error: float) -> dict[str, Any]:
    kept = (
        "protocol",
        "mode",
        "seeds",
        "samples",
        "folds",
        "acc",
        "uf1",
        "uar",
        "controls",
        "audit_digest",
        "pretraining",
    )
    return {**{name: result[name] for name in kept}, "expected_calibration_error": round(calibration_error, 4)}

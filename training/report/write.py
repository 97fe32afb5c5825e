"""From the folder of a run to its page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from tsfmicro.bundle import Bundle
from tsfmicro.errors import UsageError
from tsfmicro.models.config import ModelConfig
from tsfmicro.models.fused import FusedRecognizer
from tsfmicro.models.network import build
from tsfmicro.training.loso.cross import answers
from tsfmicro.training.loso.deploy import out_of_fold, read_run
from tsfmicro.training.loso.samples import Samples
from tsfmicro.training.loso.spec import LosoSpec
from tsfmicro.training.report.cam import grad_cam, one_of_each
from tsfmicro.training.report.figures import cam_figure, confusion_figure, curves_figure, tsne_figure
from tsfmicro.training.report.page import FigureOnPage, page


def write_report(run: Path, samples: Samples, bundle: Bundle | None) -> Path:
    """Write ``RUN/report.html``.

    Args:
        run: folder of the run.
        samples: its crops.
        bundle: network for Grad-CAM; without one the page has none.

    Raises:
        SourceError: if the run is not finished.
        UsageError: if the bundle answers with other classes.
    """
    result = read_run(run)
    spec = LosoSpec.from_dict(result["spec"])
    figures = [
        FigureOnPage(
            f"Confusion matrix, seed {seed}", confusion_figure(np.array(counts), samples.classes, f"seed {seed}")
        )
        for seed, counts in result["confusion"].items()
    ]
    if result["complete"]:
        folds = answers(run, spec) if "trained_on" in result else out_of_fold(run, spec, samples)
        figures.append(FigureOnPage("Training", curves_figure(folds)))
        places = tsne_figure(folds, samples.classes)
        if places is not None:
            figures.append(FigureOnPage("What the networks answered for people they had not seen", places))
    if bundle is not None:
        figures.append(
            FigureOnPage(f"Grad-CAM of {bundle.manifest.name}, which has seen these people", _cams(samples, bundle))
        )
    path = run / "report.html"
    partial = path.with_name("report.html.part")
    partial.write_text(page(result, figures), encoding="utf-8")
    partial.replace(path)
    return path


def _cams(samples: Samples, bundle: Bundle) -> bytes:
    manifest = bundle.manifest
    if manifest.labels != samples.classes:
        raise UsageError(
            f"{bundle.path} answers with {manifest.labels}, the run with {samples.classes}; name its own bundle"
        )
    config = ModelConfig(size=manifest.model.size, fusion=manifest.model.fusion, classes=len(manifest.labels))
    network = build(config)
    network.load_state_dict({name: torch.from_numpy(np.array(tensor)) for name, tensor in bundle.weights().items()})
    fused = FusedRecognizer(network.eval(), manifest.preprocess.mean, manifest.preprocess.std)
    rows = []
    for place in one_of_each(samples):
        onset, apex = samples.crops[place]
        label = int(samples.labels[place])
        heat = grad_cam(fused, onset, apex, label)
        rows.append((samples.classes[label], onset.numpy(), apex.numpy(), heat))
    return cam_figure(rows)

"""From the folder of a run to its page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tsfmicro.bundle import Bundle
from tsfmicro.errors import UsageError
from tsfmicro.runners.torch_runner import load_fused
from tsfmicro.runners.torch_window import load_fused_window
from tsfmicro.training.explain import MIN_SAMPLES, grad_cam, pooled_features, window_features, window_grad_cam
from tsfmicro.training.loso.cross import answers
from tsfmicro.training.loso.deploy import out_of_fold, read_run
from tsfmicro.training.loso.fold import FoldResult
from tsfmicro.training.loso.samples import Samples
from tsfmicro.training.loso.spec import LosoSpec
from tsfmicro.training.report.figures import cam_figure, confusion_figure, curves_figure, tsne_figure
from tsfmicro.training.report.page import FigureOnPage, page


def write_report(run: Path, samples: Samples, bundle: Bundle | None) -> Path:
    """Write ``RUN/report.html``.

    Args:
        run: folder of the run.
        samples: its crops.
        bundle: network for Grad-CAM and its pooled features; without one the page has neither.

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
        if len(samples) >= MIN_SAMPLES:
            figures.append(
                FigureOnPage("What the networks answered for people they had not seen", _answers(folds, samples))
            )
    if bundle is not None:
        figures += _inside(bundle, samples)
    path = run / "report.html"
    partial = path.with_name("report.html.part")
    partial.write_text(page(result, figures), encoding="utf-8")
    partial.replace(path)
    return path


def _answers(folds: Sequence[FoldResult], samples: Samples) -> bytes:
    """Every fold is another network whose pooled features have axes of their own; only logits share theirs."""
    logits = np.array([row for fold in folds for row in fold.logits])
    truth = [samples.classes[label] for fold in folds for label in fold.truth]
    return tsne_figure(logits, truth, samples.classes, "the logits of held-out people")


def _inside(bundle: Bundle, samples: Samples) -> list[FigureOnPage]:
    """Pooled features (as the paper's figure 6) and Grad-CAM (figure 7) of one network, that of the bundle."""
    manifest = bundle.manifest
    if manifest.labels != samples.classes:
        raise UsageError(
            f"{bundle.path} answers with {manifest.labels}, the run with {samples.classes}; name its own bundle"
        )
    labels, crops = samples.labels.tolist(), samples.crops.numpy()
    numbers = list(range(len(samples.classes)))
    places = [labels.index(number) for number in numbers]  # the first of each class
    if manifest.model.reads_windows:
        window = load_fused_window(bundle)
        heats = window_grad_cam(window, crops[places], np.array(numbers))
        features = window_features(window, crops)
    else:
        fused = load_fused(bundle)
        heats = grad_cam(fused, crops[places, 0], crops[places, 1], np.array(numbers))
        features = pooled_features(fused, crops[:, 0], crops[:, 1])
    whose = f"of {manifest.name}, which has seen these people"
    figures = []
    if len(samples) >= MIN_SAMPLES:
        truth = [samples.classes[label] for label in labels]
        figures.append(
            FigureOnPage(
                f"Pooled features {whose}", tsne_figure(features, truth, samples.classes, f"{manifest.name}'s features")
            )
        )
    beside, title = (crops.shape[1] // 2, "middle") if manifest.model.reads_windows else (1, "apex")
    shown = cam_figure(samples.classes, crops[places, 0], crops[places, beside], heats, title)
    return [*figures, FigureOnPage(f"Grad-CAM {whose}", shown)]

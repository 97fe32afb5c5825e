"""Two pictures of a bundle: where it looks, and how it arranges synthetic clips of some people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tsfmicro.bundle import Bundle
from tsfmicro.models.fdp.config import FdpConfig
from tsfmicro.preprocess import Preprocessor
from tsfmicro.runners.torch_runner import load_fused
from tsfmicro.runners.torch_window import load_fused_window
from tsfmicro.synthetic.pairs import APEX, ONSET, LabelledClip, draw_clip
from tsfmicro.synthetic.portrait import Portrait
from tsfmicro.synthetic.windows import random_window
from tsfmicro.training.evaluate import held_out_spec
from tsfmicro.training.explain import embed_tsne, grad_cam, pooled_features, window_features, window_grad_cam
from tsfmicro.training.pictures import write_heat_maps, write_scatter
from tsfmicro.values import Float32Array, UInt8Array

AMPLITUDE_PERCENT_IOD = 3.0
_SHOWN_PER_CLASS = 2


def illustrate(
    bundle: Bundle, people: dict[str, tuple[Portrait, ...]], *, pairs: int, seed: int, folder: Path
) -> tuple[Path, Path]:
    """Draw ``pairs`` pairs, or windows for FDP, by turns from every person, and picture them.

    Returns:
        ``heat_maps.png``, up to two onset crops a class with the evidence for what was recognised, and
        ``features.png``, t-SNE of the pooled features of all of them.

    Raises:
        ContractError: with fewer pairs than t-SNE needs.
        UsageError: the pictures cannot be written.
    """
    manifest = bundle.manifest
    spec = held_out_spec(AMPLITUDE_PERCENT_IOD, manifest.labels)
    preprocessor = Preprocessor(manifest.preprocess)
    rng = np.random.default_rng(seed)
    portraits = list(people.values())
    config = manifest.model.any_config()
    drawn: list[LabelledClip] = []
    for number in range(pairs):
        stages = random_window(config.frames, rng) if isinstance(config, FdpConfig) else (ONSET, APEX)
        drawn.append(draw_clip(portraits[number % len(portraits)], spec, preprocessor, rng, stages))
    crops = np.stack([np.stack(clip.crops) for clip in drawn])  # (N, V, S, S, 3)
    truth = [clip.emotion for clip in drawn]
    shown = [i for label in manifest.labels for i in [j for j, t in enumerate(truth) if t == label][:_SHOWN_PER_CLASS]]
    found = _windows(bundle, crops, shown) if manifest.model.reads_windows else _pairs(bundle, crops, shown)
    title = f"{manifest.name}: pooled features of {pairs} synthetic clips, t-SNE"
    features = folder / "features.png"
    write_scatter(features, embed_tsne(found.features, seed), truth, manifest.labels, title)
    titles = [
        f"true: {truth[i]}\nseen: {manifest.labels[int(row.argmax())]} {row.max():.2f}"
        for i, row in zip(shown, found.probabilities, strict=True)
    ]
    heat_maps = folder / "heat_maps.png"
    write_heat_maps(heat_maps, crops[shown, 0], found.heats, titles)
    return heat_maps, features


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    features: Float32Array
    """(N, F) of all clips."""
    probabilities: Float32Array
    """(M, C) of those shown."""
    heats: Float32Array
    """(M, S, S) likewise."""


def _pairs(bundle: Bundle, crops: UInt8Array, shown: Sequence[int]) -> _Found:
    fused = load_fused(bundle)
    onset, apex = crops[:, 0], crops[:, 1]
    with torch.inference_mode():
        probabilities = fused(torch.tensor(onset[shown]), torch.tensor(apex[shown]))[0].numpy()
    return _Found(pooled_features(fused, onset, apex), probabilities, grad_cam(fused, onset[shown], apex[shown]))


def _windows(bundle: Bundle, crops: UInt8Array, shown: Sequence[int]) -> _Found:
    fused = load_fused_window(bundle)
    with torch.inference_mode():
        probabilities = fused(torch.tensor(crops[shown]))[0].numpy()
    return _Found(window_features(fused, crops), probabilities, window_grad_cam(fused, crops[shown]))

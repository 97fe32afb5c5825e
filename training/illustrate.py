"""Two pictures of a bundle: where it looks, and how it arranges synthetic pairs of some people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from tsfmicro.bundle import Bundle
from tsfmicro.preprocess import Preprocessor
from tsfmicro.runners.torch_runner import load_fused
from tsfmicro.synthetic.pairs import draw_pair
from tsfmicro.synthetic.portrait import Portrait
from tsfmicro.training.evaluate import held_out_spec
from tsfmicro.training.explain import embed_tsne, grad_cam, pooled_features
from tsfmicro.training.pictures import write_heat_maps, write_scatter

AMPLITUDE_PERCENT_IOD = 3.0
_SHOWN_PER_CLASS = 2


def illustrate(
    bundle: Bundle, people: dict[str, tuple[Portrait, ...]], *, pairs: int, seed: int, folder: Path
) -> tuple[Path, Path]:
    """Draw ``pairs`` pairs, by turns from every person, and picture them.

    Returns:
        ``heat_maps.png``, up to two onset crops a class with the evidence for what was recognised, and
        ``features.png``, t-SNE of the pooled features of all pairs.

    Raises:
        ContractError: with fewer pairs than t-SNE needs.
        UsageError: the pictures cannot be written.
    """
    manifest = bundle.manifest
    spec = held_out_spec(AMPLITUDE_PERCENT_IOD, manifest.labels)
    preprocessor = Preprocessor(manifest.preprocess)
    rng = np.random.default_rng(seed)
    portraits = list(people.values())
    drawn = [draw_pair(portraits[i % len(portraits)], spec, preprocessor, rng) for i in range(pairs)]
    onset, apex = np.stack([p.crops.onset for p in drawn]), np.stack([p.crops.apex for p in drawn])
    truth = [p.emotion for p in drawn]
    fused = load_fused(bundle)
    points = embed_tsne(pooled_features(fused, onset, apex), seed)
    title = f"{manifest.name}: pooled features of {pairs} synthetic pairs, t-SNE"
    features = folder / "features.png"
    write_scatter(features, points, truth, manifest.labels, title)
    shown = [i for label in manifest.labels for i in [j for j, t in enumerate(truth) if t == label][:_SHOWN_PER_CLASS]]
    with torch.inference_mode():
        probabilities = fused(torch.tensor(onset[shown]), torch.tensor(apex[shown]))[0].numpy()
    titles = [
        f"true: {truth[i]}\nseen: {manifest.labels[int(row.argmax())]} {row.max():.2f}"
        for i, row in zip(shown, probabilities, strict=True)
    ]
    heat_maps = folder / "heat_maps.png"
    write_heat_maps(heat_maps, onset[shown], grad_cam(fused, onset[shown], apex[shown]), titles)
    return heat_maps, features

"""Scenario ``training``: pairs a second of the training loop beside a plain float32 loop over the same network."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import nn

from tsfmicro.models.config import INPUT_PX, ModelConfig
from tsfmicro.models.fused import FusedRecognizer
from tsfmicro.models.network import build
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.training.crops.cache import CacheEntry
from tsfmicro.training.loso.augment import augmented
from tsfmicro.training.loso.learn import Learner
from tsfmicro.training.loso.networks import device_of
from tsfmicro.training.loso.samples import Samples
from tsfmicro.training.loso.spec import LosoSpec, Precision, Step

_CLASSES = 5


def run_training(
    size: str, batch: int, rounds: int, precision: Precision, step: Step, device: str
) -> list[dict[str, Any]]:
    """Alternate one step of each; both augment the same random pairs.

    Args:
        size: of the network.
        batch: pairs a step.
        rounds: how often the two are alternated, after one step each to warm up.
        precision: of the training loop; the plain loop is float32, in torch's usual memory format.
        step: of the training loop; its compilation is the first step, which is not counted but told.
        device: ``cpu`` or ``cuda``.

    Returns:
        One row for each of the two, and one with their ratio, pair by pair. Processor time counts what other work on
        the machine does not take; with ``cuda`` it says nothing.
    """
    target = device_of(device)
    config = ModelConfig(size=size, classes=_CLASSES)
    spec = LosoSpec(size=size, batch=batch, precision=precision, step=step)
    samples = _random_samples(batch).to(target)
    learner = Learner(samples, spec, PreprocessSpec(), lambda: build(config), seed=0, name="bench")
    plain_step = _plain_loop(samples, spec, config)

    def our_step() -> None:
        learner.epoch()

    plain: list[_Took] = []
    ours: list[_Took] = []
    for _ in range(rounds + 1):
        timed = (_took(plain_step, target), _took(our_step, target))
        plain.append(timed[0])
        ours.append(timed[1])
    warm_up = ours[0]
    del plain[0], ours[0]
    ratios = [a.wall_s / b.wall_s for a, b in zip(plain, ours, strict=True)]
    return [
        _row("plain float32 loop", batch, plain),
        {
            **_row(f"tsf-train loso, {precision.value}, {step.value}", batch, ours),
            "first_step_s": round(warm_up.wall_s, 1),
            "first_step_cpu_s": round(warm_up.cpu_s, 1),
        },
        {
            "what": "ratio",
            "median": round(median(ratios), 3),
            "min": round(min(ratios), 3),
            "max": round(max(ratios), 3),
            "median_cpu": round(median(a.cpu_s / b.cpu_s for a, b in zip(plain, ours, strict=True)), 3),
            "rounds": rounds,
            "samples": {"ratio": [round(ratio, 4) for ratio in ratios]},
        },
    ]


class _Took(NamedTuple):
    wall_s: float
    cpu_s: float


def _row(what: str, batch: int, took: list[_Took]) -> dict[str, Any]:
    return {
        "what": what,
        "pairs_per_s": round(batch / median(one.wall_s for one in took), 3),
        "pairs_per_cpu_s": round(batch / median(one.cpu_s for one in took), 3),
        "samples": {
            "pairs_per_s": [round(batch / one.wall_s, 4) for one in took],
            "pairs_per_cpu_s": [round(batch / one.cpu_s, 4) for one in took],
        },
    }


def _random_samples(number: int) -> Samples:
    random = torch.Generator().manual_seed(0)
    crops = torch.randint(0, 256, (number, 2, INPUT_PX, INPUT_PX, 3), dtype=torch.uint8, generator=random)
    entries = tuple(CacheEntry(str(i), "", "", "", 0, "", "", "") for i in range(number))
    return Samples(crops, torch.arange(number) % _CLASSES, entries, tuple(map(str, range(_CLASSES))))


def _plain_loop(samples: Samples, spec: LosoSpec, config: ModelConfig) -> Callable[[], None]:
    preprocess = PreprocessSpec()
    network = build(config).to(samples.crops.device)
    fused = FusedRecognizer(network, preprocess.mean, preprocess.std).to(samples.crops.device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=spec.learning_rate, weight_decay=spec.weight_decay)
    random = torch.Generator().manual_seed(0)
    criterion = nn.CrossEntropyLoss()

    def step() -> None:
        pairs = augmented(samples.crops, spec.augment, random, preprocess.mean)
        loss = criterion(network(*fused.prepare(pairs[:, 0], pairs[:, 1])), samples.labels)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    return step


def _took(step: Callable[[], None], device: torch.device) -> _Took:
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return _Took(time.perf_counter() - wall_s, time.process_time() - cpu_s)

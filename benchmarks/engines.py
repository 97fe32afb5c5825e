"""Scenario ``engine``: backends, precisions and batch sizes beside torch eager in float32, interleaved in one process.

No time is given without what the backend answers: every row has its distance from torch eager on the same pairs. Nor
without what it could be at best: the floor, from the processor's ceilings measured in the same run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from tsfmicro.benchmarks.roofline import Ceilings, measure_ceilings
from tsfmicro.benchmarks.spread import percentiles
from tsfmicro.bundle import (
    Bundle,
    Calibration,
    Manifest,
    ModelCard,
    Provenance,
    add_files,
    round_to_half,
    write_bundle,
)
from tsfmicro.errors import BackendError, UsageError
from tsfmicro.export.products import export_bundle
from tsfmicro.labels import protocol
from tsfmicro.models.config import ModelConfig
from tsfmicro.models.network import build
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.runners import BACKENDS, Runner, RunnerOutput, load
from tsfmicro.runners.openvino_runner import OpenVinoRunner
from tsfmicro.runners.parity import compare, probe_pairs, probe_windows
from tsfmicro.runners.precision import Precision
from tsfmicro.runners.window import load_window
from tsfmicro.runners.window_contract import WindowOutput, WindowRunner
from tsfmicro.training.summary import ModelSummary, summarise
from tsfmicro.values import Float32Array, UInt8Array

Crops = tuple[UInt8Array, ...]
"""What a network takes: onset and apex, or for FDP the frames of windows."""
Probes = Callable[[int, int], Crops]
"""How many of them, and a seed."""
REFERENCE = "torch"
_PROTOCOL = "casme2_5c_tsf"
_PARITY_PAIRS = 8


@dataclass(slots=True, eq=False)
class Contender:
    """A backend with its times."""

    name: str
    runner: Runner | WindowRunner
    probes: Probes
    """What its network takes."""
    load_s: float
    """From the bundle to a runner that is warm: what is compiled, is compiled here."""
    cost: ModelSummary
    """Of its network."""
    distance: dict[str, Any]
    """From torch eager of the same network."""
    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    def run(self, crops: Crops) -> None:
        """One call, timed; processor time of all threads beside it."""
        runner: Any = self.runner
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        runner.infer(*crops)
        self.wall_ms.append((time.perf_counter() - wall_s) * 1e3)
        self.cpu_ms.append((time.process_time() - cpu_s) * 1e3)


@contextmanager
def bundle_of_size(size: str) -> Iterator[Bundle]:
    """A bundle of TSFmicro with seeded random weights and its graph, in a folder that is removed afterwards."""
    with bundle_of(ModelConfig(size=size)) as bundle:
        yield bundle


@contextmanager
def bundle_of(config: ModelConfig) -> Iterator[Bundle]:
    """The same of any network of the family."""
    with TemporaryDirectory() as folder:
        bare = untrained_bundle(Path(folder) / f"{config.model}.tsf", config)
        exported = export_bundle(bare, (Precision.FLOAT32,))
        yield add_files(bare, {product.name: product.data for product in exported.products})


def untrained_bundle(path: Path, config: ModelConfig) -> Bundle:
    """Seeded random weights as a bundle; it says of itself that it recognises nothing."""
    torch.manual_seed(0)
    weights = {name: tensor.numpy() for name, tensor in build(config).state_dict().items()}
    manifest = Manifest(
        name=f"untrained {config.model} {config.size}",
        model=ModelCard.of(config),
        protocol_id=_PROTOCOL,
        labels=protocol(_PROTOCOL).classes,
        preprocess=PreprocessSpec(),
        provenance=Provenance("nothing: random weights", "tsf-bench engine", 0, 0, "none", (), {}),
        calibration=Calibration(1.0, 0.0, None),
        licence="Apache-2.0",
        intended_use="measuring time; it recognises nothing",
    )
    return write_bundle(path, manifest, round_to_half(weights))


def run_engines(
    bundle: Bundle,
    backends: list[str],
    batches: list[int],
    rounds: int,
    threads: int,
    beside: Sequence[ModelConfig] = (),
) -> list[dict[str, Any]]:
    """Time backends in turns.

    Args:
        bundle: with what the backends load.
        backends: names of ``load``; ``openvino`` stands for each precision the processor has.
        batches: pairs, or of FDP windows, a call.
        rounds: calls of each, after two to warm up.
        threads: of the CPU, for each.
        beside: other networks, with random weights, which take their turns in torch eager and in ONNX Runtime.

    Returns:
        A row for each backend and batch, then one for each batch with the median ratios to torch eager by name, for
        objectives; a row with ``status`` and ``why`` for each backend that cannot be used here; last the processor's
        ceilings.

    Raises:
        UsageError: if a backend is not known.
    """
    unknown = sorted(set(backends) - set(BACKENDS))
    if unknown:
        raise UsageError(f"backends {', '.join(unknown)} are not known; expected some of {', '.join(BACKENDS)}")
    rows: list[dict[str, Any]] = []
    with ExitStack() as stack:
        contenders = _contenders(stack, bundle, backends, threads, rows)
        for config in beside:
            other = stack.enter_context(bundle_of(config))
            contenders += _contenders(stack, other, ["onnxruntime"], threads, rows, f"{config.model}_")
        torch.set_num_threads(threads)
        ceilings = measure_ceilings()
        timed: dict[int, list[Contender]] = {}
        for batch in batches:
            timed[batch] = [replace(contender, wall_ms=[], cpu_ms=[]) for contender in contenders]
            _interleave(timed[batch], batch, rounds)
        ceilings = ceilings.better(measure_ceilings())
        for batch, (eager, *others) in timed.items():
            rows += [_row(c, eager, batch, threads, ceilings) for c in (eager, *others)]
            ratios = {c.name.replace("-", "_"): _ratios(c.wall_ms, eager.wall_ms) for c in others}
            rows.append({"what": f"ratio to torch eager float32, batch {batch}", **ratios})
    told = {f"{precision}_gflops": value for precision, value in ceilings.gflops.items()}
    return [*rows, {"what": "ceilings", "threads": threads, **told, "bandwidth_gb_s": ceilings.bandwidth_gb_s}]


def _contenders(
    stack: ExitStack, bundle: Bundle, backends: list[str], threads: int, rows: list[dict[str, Any]], prefix: str = ""
) -> list[Contender]:
    """One network in torch eager, which comes first, and in the backends; ``rows`` gets those that cannot be used."""
    named: dict[str, Runner | WindowRunner] = {}
    load_s: dict[str, float] = {}
    for backend in (REFERENCE, *(name for name in backends if name != REFERENCE)):
        began_s = time.perf_counter()
        try:
            for name, runner in _runners(bundle, backend, threads):
                load_s[name], named[name] = time.perf_counter() - began_s, runner
                stack.callback(runner.close)
                began_s = time.perf_counter()
        except BackendError as error:  # a contender that is left out must say why
            rows.append({"what": prefix + backend, "status": "not run", "why": str(error)})
    probes = _probes_of(bundle)
    cost, distances = summarise(bundle.manifest.model.any_config()), _distances(named, probes(_PARITY_PAIRS, 11))
    return [
        Contender(prefix + name, runner, probes, load_s[name], cost, distances[name]) for name, runner in named.items()
    ]


def _runners(bundle: Bundle, backend: str, threads: int) -> Iterator[tuple[str, Runner | WindowRunner]]:
    """One after the other, so that each can be timed."""
    if bundle.manifest.model.reads_windows:
        windows = load_window(bundle, backend, threads)
        yield f"{backend}_float32" if backend == "openvino" else backend, windows
        return
    runner = load(bundle, backend, threads)
    if not isinstance(runner, OpenVinoRunner):
        yield backend, runner
        return
    yield f"{backend}_{runner.precision}", runner
    if runner.precision != "float32":
        yield f"{backend}_float32", OpenVinoRunner(bundle, threads, "float32")


def _probes_of(bundle: Bundle) -> Probes:
    card = bundle.manifest.model
    if not card.reads_windows:
        return probe_pairs
    frames = card.window_config().frames
    return lambda count, seed: (probe_windows(count, frames, seed),)


def _distances(named: Mapping[str, Runner | WindowRunner], crops: Crops) -> dict[str, dict[str, Any]]:
    said = {name: _logits(runner, crops) for name, runner in named.items()}
    return {name: asdict(compare(said[REFERENCE], logits)) for name, logits in said.items()}


def _logits(runner: Any, crops: Crops) -> Float32Array:
    said: RunnerOutput | WindowOutput = runner.infer(*crops)
    return said.answers.logits if isinstance(said, WindowOutput) else said.logits


def _interleave(contenders: list[Contender], batch: int, rounds: int) -> None:
    crops = {contender.probes: contender.probes(batch, batch) for contender in contenders}
    for number in range(rounds + 2):
        for contender in contenders:
            contender.run(crops[contender.probes])
            if number < 2:  # to warm up
                contender.wall_ms.clear()
                contender.cpu_ms.clear()


def _ratios(times: list[float], reference: list[float]) -> float:
    """Median of the ratios of neighbours in time."""
    return round(median(ours / theirs for ours, theirs in zip(times, reference, strict=True)), 3)


def _row(contender: Contender, eager: Contender, batch: int, threads: int, ceilings: Ceilings) -> dict[str, Any]:
    low, high = np.percentile([a / b for a, b in zip(contender.wall_ms, eager.wall_ms, strict=True)], (25, 75))
    precision, cost = getattr(contender.runner, "precision", "float32"), contender.cost
    on_cpu = contender.runner.device.lower().startswith("cpu")
    floor_ms = ceilings.floor_ms(cost.gmacs, cost.parameters, batch, precision) if on_cpu else None
    median_ms = median(contender.wall_ms)
    return {
        "what": f"{contender.name}, batch {batch}",
        "network": f"{cost.model} {cost.size} {cost.fusion}",
        "backend": contender.runner.backend,
        "device": contender.runner.device,
        "precision": precision,
        "batch": batch,
        "threads": threads,
        "load_s": round(contender.load_s, 2),
        "median_ms": round(median_ms, 3),
        "min_ms": round(min(contender.wall_ms), 3),
        **percentiles(contender.wall_ms, "ms"),
        "median_cpu_ms": round(median(contender.cpu_ms), 3),
        "pairs_per_s": round(batch * 1e3 / median_ms, 2),
        "gmacs": cost.gmacs,
        "floor_ms": None if floor_ms is None else round(floor_ms, 3),
        "times_the_floor": None if floor_ms is None else round(median_ms / floor_ms, 2),
        "ratio": {
            "median": _ratios(contender.wall_ms, eager.wall_ms),
            "p25": round(float(low), 3),
            "p75": round(float(high), 3),
            "cpu_median": _ratios(contender.cpu_ms, eager.cpu_ms),
        },
        "calls": len(contender.wall_ms),
        "samples": {
            "ms": [round(ms, 4) for ms in contender.wall_ms],
            "ratio": [round(a / b, 4) for a, b in zip(contender.wall_ms, eager.wall_ms, strict=True)],
        },
        "distance": {
            name: contender.distance[name]
            for name in ("max_abs", "rel_l2", "label_flips", "decision_flips", "pairs", "nan")
        },
    }

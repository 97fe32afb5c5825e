"""Scenario ``recognisers``: finished leave-one-subject-out runs side by side, with what their networks cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tsfmicro.errors import UsageError
from tsfmicro.labels import protocol
from tsfmicro.models.card import FDP_NAME
from tsfmicro.training.loso.deploy import read_run, require_deployable
from tsfmicro.training.loso.networks import model_config
from tsfmicro.training.loso.spec import LosoSpec
from tsfmicro.training.summary import time_family

_SAME = ("protocol", "audit_digest", "faces", "preprocess_digest", "seeds", "folds", "samples")
"""What has to be equal for two runs to be held against each other."""


def run_recognisers(runs: Sequence[Path], rounds: int, threads: int) -> list[dict[str, Any]]:
    """One row for each run: network, how it was trained, what it scored on people it had not seen, what it costs.

    Args:
        runs: folders of finished, honest ``tsf-train loso`` runs on the same clips.
        rounds: events to time in each network, the networks taking turns.
        threads: CPU threads of torch.

    Raises:
        SourceError: if a folder holds no finished run.
        UsageError: if a run is test-selected or lacks folds, or two are not of the same clips, crops and seeds.
    """
    results = [read_run(run) for run in runs]
    for run, result in zip(runs, results, strict=True):
        require_deployable(run, result)
        apart = [name for name in _SAME if result[name] != results[0][name]]
        if apart:
            raise UsageError(f"{run} and {runs[0]} differ in {', '.join(apart)}: they cannot be held side by side")
    specs = [LosoSpec.from_dict(result["spec"]) for result in results]
    torch.set_num_threads(threads)
    costs = time_family([model_config(s, len(protocol(results[0]["protocol"]).classes)) for s in specs], rounds)
    return [
        {
            "network": network_name(spec),
            "parameters": cost.parameters,
            "gmacs": cost.gmacs,
            "latency_ms": cost.latency_ms,
            "processor_ms": cost.processor_ms,
            **{name: result[name]["mean"] for name in ("acc", "uf1", "uar")},
            **{f"{name}_ci95": str(result[name]["ci95"]) for name in ("acc", "uf1", "uar")},
            "majority_uf1": result["controls"]["majority"]["uf1"],
            "clips": result["samples"],
            "people": result["folds"],
            "seeds": len(result["seeds"]),
            "epochs": spec.epochs,
            "batch": spec.batch,
            "learning_rate": spec.learning_rate,
            "weight_decay": spec.weight_decay,
            "loss": {"order": spec.loss.order, "dynamic_image": spec.loss.dynamic_image},
            "pretraining": result["pretraining"],
            "audit_digest": result["audit_digest"],
            "crops_digest": result["crops_digest"],
        }
        for result, spec, cost in zip(results, specs, costs, strict=True)
    ]


def network_name(spec: LosoSpec) -> str:
    """Model, size, fusion and options, as they are typed."""
    fusion = [] if spec.model == FDP_NAME else [spec.fusion]
    return " ".join([spec.model, spec.size, *fusion, *spec.options])

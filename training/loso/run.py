"""All folds of all seeds, each kept on the disk as soon as it is done."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tsfmicro.errors import SourceError, UsageError
from tsfmicro.training.crops.cache import CacheIndex
from tsfmicro.training.loso.fold import FoldResult, run_fold
from tsfmicro.training.loso.learn import MakeNetwork
from tsfmicro.training.loso.samples import Samples
from tsfmicro.training.loso.spec import STAMP, LosoSpec, Mode

SCHEMA = "tsf.loso/1"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """One run, before it starts."""

    spec: LosoSpec
    index: CacheIndex
    pretraining: Mapping[str, Any] | None
    """Which bundle the weights begin from and what that was trained on; None where they are random."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: what has to be the same for a run to be gone on with."""
        return {
            "schema": SCHEMA,
            "stamp": STAMP if self.spec.mode is Mode.PAPER else None,
            "spec": self.spec.to_dict(),
            "dataset": self.index.dataset,
            "protocol": self.index.protocol_id,
            "faces": self.index.faces.value,
            "crops_digest": self.index.digest,
            "audit_digest": self.index.audit_digest,
            "key_frame_range": self.index.key_frame_range,
            "preprocess": self.index.preprocess.to_dict(),
            "preprocess_digest": self.index.preprocess.digest,
            "pretraining": None if self.pretraining is None else dict(self.pretraining),
        }


@dataclass(frozen=True, slots=True)
class Failure:
    """A fold that could not be run."""

    seed: int
    subject: str
    error: str


@dataclass(frozen=True, slots=True)
class Finished:
    """Everything a run has, complete or not."""

    folds: tuple[FoldResult, ...]
    shuffled: tuple[FoldResult, ...]
    failures: tuple[Failure, ...]


def begin(out: Path, plan: Plan) -> None:
    """Make the folder of a run, or check that the one there is this very run.

    Raises:
        UsageError: if another run, or something else, lies there.
    """
    path = out / "run.json"
    text = json.dumps(plan.to_dict(), indent=2, sort_keys=True) + "\n"
    if path.is_file():
        if path.read_text(encoding="utf-8") != text:
            raise UsageError(f"{out} holds a run with other settings or other crops; name another folder as --out")
        return
    if out.exists() and any(entry.name != "crops" for entry in out.iterdir()):
        raise UsageError(f"{out} is not empty and holds no run; name a new folder as --out")
    out.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)


def run(
    out: Path,
    plan: Plan,
    samples: Samples,
    make_network: MakeNetwork,
    *,
    device: torch.device,
    on_fold: Callable[[int, int], None],
) -> Finished:
    """Run what is not done yet and give back all of it.

    Args:
        out: folder of the run, see :func:`begin`.
        plan: what to do.
        samples: the crops.
        make_network: builds the network.
        device: where to train.
        on_fold: called with the number of finished and of all folds.
    """
    begin(out, plan)
    jobs = list(_jobs(plan.spec, samples.subjects))
    here = samples.to(device)
    done: dict[bool, list[FoldResult]] = {False: [], True: []}
    failures: list[Failure] = []
    for number, (seed, subject, control) in enumerate(jobs):
        on_fold(number, len(jobs))
        path = fold_path(out, seed, subject, control=control)
        if path.is_file():
            done[control].append(read_fold(path))
            continue
        try:
            result = run_fold(
                here,
                subject,
                plan.spec,
                plan.index.preprocess,
                make_network,
                seed=seed,
                on_shuffled_labels=control,
            )
        except Exception as error:  # one fold's failure must not cost the others
            _LOG.warning("seed %d, without %s: %s: %s", seed, subject, type(error).__name__, error)
            failures.append(Failure(seed, subject, f"{type(error).__name__}: {error}"))
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(result.to_dict()) + "\n")
        done[control].append(result)
    on_fold(len(jobs), len(jobs))
    return Finished(tuple(done[False]), tuple(done[True]), tuple(failures))


def _jobs(spec: LosoSpec, subjects: tuple[str, ...]) -> Iterator[tuple[int, str, bool]]:
    for seed in spec.seeds:
        yield from ((seed, subject, False) for subject in subjects)
    for seed in spec.seeds[: spec.shuffled_seeds]:
        yield from ((seed, subject, True) for subject in subjects)


def fold_path(out: Path, seed: int, subject: str, *, control: bool = False) -> Path:
    """Where a fold is kept."""
    safe = re.sub(r"[^\w.-]", "_", subject)
    return out / "folds" / f"{'shuffled' if control else 'seed'}-{seed}" / f"{safe}.json"


def read_fold(path: Path) -> FoldResult:
    """A fold that was kept.

    Raises:
        SourceError: if it is not there, or damaged.
    """
    try:
        return FoldResult.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{path} cannot be read ({error}); remove it and run again") from error


def write_whole(path: Path, text: str) -> None:
    """All or nothing: a process that is killed leaves no half of a file."""
    partial = path.with_name(f"{path.name}.part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)

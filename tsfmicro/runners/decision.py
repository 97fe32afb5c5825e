"""From probabilities to a label, or to an abstention with its reason."""

from __future__ import annotations

from tsfmicro.bundle import Calibration
from tsfmicro.errors import ContractError
from tsfmicro.runners.contract import RunnerOutput
from tsfmicro.values import Recognition

LOW_PROBABILITY = "low_probability"
"""Abstention: no class is probable enough for the bundle's threshold."""


def recognitions(output: RunnerOutput, labels: tuple[str, ...], calibration: Calibration) -> list[Recognition]:
    """One recognition per pair of ``output``, in its order.

    The temperature is already in the probabilities; only the threshold of ``calibration`` is applied here.

    Args:
        output: of B pairs over C classes.
        labels: C class names in the order of the columns.
        calibration: of the same bundle.

    Raises:
        ContractError: if there is not one label a column.
    """
    columns = output.probabilities.shape[1]
    if columns != len(labels):
        raise ContractError(f"the recogniser returned {columns} probabilities for {len(labels)} labels {labels}")
    found = []
    for row in output.probabilities.tolist():
        reasons = (LOW_PROBABILITY,) if max(row) < calibration.min_probability else ()
        found.append(Recognition(probabilities=dict(zip(labels, row, strict=True)), abstain=reasons))
    return found

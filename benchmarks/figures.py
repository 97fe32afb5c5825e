"""The README's figures, written from committed results and from the demonstration bundle's manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tsfmicro.benchmarks.provenance import SCHEMA_ID
from tsfmicro.bundle import Manifest
from tsfmicro.errors import UsageError

BEGIN, END = "<!-- figures -->", "<!-- /figures -->"


def figures(results: Path, manifest: Manifest) -> str:
    """Markdown of every figure the README quotes.

    Args:
        results: folder with ``event.json``, ``stages.json`` and ``portrait_only.json``, which ``tsf-train evaluate``
            wrote of a bundle that was trained like the demonstration one, but on the portrait alone.
        manifest: of the demonstration bundle.

    Raises:
        UsageError: a result is missing or not of schema ``tsf.bench/1``.
    """
    event, stages = read_result(results / "event.json"), read_result(results / "stages.json")
    alone = read_json(results / "portrait_only.json", "tsf-train evaluate")
    lines = [
        "Recognition, people never seen in training, synthetic pairs from true key frames (the bundle's manifest):",
        "",
        "| trained on | peak movement | people | pairs | accuracy | mean recall | answered | accuracy of answers |",
        "|---|---|---|---|---|---|---|---|",
        *_held_out_rows(manifest.provenance.data, manifest.provenance.metrics),
        *_held_out_rows(alone["bundle"]["data"], alone),
        "",
        *_event_lines(event),
        "",
        *_stage_lines(stages),
        "",
        f"Measured on {event['provenance']['cpus']} CPUs ({event['provenance']['cpu']}), shared with other work; the "
        "raw results are in `benchmarks/results/`, and `tsf-bench readme` writes this section from them.",
    ]
    return "\n".join(lines)


def with_figures(text: str, block: str) -> str:
    """The document with the block between its two marks replaced.

    Raises:
        UsageError: if it has no marks.
    """
    if BEGIN not in text or END not in text:
        raise UsageError(f"the document lacks the marks {BEGIN} and {END}")
    head, rest = text.split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    return f"{head}{BEGIN}\n{block}\n{END}{tail}"


def read_result(path: Path, command: str = "", schema: str = SCHEMA_ID) -> dict[str, Any]:
    """A committed result.

    Args:
        path: of the file.
        command: that writes it; by default the scenario of ``tsf-bench`` that its name begins with.
        schema: that it must be of.

    Raises:
        UsageError: it is missing or of another schema.
    """
    record = read_json(path, command or f"tsf-bench {path.stem.partition('_')[0]}")
    if record.get("schema") != schema:
        raise UsageError(f"{path} has schema {record.get('schema')!r}; expected {schema!r}")
    return record


def read_json(path: Path, command: str) -> dict[str, Any]:
    """A committed result of any schema, which ``command`` writes.

    Raises:
        UsageError: it is missing or damaged.
    """
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as a result ({error}); run {command} --json {path}") from error
    return record


def _held_out_rows(data: str, metrics: Mapping[str, Any]) -> list[str]:
    """A row for each amplitude.

    Args:
        data: what the bundle was trained on, in its manifest's words, which begin with the people.
        metrics: what ``tsf-train evaluate`` found.
    """
    trained_on = data.partition(": ")[2].partition(",")[0]
    return [_held_out_row(trained_on, row) for row in metrics["held_out"]]


def _held_out_row(trained_on: str, row: dict[str, Any]) -> str:
    answers = "–" if row["accuracy_of_answered"] is None else f"{row['accuracy_of_answered']:.2f}"
    return (
        f"| {trained_on} | {row['amplitude_percent_iod']:g} % of the inter-ocular distance | {row['people']} | "
        f"{row['pairs']} | {row['accuracy']:.2f} | {row['uar']:.2f} | {row['answered']:.2f} | {answers} |"
    )


def _event_lines(result: dict[str, Any]) -> list[str]:
    row = result["rows"][0]
    return [
        f"Spotting, {row['clips']} animated portraits with {row['hidden']} hidden micro-expressions, 60 frames/s: "
        f"F1 {row['f1']:.2f} at IoU ≥ 0.5 ({row['tp']} found, {row['fp']} false, {row['fn']} missed); median apex "
        f"error {row['apex_error_median_ms']:.0f} ms; apex reported {row['apex_lookahead_median_ms']:.0f} ms after it "
        f"(median; at most {row['apex_lookahead_max_ms']:.0f}). Of the {row['hidden']} events {row['answered']} were "
        f"given a label and {row['named_right']} the right one. The portrait is one the recogniser was trained on.",
    ]


def _stage_lines(result: dict[str, Any]) -> list[str]:
    rows = {row["what"]: row for row in result["rows"]}
    alone, path, ratio = (rows[what] for what in ("landmark model alone", "decode to spotter", "ratio"))
    single = rows["decode to spotter, one thread"]
    return [
        f"Cost, one face, {alone['picture']}: decoding to spotting {path['median_ms_per_frame']:.1f} ms a frame "
        f"({path['frames_per_s']:.0f} frames/s) as `tsf-live FILE` runs, with a thread that reads ahead; "
        f"{single['median_ms_per_frame']:.1f} ms ({single['frames_per_s']:.0f} frames/s) in one thread; the "
        f"face-landmark model alone {alone['median_ms_per_frame']:.1f} ms, side by side. Ratio to it: "
        f"{ratio['median']:.2f}, in one thread {rows['ratio, one thread']['median']:.2f}, in processor time of "
        f"all threads {rows['ratio, processor time']['median']:.2f}.",
    ]

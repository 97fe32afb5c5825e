"""The page: HTML with everything inside it, so that it can be mailed."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from tsfmicro.labels import protocol
from tsfmicro.models.card import FDP_NAME
from tsfmicro.training.datasets.load import DATASETS
from tsfmicro.training.published import published

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:.6rem 0}td,th{border:1px solid #ccc;padding:.25rem .6rem;text-align:left}
th{background:#f3f3f3}.stamp{background:#b00020;color:#fff;padding:.6rem 1rem;font-weight:bold}
.note{background:#fff6d6;padding:.5rem 1rem}img{max-width:100%}td.n{text-align:right;font-variant-numeric:tabular-nums}
"""
_METRICS = ("acc", "uf1", "uar")


@dataclass(frozen=True, slots=True)
class FigureOnPage:
    """A picture and what it shows."""

    title: str
    png: bytes


def page(result: dict[str, Any], figures: Sequence[FigureOnPage]) -> str:
    """HTML of a run.

    Args:
        result: as in ``result.json``.
        figures: in the order of the page.
    """
    title = f"{result['protocol']}, {result['mode']}"
    stamp = f'<p class="stamp">{escape(result["stamp"])}</p>' if result["stamp"] else ""
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title><style>{_STYLE}</style>",
        stamp,
        f"<h1>{escape(title)}</h1>",
        _about(result),
        "<h2>Result</h2>",
        _scores(result),
        stamp,
        "<h2>Beside published figures</h2>",
        _comparison(result),
    ]
    if result["parts"]:
        parts += ["<h2>Parts of the composite</h2>", _parts(result)]
    for figure in figures:
        data = base64.b64encode(figure.png).decode()
        caption = escape(figure.title)
        parts.append(f'<h2>{caption}</h2>{stamp}<img alt="{caption}" src="data:image/png;base64,{data}">')
    parts += ["<h2>By person</h2>", _people(result), stamp, "</html>"]
    return "\n".join(part for part in parts if part) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{f'<tr>{top}</tr>' if head else ''}{body}</table>"


def _about(result: dict[str, Any]) -> str:
    spec = result["spec"]
    start = result["pretraining"]
    weights = "random" if start is None else f"from {start['bundle']} ({start['network']}), trained on {start['data']}"
    chosen = "fixed in advance" if spec["select"] == "fixed" else "chosen by people inside the training set"
    if result["stamp"]:
        chosen = "chosen on the person who is tested"
    epochs = "1 epoch" if spec["epochs"] == 1 else f"{spec['epochs']} epochs"
    lines = [
        ("data", f"{DATASETS[result['dataset']].title}: {result['samples']} clips, {result['folds']} people, audit "
                 f"{result['audit_digest'][:16]}"),
        ("protocol", f"{result['protocol']}: {protocol(result['protocol']).note}"),
        ("crops", f"{result['faces']}, preprocessing {result['preprocess_digest'][:16]}"),
        ("learned from", _learned_from(result)),
        ("network", _network(spec)),
        ("training", f"{epochs}, {chosen}; batch {spec['batch']}, AdamW {spec['learning_rate']:g}, "
                     f"weight decay {spec['weight_decay']:g}, {spec['precision']}, {spec.get('step', 'eager')} steps; "
                     f"seeds {result['seeds']}"),
        ("key frames", _key_frames(spec, result.get("key_frame_range", 0.0))),
        ("initial weights", weights),
    ]  # fmt: skip
    notes = []
    if result["failed_folds"]:
        notes.append(f"{len(result['failed_folds'])} folds failed; the figures leave their clips out")
    if result["audit"] and not result["audit"]["matches"]:
        notes += ["this copy of the data differs from the published counts", *result["audit"]["explanation"]]
    listed = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return _table((), lines) + (f'<ul class="note">{listed}</ul>' if notes else "")


def _key_frames(spec: dict[str, Any], reach: float) -> str:
    if not reach:
        return "as annotated: the crops of this run have no neighbours"
    return f"{spec['key_frames']} in training, within {reach:g} of the way from onset to apex; as annotated in the test"


def _network(spec: dict[str, Any]) -> str:
    fusion = [] if spec["model"] == FDP_NAME else [f"fusion {spec['fusion']}"]
    return ", ".join([spec["model"], spec["size"], *fusion, *spec["options"]])


def _learned_from(result: dict[str, Any]) -> str:
    other = result.get("trained_on")
    if other is None:
        return "everybody but the person who is tested"
    return f"{other['dataset']}, {other['protocol']}, audit {other['audit_digest'][:16]}"


def _scores(result: dict[str, Any]) -> str:
    shuffled = result["controls"]["shuffled"]
    majority = result["controls"]["majority"]
    rows = [("this run", *(_summary(result[name]) for name in _METRICS))]
    if shuffled:
        rows.append(("shuffled training labels", *(_summary(shuffled[name]) for name in _METRICS)))
    rows.append(("majority", *(_percent(majority[name]) for name in _METRICS)))
    text = (
        "Pooled over all folds, as MEGC 2019 defines them; mean ± standard deviation over seeds, and the 95 % interval "
        "of a bootstrap that draws people."
    )
    return _table(("", "ACC %", "UF1 %", "UAR %"), rows) + f"<p>{text}</p>"


def _summary(values: dict[str, Any]) -> str:
    if values["mean"] is None:
        return "–"
    spread = "" if values["sd"] is None else f" ± {100 * values['sd']:.2f}"
    interval = "" if values["ci95"] is None else f" [{100 * values['ci95'][0]:.1f}, {100 * values['ci95'][1]:.1f}]"
    return f"{_percent(values['mean'])}{spread}{interval}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}"


def _comparison(result: dict[str, Any]) -> str:
    own = "test-selected" if result["stamp"] else "honest"
    rows = [("this run", "", *(_percent(result[name]["mean"]) for name in _METRICS), f"{result['samples']} clips", own)]
    for line in published(result["protocol"]):
        figures = ("–" if value is None else f"{value:.2f}" for value in (line.acc, line.uf1, line.uar))
        rows.append((line.method, str(line.year), *figures, line.clips, line.selection))
    text = (
        "A test-selected figure is an upper bound: the epoch of each fold was chosen on the person it tests. Compare "
        "only lines of one kind on the same clips."
    )
    if result["dataset"] == "csv":
        text += " This run is on clips of its own, which no published figure is about."
    return _table(("method", "year", "ACC %", "UF1 %", "UAR %", "clips", "epoch chosen"), rows) + f"<p>{text}</p>"


def _parts(result: dict[str, Any]) -> str:
    rows = [
        (name, *(("–",) * 3 if found is None else tuple(_percent(found[metric]) for metric in _METRICS)))
        for name, found in result["parts"].items()
    ]
    return _table(("part", "ACC %", "UF1 %", "UAR %"), rows)


def _people(result: dict[str, Any]) -> str:
    rows = [(name, str(row["clips"]), ", ".join(map(str, row["right"]))) for name, row in result["per_subject"].items()]
    return _table(("person", "clips", "right, by seed"), rows)

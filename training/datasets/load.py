"""From a folder and a protocol to clips: annotation, exclusions, protocol, errata, folders; nothing lost silently."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tsfmicro.errors import SourceError, UsageError
from tsfmicro.labels import PROTOCOLS, ClassProtocol, protocol
from tsfmicro.training.datasets.adapter import Adapter
from tsfmicro.training.datasets.cas_me2 import CAS_ME2
from tsfmicro.training.datasets.casme2 import CASME2
from tsfmicro.training.datasets.casme3 import CASME3A, CASME3C
from tsfmicro.training.datasets.errata import apply_errata, load_errata, settle_apex
from tsfmicro.training.datasets.exclude import exclude
from tsfmicro.training.datasets.frames import Layout, choose_layout, layouts, leaf_folders
from tsfmicro.training.datasets.megc2019 import DATABASES, MEGC2019, is_megc, restrict
from tsfmicro.training.datasets.plain import PLAIN_CSV
from tsfmicro.training.datasets.rows import Annotations, Clip, Dropped, Note, Repair, Row
from tsfmicro.training.datasets.samm import SAMM, SAMM_LONG
from tsfmicro.training.datasets.smic import SMIC_HS

DATASETS: Mapping[str, Adapter] = MappingProxyType({
    adapter.id: adapter
    for adapter in (CASME2, SAMM, SAMM_LONG, CASME3A, CASME3C, CAS_ME2, SMIC_HS, MEGC2019, PLAIN_CSV)
})  # fmt: skip
"""Every data set by id."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """The clips of one protocol in one copy of a data set, and everything that was done to get them."""

    adapter: Adapter
    protocol: ClassProtocol
    root: Path
    annotations: Annotations
    clips: tuple[Clip, ...]
    dropped: tuple[Dropped, ...]
    repaired: tuple[Repair, ...]
    notes: tuple[Note, ...]
    layouts: tuple[Layout, ...]
    """Where frames are taken from, one a part; none where there are no frames."""
    excluded: str = ""
    """Name of the exclusion list; empty without one."""

    @property
    def subjects(self) -> tuple[str, ...]:
        """People, sorted: one fold each."""
        return tuple(sorted({clip.subject for clip in self.clips}))


def dataset(dataset_id: str) -> Adapter:
    """Look a data set up by its id.

    Raises:
        UsageError: naming the nearest ids and all of them.
    """
    found = DATASETS.get(dataset_id)
    if found is None:
        near = difflib.get_close_matches(dataset_id.lower(), DATASETS, n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise UsageError(f"data set {dataset_id!r} is not known; {hint}There are {', '.join(DATASETS)}")
    return found


def load(
    dataset_id: str,
    root: Path,
    protocol_id: str,
    *,
    exclude_list: Path | None = None,
    layout: str | None = None,
    kind: str = "cropped",
) -> Dataset:
    """Read a data set under a protocol.

    Args:
        dataset_id: one of ``DATASETS``.
        root: folder that holds annotation and frames, at any depth.
        protocol_id: one of ``tsfmicro.labels.PROTOCOLS``.
        exclude_list: table of clips to leave out.
        layout: name of the folders to take frames from, where there are several releases.
        kind: ``cropped`` or ``raw``, preferred where both are there.

    Raises:
        SourceError: if something cannot be read.
        UsageError: if data set, protocol, annotation or list do not fit together.
    """
    adapter, classes = dataset(dataset_id), protocol(protocol_id)
    _require_fitting(adapter, classes)
    if not root.exists():
        raise SourceError(f"{root} does not exist; --root takes the folder that the data set was unpacked into")
    annotations = adapter.read(root, classes)
    database = next((db for db, part in DATABASES.items() if part == adapter.id), None)
    if is_megc(classes) and database is not None:
        annotations = restrict(annotations, database, root, classes)
    rows, dropped = annotations.rows, list(annotations.dropped)
    if exclude_list is not None:
        rows, left_out = exclude(rows, exclude_list)
        dropped += left_out
    labelled, refused = _labelled(rows, classes)
    dropped += refused
    mended, repairs, disordered = _mended(labelled)
    dropped += disordered
    clips, used = _located(mended, annotations.rows, root, classes, layout, kind)
    kept = {clip.key for clip in clips}
    return Dataset(
        adapter=adapter,
        protocol=classes,
        root=root,
        annotations=annotations,
        clips=clips,
        dropped=tuple(dropped),
        repaired=tuple(r for r in (*annotations.repaired, *repairs) if r.key in kept),
        notes=(*(note for note in annotations.notes if note.key in kept), *_oddities(clips)),
        layouts=used,
        excluded="" if exclude_list is None else exclude_list.name,
    )


def _require_fitting(adapter: Adapter, classes: ClassProtocol) -> None:
    if classes.dataset not in adapter.protocols:
        fitting = [entry.id for entry in PROTOCOLS.values() if entry.dataset in adapter.protocols]
        raise UsageError(
            f"protocol {classes.id} is about {classes.dataset}, not {adapter.id}; for it there are {', '.join(fitting)}"
        )


def _labelled(rows: tuple[Row, ...], classes: ClassProtocol) -> tuple[list[Row], list[Dropped]]:
    kept: list[Row] = []
    dropped: list[Dropped] = []
    for row in rows:
        if classes.class_of(row.label) is None:
            dropped.append(Dropped(row.key, f"label {row.label!r} is no class of {classes.id}"))
        elif row.apex is None and classes.drops_unannotated_apex:
            dropped.append(Dropped(row.key, f"no apex annotated, which {classes.id} leaves out"))
        else:
            kept.append(row)
    return kept, dropped


def _mended(rows: list[Row]) -> tuple[list[Row], list[Repair], list[Dropped]]:
    errata = {name: load_errata(name) for name in {row.dataset for row in rows}}
    kept: list[Row] = []
    repairs: list[Repair] = []
    dropped: list[Dropped] = []
    for row in rows:
        (fixed,), done = apply_errata([row], errata[row.dataset])
        if fixed.offset < fixed.onset:
            dropped.append(Dropped(row.key, f"offset {fixed.offset} before onset {fixed.onset}"))
            continue
        fixed, settled = settle_apex(fixed)
        kept.append(fixed)
        repairs += [*done, *([settled] if settled else [])]
    return kept, repairs, dropped


def _located(
    rows: list[Row],
    every: tuple[Row, ...],
    root: Path,
    classes: ClassProtocol,
    wanted: str | None,
    kind: str,
) -> tuple[tuple[Clip, ...], tuple[Layout, ...]]:
    folder = root if root.is_dir() else root.parent
    leaves = leaf_folders(folder)
    known = frozenset((row.subject, row.clip.lower()) for row in every)
    used: dict[str, Layout] = {}
    for part in dict.fromkeys(row.dataset for row in rows):
        adapter = DATASETS[part]
        lookups = [adapter.keys(row, known) for row in rows if row.dataset == part]
        chosen = choose_layout(layouts(leaves, adapter.identify), lookups, kind, wanted)
        if chosen is not None:
            used[part] = chosen
    clips: list[Clip] = []
    for row in rows:
        folders = used[row.dataset].folders if row.dataset in used else {}
        place = next((folders[key] for key in DATASETS[row.dataset].keys(row, known) if key in folders), None)
        label, apex = classes.class_of(row.label), row.apex
        if label is not None and apex is not None:  # both settled before
            clips.append(Clip(row, label, row.onset, apex, row.offset, place))
    return tuple(clips), tuple(used.values())


def _oddities(clips: tuple[Clip, ...]) -> tuple[Note, ...]:
    return tuple(
        Note(c.key, f"apex equals onset ({c.onset}): no motion between them") for c in clips if c.apex == c.onset
    )

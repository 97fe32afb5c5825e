"""Findings to events: what is to be named is named together, whichever faces and sources it is of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from tsfmicro.realtime.analyzer import Finding, Unnamed
from tsfmicro.realtime.events import Event, MeEnd
from tsfmicro.realtime.recognise import Movement, Namer
from tsfmicro.values import Recognition


def name(findings: Sequence[Sequence[Finding]], recogniser: Namer | None) -> list[tuple[Event, ...]]:
    """The same groups in the same order, every finding an event.

    Args:
        findings: by group, say one for each source.
        recogniser: None where nothing is to be named.
    """
    unnamed = [found for group in findings for found in group if isinstance(found, Unnamed)]
    answers: list[Recognition] = []
    if recogniser is not None and unnamed:
        answers = recogniser.recognise(
            [Movement(found.crops, found.event.magnitude, found.window, _key(found)) for found in unnamed]
        )
    named = iter(answers)
    return [tuple(_event(found, named) for found in group) for group in findings]


def _key(found: Unnamed) -> tuple[str, str] | None:
    return (found.event.source, found.event.event_id) if isinstance(found.event, MeEnd) else None


def _event(found: Finding, named: Iterator[Recognition]) -> Event:
    return replace(found.event, recognition=next(named)) if isinstance(found, Unnamed) else found

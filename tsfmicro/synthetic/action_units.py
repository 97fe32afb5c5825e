"""What each FACS action unit does to a face, and which units make which emotion.

A unit is a set of anchors: face-mesh points with the direction they move in. Directions are (outward, down),
mirrored for the other side of the face, relative to the strongest anchor. The combinations follow EMFACS (Friesen
and Ekman, 1983) and, for repression and others, the coding of CASME II (Yan et al., 2014).
"""

from __future__ import annotations

from dataclasses import dataclass

_MIRROR = {
    55: 285, 107: 336, 65: 295, 66: 296, 105: 334, 52: 282, 70: 300, 63: 293, 46: 276, 53: 283,
    61: 291, 57: 287, 92: 322, 50: 280, 205: 425, 117: 346, 118: 347, 101: 330, 36: 266,
    129: 358, 98: 327, 49: 279, 37: 267, 39: 269, 40: 270, 84: 314, 181: 405, 91: 321, 146: 375,
    145: 374, 153: 380, 144: 373, 159: 386, 158: 385, 160: 387, 148: 377, 176: 400, 83: 313, 182: 406,
}  # fmt: skip
"""Mesh points left of the middle of the picture and their mirror twins."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """One point of the face and where it goes."""

    landmark: int
    right: float
    """Movement to the right of the picture, relative."""
    down: float
    """Movement down the picture, relative."""


def _unit(*groups: tuple[tuple[int, ...], float, float]) -> tuple[Anchor, ...]:
    anchors: list[Anchor] = []
    for landmarks, outward, down in groups:
        for landmark in landmarks:
            anchors.append(Anchor(landmark, -outward, down))
            if landmark in _MIRROR:
                anchors.append(Anchor(_MIRROR[landmark], outward, down))
    return tuple(anchors)


ACTION_UNITS: dict[int, tuple[Anchor, ...]] = {
    1: _unit(((55, 107, 65, 66), 0.0, -1.0)),  # inner brow raiser
    2: _unit(((70, 63, 46, 53), 0.0, -1.0), ((105, 52), 0.0, -0.7)),  # outer brow raiser
    4: _unit(((55, 107, 65), -0.5, 0.8), ((66, 105, 52), -0.25, 0.6), ((9,), 0.0, 0.5)),  # brow lowerer
    5: _unit(((159, 158, 160), 0.0, -1.0)),  # upper lid raiser
    6: _unit(((117, 118, 101, 50), 0.1, -0.9), ((145, 144), 0.0, -0.35)),  # cheek raiser
    9: _unit(((129, 98, 49), 0.0, -1.0), ((55,), -0.2, 0.5), ((6,), 0.0, -0.3)),  # nose wrinkler
    10: _unit(((37, 39, 40), 0.0, -0.9), ((92, 98), 0.1, -0.6), ((0,), 0.0, -0.7)),  # upper lip raiser
    12: _unit(((61, 57), 0.65, -0.75), ((92, 205), 0.35, -0.45), ((91, 40), 0.4, -0.4)),  # lip corner puller
    14: _unit(((61, 57), 0.9, 0.0), ((91, 40), 0.4, 0.0)),  # dimpler
    15: _unit(((61, 57, 146), 0.1, 0.95), ((91,), 0.05, 0.6)),  # lip corner depressor
    17: _unit(((199, 175, 200), 0.0, -1.0), ((83, 182, 176), 0.0, -0.7), ((17, 84), 0.0, -0.6)),  # chin raiser
    20: _unit(((61, 57, 146), 0.95, 0.25), ((91, 40), 0.5, 0.1)),  # lip stretcher
    24: _unit(((0, 37, 39), 0.0, 0.8), ((17, 84, 181), 0.0, -0.8), ((61,), -0.3, 0.0)),  # lip pressor
    26: _unit(((152, 175, 199, 148, 176), 0.0, 1.0), ((17, 84, 181, 91), 0.0, 0.9)),  # jaw drop
}
"""Anchors of every unit the generator knows, by FACS number."""


@dataclass(frozen=True, slots=True)
class Combination:
    """Action units that act together, and how strongly each."""

    units: tuple[int, ...]
    weights: tuple[float, ...]


def _together(*units: int) -> Combination:
    return Combination(units, tuple(1.0 for _ in units))


EMOTIONS: dict[str, tuple[Combination, ...]] = {
    "happiness": (_together(6, 12), _together(12), Combination((6, 12), (0.6, 1.0))),
    "disgust": (_together(4, 9, 10), _together(9, 10), _together(9), _together(10), _together(4, 9)),
    "repression": (_together(15, 17), _together(15), _together(17), Combination((15, 17), (1.0, 0.5))),
    "surprise": (_together(1, 2), _together(1, 2, 26), _together(1, 2, 5), Combination((1, 2, 26), (1.0, 1.0, 0.6))),
    "others": (_together(4), _together(14), _together(20), _together(24), _together(5)),
}
"""Combinations by emotion of the five CASME II classes; the first is the full picture, the rest are variants."""

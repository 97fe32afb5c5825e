"""How far the eyes are open."""

from __future__ import annotations

import numpy as np

from tsfmicro.values import Face

_EYELIDS = {
    "left": ((159, 145), (158, 153), (160, 144), (33, 133)),
    "right": ((386, 374), (385, 380), (387, 373), (263, 362)),
}


def eye_opening(face: Face) -> float:
    """Eye aspect ratio: mean lid distance over eye width, the more open eye of the two.

    After Soukupova and Cech (2016), on three lid pairs. About 0.3 open and below 0.15 closed; a wink is no blink,
    hence the more open eye.
    """
    points = face.landmarks_px

    def ratio(pairs: tuple[tuple[int, int], ...]) -> float:
        *lids, corners = (float(np.linalg.norm(points[a] - points[b])) for a, b in pairs)
        return float(np.mean(lids)) / max(corners, 1e-6)

    return max(ratio(_EYELIDS["left"]), ratio(_EYELIDS["right"]))

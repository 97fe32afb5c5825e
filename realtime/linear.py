"""Small systems of linear equations, on the thread that asks."""

from __future__ import annotations

import cv2
import numpy as np

from tsfmicro.values import Float64Array


def solve_positive(matrix: Float64Array, right: Float64Array) -> Float64Array:
    """Solve ``matrix @ x = right`` for x by Cholesky decomposition.

    OpenCV's, because numpy's wakes a second thread for it, however small the system, and that one then spins for
    several frames on the core which the landmarks need.

    Args:
        matrix: (N, N), symmetric and positive definite.
        right: (N, K).

    Returns:
        (N, K) x.

    Raises:
        ValueError: if the matrix is not positive definite.
    """
    solved, found = cv2.solve(np.ascontiguousarray(matrix), np.ascontiguousarray(right), flags=cv2.DECOMP_CHOLESKY)
    if not solved:
        raise ValueError(f"the {matrix.shape[0]} x {matrix.shape[1]} matrix is not positive definite")
    return np.asarray(found, dtype=np.float64)

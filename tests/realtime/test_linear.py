"""Small systems of linear equations."""

import numpy as np
import pytest

from tsfmicro.realtime.linear import solve_positive


@pytest.mark.parametrize("size", [1, 2, 28])
def test_it_solves(size: int) -> None:
    rng = np.random.default_rng(size)
    loose = rng.standard_normal((2 * size, size))
    matrix, right = loose.T @ loose + 0.1 * np.eye(size), rng.standard_normal((size, 3))
    np.testing.assert_allclose(matrix @ solve_positive(matrix, right), right, atol=1e-9)
    np.testing.assert_allclose(
        solve_positive(matrix, right[:, ::-1]), np.linalg.solve(matrix, right[:, ::-1]), rtol=1e-9
    )


def test_what_has_no_solution_is_said() -> None:
    with pytest.raises(ValueError, match="2 x 2 matrix is not positive definite"):
        solve_positive(np.array([[1.0, 2.0], [2.0, 1.0]]), np.eye(2))

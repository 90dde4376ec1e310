"""The control law against robosuite's, which inverts through LAPACK and a pseudo-inverse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("robosuite")

from dto_envs.robomimic import control_kernel  # noqa: E402


def spd(rng, n, condition):
    basis, _ = np.linalg.qr(rng.standard_normal((n, n)))
    return (basis * np.geomspace(1.0, condition, n)) @ basis.T


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 9), exponent=st.floats(0, 6))
def test_cholesky_solves(seed, n, exponent):
    rng = np.random.default_rng(seed)
    matrix, wanted = spd(rng, n, 10.0**exponent), rng.standard_normal(n)
    factor, x = matrix.copy(), matrix @ wanted
    control_kernel.cholesky(factor)
    control_kernel.solve_lower(factor, x)
    control_kernel.solve_upper(factor, x)
    assert np.abs(x - wanted).max() <= 1e-13 * 10.0**exponent * max(1, np.abs(wanted).max()) * n


def test_a_singular_direction_is_left_out_as_by_a_pseudo_inverse():
    matrix = np.diag([4.0, 0.0, 9.0])
    vector = np.array([8.0, 5.0, 27.0])
    expected = np.linalg.pinv(matrix) @ vector
    control_kernel.cholesky(matrix)
    control_kernel.solve_lower(matrix, vector)
    control_kernel.solve_upper(matrix, vector)
    assert np.allclose(vector, expected, atol=1e-15)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), exponent=st.floats(0, 4))
def test_torques_are_those_of_robosuite(seed, exponent):
    from robosuite.utils.control_utils import nullspace_torques, opspace_matrices

    rng = np.random.default_rng(seed)
    mass, jacobian = spd(rng, 7, 10.0**exponent), rng.standard_normal((6, 7))
    joints, velocities, posture, pull = (rng.standard_normal(k) for k in (7, 7, 7, 6))
    _, by_position, by_rotation, null = opspace_matrices(mass, jacobian, jacobian[:3].copy(), jacobian[3:].copy())
    wrench = np.concatenate([by_position @ pull[:3], by_rotation @ pull[3:]])
    expected = jacobian.T @ wrench + nullspace_torques(mass, null, posture, joints, velocities)
    torques = np.empty(7)
    control_kernel.operational_space_torques(mass.copy(), jacobian, joints, velocities, posture, pull.copy(), torques)
    metric = jacobian @ np.linalg.solve(mass, jacobian.T)
    tolerance = 1e-14 * np.linalg.cond(metric) * 10.0**exponent
    assert np.abs(torques - expected).max() <= max(tolerance, 1e-12) * np.abs(expected).max()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_spring_is_that_of_robosuite(seed):
    from robosuite.utils.control_utils import orientation_error

    rng = np.random.default_rng(seed)
    current, goal = (np.linalg.qr(rng.standard_normal((3, 3)))[0] for _ in range(2))
    position, goal_position = rng.standard_normal((2, 3))
    jacobian, velocities = rng.standard_normal((6, 7)), rng.standard_normal(7)
    damping = 2 * np.sqrt(150.0)
    expected = 150.0 * np.concatenate([goal_position - position, orientation_error(goal, current)])
    expected -= damping * (jacobian @ velocities)
    pull = np.empty(6)
    control_kernel.spring(position, current, goal_position, goal, jacobian, velocities, pull)
    assert np.allclose(pull, expected, rtol=0, atol=1e-11)


def test_goal_moves_and_turns_in_the_base_frame():
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    tilt = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    goal_position, goal_rotation = np.empty(3), np.empty((3, 3))
    control_kernel.set_goal(
        np.array([1.0, 2, 3]),
        np.eye(3),
        np.array([0.05, 0, 0]),
        tilt,
        quarter,
        goal_position,
        goal_rotation,
    )
    assert np.allclose(goal_position, [1.0, 2.05, 3.0])
    assert np.allclose(goal_rotation, quarter @ tilt @ quarter.T)

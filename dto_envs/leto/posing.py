"""Joint angles for a wanted tool pose, by plain loops whose rounding does not depend on the machine."""

from __future__ import annotations

import mujoco
import numba
import numpy as np

from dto_envs.robomimic.control import ArmIndices
from dto_envs.robomimic.control_kernel import cholesky, solve_lower, solve_upper

ITERATIONS = 40
DAMPING = 1e-4
LARGEST_STEP = 0.3  # rad
EXACT = 1e-7  # m and rad


def solve_pose(
    model: mujoco.MjModel, data: mujoco.MjData, arm: ArmIndices, position: np.ndarray, rotation: np.ndarray
) -> None:
    """Move the arm's joints in ``data`` to where its tool has a pose (damped least squares).

    Args:
        model: compiled model.
        data: its state, with joints near a solution.
        arm: where the arm is.
        position: (3,) wanted position of the grip site in the world, m.
        rotation: (4,) wanted orientation of the hand, quaternion wxyz.

    Raises:
        ValueError: the pose is out of reach.
    """
    site, hand = model.site(arm.grip_site).id, model.body(arm.hand_body).id
    joints, dofs = list(arm.positions), list(arm.dofs)
    low, high = model.jnt_range[model.dof_jntid[dofs]].T
    jacobian = np.empty((6, model.nv))
    error = np.empty(6)
    for _ in range(ITERATIONS):
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_jacSite(model, data, jacobian[:3], jacobian[3:], site)
        error[:3] = position - data.site_xpos[site]
        error[3:] = turn_between(data.xquat[hand], rotation)
        if np.abs(error).max() < EXACT:
            return
        step = least_squares_step(np.ascontiguousarray(jacobian[:, dofs]), error)
        data.qpos[joints] = np.clip(data.qpos[joints] + step * min(1.0, LARGEST_STEP / np.abs(step).max()), low, high)
    raise ValueError(f"the arm does not reach the pose {position} {rotation}: {np.abs(error).max():.3g} m or rad left")


def turn_between(present: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The rotation vector (3,) in the world that turns one orientation (4,) wxyz into another."""
    inverse, difference, vector = np.empty(4), np.empty(4), np.empty(3)
    mujoco.mju_negQuat(inverse, present)
    mujoco.mju_mulQuat(difference, wanted, inverse)
    mujoco.mju_quat2Vel(vector, difference, 1.0)
    return vector


@numba.njit(cache=True, error_model="numpy")
def least_squares_step(jacobian: np.ndarray, error: np.ndarray) -> np.ndarray:
    """``J' (J J' + damping I)^-1 error`` for a Jacobian (6, n): the joints' step (n,) towards the pose."""
    rows, n = jacobian.shape
    metric = np.zeros((rows, rows))
    for i in range(rows):
        for j in range(i + 1):
            for k in range(n):
                metric[i, j] += jacobian[i, k] * jacobian[j, k]
        metric[i, i] += DAMPING
    cholesky(metric)
    weights = error.copy()
    solve_lower(metric, weights)
    solve_upper(metric, weights)
    step = np.zeros(n)
    for k in range(n):
        for i in range(rows):
            step[k] += jacobian[i, k] * weights[i]
    return step

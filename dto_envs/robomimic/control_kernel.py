"""The compiled part of operational-space control: an action of all arms, its physics steps included.

The control law is Khatib's (1987) as robosuite's OSC_POSE controller has it: a critically damped spring of stiffness
150 pulls the grip site to the goal pose, position and orientation decoupled, and the null space holds a posture. Here a
whole action, 25 physics steps of it, is one call into compiled code that calls MuJoCo's C functions itself. All linear
algebra is plain loops over Cholesky factors: no BLAS, whose rounding depends on the machine.
"""

from __future__ import annotations

import ctypes
import functools
import glob
import math
import os

import llvmlite.binding
import mujoco
import numba
import numpy as np
from numba.core import types

STIFFNESS = 150.0
DAMPING = 2.0 * math.sqrt(STIFFNESS)
POSTURE_STIFFNESS = 10.0
POSTURE_DAMPING = 2.0 * math.sqrt(POSTURE_STIFFNESS)


@functools.cache
def mujoco_library() -> ctypes.CDLL:
    """MuJoCo's C library, which ``import mujoco`` has loaded; its symbols become visible to compiled code as well."""
    folder = os.path.dirname(mujoco.__file__)
    for pattern in ("libmujoco.so*", "libmujoco*.dylib", "mujoco.dll"):
        for path in glob.glob(os.path.join(folder, pattern)):
            llvmlite.binding.load_library_permanently(path)
            return ctypes.CDLL(path)
    raise ImportError(f"no MuJoCo library in {folder}; reinstall mujoco, or use fast=False")


mujoco_library()
_step_first_half = types.ExternalFunction("mj_step1", types.void(types.intp, types.intp))
_step_second_half = types.ExternalFunction("mj_step2", types.void(types.intp, types.intp))
_site_jacobian = types.ExternalFunction(
    "mj_jacSite", types.void(types.intp, types.intp, types.intp, types.intp, types.int32)
)


@numba.njit(cache=True, error_model="numpy")
def cholesky(matrix: np.ndarray) -> None:
    """Replace the lower triangle of a symmetric positive definite matrix by its Cholesky factor.

    A direction in which the matrix is singular to working precision gets an infinite pivot, so that solving with the
    factor leaves it out, as a pseudo-inverse would.
    """
    n = matrix.shape[0]
    smallest = 0.0
    for i in range(n):
        smallest = max(smallest, matrix[i, i])
    smallest *= 1e-15
    for j in range(n):
        pivot = matrix[j, j]
        for k in range(j):
            pivot -= matrix[j, k] * matrix[j, k]
        root = math.sqrt(pivot) if pivot > smallest else np.inf
        matrix[j, j] = root
        for i in range(j + 1, n):
            value = matrix[i, j]
            for k in range(j):
                value -= matrix[i, k] * matrix[j, k]
            matrix[i, j] = value / root


@numba.njit(cache=True, error_model="numpy")
def solve_lower(factor: np.ndarray, vector: np.ndarray) -> None:
    """Solve ``factor @ x = vector`` in place, ``factor`` lower triangular."""
    for i in range(vector.shape[0]):
        value = vector[i]
        for k in range(i):
            value -= factor[i, k] * vector[k]
        vector[i] = value / factor[i, i]


@numba.njit(cache=True, error_model="numpy")
def solve_upper(factor: np.ndarray, vector: np.ndarray) -> None:
    """Solve ``factor.T @ x = vector`` in place, ``factor`` lower triangular."""
    n = vector.shape[0]
    for i in range(n - 1, -1, -1):
        value = vector[i]
        for k in range(i + 1, n):
            value -= factor[k, i] * vector[k]
        vector[i] = value / factor[i, i]


@numba.njit(cache=True, error_model="numpy")
def solve_operational(metric: np.ndarray, start: int, stop: int, factor: np.ndarray, vector: np.ndarray) -> None:
    """Solve with the diagonal block ``metric[start:stop, start:stop]`` in place; ``factor`` is overwritten."""
    block = factor[: stop - start, : stop - start]
    for i in range(stop - start):
        for j in range(i + 1):
            block[i, j] = metric[start + i, start + j]
    cholesky(block)
    solve_lower(block, vector)
    solve_upper(block, vector)


@numba.njit(cache=True, error_model="numpy")
def operational_space_torques(
    mass: np.ndarray,
    jacobian: np.ndarray,
    joints: np.ndarray,
    velocities: np.ndarray,
    posture: np.ndarray,
    pull: np.ndarray,
    torques: np.ndarray,
) -> None:
    """Torques that accelerate the site as ``pull`` asks and hold ``posture`` in the null space.

    With L = (J M^-1 J')^-1, its position and orientation blocks inverted apart, and the posture's acceleration
    a = kp (q0 - q) - kd q', the torques are J' L pull + (I - J' L J M^-1) M a = J' L pull + M a - J' L J a.

    Args:
        mass: (n, n) joint-space mass matrix; its lower triangle is overwritten by its Cholesky factor.
        jacobian: (6, n) site Jacobian, three rows of position and three of orientation.
        joints: (n,) joint angles, rad.
        velocities: (n,) joint velocities, rad/s.
        posture: (n,) joint angles to hold, rad.
        pull: (6,) wanted linear and angular acceleration of the site; overwritten.
        torques: (n,) result, N m, without gravity compensation.
    """
    n = joints.shape[0]
    posture_acceleration = np.empty(n)
    for i in range(n):
        posture_acceleration[i] = POSTURE_STIFFNESS * (posture[i] - joints[i]) - POSTURE_DAMPING * velocities[i]
    site_acceleration = np.zeros(6)
    for i in range(n):
        value = 0.0
        for j in range(n):
            value += mass[i, j] * posture_acceleration[j]
        torques[i] = value
        for r in range(6):
            site_acceleration[r] += jacobian[r, i] * posture_acceleration[i]
    cholesky(mass)
    half = np.empty((6, n))
    for r in range(6):
        half[r] = jacobian[r]
        solve_lower(mass, half[r])
    metric = np.empty((6, 6))
    for r in range(6):
        for s in range(r + 1):
            value = 0.0
            for i in range(n):
                value += half[r, i] * half[s, i]
            metric[r, s] = value
    factor = np.empty((6, 6))
    solve_operational(metric, 0, 3, factor, pull[:3])
    solve_operational(metric, 3, 6, factor, pull[3:])
    solve_operational(metric, 0, 6, factor, site_acceleration)
    for i in range(n):
        for r in range(6):
            torques[i] += jacobian[r, i] * (pull[r] - site_acceleration[r])


@numba.njit(cache=True, error_model="numpy")
def spring(
    position: np.ndarray,
    rotation: np.ndarray,
    goal_position: np.ndarray,
    goal_rotation: np.ndarray,
    jacobian: np.ndarray,
    velocities: np.ndarray,
    pull: np.ndarray,
) -> None:
    """Write the acceleration (6,) with which a critically damped spring pulls the site to its goal pose to ``pull``."""
    for r in range(3):
        pull[r] = STIFFNESS * (goal_position[r] - position[r])
        a, b = (r + 1) % 3, (r + 2) % 3
        error = 0.0
        for k in range(3):
            error += rotation[a, k] * goal_rotation[b, k] - rotation[b, k] * goal_rotation[a, k]
        pull[3 + r] = STIFFNESS * 0.5 * error
    for r in range(6):
        velocity = 0.0
        for i in range(velocities.shape[0]):
            velocity += jacobian[r, i] * velocities[i]
        pull[r] -= DAMPING * velocity


@numba.njit(cache=True, error_model="numpy")
def arm_mass_matrix(
    sparse: np.ndarray,
    row_start: np.ndarray,
    parent: np.ndarray,
    dofs: np.ndarray,
    column: np.ndarray,
    mass: np.ndarray,
) -> None:
    """Gather the rows and columns ``dofs`` of MuJoCo's sparse mass matrix into ``mass`` (n, n)."""
    mass[:] = 0.0
    for i in range(dofs.shape[0]):
        address = row_start[dofs[i]]
        dof = dofs[i]
        while dof >= 0:
            j = column[dof]
            if j >= 0:
                mass[i, j] = sparse[address]
                mass[j, i] = sparse[address]
            address += 1
            dof = parent[dof]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def execute(
    model_address,
    data_address,
    steps,
    arms,
    tree,
    state,
    ctrl,
    ctrl_range,
    watched,
    deltas,
    turns,
    bases,
    postures,
    fingers,
):
    """Execute one action: ``steps`` physics steps under control, each of ``A`` arms of ``n`` joints towards one goal.

    All torques of a physics step are computed between its two halves, so the order of the arms does not matter.

    Args:
        model_address: address of the mjModel.
        data_address: address of the mjData.
        steps: number of physics steps.
        arms: index arrays with a row per arm: (joint positions (A, n), degrees of freedom (A, n), actuators of the arms
            (A, n), actuators of the fingers (A, f), grip sites (A,), index within its arm of each of the model's
            degrees of freedom or -1 (A, nv)).
        tree: (dof_Madr, dof_parentid).
        state: (qpos, qvel, qM, qfrc_bias, site_xpos, site_xmat), views of MuJoCo's data.
        ctrl: view of MuJoCo's controls.
        ctrl_range: (nu, 2) lowest and highest controls.
        watched: (MuJoCo's external wrenches on bodies (nbody, 6), number of a body or -1, its force at rest (3,)).
        deltas: (A, 3) wanted translations from the achieved positions in the base frames, m.
        turns: (A, 3, 3) wanted rotations from the achieved orientations, in the base frames.
        bases: (A, 3, 3) orientations of the base frames in the world; they do not move.
        postures: (A, n) joint angles that the null spaces hold, rad.
        fingers: (A, f) controls of the finger actuators.

    Returns:
        The largest force on the watched body in any physics step beyond that at rest, N; 0 where none is watched.
    """
    joint_address, dofs, motors, finger_motors, sites, columns = arms
    row_start, parent = tree
    qpos, qvel, sparse_mass, bias, site_positions, site_rotations = state
    count, n = dofs.shape
    translation_jacobian = np.empty((3, qvel.shape[0]))
    rotation_jacobian = np.empty((3, qvel.shape[0]))
    jacobian = np.empty((6, n))
    mass = np.empty((n, n))
    joints, velocities, torques = np.empty(n), np.empty(n), np.empty(n)
    pull = np.empty(6)
    goal_positions, goal_rotations = np.empty((count, 3)), np.empty((count, 3, 3))
    wrenches, body, at_rest = watched
    largest = 0.0
    for step in range(steps):
        _step_first_half(model_address, data_address)
        for a in range(count):
            position, rotation = site_positions[sites[a]], site_rotations[sites[a]].reshape(3, 3)
            _site_jacobian(
                model_address, data_address, translation_jacobian.ctypes.data, rotation_jacobian.ctypes.data, sites[a]
            )
            for i in range(n):
                joints[i] = qpos[joint_address[a, i]]
                velocities[i] = qvel[dofs[a, i]]
                for r in range(3):
                    jacobian[r, i] = translation_jacobian[r, dofs[a, i]]
                    jacobian[3 + r, i] = rotation_jacobian[r, dofs[a, i]]
            if step == 0:
                set_goal(position, rotation, deltas[a], turns[a], bases[a], goal_positions[a], goal_rotations[a])
            arm_mass_matrix(sparse_mass, row_start, parent, dofs[a], columns[a], mass)
            spring(position, rotation, goal_positions[a], goal_rotations[a], jacobian, velocities, pull)
            operational_space_torques(mass, jacobian, joints, velocities, postures[a], pull, torques)
            for i in range(n):
                motor = motors[a, i]
                low, high = ctrl_range[motor, 0], ctrl_range[motor, 1]
                ctrl[motor] = min(max(torques[i] + bias[dofs[a, i]], low), high)
            for i in range(finger_motors.shape[1]):
                ctrl[finger_motors[a, i]] = fingers[a, i]
        _step_second_half(model_address, data_address)
        if body >= 0:
            square = 0.0
            for r in range(3):
                square += (wrenches[body, 3 + r] - at_rest[r]) ** 2
            largest = max(largest, math.sqrt(square))
    return largest


@numba.njit(cache=True, error_model="numpy")
def set_goal(position, rotation, delta, turn, base_rotation, goal_position, goal_rotation):
    """Write the goal pose in the world: the achieved one, moved by ``delta`` and turned by ``turn`` in the base."""
    for r in range(3):
        goal_position[r] = position[r]
        for k in range(3):
            goal_position[r] += base_rotation[r, k] * delta[k]
    world_turn = np.zeros((3, 3))
    for r in range(3):
        for c in range(3):
            for j in range(3):
                for k in range(3):
                    world_turn[r, c] += base_rotation[r, j] * turn[j, k] * base_rotation[c, k]
    for r in range(3):
        for c in range(3):
            goal_rotation[r, c] = 0.0
            for k in range(3):
                goal_rotation[r, c] += world_turn[r, k] * rotation[k, c]

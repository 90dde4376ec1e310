"""The arm in MuJoCo and in Pinocchio is the same arm, and what its numbers say can be seen in them."""

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dto_envs.iiwa import constants
from dto_envs.iiwa.model import (
    InfeasibleStartError,
    check_start,
    check_torque_limits,
    goal_torque,
    holding_torque,
    mujoco_model,
    pinocchio_model,
    rotation,
    sample_start,
)


def vectors(size: float):
    return hnp.arrays(np.float64, 7, elements=st.floats(-size, size, allow_subnormal=False))


@pytest.fixture(scope="module")
def pinocchio():
    return pytest.importorskip("pinocchio")


@given(angles=vectors(3.0), speeds=vectors(5.0), effort=vectors(1.0))
@settings(max_examples=200, deadline=None)
def test_mujoco_and_pinocchio_agree(pinocchio, angles, speeds, effort):
    torques = effort * constants.TORQUE_LIMITS
    model = mujoco_model()
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:], data.ctrl[:] = angles, speeds, torques
    mujoco.mj_forward(model, data)
    mass = np.empty((7, 7))
    mujoco.mj_fullM(model, mass, data.qM)
    other = pinocchio_model()
    scratch = other.createData()
    expected = pinocchio.crba(other, scratch, angles)
    expected = np.triu(expected) + np.triu(expected, 1).T
    assert np.linalg.norm(mass - expected) <= 1e-12 * np.linalg.norm(expected)
    bias = pinocchio.nonLinearEffects(other, scratch, angles, speeds)
    assert np.linalg.norm(data.qfrc_bias - bias) <= 1e-12 * (1 + np.linalg.norm(bias))
    acceleration = pinocchio.aba(other, scratch, angles, speeds, torques)
    assert np.linalg.norm(data.qacc - acceleration) <= 1e-8 * np.linalg.norm(acceleration)


@given(angles=vectors(2.0), torques=vectors(1.0))
@settings(max_examples=20, deadline=None)
def test_a_substep_is_rk4_under_a_held_torque(pinocchio, angles, torques):
    """One MuJoCo step is the textbook's RK4 step on Pinocchio's accelerations."""
    torques = torques + holding_torque(angles)
    model, other = mujoco_model(), pinocchio_model()
    scratch, data = other.createData(), mujoco.MjData(model)
    h = model.opt.timestep
    assert h == pytest.approx(constants.CONTROL_PERIOD / constants.SUBSTEPS)

    def slope(x):
        return np.concatenate([x[7:], pinocchio.aba(other, scratch, x[:7], x[7:], torques)])

    x = np.concatenate([angles, np.linspace(-1, 1, 7)])
    data.qpos[:], data.qvel[:], data.ctrl[:] = x[:7], x[7:], torques
    mujoco.mj_step(model, data)
    k1 = slope(x)
    k2 = slope(x + h / 2 * k1)
    k3 = slope(x + h / 2 * k2)
    k4 = slope(x + h * k3)
    expected = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    np.testing.assert_allclose(np.concatenate([data.qpos, data.qvel]), expected, rtol=1e-9, atol=1e-9)


def test_the_stretched_arm_is_as_tall_as_kukas_drawing():
    model = mujoco_model()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    heights = data.xpos[1:, 2]
    np.testing.assert_allclose(heights, [0.1575, 0.36, 0.5645, 0.78, 0.9645, 1.18, 1.261], atol=1e-12)
    np.testing.assert_allclose(data.xpos[1:, :2], 0, atol=1e-12)
    # Joints 1, 3, 5 and 7 turn about the vertical; 2 and 6 bend one way and 4 the other.
    np.testing.assert_allclose(data.xaxis[[0, 2, 4, 6]], [[0, 0, 1]] * 4, atol=1e-12)
    np.testing.assert_allclose(data.xaxis[[1, 3, 5]], [[0, 1, 0], [0, -1, 0], [0, 1, 0]], atol=1e-12)


def test_nothing_dissipates_energy():
    """A free fall keeps its energy to the accuracy of RK4."""
    model = mujoco_model()
    data = mujoco.MjData(model)
    data.qpos[:] = np.array(constants.GOAL) + 0.3
    model_flags = model.opt.enableflags
    model.opt.enableflags |= mujoco.mjtEnableBit.mjENBL_ENERGY
    try:
        mujoco.mj_forward(model, data)
        before = data.energy.sum()
        for _ in range(100):
            mujoco.mj_step(model, data)
        mujoco.mj_forward(model, data)
        kinetic = data.energy[1]
        assert kinetic > 5.0
        assert data.energy.sum() == pytest.approx(before, abs=1e-4 * kinetic)
    finally:
        model.opt.enableflags = model_flags


def test_holding_torques_hold():
    model = mujoco_model()
    rng = np.random.default_rng(0)
    for angles in [np.array(constants.GOAL), *(sample_start(rng, 2.0) for _ in range(5))]:
        data = mujoco.MjData(model)
        data.qpos[:], data.ctrl[:] = angles, holding_torque(angles)
        mujoco.mj_forward(model, data)
        np.testing.assert_allclose(data.qacc, 0, atol=1e-9)
    np.testing.assert_array_equal(goal_torque(), holding_torque(np.array(constants.GOAL)))


def test_frames_are_right_handed_quarter_turns():
    for link in constants.LINKS:
        axes = rotation(link)
        assert set(np.unique(axes)) <= {-1.0, 0.0, 1.0}
        np.testing.assert_array_equal(axes.T @ axes, np.eye(3))
        assert np.linalg.det(axes) == pytest.approx(1)


@pytest.mark.parametrize("side", constants.SIDES)
def test_starts_fill_their_cube_inside_the_joint_limits(side):
    rng = np.random.default_rng(1)
    starts = np.array([sample_start(rng, side) for _ in range(4000)])
    center = np.add(constants.GOAL, constants.START_OFFSET)
    assert np.abs(starts - center).max() <= side / 2
    np.testing.assert_allclose(starts.mean(axis=0), center, atol=0.05 * side)
    np.testing.assert_allclose(starts.std(axis=0), side / np.sqrt(12), rtol=0.05)
    for corner in (center - side / 2, center + side / 2):
        check_start(corner)


def test_starts_outside_the_joint_limits_are_named():
    angles = np.zeros(7)
    angles[3] = 2.2
    with pytest.raises(InfeasibleStartError, match=r"joint 4 at 2\.200 rad .*2\.094"):
        check_start(angles)


def test_torque_limits_that_cannot_hold_the_goal_are_named():
    check_torque_limits(np.array(constants.TORQUE_LIMITS))
    limits = np.array(constants.TORQUE_LIMITS)
    limits[1] = 1.0
    with pytest.raises(InfeasibleStartError, match="joint 2 needs"):
        check_torque_limits(limits)


def test_pinocchio_knows_the_limits(pinocchio):
    model = pinocchio_model()
    np.testing.assert_array_equal(model.effortLimit, constants.TORQUE_LIMITS)
    np.testing.assert_array_equal(model.upperPositionLimit, constants.JOINT_UPPER)
    np.testing.assert_array_equal(model.lowerPositionLimit, constants.JOINT_LOWER)

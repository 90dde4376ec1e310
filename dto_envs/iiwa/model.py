"""The arm as MuJoCo and as Pinocchio see it, both made from the numbers in :mod:`dto_envs.iiwa.constants`."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from dto_envs.iiwa import constants
from dto_envs.iiwa.constants import CONTROL_PERIOD, GOAL, GRAVITY, JOINTS, LINKS, SUBSTEPS, Link

if TYPE_CHECKING:
    import mujoco


class InfeasibleStartError(ValueError):
    """A start that the arm cannot take or a goal that it cannot hold; the message names the joints."""


@functools.cache
def goal_state() -> np.ndarray:
    """The goal (q, v): (14,) float64, rad and rad/s, at rest; read-only."""
    return _frozen(np.concatenate([GOAL, np.zeros(JOINTS)]))


def sample_start(rng: np.random.Generator, side: float = constants.DEFAULT_SIDE) -> np.ndarray:
    """Draw joint angles (7,) rad uniformly from the cube of starts; an episode begins with them at rest.

    Args:
        rng: source of the seven uniform numbers.
        side: edge of the cube, rad.
    """
    center = np.add(GOAL, constants.START_OFFSET)
    return center + side * rng.uniform(-0.5, 0.5, JOINTS)


def check_start(angles: np.ndarray) -> None:
    """Raise :class:`InfeasibleStartError` unless the joint angles (7,) rad are inside the joint limits."""
    lower, upper = constants.JOINT_LOWER, constants.JOINT_UPPER
    outside = (angles < lower) | (angles > upper)
    if outside.any():
        named = ", ".join(
            f"joint {i + 1} at {angles[i]:.3f} rad (limits {lower[i]:.3f} and {upper[i]:.3f})"
            for i in np.flatnonzero(outside)
        )
        raise InfeasibleStartError(f"the start is outside the joint limits: {named}; choose angles inside")


def check_torque_limits(limits: np.ndarray) -> None:
    """Raise :class:`InfeasibleStartError` unless torques within ``limits`` (7,) Nm can hold the arm at the goal."""
    needed = np.abs(goal_torque())
    weak = needed > limits
    if weak.any():
        named = ", ".join(f"joint {i + 1} needs {needed[i]:.2f} Nm of {limits[i]:.2f}" for i in np.flatnonzero(weak))
        raise InfeasibleStartError(f"these torque limits cannot hold the arm at the goal: {named}; allow more torque")


@functools.cache
def mujoco_model() -> mujoco.MjModel:
    """The arm in MuJoCo, shared by this process; torques are its seven controls, and nothing clips them."""
    import mujoco

    return mujoco.MjModel.from_xml_string(mjcf())


@functools.cache
def goal_torque() -> np.ndarray:
    """The torque u1 (7,) Nm that holds the arm at the goal; read-only, computed once."""
    return _frozen(holding_torque(np.array(GOAL)))


def holding_torque(angles: np.ndarray) -> np.ndarray:
    """The torque (7,) Nm that holds the arm at rest against gravity at joint angles (7,) rad, by MuJoCo."""
    import mujoco

    model = mujoco_model()
    data = mujoco.MjData(model)
    data.qpos[:] = angles
    mujoco.mj_fwdPosition(model, data)
    mujoco.mj_fwdVelocity(model, data)
    return data.qfrc_bias.copy()


def mass_matrix(angles: np.ndarray) -> np.ndarray:
    """The joint-space inertia (7, 7) kg m^2 at joint angles (7,) rad, by MuJoCo."""
    import mujoco

    model = mujoco_model()
    data = mujoco.MjData(model)
    data.qpos[:] = angles
    mujoco.mj_fwdPosition(model, data)
    result = np.empty((JOINTS, JOINTS))
    mujoco.mj_fullM(model, result, data.qM)
    return result


def mjcf() -> str:
    """The arm as MJCF text: seven hinges with inertias and motors, nothing to see or touch; RK4 in substeps.

    Numbers are written in full precision, so that MuJoCo computes with those of the constants.
    """
    bodies = ""
    for index, link in reversed(list(enumerate(LINKS, start=1))):
        inner = (
            f'<inertial pos="{_text(link.center)}" mass="{link.mass!r}" diaginertia="{_text(link.inertia)}"/>'
            f'<joint name="joint{index}" type="hinge" axis="0 0 1" limited="false"/>'
        )
        turns = tuple(math.pi / 2 * count for count in link.quarter_turns)
        place = f'pos="{_text(link.offset)}" euler="{_text(turns)}"'
        bodies = f'<body name="link{index}" {place}>{inner}{bodies}</body>'
    motors = "".join(f'<motor joint="joint{index}" ctrllimited="false"/>' for index in range(1, JOINTS + 1))
    return (
        '<mujoco model="iiwa14"><compiler angle="radian" eulerseq="XYZ" inertiafromgeom="false"/>'
        f'<option timestep="{CONTROL_PERIOD / SUBSTEPS!r}" integrator="RK4" gravity="0 0 {-GRAVITY!r}">'
        '<flag constraint="disable" contact="disable" autoreset="disable"/></option>'
        f"<worldbody>{bodies}</worldbody><actuator>{motors}</actuator></mujoco>"
    )


def pinocchio_model() -> Any:
    """The arm as a new ``pinocchio.Model`` with seven revolute joints, limits included.

    Raises:
        dto_envs.registry.MissingExtraError: Pinocchio is not installed.
    """
    from dto_envs.registry import require

    require("iiwa", "pinocchio")
    import pinocchio

    model = pinocchio.Model()
    model.name = "iiwa14"
    model.gravity.linear = np.array([0.0, 0.0, -GRAVITY])
    joint = 0
    for index, link in enumerate(LINKS, start=1):
        joint = model.addJoint(
            joint,
            pinocchio.JointModelRZ(),
            pinocchio.SE3(rotation(link), np.array(link.offset)),
            f"joint{index}",
            np.array([link.torque_limit]),
            np.array([link.speed_limit]),
            np.array([-link.angle_limit]),
            np.array([link.angle_limit]),
        )
        inertia = pinocchio.Inertia(link.mass, np.array(link.center), np.diag(link.inertia))
        model.appendBodyToJoint(joint, inertia, pinocchio.SE3.Identity())
    return model


def rotation(link: Link) -> np.ndarray:
    """Axes of the link's frame at joint angle zero, as columns in its parent's frame: (3, 3), entries -1, 0 and 1."""
    result = np.eye(3)
    for axis, turns in enumerate(link.quarter_turns):
        cos, sin = ((1, 0), (0, 1), (-1, 0), (0, -1))[turns % 4]
        turn = np.eye(3)
        one, two = (axis + 1) % 3, (axis + 2) % 3
        turn[[one, two], [one, two]] = cos
        turn[two, one], turn[one, two] = sin, -sin
        result = turn @ result
    return result


def _frozen(values: np.ndarray) -> np.ndarray:
    values.flags.writeable = False
    return values


def _text(values: tuple[float, ...]) -> str:
    return " ".join(repr(float(value)) for value in values)

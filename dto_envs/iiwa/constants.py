"""Every constant of the reaching problem: the arm's numbers, the task's, and why each of ours is what it is.

"Paper" is Learning Free Terminal Time Optimal Closed-loop Control of Manipulators (Hu, Zhao, E, Han, Long, 2023), whose
available text has lost its formulas and with them most numbers: those marked "ours" replace them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

JOINTS = 7


@dataclass(frozen=True)
class Link:
    """A link with the joint that carries it; the joint turns about the z axis of the link's frame.

    Attributes:
        offset: origin of the link's frame in its parent's frame, m.
        quarter_turns: orientation of the link's frame at joint angle zero, as rotations about the parent's fixed x, y
            and z axis, in that order, each a number of quarter turns.
        mass: kg.
        center: centre of mass in the link's frame, m.
        inertia: moments of inertia about the centre of mass, along the axes of the link's frame, kg m^2.
        angle_limit: largest absolute joint angle, rad.
        speed_limit: largest absolute joint speed that KUKA gives, rad/s; reported, not enforced.
        torque_limit: largest absolute joint torque, Nm.
    """

    offset: tuple[float, float, float]
    quarter_turns: tuple[int, int, int]
    mass: float
    center: tuple[float, float, float]
    inertia: tuple[float, float, float]
    angle_limit: float
    speed_limit: float
    torque_limit: float


def _link(offset, quarter_turns, mass, center, inertia, angle_deg: float, speed_deg: float, torque: float) -> Link:
    return Link(offset, quarter_turns, mass, center, inertia, math.radians(angle_deg), math.radians(speed_deg), torque)


# KUKA LBR iiwa 14 R820. Offsets, angles, speeds and torques are KUKA's; masses, centres and inertias are those of the
# iiwa 14 description that Drake ships (the paper uses Drake for its LQR). Ours: no damping, friction or armature.
LINKS = (
    _link((0, 0, 0.1575), (0, 0, 0), 5.76, (0, -0.03, 0.12), (0.033, 0.0333, 0.0123), 170, 85, 320.0),
    _link((0, 0, 0.2025), (1, 0, 2), 6.35, (0.0003, 0.059, 0.042), (0.0305, 0.0304, 0.011), 120, 85, 320.0),
    _link((0, 0.2045, 0), (1, 0, 2), 3.5, (0, 0.03, 0.13), (0.025, 0.0238, 0.0076), 170, 100, 176.0),
    _link((0, 0, 0.2155), (1, 0, 0), 3.5, (0, 0.067, 0.034), (0.017, 0.0164, 0.006), 120, 75, 176.0),
    _link((0, 0.1845, 0), (-1, 2, 0), 3.5, (0.0001, 0.021, 0.076), (0.01, 0.0087, 0.00449), 170, 130, 110.0),
    _link((0, 0, 0.2155), (1, 0, 0), 1.8, (0, 0.0006, 0.0004), (0.0049, 0.0047, 0.0036), 120, 135, 40.0),
    _link((0, 0.081, 0), (-1, 2, 0), 1.2, (0, 0, 0.02), (0.001, 0.001, 0.001), 175, 135, 40.0),
)
FLANGE = 0.045  # m from the last link's origin along its z axis
GRAVITY = 9.81  # m/s^2, along -z of the base

JOINT_LOWER = tuple(-link.angle_limit for link in LINKS)  # rad
JOINT_UPPER = tuple(link.angle_limit for link in LINKS)
TORQUE_LIMITS = tuple(link.torque_limit for link in LINKS)  # Nm

# Ours: a bent elbow in the plane of symmetry, hand forward and down; holding it takes 57 Nm in joint 2, 17 in joint 4.
GOAL = (0.0, 0.785, 0.0, -1.571, 0.0, 0.0, 0.0)  # rad, at rest
# Ours: 1.4 rad from the goal in joint space, for optimal times near the 1.2 s that the paper guesses first, and with
# every cube of starts inside the joint limits.
START_OFFSET = (0.8, -0.4, 0.5, 0.5, -0.5, 0.5, 0.5)  # rad from the goal to the centre of the starts
# Paper: starts are uniform in a cube of joint angles about the centre; the sides of ours make three difficulties.
SIDES = (0.4, 1.0, 2.0)  # rad
DEFAULT_SIDE = 1.0

# Running cost r1 + r2 |u - u1|^2 + r3 |a|^2 per second, u in Nm, a in rad/s^2. Ours: without r3 the light wrist runs
# away in the open-loop problem, and with less of it or more of r2 (0.005, 0.005) the problem is harder to solve.
TIME_WEIGHT = 1.0
TORQUE_WEIGHT = 0.002
ACCELERATION_WEIGHT = 0.01
# Ours: weight of the squared distance to the goal at the end of an open-loop problem; leaves a median of 4e-4.
TERMINAL_WEIGHT = 1e3

CONTROL_PERIOD = 0.01  # s between two torques; ours, the rate of the paper's replayed trajectories is lost
# Ours: RK4 on a quarter of the control step errs by 2e-10 at the 3 rad/s of optimal motions. Euler at 5 to 10 ms is off
# by more than 1 in the state after 0.1 s of random torque.
SUBSTEPS = 4
# Paper, Section IV-A: success is a distance in (q, v) below a threshold whose number is lost; ours.
SUCCESS_RADIUS = 0.1
# Ours: the arm's brakes lock where a joint turns faster, forty times what KUKA allows. With all joints that fast the
# error of a control step is 0.2 % in the median; at twice the speed, where the simulation means nothing any more, 30 %.
BRAKE_SPEED = 100.0  # rad/s

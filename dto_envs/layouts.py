"""What the actions of every environment mean, how they are bounded, and where the bounds come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dto_envs.actions import ActionLayout, PenaltyParameters

# Table IX of the DiffOG paper: bound 0.1 and alpha 4 on normalised velocities; Table XI: the penalty's parameters.
# An action of 1 asks for 0.05 m or 0.5 rad in a step of 0.05 s: 1 m/s and 10 rad/s.
ROBOMIMIC_LAYOUT = ActionLayout(
    names=("vx", "vy", "vz", "wx", "wy", "wz", "gripper"),
    trajectory=(0, 1, 2, 3, 4, 5),
    low=(-1.0,) * 7,
    high=(1.0,) * 7,
    difference="acceleration",
    dt=0.05,
    bound=0.1,
    alpha=4.0,
    penalty=PenaltyParameters(step_size=0.03, tolerance=0.004, max_iterations=10_000),
    units=("m/s",) * 3 + ("rad/s",) * 3 + ("1",),
    scale=(1.0,) * 3 + (10.0,) * 3 + (1.0,),
    groups=(("linear", (0, 1, 2)), ("rotational", (3, 4, 5))),
)

# Two arms, one after the other: each a velocity of its hand in the frame of its own base, then its gripper.
TWO_ARM_LAYOUT = replace(
    ROBOMIMIC_LAYOUT,
    names=tuple(f"robot{arm}_{name}" for arm in (0, 1) for name in ROBOMIMIC_LAYOUT.names),
    trajectory=(0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12),
    low=(-1.0,) * 14,
    high=(1.0,) * 14,
    units=ROBOMIMIC_LAYOUT.units * 2,
    scale=ROBOMIMIC_LAYOUT.scale * 2,
    groups=(("linear", (0, 1, 2, 7, 8, 9)), ("rotational", (3, 4, 5, 10, 11, 12))),
)

# Tables IX and XI again. An action of 1 moves the target of the hand by 10 mm in a step of 0.0125 s, 0.8 m/s, so that a
# first difference is an acceleration; the paper calls these actions positions, and their differences velocities. Its
# "unnormalised bounds", in mm there, are 0.6 times half the range of what Meta-World's policies ask for, which goes up
# to ten times beyond the 1 that the environment clips to; here the bound is 0.6 of what can be executed.
METAWORLD_LAYOUT = ActionLayout(
    names=("vx", "vy", "vz", "gripper"),
    trajectory=(0, 1, 2),
    low=(-1.0,) * 4,
    high=(1.0,) * 4,
    difference="acceleration",
    dt=0.0125,
    bound=0.6,
    alpha=4.0,
    penalty=PenaltyParameters(step_size=0.1, tolerance=0.05, max_iterations=1000),
    units=("m/s",) * 3 + ("1",),
    scale=(0.8,) * 3 + (1.0,),
)

# LeTO, section V: limits of 0.25 on accelerations and of 1 on velocities, normalised; Table II: alpha 1.
MOVE_STACK_LAYOUT = replace(
    ROBOMIMIC_LAYOUT,
    names=("vx", "vy", "vz"),
    trajectory=(0, 1, 2),
    low=(-1.0,) * 3,
    high=(1.0,) * 3,
    bound=0.25,
    alpha=1.0,
    units=("m/s",) * 3,
    scale=(1.0,) * 3,
    groups=(("linear", (0, 1, 2)),),
)
ARRANGE_CHOPSTICKS_LAYOUT = replace(
    MOVE_STACK_LAYOUT,
    names=("vx", "vy", "vz", "yaw", "gripper"),
    trajectory=(0, 1, 2, 3),
    low=(-1.0,) * 5,
    high=(1.0,) * 5,
    units=("m/s",) * 3 + ("rad/s", "1"),
    scale=(1.0,) * 3 + (10.0, 1.0),
    groups=(("linear", (0, 1, 2)), ("rotational", (3,))),
)

# The range of the recorded human actions is 12 to 511 and 25 to 511 px, so that the bound of 0.05 is the paper's
# [12.475, 12.15] px. Table XI gives the tolerance in px: 0.1 px is 4e-4 of half that range.
PUSHT_LAYOUT = ActionLayout(
    names=("x", "y"),
    trajectory=(0, 1),
    low=(12.0, 25.0),
    high=(511.0, 511.0),
    difference="velocity",
    dt=0.1,
    bound=0.05,
    alpha=1.0,
    penalty=PenaltyParameters(step_size=0.1, tolerance=4e-4, max_iterations=1000),
    units=("px", "px"),
    scale=(249.5, 243.0),
)

# Torques, filtered as positions are: their first difference is a torque rate, which the boards call a velocity (Nm/s).
# The bound is ours, the smallest round one that leaves optimal motions as they are: in 500 from the default starts the
# quickest change in 0.01 s is 0.0107 of the limit. It is 320 Nm/s for the two strongest joints, 40 Nm/s for the wrist.
IIWA_LAYOUT = ActionLayout(
    names=tuple(f"torque{joint}" for joint in range(1, 8)),
    trajectory=(0, 1, 2, 3, 4, 5, 6),
    low=(-320.0, -320.0, -176.0, -176.0, -110.0, -40.0, -40.0),
    high=(320.0, 320.0, 176.0, 176.0, 110.0, 40.0, 40.0),
    difference="velocity",
    dt=0.01,
    bound=0.01,
    alpha=1.0,
    penalty=PenaltyParameters(step_size=0.1, tolerance=1e-4, max_iterations=1000),
    units=("Nm",) * 7,
    scale=(320.0, 320.0, 176.0, 176.0, 110.0, 40.0, 40.0),
)

# Throttle, the acceleration of the driven wheels, and steering, the angle of the front wheels, filtered as positions
# are: the boards' velocity is their rate, (m/s²)/s and rad/s. The bound is ours: 6 rad/s is what an ordinary steering
# servo turns under load (0.17 s for 60 degrees), and full throttle within 0.1 s spares a motor's gears. The manoeuvres
# were laid out on the car with this limit.
RC_CAR_LAYOUT = ActionLayout(
    names=("throttle", "steering"),
    trajectory=(0, 1),
    low=(-1.0, -1.0),
    high=(1.0, 1.0),
    difference="velocity",
    dt=0.05,
    bound=0.5,
    alpha=1.0,
    penalty=PenaltyParameters(step_size=0.1, tolerance=0.004, max_iterations=1000),
    units=("m/s²", "rad"),
    scale=(7.0, 0.6),
    groups=(("throttle", (0,)), ("steering", (1,))),
)

# Positions of two fingers in m. The bound is ours: 0.9 m/s along each axis. Of the expert's plans for the 140 frozen
# tasks 10 go beyond it, and none fails when it is clipped; targets that zigzag by centimetres break it.
PLANAR_LAYOUT = ActionLayout(
    names=("finger0_x", "finger0_y", "finger1_x", "finger1_y"),
    trajectory=(0, 1, 2, 3),
    low=(-0.45, 0.0, -0.45, 0.0),
    high=(0.45, 0.9, 0.45, 0.9),
    difference="velocity",
    dt=0.1,
    bound=0.2,
    alpha=1.0,
    penalty=PenaltyParameters(step_size=0.1, tolerance=4e-4, max_iterations=1000),
    units=("m",) * 4,
    scale=(0.45,) * 4,
)

# Positions, and the forces in N that the fingers add: positions are the trajectory, forces pass filters untouched.
PLANAR_FORCE_LAYOUT = replace(
    PLANAR_LAYOUT,
    names=PLANAR_LAYOUT.names + ("finger0_fx", "finger0_fy", "finger1_fx", "finger1_fy"),
    low=PLANAR_LAYOUT.low + (-68.0,) * 4,
    high=PLANAR_LAYOUT.high + (68.0,) * 4,
    units=PLANAR_LAYOUT.units + ("N",) * 4,
    scale=PLANAR_LAYOUT.scale + (68.0,) * 4,
)

ALOHA_JOINTS = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate")


def aloha_layout(
    arms: Sequence[tuple[str, Sequence[float], Sequence[float]]], *, dt: float, bound: float
) -> ActionLayout:
    """Joint angles and a gripper's opening for each arm.

    Args:
        arms: for each arm its name, and for its six joints the middle and half the width of the range, rad.
        dt: seconds between two actions.
        bound: limit on the first difference of each joint, as a part of half its range.
    """
    low: list[float] = []
    high: list[float] = []
    for _, middle, half in arms:
        low += [*(round(m - h, 4) for m, h in zip(middle, half, strict=True)), 0.0]
        high += [*(round(m + h, 4) for m, h in zip(middle, half, strict=True)), 1.0]
    dimensions = range(7 * len(arms))
    return ActionLayout(
        names=tuple(f"{arm}_{joint}" for arm, _, _ in arms for joint in (*ALOHA_JOINTS, "gripper")),
        trajectory=tuple(index for index in dimensions if index % 7 != 6),
        low=tuple(low),
        high=tuple(high),
        difference="velocity",
        dt=dt,
        bound=bound,
        alpha=4.0,
        penalty=PenaltyParameters(step_size=0.05, tolerance=0.01, max_iterations=1000),
        units=(*("rad",) * 6, "1") * len(arms),
        scale=tuple(0.5 * (h - l_) for l_, h in zip(low, high, strict=True)),
        groups=tuple((arm, tuple(range(7 * index, 7 * index + 6))) for index, (arm, _, _) in enumerate(arms)),
    )


# Table IX of the DiffOG paper gives the bound of each joint in rad: 0.1 and 0.05 of half the range that the recorded
# angles had. These ranges are as wide, around our scenes' angles, so that the bounds are the paper's: in radians per
# second 0.12 to 0.59 (arrange the desk) and 0.23 to 0.41 (move the stack). Table XI: the penalty's parameters.
ALOHA_DESK_LAYOUT = aloha_layout(
    (
        ("left", (0.0, -0.3, 0.58, 0.0, 0.3, 0.0), (0.70, 0.71, 1.02, 0.30, 0.56, 1.48)),
        ("right", (0.0, -0.25, 0.55, 0.0, 0.3, 0.0), (0.78, 0.89, 1.05, 0.39, 0.69, 1.20)),
    ),
    dt=0.25,
    bound=0.1,
)
ALOHA_STACK_LAYOUT = aloha_layout(
    (("left", (0.0, -0.3, 0.46, 0.0, 0.1, 0.0), (0.98, 1.02, 1.14, 0.90, 0.76, 1.38)),), dt=1 / 6, bound=0.05
)

# Neither paper has these two tasks. Every joint has 3.2 rad, a little more than the shoulder's whole range. The bound
# is ours: 1.6 rad/s, about half of what a ViperX's motors turn at most. Of the first differences in 28 episodes of the
# experts 1.2 % exceed it.
_BOTH = ((0.0, -0.3, 0.0, 0.0, 0.4, 0.0), (1.6,) * 6)
ALOHA_LAYOUT = aloha_layout((("left", *_BOTH), ("right", *_BOTH)), dt=0.02, bound=0.02)

ALOHA_LAYOUTS = {
    "AlohaTransferCube": ALOHA_LAYOUT,
    "AlohaInsertion": ALOHA_LAYOUT,
    "AlohaArrangeDesk": ALOHA_DESK_LAYOUT,
    "AlohaMoveStack": ALOHA_STACK_LAYOUT,
}

"""What the actions of ALOHA's tasks mean; kept apart from their room, which needs a simulator."""

from __future__ import annotations

from collections.abc import Sequence

from dto_envs.actions import ActionLayout, PenaltyParameters

JOINTS = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate")


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
        names=tuple(f"{arm}_{joint}" for arm, _, _ in arms for joint in (*JOINTS, "gripper")),
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
ARRANGE_DESK_LAYOUT = aloha_layout(
    (
        ("left", (0.0, -0.3, 0.58, 0.0, 0.3, 0.0), (0.70, 0.71, 1.02, 0.30, 0.56, 1.48)),
        ("right", (0.0, -0.25, 0.55, 0.0, 0.3, 0.0), (0.78, 0.89, 1.05, 0.39, 0.69, 1.20)),
    ),
    dt=0.25,
    bound=0.1,
)
MOVE_STACK_LAYOUT = aloha_layout(
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
    "AlohaArrangeDesk": ARRANGE_DESK_LAYOUT,
    "AlohaMoveStack": MOVE_STACK_LAYOUT,
}

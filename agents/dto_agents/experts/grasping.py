"""What the experts have in common: reaching for something from above, and knowing whether they hold it."""

from __future__ import annotations

import numpy as np

from dto_agents.experts.scene import Goal, Gripper, Pose, pointing_down

OPEN_WIDTH = 0.06  # fingers at least this far apart straddle any of the objects
HOVER = 0.09  # height above the grasp at which the gripper waits until it is aligned, in m


def holds(gripper: Gripper, grasp: np.ndarray, width: float) -> bool:
    """Whether something ``width`` m wide at ``grasp`` is between fingers that were told to close, closed yet or not."""
    return bool(np.linalg.norm(gripper.position - grasp) < 0.035) and gripper.width > 0.6 * width


def squeezing(gripper: Gripper, width: float) -> bool:
    """Whether fingers that close on something ``width`` m wide are still moving."""
    return gripper.width > 1.12 * width


def stay(gripper: Gripper) -> Goal:
    """Keep the gripper where it is while the fingers close."""
    return Goal(gripper.position, gripper.rotation, close=True, reach=0.0)


def fetch(gripper: Gripper, grasp: np.ndarray, yaw: float) -> Goal:
    """Go above ``grasp``, down in a funnel as the fingers come to straddle it, and close.

    Args:
        gripper: the gripper that reaches.
        grasp: (3,) where the tool point should be when the fingers close, in m.
        yaw: heading of the gripper, in rad.
    """
    rotation = pointing_down(yaw)
    away = float(np.linalg.norm(grasp[:2] - gripper.position[:2]))
    turn = (rotation * gripper.rotation.inv()).magnitude()
    height = np.clip(6.0 * (away - 0.006), 0.0, HOVER) + np.clip(0.4 * (turn - 0.10), 0.0, HOVER)
    if gripper.width < OPEN_WIDTH:
        height = max(height, 0.04)
    target = grasp + np.array([0.0, 0.0, min(height, 0.1)])
    left = float(abs(grasp[2] - gripper.position[2]))
    ready = away < 0.008 and turn < 0.12 and left < 0.010 and gripper.width > OPEN_WIDTH
    return Goal(target, rotation, close=bool(ready), reach=away)


def fetch_from(gripper: Gripper, grasp: Pose) -> Goal:
    """Come to ``grasp`` along its approach, however it points: back off it, forward in a funnel, and close.

    Args:
        gripper: the gripper that reaches.
        grasp: where the gripper should be when the fingers close.
    """
    approach = grasp.rotation.apply([0.0, 0.0, 1.0])
    left = grasp.position - gripper.position
    away = float(np.linalg.norm(left - (left @ approach) * approach))
    turn = (grasp.rotation * gripper.rotation.inv()).magnitude()
    back = np.clip(6.0 * (away - 0.006), 0.0, HOVER) + np.clip(0.4 * (turn - 0.10), 0.0, HOVER)
    if gripper.width < OPEN_WIDTH:
        back = max(back, 0.04)
    ready = away < 0.008 and turn < 0.12 and abs(left @ approach) < 0.010 and gripper.width > OPEN_WIDTH
    return Goal(grasp.position - min(back, 0.1) * approach, grasp.rotation, close=bool(ready), reach=away)


def gripper_for(gripper: Gripper, thing: Pose, target: Pose) -> Pose:
    """Where the gripper must be for the ``thing`` that it holds to be at ``target``."""
    turn = target.rotation * thing.rotation.inv()
    return Pose(target.position + turn.apply(gripper.position - thing.position), turn * gripper.rotation)

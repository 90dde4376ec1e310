"""Arrange-chopsticks: one chopstick after the other, from the table onto the bowl."""

from __future__ import annotations

import numpy as np

from dto_agents.experts.grasping import stay
from dto_agents.experts.motion import MotionStyle
from dto_agents.experts.scene import Goal, Gripper, Memory, Pose, Scene, nearest, pointing_down

OBJECTS = (0, 7, 14)  # two chopsticks, the bowl
WIDTH = 0.009
GRASP_HEIGHT = 0.0085  # of the tool point over the middle of a chopstick on the table: finger tips just above the table
LANES = (-0.022, 0.022)  # where the chopsticks lie on the bowl, y from its middle
RIM = 0.0225  # of the bowl, from its middle
LAID_HEIGHT = RIM + 0.0045 + 0.003  # of a chopstick that is let go over the rim
CARRY_HEIGHT = RIM + 0.05
TRAVEL_HEIGHT = 0.93  # of the tool, above the bowl and what lies on it
STYLE = MotionStyle(linear_gain=1.5, rotational_gain=0.4, fastest=0.8, agility=0.8, aim_limit=0.01, slip_rate=0.001)


def plan(scene: Scene, memory: Memory) -> Goal:
    """Decide where the gripper goes now.

    Args:
        scene: what is seen.
        memory: what is remembered.
    """
    gripper, bowl = scene.gripper, scene.objects[2]
    waiting = [index for index in (0, 1) if not lies_on(scene.objects[index], bowl)]
    held = next((index for index in (0, 1) if memory.closing and _holds(gripper, scene.objects[index])), None)
    if held is not None:
        return stay(gripper) if gripper.width > WIDTH + 0.002 else _lay(gripper, scene.objects[held], bowl, held)
    over_bowl = float(np.linalg.norm((gripper.position - bowl.position)[:2])) < 0.12
    if over_bowl and gripper.position[2] < TRAVEL_HEIGHT - 0.02:
        return Goal(gripper.position + [0.0, 0.0, 0.06], gripper.rotation, close=False, reach=0.0)
    if not waiting:
        return Goal(_above(gripper.position, TRAVEL_HEIGHT + 0.02), gripper.rotation, close=False, reach=0.0)
    return _fetch(gripper, scene.objects[waiting[0]])


def lies_on(stick: Pose, bowl: Pose) -> bool:
    """Whether a chopstick lies across the bowl."""
    away = stick.position - bowl.position
    return bool(np.linalg.norm(away[:2]) < 0.045 and RIM < away[2] < RIM + 0.010)


def _holds(gripper: Gripper, stick: Pose) -> bool:
    """Whether fingers that were told to close have the chopstick between them."""
    along = stick.rotation.apply([1.0, 0.0, 0.0])
    away = stick.position - gripper.position
    beside = float(np.linalg.norm(away - (away @ along) * along))
    return beside < 0.02 and abs(away @ along) < 0.05 and gripper.width > 0.5 * WIDTH


def _fetch(gripper: Gripper, stick: Pose) -> Goal:
    """Go above the chopstick's middle, down in a funnel, gently at the end, and close."""
    grasp = stick.position + [0.0, 0.0, GRASP_HEIGHT]
    yaw = nearest(stick.yaw, 0.0, np.pi)
    rotation = pointing_down(yaw)
    away = float(np.linalg.norm((grasp - gripper.position)[:2]))
    turn = abs(nearest(yaw, gripper.yaw, np.pi) - gripper.yaw)
    height = float(np.clip(6.0 * (away - 0.004), 0.0, 0.1) + np.clip(0.5 * (turn - 0.08), 0.0, 0.1))
    if gripper.width < 0.05:
        height = max(height, 0.03)
    left = gripper.position[2] - grasp[2]
    target = _above(grasp, grasp[2] + max(min(height, 0.1), 0.6 * left if left > 0.004 else 0.0))
    ready = away < 0.006 and turn < 0.1 and -0.003 < left < 0.002 and gripper.width > 0.05
    return Goal(target, rotation, close=bool(ready), reach=away)


def _lay(gripper: Gripper, stick: Pose, bowl: Pose, lane: int) -> Goal:
    """Lift the chopstick, take it over its lane, turn it, lower it to the rim and let go."""
    turn = nearest(-stick.yaw, 0.0, np.pi)
    target = bowl.position + [0.0, LANES[lane], 0.0]
    offset = (target - stick.position)[:2]
    away = float(np.linalg.norm(offset))
    above = stick.position[2] - bowl.position[2]
    misfit = max(away - 0.006, 0.08 * (abs(turn) - 0.12), 0.0)
    height = float(np.clip(LAID_HEIGHT - 0.002 + 5.0 * misfit, LAID_HEIGHT - 0.002, CARRY_HEIGHT))
    open_now = misfit == 0.0 and above < LAID_HEIGHT + 0.002
    if above < CARRY_HEIGHT - 0.015 and away > 0.03:
        offset = np.zeros(2)
    drop = max(height - above, -0.02)
    rotation = pointing_down(gripper.yaw + turn)
    return Goal(gripper.position + [*offset, drop], rotation, close=not open_now, reach=0.0)


def _above(position: np.ndarray, height: float) -> np.ndarray:
    return np.array([position[0], position[1], height])

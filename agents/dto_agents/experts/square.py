"""Square: put the square nut over the square peg."""

from __future__ import annotations

import numpy as np

from dto_agents.experts.grasping import fetch, holds, squeezing, stay
from dto_agents.experts.scene import Goal, Memory, Scene, nearest, pointing_down, wrap

PEG = np.array([0.23, 0.1])  # centre of the peg; it is 32 mm wide, the nut's hole 45.5 mm
PEG_TOP = 0.95
GRASP = np.array([0.062, 0.0, 0.0])  # on the handle, in the nut's frame; nearer to the nut a finger lands on the ring
HANDLE_WIDTH = 0.032
CARRY_HEIGHT = 1.035  # of the nut, when it is carried to the peg
GOAL_YAWS = (np.pi, np.pi / 2, -np.pi / 2)  # of the nut on the peg; at 0 the handle would be out of reach
OBJECTS = (7,)


def plan(scene: Scene, memory: Memory) -> Goal:
    """Decide where the gripper goes now.

    Args:
        scene: what is seen.
        memory: what is remembered.
    """
    handle = scene.object.at(GRASP)
    if memory.closing and holds(scene.gripper, handle, HANDLE_WIDTH):
        return stay(scene.gripper) if squeezing(scene.gripper, HANDLE_WIDTH) else _carry(scene)
    return fetch(scene.gripper, handle, _yaw(scene))


def _yaw(scene: Scene) -> float:
    """Heading that lays the fingers across the handle, with the least turn from where the hand is."""
    yaw = nearest(scene.object.yaw, scene.gripper.yaw, np.pi)
    return yaw - np.sign(yaw) * np.pi if abs(yaw) > np.pi / 2 + 0.3 else yaw


def _carry(scene: Scene) -> Goal:
    """Lift the nut, take it over the peg, turn it, and lower it once it fits."""
    nut = scene.object.position
    offset = PEG - nut[:2]
    away = float(np.linalg.norm(offset))
    turn = min((wrap(goal - scene.object.yaw) for goal in GOAL_YAWS), key=abs)
    rotation = pointing_down(scene.gripper.yaw + turn)
    if away < 0.012 and nut[2] < PEG_TOP:
        return Goal(scene.gripper.position + [*offset, -0.06], rotation, close=True, reach=0.0)
    misfit = max(away - 0.004, 0.05 * (abs(turn) - 0.08), 0.0)
    height = float(np.clip(PEG_TOP - 0.03 + 12.0 * misfit, PEG_TOP - 0.03, CARRY_HEIGHT))
    if away < 0.10 and nut[2] < PEG_TOP + 0.02 and misfit > 0.004:
        offset = np.zeros(2)
    return Goal(scene.gripper.position + [*offset, height - nut[2]], rotation, close=True, reach=away)

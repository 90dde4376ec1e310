"""Can: move the can from the one bin into its compartment of the other."""

from __future__ import annotations

import numpy as np

from dto_agents.experts.grasping import OPEN_WIDTH, fetch, holds, squeezing, stay
from dto_agents.experts.scene import Goal, Memory, Scene, nearest, pointing_down

COMPARTMENT = np.array([[0.1, 0.295], [0.28, 0.525]])  # x and y, lowest and highest
DROP = np.array([0.155, 0.36])  # inward of the compartment's centre, which is out of reach
GRASP_HEIGHT = 0.02  # of the tool point over the can's centre, standing
BIN_CENTRE = -0.25  # y of the first bin
WALL_REACH = 0.18  # |y - BIN_CENTRE| from which on a finger beside a centred can would meet the bin's wall
CARRY_HEIGHT = 1.02  # of the can's centre; the bins' walls end well below its bottom then
DROP_HEIGHT = 0.92
CAN_WIDTH = 0.05
OBJECTS = (7,)


def plan(scene: Scene, memory: Memory) -> Goal:
    """Decide where the gripper goes now.

    Args:
        scene: what is seen.
        memory: what is remembered.
    """
    can = scene.object.position
    axis = scene.object.rotation.as_matrix()[:, 2]
    standing = abs(axis[2]) > 0.7
    grasp = can + np.array([0.0, 0.0, GRASP_HEIGHT if standing else 0.0])
    if memory.closing and holds(scene.gripper, grasp, CAN_WIDTH):
        return stay(scene.gripper) if squeezing(scene.gripper, CAN_WIDTH) else _carry(scene)
    if ((can[:2] > COMPARTMENT[:, 0]) & (can[:2] < COMPARTMENT[:, 1])).all():
        rise = 0.1 if scene.gripper.width > OPEN_WIDTH else 0.0
        return Goal(scene.gripper.position + [0.0, 0.0, rise], pointing_down(0.0), close=False, reach=0.0)
    yaw = 0.0 if standing else nearest(float(np.arctan2(axis[1], axis[0])), 0.0, np.pi)
    beside = can[1] - BIN_CENTRE
    inward = -np.sign(beside) * np.clip(abs(beside) - WALL_REACH, 0.0, 0.012)
    return fetch(scene.gripper, grasp + np.array([0.0, inward, 0.0]), yaw)


def _carry(scene: Scene) -> Goal:
    """Lift the can over the walls, take it over its compartment, lower it a little and let go."""
    can = scene.object.position
    offset = DROP - can[:2]
    away = float(np.linalg.norm(offset))
    height = float(np.clip(DROP_HEIGHT - 0.02 + 3.0 * (away - 0.03), DROP_HEIGHT - 0.02, CARRY_HEIGHT))
    if can[2] < CARRY_HEIGHT - 0.05 and away > 0.08:
        offset = offset * 0.3
    open_now = away < 0.04 and can[2] < DROP_HEIGHT
    return Goal(scene.gripper.position + [*offset, height - can[2]], pointing_down(0.0), close=not open_now, reach=away)

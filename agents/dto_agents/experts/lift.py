"""Lift: pick up the cube."""

from __future__ import annotations

import numpy as np

from dto_agents.experts.grasping import fetch, holds, squeezing, stay
from dto_agents.experts.scene import Goal, Memory, Scene, nearest, pointing_down

CUBE_WIDTH = 0.042
OBJECTS = (0,)


def plan(scene: Scene, memory: Memory) -> Goal:
    """Decide where the gripper goes now.

    Args:
        scene: what is seen.
        memory: what is remembered.
    """
    cube = scene.object.position
    if memory.closing and holds(scene.gripper, cube, CUBE_WIDTH):
        if squeezing(scene.gripper, CUBE_WIDTH):
            return stay(scene.gripper)
        return Goal(scene.gripper.position + [0.0, 0.0, 0.1], pointing_down(scene.gripper.yaw), close=True, reach=0.1)
    return fetch(scene.gripper, cube, _yaw(scene))


def _yaw(scene: Scene) -> float:
    """Heading that lays the fingers on two faces of the cube, with the least turn from where the hand is."""
    yaw = nearest(scene.object.yaw, scene.gripper.yaw, np.pi / 2)
    return yaw - np.sign(yaw) * np.pi / 2 if abs(yaw) > np.pi / 2 else yaw

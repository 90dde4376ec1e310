"""Lift: pick up the cube."""

from __future__ import annotations

import numpy as np

from dto_agents.experts.grasping import fetch, holds, squeezing, stay
from dto_agents.experts.scene import Goal, Scene, nearest, pointing_down

CUBE_WIDTH = 0.042
OBJECT_POSE = 0


def plan(scene: Scene, closing: bool) -> Goal:
    """Decide where the gripper goes now.

    Args:
        scene: what is seen.
        closing: whether the fingers were last told to close.
    """
    cube = scene.object_position
    if closing and holds(scene, cube, CUBE_WIDTH):
        if squeezing(scene, CUBE_WIDTH):
            return stay(scene)
        return Goal(scene.tool_position + [0.0, 0.0, 0.1], pointing_down(scene.tool_yaw), close=True, reach=0.1)
    return fetch(scene, cube, _yaw(scene))


def _yaw(scene: Scene) -> float:
    """Heading that lays the fingers on two faces of the cube, with the least turn from where the hand is."""
    yaw = nearest(scene.object_yaw, scene.tool_yaw, np.pi / 2)
    return yaw - np.sign(yaw) * np.pi / 2 if abs(yaw) > np.pi / 2 else yaw

"""What the experts have in common: reaching for something from above, and knowing whether they hold it."""

from __future__ import annotations

import numpy as np

from dto_agents.experts.scene import Goal, Scene, pointing_down

OPEN_WIDTH = 0.06  # fingers at least this far apart straddle any of the objects
HOVER = 0.09  # height above the grasp at which the hand waits until it is aligned, in m


def holds(scene: Scene, grasp: np.ndarray, width: float) -> bool:
    """Whether something ``width`` m wide at ``grasp`` is between fingers that were told to close, closed yet or not."""
    return bool(np.linalg.norm(scene.tool_position - grasp) < 0.035) and scene.width > 0.6 * width


def squeezing(scene: Scene, width: float) -> bool:
    """Whether fingers that close on something ``width`` m wide are still moving."""
    return scene.width > 1.12 * width


def stay(scene: Scene) -> Goal:
    """Keep the hand where it is while the fingers close."""
    return Goal(scene.tool_position, scene.tool_rotation, close=True, reach=0.0)


def fetch(scene: Scene, grasp: np.ndarray, yaw: float) -> Goal:
    """Go above ``grasp``, down in a funnel as the fingers come to straddle it, and close.

    Args:
        scene: what is seen.
        grasp: (3,) where the tool point should be when the fingers close, in m.
        yaw: heading of the hand, in rad.
    """
    rotation = pointing_down(yaw)
    away = float(np.linalg.norm(grasp[:2] - scene.tool_position[:2]))
    turn = (rotation * scene.tool_rotation.inv()).magnitude()
    height = np.clip(6.0 * (away - 0.006), 0.0, HOVER) + np.clip(0.4 * (turn - 0.10), 0.0, HOVER)
    if scene.width < OPEN_WIDTH:
        height = max(height, 0.04)
    target = grasp + np.array([0.0, 0.0, min(height, 0.1)])
    left = float(abs(grasp[2] - scene.tool_position[2]))
    ready = away < 0.008 and turn < 0.12 and left < 0.010 and scene.width > OPEN_WIDTH
    return Goal(target, rotation, close=bool(ready), reach=away)

"""Move-the-stack: carry the stack over the board and put it down."""

from __future__ import annotations

import numpy as np

from dto_agents.experts.motion import MotionStyle
from dto_agents.experts.scene import Goal, Memory, Scene

OBJECTS = (0, 7, 14)  # lower cup, upper cup, board
FOOT = -0.040  # of the stack, from the middle of the lower cup
BOARD_TOP = 0.006  # from the middle of the board
CLEARANCE = 0.03  # of the foot over the board until the stack is over its place
HIGHEST = 0.10
CENTRED = 0.012
# As people move the stack in demonstrations without a chopstick, and as one moves who must not drop it.
STYLE = MotionStyle(agility=0.8, pause_rate=0.05, pause_steps=(1, 4))
CAREFUL = MotionStyle(
    linear_gain=1.2, fastest=0.6, agility=0.2, linear_tremor=0.0, pause_rate=0.0, slip_rate=0.0, aim_error=0.05
)


def plan(scene: Scene, memory: Memory) -> Goal:
    """Decide where the gripper goes now.

    Args:
        scene: what is seen.
        memory: what is remembered.
    """
    lower, _, board = scene.objects
    offset = (board.position - lower.position)[:2]
    away = float(np.linalg.norm(offset))
    height = lower.position[2] + FOOT - board.position[2] - BOARD_TOP
    if away < CENTRED:
        drop = max(-0.004 - height, -max(0.002, 0.25 * height))
    else:
        drop = np.clip(CLEARANCE + away - 0.02, CLEARANCE, HIGHEST) - height
        offset = 0.3 * offset if height < 0.02 else offset
    return Goal(scene.gripper.position + [*offset, drop], scene.gripper.rotation, close=True, reach=away)

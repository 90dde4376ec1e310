"""Move a cup on which a spoon is balanced: slowly, and without a jerk."""

from __future__ import annotations

import numpy as np

from dto_agents.aloha.kinematics import Pose
from dto_agents.aloha.strokes import Stroke
from dto_agents.aloha.view import Script, View
from dto_envs.aloha.scene import TASKS

OPEN, CLOSED = 1.0, 0.72
PITCH = 0.6
GRIP_HEIGHT = 0.042
LIFT = 0.05
COASTER = np.array([*TASKS["AlohaMoveStack"].coaster, 0.004])


def left(view: View) -> Script:
    """The only hand."""
    cup = view.place("cup")
    facing = view.towards(0, cup, PITCH)
    grasp = Pose(cup + [0.0, 0.0, GRIP_HEIGHT], facing)
    back = facing.apply([-0.1, 0.0, 0.0])
    yield Stroke(grasp.shifted(*back), OPEN, loose=True)
    yield Stroke(grasp, OPEN)
    yield Stroke(grasp, CLOSED, least=1.0)
    held = view.place("cup") - view.tool(0).position
    yield Stroke(grasp.shifted(z=LIFT), CLOSED, pace=0.6)
    target = Pose(COASTER - [held[0], held[1], 0.0] + [0.0, 0.0, GRIP_HEIGHT], view.towards(0, COASTER, PITCH))
    yield Stroke(target.shifted(z=LIFT), CLOSED)
    yield Stroke(target, CLOSED, pace=0.6)
    yield Stroke(target, OPEN, least=1.0)
    yield Stroke(target.shifted(*target.rotation.apply([-0.1, 0.0, 0.0])), OPEN)

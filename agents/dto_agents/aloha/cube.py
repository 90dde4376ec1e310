"""Hand over a cube: the right hand picks it up and holds it out, the left takes it."""

from __future__ import annotations

import numpy as np

from dto_agents.aloha.kinematics import Pose, gripper
from dto_agents.aloha.strokes import Stroke
from dto_agents.aloha.view import Script, View

OPEN, CLOSED = 0.8, 0.0
RIGHT = gripper(np.pi, 1.2)
HANDOVER = np.array([0.0, 0.5, 0.22])
LEFT = gripper(0.0, 0.0, np.pi / 2)  # its fingers close from above and below


def right(view: View) -> Script:
    """The giving hand."""
    cube = view.place("box")
    yield Stroke(Pose(cube + [0.0, 0.0, 0.09], RIGHT), OPEN, loose=True)
    cube = view.place("box") + [0.0, 0.0, 0.006]  # finger tips reach beyond the tool point: not onto the table
    yield Stroke(Pose(cube, RIGHT), OPEN, pace=0.8)
    yield Stroke(Pose(cube, RIGHT), CLOSED)
    yield Stroke(Pose(cube + [0.0, 0.0, 0.08], RIGHT), CLOSED, pace=0.8)
    yield Stroke(Pose(HANDOVER, RIGHT), CLOSED, pace=0.8)
    while np.linalg.norm(view.tool(0).position - view.place("box")) > 0.03 or view.opening(0) > 0.56:
        yield None
    yield Stroke(Pose(HANDOVER, RIGHT), OPEN)
    yield Stroke(Pose(HANDOVER, RIGHT).shifted(x=0.08, z=0.08), OPEN)


def left(view: View) -> Script:
    """The taking hand."""
    yield Stroke(Pose(HANDOVER, LEFT).shifted(x=-0.12), OPEN, loose=True)
    while np.linalg.norm(view.place("box") - HANDOVER) > 0.02:
        yield None
    cube = view.place("box")
    yield Stroke(Pose(cube, LEFT).shifted(x=-0.02), OPEN, pace=0.8)
    yield Stroke(Pose(cube, LEFT).shifted(x=-0.02), CLOSED)
    yield Stroke(Pose(HANDOVER, LEFT).shifted(x=-0.1), CLOSED, least=2.0)

"""Hand over a cube: the right hand picks it up and holds it out, the left takes it."""

from __future__ import annotations

import numpy as np

from dto_agents.aloha.kinematics import Pose, gripper
from dto_agents.aloha.strokes import Stroke
from dto_agents.aloha.view import Script, View

LEFT_ARM, RIGHT_ARM = 0, 1
OPEN, CLOSED = 0.8, 0.0
RIGHT = gripper(np.pi, 1.2)
HANDOVER = np.array([0.0, 0.5, 0.22])
LEFT = gripper(0.0, 0.0, np.pi / 2)  # its fingers close from above and below
TIPS = 0.006  # m that the tool point stays above the cube's middle: the finger tips below it must not rub on the table


def right(view: View) -> Script:
    """The giving hand; what it drops it picks up again."""
    while not _holds(view, RIGHT_ARM) or view.place("box")[2] < 0.1:
        yield from _pick(view)
    while not (_holds(view, LEFT_ARM) and view.opening(LEFT_ARM) < 0.56):
        yield None
    yield Stroke(Pose(HANDOVER, RIGHT), OPEN)
    yield Stroke(Pose(HANDOVER, RIGHT).shifted(x=0.08, z=0.08), OPEN)


def left(view: View) -> Script:
    """The taking hand."""
    yield Stroke(Pose(HANDOVER, LEFT).shifted(x=-0.12), OPEN, loose=True)
    while np.linalg.norm(view.tool(RIGHT_ARM).position - HANDOVER) > 0.02 or not _holds(view, RIGHT_ARM):
        yield None
    cube = view.place("box")
    yield Stroke(Pose(cube, LEFT).shifted(x=-0.02), OPEN, pace=0.8)
    yield Stroke(Pose(cube, LEFT).shifted(x=-0.02), CLOSED)
    yield Stroke(Pose(HANDOVER, LEFT).shifted(x=-0.1), CLOSED, least=2.0)


def _pick(view: View) -> Script:
    """Take the cube from the table and hold it out."""
    above = view.place("box")
    yield Stroke(Pose(above + [0.0, 0.0, 0.09], RIGHT), OPEN, loose=True)
    cube = view.place("box") + [0.0, 0.0, TIPS]
    yield Stroke(Pose(cube, RIGHT), OPEN, pace=0.8)
    yield Stroke(Pose(cube, RIGHT), CLOSED)
    yield Stroke(Pose(cube, RIGHT).shifted(z=0.08), CLOSED, pace=0.8)
    if _holds(view, RIGHT_ARM):
        yield Stroke(Pose(HANDOVER, RIGHT), CLOSED, pace=0.8)


def _holds(view: View, arm: int) -> bool:
    """Whether the cube is between the fingers of an arm."""
    return bool(np.linalg.norm(view.tool(arm).position - view.place("box")) < 0.04)

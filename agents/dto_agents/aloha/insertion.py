"""Insert a peg: each hand picks up its part, they meet in the air, and the right one pushes."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from dto_agents.aloha.kinematics import Pose, gripper
from dto_agents.aloha.strokes import Stroke
from dto_agents.aloha.view import Script, View

OPEN, CLOSED = 0.8, 0.0
PITCH = 1.2
RIGHT, LEFT = gripper(np.pi, PITCH), gripper(0.0, PITCH)
MIDDLE = np.array([0.0, 0.5, 0.17])
PEG_HALF, SOCKET_HALF = 0.06, 0.06
GRIP = 0.02  # m beyond the middle, towards the arm, at which each part is held
LOWEST = 0.026  # m: below it the finger tips, which reach beyond the tool point, rub on the table
APART = 0.04  # m between the ends before they meet


def right(view: View) -> Script:
    """The hand with the peg."""
    yield from _pick(view, "peg", RIGHT, GRIP)
    yield from _hold_to(view, 1, "peg", RIGHT, MIDDLE + [PEG_HALF + 0.5 * APART, 0.0, 0.0])
    while not _lifted(view, "socket") or abs(view.place("socket")[0] + SOCKET_HALF) > 0.04:
        yield None
    # Where the peg meets the socket's mouth, then into it.
    for _ in range(3):
        mouth = view.thing("socket").at(np.array([SOCKET_HALF, 0.0, 0.0]))
        yield from _hold_to(view, 1, "peg", RIGHT, mouth + [PEG_HALF + 0.01, 0.0, 0.0], pace=0.6)
    for depth in (0.0, 0.015, 0.03):
        mouth = view.thing("socket").at(np.array([SOCKET_HALF, 0.0, 0.0]))
        yield from _hold_to(view, 1, "peg", RIGHT, mouth + [PEG_HALF - depth, 0.0, 0.0], pace=0.6)


def left(view: View) -> Script:
    """The hand with the socket."""
    yield from _pick(view, "socket", LEFT, -GRIP)
    yield from _hold_to(view, 0, "socket", LEFT, MIDDLE - [SOCKET_HALF + 0.5 * APART, 0.0, 0.0])


def _pick(view: View, name: str, rotation: Rotation, grip: float) -> Script:
    """Take hold of a part and lift it."""
    yield Stroke(Pose(_grasp(view, name, grip) + [0.0, 0.0, 0.08], rotation), OPEN, loose=True)
    place = _grasp(view, name, grip)
    yield Stroke(Pose(place, rotation), OPEN, pace=0.8)
    yield Stroke(Pose(place, rotation), CLOSED)
    yield Stroke(Pose(place + [0.0, 0.0, 0.1], rotation), CLOSED)


def _grasp(view: View, name: str, grip: float) -> np.ndarray:
    x, y, z = view.place(name)
    return np.array([x + grip, y, max(z, LOWEST)])


def _hold_to(view: View, arm: int, name: str, rotation: Rotation, place: np.ndarray, pace: float = 1.0) -> Script:
    """Bring what is held to ``place``, wherever in the fingers it is."""
    held = view.place(name) - view.tool(arm).position
    yield Stroke(Pose(place - held, rotation), CLOSED, pace=pace)


def _lifted(view: View, name: str) -> bool:
    return bool(view.place(name)[2] > 0.08)

"""Arrange the desk: bowl and cup are stacked in the air, the stack goes to the coaster, the last cup onto the stack."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.spatial.transform import Rotation

from dto_agents.aloha.kinematics import Pose
from dto_agents.aloha.strokes import Stroke
from dto_agents.aloha.view import Script, View
from dto_envs.aloha.objects import Bowl, Cup
from dto_envs.aloha.scene import COASTER_HEIGHT, TASKS

LEFT, RIGHT = 0, 1
BOWL, CUP = Bowl(), Cup()
PINCH = np.array([0.0, BOWL.middle, BOWL.height - 0.003])  # in the frame of a bowl that the gripper faces
GRIP = np.array([0.0, 0.0, 0.068])  # on a cup, high enough to stay clear of the bowl and of who holds it
PITCH = 0.85
RIM_OPEN, RIM_CLOSED = 0.42, 0.0
CUP_OPEN, CUP_CLOSED = 1.0, 0.55
MEETING = np.array([-0.05, 0.53, 0.001])  # of the bowl, when the cup is put into it
COASTER = np.array([*TASKS["AlohaArrangeDesk"].coaster, COASTER_HEIGHT])
ASIDE = 0.026  # m, of the cup from the bowl's middle
ABOVE = 0.06  # m that things pass above each other
AWAY = 0.1  # m


def left(view: View) -> Script:
    """The hand with the bowl."""
    while view.place("bowl")[2] < 0.5 * ABOVE:
        yield from _pinch(view)
    yield _bring(view, LEFT, "bowl", MEETING + [0.0, 0.0, 0.05], RIM_CLOSED)
    yield _bring(view, LEFT, "bowl", MEETING, RIM_CLOSED, pace=0.6)
    while not (_in_bowl(view) and _left_alone(view, RIGHT, "cup")):
        yield None
    yield _bring(view, LEFT, "bowl", COASTER + [0.0, 0.0, 0.04], RIM_CLOSED)
    yield _bring(view, LEFT, "bowl", COASTER, RIM_CLOSED, pace=0.6)
    put = _bring(view, LEFT, "bowl", COASTER, RIM_OPEN)
    yield put
    yield Stroke(put.target.shifted(z=0.1), RIM_OPEN)
    yield Stroke(put.target.shifted(x=-0.12, y=0.05, z=0.12), RIM_OPEN, loose=True)


def _pinch(view: View) -> Script:
    """Take the bowl by its wall and lift it; it may slip away."""
    bowl = view.place("bowl")
    facing = view.towards(LEFT, bowl, PITCH, aside=PINCH[1])
    pinch = Pose(bowl + _turned(facing, PINCH), facing)
    yield Stroke(pinch.shifted(z=0.08), RIM_OPEN, loose=True)
    yield Stroke(pinch, RIM_OPEN, pace=0.8)
    yield Stroke(pinch, RIM_CLOSED, least=0.75)
    yield Stroke(pinch.shifted(z=ABOVE), RIM_CLOSED)


def right(view: View) -> Script:
    """The hand with the cups."""
    yield from _pick(view, "cup")
    while np.linalg.norm(view.place("bowl") - MEETING) > 0.02:
        yield None
    yield from _put(view, "cup", lambda: _beside_fingers(view))
    yield from _pick(view, "last_cup")
    while np.linalg.norm(view.place("bowl") - COASTER) > 0.02 or not _left_alone(view, LEFT, "bowl"):
        yield None
    yield from _put(view, "last_cup", lambda: view.thing("cup").at(np.array([0.0, 0.0, CUP.floor])))


def _pick(view: View, name: str) -> Script:
    """Take a cup by its side and lift it."""
    cup = view.place(name)
    facing = view.towards(RIGHT, cup, PITCH)
    grasp = Pose(cup + GRIP, facing)
    yield Stroke(grasp.shifted(*facing.apply([-0.08, 0.0, 0.0])), CUP_OPEN, loose=True)
    yield Stroke(grasp, CUP_OPEN, pace=0.8)
    yield Stroke(grasp, CUP_CLOSED, least=0.75)
    yield Stroke(grasp.shifted(z=0.1), CUP_CLOSED)


def _put(view: View, name: str, place: Callable[[], np.ndarray]) -> Script:
    """Put the cup that is held where ``place()`` says, let go, and leave backwards."""
    yield _bring(view, RIGHT, name, place() + [0.0, 0.0, ABOVE], CUP_CLOSED)
    yield _bring(view, RIGHT, name, place() + [0.0, 0.0, 0.02], CUP_CLOSED, pace=0.7)
    yield _bring(view, RIGHT, name, place() + [0.0, 0.0, 0.001], CUP_CLOSED, pace=0.6)
    let_go = view.tool(RIGHT)
    yield Stroke(let_go, CUP_OPEN)
    yield Stroke(let_go.shifted(*let_go.rotation.apply([-AWAY, 0.0, 0.0])), CUP_OPEN)


def _bring(view: View, arm: int, name: str, place: np.ndarray, opening: float, pace: float = 1.0) -> Stroke:
    """Move so that what the arm holds, wherever in the fingers it is, gets to ``place``."""
    tool = view.tool(arm)
    offset = tool.rotation.inv().apply(view.place(name) - tool.position)
    facing = view.towards(arm, place, PITCH, aside=-offset[1])
    return Stroke(Pose(place - facing.apply(offset), facing), opening, pace=pace)


def _beside_fingers(view: View) -> np.ndarray:
    """Where the cup stands in the bowl: away from the finger that is inside, and from the hand behind it."""
    bowl, tool = view.place("bowl"), view.tool(LEFT)
    away = _unit((bowl - tool.position)[:2]) + _unit(tool.rotation.apply([1.0, 0.0, 0.0])[:2])
    return bowl + [*(ASIDE * _unit(away)), BOWL.floor]


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _turned(facing: Rotation, offset: np.ndarray) -> np.ndarray:
    """An offset (3,) in the frame of something level that the gripper faces, in the world frame."""
    heading = facing.apply([1.0, 0.0, 0.0])
    angle = float(np.arctan2(heading[1], heading[0]))
    return Rotation.from_euler("z", angle).apply(offset)


def _in_bowl(view: View) -> bool:
    x, y, z = view.place("cup") - view.place("bowl")
    return bool(np.hypot(x, y) < 0.045 and z < 0.02)


def _left_alone(view: View, arm: int, name: str) -> bool:
    """Whether an arm's tool is away from a thing."""
    return bool(np.linalg.norm(view.tool(arm).position - view.place(name) - GRIP) > 0.8 * AWAY)

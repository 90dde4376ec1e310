"""What the five tasks differ in: where things lie, what is observed of them, and when the task is done.

All positions are in m in the world frame. The numbers are those of Meta-World 3.1.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import mujoco
import numpy as np

REACH_HIGH = (0.5, 1.0, 0.5)


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        scene: Meta-World's model file.
        low: lowest values of a placement: the object's position, then the goal's.
        high: highest values of a placement.
        apart: least distance in the plane between object and goal; nearer ones are drawn again.
        hand: where the hand begins.
        reach_low: lowest position that the hand can be sent to; ``REACH_HIGH`` is the highest.
        shows_goal: whether Meta-World shows the goal, by a green or blue ball.
        goal_low: lowest values that an observation gives for the goal.
        goal_high: highest values that an observation gives for the goal.
        furnish: puts what no joint moves to where a placement has it.
        place: puts the object to where a placement has it, and says where the goal is.
        objects: position and orientation of one object or two, (7,) or (14,).
        done: whether the task is done, from the observed objects and the goal.
    """

    scene: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    apart: float
    place: Callable[[mujoco.MjModel, mujoco.MjData, np.ndarray], np.ndarray]
    objects: Callable[[mujoco.MjData], np.ndarray]
    done: Callable[[mujoco.MjModel, mujoco.MjData, np.ndarray, np.ndarray], bool]
    furnish: Callable[[mujoco.MjModel, np.ndarray], None] = lambda model, placement: None
    hand: tuple[float, ...] = (0.0, 0.6, 0.2)
    reach_low: tuple[float, float, float] = (-0.5, 0.40, 0.05)
    shows_goal: bool = True
    goal_low: tuple[float, float, float] | None = None
    goal_high: tuple[float, float, float] | None = None

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """A placement (6,) as Meta-World draws them: uniform, until object and goal are far enough apart."""
        while True:
            placement = rng.uniform(self.low, self.high)
            if np.linalg.norm(placement[:2] - placement[3:5]) >= self.apart:
                return placement

    @property
    def goal_limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Between which values an observation gives the goal: Meta-World clips it to those that it draws."""
        return np.array(self.goal_low or self.low[3:]), np.array(self.goal_high or self.high[3:])


def put_object(model: mujoco.MjModel, data: mujoco.MjData, position: np.ndarray) -> None:
    """Move the free object to ``position`` (3,), at rest, as it is turned."""
    data.qpos[9:12] = position
    data.qvel[9:15] = 0
    mujoco.mj_forward(model, data)


def quaternion(matrix: np.ndarray) -> np.ndarray:
    """Quaternion (x, y, z, w) of a rotation matrix (9,), with the sign and to the rounding that scipy gives it."""
    rows = matrix.reshape(3, 3).tolist()
    diagonal = [rows[axis][axis] for axis in range(3)]
    trace = sum(diagonal)
    parts = [0.0] * 4
    if trace >= max(diagonal):
        for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
            parts[i] = rows[k][j] - rows[j][k]
        parts[3] = 1 + trace
    else:
        i = diagonal.index(max(diagonal))
        j, k = (i + 1) % 3, (i + 2) % 3
        parts[i] = 1 - trace + 2 * rows[i][i]
        parts[j] = rows[j][i] + rows[i][j]
        parts[k] = rows[k][i] + rows[i][k]
        parts[3] = rows[k][j] - rows[j][k]
    length = math.sqrt(sum(part * part for part in parts))
    return np.array([part / length for part in parts])


def _single(*values: float) -> tuple[float, ...]:
    """Values as Meta-World stores some of them, in float32."""
    return tuple(float(np.float32(value)) for value in values)


def _place_puck(model: mujoco.MjModel, data: mujoco.MjData, placement: np.ndarray) -> np.ndarray:
    put_object(model, data, placement[:3])
    return placement[3:]


def _puck(data: mujoco.MjData) -> np.ndarray:
    geom = data.geom("objGeom")
    return np.concatenate([geom.xpos, quaternion(geom.xmat)])


def _arrived(model: mujoco.MjModel, data: mujoco.MjData, objects: np.ndarray, goal: np.ndarray) -> bool:
    return bool(np.linalg.norm(objects[:3] - goal) <= 0.07)


def _furnish_shelf(model: mujoco.MjModel, placement: np.ndarray) -> None:
    model.body("shelf").pos = placement[3:] - np.array([0.0, 0.0, 0.3])


def _place_block(model: mujoco.MjModel, data: mujoco.MjData, placement: np.ndarray) -> np.ndarray:
    height = data.body("obj").xpos[2]
    mujoco.mj_forward(model, data)
    goal = model.site("goal").pos + model.body("shelf").pos
    put_object(model, data, np.append(placement[:2], height))
    return goal


def _block(data: mujoco.MjData) -> np.ndarray:
    return np.concatenate([data.body("obj").xpos, quaternion(data.geom("objGeom").xmat)])


def _furnish_peg(model: mujoco.MjModel, placement: np.ndarray) -> None:
    model.body("peg").pos = placement[:3] + np.array([0.0, 0.0, 0.03])
    model.site("pegTop").pos = placement[:3] + np.array([0.0, 0.0, 0.08])


def _place_nut(model: mujoco.MjModel, data: mujoco.MjData, placement: np.ndarray) -> np.ndarray:
    mujoco.mj_forward(model, data)
    put_object(model, data, placement[:3])
    return placement[:3] + np.array([0.0, 0.0, 0.15])


def _nut(data: mujoco.MjData) -> np.ndarray:
    return np.concatenate([data.site("RoundNut-8").xpos, data.body("RoundNut").xquat])


def _taken_off(model: mujoco.MjModel, data: mujoco.MjData, objects: np.ndarray, goal: np.ndarray) -> bool:
    return bool(objects[2] > goal[2])


STICK_HEIGHT = 0.02


def _place_stick(
    model: mujoco.MjModel, data: mujoco.MjData, placement: np.ndarray, thermos: tuple[float, float]
) -> None:
    put_object(model, data, np.append(placement[:2], STICK_HEIGHT))
    data.qpos[16:18] = thermos
    data.qvel[16:18] = 0
    mujoco.mj_forward(model, data)


def _place_stick_to_push(model: mujoco.MjModel, data: mujoco.MjData, placement: np.ndarray) -> np.ndarray:
    goal = np.append(placement[3:5], data.site("insertion").xpos[2])
    _place_stick(model, data, placement, (0.0, 0.0))
    return goal


def _place_stick_to_pull(model: mujoco.MjModel, data: mujoco.MjData, placement: np.ndarray) -> np.ndarray:
    _place_stick(model, data, placement, (0.0, 0.09))
    return np.append(placement[3:5], STICK_HEIGHT)


def _stick_and_body(data: mujoco.MjData) -> np.ndarray:
    thermos = data.site("insertion").xpos + np.array([0.0, 0.09, 0.0])
    return _stick_and(data, thermos)


def _stick_and_handle(data: mujoco.MjData) -> np.ndarray:
    return _stick_and(data, data.site("insertion").xpos)


def _stick_and(data: mujoco.MjData, thermos: np.ndarray) -> np.ndarray:
    """Meta-World writes the stick's quaternion after its position, and zeros for the thermos, which cannot turn."""
    stick = data.body("stick")
    return np.concatenate([stick.xpos, quaternion(stick.xmat), thermos, np.zeros(4)])


def _pushed(model: mujoco.MjModel, data: mujoco.MjData, objects: np.ndarray, goal: np.ndarray) -> bool:
    near = np.linalg.norm(objects[7:10] - goal) <= 0.12
    return bool(near and objects[2] - 0.01 > STICK_HEIGHT and holds_object(model, data))


def _pulled(model: mujoco.MjModel, data: mujoco.MjData, objects: np.ndarray, goal: np.ndarray) -> bool:
    handle, end = objects[7:10], data.site("stick_end").xpos
    inserted = end[0] >= handle[0] and abs(end[1] - handle[1]) <= 0.040 and abs(end[2] - handle[2]) <= 0.060
    return bool(np.linalg.norm(handle - goal) <= 0.12 and inserted)


def holds_object(model: mujoco.MjModel, data: mujoco.MjData) -> bool:
    """Whether both finger pads press on the object; ``data`` must be forwarded."""
    thing = model.geom("objGeom").id
    return all(_presses(data, model.geom(pad).id, thing) for pad in ("leftpad_geom", "rightpad_geom"))


def _presses(data: mujoco.MjData, pad: int, thing: int) -> bool:
    pairs = data.contact.geom
    touching = (pairs == pad).any(axis=1) & (pairs == thing).any(axis=1)
    return bool(data.efc_force[data.contact.efc_address[touching]].sum() > 0)


TASKS: Mapping[str, Task] = MappingProxyType(
    {
        "PickPlaceWall": Task(
            scene="sawyer_pick_place_wall_v3.xml",
            low=(-0.05, 0.6, 0.015, -0.05, 0.85, 0.05),
            high=(0.05, 0.65, 0.015, 0.05, 0.9, 0.3),
            apart=0.15,
            place=_place_puck,
            objects=_puck,
            done=_arrived,
        ),
        "ShelfPlace": Task(
            scene="sawyer_shelf_placing.xml",
            low=(-0.1, 0.5, 0.019, -0.1, 0.8, 0.299),
            high=(0.1, 0.6, 0.021, 0.1, 0.9, 0.301),
            apart=0.1,
            hand=_single(0.0, 0.6, 0.2),
            furnish=_furnish_shelf,
            place=_place_block,
            objects=_block,
            done=_arrived,
        ),
        "Disassemble": Task(
            scene="sawyer_assembly_peg.xml",
            low=(0.0, 0.6, 0.025, -0.1, 0.6, 0.1699),
            high=(0.1, 0.75, 0.02501, 0.1, 0.75, 0.1701),
            apart=0.1,
            hand=_single(0.0, 0.4, 0.2),
            furnish=_furnish_peg,
            place=_place_nut,
            objects=_nut,
            done=_taken_off,
            shows_goal=False,
            goal_low=(-0.1, 0.6, 0.1699 + 0.005),
            goal_high=(0.1, 0.75, 0.1701 + 0.005),
        ),
        "StickPush": Task(
            scene="sawyer_stick_obj.xml",
            low=(-0.08, 0.58, 0.000, 0.399, 0.55, 0.1319),
            high=(-0.03, 0.62, 0.001, 0.401, 0.6, 0.1321),
            apart=0.1,
            place=_place_stick_to_push,
            objects=_stick_and_body,
            done=_pushed,
        ),
        "StickPull": Task(
            scene="sawyer_stick_obj.xml",
            low=(-0.1, 0.55, 0.000, 0.35, 0.45, 0.0199),
            high=(0.0, 0.65, 0.001, 0.45, 0.55, 0.0201),
            apart=0.1,
            reach_low=(-0.5, 0.35, 0.05),
            place=_place_stick_to_pull,
            objects=_stick_and_handle,
            done=_pulled,
        ),
    }
)

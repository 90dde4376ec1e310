"""A room with a Panda at a table, and things made of primitives in it."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from dto_envs.leto.posing import solve_pose
from dto_envs.robomimic.build import Task, give_back_memory, make_robosuite_env, robot_indices
from dto_envs.robomimic.control import ArmControl, ArmIndices

ROOM = Task("Lift", object_body="cube_main")
TABLE_TOP = 0.8  # m above the floor
Vector = Sequence[float] | np.ndarray
VISIBLE = 1  # MuJoCo's group of geoms that pictures show


@dataclass(frozen=True)
class Furnishing:
    """What makes a task out of the room.

    Attributes:
        task: cameras, and the body that the task is about.
        furnish: adds the task's bodies to the model.
        lay_out: draws an initial state, flattened, from the scene, a generator and what one can choose of the task.
    """

    task: Task
    furnish: Callable[[mujoco.MjSpec], None]
    lay_out: Callable[..., np.ndarray]


class LetoScene:
    """A task's compiled model, which all environments of a process share, and a sampler of initial states."""

    def __init__(self, furnishing: Furnishing) -> None:
        """Build and compile, which takes a second or two."""
        self.task = furnishing.task
        self._lay_out = furnishing.lay_out
        xml, self.arms = _empty_room()
        spec = mujoco.MjSpec.from_string(xml)
        furnishing.furnish(spec)
        self.model: mujoco.MjModel = spec.compile()
        self.scratch = mujoco.MjData(self.model)
        give_back_memory()

    @property
    def arm(self) -> ArmIndices:
        """Where the arm is in the model."""
        return self.arms[0]

    def use_size(self, size: np.ndarray) -> None:
        """Nothing in these models differs from episode to episode."""

    def sample(self, seed: int, **choices: Any) -> np.ndarray:
        """Draw an initial state.

        Args:
            seed: of ``numpy.random.default_rng``.
            choices: what the task lets one choose, such as ``chopstick=False``.

        Returns:
            The flattened MuJoCo state: time, positions, velocities.
        """
        return self._lay_out(self, np.random.default_rng(seed), **choices)

    def begin(self, joints: np.ndarray, position: np.ndarray, rotation: np.ndarray, opening: float) -> mujoco.MjData:
        """Reset the scratch simulation to a tool pose.

        Args:
            joints: (7,) of a pose nearby, rad.
            position: (3,) of the tool point, m.
            rotation: (4,) of the hand, quaternion wxyz.
            opening: distance between the fingers, m.
        """
        model, data, arm = self.model, self.scratch, self.arm
        mujoco.mj_resetData(model, data)
        data.qpos[list(arm.positions)] = joints
        left, right = arm.finger_positions
        data.qpos[left], data.qpos[right] = opening / 2, -opening / 2
        solve_pose(model, data, arm, position, rotation)
        return data

    def settle(self, action: np.ndarray, steps: int, physics_steps: int = 25) -> None:
        """Let the scratch simulation execute ``action`` (7,) for some steps, then stop all motion and the clock."""
        data = self.scratch
        mujoco.mj_forward(self.model, data)
        control = ArmControl(self.model, data, self.arms, physics_steps)
        for _ in range(steps):
            control.execute(action)
        data.time = 0.0
        data.qvel[:] = 0.0

    def state(self) -> np.ndarray:
        """The scratch simulation's flattened state."""
        data = self.scratch
        return np.concatenate([[data.time], data.qpos, data.qvel])


def _empty_room() -> tuple[str, tuple[ArmIndices, ...]]:
    """The XML of robosuite's Lift without its cube, and where the arm is in it."""
    env = make_robosuite_env(ROOM)
    root = ElementTree.fromstring(env.sim.model.get_xml())
    world = root.find("worldbody")
    assert world is not None
    cube = next(body for body in world.findall("body") if body.get("name") == ROOM.object_body)
    world.remove(cube)
    return ElementTree.tostring(root, encoding="unicode"), tuple(robot_indices(robot) for robot in env.robots)


def add_thing(spec: mujoco.MjSpec, name: str, place: Vector) -> Any:
    """Add a free body; its joint is called ``{name}_joint``."""
    body = spec.worldbody.add_body(name=name, pos=list(place))
    body.add_freejoint(name=f"{name}_joint")
    return body


def add_wall(body: Any, sides: int, radius: float, height: float, thickness: float, **options: Any) -> None:
    """Add an upright ring of boxes to a body, centred on its origin.

    Args:
        body: what it belongs to.
        sides: number of boxes.
        radius: distance of their outer faces from the axis, m.
        height: m.
        thickness: m.
        options: of every box, such as rgba and friction.
    """
    first = len(body.geoms)
    middle = radius - thickness / 2
    half_width = radius * math.tan(math.pi / sides)
    for side in range(sides):
        angle = 2 * math.pi * side / sides
        body.add_geom(
            name=f"{body.name}_{first + side}",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=[thickness / 2, half_width, height / 2],
            pos=[middle * math.cos(angle), middle * math.sin(angle), 0.0],
            quat=[math.cos(angle / 2), 0.0, 0.0, math.sin(angle / 2)],
            group=VISIBLE,
            **options,
        )


def add_plate(body: Any, half_size: Vector, place: Vector, **options: Any) -> None:
    """Add a level box to a body."""
    body.add_geom(
        name=f"{body.name}_{len(body.geoms)}",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=list(half_size),
        pos=list(place),
        group=VISIBLE,
        **options,
    )


def add_stick(body: Any, radius: float, half_length: float, **options: Any) -> None:
    """Add a rod with round ends along a body's x axis."""
    body.add_geom(
        name=f"{body.name}_{len(body.geoms)}",
        type=mujoco.mjtGeom.mjGEOM_CAPSULE,
        fromto=[-half_length, 0.0, 0.0, half_length, 0.0, 0.0],
        size=[radius, 0.0, 0.0],
        group=VISIBLE,
        **options,
    )


def place(data: mujoco.MjData, name: str, position: Vector, yaw: float = 0.0) -> None:
    """Put a free body somewhere, upright and turned by ``yaw`` rad about the vertical; velocities stay."""
    joint = data.joint(f"{name}_joint")
    joint.qpos[:3] = position
    joint.qpos[3:] = (math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2))


def geoms_of(model: mujoco.MjModel, body: str) -> list[str]:
    """Names of a body's geoms."""
    return [model.geom(index).name for index in np.flatnonzero(model.geom_bodyid == model.body(body).id)]

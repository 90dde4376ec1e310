"""The scenes: gym-aloha's files as they are for its own two tasks, and its arms with things of ours for the others."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import mujoco
import numpy as np

from dto_envs.aloha.objects import FELT, SEEN, Bowl, Cup, Spoon
from dto_envs.aloha.servos import ARM_JOINTS, add_servos

Thing = Cup | Bowl | Spoon


@dataclass(frozen=True)
class Task:
    """What stands on the table, who works at it, and who watches.

    Attributes:
        arms: names of the arms, in the order of their actions.
        things: names of the bodies that move freely, in the order of the state observation.
        start: (6,) joint angles of each arm at the beginning, rad.
        cameras: names of the cameras of image observations.
        image_size: height and width of their pictures, pixels.
        file: gym-aloha's model file, or None for a scene of ours.
        made: for a scene of ours, what each thing is.
        coaster: (2,) where the coaster lies in a scene of ours, m.
    """

    arms: tuple[str, ...]
    things: tuple[str, ...]
    start: tuple[float, ...] = (0.0, -0.96, 1.16, 0.0, -0.3, 0.0)
    cameras: tuple[str, ...] = ("top",)
    image_size: tuple[int, int] = (480, 640)
    file: str | None = None
    made: Mapping[str, Thing] = field(default_factory=lambda: MappingProxyType({}))
    coaster: tuple[float, float] = (0.0, 0.5)


BLUE, RED = (0.20, 0.42, 0.78, 1.0), (0.80, 0.28, 0.22, 1.0)
GLASS = Cup(base=0.024, grip=0.028, rim=0.026, mass=0.12, color=(0.62, 0.80, 0.86, 0.55))
COASTER_HALF, COASTER_HEIGHT = 0.05, 0.004  # half an edge of the square, and its thickness, m
READY = (0.0, -0.75, 0.95, 0.0, 0.55, 0.0)  # our scenes begin with the grippers pointing down at an angle

TASKS: Mapping[str, Task] = MappingProxyType(
    {
        "AlohaTransferCube": Task(("left", "right"), ("box",), file="bimanual_viperx_transfer_cube.xml"),
        "AlohaInsertion": Task(("left", "right"), ("peg", "socket"), file="bimanual_viperx_insertion.xml"),
        "AlohaArrangeDesk": Task(
            ("left", "right"),
            ("bowl", "cup", "last_cup"),
            start=READY,
            cameras=("top", "left_wrist", "right_wrist"),
            image_size=(240, 320),
            made=MappingProxyType({"bowl": Bowl(), "cup": Cup(color=BLUE), "last_cup": Cup(color=RED)}),
            coaster=(-0.02, 0.40),
        ),
        "AlohaMoveStack": Task(
            ("left",),
            ("cup", "spoon"),
            start=READY,
            cameras=("angle", "left_wrist"),
            image_size=(240, 320),
            made=MappingProxyType({"cup": GLASS, "spoon": Spoon()}),
            coaster=(-0.12, 0.62),
        ),
    }
)


@dataclass(frozen=True)
class ArmIndices:
    """Where one arm stands in MuJoCo's arrays.

    Attributes:
        positions: (8,) of its six joints and two fingers in ``qpos``.
        dofs: (8,) of the same in ``qvel``.
        motors: (8,) of their servos in ``ctrl``.
        fingers: geoms of the left and of the right finger that can touch.
    """

    positions: np.ndarray
    dofs: np.ndarray
    motors: np.ndarray
    fingers: tuple[frozenset[int], frozenset[int]]


class Scene:
    """A task's compiled model, which all environments of a process share and none changes."""

    def __init__(self, task: Task) -> None:
        """Compile, which takes a fifth of a second."""
        self.task = task
        self.model = _compile(task)
        self.arms = tuple(_arm_indices(self.model, arm) for arm in task.arms)
        joints = [self.model.body(name).jntadr[0] for name in task.things]
        self.things = tuple(int(self.model.jnt_qposadr[joint]) for joint in joints)

    def geoms(self, body: str) -> frozenset[int]:
        """The geoms of a body that can touch."""
        index = self.model.body(body).id
        mine = (self.model.geom_bodyid == index) & (self.model.geom_contype > 0)
        return frozenset(np.flatnonzero(mine).tolist())


@functools.cache
def scene(task_name: str) -> Scene:
    """This process's scene of the task."""
    return Scene(TASKS[task_name])


def assets() -> Path:
    """The folder of gym-aloha's model files; importing gym-aloha is not needed, and would be slow."""
    spec = importlib.util.find_spec("gym_aloha")
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "assets"


def _compile(task: Task) -> mujoco.MjModel:
    if task.file is not None:
        return mujoco.MjSpec.from_file(str(assets() / task.file)).compile()
    return _our_scene(task).compile()


def _our_scene(task: Task) -> mujoco.MjSpec:
    """Gym-aloha's table and arms, padded fingers, a coaster and the task's things."""
    folder = assets()
    arms = "".join(f'<include file="{folder}/vx300s_{arm}.xml"/>' for arm in task.arms)
    spec = mujoco.MjSpec.from_string(f"""
<mujoco model="aloha">
  <compiler meshdir="{folder}"/>
  <option cone="elliptic" impratio="10"/>
  <include file="{folder}/scene.xml"/>
  <include file="{folder}/vx300s_dependencies.xml"/>
  <worldbody>{arms}</worldbody>
</mujoco>""")
    spec.compiler.inertiagrouprange = (0, 5)
    _flatten_table(spec)
    for arm in task.arms:
        _add_pads(spec, arm)
        add_servos(spec, arm)
    spec.worldbody.add_geom(
        name="coaster",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=(COASTER_HALF, COASTER_HALF, 0.5 * COASTER_HEIGHT),
        pos=(*task.coaster, 0.5 * COASTER_HEIGHT),
        rgba=(0.55, 0.40, 0.26, 1.0),
        friction=(0.8, 0.005, 0.0001),
        group=SEEN,
    )
    for name in task.things:
        task.made[name].add(spec, name)
    return spec


def _flatten_table(spec: mujoco.MjSpec) -> None:
    """Let things stand on a plane; the table's mesh, into which thin things sink, is only seen."""
    mesh = spec.geom("table")
    mesh.contype = mesh.conaffinity = 0
    spec.worldbody.add_geom(
        name="table_top",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=(1.0, 1.0, 0.1),
        group=FELT,
        friction=(0.8, 0.005, 0.0001),
    )


def _add_pads(spec: mujoco.MjSpec, arm: str) -> None:
    """Flat rubber pads on the inner sides of the fingers, whose meshes touch at single points."""
    for finger, side in (("left", -1.0), ("right", 1.0)):
        spec.body(f"vx300s_{arm}/{finger}_finger_link").add_geom(
            name=f"vx300s_{arm}/{finger}_pad",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=(0.024, 0.0015, 0.008),
            pos=(0.059, side * 0.0224, 0.0),
            friction=(1.2, 0.02, 0.0005),
            condim=4,
            solref=(0.01, 1.0),
            mass=0.0,
            rgba=(0.15, 0.15, 0.15, 1.0),
            group=FELT,
        )


def _arm_indices(model: mujoco.MjModel, arm: str) -> ArmIndices:
    joints = [model.joint(f"vx300s_{arm}/{name}").id for name in ARM_JOINTS]
    motors = [int(np.flatnonzero(model.actuator_trnid[:, 0] == joint)[0]) for joint in joints]

    def geoms(finger: str) -> frozenset[int]:
        body = model.body(f"vx300s_{arm}/{finger}_finger_link").id
        return frozenset(np.flatnonzero(model.geom_bodyid == body).tolist())

    return ArmIndices(
        positions=model.jnt_qposadr[joints],
        dofs=model.jnt_dofadr[joints],
        motors=np.array(motors),
        fingers=(geoms("left"), geoms("right")),
    )

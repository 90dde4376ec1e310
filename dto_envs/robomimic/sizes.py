"""Sizes that robosuite draws when it loads a task's model, written into a model that is compiled already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np


@dataclass(frozen=True)
class Box:
    """A box of which all three half sizes are drawn: Lift's cube.

    Attributes:
        name: robosuite's name of the object.
        low: lowest half size, m.
        high: highest half size, m.
    """

    name: str
    low: float
    high: float
    count: int = 3
    meaning: str = "positive half sizes in m"

    def middle(self) -> np.ndarray:
        """The sizes in the middle of what is drawn."""
        return np.full(self.count, (self.low + self.high) / 2)

    def draw(self, env: Any) -> np.ndarray:
        """Draw sizes from robosuite's generator as loading the model does, and tell robosuite's object."""
        half_size = np.array([env.rng.uniform(self.low, self.high) for _ in range(3)])
        getattr(env, self.name).size = half_size
        return half_size

    def apply(self, model: mujoco.MjModel, data: mujoco.MjData, size: np.ndarray, density: float = 1000.0) -> None:
        """Give the box of a compiled model new half sizes, as if it had been compiled with them.

        Geometry, bounding volumes, mass, inertia and everything that MuJoCo derives from them follow.

        Args:
            model: a compiled model whose body ``{name}_main`` holds one colliding and one visual box.
            data: a state of that model, which is overwritten.
            size: (3,) half sizes, m.
            density: kg/m^3; robosuite's default.
        """
        body = model.body(f"{self.name}_main").id
        geoms = np.flatnonzero(model.geom_bodyid == body)
        mass = density * np.prod(2 * size)
        squares = (2 * size) ** 2
        model.geom_size[geoms] = size
        model.geom_rbound[geoms] = np.linalg.norm(size)
        model.geom_aabb[geoms, 3:] = size
        model.bvh_aabb[model.body_bvhadr[body], 3:] = size
        model.body_mass[body] = mass
        model.body_inertia[body] = mass / 12 * (squares.sum() - squares)
        mujoco.mj_setConst(model, data)


@dataclass(frozen=True)
class Hammer:
    """The hammer of TwoArmTransport, of which the head's half size is drawn: up to 1.2 times that of the handle.

    Attributes:
        body: name of its body.
        handle_half_size: half of the handle's thickness, m.
    """

    body: str = "payload_root"
    handle_half_size: float = 0.015
    count: int = 1
    meaning: str = "a positive half size of the hammer's head in m"

    def middle(self) -> np.ndarray:
        """The size in the middle of what is drawn."""
        return np.array([1.1 * self.handle_half_size])

    def draw(self, env: Any) -> np.ndarray:
        """Draw the size from robosuite's generator as loading the model does, and tell robosuite's object."""
        hammer = env.transport.payload
        fixed = (hammer.handle_radius_range, hammer.handle_length_range)
        fixed += (hammer.handle_density_range, hammer.handle_friction_range)
        for low, high in fixed:
            env.rng.uniform(low, high)
        hammer.head_halfsize = env.rng.uniform(self.handle_half_size, self.handle_half_size * 1.2)
        return np.array([hammer.head_halfsize])

    def apply(self, model: mujoco.MjModel, data: mujoco.MjData, size: np.ndarray) -> None:
        """Give the hammer of a compiled model a new head, as if it had been compiled with it.

        A model of the hammer alone is compiled, and all that depends on the head is copied from it.

        Args:
            model: a compiled model of the task.
            data: a state of that model, which is overwritten.
            size: (1,) half size of the head, m.
        """
        body = model.body(self.body).id
        alone = hammer_alone(float(size[0]), self.handle_half_size)
        first, count = model.body_geomadr[body], model.body_geomnum[body]
        for name in ("geom_size", "geom_pos", "geom_rbound", "geom_aabb"):
            getattr(model, name)[first : first + count] = getattr(alone, name)
        for name in ("body_mass", "body_inertia", "body_ipos", "body_iquat"):
            getattr(model, name)[body] = getattr(alone, name)[1]
        tree = slice(model.body_bvhadr[body], model.body_bvhadr[body] + model.body_bvhnum[body])
        model.bvh_aabb[tree], model.bvh_child[tree] = alone.bvh_aabb, alone.bvh_child
        model.bvh_depth[tree] = alone.bvh_depth
        model.bvh_nodeid[tree] = np.where(alone.bvh_nodeid < 0, -1, alone.bvh_nodeid + first)
        mujoco.mj_setConst(model, data)


def hammer_alone(head: float, handle: float) -> mujoco.MjModel:
    """Compile robosuite's hammer by itself: a wooden handle and a metal head with neck, face and claw.

    Each part is a colliding and a massless visual geom, in robosuite's order.

    Args:
        head: half size of the head, m.
        handle: half of the handle's thickness, m.
    """
    box, cylinder = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER
    length, wood, metal = 0.2, 150.0, 225.0
    height = length / 2 + head
    level, lying, turned = (1.0, 0.0, 0.0, 0.0), (0.707106, 0.0, 0.707106, 0.0), (0.9238795, 0.0, 0.3826834, 0.0)
    parts = (
        (box, (handle, handle, length / 2), (0.0, 0.0, 0.0), level, wood),
        (box, (head * 2, head, head), (0.0, 0.0, height), level, metal),
        (cylinder, (head * 0.8, head * 0.2, 0.0), (head * 2.2, 0.0, height), lying, metal),
        (cylinder, (head, head * 0.4, 0.0), (head * 2.8, 0.0, height), lying, metal),
        (box, (head * 0.7072, head * 0.95, head * 0.7072), (-head * 2, 0.0, height), turned, metal),
    )
    spec = mujoco.MjSpec()
    body = spec.worldbody.add_body()
    body.add_freejoint()
    for kind, size, position, quaternion, density in parts:
        shape = {"type": kind, "size": size, "pos": position, "quat": quaternion}
        body.add_geom(**shape, density=density)
        body.add_geom(**shape, mass=0.0, contype=0, conaffinity=0, group=1)
    return spec.compile()

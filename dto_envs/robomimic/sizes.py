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

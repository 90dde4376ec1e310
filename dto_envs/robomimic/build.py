"""Build robosuite's environments quietly and quickly, and change a compiled model where a hard reset would reload it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np


@dataclass(frozen=True)
class Task:
    """What robosuite calls a task, and what of it is sampled when its model is loaded.

    Attributes:
        robosuite_name: name of robosuite's environment class.
        objects: names of the bodies that the task is about.
        box: name of the box whose half sizes are drawn at load time, or None.
        box_size: lowest and highest half size of that box, m.
    """

    robosuite_name: str
    objects: tuple[str, ...]
    box: str | None = None
    box_size: tuple[float, float] = (0.0, 0.0)


TASKS = {
    "Lift": Task("Lift", objects=("cube_main",), box="cube", box_size=(0.020, 0.022)),
    "Can": Task("PickPlaceCan", objects=("Can_main",)),
    "Square": Task("NutAssemblySquare", objects=("SquareNut_main",)),
}


@contextmanager
def quiet() -> Iterator[None]:
    """Keep robosuite's console logger silent inside the block, except for errors; nothing outlives the block."""
    logger = logging.getLogger("robosuite_logs")

    def errors_only(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR

    logger.addFilter(errors_only)
    try:
        yield
    finally:
        logger.removeFilter(errors_only)


def make_robosuite_env(task: Task, control_freq: int = 20, seed: int = 0) -> Any:
    """robosuite's environment of ``task``: a Panda under operational-space control, no cameras, soft resets.

    Deltas in [-1, 1] ask for up to 0.05 m and 0.5 rad beyond the achieved pose in the robot's base frame, which for a
    single arm is parallel to the world's: the controller with which robomimic's data sets were recorded.

    Args:
        task: the task.
        control_freq: actions per simulated second, Hz.
        seed: seed of what is sampled while the model is loaded.
    """
    with quiet():
        import robosuite
        from robosuite.controllers import load_composite_controller_config

        return robosuite.make(
            task.robosuite_name,
            robots="Panda",
            controller_configs=load_composite_controller_config(robot="Panda"),
            has_renderer=False,
            has_offscreen_renderer=False,
            use_camera_obs=False,
            ignore_done=True,
            hard_reset=False,
            control_freq=control_freq,
            renderer="mujoco",
            seed=seed,
        )


def set_box_size(model: mujoco.MjModel, name: str, half_size: np.ndarray) -> None:
    """Give the free box ``name`` of a compiled model new half sizes, as if it had been compiled with them.

    Geometry, bounding volumes, mass, inertia and everything that MuJoCo derives from them follow. The density is the
    model's own.

    Args:
        model: a compiled model whose body ``{name}_main`` holds one colliding and one visual box.
        name: robosuite's name of the object.
        half_size: (3,) half sizes, m.
    """
    body = model.body(f"{name}_main").id
    geoms = np.flatnonzero(model.geom_bodyid == body)
    density = model.body_mass[body] / np.prod(2 * model.geom_size[geoms[0]])
    mass = density * np.prod(2 * half_size)
    squares = (2 * half_size) ** 2
    inertia = mass / 12 * (squares.sum() - squares)
    model.geom_size[geoms] = half_size
    model.geom_rbound[geoms] = np.linalg.norm(half_size)
    model.geom_aabb[geoms, 3:] = half_size
    model.bvh_aabb[model.body_bvhadr[body], 3:] = half_size
    model.body_mass[body] = mass
    model.body_inertia[body] = inertia
    mujoco.mj_setConst(model, mujoco.MjData(model))

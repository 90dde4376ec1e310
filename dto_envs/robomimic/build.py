"""What is built once per process and task: the compiled model, and a sampler of initial states."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from dto_envs.robomimic.control import ArmIndices


@dataclass(frozen=True)
class Task:
    """What robosuite calls a task, and what of it is sampled when its model is loaded.

    Attributes:
        robosuite_name: name of robosuite's environment class.
        object_body: name of the body that the task is about.
        box: robosuite's name of the box whose half sizes are drawn at load time, or None.
        box_range: lowest and highest half size of that box, m.
    """

    robosuite_name: str
    object_body: str
    box: str | None = None
    box_range: tuple[float, float] = (0.0, 0.0)


TASKS = {
    "Lift": Task("Lift", object_body="cube_main", box="cube", box_range=(0.020, 0.022)),
    "Can": Task("PickPlaceCan", object_body="Can_main"),
    "Square": Task("NutAssemblySquare", object_body="SquareNut_main"),
}


@contextmanager
def quiet() -> Iterator[None]:
    """Keep robosuite's console logger silent inside the block, except for errors, and MUJOCO_GL as it was."""
    logger = logging.getLogger("robosuite_logs")
    before = os.environ.get("MUJOCO_GL")

    def errors_only(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR

    logger.addFilter(errors_only)
    try:
        yield
    finally:
        logger.removeFilter(errors_only)
        if before is None:
            os.environ.pop("MUJOCO_GL", None)
        else:
            os.environ["MUJOCO_GL"] = before


def make_robosuite_env(task: Task, *, hard_reset: bool = False, seed: int = 0) -> Any:
    """Build robosuite's environment of ``task``: a Panda under operational-space control at 20 Hz, no cameras.

    Deltas in [-1, 1] ask for up to 0.05 m and 0.5 rad beyond the achieved pose in the robot's base frame, which for a
    single arm is parallel to the world's: the controller with which robomimic's data sets were recorded.

    Args:
        task: the task.
        hard_reset: reload the model at every reset, as robosuite does by default.
        seed: seed of what is sampled while the model is loaded.
    """
    with quiet():
        import robosuite
        from robosuite.controllers import load_composite_controller_config

        env = robosuite.make(
            task.robosuite_name,
            robots="Panda",
            controller_configs=load_composite_controller_config(robot="Panda"),
            has_renderer=False,
            has_offscreen_renderer=False,
            use_camera_obs=False,
            ignore_done=True,
            hard_reset=hard_reset,
            control_freq=20,
            renderer="mujoco",
            seed=seed,
        )
        env.reset()
    return env


def seed_robosuite_env(env: Any, seed: int) -> None:
    """Seed ``env``'s generator in place, since its samplers keep a reference to it."""
    env.rng.bit_generator.state = np.random.default_rng(seed).bit_generator.state


def set_box_size(
    model: mujoco.MjModel, data: mujoco.MjData, name: str, half_size: np.ndarray, density: float = 1000.0
) -> None:
    """Give the free box ``name`` of a compiled model new half sizes, as if it had been compiled with them.

    Geometry, bounding volumes, mass, inertia and everything that MuJoCo derives from them follow.

    Args:
        model: a compiled model whose body ``{name}_main`` holds one colliding and one visual box.
        data: a state of that model, which is overwritten.
        name: robosuite's name of the object.
        half_size: (3,) half sizes, m.
        density: kg/m^3; robosuite's default.
    """
    body = model.body(f"{name}_main").id
    geoms = np.flatnonzero(model.geom_bodyid == body)
    mass = density * np.prod(2 * half_size)
    squares = (2 * half_size) ** 2
    model.geom_size[geoms] = half_size
    model.geom_rbound[geoms] = np.linalg.norm(half_size)
    model.geom_aabb[geoms, 3:] = half_size
    model.bvh_aabb[model.body_bvhadr[body], 3:] = half_size
    model.body_mass[body] = mass
    model.body_inertia[body] = mass / 12 * (squares.sum() - squares)
    mujoco.mj_setConst(model, data)


class Scene:
    """A task's compiled model, which all environments of a process share, and a robosuite environment that samples.

    The model takes 70 MB. Where its box differs from episode to episode, the environment that is about to use it says
    so with :meth:`use_box`.
    """

    def __init__(self, task: Task) -> None:
        """Build and compile, which takes about a second."""
        self.task = task
        self.robosuite_env = make_robosuite_env(task)
        self.model: mujoco.MjModel = self.robosuite_env.sim.model._model
        self._scratch = mujoco.MjData(self.model)
        self._box_in_use = np.zeros(3)
        self.xml: str = self.robosuite_env.sim.model.get_xml()
        robot = self.robosuite_env.robots[0]
        self.arm = ArmIndices(
            positions=tuple(robot._ref_joint_pos_indexes),
            dofs=tuple(robot._ref_joint_vel_indexes),
            motors=tuple(robot._ref_arm_joint_actuator_indexes),
            finger_motors=tuple(robot._ref_joint_gripper_actuator_indexes["right"]),
            grip_site=robot.part_controllers["right"].ref_name,
            base_site=f"{robot.robot_model.naming_prefix}right_center",
        )
        self.hand_body: str = robot.robot_model.eef_name["right"]
        self.finger_positions = tuple(robot._ref_gripper_joint_pos_indexes["right"])

    def use_box(self, half_size: np.ndarray) -> None:
        """Give the model's box the half sizes (3,), m, of the environment that is about to use it."""
        if not np.array_equal(half_size, self._box_in_use):
            set_box_size(self.model, self._scratch, str(self.task.box), half_size)
            self._box_in_use = half_size.copy()

    def sample(self, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Draw the initial state that robosuite's hard reset gives under ``default_rng(seed)``.

        Returns:
            The flattened MuJoCo state (time, positions, velocities), and the sampled box's half sizes (3,) or None.
        """
        env, task = self.robosuite_env, self.task
        seed_robosuite_env(env, seed)
        half_size = None
        if task.box is not None:
            half_size = np.array([env.rng.uniform(*task.box_range) for _ in range(3)])
            getattr(env, task.box).size = half_size
        with quiet():
            env.reset()
        return env.sim.get_state().flatten(), half_size


@functools.cache
def scene(task_name: str) -> Scene:
    """This process's scene of the task."""
    return Scene(TASKS[task_name])

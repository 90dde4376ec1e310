"""What is built once per process and task: the compiled model, and a sampler of initial states."""

from __future__ import annotations

import ctypes
import functools
import gc
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from dto_envs.robomimic.control import ArmIndices
from dto_envs.robomimic.control_kernel import mujoco_library
from dto_envs.robomimic.sizes import Box, Hammer


@dataclass(frozen=True)
class Task:
    """What robosuite calls a task, and what of it is sampled when its model is loaded.

    Attributes:
        robosuite_name: name of robosuite's environment class.
        object_body: name of the body that the task is about.
        arms: number of Pandas; two face each other.
        sampled: what is drawn at load time, or None.
        cameras: names of the cameras of image observations, robomimic's.
        image_size: edge of their square pictures, pixels.
    """

    robosuite_name: str
    object_body: str
    arms: int = 1
    sampled: Box | Hammer | None = None
    cameras: tuple[str, ...] = ("agentview", "robot0_eye_in_hand")
    image_size: int = 84


TASKS = {
    "Lift": Task("Lift", object_body="cube_main", sampled=Box("cube", 0.020, 0.022)),
    "Can": Task("PickPlaceCan", object_body="Can_main"),
    "Square": Task("NutAssemblySquare", object_body="SquareNut_main"),
    "ToolHang": Task("ToolHang", object_body="tool_root", cameras=("sideview", "robot0_eye_in_hand"), image_size=240),
    "Transport": Task(
        "TwoArmTransport",
        object_body="payload_root",
        arms=2,
        sampled=Hammer(),
        cameras=("shouldercamera0", "shouldercamera1", "robot0_eye_in_hand", "robot1_eye_in_hand"),
    ),
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


@contextmanager
def without_robot_models() -> Iterator[None]:
    """Keep robosuite from compiling each robot by itself, for inverse kinematics: 53 MB and 0.6 s for nothing here."""
    from robosuite.models.robots.robot_model import RobotModel

    compile_robot = RobotModel.set_mujoco_model
    RobotModel.set_mujoco_model = lambda self, mujoco_model=None: None
    try:
        yield
    finally:
        RobotModel.set_mujoco_model = compile_robot


def make_robosuite_env(task: Task, *, hard_reset: bool = False, seed: int = 0, **cameras: Any) -> Any:
    """Build robosuite's environment of ``task``: Pandas under operational-space control at 20 Hz.

    Deltas in [-1, 1] ask for up to 0.05 m and 0.5 rad beyond the achieved pose in the robot's base frame, which for a
    single arm is parallel to the world's: the controller with which robomimic's data sets were recorded.

    Args:
        task: the task.
        hard_reset: reload the model at every reset, as robosuite does by default.
        seed: seed of what is sampled while the model is loaded.
        **cameras: robosuite's options of camera observations; without any there are none.
    """
    with quiet():
        import robosuite
        from robosuite.controllers import load_composite_controller_config

        with without_robot_models():
            env = robosuite.make(
                task.robosuite_name,
                robots=["Panda"] * task.arms,
                env_configuration="opposed" if task.arms == 2 else "default",
                controller_configs=load_composite_controller_config(robot="Panda"),
                has_renderer=False,
                has_offscreen_renderer=bool(cameras),
                use_camera_obs=bool(cameras),
                ignore_done=True,
                hard_reset=hard_reset,
                control_freq=20,
                renderer="mujoco",
                seed=seed,
                **cameras,
            )
        env.reset()
    return env


def seed_robosuite_env(env: Any, seed: int) -> None:
    """Seed ``env``'s generator in place, since its samplers keep a reference to it."""
    env.rng.bit_generator.state = np.random.default_rng(seed).bit_generator.state


class Scene:
    """A task's compiled model, which all environments of a process share, and a robosuite environment that samples.

    The model takes 70 MB. Where a size of it differs from episode to episode, the environment that is about to use it
    says so with :meth:`use_size`.
    """

    def __init__(self, task: Task) -> None:
        """Build and compile, which takes about a second."""
        self.task = task
        self.robosuite_env = make_robosuite_env(task)
        self.model: mujoco.MjModel = self.robosuite_env.sim.model._model
        self._scratch = mujoco.MjData(self.model)
        self._size_in_use = np.zeros(0)
        self.xml: str = self.robosuite_env.sim.model.get_xml()
        self.arms = tuple(robot_indices(robot) for robot in self.robosuite_env.robots)
        for robot in self.robosuite_env.robots:
            # Building its controllers anew is most of what a reset costs, and nothing that is sampled depends on them.
            robot._load_controller = _nothing
        give_back_memory()

    def use_size(self, size: np.ndarray) -> None:
        """Give the model's sampled object the size of the environment that is about to use it."""
        if self.task.sampled is not None and not np.array_equal(size, self._size_in_use):
            self.task.sampled.apply(self.model, self._scratch, size)
            self._size_in_use = size.copy()

    def sample(self, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Draw the initial state that robosuite's hard reset gives under ``default_rng(seed)``.

        Returns:
            The flattened MuJoCo state (time, positions, velocities), and the sampled size or None.
        """
        env, sampled = self.robosuite_env, self.task.sampled
        seed_robosuite_env(env, seed)
        size = None if sampled is None else sampled.draw(env)
        env.sim.reset()
        env._reset_internal()
        return env.sim.get_state().flatten(), size


def give_back_memory() -> None:
    """Free what compiling leaves behind, 200 to 300 MB: MuJoCo's copy of the parsed XML and the allocator's free pages.

    After this, a model's XML can no longer be asked for.
    """
    gc.collect()
    mujoco_library().mj_freeLastXML()
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:  # glibc has it, musl does not
            trim(0)


def _nothing() -> None:
    """Stand in for what robosuite does at a reset and sampling has no use for."""


def robot_indices(robot: Any) -> ArmIndices:
    """Where a robot of robosuite is in its model."""
    return ArmIndices(
        positions=tuple(robot._ref_joint_pos_indexes),
        dofs=tuple(robot._ref_joint_vel_indexes),
        motors=tuple(robot._ref_arm_joint_actuator_indexes),
        finger_motors=tuple(robot._ref_joint_gripper_actuator_indexes["right"]),
        grip_site=robot.part_controllers["right"].ref_name,
        base_site=f"{robot.robot_model.naming_prefix}right_center",
        hand_body=robot.robot_model.eef_name["right"],
        finger_positions=tuple(robot._ref_gripper_joint_pos_indexes["right"]),
    )


@functools.cache
def scene(task_name: str) -> Scene:
    """This process's scene of the task."""
    return Scene(TASKS[task_name])

"""The Gymnasium environment over the tasks of robosuite that robomimic uses."""

from __future__ import annotations

import functools
from typing import Any, Literal

import numpy as np

from dto_envs.choices import check_choice
from dto_envs.robomimic.arm_env import ArmEnv
from dto_envs.robomimic.build import TASKS, scene
from dto_envs.robomimic.rendering import painter
from dto_envs.robomimic.sensing import StateReader, robosuite_state_vector
from dto_envs.robomimic.window import adopt, restart_controller


class RobomimicEnv(ArmEnv):
    """One of robomimic's tasks: lift a cube, sort a can, put a nut on its peg, hang a tool, hand over a hammer.

    An action is 7 numbers in [-1, 1]: a translation of up to 0.05 m, a rotation vector of up to 0.5 rad, both in the
    robot's base frame (parallel to the world's) and relative to the pose reached so far, and the gripper (+1 closes).
    Transport has two Pandas that face each other and 14 numbers, first robot 0's; its base is turned by +90 degrees
    about z, robot 1's by -90.

    State observations are robomimic's low-dimensional ones, float64: robosuite's object-state, then position (m) and
    quaternion (xyzw) of the end effector in the world frame, then the two finger positions (m). Square and Can: 14 + 3
    + 4 + 2 = 23, Lift: 10 + 9 = 19, ToolHang: 44 + 9 = 53, Transport: 41 + 2 * 9 = 59. As in robosuite and so in
    robomimic's data sets, an object's pose relative to the gripper (in Square, Can and ToolHang) uses the object's pose
    of the step before, and is zero at reset.

    Image observations are a dictionary of robomimic's cameras for the task, such as ``agentview`` and
    ``robot0_eye_in_hand``, each (84, 84, 3) uint8, (240, 240, 3) for ToolHang, upright; with ``obs_type="state_image"``
    it holds the state vector as ``state`` as well. While the attribute ``draw_images`` is False, the images that
    ``step`` returns are not drawn but black (all zeros), and everything else is as ever; those of a reset are always
    drawn. Set it before a step whose images nobody will look at (:func:`dto_envs.wrappers.set_drawing`).

    ``reset(seed=s)`` gives the state that robosuite's hard reset gives under ``numpy.random.default_rng(s)``, in any
    process and after any history, at the cost of a soft reset; the sizes of Lift's cube and of the head of
    Transport's hammer are part of it.

    Example::

        import gymnasium as gym
        import dto_envs

        env = gym.make("dto/Square-v0")
        observation, info = env.reset(seed=100_000)
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
    """

    def __init__(
        self,
        task: str = "Square",
        obs_type: Literal["state", "image", "state_image"] = "state",
        render_mode: str | None = None,
        terminate_on_success: bool = True,
        fast: bool = True,
        render_quality: Literal["default", "fast"] = "default",
    ) -> None:
        """Bind to this process's simulator of the task, which the first environment builds in a second or two.

        Args:
            task: "Lift", "Can", "Square", "ToolHang" or "Transport".
            obs_type: what an observation holds: "state" (needs no OpenGL), "image" or "state_image".
            render_mode: None, "rgb_array" for frames of 512 x 512, or "human" for a window.
            terminate_on_success: end the episode at success; False to run on to the horizon.
            fast: run the control loop compiled; False for robosuite's own ``step``, which is about four times slower
                and agrees to rounding.
            render_quality: how pictures are drawn: "default" as robosuite draws them, "fast" without multisampling
                (edges are jagged), shadows, and what the floor faintly reflects.

        Raises:
            ValueError: an argument has no such value; raised before anything is built.
            NoDisplayError: images or a window are asked for on a machine that cannot draw them.
        """
        check_choice("task", task, tuple(TASKS))
        self.fast = fast
        super().__init__(
            task,
            functools.partial(scene, task),
            StateReader,
            functools.partial(painter, task),
            obs_type=obs_type,
            render_mode=render_mode,
            terminate_on_success=terminate_on_success,
            render_quality=render_quality,
        )

    @property
    def object_size(self) -> np.ndarray | None:
        """Half sizes of Lift's cube (3,) or of the head of Transport's hammer (1,), m; elsewhere None."""
        return None if self._size is None else self._size.copy()

    @functools.cached_property
    def robosuite_env(self) -> Any:
        """A robosuite environment on this very simulation, for its names and helpers; built on first use."""
        return adopt(self._task, self.model, self.data)

    def _sample(self, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
        return scene(self.task).sample(seed)

    def _advance(self, action: np.ndarray) -> tuple[bool, np.ndarray]:
        if self.fast:
            self._control.execute(action)
            return self._reader.success(), self._reader.read()
        raw, reward, _, _ = self.robosuite_env.step(action)
        return bool(reward > 0), robosuite_state_vector(raw, self._task.arms)

    def _restore(self, state: np.ndarray) -> None:
        super()._restore(state)
        if not self.fast:
            restart_controller(self.robosuite_env)

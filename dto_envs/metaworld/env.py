"""The Gymnasium environment over Meta-World's tasks."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import numpy as np
from gymnasium import spaces

from dto_envs.choices import check_choice
from dto_envs.metaworld.clouds import CAMERA, CLOUD_SIZE, CloudCamera
from dto_envs.metaworld.simulation import OBSERVATION_SIZE, Simulation
from dto_envs.metaworld.tasks import TASKS
from dto_envs.mujoco_env import MujocoEnv
from dto_envs.opengl import fixed_camera
from dto_envs.registry import row

OBS_TYPES = ("state", "image", "state_image", "pointcloud")
IMAGE_SIZE = 128
HAND_SIZE = 4


class MetaWorldEnv(MujocoEnv):
    """One of Meta-World's tasks (Yu et al. 2020): a Sawyer arm that moves its hand without turning it.

    PickPlaceWall lifts a puck over a wall to a point, ShelfPlace puts a block on a shelf, Disassemble takes a nut off
    its peg, StickPush and StickPull move a thermos with a stick. Physics, initial states, observations and success are
    those of Meta-World 3.1.1, bit for bit; its shaped rewards, half of what a step costs there, are left out.

    - Action: (4,) float32 in [-1, 1] at 80 Hz. The first three move the target that the hand follows, by up to 10 mm
      along each axis of the world; the last closes (1) or opens (-1) the gripper.
    - Observation ``"state"``: (39,) float64, Meta-World's with the goal shown: the hand's position (m), how far the
      gripper is open (0 to 1), 14 numbers about one object or two (position in m, quaternion), the same 18 of the step
      before, and the goal's position (m).
    - ``"image"``: (128, 128, 3) uint8, camera ``corner4``; ``"state_image"``: a dictionary with both.
    - ``"pointcloud"``: a dictionary with ``pointcloud``, (512, 3) float32, m in the world frame: what camera
      ``corner4`` sees of hand, objects and goal, but not of the table, spread by farthest-point sampling; and
      ``hand``, (4,) float64, its position and the gripper's opening. Depth comes from ray casting and needs no OpenGL.
    - While the attribute ``draw_images`` is False, the images and clouds that ``step`` returns are zeros, and
      everything else is as ever (:func:`dto_envs.wrappers.set_drawing`); those of a reset are always made.
    - Reward: 1 while the task is done, else 0.

    ``reset(seed=s)`` gives the same bits in any process and after any history. Meta-World's own ``reset`` ignores its
    seed and draws from numpy's global generator, twice, or not at all.

    Example::

        env = gymnasium.make("dto/StickPush-v0")
        observation, info = env.reset(seed=100_000)
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
    """

    metadata = {"render_modes": ["rgb_array", "human"], "render_fps": 80}

    def __init__(
        self,
        task: str = "PickPlaceWall",
        obs_type: Literal["state", "image", "state_image", "pointcloud"] = "state",
        render_mode: str | None = None,
        terminate_on_success: bool = True,
    ) -> None:
        """Bind to this process's model of the scene, which the first environment builds in half a second.

        Args:
            task: "PickPlaceWall", "ShelfPlace", "Disassemble", "StickPush" or "StickPull".
            obs_type: what an observation holds: "state", "image", "state_image" or "pointcloud".
            render_mode: None, "rgb_array" for frames of 512 x 512, or "human" for a window.
            terminate_on_success: end the episode at success; False to run on to the horizon.

        Raises:
            ValueError: an argument has no such value; raised before anything is built.
            NoDisplayError: images or a window are asked for on a machine that cannot draw them.
        """
        check_choice("task", task, tuple(TASKS))
        check_choice("obs_type", obs_type, OBS_TYPES)
        check_choice("render_mode", render_mode, (None, *self.metadata["render_modes"]))
        self.task = task
        self.obs_type = obs_type
        self.render_mode = render_mode
        self.terminate_on_success = terminate_on_success
        self.action_layout = row(f"dto/{task}-v0").layout
        self.simulation = Simulation(task)
        self.action_space = spaces.Box(-1.0, 1.0, (4,), np.float32)
        self._clouds = CloudCamera(self.simulation) if obs_type == "pointcloud" else None
        self._image_shape = (IMAGE_SIZE, IMAGE_SIZE, 3)
        self._cameras = ("image",) if obs_type in ("image", "state_image") else ()
        self.observation_space = self._make_observation_space()
        if obs_type in ("image", "state_image") or render_mode is not None:
            self._prepare_drawing()
        self._frame = np.zeros(0)
        self._succeeded = False

    def get_state(self) -> np.ndarray:
        """All that the rest of the episode depends on, float64; what ``reset`` restores.

        Where object and goal were put (6,), the goal (3,), then MuJoCo's time, positions, velocities, the solver's
        warm start, controls, and the target's position and quaternion.
        """
        return self.simulation.get_state()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: fixes the initial state; None draws the next one from this environment's generator.
            options: ``{"state": what get_state returned}`` goes on from there, bit for bit but for the frame of the
                step before, which is the present one again.

        Returns:
            The observation and info with ``init_hash``, ``success`` and ``score``.

        Raises:
            ValueError: an unknown option, or one of the wrong size or with values that are not finite.
        """
        state = self._checked_state(options or {})
        super().reset(seed=seed)
        if state is None:
            self.simulation.begin(self.simulation.task.draw(self.np_random))
        else:
            self.simulation.set_state(state)
        self._frame = np.zeros(0)
        self._succeeded = False
        self._ready = True
        init_hash = hashlib.sha256(self.get_state().astype("<f8").tobytes()).hexdigest()
        info = {"init_hash": init_hash, "success": False, "score": 0.0}
        return self._observe(self._state(self.simulation.frame())), info

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Execute one action for 0.0125 s.

        Args:
            action: (4,), clipped to [-1, 1].

        Returns:
            Observation, reward, terminated, truncated (always False) and info with ``success`` (now) and ``score``
            (1.0 once the task has been done).

        Raises:
            ValueError: the action has the wrong shape or is not finite.
            gymnasium.error.ResetNeeded: no episode has begun.
        """
        action = self._checked(action, np.float32)
        self.simulation.step(action)
        frame = self.simulation.frame()
        success = self.simulation.done(frame)
        self._succeeded |= success
        observation = self._observe(self._state(frame), draw=self.draw_images)
        info = {"success": success, "score": float(self._succeeded)}
        return observation, float(success), success and self.terminate_on_success, False, info

    def _paint_frame(self) -> np.ndarray:
        from dto_envs.metaworld.drawing import FRAME_SIZE, onlooker

        assert self._painter is not None
        return self._painter.paint(self.simulation, onlooker(), FRAME_SIZE)

    def _prepare_drawing(self) -> None:
        from dto_envs.metaworld.drawing import open_window, painter

        if self.render_mode == "human":
            self._window = open_window(self.simulation)
        if self.obs_type in ("image", "state_image") or self.render_mode == "rgb_array":
            self._painter = painter(self.task)
            self._camera = fixed_camera(self.simulation.model, CAMERA)

    def _state(self, frame: np.ndarray) -> np.ndarray:
        before, self._frame = self._frame if self._frame.size else frame, frame
        goal = np.clip(self.simulation.goal, *self.simulation.task.goal_limits)
        return np.concatenate([frame, before, goal])

    def _observe(self, state: np.ndarray, *, draw: bool = True) -> Any:
        observation = super()._observe(state, draw=draw)
        if self._clouds is not None:
            cloud = self._clouds.see() if draw else np.zeros((CLOUD_SIZE, 3), np.float32)
            return {"pointcloud": cloud, "hand": state[:HAND_SIZE]}
        return observation["image"] if self.obs_type == "image" else observation

    def _image(self, camera: str) -> np.ndarray:
        assert self._painter is not None
        # The model's cameras stand on their heads.
        return self._painter.paint(self.simulation, self._camera, IMAGE_SIZE)[::-1, ::-1].copy()

    def _make_observation_space(self) -> spaces.Space:
        if self._clouds is not None:
            cloud = spaces.Box(-np.inf, np.inf, (CLOUD_SIZE, 3), np.float32)
            return spaces.Dict({"pointcloud": cloud, "hand": spaces.Box(-np.inf, np.inf, (HAND_SIZE,), np.float64)})
        if self.obs_type == "image":
            return spaces.Box(0, 255, self._image_shape, np.uint8)
        return self._space_of(OBSERVATION_SIZE)

    def _checked_state(self, options: dict[str, Any]) -> np.ndarray | None:
        if unknown := set(options) - {"state"}:
            raise ValueError(f"unknown reset options {', '.join(sorted(unknown))}; {self.task} knows 'state'")
        if "state" not in options:
            return None
        state, size = np.array(options["state"], dtype=np.float64), self.simulation.get_state().size
        if state.shape != (size,) or not np.isfinite(state).all():
            raise ValueError(f"the state of {self.task} is {size} finite numbers, as get_state returns them")
        return state

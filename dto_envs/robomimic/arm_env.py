"""What environments with arms in MuJoCo share: bit-exact resets, observations, pictures and the window."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Protocol

import gymnasium
import mujoco
import numpy as np

from dto_envs.choices import check_choice
from dto_envs.mujoco_env import MujocoEnv
from dto_envs.opengl import fixed_camera
from dto_envs.painting import QUALITIES
from dto_envs.registry import row
from dto_envs.robomimic.build import Task
from dto_envs.robomimic.control import ArmControl, ArmIndices
from dto_envs.robomimic.rendering import FRAME_SIZE, Painter, onlooker, open_window

CONTROL_TIMESTEP = 0.05
OBS_TYPES = ("state", "image", "state_image")


class ArmScene(Protocol):
    """A task's compiled model, which all environments of a process share."""

    task: Task
    model: mujoco.MjModel
    arms: tuple[ArmIndices, ...]

    def use_size(self, size: np.ndarray) -> None:
        """Give the model's sampled object the size of the environment that is about to use it."""
        ...


class Reader(Protocol):
    """Reads one simulation after an action."""

    def reset(self) -> None:
        """Forget the steps of the episode before."""
        ...

    def read(self) -> np.ndarray:
        """The state vector, float64; called once per action."""
        ...

    def success(self) -> bool:
        """Whether the task is done now; called once per action, before :meth:`read`."""
        ...


class ArmEnv(MujocoEnv):
    """The part of an environment that does not depend on its task.

    A subclass says what an initial state is (:meth:`_sample`), what an action does (:meth:`_advance`), and what else
    ``info`` holds (:meth:`_details`).

    Attributes:
        watched_body: name of the body whose contact force the control loop follows, or None.
    """

    metadata = {"render_modes": ["rgb_array", "human"], "render_fps": 20}
    watched_body: str | None = None

    def __init__(
        self,
        task: str,
        scene: Callable[[], ArmScene],
        reader: Callable[[Any, mujoco.MjData], Reader],
        painter: Callable[[str], Painter],
        *,
        obs_type: str,
        render_mode: str | None,
        terminate_on_success: bool,
        render_quality: str,
    ) -> None:
        """Check the arguments, then bind to the scene.

        Args:
            task: the name between ``dto/`` and ``-v0``.
            scene: builds the scene, or finds the one that this process has.
            reader: makes what reads a simulation of that scene.
            painter: makes what draws it in a quality, or finds it.
            obs_type: what an observation holds: "state" (needs no OpenGL), "image" or "state_image".
            render_mode: None, "rgb_array" for frames of 512 x 512, or "human" for a window.
            terminate_on_success: end the episode at success; False to run on to the horizon.
            render_quality: how pictures are drawn: "default" or "fast".

        Raises:
            ValueError: an argument has no such value; raised before anything is built.
            NoDisplayError: images or a window are asked for on a machine that cannot draw them.
        """
        check_choice("obs_type", obs_type, OBS_TYPES)
        check_choice("render_mode", render_mode, (None, *self.metadata["render_modes"]))
        check_choice("render_quality", render_quality, QUALITIES)
        self.task = task
        self.obs_type = obs_type
        self.render_mode = render_mode
        self.terminate_on_success = terminate_on_success
        self.render_quality = render_quality
        self.action_layout = row(f"dto/{task}-v0").layout
        self._scene = scene()
        self._task = self._scene.task
        self._size = None if self._task.sampled is None else self._task.sampled.middle()
        model = self.model
        self.data = mujoco.MjData(model)
        mujoco.mj_forward(model, self.data)
        watched = -1 if self.watched_body is None else model.body(self.watched_body).id
        physics_steps = round(CONTROL_TIMESTEP / model.opt.timestep)
        self._control = ArmControl(model, self.data, self._scene.arms, physics_steps, watched)
        self._reader = reader(self._scene, self.data)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (self.action_layout.size,), np.float32)
        self._cameras = self._task.cameras
        self._image_shape = (self._task.image_size, self._task.image_size, 3)
        self.observation_space = self._space_of(self._reader.read().size)
        pictures = obs_type != "state" or render_mode == "rgb_array"
        self._painter = painter(render_quality) if pictures else None
        self._view = onlooker(self._task.arms)
        self._window = open_window(model, self.data, self._view) if render_mode == "human" else None
        self._succeeded = False

    @property
    def model(self) -> mujoco.MjModel:
        """MuJoCo's compiled model, which this process's environments of the task share, with our sampled size."""
        if self._size is not None:
            self._scene.use_size(self._size)
        return self._scene.model

    def get_state(self) -> np.ndarray:
        """The flattened MuJoCo state, (1 + nq + nv,): time, positions, velocities; what ``reset`` restores."""
        return np.concatenate([[self.data.time], self.data.qpos, self.data.qvel])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: fixes the initial state; None draws the next one from this environment's generator.
            options: ``{"state": flattened MuJoCo state}`` restores time, positions and velocities as robomimic's data
                sets store them. The gripper's command and the controller's goal start afresh, and the arm's restored
                joints become the posture that its null space keeps. Lift's cube gets the half sizes (3,) of the option
                ``"object_size"``, Transport's hammer that (1,) of its head; without it those of ``seed``, and without
                both it keeps what it has.

        Returns:
            The observation and info with ``init_hash``, ``success`` and ``score``.

        Raises:
            ValueError: an unknown option, or one of the wrong size or with values that are not finite.
        """
        state, size = self._checked_options(options or {})
        super().reset(seed=seed)
        if state is None or seed is not None:
            drawn = int(self.np_random.integers(2**31)) if seed is None else seed
            sampled, self._size = self._sample(drawn)
            state = sampled if state is None else state
        self._size = self._size if size is None else size
        self._restore(state)
        self._succeeded = False
        self._ready = True
        info = {"init_hash": self._init_hash(), "success": False, "score": 0.0, **self._details()}
        return self._observe(self._reader.read()), info

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Execute one action for 0.05 s.

        Args:
            action: (D_a,), clipped to [-1, 1].

        Returns:
            Observation, reward (1 while the task is done, else 0), terminated, truncated (always False) and info with
            ``success`` (now) and ``score`` (1.0 once it has been done).

        Raises:
            ValueError: the action has the wrong shape or is not finite.
            gymnasium.error.ResetNeeded: no episode has begun.
        """
        action = self._checked(action)
        if self._size is not None:
            self._scene.use_size(self._size)
        success, state = self._advance(action)
        self._succeeded |= success
        info = {"success": success, "score": float(self._succeeded), **self._details()}
        observation = self._observe(state, draw=self.draw_images)
        return observation, float(success), success and self.terminate_on_success, False, info

    def _sample(self, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
        """The initial state of ``seed``, and the sampled size or None."""
        raise NotImplementedError

    def _advance(self, action: np.ndarray) -> tuple[bool, np.ndarray]:
        """Execute a checked action; returns success now and the state vector."""
        raise NotImplementedError

    def _details(self) -> dict[str, Any]:
        """What ``info`` holds besides what every environment's does."""
        return {}

    def _paint_frame(self) -> np.ndarray:
        assert self._painter is not None
        return self._painter.paint(self.model, self.data, self._view, FRAME_SIZE)

    def _image(self, camera: str) -> np.ndarray:
        assert self._painter is not None
        return self._painter.paint(self.model, self.data, fixed_camera(self.model, camera), self._task.image_size)

    def _checked_options(self, options: dict[str, Any]) -> tuple[np.ndarray | None, np.ndarray | None]:
        """The options ``state`` and ``object_size``, None where absent."""
        nq, nv = self._scene.model.nq, self._scene.model.nv
        known = {"state": (1 + nq + nv, f"time, {nq} positions, {nv} velocities")}
        sampled = self._task.sampled
        if sampled is not None:
            known["object_size"] = (sampled.count, sampled.meaning)
        unknown = [name for name in options if name not in known or "state" not in options]
        if unknown:
            raise ValueError(f"reset of {self.task} takes the options {', '.join(known)}, got {', '.join(options)}")
        values: dict[str, np.ndarray] = {}
        for name, value in options.items():
            size, meaning = known[name]
            values[name] = np.array(value, dtype=np.float64)
            if values[name].shape != (size,) or not np.isfinite(values[name]).all():
                raise ValueError(f"{name} of {self.task} is {size} finite numbers ({meaning}), got {value!r}")
        size = values.get("object_size")
        if sampled is not None and size is not None and size.min() <= 0:
            raise ValueError(f"object_size is {sampled.meaning}, got {size}")
        return values.get("state"), size

    def _restore(self, state: np.ndarray) -> None:
        """Put the simulator into ``state`` with everything else as new, solver and controller included."""
        model, data = self.model, self.data
        mujoco.mj_resetData(model, data)
        data.time = state[0]
        data.qpos[:] = state[1 : 1 + model.nq]
        data.qvel[:] = state[1 + model.nq :]
        mujoco.mj_forward(model, data)
        self._control.reset()
        self._reader.reset()

    def _init_hash(self) -> str:
        digest = hashlib.sha256(self.get_state().astype("<f8").tobytes())
        digest.update(self.data.act.astype("<f8").tobytes())
        if self._size is not None:
            digest.update(self._size.astype("<f8").tobytes())
        return digest.hexdigest()

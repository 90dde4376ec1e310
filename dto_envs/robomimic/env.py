"""The Gymnasium environment over robosuite's Lift, PickPlaceCan and NutAssemblySquare."""

from __future__ import annotations

import functools
import hashlib
from typing import Any, Literal

import gymnasium
import mujoco
import numpy as np

from dto_envs.registry import ROBOMIMIC_LAYOUT
from dto_envs.robomimic.build import TASKS, scene
from dto_envs.robomimic.control import ArmControl
from dto_envs.robomimic.rendering import (
    CAMERAS,
    FRAME_SIZE,
    IMAGE_SIZE,
    fixed_camera,
    onlooker,
    open_window,
    painter,
)
from dto_envs.robomimic.sensing import StateReader, SuccessCheck, robosuite_state_vector
from dto_envs.robomimic.window import adopt, restart_controller

CONTROL_TIMESTEP = 0.05
OBS_TYPES = ("state", "image", "state_image")


class RobomimicEnv(gymnasium.Env):
    """One of robomimic's single-arm tasks: a Panda that lifts a cube, sorts a can or puts a square nut on its peg.

    An action is 7 numbers in [-1, 1]: a translation of up to 0.05 m, a rotation vector of up to 0.5 rad, both in the
    robot's base frame (parallel to the world's) and relative to the pose reached so far, and the gripper (+1 closes).

    State observations are robomimic's low-dimensional ones, float64: robosuite's object-state, then position (m) and
    quaternion (xyzw) of the end effector in the world frame, then the two finger positions (m). Square and Can: 14 + 3
    + 4 + 2 = 23, Lift: 10 + 9 = 19. As in robosuite and so in robomimic's data sets, the object's pose relative to the
    gripper (the first 7 numbers of Square and Can) uses the object's pose of the step before, and is zero at reset.

    Image observations are a dictionary of robomimic's two cameras, ``agentview`` and ``robot0_eye_in_hand``, each (84,
    84, 3) uint8, upright; with ``obs_type="state_image"`` it holds the state vector as ``state`` as well.

    ``reset(seed=s)`` gives the state that robosuite's hard reset gives under ``numpy.random.default_rng(s)``, in any
    process and after any history, at the cost of a soft reset; the size of Lift's cube is part of it.

    Example::

        import gymnasium as gym
        import dto_envs

        env = gym.make("dto/Square-v0")
        observation, info = env.reset(seed=100_000)
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
    """

    metadata = {"render_modes": ["rgb_array", "human"], "render_fps": 20}

    def __init__(
        self,
        task: str = "Square",
        obs_type: Literal["state", "image", "state_image"] = "state",
        render_mode: str | None = None,
        terminate_on_success: bool = True,
        fast: bool = True,
    ) -> None:
        """Bind to this process's simulator of the task, which the first environment builds in a second or two.

        Args:
            task: "Lift", "Can" or "Square".
            obs_type: what an observation holds: "state" (needs no OpenGL), "image" or "state_image".
            render_mode: None, "rgb_array" for frames of 512 x 512, or "human" for a window.
            terminate_on_success: end the episode at success; False to run on to the horizon.
            fast: run the control loop compiled; False for robosuite's own ``step``, which is about four times slower
                and agrees to rounding.

        Raises:
            ValueError: an argument has no such value; raised before anything is built.
            NoDisplayError: images or a window are asked for on a machine that cannot draw them.
        """
        _check_choice("task", task, tuple(TASKS))
        _check_choice("obs_type", obs_type, OBS_TYPES)
        _check_choice("render_mode", render_mode, (None, *self.metadata["render_modes"]))
        self.task = task
        self.obs_type = obs_type
        self.render_mode = render_mode
        self.terminate_on_success = terminate_on_success
        self.fast = fast
        self.action_layout = ROBOMIMIC_LAYOUT
        self._scene = scene(task)
        self._box = None if TASKS[task].box is None else np.array(TASKS[task].box_range).mean() * np.ones(3)
        model = self.model
        self.data = mujoco.MjData(model)
        mujoco.mj_forward(model, self.data)
        self._control = ArmControl(model, self.data, self._scene.arm, round(CONTROL_TIMESTEP / model.opt.timestep))
        self._reader = StateReader(self._scene, self.data)
        self._is_success = SuccessCheck(self._scene, self.data)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (7,), np.float32)
        self.observation_space = self._make_observation_space(self._reader.read().size)
        self._painter = painter(task) if obs_type != "state" or render_mode == "rgb_array" else None
        self._window = open_window(model, self.data) if render_mode == "human" else None
        self._succeeded = False
        self._ready = False

    @property
    def model(self) -> mujoco.MjModel:
        """MuJoCo's compiled model, which this process's environments of the task share; Lift's cube is set to ours."""
        if self._box is not None:
            self._scene.use_box(self._box)
        return self._scene.model

    @property
    def object_size(self) -> np.ndarray | None:
        """(3,) half sizes of the sampled box, m; None where the model is always the same."""
        return None if self._box is None else self._box.copy()

    @functools.cached_property
    def robosuite_env(self) -> Any:
        """A robosuite environment on this very simulation, for its names and helpers; built on first use."""
        return adopt(TASKS[self.task], self.model, self.data)

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
                ``"object_size"``, without it those of ``seed``, and without both keeps what it has.

        Returns:
            The observation and info with ``init_hash``, ``success`` and ``score``.

        Raises:
            ValueError: an unknown option, or one of the wrong size or with values that are not finite.
        """
        state, box = self._checked_options(options or {})
        super().reset(seed=seed)
        if state is None or seed is not None:
            drawn = int(self.np_random.integers(2**31)) if seed is None else seed
            sampled, self._box = self._scene.sample(drawn)
            state = sampled if state is None else state
        self._box = self._box if box is None else box
        self._restore(state)
        self._succeeded = False
        self._ready = True
        return self._observe(self._reader.read()), {"init_hash": self._init_hash(), "success": False, "score": 0.0}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Execute one action for 0.05 s.

        Args:
            action: (7,), clipped to [-1, 1].

        Returns:
            Observation, reward (robosuite's sparse one: 1 while the task is done, else 0), terminated, truncated
            (always False) and info with ``success`` (now) and ``score`` (1.0 once it has been done).

        Raises:
            ValueError: the action has the wrong shape or is not finite.
            gymnasium.error.ResetNeeded: no episode has begun.
        """
        action = np.asarray(action, dtype=np.float64)
        if action.shape != (7,) or not np.isfinite(action).all():
            raise ValueError(f"an action is 7 finite numbers in [-1, 1], got {action!r}")
        if not self._ready:
            raise gymnasium.error.ResetNeeded("call reset before step")
        if self._box is not None:
            self._scene.use_box(self._box)
        if self.fast:
            self._control.execute(action)
            success = self._is_success()
            state = self._reader.read()
        else:
            raw, reward, _, _ = self.robosuite_env.step(action)
            success = bool(reward > 0)
            state = robosuite_state_vector(raw)
        self._succeeded |= success
        info = {"success": success, "score": float(self._succeeded)}
        return self._observe(state), float(success), success and self.terminate_on_success, False, info

    def render(self) -> np.ndarray | None:
        """A frame (512, 512, 3) uint8 for "rgb_array"; for "human" the window shows the present state by itself.

        Raises:
            ValueError: the environment was made without a render mode.
        """
        if self.render_mode is None:
            raise ValueError("nothing to render; make the environment with render_mode='rgb_array' or 'human'")
        if self._painter is not None and self.render_mode == "rgb_array":
            return self._painter.paint(self.model, self.data, onlooker(), FRAME_SIZE)
        return None

    def close(self) -> None:
        """Close the window, if there is one; the simulator stays for other environments of this process."""
        if self._window is not None:
            self._window.close()
            self._window = None
        self._ready = False

    def _make_observation_space(self, size: int) -> gymnasium.Space:
        state = gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float64)
        if self.obs_type == "state":
            return state
        image = gymnasium.spaces.Box(0, 255, (IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
        parts: dict[str, gymnasium.Space] = dict.fromkeys(CAMERAS, image)
        return gymnasium.spaces.Dict(parts | ({"state": state} if self.obs_type == "state_image" else {}))

    def _observe(self, state: np.ndarray) -> Any:
        if self._window is not None:
            self._window.sync()
        if self.obs_type == "state" or self._painter is None:
            return state
        observation = {
            name: self._painter.paint(self.model, self.data, fixed_camera(self.model, name), IMAGE_SIZE)
            for name in CAMERAS
        }
        return observation | ({"state": state} if self.obs_type == "state_image" else {})

    def _checked_options(self, options: dict[str, Any]) -> tuple[np.ndarray | None, np.ndarray | None]:
        """The options ``state`` and ``object_size``, None where absent."""
        nq, nv = self._scene.model.nq, self._scene.model.nv
        known = {"state": (1 + nq + nv, f"time, {nq} positions, {nv} velocities")}
        if self._box is not None:
            known["object_size"] = (3, "positive half sizes in m")
        unknown = [name for name in options if name not in known or "state" not in options]
        if unknown:
            raise ValueError(f"reset of {self.task} takes the options {', '.join(known)}, got {', '.join(options)}")
        values: dict[str, np.ndarray] = {}
        for name, value in options.items():
            size, meaning = known[name]
            values[name] = np.array(value, dtype=np.float64)
            if values[name].shape != (size,) or not np.isfinite(values[name]).all():
                raise ValueError(f"{name} of {self.task} is {size} finite numbers ({meaning}), got {value!r}")
        box = values.get("object_size")
        if box is not None and box.min() <= 0:
            raise ValueError(f"object_size is positive half sizes in m, got {box}")
        return values.get("state"), box

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
        if not self.fast:
            restart_controller(self.robosuite_env)

    def _init_hash(self) -> str:
        digest = hashlib.sha256(self.get_state().astype("<f8").tobytes())
        digest.update(self.data.act.astype("<f8").tobytes())
        if self._box is not None:
            digest.update(self._box.astype("<f8").tobytes())
        return digest.hexdigest()


def _check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}={value!r} is none of {', '.join(map(repr, choices))}")

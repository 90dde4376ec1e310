"""What the RC car's environments share: dynamics, commands, pictures, episodes. The tasks are in manoeuvre and race."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium import spaces

from dto_envs.choices import check_choice
from dto_envs.layouts import RC_CAR_LAYOUT
from dto_envs.rc_car.car import CONTROL_STEP
from dto_envs.rc_car.motion import make_motion

if TYPE_CHECKING:
    from dto_envs.rc_car.drawing import Painter, Scene
    from dto_envs.screen import Window

OBS_TYPES = ("state", "image", "state_image")
IMAGE_SIZE = 96
RECENT = 10  # actions that an observation remembers

# Where the parts that all tasks share stand in a state observation.
POSE, VELOCITY, STATE, ACTIONS = slice(0, 3), slice(3, 6), slice(0, 6), slice(6, 6 + 2 * RECENT)
SHARED = ACTIONS.stop


class RCCarEnv(gymnasium.Env):
    """The part of an RC-car environment that does not depend on the task.

    A task's class gives ``_observed`` (the size of its own part of the observation) and implements ``_draw_start``,
    ``_begin``, ``_advance``, ``_task_observation``, ``_task_info`` and ``_scene``.
    """

    metadata = {"render_modes": ["rgb_array", "human"], "render_fps": 20}
    task = "RCCar"
    _observed = 0

    def __init__(
        self,
        obs_type: str = "state",
        render_mode: str | None = None,
        terminate_on_success: bool = True,
        dynamics: str = "analytic",
        control_frequency: float = 20.0,
        delay: float = 0.0,
        process_noise: float = 0.0,
        models: str | Sequence[str] = "simulated",
    ) -> None:
        """Make the environment; nothing moves before the first reset.

        Args:
            obs_type: "state", "image" or "state_image".
            render_mode: None, "rgb_array" (800 px wide, as high as the scene asks for) or "human" (a window).
            terminate_on_success: end the episode at the first success; False runs to the horizon.
            dynamics: "analytic", or "learned", where the mean of the networks in ``models`` moves the car and their
                disagreement is in ``info["uncertainty"]``.
            control_frequency: control steps per second. The horizon is counted in steps: at 50 Hz pass
                ``max_episode_steps`` to ``gymnasium.make``, 2.5 times the usual. The limit on rates of throttle and
                steering, in ``action_layout``, stays the same per second.
            delay: of the actuators, s; analytic dynamics only.
            process_noise: of the velocity, m/s per square root of a second; analytic dynamics only.
            models: "simulated" or "real" for the shipped networks, a file, or files.

        Raises:
            ValueError: an unknown ``obs_type``, ``render_mode`` or ``dynamics``; a rate, delay or noise that means
                nothing; models that are missing, damaged or learned steps of another duration.
            RuntimeError: "human" on a machine without a screen.
        """
        check_choice("obs_type", obs_type, OBS_TYPES)
        check_choice("render_mode", render_mode, (None, *self.metadata["render_modes"]))
        if not (isinstance(control_frequency, int | float) and 5 <= control_frequency <= 240):
            raise ValueError(f"control_frequency is {control_frequency!r}; choose 5 to 240 Hz")
        self.obs_type = obs_type
        self.render_mode = render_mode
        self.terminate_on_success = terminate_on_success
        self.draw_images = True
        self.dt = CONTROL_STEP if control_frequency == 1 / CONTROL_STEP else 1 / control_frequency
        self.metadata = {**self.metadata, "render_fps": control_frequency}
        share = self.dt / RC_CAR_LAYOUT.dt
        same = share == 1.0
        bound = min(RC_CAR_LAYOUT.bound * share, 2.0)
        self.action_layout = RC_CAR_LAYOUT if same else replace(RC_CAR_LAYOUT, dt=self.dt, bound=bound)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.observation_space = _observation_space(obs_type, SHARED + self._observed)
        self._motion = make_motion(dynamics, self.dt, delay=delay, process_noise=process_noise, models=models)
        self._started = False
        self._steps = 0
        self._recent = np.zeros((RECENT, 2))
        self._largest_slip = 0.0
        self._painters: dict[str, Painter] = {}
        self._window: Window | None = None
        if render_mode == "human":
            from dto_envs.rc_car.drawing import frame_size
            from dto_envs.screen import Window

            self._window = Window(self.task, control_frequency, frame_size(self._scene()))

    @property
    def state(self) -> np.ndarray:
        """(6,) x, y in m, heading in rad, and the velocity: forward, left in m/s, yaw in rad/s.

        The velocity is the displacement during the last control step over its duration, in the frame of its start.
        """
        self._require_start()
        return self._motion.state

    @property
    def time(self) -> float:
        """Seconds since the reset."""
        return self._steps * self.dt

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: fixes the initial state and the process noise bit for bit, whatever happened before.
            options: ``{"state": (6,)}`` restores x, y in m, heading in rad, forward and left velocity in m/s and yaw
                rate in rad/s, actuators at rest.

        Raises:
            ValueError: an unknown option, or a state that is not six finite numbers.
        """
        super().reset(seed=seed)
        options = options or {}
        if unknown := set(options) - {"state"}:
            raise ValueError(f"unknown reset options {sorted(unknown)}; the RC car knows 'state'")
        initial = _checked_state(options["state"]) if "state" in options else self._draw_start()
        self._motion.reset(initial)
        self._started, self._steps, self._largest_slip = True, 0, abs(self._motion.slip)
        self._recent = np.zeros((RECENT, 2))
        self._begin(initial)
        for painter in self._painters.values():
            painter.begin(self._scene())
        if self.render_mode is not None:
            self._painter("frame")  # so that tyre marks are noted from the first step
        if self.render_mode == "human":
            self.render()
        info = self._info()
        info["init_hash"] = hashlib.sha256(initial.astype("<f8").tobytes()).hexdigest()
        return self._observe(draw=True), info

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Drive for a control step with ``action`` (2,): throttle and steering, clipped to [-1, 1].

        Raises:
            ValueError: the action is not two finite numbers.
            gymnasium.error.ResetNeeded: no reset came before.
        """
        self._require_start()
        action = _checked_action(action)
        before = self._motion.state
        self._motion.step(action, self.np_random)
        self._steps += 1
        self._recent = np.vstack([self._recent[1:], action])
        self._largest_slip = max(self._largest_slip, abs(self._motion.slip))
        reward, done = self._advance(before, self._motion.state)
        for painter in self._painters.values():
            painter.mark(before, self._motion.state, self._motion.sliding)
        if self.render_mode == "human":
            self.render()
        terminated = self.terminate_on_success and done
        return self._observe(draw=self.draw_images), float(reward), terminated, False, self._info()

    def render(self) -> np.ndarray | None:
        """The picture (height, 800, 3) uint8 in mode "rgb_array"; in mode "human" it goes to the window."""
        if self.render_mode is None:
            return None
        from dto_envs.rc_car.drawing import pixels

        self._require_start()
        canvas = self._paint("frame", self._readout())
        if self._window is not None:
            self._window.show(canvas)
            return None
        return pixels(canvas)

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window is not None:
            self._window.close()
            self._window = None

    # What a task implements.

    def _draw_start(self) -> np.ndarray:
        """An initial state (6,), drawn with ``self.np_random``."""
        raise NotImplementedError

    def _begin(self, state: np.ndarray) -> None:
        """Forget the last episode; the car is at ``state`` (6,)."""
        raise NotImplementedError

    def _advance(self, before: np.ndarray, after: np.ndarray) -> tuple[float, bool]:
        """Take note of a step between two states (6,); the reward, and whether the task is done."""
        raise NotImplementedError

    def _task_observation(self, state: np.ndarray) -> np.ndarray:
        """The task's own part of the observation, (``_observed``,)."""
        raise NotImplementedError

    def _task_info(self, state: np.ndarray) -> dict[str, Any]:
        """``success``, ``score`` and whatever else the task reports."""
        raise NotImplementedError

    def _scene(self) -> Scene:
        """What the picture shows around the car."""
        raise NotImplementedError

    # What tasks have in common.

    def _require_start(self) -> None:
        if not self._started:
            raise gymnasium.error.ResetNeeded("call reset() before anything else")

    def _observe(self, *, draw: bool) -> Any:
        state = self._motion.state
        vector = np.concatenate([state, self._recent.ravel(), self._task_observation(state)])
        if self.obs_type == "state":
            return vector
        image = self._image() if draw else np.zeros((IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
        return image if self.obs_type == "image" else {"state": vector, "image": image}

    def _image(self) -> np.ndarray:
        from dto_envs.rc_car.drawing import pixels

        return pixels(self._paint("image"))

    def _paint(self, kind: str, readout: str | None = None) -> Any:
        return self._painter(kind).paint(self._scene(), self._motion.state, self._recent[-1], readout)

    def _painter(self, kind: str) -> Painter:
        """The painter of "frame" or "image", which draws its floor when it is first asked for."""
        if kind not in self._painters:
            from dto_envs.rc_car.drawing import Painter, frame_size

            scene = self._scene()
            size, oversampling = (frame_size(scene), 2) if kind == "frame" else ((IMAGE_SIZE, IMAGE_SIZE), 4)
            self._painters[kind] = Painter(size, oversampling)
            self._painters[kind].begin(scene)
        return self._painters[kind]

    def _readout(self) -> str:
        speed = math.hypot(*self._motion.state[3:5])
        return f"{self.time:5.2f} s   {speed:4.2f} m/s   slip {math.degrees(self._motion.slip):+4.0f} deg"

    def _info(self) -> dict[str, Any]:
        info = self._task_info(self._motion.state)
        info |= {"slip": self._motion.slip, "largest_slip": self._largest_slip}
        if self._motion.uncertainty is not None:
            info["uncertainty"] = self._motion.uncertainty
        return info


def _observation_space(obs_type: str, size: int) -> spaces.Space:
    state = spaces.Box(-np.inf, np.inf, (size,), np.float64)
    image = spaces.Box(0, 255, (IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    return {"state": state, "image": image, "state_image": spaces.Dict({"state": state, "image": image})}[obs_type]


def _checked_action(action: np.ndarray) -> np.ndarray:
    try:
        throttle, steering = map(float, action)
    except (TypeError, ValueError):
        raise ValueError(f"an action is two numbers, throttle and steering in [-1, 1]; got {action!r}") from None
    if not (math.isfinite(throttle) and math.isfinite(steering)):
        raise ValueError(f"an action must be finite; got {action!r}")
    return np.clip([throttle, steering], -1.0, 1.0)


def _checked_state(state: Any) -> np.ndarray:
    meaning = "x, y in m, heading in rad, forward and left velocity in m/s, yaw rate in rad/s"
    try:
        values = np.asarray(state, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"options['state'] must be six numbers ({meaning}); got {state!r}") from None
    if values.shape != (6,) or not np.isfinite(values).all():
        raise ValueError(f"options['state'] must be six finite numbers ({meaning}); got {state!r}")
    return values

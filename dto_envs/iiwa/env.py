"""The reaching environment: torques in, states and costs out, around MuJoCo's simulation of the arm."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import gymnasium
import mujoco
import numpy as np
from gymnasium import spaces

from dto_envs.choices import check_choice
from dto_envs.iiwa.constants import (
    BRAKE_SPEED,
    CONTROL_PERIOD,
    DEFAULT_SIDE,
    GOAL,
    JOINTS,
    SIDES,
    SUBSTEPS,
    SUCCESS_RADIUS,
)
from dto_envs.iiwa.dynamics import goal_distance, step_cost, too_fast
from dto_envs.iiwa.model import check_start, check_torque_limits, mujoco_model, sample_start
from dto_envs.layouts import IIWA_LAYOUT

if TYPE_CHECKING:
    from dto_envs.iiwa.drawing import Stage

OBS_TYPES = ("state", "image", "state_image")
IMAGE_SIZE = 96
FRAME_SIZE = 512

# Where each part stands in a state observation.
ANGLES = slice(0, 7)
SPEEDS = slice(7, 14)
STATE = slice(0, 14)
GOAL_ANGLES = slice(14, 21)
ELAPSED = 21


class IiwaReachEnv(gymnasium.Env):
    """Bring a KUKA iiwa 14 to rest at a goal, in as good a time as torque and acceleration are worth.

    The free terminal time problem of Hu, Zhao, E, Han and Long (2023): the episode's cost is the integral of
    ``r1 + r2 |u - u1|^2 + r3 |a|^2`` until the state is within 0.1 of the goal, with u1 the torque that holds the
    goal. Every number stands in :mod:`dto_envs.iiwa.constants`.

    - Action: (7,) float32, joint torques in Nm, clipped to the arm's limits and held for 0.01 s. float32 is
      enough: over 500 optimal motions, rounding moves the state by 9e-5 at most after 0.8 s, under feedback by 5e-7.
    - Observation ``"state"``: (22,) float64: joint angles (``ANGLES``, rad), joint speeds (``SPEEDS``, rad/s), the
      goal's angles (``GOAL_ANGLES``, rad), and the time since the reset (``ELAPSED``, s). ``"image"``: (96, 96, 3)
      uint8, the arm with the goal as a translucent ghost. ``"state_image"``: a dictionary with both.
    - Reward: minus the cost of the step, 0 once the goal has been reached.
    - Success: a distance below 0.1 between (q, v) and the goal at rest; the episode ends there unless told otherwise.
    - ``info``: ``success`` (now), ``cost`` (so far, up to the first success), ``distance`` (now), ``braked``, and
      ``score``: the largest share of the initial distance that has been covered at any step, 1 once the goal has been
      reached; after a reset also ``init_hash``, the SHA-256 of the initial state's fourteen float64 numbers.
    - A joint that turns faster than 100 rad/s locks the brakes: the arm then stays where it is, and has failed.
    - Nothing stops a joint at the end of its range, and links pass through each other: as in the paper, the problem has
      neither constraint.
    - While the attribute ``draw_images`` is False, the images that ``step`` returns are not drawn but black, and
      everything else is as ever (:func:`dto_envs.wrappers.set_drawing`); a reset always draws.

    Example::

        env = gymnasium.make("dto/IiwaReach-v0", side=2.0)
        observation, info = env.reset(seed=0)
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
    """

    metadata = {"render_modes": ["rgb_array", "human"], "render_fps": 100}
    task = "IiwaReach"

    def __init__(
        self,
        obs_type: Literal["state", "image", "state_image"] = "state",
        render_mode: str | None = None,
        terminate_on_success: bool = True,
        side: float = DEFAULT_SIDE,
        torque_limits: Sequence[float] | None = None,
    ) -> None:
        """Make the environment; all environments of a process share one compiled model.

        Args:
            obs_type: "state" (needs no OpenGL), "image" or "state_image".
            render_mode: None, "rgb_array" (512 x 512 px) or "human" (a window).
            terminate_on_success: end the episode at the first success; False runs to the horizon.
            side: edge of the cube of starts in rad, the difficulty: 0.4, 1 or 2.
            torque_limits: (7,) Nm, at most the arm's own, which are used where None.

        Raises:
            ValueError: an argument has no such value; :class:`~dto_envs.iiwa.model.InfeasibleStartError` where the
                torques cannot hold the goal.
            NoDisplayError: pictures are asked for on a machine that cannot draw them.
        """
        check_choice("obs_type", obs_type, OBS_TYPES)
        check_choice("render_mode", render_mode, (None, *self.metadata["render_modes"]))
        check_choice("side", side, SIDES)
        self.obs_type = obs_type
        self.render_mode = render_mode
        self.terminate_on_success = terminate_on_success
        self.side = side
        self.draw_images = True
        self.action_layout = IIWA_LAYOUT
        if torque_limits is not None:
            limits = tuple(_checked_limits(torque_limits).tolist())
            self.action_layout = replace(IIWA_LAYOUT, low=tuple(-v for v in limits), high=limits, scale=limits)
        self._limits = np.array(self.action_layout.high)
        self.action_space = spaces.Box(-self._limits.astype(np.float32), self._limits.astype(np.float32))
        self.observation_space = _observation_space(obs_type)
        self.model = mujoco_model()
        self.data = mujoco.MjData(self.model)
        self._speeds = np.empty((SUBSTEPS + 1, JOINTS))
        self._ready = False
        self._stage: Stage | None = None
        if obs_type != "state" or render_mode is not None:
            from dto_envs.iiwa.drawing import Stage

            self._stage = Stage(window=render_mode == "human", pictures=obs_type != "state" or render_mode != "human")

    @property
    def state(self) -> np.ndarray:
        """Joint angles in rad, then joint speeds in rad/s; (14,) float64, what ``reset`` restores."""
        return np.concatenate([self.data.qpos, self.data.qvel])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode, at rest in the cube of starts.

        Args:
            seed: fixes the initial state bit for bit, whatever happened before.
            options: ``{"state": (14,)}`` starts at those joint angles in rad and speeds in rad/s instead; (7,) at rest.

        Raises:
            ValueError: an unknown option, or a state of another size, not finite, or faster than the brakes allow;
                :class:`~dto_envs.iiwa.model.InfeasibleStartError` for angles outside the joint limits.
        """
        super().reset(seed=seed)
        options = options or {}
        if unknown := set(options) - {"state"}:
            raise ValueError(f"unknown reset options {sorted(unknown)}; {self.task} knows 'state'")
        if "state" in options:
            initial = _checked_state(options["state"])
        else:
            initial = np.concatenate([sample_start(self.np_random, self.side), np.zeros(JOINTS)])
        self.data.qpos[:], self.data.qvel[:] = initial[ANGLES], initial[SPEEDS]
        self.data.time = 0.0
        self._steps = 0
        self._cost = 0.0
        self._braked = False
        self._distance = self._initial_distance = float(goal_distance(initial))
        self._reached = self._distance < SUCCESS_RADIUS
        self._score = float(self._reached)
        self._ready = True
        info = self._info()
        info["init_hash"] = hashlib.sha256(initial.astype("<f8").tobytes()).hexdigest()
        return self._observe(draw=True), info

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Hold the torques ``action`` (7,) in Nm for 0.01 s.

        Raises:
            ValueError: the action is not seven finite numbers.
            gymnasium.error.ResetNeeded: no reset came before.
        """
        if not self._ready:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        torque = np.asarray(action, dtype=np.float64)
        if torque.shape != (JOINTS,) or not np.isfinite(torque).all():
            raise ValueError(f"an action is seven finite torques in Nm, got {action!r}")
        torque = np.clip(torque, -self._limits, self._limits)
        cost = 0.0 if self._reached else float(step_cost(torque, self._move(torque)))
        if self._reached:
            self._move(torque)
        self._steps += 1
        self._cost += cost
        self._distance = float(goal_distance(self.state))
        success = self._is_success()
        self._reached |= success
        covered = 1.0 - self._distance / self._initial_distance if self._initial_distance > 0 else 0.0
        self._score = 1.0 if self._reached else max(self._score, covered)
        return self._observe(draw=self.draw_images), -cost, success and self.terminate_on_success, False, self._info()

    def render(self) -> np.ndarray | None:
        """The picture (512, 512, 3) uint8 in mode "rgb_array"; in mode "human" the window shows the state by itself."""
        if self.render_mode != "rgb_array":
            return None
        if not self._ready:
            raise gymnasium.error.ResetNeeded("call reset() before render()")
        assert self._stage is not None
        return self._stage.picture(self.data.qpos, FRAME_SIZE)

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._stage is not None:
            self._stage.close()

    def _move(self, torque: np.ndarray) -> np.ndarray:
        """Simulate a control step; the speeds (SUBSTEPS + 1, 7) before it and after each substep."""
        data, speeds = self.data, self._speeds
        speeds[:] = data.qvel
        if self._braked:
            return speeds
        data.ctrl[:] = torque
        for index in range(1, SUBSTEPS + 1):
            mujoco.mj_step(self.model, data)
            speeds[index:] = data.qvel
            if too_fast(data.qvel):
                self._braked = True
                data.qvel[:] = 0.0
                break
        return speeds

    def _is_success(self) -> bool:
        return self._distance < SUCCESS_RADIUS and not self._braked

    def _observe(self, *, draw: bool) -> Any:
        if self._stage is not None:
            self._stage.show(self.data.qpos)
        state = np.concatenate([self.data.qpos, self.data.qvel, GOAL, [self._steps * CONTROL_PERIOD]])
        if self.obs_type == "state":
            return state
        assert self._stage is not None
        black = np.zeros((IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
        image = self._stage.picture(self.data.qpos, IMAGE_SIZE) if draw else black
        return image if self.obs_type == "image" else {"state": state, "image": image}

    def _info(self) -> dict[str, Any]:
        return {
            "success": self._is_success(),
            "score": self._score,
            "cost": self._cost,
            "distance": self._distance,
            "braked": self._braked,
        }


def _observation_space(obs_type: str) -> spaces.Space:
    low, high = np.full(22, -np.inf), np.full(22, np.inf)
    low[SPEEDS], high[SPEEDS] = -BRAKE_SPEED, BRAKE_SPEED
    low[GOAL_ANGLES] = high[GOAL_ANGLES] = GOAL
    low[ELAPSED] = 0.0
    state = spaces.Box(low, high, dtype=np.float64)
    image = spaces.Box(0, 255, (IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    return {"state": state, "image": image, "state_image": spaces.Dict({"state": state, "image": image})}[obs_type]


def _checked_state(value: Any) -> np.ndarray:
    state = np.array(value, dtype=np.float64)
    if state.shape not in ((JOINTS,), (2 * JOINTS,)) or not np.isfinite(state).all():
        raise ValueError(f"a state is 7 joint angles in rad, or these and 7 speeds in rad/s, all finite; got {value!r}")
    if len(state) == JOINTS:
        state = np.concatenate([state, np.zeros(JOINTS)])
    check_start(state[ANGLES])
    if too_fast(state[SPEEDS]):
        raise ValueError(f"a start may turn no joint faster than {BRAKE_SPEED:g} rad/s, where the brakes lock")
    return state


def _checked_limits(value: Sequence[float]) -> np.ndarray:
    limits = np.array(value, dtype=np.float64)
    own = np.array(IIWA_LAYOUT.high)
    if limits.shape != (JOINTS,) or not np.isfinite(limits).all() or (limits <= 0).any() or (limits > own).any():
        raise ValueError(f"torque_limits are 7 positive numbers in Nm, at most {own.tolist()}; got {value!r}")
    check_torque_limits(limits)
    return limits

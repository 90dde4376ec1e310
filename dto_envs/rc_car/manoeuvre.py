"""Parking, reversing and a drift turn as environments: be at a way point, then at a target, in time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from dto_envs.choices import check_choice
from dto_envs.rc_car.env import SHARED, RCCarEnv
from dto_envs.rc_car.scenarios import SCENARIOS, clearance, draw_start, errors

if TYPE_CHECKING:
    from dto_envs.rc_car.drawing import Scene

# Where a manoeuvre's own parts stand in a state observation, after STATE and ACTIONS of dto_envs.rc_car.env.
TARGET, TARGET_TIME = slice(SHARED, SHARED + 3), SHARED + 3
WAY_POINT, WAY_POINT_TIME = slice(SHARED + 4, SHARED + 7), SHARED + 7
CANS = slice(SHARED + 8, SHARED + 12)
REACH = 1.0  # m or rad within which an error earns something
BETWEEN = 4  # poses per control step at which contact with a can is looked for


class ManoeuvreEnv(RCCarEnv):
    """Drive an RC car through a manoeuvre that cannot be done without sliding (:mod:`dto_envs.rc_car.scenarios`).

    - Action: (2,) float32, throttle and steering in [-1, 1]; values outside are clipped. 20 Hz.
    - Observation ``"state"``: (38,) float64. ``STATE``: x, y in m, heading in rad (not wrapped), and the velocity
      (forward, left in m/s, yaw in rad/s), which is the displacement during the last control step over its duration
      in the frame of its start. ``ACTIONS``: the last ten actions, oldest first, zeros before the start. ``TARGET``
      (x, y, heading) and ``TARGET_TIME``, the seconds left until it counts; ``WAY_POINT`` and ``WAY_POINT_TIME``
      likewise, negative once it is past; ``CANS``: x, y of two cans, twice the same where there is one. ``"image"``:
      (96, 96, 3) uint8. ``"state_image"``: a dictionary with both.
    - Reward: minus the distance to the pose that comes next (m, and 0.3 x rad) times the step's duration, and how
      near way point and target were met when they counted, up to 1 each; 1 more for success.
    - Success: judged at the last step: way point and target met within their tolerances and no can touched. A can
      that is touched stays where it is, and the episode goes on.
    - ``info``: ``success``; ``score``, 0 until the last step, then 1 for success, else half of how near the target
      was met; ``position_error`` in m and ``heading_error`` in rad, from the target; ``way_point_position_error`` and
      ``way_point_heading_error``, from the way point, up to when it counts; ``clearance`` to the nearest can so far, m;
      ``touched``; ``slip`` and ``largest_slip`` so far, rad; with learned dynamics ``uncertainty``, m/s; after a reset
      also ``init_hash``, the SHA-256 of the initial state's six float64 numbers.
    - While the attribute ``draw_images`` is False, the images that ``step`` returns are not drawn but black (all
      zeros), and everything else is as ever (:func:`dto_envs.wrappers.set_drawing`); a reset always draws.

    Example::

        env = gymnasium.make("dto/RCCarParking-v0")
        env = gymnasium.make("dto/RCCarParking-v0", dynamics="learned")
        observation, info = env.reset(seed=0)
        target = observation[TARGET]
    """

    _observed = 12

    def __init__(self, scenario: str, **kwargs: Any) -> None:
        """Make the environment.

        Args:
            scenario: "Parking", "Reverse" or "DriftTurn".
            **kwargs: see :class:`dto_envs.rc_car.env.RCCarEnv`.

        Raises:
            ValueError: no such scenario, or from :class:`dto_envs.rc_car.env.RCCarEnv`.
        """
        check_choice("scenario", scenario, SCENARIOS)
        self.scenario = SCENARIOS[scenario]
        self.task = f"RCCar{scenario}"
        super().__init__(**kwargs)
        self._way_step = round(self.scenario.way_point.time / self.dt)
        self._last_step = round(self.scenario.target.time / self.dt)
        self._cans = np.array(self.scenario.cans * (2 // len(self.scenario.cans))).ravel()
        self._way_errors = (math.inf, math.inf)
        self._clearance = math.inf
        self._success = False
        self._score = 0.0

    def _draw_start(self) -> np.ndarray:
        return draw_start(self.scenario, self.np_random)

    def _begin(self, state: np.ndarray) -> None:
        self._way_errors = _errors(state, self.scenario.way_point.pose)
        self._clearance = float(clearance(state[:3], self.scenario.cans))
        self._success, self._score = False, 0.0

    def _advance(self, before: np.ndarray, after: np.ndarray) -> tuple[float, bool]:
        between = np.linspace(before[:3], after[:3], BETWEEN + 1)[1:]
        if self._steps <= self._last_step:
            self._clearance = min(self._clearance, float(clearance(between, self.scenario.cans).min()))
        upcoming = self.scenario.way_point if self._steps <= self._way_step else self.scenario.target
        position, heading = _errors(after, upcoming.pose)
        reward = -self.dt * (position + 0.3 * heading)
        if self._steps <= self._way_step:
            self._way_errors = (position, heading)
        if self._steps == self._way_step:
            reward += _nearness(position, heading)
        if self._steps == self._last_step:
            position, heading = _errors(after, self.scenario.target.pose)
            met = self.scenario.target.is_met(position, heading)
            self._success = met and self.scenario.way_point.is_met(*self._way_errors) and self._clearance > 0.0
            self._score = 1.0 if self._success else 0.5 * _nearness(position, heading)
            reward += _nearness(position, heading) + float(self._success)
        return reward, self._success

    def _task_observation(self, state: np.ndarray) -> np.ndarray:
        target, way_point = self.scenario.target, self.scenario.way_point
        left = target.time - self.time, way_point.time - self.time
        return np.concatenate([target.pose, left[:1], way_point.pose, left[1:], self._cans])

    def _task_info(self, state: np.ndarray) -> dict[str, Any]:
        position, heading = _errors(state, self.scenario.target.pose)
        return {
            "success": self._success,
            "score": self._score,
            "position_error": position,
            "heading_error": heading,
            "way_point_position_error": self._way_errors[0],
            "way_point_heading_error": self._way_errors[1],
            "clearance": self._clearance,
            "touched": self._clearance <= 0.0,
        }

    def _scene(self) -> Scene:
        from dto_envs.rc_car.drawing import Scene

        scenario = self.scenario
        return Scene(
            targets=(scenario.way_point.pose, scenario.target.pose),
            cans=scenario.cans,
            points=np.array(
                [scenario.start[:2], scenario.way_point.pose[:2], scenario.target.pose[:2], *scenario.cans]
            ),
        )


def _errors(state: np.ndarray, pose: tuple[float, float, float]) -> tuple[float, float]:
    position, heading = errors(state[:3], pose)
    return float(position), float(heading)


def _nearness(position: float, heading: float) -> float:
    """1 at a pose, falling to 0 where it is missed by 1 m or 1 rad."""
    return max(0.0, 1.0 - position / REACH) * max(0.0, 1.0 - heading / REACH)

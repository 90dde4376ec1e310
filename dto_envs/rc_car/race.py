"""A lap of a closed track, as fast as it goes without leaving it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from dto_envs.rc_car.env import SHARED, RCCarEnv
from dto_envs.rc_car.tracks import TRACKS, get_track

if TYPE_CHECKING:
    from dto_envs.rc_car.drawing import Scene

# Where the race's own parts stand in a state observation, after STATE and ACTIONS of dto_envs.rc_car.env.
TRACK, PROGRESS, OFFSET, HEADING_ERROR = SHARED, SHARED + 1, SHARED + 2, SHARED + 3
PREVIEW = slice(SHARED + 4, SHARED + 14)
PREVIEW_DISTANCES = 0.3 * np.arange(1, 11)  # m ahead of the car's progress
GRID = 0.3  # m from the start line back to where the car waits
START_SPREAD = np.array([0.05, 0.1, 0.05])  # m along, m aside, rad: the most by which starts differ
SHORT_CUT = 1.0  # m; a car that rejoins the track further on than this has not covered what lies between


class RaceEnv(RCCarEnv):
    """Drive an RC car once round a track, from a standing start 0.3 m before the start line.

    - Action: (2,) float32, throttle and steering in [-1, 1]; values outside are clipped. 20 Hz.
    - Observation ``"state"``: (40,) float64. ``STATE`` and ``ACTIONS`` as in
      :class:`~dto_envs.rc_car.manoeuvre.ManoeuvreEnv`. ``TRACK``: the number of the track in
      :data:`dto_envs.rc_car.tracks.TRACKS`; ``PROGRESS``: m since the start line, over the laps, negative before it;
      ``OFFSET``: m to the left of the centre line; ``HEADING_ERROR``: from its direction, rad, in [-pi, pi);
      ``PREVIEW``: its curvature in 1/m at 0.3, 0.6, ... 3.0 m ahead. ``"image"``: (96, 96, 3) uint8.
      ``"state_image"``: a dictionary with both.
    - Reward: the share of the lap that a step covers, minus 1 for every time the car leaves the track.
    - Success: one lap, start line to start line, during which the car's centre never left the track. The episode ends
      when the lap is complete, with or without it, unless told otherwise.
    - ``info``: ``success``; ``score``, the share of the lap covered before the first excursion; ``progress`` in m, as
      observed; ``gate_times``: s since the reset at which the gates were reached in turn, a tuple of up to nine, the
      start line first and last; ``lap_time`` in s, start line to start line, infinite until then; ``excursions``, how
      often the car left the track; ``off_track``; ``position_error`` in m and ``heading_error`` in rad, from the
      centre line; ``slip`` and ``largest_slip`` so far, rad; with learned dynamics ``uncertainty``, m/s; after a reset
      also ``init_hash``, the SHA-256 of the initial state's six float64 numbers.
    - While the attribute ``draw_images`` is False, the images that ``step`` returns are not drawn but black (all
      zeros), and everything else is as ever (:func:`dto_envs.wrappers.set_drawing`); a reset always draws.

    Example::

        env = gymnasium.make("dto/RCCarRace-v0", track="L")
        env = gymnasium.make("dto/RCCarRace-v0", control_frequency=50, max_episode_steps=1000)
    """

    task = "RCCarRace"
    _observed = 14

    def __init__(self, track: str = "oval", **kwargs: Any) -> None:
        """Make the environment.

        Args:
            track: "oval" (15.6 m) or "L" (21.2 m).
            **kwargs: see :class:`dto_envs.rc_car.env.RCCarEnv`.

        Raises:
            ValueError: no such track, or from :class:`dto_envs.rc_car.env.RCCarEnv`.
        """
        self.track = get_track(track)
        self._gate_times: tuple[float, ...] = ()
        super().__init__(**kwargs)
        self._number = float(list(TRACKS).index(track))
        self._gates = [*self.track.gates.tolist(), self.track.length]
        self._progress = self._offset = self._heading_error = 0.0
        self._score = 0.0
        self._excursions = 0
        self._off_track = self._success = False

    def _draw_start(self) -> np.ndarray:
        along, aside, turn = self.np_random.uniform(-1, 1, 3) * START_SPREAD
        x, y, heading = self.track.poses(np.array([along - GRID]), aside)[0]
        # Headings start in [-pi, pi), where a track's first piece has its own.
        return np.array([x, y, (heading + turn + math.pi) % (2 * math.pi) - math.pi, 0.0, 0.0, 0.0])

    def _begin(self, state: np.ndarray) -> None:
        self._gate_times = ()
        here = self._locate(state)
        self._progress = float(self.track.ahead(here, 0.0))
        self._off_track = abs(self._offset) > self.track.width / 2
        self._excursions = int(self._off_track)
        self._score, self._success = 0.0, False

    def _advance(self, before: np.ndarray, after: np.ndarray) -> tuple[float, bool]:
        here = self._locate(after)
        covered = float(self.track.ahead(here, self._progress))
        was_off, self._off_track = self._off_track, abs(self._offset) > self.track.width / 2
        left = self._off_track and not was_off
        self._excursions += left
        if abs(covered) > SHORT_CUT:
            covered = 0.0
        self._pass_gates(covered)
        self._progress += covered
        if not self._excursions:
            self._score = max(self._score, min(self._progress / self.track.length, 1.0))
        done = self._lap_done
        if done and not self._excursions:
            self._success = True
        return covered / self.track.length - float(left), done

    @property
    def _lap_done(self) -> bool:
        return len(self._gate_times) == len(self._gates)

    def _locate(self, state: np.ndarray) -> float:
        """The car's progress within a lap, m; notes its offset and heading error."""
        here, self._offset, heading, _ = map(float, self.track.project(state[None, :2])[0])
        self._heading_error = (state[2] - heading + math.pi) % (2 * math.pi) - math.pi
        return here

    def _pass_gates(self, covered: float) -> None:
        """Note when, within the last step, gates were reached: each after those before it."""
        end = self._progress + covered
        for gate in self._gates[len(self._gate_times) :]:
            if end < gate:
                return
            # A car that was put beyond a gate has reached it from the start.
            share = (gate - self._progress) / covered if covered > 0 else 0.0
            self._gate_times += (self.time - self.dt * (1 - float(np.clip(share, 0, 1))),)

    def _task_observation(self, state: np.ndarray) -> np.ndarray:
        place = [self._number, self._progress, self._offset, self._heading_error]
        return np.concatenate([place, self.track.curvatures(self._progress + PREVIEW_DISTANCES)])

    def _task_info(self, state: np.ndarray) -> dict[str, Any]:
        return {
            "success": self._success,
            "score": float(self._score),
            "progress": self._progress,
            "gate_times": self._gate_times,
            "lap_time": self._gate_times[-1] - self._gate_times[0] if self._lap_done else math.inf,
            "excursions": self._excursions,
            "off_track": self._off_track,
            "position_error": abs(self._offset),
            "heading_error": abs(self._heading_error),
        }

    def _scene(self) -> Scene:
        from dto_envs.rc_car.drawing import Scene

        passed = len(self._gate_times)
        return Scene(
            points=self.track.poses(np.linspace(0, self.track.length, 200))[:, :2], track=self.track, passed=passed
        )

"""How a person leads an arm by the hand: strokes of least jerk and uneven speed, tremor, pauses, a loose aim."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from dto_agents.aloha.kinematics import ArmKinematics, Pose

FASTEST_JOINT = 2.0  # rad/s
PEAK = 1.875  # of the speed of a stroke of least jerk, over its mean


@dataclass(frozen=True)
class StrokeStyle:
    """The parameters of a person's strokes.

    Attributes:
        speed: peak speed of a stroke at its natural pace, m/s.
        turn_speed: the same of a turn, rad/s.
        slowest: lowest pace; every stroke has its own, between it and ``fastest``.
        fastest: highest pace.
        gripping: seconds in which the hand opens or closes all the way.
        tremor: standard deviation of the correlated noise on the hand's position, m.
        tremor_turn: the same on its orientation, rad.
        tremor_time: how long the noise is remembered, s.
        pause_rate: probability that the hand stops before a stroke.
        pause: shortest and longest stop, s.
        aim_error: standard deviation of a loose aim, as a part of the stroke's length.
        aim_limit: the most that it is off along an axis, m.
    """

    speed: float = 0.35
    turn_speed: float = 1.5
    slowest: float = 0.75
    fastest: float = 1.25
    gripping: float = 0.5
    tremor: float = 0.001
    tremor_turn: float = 0.004
    tremor_time: float = 0.15
    pause_rate: float = 0.2
    pause: tuple[float, float] = (0.05, 0.3)
    aim_error: float = 0.06
    aim_limit: float = 0.015


@dataclass(frozen=True)
class Stroke:
    """One movement of a hand.

    Attributes:
        target: where the tool goes.
        opening: of the gripper at the end, 0 closed to 1 open.
        pace: factor of the natural speed.
        loose: whether the aim need not be exact, since another stroke follows.
        least: seconds that it takes at least.
    """

    target: Pose
    opening: float
    pace: float = 1.0
    loose: bool = False
    least: float = 0.0


class Hand:
    """One person's hand on one arm during one episode; all its randomness comes from one generator."""

    def __init__(
        self,
        style: StrokeStyle,
        rng: np.random.Generator,
        kinematics: ArmKinematics,
        dt: float,
        angles: np.ndarray,
        opening: float,
    ) -> None:
        """Begin at joint angles (6,) rad and an opening; ``dt`` s pass between two actions."""
        self._style, self._rng, self._kinematics, self._dt = style, rng, kinematics, dt
        self._angles = np.array(angles)
        self.pose = kinematics.pose(self._angles)
        self.opening = opening
        self._stroke = Stroke(self.pose, opening)
        self._from, self._from_opening = self.pose, opening
        self._length, self._elapsed, self._pause = 0.0, 0.0, 0.0
        self._tremor = np.zeros(6)

    @property
    def resting(self) -> bool:
        """Whether the last stroke has ended."""
        return self._pause <= 0.0 and self._elapsed >= self._length

    def begin(self, stroke: Stroke) -> None:
        """Begin a stroke from where the last one has led."""
        style, rng = self._style, self._rng
        pace = stroke.pace * rng.uniform(style.slowest, style.fastest)
        distance = float(np.linalg.norm(stroke.target.position - self.pose.position))
        turn = float((stroke.target.rotation * self.pose.rotation.inv()).magnitude())
        off = np.clip(rng.normal(0.0, style.aim_error * distance, 3), -style.aim_limit, style.aim_limit)
        aim = stroke.target.shifted(*off) if stroke.loose else stroke.target
        self._stroke = Stroke(aim, stroke.opening)
        self._from, self._from_opening = self.pose, self.opening
        moving = PEAK * max(distance / (pace * style.speed), turn / (pace * style.turn_speed))
        self._length = max(moving, style.gripping * abs(stroke.opening - self.opening), stroke.least)
        self._elapsed = 0.0
        stops = rng.random() < style.pause_rate
        self._pause = float(rng.uniform(*style.pause)) if stops else 0.0

    def act(self) -> np.ndarray:
        """The action (7,) of the next step: joint angles in rad, and the gripper's opening."""
        if self._pause > 0.0:
            self._pause -= self._dt
        elif self._elapsed < self._length:
            self._advance()
        kept = np.exp(-self._dt / self._style.tremor_time)
        spread = np.repeat([self._style.tremor, self._style.tremor_turn], 3)
        self._tremor = kept * self._tremor + np.sqrt(1.0 - kept**2) * spread * self._rng.normal(size=6)
        shaken = Pose(
            self.pose.position + self._tremor[:3], Rotation.from_rotvec(self._tremor[3:]) * self.pose.rotation
        )
        wanted = self._kinematics.angles(shaken, self._angles)
        furthest = FASTEST_JOINT * self._dt
        self._angles = self._angles + np.clip(wanted - self._angles, -furthest, furthest)
        return np.append(self._angles, self.opening)

    def _advance(self) -> None:
        self._elapsed += self._dt
        part = min(self._elapsed / self._length, 1.0)
        eased = part**3 * (10.0 - 15.0 * part + 6.0 * part**2)
        start, target = self._from, self._stroke.target
        turn = (target.rotation * start.rotation.inv()).as_rotvec()
        self.pose = Pose(
            start.position + eased * (target.position - start.position),
            Rotation.from_rotvec(eased * turn) * start.rotation,
        )
        self.opening = self._from_opening + part * (self._stroke.opening - self._from_opening)

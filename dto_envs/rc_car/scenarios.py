"""Three manoeuvres that take sliding: starts, targets, cans in the way, and how far a car is from them.

Each has a way point, a pose to be in at a step on the way, and a final target, as the manoeuvres of Köhler et al.,
section V-A. They were laid out so that the analytic car does them with slip angles beyond 0.5 rad, while the best plan
that neither slides nor slips beyond full lock's 0.33 rad misses a target by far: in the time given, no car that grips
turns that much in that little room (tests/dto_envs/rc_car/test_scenarios.py shows both).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

CAR_LENGTH, CAR_WIDTH = 0.36, 0.20  # m, the body around the centre
CAN_RADIUS = 0.033  # m


@dataclass(frozen=True)
class Target:
    """A pose to be in at a moment.

    Attributes:
        time: seconds after the start.
        pose: x, y in m, heading in rad.
        position_tolerance: m.
        heading_tolerance: rad.
    """

    time: float
    pose: tuple[float, float, float]
    position_tolerance: float
    heading_tolerance: float

    def is_met(self, position_error: float, heading_error: float) -> bool:
        """Whether errors in m and rad are within the tolerances."""
        return position_error <= self.position_tolerance and heading_error <= self.heading_tolerance


@dataclass(frozen=True)
class Scenario:
    """A manoeuvre.

    Attributes:
        name: what it is called by.
        start: pose at the start, x, y in m, heading in rad.
        speed: forward speed at the start, m/s.
        way_point: where to be on the way.
        target: where to be at the end.
        cans: centres of the soda cans that must not be touched, m.
    """

    name: str
    start: tuple[float, float, float]
    speed: float
    way_point: Target
    target: Target
    cans: tuple[tuple[float, float], ...]


# Starts differ from the nominal one uniformly by up to this much: x, y in m, heading in rad, forward speed in m/s (the
# latter only where the car is under way).
START_SPREAD = (0.05, 0.05, 0.05, 0.1)
_WAY = {"position_tolerance": 0.3, "heading_tolerance": 0.5}
_END = {"position_tolerance": 0.15, "heading_tolerance": 0.2}

SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        scenario.name: scenario
        for scenario in (
            # Rush past the slot, swing round by half a turn and slide into it sideways, tail first into the gap.
            Scenario(
                name="Parking",
                start=(0.0, 0.0, 0.0),
                speed=0.0,
                way_point=Target(1.2, (1.7, 0.0, 0.0), **_WAY),
                target=Target(2.0, (2.6, 0.45, math.pi), **_END),
                cans=((2.2, 0.45), (3.0, 0.45)),
            ),
            # Spin by half a turn at 2 m/s and go on backwards.
            Scenario(
                name="Reverse",
                start=(0.0, 0.0, 0.0),
                speed=2.0,
                way_point=Target(1.0, (2.0, 0.25, 1.9), **_WAY),
                target=Target(2.0, (2.6, 0.5, math.pi), **_END),
                cans=((1.2, 0.5),),
            ),
            # Enter at 2.3 m/s, round the can with the tail out, and drive back behind it.
            Scenario(
                name="DriftTurn",
                start=(0.0, 0.0, 0.0),
                speed=2.3,
                way_point=Target(0.9, (1.4, 0.5, 2.2), **_WAY),
                target=Target(3.0, (0.4, 0.5, math.pi), **_END),
                cans=((0.8, 0.3),),
            ),
        )
    }
)


def draw_start(scenario: Scenario, generator: np.random.Generator) -> np.ndarray:
    """A slightly different start, (6,): x, y in m, heading in rad, forward and left velocity in m/s, yaw in rad/s."""
    x, y, heading, speed = np.array([*scenario.start, scenario.speed]) + generator.uniform(-1, 1, 4) * START_SPREAD
    return np.array([x, y, heading, speed if scenario.speed else 0.0, 0.0, 0.0])


def errors(poses: np.ndarray, target: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Distance in m and wrapped difference of heading in rad, in [0, pi], of poses (..., 3) from a target pose."""
    poses = np.asarray(poses, dtype=np.float64)
    position = np.hypot(poses[..., 0] - target[0], poses[..., 1] - target[1])
    return position, np.abs((poses[..., 2] - target[2] + math.pi) % (2 * math.pi) - math.pi)


def clearance(poses: np.ndarray, cans: tuple[tuple[float, float], ...]) -> np.ndarray:
    """Distance in m from cars at ``poses`` (..., 3) to the nearest can, wall to wall; negative where they overlap.

    A car is a rectangle of 0.36 m x 0.20 m. Without cans it is infinite.
    """
    poses = np.asarray(poses, dtype=np.float64)
    if not len(cans):
        return np.full(poses.shape[:-1], np.inf)
    away = np.asarray(cans) - poses[..., None, :2]
    cos, sin = np.cos(poses[..., 2])[..., None], np.sin(poses[..., 2])[..., None]
    along = np.abs(cos * away[..., 0] + sin * away[..., 1]) - CAR_LENGTH / 2
    aside = np.abs(cos * away[..., 1] - sin * away[..., 0]) - CAR_WIDTH / 2
    outside = np.hypot(np.maximum(along, 0.0), np.maximum(aside, 0.0))
    return (outside + np.minimum(np.maximum(along, aside), 0.0) - CAN_RADIUS).min(axis=-1)

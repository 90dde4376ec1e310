"""What racing wants of a plan: to advance at a given speed and stay on the track (Köhler et al., section V-B)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Centreline:
    """A closed smooth line through given points.

    Attributes:
        points: (M, 2) in m, in the direction of driving; the last is joined to the first. They are taken as they come,
            about equally far apart.
    """

    points: np.ndarray

    def __post_init__(self) -> None:
        """Refuse points that make no closed line."""
        points = np.asarray(self.points)
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 8 or not np.isfinite(points).all():
            raise ValueError(f"a centreline needs at least 8 finite points (M, 2), not {points.shape}")

    @cached_property
    def _curve(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Knots equally far apart along the line, the cubics between them, and how far apart they are."""
        from scipy.interpolate import CubicSpline

        closed = np.concatenate([self.points, self.points[:1]])
        ways = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
        rough = CubicSpline(ways, closed, bc_type="periodic")
        # Way along the curve itself, from short chords, so that one unit of the parameter is one metre.
        fine = np.linspace(0.0, ways[-1], 20 * len(closed))
        length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(rough(fine), axis=0), axis=1))])
        count = len(self.points)
        even = np.interp(np.linspace(0.0, length[-1], count + 1), length, fine)
        knots = rough(even)
        knots[-1] = knots[0]
        spline = CubicSpline(np.linspace(0.0, length[-1], count + 1), knots, bc_type="periodic")
        pieces = np.ascontiguousarray(spline.c[::-1].transpose(1, 0, 2))
        return np.ascontiguousarray(knots[:-1]), pieces, float(length[-1] / count)

    @property
    def length(self) -> float:
        """Once around, m."""
        return self._curve[2] * len(self.points)

    def project(self, points: np.ndarray) -> np.ndarray:
        """The nearest points of the line.

        Args:
            points: (B, T, 2) positions along trajectories, in m, less than 1 m apart.

        Returns:
            (B, T, 5): way along the line [0, length), offset to its left in m, its tangent x, y, its curvature in 1/m.
        """
        from dto_agents.rc_car import centreline_kernel as kernel

        knots, pieces, spacing = self._curve
        reach = max(2, round(1.0 / spacing))
        return kernel.project(np.ascontiguousarray(points), knots, pieces, spacing, reach)


@dataclass(frozen=True, eq=False)
class Race:
    """A term of a cost (:mod:`dto_agents.rc_car.costs`): speed along the track, and a barrier at its edges.

    Attributes:
        line: the track's centreline.
        half_width: how far from it the car's centre may be, m.
        speed: wanted speed along the line, m/s.
        dt: seconds between states.
        speed_weight: weight of the squared missing (or surplus) speed.
        excursion_weight: weight of the squared distance beyond ``half_width``.
        centre_weight: weight of the squared offset, small.
    """

    line: Centreline
    half_width: float
    speed: float
    dt: float
    speed_weight: float = 0.05
    excursion_weight: float = 60.0
    centre_weight: float = 0.02

    def value(self, states: np.ndarray, controls: np.ndarray) -> np.ndarray:
        """See :class:`dto_agents.rc_car.costs.Term`."""
        missing, offset, beyond, _, _ = self._measure(states)
        return (
            self.speed_weight * np.einsum("bt,bt->b", missing, missing)
            + self.excursion_weight * np.einsum("bt,bt->b", beyond, beyond)
            + self.centre_weight * np.einsum("bt,bt->b", offset, offset)
        )

    def add_partials(
        self, states: np.ndarray, controls: np.ndarray, state_costs: np.ndarray, control_costs: np.ndarray
    ) -> None:
        """See :class:`dto_agents.rc_car.costs.Term`."""
        missing, offset, beyond, found, moved = self._measure(states)
        tangent, curvature = found[..., 2:4], found[..., 4]
        normal = np.stack([-tangent[..., 1], tangent[..., 0]], axis=-1)
        by_speed = (2 * self.speed_weight / self.dt * missing)[..., None]
        state_costs[:, 1:, :2] += by_speed * tangent
        state_costs[:, :-1, :2] -= by_speed * tangent
        # The tangent turns as the nearest point moves along the line.
        turning = np.einsum("bti,bti->bt", moved, normal) * curvature / np.maximum(1 - curvature * found[..., 1], 0.2)
        state_costs[:, 1:, :2] += by_speed * turning[..., None] * tangent
        by_offset = 2 * self.excursion_weight * beyond + 2 * self.centre_weight * offset
        state_costs[:, 1:, :2] += by_offset[..., None] * normal

    def _measure(self, states: np.ndarray) -> tuple[np.ndarray, ...]:
        """Of every state but the first: missing speed, offset, signed way beyond the edge, projection, displacement."""
        found = self.line.project(states[:, 1:, :2])
        moved = np.diff(states[..., :2], axis=1)
        missing = np.einsum("bti,bti->bt", moved, found[..., 2:4]) / self.dt - self.speed
        offset = found[..., 1]
        beyond = offset - np.clip(offset, -self.half_width, self.half_width)
        return missing, offset, beyond, found, moved

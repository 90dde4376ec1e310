"""What racing wants of a plan: to advance at a given speed and stay on the track (Köhler et al., section V-B)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dto_envs.rc_car.tracks import Track


@dataclass(frozen=True, eq=False)
class Race:
    """A term of a cost (:mod:`dto_agents.rc_car.costs`): speed along the track, and a barrier at its edges.

    Attributes:
        track: where to race.
        speed: wanted speed along the centre line, m/s.
        dt: seconds between states.
        margin: how far from the edge, inwards, the barrier begins, m.
        speed_weight: weight of the squared missing (or surplus) speed.
        excursion_weight: weight of the squared distance beyond the barrier.
        centre_weight: weight of the squared offset, small.
    """

    track: Track
    speed: float
    dt: float
    margin: float = 0.1
    speed_weight: float = 0.05
    excursion_weight: float = 60.0
    centre_weight: float = 0.02

    def value(self, states: np.ndarray, controls: np.ndarray) -> np.ndarray:
        """See :class:`dto_agents.rc_car.costs.Term`."""
        missing, beyond, offset, _ = self._measure(states)
        return (
            self.speed_weight * np.einsum("bt,bt->b", missing, missing)
            + self.excursion_weight * np.einsum("bt,bt->b", beyond, beyond)
            + self.centre_weight * np.einsum("bt,bt->b", offset, offset)
        )

    def add_partials(
        self, states: np.ndarray, controls: np.ndarray, state_costs: np.ndarray, control_costs: np.ndarray
    ) -> None:
        """See :class:`dto_agents.rc_car.costs.Term`."""
        missing, beyond, offset, (tangent, normal, moved, turning) = self._measure(states)
        by_speed = (2 * self.speed_weight / self.dt * missing)[..., None]
        state_costs[:, 1:, :2] += by_speed * tangent
        state_costs[:, :-1, :2] -= by_speed * tangent
        # The tangent turns as the nearest point moves along the line.
        sideways = np.einsum("bti,bti->bt", moved, normal) * turning
        state_costs[:, 1:, :2] += by_speed * sideways[..., None] * tangent
        by_offset = 2 * self.excursion_weight * beyond + 2 * self.centre_weight * offset
        state_costs[:, 1:, :2] += by_offset[..., None] * normal

    def _measure(self, states: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
        """Of every state but the first, (B, n): missing speed, signed way beyond the barrier, offset.

        And what their slopes need: tangent, normal and displacement (B, n, 2), the tangent's turn per metre (B, n).
        """
        points = states[:, 1:, :2]
        found = self.track.project(points.reshape(-1, 2)).reshape(*points.shape[:2], 4)
        offset, heading, curvature = found[..., 1], found[..., 2], found[..., 3]
        tangent = np.stack([np.cos(heading), np.sin(heading)], axis=-1)
        normal = np.stack([-tangent[..., 1], tangent[..., 0]], axis=-1)
        moved = np.diff(states[..., :2], axis=1)
        missing = np.einsum("bti,bti->bt", moved, tangent) / self.dt - self.speed
        reach = self.track.width / 2 - self.margin
        beyond = offset - np.clip(offset, -reach, reach)
        turning = curvature / np.maximum(1 - curvature * offset, 0.2)
        return missing, beyond, offset, (tangent, normal, moved, turning)

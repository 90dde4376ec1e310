"""Closed race tracks: a centre line of straights and arcs, its edges and gates, and where a point is along it.

Progress is the distance along the centre line from the start line, anticlockwise, in [0, length); the offset is the
distance from the centre line, positive to the left. Both are exact, and so are their derivatives with respect to the
point: the offset's is the unit normal, the progress's the unit tangent over 1 - curvature x offset.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np
from numba import njit

from dto_envs.choices import check_choice

WIDTH = 0.8  # m
GATES = 8
START, HEADING, LENGTH, CURVATURE, PROGRESS = 0, 2, 3, 4, 5  # columns of a piece


@dataclass(frozen=True, eq=False)
class Track:
    """A closed track.

    Attributes:
        name: what it is called by.
        pieces: (P, 6) start x, y in m, heading in rad, length in m, curvature in 1/m (positive to the left, 0 for a
            straight) and the progress at the start, in m. Each begins where and as the one before ends.
        width: distance between the edges, m.
    """

    name: str
    pieces: np.ndarray
    width: float = WIDTH

    @property
    def length(self) -> float:
        """Length of the centre line, m."""
        return float(self.pieces[-1, PROGRESS] + self.pieces[-1, LENGTH])

    @cached_property
    def gates(self) -> np.ndarray:
        """(8,) progress in m of the gates, evenly spaced; the first is the start line."""
        return np.arange(GATES) * (self.length / GATES)

    def poses(self, progress: np.ndarray, offset: float = 0.0) -> np.ndarray:
        """Poses (N, 3), x, y in m and heading in rad along the track, of points at ``progress`` (N,), any lap.

        Args:
            progress: m along the centre line.
            offset: m to the left of it.
        """
        progress = np.asarray(progress, dtype=np.float64) % self.length
        index = np.searchsorted(self.pieces[:, PROGRESS], progress, side="right") - 1
        x, y, heading, _, curvature, start = self.pieces[index].T
        run = progress - start
        turned = curvature * run
        # The chord of an arc: sinc(turned / 2) of its length, along the mean heading.
        chord = run * np.sinc(turned / (2 * math.pi))
        end = heading + turned
        x = x + chord * np.cos(heading + turned / 2) - offset * np.sin(end)
        y = y + chord * np.sin(heading + turned / 2) + offset * np.cos(end)
        return np.stack([x, y, end], axis=-1)

    def curvatures(self, progress: np.ndarray) -> np.ndarray:
        """Curvature (N,) in 1/m of the centre line at ``progress`` (N,)."""
        progress = np.asarray(progress, dtype=np.float64) % self.length
        index = np.searchsorted(self.pieces[:, PROGRESS], progress, side="right") - 1
        return self.pieces[index, CURVATURE]

    def project(self, points: np.ndarray) -> np.ndarray:
        """Where points (N, 2) are on the track; see :func:`project`."""
        points = np.ascontiguousarray(points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != 2:
            raise ValueError(f"points must be (N, 2) in m, not {points.shape}")
        out = np.empty((len(points), 4))
        project(points, self.pieces, out)
        return out

    def ahead(self, here: np.ndarray | float, before: np.ndarray | float) -> np.ndarray:
        """Signed distance in m from progress ``before`` to ``here`` the shorter way round, in [-length/2, length/2)."""
        half = self.length / 2
        return (np.asarray(here) - before + half) % self.length - half


@njit(cache=True, nogil=True, error_model="numpy")
def project(points, pieces, out):  # pragma: no cover - compiled
    """Fill ``out`` (N, 4) with progress (m), offset (m), the centre line's heading (rad) and curvature (1/m).

    They are those of the nearest point of the centre line. The gradient of the offset with respect to the point is
    (-sin heading, cos heading), that of the progress (cos heading, sin heading) / (1 - curvature * offset).

    Args:
        points: (N, 2) in m.
        pieces: :attr:`Track.pieces`.
        out: (N, 4) float64.
    """
    for i in range(points.shape[0]):
        nearest = np.inf
        for piece in pieces:
            heading, length, curvature = piece[2], piece[3], piece[4]
            dx, dy = points[i, 0] - piece[0], points[i, 1] - piece[1]
            cos, sin = math.cos(heading), math.sin(heading)
            along, left = cos * dx + sin * dy, cos * dy - sin * dx
            if curvature == 0.0:
                run = min(max(along, 0.0), length)
                offset, distance = left, (along - run) ** 2 + left * left
            else:
                # Seen from the centre of the circle: the angle from the piece's start, forward along the piece.
                side = 1.0 if curvature > 0.0 else -1.0
                radius = side / curvature
                inward = radius - side * left
                angle = math.atan2(along, inward)
                total = length / radius
                # Beyond either end the nearer end counts.
                middle = angle - 0.5 * total
                angle = 0.5 * total + middle - 2.0 * math.pi * math.floor(middle / (2.0 * math.pi) + 0.5)
                clipped = min(max(angle, 0.0), total)
                run = clipped * radius
                reach = math.sqrt(along * along + inward * inward)
                offset = side * (radius - reach)
                end_x, end_y = radius * math.sin(clipped), radius * math.cos(clipped)
                distance = (along - end_x) ** 2 + (inward - end_y) ** 2
            if distance < nearest:
                nearest = distance
                out[i, 0] = piece[5] + run
                out[i, 1] = offset
                out[i, 2] = heading + curvature * run
                out[i, 3] = curvature


def rounded(name: str, corners: np.ndarray, radius: float, width: float = WIDTH) -> Track:
    """The track along a closed polygon with its corners rounded off; it starts in the middle of the first side.

    Args:
        name: what the track is called by.
        corners: (K, 2) in m, anticlockwise; the first side leads from the first corner to the second.
        radius: of the centre line in the corners, m.
        width: distance between the edges, m.

    Raises:
        ValueError: a side is too short for its two corners, or the corners too tight for the width.
    """
    if radius <= width / 2:
        raise ValueError(f"a radius of {radius} m leaves no inner edge on a track {width} m wide")
    sides = np.roll(corners, -1, axis=0) - corners
    lengths, headings = np.hypot(*sides.T), np.arctan2(sides[:, 1], sides[:, 0])
    turns = np.roll(headings, -1) - headings
    turns = (turns + math.pi) % (2 * math.pi) - math.pi
    cut = radius * np.tan(np.abs(turns) / 2)
    straights = lengths - cut - np.roll(cut, 1)
    if straights.min() < 0:
        raise ValueError(f"the sides of {name!r} are too short for corners of {radius} m")
    plan = [(straights[0] / 2, 0.0)]
    for side in range(len(corners)):
        plan.append((radius * abs(turns[side]), math.copysign(1 / radius, turns[side])))
        last = side + 1 == len(corners)
        plan.append((straights[0] / 2, 0.0) if last else (straights[side + 1], 0.0))
    direction = np.array([math.cos(headings[0]), math.sin(headings[0])])
    start = corners[0] + direction * (cut[-1] + straights[0] / 2)
    return Track(name, _chain(start, float(headings[0]), [piece for piece in plan if piece[0] > 1e-9]), width)


def _chain(start: np.ndarray, heading: float, plan: list[tuple[float, float]]) -> np.ndarray:
    """Pieces (P, 6) from lengths and curvatures, one after the other."""
    pieces, progress, (x, y) = [], 0.0, start
    for length, curvature in plan:
        pieces.append((x, y, heading, length, curvature, progress))
        turned = curvature * length
        chord = length * np.sinc(turned / (2 * math.pi))
        x, y = x + chord * math.cos(heading + turned / 2), y + chord * math.sin(heading + turned / 2)
        heading, progress = heading + turned, progress + length
    return np.array(pieces)


def _oval(length: float = 15.6, radius: float = 1.1) -> Track:
    straight = length / 2 - math.pi * radius
    x, y = straight / 2 + radius, radius
    return rounded("oval", np.array([(-x, -y), (x, -y), (x, y), (-x, y)]), radius)


def _l_shape(length: float = 21.2, radius: float = 0.9, across: float = 6.2, arm: float = 2.6) -> Track:
    """Six corners, five to the left and one to the right; rounding a corner off saves 2 - pi/2 radii."""
    up = (length + 6 * radius * (2 - math.pi / 2)) / 2 - across
    corners = np.array([(0, 0), (across, 0), (across, arm), (arm, arm), (arm, up), (0, up)], dtype=float)
    return rounded("L", corners - np.array([across, up]) / 2, radius)


TRACKS: Mapping[str, Track] = MappingProxyType({track.name: track for track in (_oval(), _l_shape())})


def get_track(name: str) -> Track:
    """The track called ``name``.

    Raises:
        ValueError: there is none.
    """
    check_choice("track", name, TRACKS)
    return TRACKS[name]

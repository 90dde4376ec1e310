"""Objects: convex polygons with mass, in their own frame, and the random families that tasks draw them from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dto_envs.planar_push.constants import MASS, MAX_RADIUS, MIN_SCALE

MIN_FACETS = 3
# Coordinates are rounded to a micrometre, so that the last bits of sines and logarithms cannot change a frozen set.
DECIMALS = 6
# Below these a shape has no inside worth the name: facets and widths in m.
MIN_FACET_LENGTH = 0.002
MIN_WIDTH = 0.004
# Random polygons: this share of the circle is dealt out evenly between neighbours, the rest at random.
EVEN_SHARE = 0.4
MAX_GAP = 0.75 * math.pi
SMOOTH_FACETS = 16


class ShapeError(ValueError):
    """A polygon that cannot be an object; the message says why."""


@dataclass(frozen=True, eq=False)
class Polygon:
    """A convex rigid body of even thickness.

    Facet ``f`` runs from vertex ``f`` to the next one, counter-clockwise, so that the inside is on its left.

    Attributes:
        vertices: (F, 2) float64 in m, body frame: counter-clockwise, the centroid at the origin. Read-only.
        mass: in kg.

    Raises:
        ShapeError: the vertices are not a convex polygon in this order and frame. :meth:`from_points` takes points in
            any frame and either direction.
    """

    vertices: np.ndarray
    mass: float = MASS

    def __post_init__(self) -> None:
        """Check the vertices and keep a copy that cannot be changed."""
        vertices = np.array(self.vertices, dtype=np.float64)
        check_convex(vertices)
        area, centroid = _area_and_centroid(vertices)
        if area < 0:
            raise ShapeError("the vertices run clockwise; Polygon.from_points turns them round")
        if np.abs(centroid).max() > 1e-9:
            raise ShapeError(f"the centroid is {centroid}, not the origin; Polygon.from_points moves it there")
        if not (math.isfinite(self.mass) and self.mass > 0):
            raise ShapeError(f"the mass must be positive, but it is {self.mass}")
        vertices.flags.writeable = False
        object.__setattr__(self, "vertices", vertices)

    @staticmethod
    def from_points(points: np.ndarray, mass: float = MASS) -> Polygon:
        """The polygon with these corners (F, 2) in m, moved so that its centroid is the origin.

        Raises:
            ShapeError: fewer than three corners, or they intersect, are not convex or enclose next to nothing.
        """
        points = np.asarray(points, dtype=np.float64)
        check_convex(points)
        if _area_and_centroid(points)[0] < 0:
            points = points[::-1]
        # Twice, because the centroid of points far from the origin carries rounding.
        for _ in range(2):
            points = points - _area_and_centroid(points)[1]
        return Polygon(points, mass)

    @property
    def facets(self) -> np.ndarray:
        """(F, 2, 2) in m: start and end of every facet."""
        return np.stack([self.vertices, np.roll(self.vertices, -1, axis=0)], axis=1)

    @property
    def lengths(self) -> np.ndarray:
        """(F,) lengths of the facets in m."""
        return np.linalg.norm(self.facets[:, 1] - self.facets[:, 0], axis=1)

    @property
    def tangents(self) -> np.ndarray:
        """(F, 2) unit vectors from a facet's start to its end."""
        return (self.facets[:, 1] - self.facets[:, 0]) / self.lengths[:, None]

    @property
    def normals(self) -> np.ndarray:
        """(F, 2) unit normals that point out of the body."""
        return np.stack([self.tangents[:, 1], -self.tangents[:, 0]], axis=1)

    @property
    def offsets(self) -> np.ndarray:
        """(F,) distances of the facets' lines from the centroid in m, so that inside is ``normals @ p <= offsets``."""
        return np.einsum("fi,fi->f", self.normals, self.vertices)

    @property
    def radius(self) -> float:
        """Distance in m of the farthest vertex from the centroid."""
        return float(np.linalg.norm(self.vertices, axis=1).max())

    @property
    def area(self) -> float:
        """In m^2."""
        return _area_and_centroid(self.vertices)[0]

    @property
    def inertia(self) -> float:
        """Moment of inertia about the centroid in kg m^2."""
        a, b = self.vertices, np.roll(self.vertices, -1, axis=0)
        squares = (a * a + a * b + b * b).sum(axis=1)
        return float(self.mass * (_cross(a, b) * squares).sum() / (12.0 * self.area))

    def points(self, facets: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """Points on facets: (..., 2) in m, at ``shares`` (0 the start, 1 the end) of the ``facets`` (integers)."""
        start, end = self.facets[facets, 0], self.facets[facets, 1]
        return start + np.asarray(shares)[..., None] * (end - start)

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Signed distances (...,) in m of ``points`` (..., 2) in the body frame from the boundary; inside is < 0."""
        points = np.asarray(points, dtype=np.float64)
        nearest = self._nearest(points)[0]
        depth = (points @ self.normals.T - self.offsets).max(axis=-1)
        return np.where(depth <= 0, depth, np.linalg.norm(points - nearest, axis=-1))

    def project_outside(self, points: np.ndarray) -> np.ndarray:
        """``points`` (..., 2) in the body frame, those inside moved to the nearest point of the boundary."""
        points = np.asarray(points, dtype=np.float64)
        nearest, inside = self._nearest(points)[0], self.distance(points) < 0
        return np.where(inside[..., None], nearest, points)

    def _nearest(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The nearest boundary point (..., 2) to each of ``points``, and its facet (...,)."""
        start, span = self.facets[:, 0], self.facets[:, 1] - self.facets[:, 0]
        relative = points[..., None, :] - start
        share = np.clip((relative * span).sum(axis=-1) / self.lengths**2, 0.0, 1.0)
        candidates = start + share[..., None] * span
        facet = np.linalg.norm(points[..., None, :] - candidates, axis=-1).argmin(axis=-1)
        return np.take_along_axis(candidates, facet[..., None, None], axis=-2)[..., 0, :], facet


def to_world(pose: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (N, 2) of a body at ``pose`` (..., 3), x and y in m and angle in rad, in the world frame: (..., N, 2)."""
    pose = np.asarray(pose, dtype=np.float64)
    return np.asarray(points) @ np.swapaxes(rotation(pose[..., 2]), -1, -2) + pose[..., None, :2]


def to_body(pose: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (..., N, 2) of the world frame in the frame of a body at ``pose`` (..., 3); undoes :func:`to_world`."""
    pose = np.asarray(pose, dtype=np.float64)
    return (np.asarray(points) - pose[..., None, :2]) @ rotation(pose[..., 2])


def rotation(angle: np.ndarray | float) -> np.ndarray:
    """Rotation matrices (..., 2, 2) for angles (...,) in rad."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([cos, -sin], axis=-1), np.stack([sin, cos], axis=-1)], axis=-2)


def check_convex(points: np.ndarray) -> None:
    """Raise :class:`ShapeError` unless ``points`` (F, 2) in m are a simple convex polygon that encloses something."""
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < MIN_FACETS:
        raise ShapeError(f"a polygon is at least {MIN_FACETS} corners (F, 2); got an array of shape {points.shape}")
    if not np.isfinite(points).all():
        raise ShapeError("the corners of a polygon must be finite numbers")
    edges = np.roll(points, -1, axis=0) - points
    lengths = np.linalg.norm(edges, axis=1)
    if lengths.min() < MIN_FACET_LENGTH:
        raise ShapeError(f"facet {lengths.argmin()} is {lengths.min():.2g} m long, less than {MIN_FACET_LENGTH} m")
    if _self_intersects(points):
        raise ShapeError("the polygon intersects itself; list its corners in the order of its outline")
    turns = _cross(edges, np.roll(edges, -1, axis=0)) / (lengths * np.roll(lengths, -1))
    if turns.min() < 0 < turns.max():
        raise ShapeError("the polygon is not convex, which physics and planners rely on")
    width = _width(points)
    if width < MIN_WIDTH:
        raise ShapeError(f"the polygon is degenerate: {width:.2g} m wide, less than {MIN_WIDTH} m")


def random_polygon(generator: np.random.Generator, facets: int) -> Polygon:
    """A random convex polygon: points on a circle joined in order, scaled to a radius of 10 to 20 cm.

    Neighbours on the circle keep 40 % of an even distance, so that fingers find room on every facet, and no gap passes
    135 degrees, so that there are no splinters.

    Raises:
        ShapeError: fewer than three facets.
    """
    if facets < MIN_FACETS:
        raise ShapeError(f"a polygon has at least {MIN_FACETS} facets, not {facets}")
    even = 2 * math.pi / facets
    gaps = np.full(facets, 2 * math.pi)
    while gaps.max() > MAX_GAP:
        gaps = EVEN_SHARE * even + (1 - EVEN_SHARE) * 2 * math.pi * generator.dirichlet(np.ones(facets))
    return _scaled(np.cumsum(gaps), np.ones(facets), np.zeros((facets, 2)), generator.uniform(MIN_SCALE, 1.0))


def smooth_polygon(generator: np.random.Generator) -> Polygon:
    """A smooth object in the manner of the OmniPush set: four round lobes around a centre, and a skin around them.

    The outline is sampled where its normal points in 16 directions, evenly spaced.
    """
    sides = np.arange(4) * math.pi / 2 + generator.uniform(0, 2 * math.pi)
    reach, round_ = generator.uniform(0.3, 0.7, 4), generator.uniform(0.3, 0.6, 4)
    centers = reach[:, None] * np.stack([np.cos(sides), np.sin(sides)], axis=1)
    angles = np.arange(SMOOTH_FACETS) * 2 * math.pi / SMOOTH_FACETS
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    lobe = (directions @ centers.T + round_).argmax(axis=1)
    return _scaled(angles, round_[lobe], centers[lobe], generator.uniform(MIN_SCALE, 1.0))


def _scaled(angles: np.ndarray, radii: np.ndarray, centers: np.ndarray, scale: float) -> Polygon:
    """The polygon through circle points, its farthest vertex at ``scale`` times the largest radius allowed."""
    outline = centers + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    unit = outline - _area_and_centroid(outline)[1]
    # The margin of three micrometres is for rounding: the radius stays below its limit.
    size = (scale * MAX_RADIUS - 3e-6) / np.linalg.norm(unit, axis=1).max()
    return Polygon.from_points(np.round(size * unit, DECIMALS))


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _area_and_centroid(points: np.ndarray) -> tuple[float, np.ndarray]:
    """Signed area (counter-clockwise is positive) and centroid (2,)."""
    following = np.roll(points, -1, axis=0)
    cross = _cross(points, following)
    area = cross.sum() / 2
    return float(area), ((points + following) * cross[:, None]).sum(axis=0) / (6 * area)


def _self_intersects(points: np.ndarray) -> bool:
    """Whether two facets that are not neighbours meet."""
    ends = np.roll(points, -1, axis=0)
    count = len(points)
    for i in range(count):
        for j in range(i + 2, count - (i == 0)):
            a, b, c, d = points[i], ends[i], points[j], ends[j]
            straddles = _cross(b - a, c - a) * _cross(b - a, d - a) <= 0
            if straddles and _cross(d - c, a - c) * _cross(d - c, b - c) <= 0 and _boxes_meet(a, b, c, d):
                return True
    return False


def _boxes_meet(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> bool:
    return bool(
        (np.maximum(np.minimum(a, b), np.minimum(c, d)) <= np.minimum(np.maximum(a, b), np.maximum(c, d))).all()
    )


def _width(points: np.ndarray) -> float:
    """The smallest distance of two parallel lines that hold a convex polygon between them."""
    edges = np.roll(points, -1, axis=0) - points
    normals = np.stack([edges[:, 1], -edges[:, 0]], axis=1) / np.linalg.norm(edges, axis=1)[:, None]
    heights = points @ normals.T
    return float(np.ptp(heights, axis=0).min())

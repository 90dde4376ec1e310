"""Tasks: an object and the motion that fingers shall give it, drawn at random or taken from five frozen sets.

A frozen set is a rule, not a file: task ``index`` of a set is the first solvable draw of the generators seeded with
(set, index, 0), (set, index, 1) and so on. A digest in the tests guards the rule.
"""

from __future__ import annotations

import functools
import hashlib
import math
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

from dto_envs.planar_push.constants import (
    AIR_GAP,
    AIRBORNE_SHARE,
    DT,
    FINGER_FRICTION,
    GRAVITY,
    GROUND_FRICTION,
    KEYFRAME_NOISE,
    KEYFRAMES,
    MAX_LIFT,
    MAX_ROTATION,
    MAX_TILT,
    MAX_X,
)
from dto_envs.planar_push.feasibility import is_solvable
from dto_envs.planar_push.shapes import DECIMALS, Polygon, random_polygon, smooth_polygon, to_world

# A corner this close to the ground at a keyframe touches it.
TOUCH = 1e-4
MIN_TILT = 0.15
# A corner keeps this much of its angle, in rad, when the object tilts about it, so that one corner carries all.
TILT_MARGIN = 0.1
MAX_DRAWS = 1000


class TaskError(ValueError):
    """A task that cannot be, or a set or index that is not there; the message says why."""


@dataclass(frozen=True)
class TaskSet:
    """A frozen set: ``size`` tasks with objects of ``facets`` (lowest, highest number), or smooth ones where None."""

    code: int
    size: int
    facets: tuple[int, int] | None


SETS = {
    "train": TaskSet(1, 20, (4, 6)),
    "fine-tune": TaskSet(2, 20, (4, 6)),
    "test": TaskSet(3, 40, (12, 12)),
    "family": TaskSet(4, 40, (4, 6)),
    "omnipush": TaskSet(5, 20, None),
}


@dataclass(frozen=True, eq=False)
class Task:
    """An object and its desired motion: a natural cubic spline through poses at the keyframes.

    The object starts on the spline: at the first pose, with the spline's initial velocity.

    Attributes:
        polygon: the object.
        poses: (T, 3) float64, x and y of the centroid in m and angle in rad (not wrapped) at keyframes ``dt`` apart,
            world frame. Read-only.
        airborne: whether the motion keeps clear of the ground.
        dt: seconds between keyframes.
        gravity: m/s^2.
        ground_friction: Coulomb's coefficient between object and ground.
        finger_friction: Coulomb's coefficient between object and fingers that a plan may count on.

    Raises:
        TaskError: fewer than two poses, or numbers that are not finite or not positive where they must be.
    """

    polygon: Polygon
    poses: np.ndarray
    airborne: bool
    dt: float = DT
    gravity: float = GRAVITY
    ground_friction: float = GROUND_FRICTION
    finger_friction: float = FINGER_FRICTION

    def __post_init__(self) -> None:
        """Check the numbers and keep a copy of the poses that cannot be changed."""
        poses = np.array(self.poses, dtype=np.float64)
        if poses.ndim != 2 or poses.shape[1] != 3 or len(poses) < 2 or not np.isfinite(poses).all():
            raise TaskError(f"poses must be finite numbers (T, 3) with T >= 2; got an array of shape {poses.shape}")
        if not (math.isfinite(self.dt) and self.dt > 0):
            raise TaskError(f"dt must be positive, but it is {self.dt}")
        for name in ("gravity", "ground_friction", "finger_friction"):
            if not 0 <= getattr(self, name) < math.inf:
                raise TaskError(f"{name} must not be negative, but it is {getattr(self, name)}")
        poses.flags.writeable = False
        object.__setattr__(self, "poses", poses)

    @property
    def times(self) -> np.ndarray:
        """(T,) seconds of the keyframes, from 0."""
        return self.dt * np.arange(len(self.poses))

    @functools.cached_property
    def spline(self) -> CubicSpline:
        """The desired pose (3,) as a function of time in s; ``spline(t, 1)`` and ``spline(t, 2)`` its derivatives."""
        return natural_spline(self.poses, self.dt)

    @property
    def velocity(self) -> np.ndarray:
        """(3,) initial velocity of the object in m/s and rad/s."""
        return self.spline(0.0, 1)

    @property
    def velocities(self) -> np.ndarray:
        """(T, 3) desired velocities at the keyframes in m/s and rad/s."""
        return self.spline(self.times, 1)

    @property
    def accelerations(self) -> np.ndarray:
        """(T, 3) desired accelerations at the keyframes in m/s^2 and rad/s^2; zero at the first and the last."""
        return self.spline(self.times, 2)

    @property
    def touching(self) -> np.ndarray:
        """(T, F) bool: which corners touch the ground at which keyframe."""
        heights = to_world(self.poses, self.polygon.vertices)[..., 1]
        return (heights < TOUCH) & (not self.airborne)

    @property
    def digest(self) -> str:
        """SHA-256 of the object and the motion, to a nanometre."""
        numbers = np.concatenate([self.polygon.vertices.ravel(), self.poses.ravel(), [float(self.airborne)]])
        return hashlib.sha256((np.round(numbers, 9) + 0.0).astype("<f8").tobytes()).hexdigest()


def natural_spline(values: np.ndarray, dt: float) -> CubicSpline:
    """The natural cubic spline through ``values`` (T, ...) at times 0, dt, 2 dt and so on."""
    return CubicSpline(dt * np.arange(len(values)), values, bc_type="natural")


def task_set(name: str) -> TaskSet:
    """The frozen set ``name``; raises :class:`TaskError` with the names there are."""
    if name not in SETS:
        raise TaskError(f"there is no object set {name!r}; choose one of {', '.join(SETS)}")
    return SETS[name]


@functools.lru_cache(maxsize=256)
def make_task(set_name: str, index: int) -> Task:
    """Task ``index`` of a frozen set, always the same.

    Raises:
        TaskError: an unknown set, or an index beyond its size.
    """
    chosen = task_set(set_name)
    if not 0 <= index < chosen.size:
        raise TaskError(f"the set {set_name!r} has tasks 0 to {chosen.size - 1}, not {index}")
    airborne = index % 10 < round(10 * AIRBORNE_SHARE)
    for attempt in range(MAX_DRAWS):
        task = _draw(np.random.default_rng([chosen.code, index, attempt]), chosen.facets, airborne)
        if is_solvable(task):
            return task
    raise TaskError(f"none of {MAX_DRAWS} draws for task {index} of {set_name!r} is solvable")


def random_task(generator: np.random.Generator, facets: tuple[int, int] | None = (4, 6)) -> Task:
    """A fresh solvable task.

    Args:
        generator: where all randomness comes from.
        facets: lowest and highest number of facets; None for smooth objects.

    Raises:
        TaskError: no draw was solvable.
    """
    airborne = bool(generator.random() < AIRBORNE_SHARE)
    for _ in range(MAX_DRAWS):
        task = _draw(generator, facets, airborne)
        if is_solvable(task):
            return task
    raise TaskError(f"none of {MAX_DRAWS} draws is solvable")


def _draw(generator: np.random.Generator, facets: tuple[int, int] | None, airborne: bool) -> Task:
    """A task that may or may not be solvable."""
    if facets is None:
        polygon = smooth_polygon(generator)
    else:
        polygon = random_polygon(generator, int(generator.integers(facets[0], facets[1], endpoint=True)))
    motion = _flight if airborne else _tilt if generator.random() < 0.5 else _slide
    return Task(polygon, np.round(motion(generator, polygon), DECIMALS), airborne)


def _between(
    generator: np.random.Generator, start: float, end: float, *, noise: float = 0.0, from_rest: bool = False
) -> np.ndarray:
    """(T,) from ``start`` to ``end``, evenly or evenly faster, with normal noise on the keyframes between."""
    share = np.linspace(0.0, 1.0, KEYFRAMES) ** (2 if from_rest else 1)
    values = start + share * (end - start)
    values[1:-1] += generator.normal(0.0, noise, KEYFRAMES - 2)
    return values


def _flight(generator: np.random.Generator, polygon: Polygon) -> np.ndarray:
    """Poses (T, 3) of an object that is carried and turned through the air."""
    floor = polygon.radius + AIR_GAP + 3 * KEYFRAME_NOISE
    x = _between(generator, *generator.uniform(-MAX_X, MAX_X, 2), noise=KEYFRAME_NOISE)
    y = _between(generator, *generator.uniform(floor, floor + MAX_LIFT, 2), noise=KEYFRAME_NOISE)
    angle = generator.uniform(-math.pi, math.pi)
    turn = generator.uniform(-MAX_ROTATION, MAX_ROTATION)
    return np.stack([x, y, _between(generator, angle, angle + turn)], axis=1)


def _slide(generator: np.random.Generator, polygon: Polygon) -> np.ndarray:
    """Poses (T, 3) of an object that slides on one of its facets."""
    facet = _resting_facet(generator, polygon)
    x = _between(generator, *generator.uniform(-MAX_X, MAX_X, 2), noise=KEYFRAME_NOISE, from_rest=True)
    y, angle = polygon.offsets[facet], _resting_angle(polygon, facet)
    return np.stack([x, np.full(KEYFRAMES, y), np.full(KEYFRAMES, angle)], axis=1)


def _tilt(generator: np.random.Generator, polygon: Polygon) -> np.ndarray:
    """Poses (T, 3) of an object that lies on a facet, then tilts about one end of it while that end slides."""
    facet = _resting_facet(generator, polygon)
    count = len(polygon.vertices)
    # Turning counter-clockwise lifts the facet's end and leaves the weight on its start; clockwise the other way.
    direction = 1 if generator.random() < 0.5 else -1
    neighbour = (facet - direction) % count
    pivot = polygon.vertices[facet if direction > 0 else (facet + 1) % count]
    corner = math.acos(np.clip(polygon.normals[facet] @ polygon.normals[neighbour], -1.0, 1.0))
    most = min(MAX_TILT, corner - TILT_MARGIN)
    if most <= MIN_TILT:
        return _slide(generator, polygon)
    angle = _resting_angle(polygon, facet)
    end = angle + direction * generator.uniform(MIN_TILT, most)
    angles = _between(generator, angle, end, from_rest=True)
    x = _between(generator, *generator.uniform(-MAX_X, MAX_X, 2), noise=KEYFRAME_NOISE, from_rest=True)
    y = -(np.sin(angles) * pivot[0] + np.cos(angles) * pivot[1])
    return np.stack([x, y, angles], axis=1)


def _resting_facet(generator: np.random.Generator, polygon: Polygon) -> int:
    """A facet on which the object lies still: its centroid is above it."""
    start, end = polygon.facets[:, 0], polygon.facets[:, 1]
    along = -(start * (end - start)).sum(axis=1) / polygon.lengths**2
    return int(generator.choice(np.flatnonzero((along > 0.1) & (along < 0.9))))


def _resting_angle(polygon: Polygon, facet: int) -> float:
    """The angle in (-pi, pi] at which ``facet`` faces the ground."""
    x, y = polygon.normals[facet]
    return math.remainder(-math.pi / 2 - math.atan2(y, x), 2 * math.pi)

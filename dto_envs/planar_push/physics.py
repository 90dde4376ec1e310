"""Planar pushing's physics in pymunk: a polygon under gravity on a ground, and two discs that follow reference paths.

Fingers weigh nothing to their motors, as on an arm that carries itself: gravity acts on the object alone. Their motors
push with 68 N at most. Fingers meet neither the ground nor each other. They collide with the object's outline moved
inwards by their radius, so that a finger whose centre is on a facet touches it: plans and actions speak of points on
facets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pymunk

from dto_envs.planar_push.constants import (
    ANGLE_LENGTH,
    COLLISION_SLOP,
    FEED_FORWARD_STIFFNESS,
    FINGER_MASS,
    FINGER_RADIUS,
    FINGERS,
    HOME,
    MAX_FORCE,
    PHYSICS_DT,
    POSITION_STIFFNESS,
    SIMULATED_FINGER_FRICTION,
)
from dto_envs.planar_push.shapes import Polygon, to_body, to_world
from dto_envs.planar_push.tasks import Task, natural_spline

OBJECT, FINGER, GROUND = 1, 2, 3
GROUND_CATEGORY, FINGER_CATEGORY, OUTLINE_CATEGORY, CORE_CATEGORY = 1, 2, 4, 8
GROUND_LENGTH, GROUND_DEPTH = 20.0, 1.0
ITERATIONS = 30
# Overlaps beyond the slop shrink to half in 20 ms; pymunk's own pace, a tenth in 1/60 s, costs fingers newtons.
OVERLAP_KEPT, OVERLAP_TIME = 0.5, 0.02
TRACE_DT = 0.01


@dataclass(frozen=True)
class Physics:
    """What a run may vary. Everything else is :mod:`dto_envs.planar_push.constants`.

    Attributes:
        dt: seconds of one step; a keyframe interval must be a whole number of them.
        stiffness: of the fingers in N/m; None for 2000 where forces are fed forward and 10,000 where not.
        max_force: largest force of a finger's motors in N.
        finger_friction: Coulomb's coefficient between fingers and object.
        ground_friction: between ground and object; None for the task's.

    Raises:
        ValueError: a number that is not positive (frictions may be zero).
    """

    dt: float = PHYSICS_DT
    stiffness: float | None = None
    max_force: float = MAX_FORCE
    finger_friction: float = SIMULATED_FINGER_FRICTION
    ground_friction: float | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("dt", "stiffness", "max_force", "finger_friction", "ground_friction"):
            value = getattr(self, name)
            low = 0.0 if name.endswith("friction") else np.nextafter(0.0, 1.0)
            if value is not None and not low <= value < math.inf:
                raise ValueError(f"the physics' {name} must be {'positive' if low else 'at least 0'}; got {value!r}")


@dataclass(frozen=True)
class Execution:
    """What happened.

    Attributes:
        poses: (T, 3) the object's poses at the keyframes, m and rad (not wrapped).
        fingers: (T, 2, 2) where the fingers were, in m.
        forces: (T - 1, 3, 2) mean force on the object in each interval, in N, from the two fingers and the ground.
        contact: (T - 1, 3) share of each interval's steps in which finger or ground touched the object.
    """

    poses: np.ndarray
    fingers: np.ndarray
    forces: np.ndarray
    contact: np.ndarray


class World:
    """One episode's bodies, in a space of their own so that nothing of an earlier episode can reach them.

    The object is let go at its first pose with its initial velocity. The first :meth:`command` places the fingers at
    time 0, each further one runs the physics to the next keyframe. Until they are placed the fingers wait at home.

    Attributes:
        physics: what differs from the defaults, with the stiffness resolved.
        trace: a row of 7 numbers every 10 ms from time 0: the object's pose and both fingers' positions.
    """

    def __init__(self, task: Task, physics: Physics | None = None, *, feed_forward: bool = False) -> None:
        """Set the scene.

        Args:
            task: the object and where it starts.
            physics: what differs from the defaults.
            feed_forward: whether forces are fed forward, which decides the fingers' stiffness where it is not given.
        """
        physics = physics or Physics()
        if physics.stiffness is None:
            stiffness = FEED_FORWARD_STIFFNESS if feed_forward else POSITION_STIFFNESS
            physics = replace(physics, stiffness=stiffness)
        self.physics, self._task = physics, task
        self._stiffness = float(physics.stiffness or 0.0)
        self._damping = 2.0 * math.sqrt(self._stiffness * FINGER_MASS)
        self._space = pymunk.Space()
        self._space.iterations = ITERATIONS
        self._space.collision_slop = COLLISION_SLOP
        self._space.collision_bias = OVERLAP_KEPT ** (1.0 / OVERLAP_TIME)
        self._space.gravity = (0.0, -task.gravity)
        self._object = self._add_object(task.polygon)
        self._fingers: list[pymunk.Body] = []
        self._targets: list[np.ndarray] = []
        self._forces: list[np.ndarray] = []
        self._steps = interval_steps(task, physics)
        self._trace_every = max(1, round(TRACE_DT / physics.dt))
        self.trace: list[np.ndarray] = []
        self._impulses = np.zeros((FINGERS + 1, 2))
        self._touched = np.zeros(FINGERS + 1, dtype=bool)
        self._space.on_collision(OBJECT, FINGER, post_solve=self._note)
        self._space.on_collision(OBJECT, GROUND, post_solve=self._note)

    def _add_object(self, polygon: Polygon) -> pymunk.Body:
        task, friction = self._task, self.physics.ground_friction
        body = pymunk.Body(polygon.mass, polygon.inertia)
        body.position, body.angle = tuple(task.poses[0, :2]), task.poses[0, 2]
        body.velocity, body.angular_velocity = tuple(task.velocity[:2]), task.velocity[2]
        outline = pymunk.Poly(body, polygon.vertices.tolist())
        outline.filter = pymunk.ShapeFilter(categories=OUTLINE_CATEGORY, mask=GROUND_CATEGORY)
        outline.friction = task.ground_friction if friction is None else friction
        core = pymunk.Poly(body, inset(polygon, FINGER_RADIUS).tolist())
        core.filter = pymunk.ShapeFilter(categories=CORE_CATEGORY, mask=FINGER_CATEGORY)
        core.friction = self.physics.finger_friction
        half = GROUND_LENGTH / 2
        corners = [(-half, -GROUND_DEPTH), (half, -GROUND_DEPTH), (half, 0.0), (-half, 0.0)]
        ground = pymunk.Poly(self._space.static_body, corners)
        ground.filter = pymunk.ShapeFilter(categories=GROUND_CATEGORY, mask=OUTLINE_CATEGORY)
        ground.friction, ground.collision_type = 1.0, GROUND
        outline.collision_type = core.collision_type = OBJECT
        self._space.add(body, outline, core, ground)
        return body

    def command(self, targets: np.ndarray, forces: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Tell the fingers their next keyframe: the first time they are put there, later they move for one interval.

        On the way fingers follow the natural spline through all targets so far, and forces change linearly. A finger
        that would be put inside the object is put on the nearest point of its outline; its target stays inside, so
        that it presses. Fingers are put down moving as the object moves under them.

        Args:
            targets: (2, 2) in m [finger, x or y], world frame.
            forces: (2, 2) on the object in N, fed forward; None for none.

        Returns:
            The mean force on the object (3, 2) in N from both fingers and the ground, and the share (3,) of the
            interval's steps in which each touched it; zeros from the first command.
        """
        self._targets.append(np.array(targets, dtype=np.float64))
        self._forces.append(np.zeros((FINGERS, 2)) if forces is None else np.array(forces, dtype=np.float64))
        if not self._fingers:
            self._place(self._targets[0])
            self._record()
            return np.zeros((FINGERS + 1, 2)), np.zeros(FINGERS + 1)
        return self._advance()

    def _place(self, points: np.ndarray) -> None:
        pose = self.pose()
        body, polygon = to_body(pose, points), self._task.polygon
        inside = polygon.distance(body) < 0
        points = np.where(inside[:, None], to_world(pose, polygon.project_outside(body)), points)
        x, y, _ = pose
        u, v, w = self.velocity()
        for index, (a, b) in enumerate(points.tolist()):
            finger = pymunk.Body(FINGER_MASS, math.inf)
            finger.position, finger.velocity = (a, b), (u - w * (b - y), v + w * (a - x))
            disc = pymunk.Circle(finger, FINGER_RADIUS)
            disc.filter = pymunk.ShapeFilter(categories=FINGER_CATEGORY, mask=CORE_CATEGORY)
            disc.friction, disc.collision_type = 1.0, FINGER
            disc.finger_index = index  # type: ignore[attr-defined]
            self._space.add(finger, disc)
            self._fingers.append(finger)

    def _advance(self) -> tuple[np.ndarray, np.ndarray]:
        stiffness, damping, dt, step = self._stiffness, self._damping, self.physics.dt, self._space.step
        self._impulses[:] = 0.0
        contact = np.zeros(FINGERS + 1)
        strongest, weight = self.physics.max_force, FINGER_MASS * self._task.gravity
        positions, velocities, pushes = self._reference()
        for index in range(self._steps):
            for finger, (x, y), (u, v), (fx, fy) in zip(
                self._fingers, positions[index], velocities[index], pushes[index], strict=True
            ):
                at, moving = finger.position, finger.velocity
                fx += stiffness * (x - at.x) + damping * (u - moving.x)
                fy += stiffness * (y - at.y) + damping * (v - moving.y)
                scale = min(1.0, strongest / math.hypot(fx, fy)) if fx or fy else 1.0
                finger.force = (scale * fx, scale * fy + weight)
            self._touched[:] = False
            step(dt)
            contact += self._touched
            if (index + 1) % self._trace_every == 0:
                self._record()
        return self._impulses / (self._steps * dt), contact / self._steps

    def _reference(self) -> tuple[list, list, list]:
        """Positions, velocities and open-loop forces (steps, 2, 2) of the fingers in the interval that begins now."""
        spline = natural_spline(np.stack(self._targets), self._task.dt)
        share = np.arange(self._steps) / self._steps
        times = self._task.dt * (len(self._targets) - 2 + share)
        before, after = self._forces[-2:]
        forces = before + share[:, None, None] * (after - before)
        pushes = FINGER_MASS * spline(times, 2) + forces
        return spline(times).tolist(), spline(times, 1).tolist(), pushes.tolist()

    def _record(self) -> None:
        self.trace.append(np.concatenate([self.pose(), self.fingers()[0].ravel()]))

    def _note(self, arbiter: pymunk.Arbiter, space: pymunk.Space, data: object) -> None:
        index = getattr(arbiter.shapes[1], "finger_index", FINGERS)
        self._impulses[index] += arbiter.total_impulse  # on the object, the first of the two shapes
        self._touched[index] = True

    def pose(self) -> np.ndarray:
        """(3,) the object's x and y in m and its angle in rad (not wrapped)."""
        return np.array([*self._object.position, self._object.angle])

    def velocity(self) -> np.ndarray:
        """(3,) the object's velocity in m/s and rad/s."""
        return np.array([*self._object.velocity, self._object.angular_velocity])

    def fingers(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions (2, 2) in m and velocities (2, 2) in m/s of the fingers."""
        if not self._fingers:
            return np.array(HOME), np.zeros((FINGERS, 2))
        return (
            np.array([tuple(finger.position) for finger in self._fingers]),
            np.array([tuple(finger.velocity) for finger in self._fingers]),
        )


def simulate(
    task: Task,
    fingers: np.ndarray,
    forces: np.ndarray | None = None,
    physics: Physics | None = None,
) -> Execution:
    """Execute a finger trajectory from the task's first keyframe to its last.

    This is what the environment does with the same numbers as actions: see :meth:`World.command`.

    Args:
        task: what is moved.
        fingers: (T, 2, 2) positions at the keyframes in m [keyframe, finger, x or y].
        forces: (T, 2, 2) forces on the object at the keyframes in N, fed forward; None for position control alone.
        physics: what differs from the defaults.

    Raises:
        ValueError: arrays of another shape, or with numbers that are not finite.
    """
    fingers = _checked(fingers, "fingers", task)
    pushes = [None] * len(fingers) if forces is None else _checked(forces, "forces", task)
    world = World(task, physics, feed_forward=forces is not None)
    poses, places, acted, touched = [], [], [], []
    for target, push in zip(fingers, pushes, strict=True):
        force, contact = world.command(target, push)
        poses.append(world.pose())
        places.append(world.fingers()[0])
        acted.append(force)
        touched.append(contact)
    return Execution(np.stack(poses), np.stack(places), np.stack(acted[1:]), np.stack(touched[1:]))


def interval_steps(task: Task, physics: Physics) -> int:
    """Physics steps between two keyframes; raises ValueError where they do not fit a whole number of times."""
    steps = round(task.dt / physics.dt)
    if steps < 1 or abs(steps * physics.dt - task.dt) > 1e-9:
        raise ValueError(f"keyframes are {task.dt} s apart, which is no whole number of steps of {physics.dt} s")
    return steps


def trajectory_loss(poses: np.ndarray, desired: np.ndarray) -> np.ndarray:
    """The paper's loss in cm^2: the mean over keyframes and coordinates of the squared error of 100 (x, y, 0.03 sin a).

    Args:
        poses: (..., T, 3) in m and rad.
        desired: (..., T, 3), likewise.

    Returns:
        (...) one number per trajectory.
    """

    def scaled(pose: np.ndarray) -> np.ndarray:
        pose = np.asarray(pose, dtype=np.float64)
        return 100.0 * np.concatenate([pose[..., :2], ANGLE_LENGTH * np.sin(pose[..., 2:])], axis=-1)

    return ((scaled(poses) - scaled(desired)) ** 2).mean(axis=(-1, -2))


def inset(polygon: Polygon, distance: float) -> np.ndarray:
    """(N, 2) corners of what is left of a polygon when every facet moves inwards by ``distance``, counter-clockwise.

    Raises:
        ValueError: nothing is left.
    """
    corners = polygon.vertices
    for normal, offset in zip(polygon.normals, polygon.offsets - distance, strict=True):
        heights = corners @ normal - offset
        kept = []
        for a, b, here, there in zip(corners, np.roll(corners, -1, axis=0), heights, np.roll(heights, -1), strict=True):
            if here <= 0:
                kept.append(a)
            if here * there < 0:
                kept.append(a + here / (here - there) * (b - a))
        if len(kept) < 3:
            raise ValueError(f"the polygon is too thin for fingers of {distance} m radius")
        corners = np.array(kept)
    return corners


def _checked(values: np.ndarray, name: str, task: Task) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    expected = (len(task.poses), FINGERS, 2)
    if array.shape != expected or not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite numbers {expected} [keyframe, finger, x or y]; got {array.shape}")
    return array

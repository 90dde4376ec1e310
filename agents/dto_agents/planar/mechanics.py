"""The contact problem behind a task: required wrenches, contact points that fingers may take, and their wrenches.

Conventions: world frame x to the right, y up, theta counter-clockwise; a wrench is (fx, fy, torque / LENGTH) in N, the
torque about the centroid. All points of a facet have the same lever arm for its tangential force, so that the wrench is
linear in the normal force at a point and the tangential force along the facet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dto_envs.planar_push import constants
from dto_envs.planar_push.shapes import Polygon, rotation, to_world
from dto_envs.planar_push.tasks import Task

LENGTH = 0.1  # m; torques are divided by it, so that all three rows of a wrench are of one size


@dataclass(frozen=True)
class PlannerOptions:
    """What the expert may do and what it costs.

    Attributes:
        points_per_facet: contact points to choose from on every facet.
        span: shares of a facet's length between which they lie.
        friction: the fingers' friction coefficient in the plan; None for the task's, which is below the simulated one.
        least_force: smallest normal force of a finger, N; below it small errors lose the contact.
        most_force: largest normal force of a finger, N.
        force_cost: cost of a finger's force, squared, per square of the object's weight.
        acceleration_cost: cost of a finger's acceleration, squared, per square of gravity.
        slip_cost: cost of moving a contact in the body frame between keyframes, squared, per (5 cm)^2.
        ground_cost: cost of a ground force, squared, per square of the object's weight; it only makes it unique.
        clearance: smallest height of a contact point above the ground, m.
    """

    points_per_facet: int = 5
    span: tuple[float, float] = constants.CONTACT_SHARES
    friction: float | None = None
    least_force: float = constants.MIN_NORMAL_FORCE
    most_force: float = constants.MAX_NORMAL_FORCE
    force_cost: float = 1.0
    acceleration_cost: float = 0.05
    slip_cost: float = 1.0
    ground_cost: float = 0.01
    clearance: float = constants.MIN_FINGER_HEIGHT


SLIP_SCALE = 0.05  # m
SLIDING = 0.02  # m/s; a touching vertex faster than this slides, so that its friction has one direction
RAY_OWNERS = np.repeat(np.arange(2), 2)  # the touching vertex that each ground ray starts from


@dataclass(frozen=True)
class ContactProblem:
    """A task as the expert's optimisers see it, for T keyframes, C contact points and G ground rays.

    Attributes:
        task: the task.
        options: the planner's options.
        facets: (C,) facet of each contact point.
        shares: (C,) where on its facet each lies, 0 at the facet's first vertex, 1 at its second.
        points: (C, 2) in the body frame, m.
        world: (T, C, 2) in the world, m.
        axes: (T, C, 2, 2) inward unit normal and unit tangent in the world.
        maps: (T, C, 3, 2) wrench of a unit normal force and a unit tangential force.
        ground_points: (T, 2, 2) the touching vertices, world; NaN where there is none.
        ground_rays: (T, G, 2) direction of each ground ray; zero where there is none.
        ground_maps: (T, 3, G) wrench of a unit force along each ground ray.
        required: (T, 3) wrench that all contacts together must give.
        usable: (T, C) whether a finger may be there.
        node_cost: (T, C) cost of a finger's acceleration at each contact point.
        slip: (C, C) cost of moving a contact from one to another.
        pairs: (P, 2) contact points on different facets, by rising index.
    """

    task: Task
    options: PlannerOptions
    facets: np.ndarray
    shares: np.ndarray
    points: np.ndarray
    world: np.ndarray
    axes: np.ndarray
    maps: np.ndarray
    ground_points: np.ndarray
    ground_rays: np.ndarray
    ground_maps: np.ndarray
    required: np.ndarray
    usable: np.ndarray
    node_cost: np.ndarray
    slip: np.ndarray
    pairs: np.ndarray

    @property
    def friction(self) -> float:
        """Coefficient of the fingers' planned friction cones."""
        return self.task.finger_friction if self.options.friction is None else self.options.friction

    @property
    def finger_weight(self) -> float:
        """Cost of a squared finger force, 1/N^2."""
        return self.options.force_cost / (self.task.polygon.mass * self.task.gravity) ** 2

    @property
    def ground_weight(self) -> float:
        """Cost of a squared ground force, 1/N^2."""
        return self.options.ground_cost / (self.task.polygon.mass * self.task.gravity) ** 2


def contact_problem(task: Task, options: PlannerOptions | None = None) -> ContactProblem:
    """Set up the contact problem of ``task``."""
    options = options or PlannerOptions()
    poses, velocities, accelerations = task.poses, task.velocities, task.accelerations
    facets, shares, points = contact_points(task.polygon, options)
    rotations = rotation(poses[:, 2])
    arms = np.einsum("tij,cj->tci", rotations, points)
    body_axes = np.stack([-task.polygon.normals, task.polygon.tangents], axis=1)[facets]
    axes = np.einsum("tij,ckj->tcki", rotations, body_axes)
    world = poses[:, None, :2] + arms
    corners, rays = ground_rays(task)
    ground_arms = np.nan_to_num(corners)[:, RAY_OWNERS] - poses[:, None, :2]
    separation = np.linalg.norm(points[:, None] - points[None], axis=-1)
    first, second = np.nonzero(facets[:, None] < facets[None])
    fingers = accelerations[:, None, :2] + (
        accelerations[:, 2, None, None] * np.stack([-arms[..., 1], arms[..., 0]], axis=-1)
        - velocities[:, 2, None, None] ** 2 * arms
    )
    return ContactProblem(
        task=task,
        options=options,
        facets=facets,
        shares=shares,
        points=points,
        world=world,
        axes=axes,
        maps=wrench_maps(arms[:, :, None], axes),
        ground_points=corners,
        ground_rays=rays,
        ground_maps=wrench_maps(ground_arms, rays),
        required=required_wrench(task, accelerations),
        usable=_usable(world, options),
        node_cost=options.acceleration_cost * (fingers**2).sum(-1) / task.gravity**2,
        slip=options.slip_cost * (separation / SLIP_SCALE) ** 2,
        pairs=np.stack([first, second], axis=1),
    )


def wrench_maps(arms: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Wrenches (..., 3, K) of unit forces along ``directions`` (..., K, 2) at ``arms`` (..., K or 1, 2), m."""
    arms = np.broadcast_to(arms, directions.shape)
    torque = arms[..., 0] * directions[..., 1] - arms[..., 1] * directions[..., 0]
    return np.stack([directions[..., 0], directions[..., 1], torque / LENGTH], axis=-2)


def required_wrench(task: Task, accelerations: np.ndarray) -> np.ndarray:
    """Wrench (T, 3) that the contacts must give for ``accelerations`` (T, 3), m/s^2 and rad/s^2, against gravity."""
    mass, inertia = task.polygon.mass, task.polygon.inertia
    wrench = accelerations * np.array([mass, mass, inertia / LENGTH])
    wrench[:, 1] += mass * task.gravity
    return wrench


def contact_points(polygon: Polygon, options: PlannerOptions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Facets (C,), shares (C,) and body positions (C, 2) of the contact points on the facets of a polygon."""
    count = options.points_per_facet
    shares = np.linspace(*options.span, count) if count > 1 else np.array([sum(options.span) / 2])
    facets = np.repeat(np.arange(len(polygon.vertices)), count)
    shares = np.tile(shares, len(polygon.vertices))
    return facets, shares, polygon.points(facets, shares)


def ground_rays(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Touching vertices (T, 2, 2) in the world, and the rays (T, 4, 2) of their friction cones."""
    keyframes = len(task.poses)
    points = np.full((keyframes, 2, 2), np.nan)
    rays = np.zeros((keyframes, 4, 2))
    corners, velocities = to_world(task.poses, task.polygon.vertices), task.velocities
    for t, vertex in zip(*np.nonzero(task.touching), strict=True):
        slot = int(not np.isnan(points[t, 0, 0]))
        points[t, slot] = corners[t, vertex]
        speed = velocities[t, 0] - velocities[t, 2] * (corners[t, vertex, 1] - task.poses[t, 1])
        sides = (-np.sign(speed),) if abs(speed) > SLIDING else (-1.0, 1.0)
        for ray, side in enumerate(sides):
            rays[t, 2 * slot + ray] = side * task.ground_friction, 1.0
    return points, rays


def _usable(world: np.ndarray, options: PlannerOptions) -> np.ndarray:
    """Whether a finger may be at each contact point (T, C): inside the workspace and clear of the ground."""
    low = np.maximum(constants.WORKSPACE_LOW, (-np.inf, options.clearance))
    return ((world >= low) & (world <= constants.WORKSPACE_HIGH)).all(axis=-1)

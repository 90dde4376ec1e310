"""Can two fingers do a task at all? A quick sufficient test, with which tasks are drawn.

The test looks for one grip: two points of the outline, fixed on the object, that can make the wrench which every
keyframe asks for (Newton and Euler), within planned friction, force limits and the height of the ground. Two fingers
have four friction rays and a wrench has three numbers, so that the forces of a grip are a line, and asking whether a
part of it is allowed is arithmetic. A planner that may place contacts freely on facets can do at least as much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dto_envs.planar_push.constants import (
    CONTACT_SHARES,
    FINGER_RADIUS,
    MAX_NORMAL_FORCE,
    MIN_FINGER_HEIGHT,
    MIN_NORMAL_FORCE,
    WORKSPACE_HIGH,
    WORKSPACE_LOW,
)
from dto_envs.planar_push.shapes import rotation, to_world

if TYPE_CHECKING:
    from dto_envs.planar_push.tasks import Task

SHARES = (CONTACT_SHARES[0], 0.5, CONTACT_SHARES[1])
# What the ground may carry, as shares of the object's weight, and how two corners divide it.
GROUND_LOADS = (0.0, 0.1, 0.3, 0.6, 1.0)
GROUND_SPLITS = (0.0, 0.5, 1.0)
SINGULAR = 1e-9


def is_solvable(task: Task) -> bool:
    """Whether some grip can do ``task``."""
    return len(grips(task)) > 0


def grips(task: Task) -> np.ndarray:
    """All grips that can do ``task`` among three points per facet.

    Returns:
        (N, 2) integers: candidate ``3 f + s`` is the point of facet ``f`` at share ``SHARES[s]``.
    """
    polygon = task.polygon
    facets = np.repeat(np.arange(len(polygon.vertices)), len(SHARES))
    points = polygon.points(facets, np.tile(SHARES, len(polygon.vertices)))
    first, second = np.triu_indices(len(points), k=1)
    reachable = _reachable(task, points)
    apart = np.linalg.norm(points[first] - points[second], axis=1) > 2 * FINGER_RADIUS
    keep = reachable[first] & reachable[second] & apart
    pairs = np.stack([first[keep], second[keep]], axis=1)
    rays = _rays(points, polygon.normals[facets], task.finger_friction)
    grip = np.concatenate([rays[pairs[:, 0]], rays[pairs[:, 1]]], axis=2)
    for wrenches in required_wrenches(task):
        allowed = _allowed(grip, wrenches).any(axis=1)
        pairs, grip = pairs[allowed], grip[allowed]
    return pairs


def required_wrenches(task: Task) -> list[np.ndarray]:
    """What the fingers must bring at every keyframe: for each, (S, 3) wrenches in the body frame in N, N and N m.

    One wrench where the object is in the air; on the ground one per sample of what the ground carries, its friction at
    the limit and against the sliding direction.
    """
    polygon, wanted = task.polygon, []
    for pose, velocity, acceleration, touching in zip(
        task.poses, task.velocities, task.accelerations, task.touching, strict=True
    ):
        force = polygon.mass * (acceleration[:2] + [0.0, task.gravity])
        samples = [np.zeros(3)]
        corners = to_world(pose, polygon.vertices[touching])
        loads = np.array(GROUND_LOADS[1:]) * polygon.mass * task.gravity
        pushes = [_ground_wrench(corner, pose, velocity, task.ground_friction) for corner in corners]
        if len(pushes) == 1:
            samples += [load * pushes[0] for load in loads]
        elif pushes:
            samples += [load * ((1 - s) * pushes[0] + s * pushes[-1]) for load in loads for s in GROUND_SPLITS]
        world = np.append(force, polygon.inertia * acceleration[2]) - np.array(samples)
        world[:, :2] = world[:, :2] @ rotation(pose[2])
        wanted.append(world)
    return wanted


def _ground_wrench(corner: np.ndarray, pose: np.ndarray, velocity: np.ndarray, friction: float) -> np.ndarray:
    """(3,) the ground's wrench per newton of normal force at ``corner``, world axes, about the centroid."""
    x, y = corner - pose[:2]
    sliding = velocity[0] - velocity[2] * y
    along = -friction * np.sign(sliding)
    return np.array([along, 1.0, x - y * along])


def _reachable(task: Task, points: np.ndarray) -> np.ndarray:
    """(P,) which points of the body stay above the ground and inside the workspace at all keyframes."""
    world = to_world(task.poses, points)
    low = np.maximum(WORKSPACE_LOW, (-np.inf, MIN_FINGER_HEIGHT))
    return ((world >= low) & (world <= WORKSPACE_HIGH)).all(axis=(0, 2))


def _rays(points: np.ndarray, normals: np.ndarray, friction: float) -> np.ndarray:
    """(P, 3, 2) wrenches of the two edges of the friction cone at each point, per newton of normal force."""
    tangents = np.stack([-normals[:, 1], normals[:, 0]], axis=1)
    forces = -normals[:, :, None] + friction * tangents[:, :, None] * np.array([-1.0, 1.0])
    torques = points[:, :1] * forces[:, 1] - points[:, 1:] * forces[:, 0]
    return np.concatenate([forces, torques[:, None]], axis=1)


def _allowed(grip: np.ndarray, wrenches: np.ndarray) -> np.ndarray:
    """(N, S) whether the rays ``grip`` (N, 3, 4) can make the wrenches (S, 3) within the limits of normal force."""
    # The forces are x + s v for any number s: v spans the null space, x is one solution.
    columns = np.arange(4)
    minors = [np.linalg.det(grip[:, :, columns != k]) * (-1) ** k for k in range(4)]
    null = np.stack(minors, axis=1)
    regular = np.linalg.norm(null, axis=1) > SINGULAR
    particular = np.einsum("nij,sj->nsi", np.linalg.pinv(grip), wrenches)
    normal = particular.reshape(*particular.shape[:2], 2, 2).sum(axis=3)
    slope = null.reshape(-1, 2, 2).sum(axis=2)
    # Everything that must not be negative, as values at s = 0 and their slopes.
    values = np.concatenate([particular, normal - MIN_NORMAL_FORCE, MAX_NORMAL_FORCE - normal], axis=2)
    slopes = np.concatenate([null, slope, -slope], axis=1)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = -values / slopes
    lowest = np.where(slopes > 0, crossing, -np.inf).max(axis=2)
    highest = np.where(slopes < 0, crossing, np.inf).min(axis=2)
    possible = np.where(slopes == 0, values >= 0, True).all(axis=2)
    return possible & (lowest <= highest) & regular[:, None]

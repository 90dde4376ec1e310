"""What agents see, as flat vectors: fingers and object, and, for those who may know it, the task.

``"state"`` observations hold everything, as ground truth does elsewhere in this package; who reads them need not look
at the video. Beside the video the state has fingers and object only, which cannot be told from one still.
"""

from __future__ import annotations

import numpy as np

from dto_envs.planar_push.constants import KEYFRAMES
from dto_envs.planar_push.physics import World
from dto_envs.planar_push.shapes import SMOOTH_FACETS, Polygon
from dto_envs.planar_push.tasks import Task

# Finger positions (4) and velocities (4), object pose (3) and velocity (3), number of the next keyframe (1).
SCENE_SIZE = 15
# Desired poses, whether airborne, number of facets, vertices (zeros beyond the last).
MAX_FACETS = SMOOTH_FACETS
TASK_SIZE = 3 * KEYFRAMES + 2 + 2 * MAX_FACETS
STATE_SIZE = SCENE_SIZE + TASK_SIZE


def observe_scene(world: World, keyframe: int) -> np.ndarray:
    """(15,) float64 in SI units, world frame.

    Finger 0's x, y, finger 1's x, y; their velocities likewise; the object's x, y, angle; its velocities; the number
    of the keyframe that the next action is for.
    """
    positions, velocities = world.fingers()
    return np.concatenate([positions.ravel(), velocities.ravel(), world.pose(), world.velocity(), [float(keyframe)]])


def observe_task(task: Task) -> np.ndarray:
    """(49,) float64: the desired poses x, y, angle of the keyframes, 1 if airborne, the number of facets, vertices.

    Raises:
        ValueError: a task with other than five keyframes or more than 16 facets.
    """
    vertices = task.polygon.vertices
    if len(task.poses) != KEYFRAMES or len(vertices) > MAX_FACETS:
        raise ValueError(
            f"an observed task has {KEYFRAMES} keyframes and at most {MAX_FACETS} facets; "
            f"this one has {len(task.poses)} and {len(vertices)}"
        )
    numbers = np.zeros(TASK_SIZE)
    poses, counts, corners = _parts(numbers)
    poses[:] = task.poses.ravel()
    counts[:] = task.airborne, len(vertices)
    corners[: vertices.size] = vertices.ravel()
    return numbers


def read_task(numbers: np.ndarray) -> Task:
    """The task, to the bit, from :func:`observe_task`'s vector or a whole state (64,) that ends with it.

    Raises:
        ValueError: the vector has another length, or describes no task.
    """
    numbers = np.asarray(numbers, dtype=np.float64)
    if numbers.shape not in ((TASK_SIZE,), (STATE_SIZE,)):
        raise ValueError(
            f"a task is read from {TASK_SIZE} numbers, or from a state of {STATE_SIZE}; got {numbers.shape}. "
            "Make the environment with obs_type='state'"
        )
    poses, (airborne, facets), corners = _parts(numbers[-TASK_SIZE:])
    polygon = Polygon(corners[: 2 * int(facets)].reshape(-1, 2))
    return Task(polygon, poses.reshape(KEYFRAMES, 3), airborne=bool(airborne))


def _parts(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Views of a task vector: poses, airborne and number of facets, vertices."""
    return numbers[: 3 * KEYFRAMES], numbers[3 * KEYFRAMES : 3 * KEYFRAMES + 2], numbers[3 * KEYFRAMES + 2 :]

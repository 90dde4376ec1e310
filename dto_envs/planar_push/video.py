"""The task as the paper shows it: five frames of 50 x 50 pixels with the object in one colour above the ground.

Drawn with plain arithmetic, no graphics library, so that the pixels are the same on every machine.
"""

from __future__ import annotations

import numpy as np

from dto_envs.planar_push.constants import KEYFRAMES, VIDEO_BOTTOM, VIDEO_LEFT, VIDEO_SIDE, VIDEO_SIZE
from dto_envs.planar_push.shapes import to_world
from dto_envs.planar_push.tasks import Task

SKY = np.array([255.0, 255.0, 255.0])
GROUND_COLOR = np.array([120.0, 120.0, 120.0])
OBJECT_COLOR = np.array([30.0, 90.0, 200.0])
# Points per pixel and axis whose share inside the object is the pixel's coverage.
SAMPLES = 4


def task_video(task: Task) -> np.ndarray:
    """(T, 50, 50, 3) uint8 video of the desired motion at the keyframes; row 0 is the top."""
    return np.stack([frame(to_world(pose, task.polygon.vertices)) for pose in task.poses])


def check_video(video: np.ndarray) -> None:
    """Raise ValueError unless ``video`` is a task's video, or a batch of them: (..., 5, 50, 50, 3) uint8."""
    shape, dtype = np.shape(video), getattr(video, "dtype", None)
    expected = (KEYFRAMES, VIDEO_SIZE, VIDEO_SIZE, 3)
    if shape[-4:] != expected or dtype != np.uint8:
        sizes = ", ".join(map(str, expected))
        raise ValueError(
            f"a task's video is (..., {sizes}) uint8 [keyframe, row, column, colour]; got {shape} {dtype}. "
            "Make the environment with obs_type='image' or 'state_image'"
        )


def frame(vertices: np.ndarray) -> np.ndarray:
    """(50, 50, 3) uint8: a convex polygon with the corners (F, 2) in m, counter-clockwise, world frame.

    The picture shows x from -0.4 to 0.4 m and y from -0.08 to 0.72 m; what is outside is cut off.
    """
    step = VIDEO_SIDE / (VIDEO_SIZE * SAMPLES)
    along = (np.arange(VIDEO_SIZE * SAMPLES) + 0.5) * step
    x, y = VIDEO_LEFT + along, VIDEO_BOTTOM + along[::-1]
    inside = np.ones((len(y), len(x)), dtype=bool)
    for (ax, ay), (bx, by) in zip(vertices, np.roll(vertices, -1, axis=0), strict=True):
        inside &= (bx - ax) * (y[:, None] - ay) >= (by - ay) * (x - ax)
    shape = (VIDEO_SIZE, SAMPLES, VIDEO_SIZE, SAMPLES)
    coverage = inside.reshape(shape).mean(axis=(1, 3))[..., None]
    below = (y < 0).reshape(VIDEO_SIZE, SAMPLES).mean(axis=1)[:, None, None]
    background = SKY + below * (GROUND_COLOR - SKY)
    return np.rint(background + coverage * (OBJECT_COLOR - background)).astype(np.uint8)

"""What a depth camera sees, as points: by casting rays, without OpenGL."""

from __future__ import annotations

import mujoco
import numpy as np

from dto_envs.metaworld.sampling_kernel import farthest_points
from dto_envs.metaworld.simulation import Simulation

CLOUD_SIZE = 512
CAMERA = "corner4"
PIXELS = 160  # edge of the depth image

# The part of the world that is kept, m: above the table, between the low walls around it, below the upper arm.
BOX_LOW = np.array([-0.40, 0.33, 0.004])
BOX_HIGH = np.array([0.62, 0.97, 0.42])
FARTHEST = 4.0  # m that a ray goes
DRAWN_GROUPS = np.array([1, 1, 1, 0, 0, 0], dtype=np.uint8)  # those that MuJoCo draws by itself


class CloudCamera:
    """A fixed depth camera in front of one simulation.

    A ray goes through the middle of each pixel. Only those that meet the box are cast, and they pass the table, behind
    which nothing of the box can be; so the points are those of the whole image.
    """

    def __init__(self, simulation: Simulation) -> None:
        """Look at ``simulation``."""
        self._simulation = simulation
        model = simulation.model
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        camera = model.camera(CAMERA).id
        self._place = data.cam_xpos[camera].copy()
        rays = pixel_rays(float(model.cam_fovy[camera]), PIXELS) @ data.cam_xmat[camera].reshape(3, 3).T
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        self._rays = np.ascontiguousarray(rays[_meet_box(self._place, rays)])
        self._table = model.body("tablelink").id
        self._geoms = np.empty(len(self._rays), dtype=np.int32)
        self._distances = np.empty(len(self._rays))

    def see(self) -> np.ndarray:
        """The cloud of now, (512, 3) float32, m in the world frame; zeros if nothing is in the box."""
        points = self.points()
        if not len(points):
            return np.zeros((CLOUD_SIZE, 3), dtype=np.float32)
        if len(points) <= CLOUD_SIZE:
            return np.resize(points, (CLOUD_SIZE, 3)).astype(np.float32)
        return points[farthest_points(points, CLOUD_SIZE)].astype(np.float32)

    def points(self) -> np.ndarray:
        """All points in the box, (N, 3) float64, in the order of their pixels; ``data`` must be forwarded."""
        model, data = self._simulation.model, self._simulation.data
        count, distances = len(self._rays), self._distances
        mujoco.mj_multiRay(  # type: ignore[call-arg]
            model,
            data,
            self._place,
            self._rays.ravel(),
            DRAWN_GROUPS,
            1,
            self._table,
            self._geoms,
            distances,
            count,
            FARTHEST,
        )
        reached = np.where(distances < 0, np.inf, distances)
        reached = np.minimum(reached, self._to_goal())
        points = self._place + self._rays * np.where(np.isinf(reached), -1.0, reached)[:, None]
        return points[((points > BOX_LOW) & (points < BOX_HIGH)).all(axis=1)]

    def _to_goal(self) -> np.ndarray:
        """Distance (N,) to the ball that Meta-World shows the goal by, infinite for rays that miss it."""
        radius = self._simulation.goal_radius
        if radius == 0.0:
            return np.full(len(self._rays), np.inf)
        offset = self._simulation.goal - self._place
        along = self._rays @ offset
        depth = radius**2 - (offset @ offset - along**2)
        return np.where(depth > 0, along - np.sqrt(np.maximum(depth, 0.0)), np.inf)


def pixel_rays(fovy: float, size: int) -> np.ndarray:
    """Directions through the middles of a square image's pixels, row by row, in the camera's frame.

    Args:
        fovy: vertical field of view in degrees.
        size: edge of the image in pixels.

    Returns:
        (size * size, 3) with z = -1, x to the right and y up.
    """
    middles = (2 * np.arange(size) + 1) / size - 1
    half = np.tan(np.radians(fovy) / 2)
    right, up = np.meshgrid(middles * half, -middles * half)
    return np.stack([right, up, -np.ones_like(right)], axis=-1).reshape(-1, 3)


def _meet_box(place: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """Which rays (N, 3) from ``place`` meet the box."""
    first, second = (BOX_LOW - place) / rays, (BOX_HIGH - place) / rays
    enter, leave = np.minimum(first, second).max(axis=1), np.maximum(first, second).min(axis=1)
    return (enter < leave) & (leave > 0)

"""What a camera cannot see is taken out of a scene before it is drawn; no pixel of the picture changes.

MuJoCo hands every geom to OpenGL, those behind the camera too, and all of them once more where a mirror may be in view,
which robosuite's floor is, though a table hides most of it. An arm has 170,000 triangles, and without a graphics card
their corners cost more time than the pixels of a small picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

Window = tuple[float, float, float, float]

RAYS = 25
# Plain numbers: MuJoCo's enumerations take ten times as long to compare.
GEOM = int(mujoco.mjtObj.mjOBJ_GEOM)
NONE, PLANE, BOX = (int(getattr(mujoco.mjtGeom, f"mjGEOM_{name}")) for name in ("NONE", "PLANE", "BOX"))


@dataclass(frozen=True)
class View:
    """A camera's pyramid of sight in the world frame.

    Attributes:
        position: (3,) the eye, m.
        axes: (3, 3) its rows are the directions right, up and ahead.
        window: left, bottom, right and top edge of the picture on a screen 1 m ahead, m.
        near: distance ahead before which nothing is drawn, m.
    """

    position: np.ndarray
    axes: np.ndarray
    window: Window
    near: float

    @classmethod
    def of(cls, scene: mujoco.MjvScene) -> View:
        """The view of an updated scene, for a square picture."""
        eye = mujoco.mjv_averageCamera(scene.camera[0], scene.camera[1])
        ahead, up = np.array(eye.forward, dtype=float), np.array(eye.up, dtype=float)
        near, half = eye.frustum_near, (eye.frustum_top - eye.frustum_bottom) / 2
        edges = (eye.frustum_center - half, eye.frustum_bottom, eye.frustum_center + half, eye.frustum_top)
        left, bottom, right, top = (edge / near for edge in edges)
        return cls(
            np.array(eye.pos, dtype=float), np.array([np.cross(ahead, up), up, ahead]), (left, bottom, right, top), near
        )

    def may_show(self, centres: np.ndarray, radii: np.ndarray, window: Window) -> np.ndarray:
        """Whether spheres with ``centres`` (n, 3) and ``radii`` (n,) reach into a window of the picture; (n,) bool."""
        right, up, ahead = self.axes @ (centres - self.position).T
        low_x, low_y, high_x, high_y = window
        excess = np.maximum.reduce(
            [
                -ahead,
                (low_x * ahead - right) / np.hypot(1, low_x),
                (right - high_x * ahead) / np.hypot(1, high_x),
                (low_y * ahead - up) / np.hypot(1, low_y),
                (up - high_y * ahead) / np.hypot(1, high_y),
            ]
        )
        return excess <= radii + 1e-4

    def beside(self, centre: np.ndarray, axes: np.ndarray, half_sizes: np.ndarray) -> Window | None:
        """The smallest window that holds all of the picture that an opaque rectangle leaves free.

        Args:
            centre: (3,) the rectangle's centre, m.
            axes: (3, 3) its rows are the directions of its edges and of the side that is opaque.
            half_sizes: (2,) of its edges, m.

        Returns:
            The window, or None where the rectangle covers the whole picture.
        """
        left, bottom, right, top = self.window
        x, y = np.linspace(left, right, RAYS), np.linspace(bottom, top, RAYS)
        rays = np.stack([*np.meshgrid(x, y), np.ones((RAYS, RAYS))], axis=-1) @ self.axes @ axes.T
        eye = axes @ (self.position - centre)
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = -eye[2] / rays[..., 2]
            hits = np.abs(eye[:2] + distance[..., None] * rays[..., :2]) < half_sizes
        hit = hits.all(axis=-1) & (rays[..., 2] < 0) & (distance > self.near)
        # Both are convex: a cell of the grid is covered where its four corners are.
        free = ~(hit[:-1, :-1] & hit[1:, :-1] & hit[:-1, 1:] & hit[1:, 1:])
        if not free.any():
            return None
        rows, columns = np.flatnonzero(free.any(axis=1)), np.flatnonzero(free.any(axis=0))
        return float(x[columns[0]]), float(y[rows[0]]), float(x[columns[-1] + 1]), float(y[rows[-1] + 1])


def find_table(model: mujoco.MjModel) -> int | None:
    """The visible opaque box, fixed and level, with the largest top, by which the floor is hidden; None without any."""
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    boxes = (model.geom_type == BOX) & (model.geom_group == 1) & (model.geom_rgba[:, 3] == 1)
    boxes &= (model.body_weldid[model.geom_bodyid] == 0) & (data.geom_xmat[:, 8] > 1 - 1e-9)
    painted = model.geom_matid >= 0
    boxes[painted] &= model.mat_rgba[model.geom_matid[painted], 3] == 1
    tops = np.where(boxes, 4 * model.geom_size[:, 0] * model.geom_size[:, 1], 0.0)
    return int(tops.argmax()) if tops.any() else None


def hide_unseen(
    scene: mujoco.MjvScene, model: mujoco.MjModel, data: mujoco.MjData, table: int | None, *, mirrors: bool = True
) -> None:
    """Take out of an updated scene the geoms, and the mirror, that a square picture of it cannot show.

    A geom goes if its bounding sphere lies beside the view, or below the table's top and beside what the table leaves
    free, and its mirror image does too. With shadows everything stays, since what casts them may be out of sight.

    Args:
        scene: as ``mjv_updateScene`` made it; the next update restores it.
        model: the scene's model.
        data: the state that it shows.
        table: from :func:`find_table`.
        mirrors: False to draw no reflections at all.
    """
    if scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] and any(light.castshadow for light in scene.lights[: scene.nlight]):
        return
    view, centres = View.of(scene), data.geom_xpos
    # A plane has no bounds: it is never beside the view, and below the table only if it is level.
    plane = model.geom_type == PLANE
    radii = np.where(plane, np.inf, model.geom_rbound)
    heights = centres[:, 2] + np.where(plane & (data.geom_xmat[:, 8] > 1 - 1e-9), 0.0, radii)
    free, below = view.window, np.zeros(model.ngeom, dtype=bool)
    if table is not None:
        axes, half_sizes = data.geom_xmat[table].reshape(3, 3).T, model.geom_size[table]
        top = centres[table] + half_sizes[2] * axes[2]
        free, below = view.beside(top, axes, half_sizes[:2]), heights < top[2] - 1e-4
    seen = view.may_show(centres, radii, view.window)
    seen[below] &= False if free is None else view.may_show(centres[below], radii[below], free)
    shown = [geom for geom in scene.geoms[: scene.ngeom] if geom.objtype == GEOM]
    # MuJoCo lets the first reflecting plane or box be a mirror, and no other; hidden, it must not hand that on.
    mirror = next((geom for geom in shown if geom.reflectance > 0 and geom.type in (PLANE, BOX)), None)
    reflects = mirrors and mirror is not None and bool(seen[mirror.objid])
    scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = reflects
    if reflects and mirror is not None:
        window = free if below[mirror.objid] else view.window
        assert window is not None
        seen |= view.may_show(_mirrored(centres, mirror), radii, window)
    for geom in shown:
        if not seen[geom.objid]:
            geom.type = NONE


def _mirrored(points: np.ndarray, mirror: mujoco.MjvGeom) -> np.ndarray:
    """Points (n, 3) as a plane, or the top of a box, reflects them."""
    normal = mirror.mat[:, 2].astype(float)
    surface = mirror.pos + (mirror.size[2] * normal if mirror.type == BOX else 0.0)
    return points - 2 * ((points - surface) @ normal)[:, None] * normal

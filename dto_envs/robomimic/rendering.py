"""Pictures of a simulation: robomimic's cameras, larger frames to look at, and a window where there is a screen."""

from __future__ import annotations

import functools
from typing import Any

import mujoco
import numpy as np

from dto_envs.opengl import open_viewer
from dto_envs.painting import Offscreen
from dto_envs.robomimic.build import scene
from dto_envs.robomimic.visibility import find_table, hide_unseen

FRAME_SIZE = 512


class Painter(Offscreen):
    """Draws one task's simulations; all environments of a process share it, with its textures and meshes."""

    def __init__(self, model: mujoco.MjModel, quality: str = "default") -> None:
        """Open an OpenGL context and upload the task's model.

        Args:
            model: the task's compiled model.
            quality: "default" draws as robosuite does; "fast" without multisampling, shadows and reflections.

        Raises:
            NoDisplayError: the machine has no OpenGL.
        """
        super().__init__(model, FRAME_SIZE, FRAME_SIZE, maxgeom=10_000, quality=quality)
        self._fast = quality == "fast"
        self._table = find_table(model)
        # Group 0 holds robosuite's collision geometry, group 1 what is meant to be seen.
        self._options.geomgroup[:2] = (0, 1)

    def paint(self, model: mujoco.MjModel, data: mujoco.MjData, camera: mujoco.MjvCamera, size: int) -> np.ndarray:
        """Draw a square picture, upright.

        Args:
            model: the task's model.
            data: the state to draw; it must be forwarded.
            camera: where from; :func:`dto_envs.opengl.fixed_camera` or :func:`onlooker`.
            size: edge in pixels.

        Returns:
            (size, size, 3) uint8, RGB.
        """
        hide_unseen(self.look(model, data, camera), model, data, self._table, mirrors=not self._fast)
        return self.draw(size, size)


def onlooker(arms: int = 1) -> mujoco.MjvCamera:
    """A person's view of the whole arm and its workspace, or of two arms from their side, for frames to look at."""
    camera = mujoco.MjvCamera()
    camera.type = mujoco.mjtCamera.mjCAMERA_FREE
    if arms == 1:
        camera.lookat[:] = (-0.12, 0.02, 1.05)
        camera.distance, camera.azimuth, camera.elevation = 1.7, 140.0, -22.0
    else:
        camera.lookat[:] = (-0.05, 0.0, 1.05)
        camera.distance, camera.azimuth, camera.elevation = 2.4, 180.0, -30.0
    return camera


@functools.cache
def painter(task_name: str, quality: str) -> Painter:
    """This process's painter of one of robomimic's tasks in a quality."""
    return Painter(scene(task_name).model, quality)


def open_window(model: mujoco.MjModel, data: mujoco.MjData, view: mujoco.MjvCamera) -> Any:
    """Open MuJoCo's passive viewer on a simulation; it shows a new state whenever its ``sync`` is called.

    Args:
        model: the task's model.
        data: the simulation to show.
        view: where it is seen from at first, such as :func:`onlooker`.

    Raises:
        NoDisplayError: there is no screen.
    """
    window = open_viewer(model, data, view)
    with window.lock():
        window.opt.geomgroup[:2] = (0, 1)
    return window

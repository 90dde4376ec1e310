"""Pictures of the table: the cameras of the scene, larger frames to look at, and a window where there is a screen."""

from __future__ import annotations

import functools
from typing import Any

import mujoco
import numpy as np

from dto_envs.aloha.objects import FELT
from dto_envs.aloha.scene import scene
from dto_envs.opengl import open_viewer
from dto_envs.painting import Offscreen

FRAME_SIZE = (480, 640)


class Painter(Offscreen):
    """Draws one task's simulations; all environments of a process share it."""

    def __init__(self, task_name: str, quality: str = "default") -> None:
        """Open an OpenGL context and upload the task's model; raises NoDisplayError where there is no OpenGL."""
        self._model = scene(task_name).model
        height, width = FRAME_SIZE
        super().__init__(self._model, width, height, maxgeom=1000, quality=quality)
        self._options.geomgroup[FELT] = 0

    def paint(self, data: mujoco.MjData, camera: mujoco.MjvCamera, height: int, width: int) -> np.ndarray:
        """Draw a picture, upright: (height, width, 3) uint8, RGB.

        Args:
            data: the state to draw; it must be forwarded.
            camera: where from; :func:`dto_envs.opengl.fixed_camera` or :func:`onlooker`.
            height: pixels.
            width: pixels.
        """
        self.look(self._model, data, camera)
        return self.draw(width, height)


def onlooker(task_name: str) -> mujoco.MjvCamera:
    """A person's view of the table, for frames to look at."""
    camera = mujoco.MjvCamera()
    camera.type = mujoco.mjtCamera.mjCAMERA_FREE
    one_arm = len(scene(task_name).arms) == 1
    camera.lookat[:] = (-0.17 if one_arm else 0.0, 0.5, 0.10)
    camera.distance, camera.azimuth, camera.elevation = (0.85, 60.0, -25.0) if one_arm else (1.1, 90.0, -32.0)
    return camera


@functools.cache
def painter(task_name: str, quality: str) -> Painter:
    """This process's painter of the task in a quality."""
    return Painter(task_name, quality)


def open_window(model: mujoco.MjModel, data: mujoco.MjData, view: mujoco.MjvCamera) -> Any:
    """Open MuJoCo's passive viewer on a simulation; raises NoDisplayError where there is no screen."""
    window = open_viewer(model, data, view)
    with window.lock():
        window.opt.geomgroup[FELT] = 0
    return window

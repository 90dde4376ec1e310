"""Pictures of the table: the cameras of the scene, larger frames to look at, and a window where there is a screen."""

from __future__ import annotations

import atexit
import functools
from typing import Any

import mujoco
import numpy as np

from dto_envs.aloha.objects import FELT
from dto_envs.aloha.scene import scene
from dto_envs.opengl import NoDisplayError, gl_context, open_viewer, picture, release, upload

FRAME_SIZE = (480, 640)
QUALITIES = ("default", "fast")


class Painter:
    """Draws one task's simulations; all environments of a process share it."""

    def __init__(self, task_name: str, quality: str = "default") -> None:
        """Open an OpenGL context and upload the task's model; raises NoDisplayError where there is no OpenGL."""
        self._model = scene(task_name).model
        height, width = FRAME_SIZE
        self._gl: Any = gl_context(width, height)
        self._context = upload(self._model, quality)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._scene = mujoco.MjvScene(self._model, maxgeom=1000)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = quality != "fast"
        self._options = mujoco.MjvOption()
        self._options.geomgroup[FELT] = 0
        atexit.register(self.close)

    def paint(self, data: mujoco.MjData, camera: mujoco.MjvCamera, height: int, width: int) -> np.ndarray:
        """Draw a picture, upright: (height, width, 3) uint8, RGB.

        Args:
            data: the state to draw; it must be forwarded.
            camera: where from; :func:`dto_envs.opengl.fixed_camera` or :func:`onlooker`.
            height: pixels.
            width: pixels.
        """
        if self._gl is None:
            raise NoDisplayError("this painter has been closed")
        self._gl.make_current()
        everything = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(self._model, data, self._options, None, camera, everything, self._scene)
        return picture(self._scene, self._context, width, height)

    def close(self) -> None:
        """Free what the graphics driver holds; harmless when repeated."""
        atexit.unregister(self.close)
        gl, self._gl = self._gl, None
        if gl is not None:
            release(gl, self._context)


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

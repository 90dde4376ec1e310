"""Pictures of MuJoCo's simulations, drawn offscreen."""

from __future__ import annotations

import atexit
from typing import Any

import mujoco
import numpy as np

from dto_envs.opengl import NoDisplayError, gl_context, release

QUALITIES = ("default", "fast")


class Offscreen:
    """An OpenGL context that holds one model's textures and meshes; all environments of a process share it.

    A painter of a task derives from it, and says in a method of its own what a picture shows.
    """

    def __init__(
        self, model: mujoco.MjModel, width: int, height: int, *, maxgeom: int, quality: str = "default"
    ) -> None:
        """Open the context and upload the model, which stays as it is.

        Args:
            model: what will be drawn.
            width: of the largest picture, px.
            height: likewise.
            maxgeom: how many shapes a picture may show.
            quality: "default" draws as the model says; "fast" without multisampling and shadows.

        Raises:
            NoDisplayError: the machine has no OpenGL.
        """
        self._gl: Any = gl_context(width, height)
        self._context = _upload(model, quality)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._scene = mujoco.MjvScene(model, maxgeom=maxgeom)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = quality != "fast"
        self._options = mujoco.MjvOption()
        atexit.register(self.close)

    def look(self, model: mujoco.MjModel, data: mujoco.MjData, camera: mujoco.MjvCamera) -> mujoco.MjvScene:
        """The scene that :meth:`draw` will draw: what a camera sees of a state, which must be forwarded.

        Raises:
            NoDisplayError: the painter has been closed.
        """
        if self._gl is None:
            raise NoDisplayError("this painter has been closed")
        everything = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(model, data, self._options, None, camera, everything, self._scene)
        return self._scene

    def draw(self, width: int, height: int) -> np.ndarray:
        """Draw the scene of :meth:`look`: (height, width, 3) uint8, RGB, upright."""
        self._gl.make_current()
        if (self._context.offWidth, self._context.offHeight) != (width, height):
            mujoco.mjr_resizeOffscreen(width, height, self._context)
        viewport = mujoco.MjrRect(0, 0, width, height)
        mujoco.mjr_render(viewport, self._scene, self._context)
        pixels = np.empty((height, width, 3), dtype=np.uint8)
        mujoco.mjr_readPixels(pixels, None, viewport, self._context)
        return np.ascontiguousarray(pixels[::-1])

    def close(self) -> None:
        """Free what the graphics driver holds; harmless when repeated."""
        atexit.unregister(self.close)
        gl, self._gl = self._gl, None
        if gl is not None:
            release(gl, self._context)


def _upload(model: mujoco.MjModel, quality: str) -> mujoco.MjrContext:
    """Give the current OpenGL context a model's meshes and textures; leaves the model as it was."""
    settings = model.vis.quality
    before = settings.offsamples, settings.shadowsize
    if quality == "fast":
        settings.offsamples = settings.shadowsize = 0
    try:
        return mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_150)
    finally:
        settings.offsamples, settings.shadowsize = before

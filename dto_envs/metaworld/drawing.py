"""Pictures of a simulation: the camera of image observations, larger frames to look at, a window."""

from __future__ import annotations

import functools
from typing import Any

import mujoco
import numpy as np

from dto_envs.metaworld.simulation import Simulation, load_model
from dto_envs.metaworld.tasks import TASKS
from dto_envs.opengl import open_viewer
from dto_envs.painting import Offscreen

FRAME_SIZE = 512  # px


class Painter(Offscreen):
    """Draws one scene's simulations; all environments of a process share it, with its textures and meshes."""

    def __init__(self, scene: str) -> None:
        """Open an OpenGL context and upload a scene's model.

        Raises:
            NoDisplayError: the machine has no OpenGL.
        """
        super().__init__(load_model(scene), FRAME_SIZE, FRAME_SIZE, maxgeom=1000)

    def paint(self, simulation: Simulation, camera: mujoco.MjvCamera, size: int) -> np.ndarray:
        """Draw a picture of ``size`` px, upright: (size, size, 3) uint8, RGB."""
        self.look(simulation.model, simulation.data, camera)
        return self.draw(size, size)


@functools.cache
def _painter_of_scene(scene: str) -> Painter:
    return Painter(scene)


def painter(task: str) -> Painter:
    """This process's painter of a task."""
    return _painter_of_scene(TASKS[task].scene)


def onlooker() -> mujoco.MjvCamera:
    """A person's view of the arm and the table, for frames to look at."""
    camera = mujoco.MjvCamera()
    camera.type = mujoco.mjtCamera.mjCAMERA_FREE
    camera.lookat[:] = (0.05, 0.62, 0.12)
    camera.distance, camera.azimuth, camera.elevation = 1.55, 140.0, -24.0
    return camera


def open_window(simulation: Simulation) -> Any:
    """Open MuJoCo's viewer on a simulation; raises :class:`NoDisplayError` where there is no screen."""
    return open_viewer(simulation.model, simulation.data, onlooker())

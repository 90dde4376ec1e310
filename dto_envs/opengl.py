"""OpenGL for MuJoCo's pictures: a context offscreen where the machine has one, a viewer where there is a screen."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import mujoco


class NoDisplayError(RuntimeError):
    """Pictures were asked for on a machine that cannot draw them; the message says what to do."""


def gl_context(width: int, height: int) -> Any:
    """An offscreen OpenGL context: the one MUJOCO_GL names, else the first that works of a window's, EGL and OSMesa.

    Raises:
        NoDisplayError: none works.
    """
    named = os.environ.get("MUJOCO_GL", "").lower().strip()
    if named or not sys.platform.startswith("linux"):
        modules = [named if named in ("egl", "osmesa", "glfw") else "gl_context"]
    else:
        modules = (["glfw"] if has_screen() else []) + ["egl", "osmesa"]
    failures = []
    for name in modules:
        try:
            context = importlib.import_module(f"mujoco.{name}").GLContext(width, height)
            context.make_current()
            return context
        # Drivers fail in every way there is: missing libraries, attributes of None, errors of their own.
        except Exception as error:
            failures.append(f"{name}: {type(error).__name__}: {error}")
    raise NoDisplayError(
        "no OpenGL context for images; install libegl1 or libosmesa6 and set MUJOCO_GL=egl or MUJOCO_GL=osmesa, or use "
        f"obs_type='state' and render_mode=None, which need none ({'; '.join(failures)})"
    )


def fixed_camera(model: mujoco.MjModel, name: str) -> mujoco.MjvCamera:
    """A camera of the model."""
    import mujoco

    camera = mujoco.MjvCamera()
    camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
    camera.fixedcamid = model.camera(name).id
    return camera


def release(gl: Any, context: mujoco.MjrContext) -> None:
    """Free an OpenGL context and what MuJoCo holds in it."""
    try:
        gl.make_current()
        context.free()
        gl.free()
    except Exception:
        # At exit another library may have shut the driver down already. Then there is nothing left to free, and MuJoCo
        # must not try it again, and complain, when Python deletes the context.
        gl._context = None


def has_screen() -> bool:
    """Whether X11 or Wayland says that there is a screen."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def open_viewer(model: mujoco.MjModel, data: mujoco.MjData, view: mujoco.MjvCamera) -> Any:
    """Open MuJoCo's passive viewer on a simulation; it shows a new state whenever its ``sync`` is called.

    Args:
        model: the model.
        data: the simulation to show.
        view: a free camera that it is seen from at first.

    Raises:
        NoDisplayError: there is no screen.
    """
    if sys.platform.startswith("linux") and not has_screen():
        raise NoDisplayError("render_mode='human' needs a screen and DISPLAY is not set; use render_mode='rgb_array'")
    viewer = importlib.import_module("mujoco.viewer")
    try:
        window = viewer.launch_passive(model, data, show_left_ui=False, show_right_ui=False)
    except Exception as error:
        raise NoDisplayError(f"no window could be opened ({error}); use render_mode='rgb_array'") from error
    with window.lock():
        window.cam.lookat[:] = view.lookat
        window.cam.distance, window.cam.azimuth, window.cam.elevation = view.distance, view.azimuth, view.elevation
    return window

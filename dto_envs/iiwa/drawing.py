"""Pictures of the arm: the links as simple solids a person recognises, the goal as a translucent ghost."""

from __future__ import annotations

import functools
import math

import mujoco
import numpy as np

from dto_envs.iiwa.constants import FLANGE, GOAL, JOINTS, LINKS
from dto_envs.opengl import open_viewer
from dto_envs.painting import Offscreen

LARGEST = 512  # px
GREY, ORANGE, DARK = "0.80 0.81 0.83", "0.96 0.44 0.09", "0.16 0.17 0.19"
GHOST = "0.10 0.62 0.55"
GHOST_OPACITY = 0.28


class Stage:
    """Shows one arm's joint angles, in pictures or in a window."""

    def __init__(self, *, window: bool = False, pictures: bool = True) -> None:
        """Prepare what is needed and no more.

        Args:
            window: open a window.
            pictures: be ready to draw offscreen.

        Raises:
            NoDisplayError: the machine has no screen, or no OpenGL.
        """
        self._model = scene_model()
        self._data = mujoco.MjData(self._model)
        self._painter = painter() if pictures else None
        self._place(np.array(GOAL))
        self._window = open_viewer(self._model, self._data, camera()) if window else None

    def picture(self, angles: np.ndarray, size: int) -> np.ndarray:
        """The arm at joint angles (7,) rad: (size, size, 3) uint8, RGB, upright; ``size`` is at most 512."""
        assert self._painter is not None
        self._place(angles)
        return self._painter.paint(self._data, size)

    def show(self, angles: np.ndarray) -> None:
        """Show joint angles (7,) rad in the window; nothing without one."""
        if self._window is not None:
            self._place(angles)
            self._window.sync()

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window is not None:
            self._window.close()
            self._window = None

    def _place(self, angles: np.ndarray) -> None:
        self._data.qpos[:JOINTS] = angles
        self._data.qpos[JOINTS:] = GOAL
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)


class Painter(Offscreen):
    """This process's offscreen OpenGL context with the scene in it."""

    def __init__(self) -> None:
        """Open the context; raises :class:`~dto_envs.opengl.NoDisplayError` where the machine has no OpenGL."""
        self._model = scene_model()
        super().__init__(self._model, LARGEST, LARGEST, maxgeom=200)
        self._camera = camera()

    def paint(self, data: mujoco.MjData, size: int) -> np.ndarray:
        """Draw placed ``data``: (size, size, 3) uint8, RGB, upright."""
        scene = self.look(self._model, data, self._camera)
        for geom in scene.geoms[: scene.ngeom]:
            if geom.rgba[3] < 1:  # a ghost throws no shadow
                geom.category = mujoco.mjtCatBit.mjCAT_DECOR
        return self.draw(size, size)


@functools.cache
def painter() -> Painter:
    """This process's painter."""
    return Painter()


def camera() -> mujoco.MjvCamera:
    """A person's view of the whole reach, from the front and the arm's left."""
    view = mujoco.MjvCamera()
    view.type = mujoco.mjtCamera.mjCAMERA_FREE
    view.lookat[:] = (0.15, 0.0, 0.55)
    view.distance, view.azimuth, view.elevation = 1.95, -145.0, -14.0
    return view


@functools.cache
def scene_model() -> mujoco.MjModel:
    """Arm and ghost on a floor: joints 0 to 6 are the arm's, 7 to 13 the ghost's."""
    return mujoco.MjModel.from_xml_string(f"""
<mujoco model="iiwa_scene">
  <compiler angle="radian" eulerseq="XYZ"/>
  <visual>
    <global offwidth="{LARGEST}" offheight="{LARGEST}"/>
    <quality shadowsize="2048" offsamples="4"/>
    <headlight ambient="0.38 0.38 0.38" diffuse="0.30 0.30 0.30" specular="0.1 0.1 0.1"/>
    <map znear="0.05"/>
  </visual>
  <asset>
    <texture type="skybox" builtin="gradient" rgb1="0.90 0.93 0.96" rgb2="0.62 0.68 0.76" width="256" height="256"/>
    <texture name="tiles" type="2d" builtin="checker" rgb1="0.70 0.72 0.74" rgb2="0.64 0.66 0.68" width="256"
             height="256"/>
    <material name="floor" texture="tiles" texrepeat="1 1" texuniform="true" specular="0.1"/>
  </asset>
  <worldbody>
    <light pos="1.2 1.4 2.6" dir="-0.45 -0.5 -1" directional="true" diffuse="0.55 0.55 0.55" castshadow="true"/>
    <geom type="plane" size="3 3 0.1" material="floor"/>
    {_arm("arm")}
    {_arm("goal", ghost=True)}
  </worldbody>
</mujoco>""")


def _arm(name: str, *, ghost: bool = False) -> str:
    """Bodies and solids of one arm as MJCF; a ghost is all of one translucent colour and casts no base."""
    bodies = ""
    for index in range(JOINTS, 0, -1):
        link = LINKS[index - 1]
        turns = " ".join(repr(math.pi / 2 * count) for count in link.quarter_turns)
        place = f'pos="{" ".join(map(str, link.offset))}" euler="{turns}"'
        joint = f'<joint name="{name}{index}" type="hinge" axis="0 0 1"/>'
        bodies = f'<body name="{name}_link{index}" {place}>{joint}{_solids(index, ghost)}{bodies}</body>'
    return bodies if ghost else _base() + bodies


def _base() -> str:
    return (
        _geom("cylinder", "0 0 0.012", "0.135 0.012", DARK)
        + _geom("cylinder", "0 0 0.075", "0.105 0.055", GREY)
        + _geom("ellipsoid", "0 0 0.12", "0.103 0.103 0.045", GREY)
    )


def _solids(index: int, ghost: bool) -> str:
    """The solids of a link in its own frame."""
    radius = (0.082, 0.080, 0.074, 0.072, 0.062, 0.060, 0.040)[index - 1]
    colors = (GHOST, GHOST, GHOST) if ghost else (GREY, ORANGE, DARK)
    if index == JOINTS:
        return (
            _geom("cylinder", f"0 0 {FLANGE - 0.020}", "0.042 0.020", colors[0], ghost)
            + _geom("cylinder", f"0 0 {FLANGE + 0.004}", "0.034 0.006", colors[2], ghost)
            + _geom("box", f"0.036 0 {FLANGE - 0.018}", "0.010 0.008 0.014", colors[1], ghost)
        )
    if index % 2:  # a tube up to the next elbow, with a dark band at the joint below
        length = LINKS[index].offset[2]
        return _geom("capsule", None, f"{radius}", colors[0], ghost, f"0 0 0.02 0 0 {length - 0.01}") + _geom(
            "cylinder", "0 0 0.010", f"{radius * 1.03} 0.008", colors[2], ghost
        )
    # An elbow: a housing along its axis with orange caps, and a tube up to the next link.
    length = LINKS[index].offset[1]
    half = radius * 1.12
    caps = "".join(
        _geom("ellipsoid", f"0 0 {side * half}", f"{radius * 0.9} {radius * 0.9} 0.016", colors[1], ghost)
        for side in (-1, 1)
    )
    thickness, end = (0.94 * radius, length - 0.07) if index < 6 else (0.66 * radius, length)
    tube = _geom("capsule", None, f"{thickness}", colors[0], ghost, f"0 0 0 0 {end} 0")
    return _geom("cylinder", "0 0 0", f"{radius} {half}", colors[0], ghost) + caps + tube


def _geom(kind: str, pos: str | None, size: str, color: str, ghost: bool = False, ends: str | None = None) -> str:
    place = f'pos="{pos}"' if ends is None else f'fromto="{ends}"'
    opacity = GHOST_OPACITY if ghost else 1.0
    if ghost:  # a little thinner, so that it vanishes inside an arm that is there
        size = " ".join(str(0.96 * float(number)) for number in size.split())
    return f'<geom type="{kind}" {place} size="{size}" rgba="{color} {opacity}" contype="0" conaffinity="0"/>'

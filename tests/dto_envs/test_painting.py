"""The painter that all rooms with MuJoCo share; skipped where no OpenGL context can be made."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

mujoco = pytest.importorskip("mujoco")

from dto_envs.opengl import NoDisplayError, gl_context  # noqa: E402
from dto_envs.painting import Offscreen  # noqa: E402

RED_BALL = """
<mujoco><worldbody>
  <light pos="0 0 3"/><geom type="sphere" size="0.3" pos="0 0.4 0" rgba="1 0 0 1"/>
  <camera name="above" pos="0 0 2"/>
</worldbody></mujoco>
"""

# Another library that uses the driver, dm_control for one, ends it at exit before our painter can free its own part.
SHUT_DOWN_BEFORE_US = f"""
import atexit, mujoco
from dto_envs.painting import Offscreen
painter = Offscreen(mujoco.MjModel.from_xml_string('''{RED_BALL}'''), 32, 32, maxgeom=10)
from mujoco import egl
atexit.register(egl.EGL.eglTerminate, egl.EGL_DISPLAY)
"""


@pytest.fixture(scope="module", autouse=True)
def opengl():
    try:
        gl_context(32, 32).free()
    except NoDisplayError as error:
        pytest.skip(str(error))


def test_a_picture_shows_the_scene_upright_until_the_painter_is_closed():
    model = mujoco.MjModel.from_xml_string(RED_BALL)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    camera = mujoco.MjvCamera()
    camera.type, camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, 0
    for quality in ("default", "fast"):
        painter = Offscreen(model, 64, 64, maxgeom=10, quality=quality)
        assert painter.look(model, data, camera).ngeom == 1
        drawn = painter.draw(64, 48)
        assert drawn.shape == (48, 64, 3) and drawn.dtype == np.uint8
        assert drawn[12, 32, 0] > 2 * drawn[12, 32, 1:].max() and not drawn[36, 32].any()
        for _ in range(2):
            painter.close()
        with pytest.raises(NoDisplayError, match="has been closed"):
            painter.look(model, data, camera)
    assert model.vis.quality.offsamples > 0


def test_a_driver_that_was_shut_down_first_is_no_error_at_exit():
    environment = {**os.environ, "MUJOCO_GL": "egl"}
    ended = subprocess.run(
        [sys.executable, "-c", SHUT_DOWN_BEFORE_US], env=environment, capture_output=True, text=True, timeout=120
    )
    if "NoDisplayError" in ended.stderr:
        pytest.skip("no EGL")
    assert ended.returncode == 0 and ended.stderr == ""

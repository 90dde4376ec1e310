"""Pictures of the arm and its ghost; skipped where no OpenGL context can be made, except for what must fail there."""

import contextlib
import sys

import gymnasium
import mujoco
import numpy as np
import pytest

from dto_envs.iiwa import NoDisplayError, constants, drawing
from dto_envs.iiwa.model import mujoco_model, sample_start

ID = "dto/IiwaReach-v0"


def test_the_drawn_arm_moves_as_the_simulated_one():
    """Needs no OpenGL: frames of the scene's links against the physical model's, the ghost's at the goal."""
    scene = drawing.scene_model()
    data, other = mujoco.MjData(scene), mujoco.MjData(mujoco_model())
    angles = sample_start(np.random.default_rng(0), 2.0)
    for name, joints in (("arm", angles), ("goal", np.array(constants.GOAL))):
        data.qpos[:] = np.concatenate([angles, constants.GOAL])
        other.qpos[:] = joints
        mujoco.mj_kinematics(scene, data)
        mujoco.mj_kinematics(mujoco_model(), other)
        for index in range(1, 8):
            drawn = data.body(f"{name}_link{index}")
            np.testing.assert_allclose(drawn.xpos, other.body(f"link{index}").xpos, atol=1e-12)
            np.testing.assert_allclose(drawn.xmat, other.body(f"link{index}").xmat, atol=1e-12)
    assert (scene.geom_contype == 0)[1:].all()


@pytest.fixture(scope="module")
def stage():
    try:
        yield drawing.Stage()
    except NoDisplayError as error:
        pytest.skip(str(error))


def colored(picture: np.ndarray, kind: str) -> np.ndarray:
    """Which pixels are orange, as the arm's caps, or green, as the ghost."""
    red, green, blue = np.moveaxis(picture.astype(int), -1, 0)
    return (red > green + 60) & (green > blue) if kind == "orange" else (green > red + 40) & (blue > red + 20)


def test_arm_and_ghost_can_be_told_apart(stage):
    away = stage.picture(sample_start(np.random.default_rng(0)), 512)
    assert colored(away, "orange").sum() > 500 and colored(away, "green").sum() > 3000
    there = stage.picture(np.array(constants.GOAL), 512)
    # The arm hides the ghost where it has arrived.
    assert colored(there, "green").sum() < 0.05 * colored(away, "green").sum()
    assert (away != there).any(axis=-1).mean() > 0.02


def test_pictures_follow_from_the_angles_alone(stage):
    rng = np.random.default_rng(1)
    first, second = sample_start(rng), sample_start(rng)
    large, small = stage.picture(first, 512), stage.picture(first, 96)
    assert large.shape == (512, 512, 3) and small.shape == (96, 96, 3) and small.dtype == np.uint8
    stage.picture(second, 512)
    np.testing.assert_array_equal(stage.picture(first, 512), large)
    np.testing.assert_array_equal(drawing.Stage().picture(first, 96), small)
    assert colored(small, "green").sum() > 50


def test_images_that_nobody_looks_at_are_black(stage):
    env = gymnasium.make(ID, obs_type="state_image").unwrapped
    plain = gymnasium.make(ID).unwrapped
    env.draw_images = False
    assert env.reset(seed=1)[0]["image"].any()
    plain.reset(seed=1)
    action = np.array([10.0, -60, 0, 10, 0, 0, 0])
    observation = env.step(action)[0]
    assert not observation["image"].any()
    np.testing.assert_array_equal(observation["state"], plain.step(action)[0])


class FakeWindow:
    """Stands for the passive viewer, which needs a screen."""

    def __init__(self, model, data, **_):
        self.cam, self.lock, self.data, self.seen = mujoco.MjvCamera(), contextlib.nullcontext, data, []

    def sync(self):
        self.seen.append(self.data.qpos.copy())

    def close(self):
        self.seen.append(None)


def test_a_window_shows_every_state(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("mujoco.viewer.launch_passive", FakeWindow)
    env = gymnasium.make(ID, render_mode="human").unwrapped
    states = [env.reset(seed=0)[0][:7]]
    window = env._stage._window
    states += [env.step(np.array([0, -60.0, 0, 10, 0, 0, 0]))[0][:7] for _ in range(2)]
    assert env.render() is None
    env.close()
    assert window.seen[-1] is None
    np.testing.assert_array_equal([seen[:7] for seen in window.seen[:-1]], states)
    np.testing.assert_array_equal(window.seen[1][7:], constants.GOAL)


def test_a_window_without_a_screen_is_refused(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(NoDisplayError, match="rgb_array"):
        gymnasium.make(ID, render_mode="human")


def test_no_opengl_is_one_clear_error_and_states_need_none(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    monkeypatch.setitem(sys.modules, "mujoco.osmesa", None)
    with pytest.raises(NoDisplayError, match="obs_type='state'"):
        drawing.Painter()
    gymnasium.make(ID).reset(seed=0)

"""Images and frames; skipped where no OpenGL context can be made, except for what must fail clearly there."""

import gymnasium as gym
import numpy as np
import pytest

import dto_envs  # noqa: F401

pytest.importorskip("robosuite")

from dto_envs.painting import QUALITIES  # noqa: E402
from dto_envs.robomimic import NoDisplayError, rendering  # noqa: E402
from dto_envs.robomimic.build import scene  # noqa: E402

CAMERAS = ("agentview", "robot0_eye_in_hand")


@pytest.fixture(scope="module", autouse=True)
def opengl():
    try:
        rendering.painter("Lift", "default")
    except NoDisplayError as error:
        pytest.skip(str(error))
    yield
    for quality in QUALITIES:
        rendering.painter("Lift", quality).close()
    rendering.painter.cache_clear()


def test_image_observations():
    env = gym.make("dto/Lift-v0", obs_type="state_image")
    observation, _ = env.reset(seed=1)
    assert env.observation_space.contains(observation)
    assert set(observation) == {*CAMERAS, "state"}
    assert all(observation[name].shape == (84, 84, 3) and observation[name].dtype == np.uint8 for name in CAMERAS)
    after, *_ = env.step(np.array([0, 0, -1, 0, 0, 0, -1], dtype=np.float32))
    assert all(np.abs(after[name].astype(int) - observation[name]).max() > 20 for name in CAMERAS)
    images = gym.make("dto/Lift-v0", obs_type="image")
    again, _ = images.reset(seed=1)
    assert set(again) == set(CAMERAS) and images.observation_space.contains(again)
    assert all(np.array_equal(again[name], observation[name]) for name in CAMERAS)
    state_only = gym.make("dto/Lift-v0")
    assert np.array_equal(state_only.reset(seed=1)[0], observation["state"])


def test_images_that_nobody_looks_at_are_black_and_nothing_else_changes():
    env = gym.make("dto/Lift-v0", obs_type="state_image").unwrapped
    plain = gym.make("dto/Lift-v0").unwrapped
    env.draw_images = False
    assert all(env.reset(seed=1)[0][name].any() for name in CAMERAS)
    plain.reset(seed=1)
    for _ in range(2):
        action = env.action_space.sample()
        observation, *rest = env.step(action)
        expected, *expected_rest = plain.step(action)
        assert env.observation_space.contains(observation) and rest == expected_rest
        assert not any(observation[name].any() for name in CAMERAS)
        assert np.array_equal(observation["state"], expected)
    env.draw_images = True
    assert all(env.step(action)[0][name].any() for name in CAMERAS)


def test_what_is_left_out_of_a_scene_changes_no_pixel(monkeypatch):
    """The whole scene, drawn with the same OpenGL, is the same picture to the last bit."""
    env = gym.make("dto/Lift-v0", obs_type="image").unwrapped
    env.draw_images = False
    for seed in (3, 4):
        env.reset(seed=seed)
        for _ in range(6):
            env.step(np.array([0.8, 0.3, -0.8, 0, 0.5, 0.3, 0]))
        pictures = [env._image(name) for name in CAMERAS]
        with monkeypatch.context() as patch:
            patch.setattr(rendering, "hide_unseen", reflect)
            assert all(
                np.array_equal(env._image(name), picture) for name, picture in zip(CAMERAS, pictures, strict=True)
            )


def reflect(scene, *_, **__):
    import mujoco

    scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 1


def test_fast_pictures_differ_at_edges_and_in_the_faint_reflections_of_the_floor():
    default = gym.make("dto/Lift-v0", obs_type="image").reset(seed=2)[0]
    fast = gym.make("dto/Lift-v0", obs_type="image", render_quality="fast").reset(seed=2)[0]
    for name in CAMERAS:
        difference = np.abs(default[name].astype(int) - fast[name]).max(axis=-1)
        assert 0 < (difference > 16).mean() < 0.08 and np.median(difference) <= 1
    with pytest.raises(ValueError, match="render_quality is 'best'; choose one of 'default', 'fast'"):
        gym.make("dto/Lift-v0", render_quality="best")


def test_images_are_robosuites_turned_upright():
    """At the same state, robosuite's own renderer gives the same pixels, upside down, to one step of 255."""
    from robosuite.utils.binding_utils import MjRenderContextOffscreen

    env = gym.make("dto/Lift-v0", obs_type="image").unwrapped
    env.reset(seed=2)
    simulation = env.robosuite_env.sim
    context = MjRenderContextOffscreen(simulation, device_id=-1)
    context.vopt.geomgroup[0] = 0
    observation, *_ = env.step(np.array([0.5, 0, -1, 0.3, 0, 0, 0]))
    for name in CAMERAS:
        theirs = simulation.render(camera_name=name, width=84, height=84)[::-1]
        assert np.abs(theirs.astype(int) - observation[name]).max() <= 1
    # robosuite frees its graphics objects in whichever context is current.
    context.gl_ctx.make_current()
    simulation._render_context_offscreen = None
    del context


def test_frames_show_the_motion():
    env = gym.make("dto/Lift-v0", render_mode="rgb_array")
    env.reset(seed=1)
    before = env.render()
    assert before.shape == (512, 512, 3) and before.dtype == np.uint8 and before.std() > 20
    for _ in range(5):
        env.step(np.array([0, 0, -1, 0, 0, 0, 0], dtype=np.float32))
    assert (np.abs(env.render().astype(int) - before).max(axis=-1) > 20).mean() > 0.005


def test_a_window_without_a_screen_is_refused(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(NoDisplayError, match="rgb_array"):
        gym.make("dto/Lift-v0", render_mode="human")


class FakeWindow:
    """Stands for the passive viewer, which needs a screen."""

    def __init__(self, model, data):
        import contextlib

        import mujoco

        self.opt, self.cam, self.lock = mujoco.MjvOption(), mujoco.MjvCamera(), contextlib.nullcontext
        self.data, self.times = data, []

    def sync(self):
        self.times.append(self.data.time)

    def close(self):
        self.times.append("closed")


def test_a_window_shows_every_state(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("mujoco.viewer.launch_passive", lambda model, data, **_: FakeWindow(model, data))
    env = gym.make("dto/Lift-v0", render_mode="human")
    env.reset(seed=0)
    for _ in range(2):
        env.step(np.zeros(7))
    window = env.unwrapped._window
    env.close()
    assert np.allclose(window.times[:-1], [0.0, 0.05, 0.1]) and window.times[-1] == "closed"


def test_no_opengl_is_one_clear_error(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    monkeypatch.setitem(__import__("sys").modules, "mujoco.osmesa", None)
    with pytest.raises(NoDisplayError, match="obs_type='state'"):
        rendering.Painter(scene("Lift").model)

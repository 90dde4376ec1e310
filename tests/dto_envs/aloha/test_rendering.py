"""Pictures; skipped where no OpenGL context can be made."""

import gymnasium
import numpy as np
import pytest

import dto_envs  # noqa: F401

pytest.importorskip("gym_aloha")

from dto_envs.aloha import NoDisplayError, rendering  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def opengl():
    try:
        rendering.painter("AlohaMoveStack", "fast")
    except NoDisplayError as error:
        pytest.skip(str(error))
    yield
    rendering.painter("AlohaMoveStack", "fast").close()
    rendering.painter.cache_clear()


def test_cameras_have_the_papers_sizes_and_may_be_left_undrawn():
    env = gymnasium.make("dto/AlohaMoveStack-v0", obs_type="state_image", render_quality="fast").unwrapped
    observation, _ = env.reset(seed=0)
    assert set(observation) == {"angle", "left_wrist", "state"}
    assert all(observation[name].shape == (240, 320, 3) for name in ("angle", "left_wrist"))
    assert all(observation[name].std() > 5 for name in ("angle", "left_wrist"))
    env.draw_images = False
    black, *_ = env.step(observation["state"][:7].astype(np.float32))
    assert not black["angle"].any() and not black["left_wrist"].any()


def test_frames_show_what_is_moved():
    env = gymnasium.make("dto/AlohaMoveStack-v0", render_mode="rgb_array", render_quality="fast").unwrapped
    observation, _ = env.reset(seed=0)
    before = env.render()
    assert before.shape == (480, 640, 3)
    action = observation[:7].astype(np.float32)
    action[0] += 0.2
    env.step(action)
    assert (np.abs(env.render().astype(int) - before).max(axis=-1) > 20).mean() > 0.005

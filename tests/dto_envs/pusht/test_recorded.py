"""Push-T against reality: the 206 human episodes recorded for Diffusion Policy."""

import os

import gymnasium
import numpy as np
import pytest

import dto_envs  # noqa: F401  (registers the ids)

PATH = os.environ.get("DTO_PUSHT_ZARR")
pytestmark = pytest.mark.skipif(PATH is None, reason="DTO_PUSHT_ZARR does not name the recorded episodes")


@pytest.fixture(scope="module")
def recorded():
    zarr = pytest.importorskip("zarr")
    root = zarr.open(PATH, mode="r")
    arrays = {name: root["data"][name][:].astype(np.float64) for name in ("state", "action", "keypoint")}
    return {**arrays, "img": root["data"]["img"], "ends": root["meta"]["episode_ends"][:]}


def state_error(state: np.ndarray, recorded: np.ndarray) -> float:
    """Largest difference of two states, in px and rad, with angles compared on the circle."""
    difference = state - recorded
    difference[4] = (difference[4] + np.pi) % (2 * np.pi) - np.pi
    return np.abs(difference).max()


def test_open_loop_replays_end_where_the_recordings_end(recorded):
    env = gymnasium.make("dto/PushT-v0", terminate_on_success=False, max_episode_steps=1000)
    starts = np.concatenate([[0], recorded["ends"][:-1]])
    errors = []
    for start, end in zip(starts, recorded["ends"], strict=True):
        env.reset(options={"state": recorded["state"][start]})
        for action in recorded["action"][start : end - 1]:
            env.step(action.astype(np.float32))
        errors.append(state_error(env.unwrapped.state, recorded["state"][end - 1]))
    errors = np.array(errors)
    assert len(errors) == 206
    assert (errors < 0.01).sum() >= 205, np.sort(errors)[-5:]


def test_observations_are_the_recorded_agent_and_keypoints(recorded):
    env = gymnasium.make("dto/PushT-v0")
    deviations = []
    for i in range(0, len(recorded["state"]), 20):
        observation, _ = env.reset(options={"state": recorded["state"][i]})
        expected = np.concatenate([recorded["state"][i, :2], recorded["keypoint"][i].ravel()])
        deviations.append(np.abs(observation - expected).max())
    deviations = np.array(deviations)
    # The recorder wrote keypoints one physics step after the state: where the agent pushes, the block had moved on.
    assert (deviations < 1e-3).mean() > 0.75
    assert np.median(deviations) < 1e-4
    assert deviations.max() < 2.5


def test_images_look_like_the_recorded_ones(recorded):
    env = gymnasium.make("dto/PushT-v0", obs_type="image")
    for i in range(0, len(recorded["state"]), 1000):
        image, _ = env.reset(options={"state": recorded["state"][i]})
        difference = np.abs(image.astype(float) - recorded["img"][i])
        assert difference.mean() < 0.3
        assert (difference.max(axis=-1) > 8).mean() < 0.01

"""Mirrored demonstrations are demonstrations: the simulator replays them to their mirrored states."""

from __future__ import annotations

from dataclasses import replace

import gymnasium
import numpy as np
import pytest

import dto_envs  # noqa: F401
from dto_agents.demos.dataset import Demonstrations, Episode
from dto_agents.diffusion.symmetry import mirror
from dto_agents.diffusion.train import make_windows
from dto_envs.registry import row

PUSHT = "dto/PushT-v0"


@pytest.fixture(scope="module")
def recorded() -> tuple[Episode, float]:
    """An agent that circles about the middle of the board and pushes the block on its way, and its score."""
    env = gymnasium.make(PUSHT, terminate_on_success=False)
    observation, info = env.reset(options={"state": [200.0, 330.0, 240.0, 260.0, 0.4]})
    observations, actions = [], []
    for step in range(80):
        angle = 2.2 + 0.08 * step
        action = np.array([256 + 110 * np.cos(angle), 256 + 110 * np.sin(angle)], dtype=np.float32)
        observations.append(observation)
        actions.append(action)
        observation, _, _, _, info = env.step(action)
    env.close()
    episode = Episode(np.array(observations), np.array(actions, dtype=np.float64))
    assert np.abs(np.diff(episode.observations[:, 2:], axis=0)).max() > 1.0  # the block was pushed
    return episode, info["score"]


def test_mirrored_actions_lead_to_the_mirrored_states(recorded):
    episode, score = recorded
    image = mirror(episode, PUSHT)
    env = gymnasium.make(PUSHT, terminate_on_success=False)
    env.reset(options={"state": [512.0 - 330, 512.0 - 200, 512.0 - 260, 512.0 - 240, np.pi / 2 - 0.4]})
    info = {}
    for step, action in enumerate(image.actions):
        observation, _, _, _, info = env.step(action.astype(np.float32))
        if step + 1 < len(image):
            np.testing.assert_allclose(observation, image.observations[step + 1], atol=0.5)
    env.close()
    assert info["score"] == pytest.approx(score, abs=0.01)


def test_mirroring_twice_changes_nothing(recorded):
    episode, _ = recorded
    twice = mirror(mirror(episode, PUSHT), PUSHT)
    np.testing.assert_allclose(twice.observations, episode.observations, atol=1e-3)
    np.testing.assert_allclose(twice.actions, episode.actions, atol=1e-9)


def test_other_environments_have_no_mirror_image(recorded):
    with pytest.raises(ValueError, match="dto/Square-v0 has no mirror symmetry"):
        mirror(recorded[0], "dto/Square-v0")


def test_training_windows_double_and_the_data_stays_what_it_was(recorded, tiny):

    demonstrations = Demonstrations(PUSHT, (recorded[0],))
    layout = row(PUSHT).layout
    plain, doubled = (
        make_windows(demonstrations, replace(tiny, mirror=flag), layout, episodes=None, seed=0)
        for flag in (False, True)
    )
    assert len(doubled.actions) == 2 * len(plain.actions)
    assert doubled.data == plain.data

"""Training windows: padding at both ends, episodes kept apart, normalisation, choice of data."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dto_agents.demos.dataset import Episode
from dto_agents.diffusion.recipe import DiffusionRecipe
from dto_agents.diffusion.windows import (
    Range,
    all_states,
    choose_episodes,
    chosen,
    data_sha256,
    window_indices,
    windows_of,
)


def test_start_and_end_are_padded_by_repeating():
    index = window_indices([10], horizon=6, n_obs_steps=2, n_action_steps=3)
    np.testing.assert_array_equal(index[0], [0, 0, 1, 2, 3, 4])
    np.testing.assert_array_equal(index[1], [0, 1, 2, 3, 4, 5])
    np.testing.assert_array_equal(index[-1], [6, 7, 8, 9, 9, 9])
    assert len(index) == 8


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    horizon=st.integers(4, 20),
    n_obs_steps=st.integers(1, 3),
)
def test_every_window_stays_in_its_episode_and_every_step_is_executed_once_as_current(lengths, horizon, n_obs_steps):
    n_action_steps = horizon - n_obs_steps + 1
    index = window_indices(lengths, horizon=horizon, n_obs_steps=n_obs_steps, n_action_steps=n_action_steps)
    episode_of = np.repeat(np.arange(len(lengths)), lengths)
    assert index.min() >= 0 and index.max() < sum(lengths)
    assert (episode_of[index] == episode_of[index[:, :1]]).all()
    assert ((np.diff(index, axis=1) == 0) | (np.diff(index, axis=1) == 1)).all()
    current = index[:, n_obs_steps - 1]
    np.testing.assert_array_equal(np.unique(current), np.arange(sum(lengths)))


@pytest.mark.parametrize("to_the_end", [False, True])
def test_the_newest_observation_of_the_last_window_is_the_last_one_only_to_the_end(to_the_end):
    length, recipe = 30, DiffusionRecipe(to_the_end=to_the_end)
    index = windows_of([Episode(np.zeros((length, 2)), np.zeros((length, 1)))], recipe)
    current = index[:, recipe.n_obs_steps - 1].numpy()
    last = length - 1 if to_the_end else length - recipe.n_action_steps
    np.testing.assert_array_equal(current, np.arange(last + 1))
    assert (index[-1] == length - 1).sum() == recipe.horizon - (length - 1 - int(index[-1, 0]))


def test_range_maps_data_onto_the_unit_box_and_leaves_constants_unscaled():
    observations = torch.from_numpy(np.random.default_rng(0).uniform(-5, 300, (50, 3)))
    observations[:, 1] = 256.0
    observed = Range.of(observations)
    normalized = observed.normalize(observations)
    assert normalized.dtype == torch.float32
    np.testing.assert_allclose(normalized.amin(0), [-1, 0, -1], atol=1e-6)
    np.testing.assert_allclose(normalized.amax(0), [1, 0, 1], atol=1e-6)
    np.testing.assert_allclose(observed.restore(normalized), observations, atol=1e-4)
    beyond = observed.normalize(torch.tensor([[0.0, 257.0, 0.0]], dtype=torch.float64))
    assert beyond[0, 1] == pytest.approx(1.0)


def test_what_hardly_moves_is_scaled_as_if_it_moved_by_the_least_range():
    observations = torch.tensor([[0.0, 3.0, 7.0], [1.0, 3.01, 7.0]], dtype=torch.float64)
    observed = Range.of(observations, least=0.05)
    np.testing.assert_allclose(observed.normalize(observations), [[-1, -0.2, 0], [1, 0.2, 0]], atol=1e-6)
    pushed = observations[:1] + torch.tensor([0.0, 0.0, 0.002])
    assert observed.normalize(pushed)[0, 2] == pytest.approx(0.08, abs=1e-6)


def test_choice_of_episodes_depends_on_the_seed_only():
    assert choose_episodes(5, None, 3) == (0, 1, 2, 3, 4)
    first = choose_episodes(206, 90, 42)
    assert first == choose_episodes(206, 90, 42) != choose_episodes(206, 90, 142)
    assert len(set(first)) == 90 and list(first) == sorted(first)
    for wanted in (0, 207, -1):
        with pytest.raises(ValueError, match="--episodes 1 to 206"):
            choose_episodes(206, wanted, 42)


def test_hash_sees_every_number_and_every_boundary():
    rng = np.random.default_rng(0)
    whole = Episode(rng.normal(size=(8, 3)), rng.normal(size=(8, 2)))
    base = data_sha256([whole])
    halves = [Episode(whole.observations[part], whole.actions[part]) for part in (slice(0, 4), slice(4, 8))]
    changed = Episode(whole.observations, whole.actions + np.eye(8, 2) * 1e-12)
    assert len({base, data_sha256(halves), data_sha256([changed]), data_sha256([whole, whole])}) == 4
    assert base == data_sha256([Episode(np.asfortranarray(whole.observations), whole.actions)])


def test_the_chosen_episodes_are_those_that_the_card_names(demonstrations):
    used, data = chosen(demonstrations, 2, seed=1)
    assert [demonstrations.episodes[index] for index in data.episodes] == used and len(used) == 2
    assert data.steps == sum(len(episode) for episode in used) == len(all_states(used))
    assert data.sha256 == data_sha256(used)


def test_a_range_is_written_and_read_again():
    span = Range(torch.tensor([0.0, -1.0]).double(), torch.tensor([1 / 3, 2.0]).double())
    read = Range.saved(span.tensors("hands"), "hands")
    assert torch.equal(read.low, span.low) and torch.equal(read.high, span.high)

"""A base agent behind a filter whose bound changes during the episode."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dto_agents.base import FilteredAgent
from dto_agents.catalogue import make_action_filter
from dto_envs.filters.phased import bounds_at, parse_phases
from dto_envs.layouts import PUSHT_LAYOUT

PAPER = ("0.05:40", "0.1:80", "0.2:120", "0.3")
STEPS = 160


class Jerky:
    """Random positions in chunks of 12, of which 8 are executed."""

    n_action_steps = 8

    def reset(self, seeds):
        self.generators = [np.random.default_rng(seed) for seed in seeds]

    def act(self, observations):
        return PUSHT_LAYOUT.denormalize(np.stack([g.uniform(-1, 1, (12, 2)) for g in self.generators]))


@pytest.mark.parametrize("name", ["clipping", "projection", "static-q"])
@given(seed=st.integers(0, 2**31))
@settings(max_examples=8, deadline=None, derandomize=True)
def test_an_episode_keeps_the_bound_of_every_phase(name, seed):
    options = {"bound": 0.3, "phases": [list(phase) for phase in parse_phases(PAPER)]}
    action_filter = make_action_filter(name, "dto/PushT-v0", options=options)
    agent = FilteredAgent(Jerky(), action_filter, PUSHT_LAYOUT)
    for _ in range(2):  # a reset begins with the first phase again
        agent.reset([seed, seed + 1])
        executed = np.concatenate([agent.act(None)[:, :8] for _ in range(STEPS // 8)], axis=1)
        differences = np.abs(np.diff(PUSHT_LAYOUT.normalize(executed.astype(np.float64)), axis=1)).max(axis=(0, 2))
        allowed = bounds_at(parse_phases(PAPER), np.arange(1, STEPS))
        assert (differences <= allowed + 1e-6).all()
        assert (differences > 0.9 * allowed).mean() > 0.5  # and makes use of it

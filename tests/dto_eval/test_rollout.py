import hashlib

import gymnasium
import harness_agents
import numpy as np
import pytest

from dto_agents.base import FilteredAgent
from dto_envs.actions import plain_layout
from dto_envs.smoothness import trajectory_metrics
from dto_eval.rollout import AgentError, Environments, actions_digest, play
from dto_eval.shards import Shard, agent_seed


class Walk(gymnasium.Env):
    """The state adds up the actions; an episode ends in success after as many steps as its seed says."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,))
    action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, as_dict=False):
        self.as_dict = as_dict

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.length, self.state, self.received = seed % 10 + 1, np.array([seed, 0.0, 0.0]), []
        return self._observe(), {"init_hash": hashlib.sha256(str(seed).encode()).hexdigest()}

    def step(self, action):
        assert action.dtype == np.float32
        self.received.append(action)
        self.state = self.state + [0, *action]
        over = len(self.received) == self.length
        return self._observe(), 0.0, over, False, {"success": over, "score": len(self.received) / 10}

    def _observe(self):
        return {"state": self.state, "twice": 2 * self.state} if self.as_dict else self.state


class Walks(Environments):
    def __init__(self, as_dict=False):
        self.as_dict = as_dict
        self._built = []

    def take(self, count):
        self._built += [Walk(self.as_dict) for _ in range(count - len(self._built))]
        return self._built[:count]


class Recorder:
    """Commands 0.1, 0.2, ... and remembers what it saw."""

    def __init__(self, n_obs_steps=None, n_action_steps=None, chunk=None):
        self.seen = []
        if n_obs_steps:
            self.n_obs_steps = n_obs_steps
        if n_action_steps:
            self.n_action_steps = n_action_steps
        self.chunk = chunk

    def reset(self, seeds):
        self.seeds = seeds

    def act(self, observations):
        self.seen.append(observations)
        rows = len(observations["state"] if isinstance(observations, dict) else observations)
        if self.chunk is None:
            return np.full((rows, 2), 0.1)
        return np.tile(0.1 * np.arange(1, self.chunk + 1)[:, None], (rows, 1, 2))


SHARD = Shard(index=4, member="only", inits=(100003, 100000, 100007))


def play_all(agent, environments=None, shard=SHARD, **options):
    rollouts = list(play(shard, agent, environments or Walks(), run_seed=5, **options))
    return {rollout.episode.init: rollout for rollout in rollouts}


def test_episodes_end_where_the_environment_says():
    rollouts = play_all(Recorder())
    assert {init: rollout.episode.steps for init, rollout in rollouts.items()} == {100000: 1, 100003: 4, 100007: 8}
    for rollout in rollouts.values():
        episode = rollout.episode
        assert episode.success_once and episode.success_at_end and episode.score == episode.steps / 10
        actions = rollout.actions
        assert actions.dtype == np.float32 and actions.shape == (episode.steps, 2)
        assert rollout.proposed is None and rollout.n_action_steps == 1 and episode.shard == 4
        assert episode.actions_sha256 == actions_digest(actions) == hashlib.sha256(actions.tobytes()).hexdigest()


def test_agents_are_seeded_by_run_and_init():
    agent = Recorder()
    play_all(agent)
    assert agent.seeds == [agent_seed(5, init) for init in SHARD.inits]


def test_a_single_observation_has_no_time_axis():
    agent = Recorder()
    play_all(agent)
    assert all(seen.shape == (3, 3) for seen in agent.seen)
    np.testing.assert_allclose([seen[2, 1] for seen in agent.seen], 0.1 * np.arange(8), atol=1e-6)


def test_history_repeats_the_first_observation_and_finished_rows_their_last():
    agent = Recorder(n_obs_steps=3, n_action_steps=2, chunk=5)
    play_all(agent)
    sums = [[0, 0, 0], [0, 0.1, 0.3], [0.3, 0.4, 0.6], [0.6, 0.7, 0.9]]
    np.testing.assert_allclose([seen[2, :, 1] for seen in agent.seen], sums, atol=1e-6)
    np.testing.assert_allclose([seen[1, -1, 1] for seen in agent.seen], [0, 0.1, 0.1, 0.1], atol=1e-6)
    assert all(seen.shape == (3, 3, 3) for seen in agent.seen)


def test_the_whole_chunk_is_executed_where_no_number_is_set():
    agent = Recorder(chunk=3)
    rollouts = play_all(agent)
    assert rollouts[100007].n_action_steps == 3
    np.testing.assert_allclose(rollouts[100007].actions[:, 0], [0.1, 0.2, 0.3, 0.1, 0.2, 0.3, 0.1, 0.2], atol=1e-6)
    assert len(agent.seen) == 3


def test_dictionaries_are_stacked_entry_by_entry():
    agent = Recorder(n_obs_steps=2)
    play_all(agent, Walks(as_dict=True))
    assert agent.seen[0]["state"].shape == (3, 2, 3)
    np.testing.assert_array_equal(agent.seen[1]["twice"], 2 * agent.seen[1]["state"])


class Camera(gymnasium.Wrapper):
    """Notes at which steps an image would be drawn."""

    def __init__(self, env):
        super().__init__(env)
        env.draw_images, self.drawn = True, []

    def step(self, action):
        self.drawn.append(self.unwrapped.draw_images)
        return super().step(action)


@pytest.mark.parametrize(
    ("n_obs_steps", "drawn"), [(None, [0, 0, 1] * 2 + [0, 0]), (2, [0, 1, 1] * 2 + [0, 1]), (5, [1] * 8)]
)
def test_images_are_drawn_only_where_the_agent_looks(n_obs_steps, drawn):
    class Cameras(Walks):
        def take(self, count):
            self._built = self._built or [Camera(Walk()) for _ in range(count)]
            return self._built

    cameras = Cameras()
    play_all(Recorder(n_obs_steps=n_obs_steps, n_action_steps=3, chunk=4), cameras)
    assert cameras.take(3)[2].drawn == [bool(flag) for flag in drawn]


def test_rows_do_not_depend_on_their_neighbours():
    together = play_all(harness_agents.Wanderer())
    for init in SHARD.inits:
        alone = play_all(harness_agents.Wanderer(), shard=Shard(index=0, member="only", inits=(init,)))
        np.testing.assert_array_equal(alone[init].actions, together[init].actions)


class Halve:
    def __call__(self, chunk, previous=None):
        return chunk / 2


def test_a_filter_is_recorded_and_held_to_its_bound():
    layout = plain_layout(2, bound=0.03)
    base = Recorder(n_action_steps=2, chunk=4)
    rollouts = play_all(FilteredAgent(base, Halve(), layout))
    for rollout in rollouts.values():
        assert rollout.proposed is not None and rollout.n_action_steps == 2
        np.testing.assert_array_equal(rollout.actions, rollout.proposed / 2)
        expected = trajectory_metrics(rollout.actions, layout).max_violation
        assert rollout.episode.filter_unresolved == pytest.approx(expected)
        assert rollout.episode.filter_unresolved == pytest.approx(0.02 if rollout.episode.steps > 1 else 0)
    loose = play_all(FilteredAgent(Recorder(n_action_steps=2, chunk=4), Halve(), layout), bound=0.05)
    assert {rollout.episode.filter_unresolved for rollout in loose.values()} == {0.0}


@pytest.mark.parametrize(
    "name, message",
    [
        ("NotANumber", "returned nan \\(row 0, step 2, dim 1\\)"),
        ("TooShort", "returned 2 actions but says n_action_steps = 4"),
        ("WrongSize", "shape \\(3, 6, 1\\); expected \\(3, 2\\) or \\(3, T, 2\\)"),
    ],
)
def test_an_agent_that_breaks_its_contract_is_told(name, message):
    with pytest.raises(AgentError, match=message):
        play_all(getattr(harness_agents, name)())

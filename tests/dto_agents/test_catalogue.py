"""Agents by name: what names stand for, their members, and users' own classes."""

from __future__ import annotations

import numpy as np
import pytest

from dto_agents import zoo
from dto_agents.base import FilteredAgent
from dto_agents.catalogue import (
    BASES,
    NAMES,
    PLAIN_FILTERS,
    Composition,
    compose,
    load_class,
    make_action_filter,
    make_agent,
    members,
)
from dto_envs.registry import row

PUSHT = "dto/PushT-v0"

OWN = """
import numpy as np

class Still:
    def reset(self, seeds):
        self.count = len(seeds)
    def act(self, observations):
        return np.full((self.count, 4, 2), 256.0)

class Told(Still):
    def __init__(self, env_id):
        self.env_id = env_id

class Greedy(Still):
    def __init__(self, checkpoint):
        pass

class NoAct:
    def reset(self, seeds):
        pass

class Halve:
    def __init__(self, layout, factor=0.5):
        self.factor = factor
    def __call__(self, chunk, previous=None):
        return chunk * self.factor
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "my_policy_module.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"name": "base"}, Composition("diffusion")),
        ({"name": "expert"}, Composition("expert")),
        ({"name": "diffog"}, Composition("diffusion", "diffog")),
        ({"name": "clipping"}, Composition("diffusion", "clipping")),
        ({"base": "expert", "filter": "projection"}, Composition("expert", "projection")),
        ({"filter": "penalty"}, Composition("diffusion", "penalty")),
        ({"base": "base"}, Composition("diffusion")),
        ({"name": "mine", "base": "random", "filter": "clipping"}, Composition("random", "clipping")),
        ({"name": "pkg.module:Class"}, Composition("pkg.module:Class")),
    ],
)
def test_names_stand_for_compositions(arguments, expected):
    assert compose(**arguments) == expected


def test_unknown_names_list_the_known():
    with pytest.raises(ValueError, match=", ".join(NAMES)):
        compose("clip")
    with pytest.raises(ValueError, match=", ".join(BASES)):
        compose(base="clip")
    with pytest.raises(ValueError, match=", ".join(PLAIN_FILTERS)):
        compose(filter="clip")
    with pytest.raises(ValueError, match="name an agent"):
        compose()


def test_agents_without_weights_have_one_member():
    (member,) = members("random", PUSHT)
    assert (member.name, member.training_seed, dict(member.weights)) == ("only", None, {})


def test_members_carry_the_hashes_of_all_they_read(tiny_zoo):
    base = members("base", PUSHT, weights=tiny_zoo)
    assert [member.name for member in base] == ["seed42", "seed142"]
    (filtered,) = members("diffog", PUSHT, weights=tiny_zoo)
    assert filtered.name == "seed42" and filtered.training_seed == 42
    assert set(filtered.weights) == {"PushT/diffusion/seed42.safetensors", "PushT/diffog/seed42.safetensors"}
    expected = zoo.find_member("diffusion", PUSHT, "seed42", tiny_zoo).sha256
    assert filtered.weights["PushT/diffusion/seed42.safetensors"] == expected
    (over_random,) = members(None, PUSHT, base="random", filter="matrix", weights=tiny_zoo)
    assert set(over_random.weights) == {"PushT/matrix/seed42.safetensors"}


def test_untrained_agents_name_the_command(tmp_path):
    with pytest.raises(zoo.MissingWeightsError, match="dto-train --agent diffusion --env dto/PushT-v0"):
        members("clipping", PUSHT, weights=tmp_path)


@pytest.mark.parametrize("name", ["base", *PLAIN_FILTERS, "matrix", "diffog", "diffog-refine"])
def test_every_trained_agent_acts_within_its_bound(tiny_zoo, name):
    layout = row(PUSHT).layout
    agent = make_agent(name, PUSHT, "seed42", weights=tiny_zoo)
    agent.reset([1, 2, 3])
    observations = np.random.default_rng(0).uniform(50, 450, (2, 3, 2, 20))
    executed = []
    for seen in observations:
        chunk = agent.act(seen)
        assert chunk.shape == (3, 15, 2) and chunk.dtype == np.float32
        executed.append(layout.normalize(chunk[:, : agent.n_action_steps].astype(np.float64)))
    differences = np.abs(np.diff(np.concatenate(executed, axis=1), axis=1))
    if name in ("base", "penalty"):
        assert differences.max() > layout.bound * 0.5
    else:
        assert differences.max() <= layout.bound + 1e-6


@pytest.mark.parametrize("name", [*PLAIN_FILTERS, "matrix", "diffog", "diffog-refine"])
def test_filtered_actions_do_not_depend_on_the_batch(tiny_zoo, name):
    observations = np.random.default_rng(0).uniform(50, 450, (40, 2, 20))

    def act(rows):
        agent = make_agent(name, PUSHT, "seed42", weights=tiny_zoo)
        agent.reset([int(row_) for row_ in rows])
        return np.stack([agent.act(observations[rows]) for _ in range(2)], axis=1)

    everything = act(np.arange(40))
    for rows in (np.array([7]), np.array([39, 3, 12]), np.arange(40)[::-1]):
        np.testing.assert_array_equal(act(rows), everything[rows])


def test_options_reach_the_filter(tiny_zoo):
    for name in ("clipping", "diffog"):
        action_filter = make_action_filter(name, PUSHT, "seed42", weights=tiny_zoo, options={"bound": 0.01})
        chunk = np.random.default_rng(0).uniform(-1, 1, (2, 15, 2))
        assert np.abs(np.diff(action_filter(chunk, None), axis=1)).max() <= 0.01 + 1e-9
    with pytest.raises(ValueError, match="does not take these options"):
        make_agent(None, PUSHT, base="random", filter="clipping", options={"alpha": 1.0})
    with pytest.raises(ValueError, match="no filter"):
        make_agent("random", PUSHT, options={"bound": 0.1})


@pytest.mark.parametrize("location", ["my_policy_module:Still", "my_policy_module.py:Still"])
def test_a_users_class_needs_reset_and_act_only(own, location):
    agent = make_agent(location, PUSHT)
    agent.reset([0, 0])
    assert agent.act(np.zeros((2, 20))).shape == (2, 4, 2)
    filtered = make_agent(None, PUSHT, base=location, filter="my_policy_module:Halve", options={"factor": 0.25})
    assert isinstance(filtered, FilteredAgent)
    filtered.reset([0, 0])
    layout = row(PUSHT).layout
    expected = layout.denormalize(0.25 * layout.normalize(np.full((2, 4, 2), 256.0)))
    np.testing.assert_allclose(filtered.act(np.zeros((2, 20))), expected, rtol=1e-6)


def test_a_users_class_is_told_the_environment_if_it_asks(own):
    assert make_agent("my_policy_module:Told", PUSHT).env_id == PUSHT  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("my_policy_module:Missing", "cannot load"),
        ("no_such_module_here:Agent", "module:Class"),
        ("missing_file.py:Agent", "cannot load"),
        ("my_policy_module:NoAct", "lacks act"),
        ("my_policy_module:Greedy", "constructor"),
        ("my_policy_module:OWN_CONSTANT", "cannot load"),
    ],
)
def test_what_cannot_be_an_agent_says_why(own, location, message):
    with pytest.raises(ValueError, match=message):
        make_agent(location, PUSHT)


def test_only_callables_are_loaded(own):
    (own / "constants_module.py").write_text("VALUE = 3\n")
    with pytest.raises(ValueError, match="is not a class"):
        load_class("constants_module:VALUE")

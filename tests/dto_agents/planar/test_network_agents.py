import gymnasium as gym
import numpy as np
import pytest
import torch

import dto_envs  # noqa: F401
from dto_agents import zoo
from dto_agents.catalogue import PLANAR, make_agent
from dto_agents.planar.learning import ENV_ID
from dto_agents.planar.network_agents import NetworkAgent
from dto_agents.planar.networks import NETWORKS


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    for kind in ("nn", "dlm"):
        path = zoo.member_path(kind, ENV_ID, 42, tmp_path)
        zoo.write(path, NETWORKS[kind]().state_dict(), {"kind": kind}, {"steps": 0})
    return tmp_path


def observe(obs_type: str, seeds=range(3)):
    env = gym.make(ENV_ID, obs_type=obs_type, object_set="family")
    seen = [env.reset(seed=seed)[0] for seed in seeds]
    if obs_type == "state_image":
        return {name: np.stack([each[name] for each in seen]) for name in ("state", "video")}
    return np.stack(seen)


@pytest.mark.parametrize("name", ["nn", "dlm"])
def test_trained_agents_read_the_video_alone(name, weights):
    agent = make_agent(name, ENV_ID, "seed42", weights=weights)
    agent.reset([0, 1, 2])
    chunk = agent.act(observe("image"))
    assert chunk.shape == (3, 5, 4) and chunk.dtype == np.float32
    np.testing.assert_array_equal(chunk, agent.act(observe("state_image")))
    again = make_agent(name, ENV_ID, "seed42", weights=weights)
    again.reset([2])
    np.testing.assert_array_equal(again.act(observe("image", [2]))[0], chunk[2])


@pytest.mark.parametrize("filter", ["clipping", "penalty", "projection"])
def test_filters_bound_how_fast_fingers_move(filter, weights):
    agent = make_agent(None, ENV_ID, "seed42", base="nn", filter=filter, weights=weights, options={"bound": 0.02})
    agent.reset([0, 1, 2])
    normalized = agent.layout.normalize(agent.act(observe("image")).astype(np.float64))
    assert np.abs(np.diff(normalized, axis=1)).max() < 0.02 + (1e-2 if filter == "penalty" else 1e-6)


@pytest.mark.parametrize("name", ["planar-blind", "planar-other"])
def test_references_follow_the_object(name):
    agent = make_agent(name, ENV_ID)
    agent.reset([5, 6, 7])
    seen = observe("image")
    chunk = agent.act(seen)
    assert chunk.shape == (3, 5, 4) and chunk.dtype == np.float32
    shifted = np.roll(seen, 5, axis=3)
    agent.reset([5, 6, 7])
    np.testing.assert_allclose(agent.act(shifted)[..., ::2] - chunk[..., ::2], 0.08, atol=1e-6)
    with pytest.raises(ValueError, match="obs_type='image'"):
        agent.act(observe("state"))


def test_names_and_environments():
    assert "dlm" in PLANAR and "dlm-large" in PLANAR
    with pytest.raises(ValueError, match="knows nothing of dto/PushT-v0"):
        make_agent("planar-blind", "dto/PushT-v0")
    with pytest.raises(
        zoo.MissingWeightsError, match="dto-train --agent dlm --env dto/PlanarPush-v0 .* --episodes 400"
    ):
        make_agent("dlm-large", ENV_ID, "seed42", weights=zoo.SHIPPED / "nowhere")


def test_an_agent_is_deterministic_although_it_was_trained_with_dropout():
    torch.manual_seed(0)
    agent = NetworkAgent(NETWORKS["nn"]().train())
    seen = observe("image", [1])
    first = agent.act(seen)
    agent.reset([0])
    np.testing.assert_array_equal(agent.act(seen), first)

"""The iiwa's agents: same torques alone and in a batch, optima that are replayed, weights that come back."""

import dataclasses

import gymnasium
import numpy as np
import pytest

pytest.importorskip("mujoco")

import torch

import dto_envs  # noqa: F401
from dto_agents import zoo
from dto_agents.catalogue import make_agent, members
from dto_agents.iiwa.agents import ENV_ID, OptimalAgent, ReplayAgent, load_agent, write_agent
from dto_agents.iiwa.qrnet import ControlNetwork, Kind, Policy, TimeNetwork
from dto_envs.iiwa.constants import TORQUE_LIMITS

LIMITS = np.array(TORQUE_LIMITS)


def policy(seed: int, kind: Kind = "qrnet") -> Policy:
    torch.manual_seed(seed)
    return Policy(ControlNetwork(kind), TimeNetwork())


def observations(count: int) -> np.ndarray:
    env = gymnasium.make(ENV_ID)
    return np.stack([env.reset(seed=100_000 + index)[0] for index in range(count)])


@pytest.mark.parametrize(("name", "kind"), [("iiwa-qrnet", "qrnet"), ("iiwa-mlp", "mlp")])
def test_weights_become_an_agent_whose_rows_do_not_see_each_other(name, kind, tmp_path):
    made = [policy(seed, kind) for seed in range(2)]
    card = {"recipe": {"steps": 3}, "data": {"train": 1}}
    path = write_agent(name, 7, made, card, tmp_path)
    assert path == tmp_path / "IiwaReach" / name / "seed7.safetensors"
    (member,) = members(name, ENV_ID, weights=tmp_path)
    agent = make_agent(name, ENV_ID, member.name, weights=tmp_path)
    seen = observations(40)
    agent.reset(range(40))
    together = agent.act(seen)
    assert together.shape == (40, 7) and together.dtype == np.float32
    assert (np.abs(together) <= LIMITS.astype(np.float32)).all()
    for row in (0, 31, 39):
        np.testing.assert_array_equal(agent.act(seen[row : row + 1])[0], together[row])
    # Weights are shipped in half precision.
    expected = np.mean([each.torques(seen[:, :14]) for each in made], axis=0)
    np.testing.assert_allclose(together, np.clip(expected, -LIMITS, LIMITS), rtol=0.02, atol=0.3)
    with pytest.raises(FileExistsError):
        write_agent(name, 7, made, card, tmp_path)
    with pytest.raises(ValueError, match="acts in dto/IiwaReach-v0 only"):
        load_agent(name, zoo.find_member(name, ENV_ID, member.name, tmp_path), "dto/Lift-v0")


def test_the_optimum_is_followed_with_feedback_and_not_without():
    pytest.importorskip("crocoddyl")
    ends = {}
    for name in ("iiwa-optimal", "iiwa-replay"):
        agent, env = make_agent(name, ENV_ID), gymnasium.make(ENV_ID)
        observation, info = env.reset(seed=100_000)
        agent.reset([0])
        over = False
        while not over:
            observation, _, terminated, truncated, info = env.step(agent.act(observation[None])[0])
            over = terminated or truncated
        assert isinstance(agent, OptimalAgent)
        ends[name] = (info["success"], info["cost"], agent._optima[0])
    assert ends["iiwa-optimal"][0]
    assert ends["iiwa-optimal"][1] == pytest.approx(ends["iiwa-optimal"][2].reaching_cost, rel=0.02)
    assert ends["iiwa-replay"][1] >= ends["iiwa-optimal"][1]


def test_a_start_without_an_optimum_is_left_to_the_regulator():
    pytest.importorskip("crocoddyl")
    from dto_agents.iiwa.lqr import LqrAgent

    seen = observations(1)
    seen[0, 3] = -2.2  # beyond joint 4's limit
    agent = ReplayAgent()
    agent.reset([0])
    lqr = LqrAgent()
    assert agent.act(seen).shape == (1, 7)
    optimum = agent._optima[0]
    assert optimum is not None and not optimum.solved
    assert np.isfinite(agent.act(seen)).all() and lqr.act(seen).shape == (1, 7)


def test_a_member_is_trained_from_a_data_set(tmp_path):
    pytest.importorskip("crocoddyl")
    from dto_agents.iiwa.datasets import DatasetPlan, collect_dataset
    from dto_agents.iiwa.members import recipe_for, train_member

    collect_dataset(DatasetPlan(train=2, validation=1, test=0), tmp_path / "data")
    recipe = recipe_for("iiwa-mlp")
    quick = dataclasses.replace(recipe.sampling.training, epochs=2, validate_every=1)
    recipe = dataclasses.replace(recipe, sampling=dataclasses.replace(recipe.sampling, training=quick))
    train_member("iiwa-mlp", tmp_path / "data", seed=3, root=tmp_path / "zoo", recipe=recipe)
    (member,) = members("iiwa-mlp", ENV_ID, weights=tmp_path / "zoo")
    assert member.training_seed == 3
    with pytest.raises(ValueError, match="is not one of"):
        recipe_for("iiwa-lqr")

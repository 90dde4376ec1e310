import json
import math
from dataclasses import replace

import gymnasium
import numpy as np
import pytest

import dto_envs  # noqa: F401
from dto_agents import zoo
from dto_agents.actor import BATCH, Policy
from dto_agents.catalogue import make_agent, members
from dto_agents.rc_car.sac import FEATURES, SacAgent, features, load_agent
from dto_envs.rc_car.manoeuvre import TARGET

pytest.importorskip("stable_baselines3")
from dto_agents.rc_car.sac_training import ROOM, ManoeuvreFeatures, SacRecipe, train_sac  # noqa: E402
from dto_agents.rc_car.sac_training import test_policy as try_policy  # noqa: E402
from dto_agents.soft_actor_critic import export  # noqa: E402

ENV = "dto/RCCarParking-v0"
TINY = SacRecipe(steps=96, environments=4, updates=1, warmup=20, width=8, depth=1, batch_size=8, tests=3)


def random_policy(seed=0, width=16):
    generator = np.random.default_rng(seed)
    shapes = [(width, FEATURES), (2, width)]
    weights = tuple(generator.normal(size=shape).astype(np.float32) for shape in shapes)
    return Policy(weights, tuple(np.zeros(len(weight), np.float32) for weight in weights))


def test_features_show_where_the_target_is_from_the_car():
    env = gymnasium.make(ENV)
    observation, _ = env.reset(seed=0)
    x, y, heading = observation[TARGET]
    observation, _ = env.reset(seed=0, options={"state": [x - 2.0, y, math.pi / 2, 1.0, 0.5, 2.5]})
    (seen,) = features(observation[None])
    assert seen.shape == (FEATURES,) and seen.dtype == np.float32
    np.testing.assert_allclose(seen[:3], [1.0, 0.5, 0.5], atol=1e-6)
    # The target lies to the right of a car that looks along y.
    np.testing.assert_allclose(seen[6:8], [0.0, -2.0], atol=1e-6)
    np.testing.assert_allclose(
        seen[8:10], [math.cos(heading - math.pi / 2), math.sin(heading - math.pi / 2)], atol=1e-6
    )


def test_the_way_point_disappears_once_it_is_past():
    env = gymnasium.make(ENV)
    observation, _ = env.reset(seed=0)
    shown = []
    for _ in range(40):
        shown.append(features(observation[None])[0, 5])
        observation, *_ = env.step(np.zeros(2, np.float32))
    assert shown[:24] == [1.0] * 24 and shown[24:] == [0.0] * 16


def test_an_action_does_not_depend_on_the_other_episodes():
    inputs = np.random.default_rng(1).normal(size=(BATCH + 7, FEATURES)).astype(np.float32)
    policy = random_policy()
    together = policy(inputs)
    np.testing.assert_array_equal(together[BATCH:], policy(inputs[BATCH:]))
    for row in (0, 11, BATCH + 3):
        np.testing.assert_allclose(together[row], policy(inputs[[row]])[0], rtol=1e-6)
    assert np.abs(together).max() <= 1


def test_a_manoeuvre_ends_where_time_is_up_rather_than_being_cut_off():
    env = ManoeuvreFeatures(gymnasium.make(ENV), fine=0.0)
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    ends = [env.step(np.zeros(2, np.float32))[2:4] for _ in range(40)]
    assert ends == [(False, False)] * 39 + [(True, False)]


def test_passing_a_can_too_near_costs_what_room_is_missing():
    plain = gymnasium.make("dto/RCCarDriftTurn-v0")
    fined = ManoeuvreFeatures(gymnasium.make("dto/RCCarDriftTurn-v0"), fine=10.0)
    (x, y), *_ = plain.unwrapped.scenario.cans
    towards_a_can = {"state": [x - 0.8, y + 0.05, 0.0, 2.5, 0.0, 0.0]}
    for env in (plain, fined):
        env.reset(seed=0, options=towards_a_can)
    rewards, fines = [], []
    for _ in range(20):
        _, reward, _, _, info = plain.step(np.zeros(2, np.float32))
        rewards.append(reward)
        fines.append(reward - fined.step(np.zeros(2, np.float32))[1])
    assert fines[0] == 0.0 and info["touched"]
    assert sum(fines) == pytest.approx(10.0 * (ROOM - info["clearance"]))


def test_training_writes_a_policy_that_the_catalogue_builds(tmp_path):
    told = []
    path = train_sac(ENV, TINY, seed=7, root=tmp_path, report=lambda samples, loss: told.append(samples))
    assert path == tmp_path / "RCCarParking" / "rc-car-sac" / "seed7.safetensors"
    assert told[-1] == 96
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["steps"] == 96 and card["selected"]["episodes"] == 20
    (member,) = members("rc-car-sac", ENV, weights=tmp_path)
    agent = make_agent("rc-car-sac", ENV, member.name, weights=tmp_path)
    assert isinstance(agent, SacAgent)
    env = ManoeuvreFeatures(gymnasium.make(ENV), TINY.fine)
    result = try_policy(env, agent._policy, 0)
    assert result.reward == pytest.approx(card["selected"]["reward"])
    with pytest.raises(FileExistsError, match="already trained"):
        train_sac(ENV, TINY, seed=7, root=tmp_path, report=lambda *_: None)
    with pytest.raises(zoo.DamagedWeightsError, match="was trained for"):
        load_agent(zoo.find_member("rc-car-sac", ENV, "seed7", tmp_path), "dto/RCCarReverse-v0")


def test_an_interrupted_training_keeps_the_best_policy_so_far(tmp_path):
    def interrupt(samples, loss):
        if samples >= 40:
            raise KeyboardInterrupt

    path = train_sac(ENV, TINY, seed=0, root=tmp_path, report=interrupt)
    assert json.loads(path.with_suffix(".json").read_text())["steps"] == 40


def test_an_exported_policy_acts_as_the_library_does():
    from stable_baselines3 import SAC

    model = SAC(
        "MlpPolicy",
        ManoeuvreFeatures(gymnasium.make(ENV), fine=0.0),
        policy_kwargs={"net_arch": [16, 16]},
        device="cpu",
    )
    inputs = np.random.default_rng(0).normal(size=(5, FEATURES)).astype(np.float32)
    expected, _ = model.predict(inputs, deterministic=True)
    np.testing.assert_allclose(export(model.policy.actor)(inputs), expected, atol=2e-3)


def test_what_cannot_be_trained_is_refused(tmp_path):
    with pytest.raises(ValueError, match="rc-car-sac drives the manoeuvres"):
        train_sac("dto/PushT-v0", TINY, seed=0, root=tmp_path, report=lambda *_: None)
    with pytest.raises(ValueError, match="updates must be at least 1"):
        replace(TINY, updates=0)
    with pytest.raises(ValueError, match="fine must not be negative"):
        replace(TINY, fine=-1.0)
    with pytest.raises(zoo.MissingWeightsError, match="dto-train --agent rc-car-sac --env dto/RCCarParking-v0 --seed"):
        members("rc-car-sac", ENV, weights=tmp_path)

"""Experts of Meta-World's tasks: they solve fresh seeds, at a person's hand, whatever their neighbours do."""

import gymnasium
import numpy as np
import pytest

pytest.importorskip("metaworld")

import dto_envs  # noqa: F401
from dto_agents.experts import STYLES, make_expert
from dto_agents.experts.metaworld import POLICIES, MetaWorldExpert, is_closing
from dto_agents.experts.operators import MULTI


def play(env_id, seed, expert):
    env = gymnasium.make(env_id)
    observation, _ = env.reset(seed=seed)
    expert.reset([seed])
    actions, over = [], False
    while not over:
        actions.append(expert.act(observation[None])[0, 0])
        observation, _, terminated, truncated, info = env.step(actions[-1])
        over = terminated or truncated
    return info["success"], np.array(actions)


@pytest.mark.parametrize("env_id", POLICIES)
def test_an_expert_solves_its_task_within_its_action_space(env_id):
    success, actions = play(env_id, 50_000, make_expert(env_id))
    assert success and len(actions) < 300
    assert actions.shape[1] == 4 and actions.dtype == np.float32 and np.abs(actions).max() <= 1
    differences = np.abs(np.diff(actions[:, :3], axis=0))
    assert 0.005 < differences.mean() < 0.1  # Meta-World's own policies: 0.03 to 0.07, but smooth between jumps


def test_a_slower_person_takes_longer():
    env_id = "dto/StickPush-v0"
    slow = next(person for person in MULTI if person.name == "worse_operator_1").style(STYLES[env_id])
    quick = len(play(env_id, 3, make_expert(env_id))[1])
    success, actions = play(env_id, 3, make_expert(env_id, slow))
    assert success and len(actions) > 1.2 * quick


def test_an_episodes_actions_do_not_depend_on_its_neighbours():
    expert = make_expert("dto/StickPull-v0")
    env = gymnasium.make("dto/StickPull-v0")
    states = np.array([env.reset(seed=seed)[0] for seed in range(3)])
    expert.reset([0, 1, 2])
    together = [expert.act(states) for _ in range(5)][-1]
    expert.reset([1])
    alone = [expert.act(states[1:2]) for _ in range(5)][-1]
    np.testing.assert_array_equal(together[1:2], alone)
    assert together.shape == (3, 1, 4)


def test_the_hand_stays_open_until_it_is_at_the_object_and_waits_for_the_fingers():
    env_id = "dto/StickPush-v0"
    expert = MetaWorldExpert(env_id)
    state = gymnasium.make(env_id).reset(seed=0)[0]
    grasp = state[4:7] + POLICIES[env_id].grasp
    above = state.copy()
    above[:3] = grasp + [0.0, 0.0, 0.07]  # where Meta-World's policy closes already
    expert.reset([0])
    assert expert._policy.get_action(above)[3] > 0 and expert.act(above[None])[0, 0, 3] == -1.0
    there = state.copy()
    there[:3] = grasp
    assert expert.act(there[None])[0, 0, 3] > 0
    assert is_closing(there)
    there[3], there[21] = 0.5, 0.55
    assert is_closing(there)
    there[21] = 0.501
    assert not is_closing(there)


@pytest.mark.parametrize("env_id", POLICIES)
def test_an_open_hand_is_held_open(env_id):
    expert = MetaWorldExpert(env_id)
    states = np.stack([gymnasium.make(env_id).reset(seed=seed)[0] for seed in range(3)])
    expert.reset(range(3))
    assert (expert.act(states)[:, 0, 3] == -1.0).all()


def test_a_task_without_an_expert_is_named():
    with pytest.raises(ValueError, match="no scripted expert for dto/PushT-v0; those with one: .*StickPull"):
        make_expert("dto/PushT-v0")

"""Policies on point clouds: the encoder, training on demonstrated states, and the agent."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("metaworld")

import gymnasium

import dto_envs  # noqa: F401
from dto_agents import catalogue, zoo
from dto_agents.demos.collect import Collection, collect
from dto_agents.demos.dataset import load_demonstrations
from dto_agents.diffusion.moves import chances, room
from dto_agents.diffusion.seeing import look_at_all
from dto_agents.dp3.network import CloudDenoiser, CloudEncoder
from dto_agents.dp3.policy import load_policy
from dto_agents.dp3.recipe import CloudRecipe, recipe_for
from dto_agents.dp3.train import conditions, make_windows, seeing_loss, train_cloud_policy, view

ENV_ID, WALL = "dto/StickPush-v0", "dto/PickPlaceWall-v0"
TINY = CloudRecipe(
    width=16,
    blocks=1,
    steps=3,
    batch_size=4,
    seeing_steps=2,
    seeing_batch=4,
    draws=2,
    views=2,
    points=32,
    channels=(8, 16),
    code=8,
    state_weight=10.0,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("demos") / "StickPush.hdf5"
    collect(Collection(ENV_ID, 1), path)
    return path


@pytest.fixture(scope="module")
def policy(data, tmp_path_factory):
    root = tmp_path_factory.mktemp("zoo")
    demonstrations = load_demonstrations(data, ENV_ID)
    train_cloud_policy(demonstrations, data, TINY, seed=1, root=root, report=lambda step, loss: None)
    return load_policy(zoo.find_member("dp3", ENV_ID, "seed1", root), ENV_ID)


def observations(episodes):
    env = gymnasium.make(ENV_ID, obs_type="pointcloud")
    seen = [env.reset(seed=seed)[0] for seed in range(episodes)]
    return {name: np.stack([np.stack([one[name]] * 2) for one in seen]) for name in seen[0]}


def test_the_order_of_points_makes_no_difference_and_their_place_does():
    encoder = CloudEncoder((8, 16), 4)
    clouds = torch.randn(2, 50, 3)
    codes = encoder(clouds)
    assert codes.shape == (2, 4)
    torch.testing.assert_close(encoder(clouds[:, torch.randperm(50)]), codes)
    assert (encoder(clouds + 0.5) - codes).abs().max() > 0.01


def test_points_that_reach_no_maximum_are_left_out_of_training_only():
    torch.manual_seed(0)
    encoder = CloudEncoder((8, 16), 4)
    clouds = torch.randn(2, 3, 50, 3)
    looked = []
    encoder.each.register_forward_hook(lambda module, given, out: looked.append(given[0].shape[-2]))
    encoder(clouds).square().sum().backward()
    found = [weights.grad.clone() for weights in encoder.parameters()]
    encoder.zero_grad()
    encoder.project(encoder.each(clouds).amax(dim=-2)).square().sum().backward()
    torch.testing.assert_close(found, [weights.grad for weights in encoder.parameters()])
    with torch.no_grad():
        encoder(clouds)
    assert looked == [50, 16, 50, 50]


def test_windows_show_what_the_demonstration_passed(data):
    demonstrations = load_demonstrations(data, ENV_ID)
    windows = make_windows(demonstrations, data, TINY, episodes=None, seed=0)
    episode = demonstrations.episodes[0]
    assert windows.clouds.shape == (len(episode), 32, 3) and windows.clouds.abs().max() <= 1 + 1e-6
    hands = (windows.hands.double() + 1) / 2 * (windows.hand_range.high - windows.hand_range.low)
    hands = (hands + windows.hand_range.low).numpy()
    # What was demonstrated says where the hand was; an observation of it looks at the same moment.
    np.testing.assert_allclose(hands, episode.observations[:, :4], atol=1e-6)
    assert windows.seen[0].tolist() == [0, 0] and windows.seen[1].tolist() == [0, 1]
    np.testing.assert_allclose(windows.actions[1, 0], episode.actions[0], atol=1e-6)


def test_every_window_is_denoised_at_several_levels_and_looked_at_once(data):
    windows = make_windows(load_demonstrations(data, ENV_ID), data, TINY, episodes=None, seed=0)
    torch.manual_seed(0)
    network = CloudDenoiser(TINY, 4)
    looked, denoised = [], []
    network.encoder.register_forward_hook(lambda module, given, codes: looked.append(len(given[0])))
    network.denoiser.register_forward_hook(lambda module, given, noise: denoised.append(len(noise)))
    loss = seeing_loss(windows, TINY)(network)
    assert looked == [4] and denoised == [8]
    loss.backward()
    assert all(weights.grad is not None for weights in network.parameters())


def test_codes_learn_to_tell_the_state_and_may_be_spared_it(data):
    windows = make_windows(load_demonstrations(data, ENV_ID), data, TINY, episodes=None, seed=0)

    def loss(recipe: CloudRecipe) -> torch.Tensor:
        torch.manual_seed(0)
        network = CloudDenoiser(TINY, 4)
        torch.manual_seed(1)
        return seeing_loss(windows, recipe)(network)

    torch.manual_seed(0)
    network = CloudDenoiser(TINY, 4)
    torch.manual_seed(1)
    index = torch.randint(len(windows.actions), (TINY.seeing_batch,))
    seen = windows.seen[index]
    noise = TINY.jitter * torch.randn(*seen.shape, TINY.points, 3)
    with torch.autocast("cpu", torch.bfloat16):
        told = network.tell(network.encoder(windows.clouds[seen] + noise))
    wrong = (told.float() - windows.states[seen]).square().mean()
    torch.testing.assert_close(loss(TINY) - loss(replace(TINY, state_weight=3.0)), 7.0 * wrong)

    silent = CloudDenoiser(replace(TINY, state_weight=0.0), 4)
    clouds, hands = windows.clouds[seen], windows.hands[seen]
    predicted, nothing = silent(torch.randn(8, 16, 4), torch.zeros(8, dtype=torch.long), clouds, hands)
    assert predicted.shape == (8, 16, 4) and nothing is None and silent.tell is None


def test_the_second_phase_is_told_what_the_whole_network_would_see(data):
    windows = make_windows(load_demonstrations(data, ENV_ID), data, TINY, episodes=None, seed=0)
    network, sharp = CloudDenoiser(TINY, 4).eval(), replace(TINY, jitter=0.0)
    codes = look_at_all(lambda: view(windows, network, sharp), sharp, seed=0)
    assert codes.views.shape == (2, len(windows.clouds), 8 + 4)
    index = torch.tensor([0, 1, len(windows.actions) - 1])
    told = conditions(windows, codes, network)(index)
    seen = windows.seen[index]
    torch.testing.assert_close(told, network.encode(windows.clouds[seen], windows.hands[seen]))
    assert not told.requires_grad


def test_what_is_seen_moves_together_through_the_room(data):
    windows = make_windows(load_demonstrations(data, ENV_ID), data, TINY, episodes=None, seed=0)
    assert windows.room is None
    still = windows.moved(windows.clouds, windows.hands, windows.states, windows.episodes)
    assert all(torch.equal(*pair) for pair in zip(still, (windows.clouds, windows.hands, windows.states), strict=True))

    space = replace(room(WALL), past=(0.6, 0.65))  # the stick's hand passes there
    windows = replace(windows, room=space)
    torch.manual_seed(1)
    clouds, hands, states = windows.moved(windows.clouds, windows.hands, windows.states, windows.episodes)
    # In metres, all of a step has moved by the same, and the gripper's opening has not changed.
    by = (windows.hand_range.restore(hands) - windows.hand_range.restore(windows.hands))[:, :3]
    reach = space.reach(windows.hand_range.restore(windows.hands)[:, :3])
    torch.manual_seed(1)
    torch.testing.assert_close(by, reach * chances(1), atol=1e-6, rtol=0)
    assert (by.abs().amax(0) > 1e-3).all()
    points = windows.places.restore(clouds) - windows.places.restore(windows.clouds)
    torch.testing.assert_close(points, by[:, None].expand_as(points), atol=1e-6, rtol=0)
    told = windows.state_range.restore(states) - windows.state_range.restore(windows.states)
    expected = space.displaced(torch.zeros_like(told), by)
    torch.testing.assert_close(told, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(hands[:, 3], windows.hands[:, 3])


def test_a_view_moves_each_episode_by_itself(data):
    windows = make_windows(load_demonstrations(data, ENV_ID), data, TINY, episodes=None, seed=0)
    half = len(windows.clouds) // 2
    windows = replace(windows, room=room(WALL), episodes=(torch.arange(len(windows.clouds)) >= half).long())
    network = CloudDenoiser(TINY, 4).eval()
    seen = view(windows, network, replace(TINY, jitter=0.0))
    by = windows.hand_range.restore(seen[:, -4:]) - windows.hand_range.restore(windows.hands)
    first, second = by[:half, 0], by[half:, 0]
    torch.testing.assert_close(first, first[:1].expand_as(first), atol=1e-6, rtol=0)
    torch.testing.assert_close(second, second[:1].expand_as(second), atol=1e-6, rtol=0)
    assert (first[0] - second[0]).abs() > 1e-4


def test_things_that_lie_alone_are_seen_and_told_elsewhere(data):
    windows = make_windows(load_demonstrations(data, ENV_ID), data, TINY, episodes=None, seed=0)
    seen = windows.seen
    clouds, states = windows.clouds[seen], windows.states[seen]
    same, told, aside = windows.put_aside(clouds, states)
    assert torch.equal(same, clouds) and torch.equal(told, states) and not aside.any()

    space = replace(room(WALL), lying=0.05)  # a stick lies higher than a puck
    windows = replace(windows, room=space)
    torch.manual_seed(0)
    moved, told, aside = windows.put_aside(clouds, states)
    alone = space.lies_alone(windows.state_range.restore(states)).all(-1)
    assert 0.5 < aside.sum() / alone.sum() < 0.9 and not aside[~alone].any() and not alone.all()
    assert torch.equal(moved[~aside], clouds[~aside]) and torch.equal(told[~aside], states[~aside])
    by = (windows.state_range.restore(told) - windows.state_range.restore(states))[..., 4:7]
    assert (by.abs().amax((0, 1)) <= torch.tensor([0.06, 0.03, 0.0]) + 1e-6).all() and by.abs().max() > 0.04
    torch.testing.assert_close(by[:, 0], by[:, 1], atol=1e-6, rtol=0)
    points = windows.places.restore(moved) - windows.places.restore(clouds)
    on = space.on_thing(windows.places.restore(clouds), windows.state_range.restore(states))
    assert on[aside].any()
    torch.testing.assert_close(points, by[:, :, None] * on[..., None], atol=1e-6, rtol=0)


def test_what_was_done_elsewhere_is_not_learned(data, monkeypatch):
    windows = make_windows(load_demonstrations(data, ENV_ID), data, TINY, episodes=None, seed=0)
    everywhere = replace(room(WALL), lying=10.0, alone=-1.0)
    blind = replace(TINY, state_weight=0.0)
    network = CloudDenoiser(blind, 4)
    monkeypatch.setattr("dto_agents.dp3.train.ASIDE", 1.1)
    assert seeing_loss(replace(windows, room=everywhere), blind)(network) == 0
    monkeypatch.setattr("dto_agents.dp3.train.ASIDE", 0.0)
    assert seeing_loss(replace(windows, room=everywhere), blind)(network) > 0


def test_recipes_move_what_has_room():
    assert recipe_for(WALL).move and not recipe_for(ENV_ID).move


def test_an_episodes_actions_do_not_depend_on_its_neighbours(policy):
    seen = observations(3)
    policy.reset([5, 6, 7])
    together = policy.act(seen)
    policy.reset([6])
    alone = policy.act({name: values[1:2] for name, values in seen.items()})
    np.testing.assert_array_equal(together[1:2], alone)
    assert together.shape == (3, 15, 4) and together.dtype == np.float32 and np.abs(together).max() <= 1


def test_the_cloud_matters(policy):
    seen = observations(1)
    policy.reset([5])
    first = policy.act(seen)
    policy.reset([5])
    moved = policy.act({**seen, "pointcloud": seen["pointcloud"] + np.float32(0.1)})
    assert np.abs(first - moved).max() > 1e-6  # three steps of training have hardly connected it


def test_what_is_no_cloud_is_refused(policy):
    policy.reset([0])
    with pytest.raises(ValueError, match="obs_type='pointcloud'"):
        policy.act(np.zeros((1, 2, 39)))
    with pytest.raises(ValueError, match="32 or more"):
        policy.act({"pointcloud": np.zeros((1, 2, 20, 3), np.float32), "hand": np.zeros((1, 2, 4))})


def test_the_catalogue_gives_it_clouds():
    assert catalogue.observes("dp3") == "pointcloud" and "dp3" in catalogue.NAMES


def test_a_task_without_clouds_is_refused(data):
    elsewhere = replace(load_demonstrations(data, ENV_ID), env_id="dto/PushT-v0")
    with pytest.raises(ValueError, match="dto/PushT-v0 shows no point clouds"):
        make_windows(elsewhere, data, TINY, episodes=None, seed=0)


def test_recipes_that_cannot_be_trained_are_refused():
    for name, wrong in (("points", 0), ("draws", 0), ("channels", ()), ("channels", (8, 0)), ("predicts", "sample")):
        with pytest.raises(ValueError, match=name):
            replace(TINY, **{name: wrong})

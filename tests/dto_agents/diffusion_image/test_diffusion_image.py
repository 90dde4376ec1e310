"""Diffusion policies on pictures: the encoder, training on recorded pictures, and the agent."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch

import dto_envs  # noqa: F401  registers the ids
from dto_agents import catalogue, zoo
from dto_agents.base import FilteredAgent
from dto_agents.demos.dataset import Demonstrations, Episode
from dto_agents.diffusion.policy import in_batches
from dto_agents.diffusion.seeing import denoising_loss, look_at_all
from dto_agents.diffusion_image.network import ImageDenoiser, PictureEncoder
from dto_agents.diffusion_image.policy import load_policy
from dto_agents.diffusion_image.recipe import ImageRecipe, recipe_for
from dto_agents.diffusion_image.train import conditions, make_windows, seeing_loss, train_image_policy
from dto_envs.registry import row

PUSHT, LIFT = "dto/PushT-v0", "dto/Lift-v0"
TINY = ImageRecipe(
    width=16,
    blocks=1,
    steps=3,
    batch_size=8,
    channels=(4, 8),
    keypoints=4,
    code=6,
    seeing_steps=2,
    seeing_batch=4,
    draws=2,
    views=2,
    warmup_steps=1,
    mirror=True,
)


@pytest.fixture(scope="module")
def recorded() -> tuple[Demonstrations, list[np.ndarray]]:
    """Two short episodes of Push-T in which the finger goes to where the T lies, with what the environment draws."""
    env = gymnasium.make(PUSHT, obs_type="state_image")
    episodes, pictures = [], []
    for seed, steps in ((0, 12), (1, 9)):
        observation, _ = env.reset(seed=seed)
        states, frames, actions = [], [], []
        for _ in range(steps):
            action = observation["state"][2:4].clip(30, 480)
            states.append(observation["state"])
            frames.append(observation["image"][None])
            actions.append(action)
            observation = env.step(action.astype(np.float32))[0]
        episodes.append(Episode(np.array(states), np.array(actions)))
        pictures.append(np.array(frames))
    env.close()
    return Demonstrations(PUSHT, tuple(episodes)), pictures


@pytest.fixture(scope="module")
def policy(recorded, tmp_path_factory):
    demonstrations, pictures = recorded
    root = tmp_path_factory.mktemp("zoo")
    train_image_policy(demonstrations, pictures, TINY, seed=1, root=root, report=lambda step, loss: None)
    return load_policy(zoo.find_member("diffusion-image", PUSHT, "seed1", root), PUSHT)


def observations(episodes):
    env = gymnasium.make(PUSHT, obs_type="state_image")
    seen = [env.reset(seed=seed)[0] for seed in range(episodes)]
    return {name: np.stack([np.stack([one[name]] * 2) for one in seen]) for name in seen[0]}


class Brightness(torch.nn.Module):
    """Maps of 8 x 8 pixels a cell, large where a picture is bright."""

    def forward(self, pictures):
        return 50 * torch.nn.functional.avg_pool2d(pictures, 8)


def test_where_a_square_was_cut_out_moves_nothing_that_is_seen():
    encoder = PictureEncoder((4, 8), 3, 6, crop=64)
    encoder.maps = Brightness()
    picture = torch.zeros(1, 96, 96, 3, dtype=torch.uint8)
    picture[:, 40:48, 56:64] = 255
    points = []
    encoder.code.register_forward_hook(lambda module, given, out: points.append(given[0].view(3, 2)))
    for corner in ((8, 8), (16, 24), (24, 0)):
        encoder._corners = lambda count, down, right, corner=corner: torch.tensor([corner])
        encoder(picture)
    # Its first convolution has a cell's centre two pixels from the cell's corner, where here it is four.
    expected = torch.tensor([2 * 58 / 96 - 1, 2 * 42 / 96 - 1]).expand(3, 2)
    for found in points:
        torch.testing.assert_close(found, expected)


def test_squares_are_random_in_training_only():
    torch.manual_seed(0)
    encoder = PictureEncoder((4, 8), 4, 6, crop=64)
    corners = encoder._corners(50, 32, 20)
    assert corners.amin(0).tolist() == [0, 0] or corners.amin(0).max() <= 3
    assert corners[:, 0].max() <= 32 and corners[:, 1].max() <= 20 and len(corners.unique(dim=0)) > 30
    assert encoder.eval()._corners(2, 32, 20).tolist() == [[16, 10], [16, 10]]
    with pytest.raises(ValueError, match="H and W at least 64"):
        encoder(torch.zeros(1, 60, 96, 3, dtype=torch.uint8))


def test_mirrored_windows_show_what_the_environment_draws_of_the_mirrored_state(recorded):
    demonstrations, pictures = recorded
    windows = make_windows(demonstrations, pictures, TINY, episodes=None, seed=0)
    steps = demonstrations.steps
    assert windows.pictures.shape == (2 * steps, 1, 96, 96, 3) and windows.states.shape == (2 * steps, 20)
    assert windows.data.steps == steps and windows.hands.shape == (2 * steps, 2) and windows.hands.abs().max() <= 1
    env = gymnasium.make(PUSHT, obs_type="image")
    env.reset(seed=0)
    x, y, block_x, block_y, angle = env.unwrapped.state
    state = [512 - y, 512 - x, 512 - block_y, 512 - block_x, np.pi / 2 - angle]
    drawn = env.reset(options={"state": state})[0].astype(int)
    mirrored = windows.pictures[steps, 0].numpy().astype(int)
    assert np.abs(drawn - mirrored).mean() < 1.5 < np.abs(drawn - pictures[0][0, 0].astype(int)).mean()
    np.testing.assert_array_equal(windows.pictures[:12].numpy(), pictures[0])
    assert windows.seen[0].tolist() == [0, 0] and windows.seen[1].tolist() == [0, 1]


def losses(network, draw, steps):
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    found = []
    for _ in range(steps):
        loss = draw(network)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


def test_both_phases_learn(recorded):
    demonstrations, pictures = recorded
    recipe = replace(TINY, seeing_batch=8, draws=4, channels=(8, 16), code=16, width=32, mirror=False)
    windows = make_windows(demonstrations, pictures, recipe, episodes=None, seed=0)
    torch.manual_seed(0)
    network = ImageDenoiser(recipe, 2, 20)
    seeing = losses(network, seeing_loss(windows, recipe), 60)
    assert np.mean(seeing[-5:]) < 0.5 * np.mean(seeing[:3])
    assert all(parameter.grad is not None for parameter in network.encoders.parameters())
    codes = look_at_all(lambda: in_batches(network.look, windows.pictures), recipe, seed=0)
    assert codes.views.shape == (2, demonstrations.steps, 16) and not codes.views.requires_grad
    assert (codes.views[0] - codes.views[1]).abs().max() > 1e-4, "other squares"
    again = look_at_all(lambda: in_batches(network.look, windows.pictures), recipe, seed=0)
    torch.testing.assert_close(again.views, codes.views, rtol=0, atol=0)
    before = [parameter.clone() for parameter in network.encoders.parameters()]
    acting = losses(network.denoiser, denoising_loss(windows.actions, conditions(windows, codes, recipe), recipe), 150)
    assert np.mean(acting[-20:]) < 0.9 * np.mean(acting[:10])
    torch.testing.assert_close(list(network.encoders.parameters()), before, rtol=0, atol=0)


def test_a_run_that_was_stopped_in_the_second_phase_ends_with_the_same_weights(recorded, tmp_path):
    demonstrations, pictures = recorded
    common = {"seed": 1, "episodes": None}

    def stop(finished, loss):
        if finished == TINY.seeing_steps + 2:
            raise KeyboardInterrupt

    whole = train_image_policy(demonstrations, pictures, TINY, root=tmp_path / "a", report=lambda *_: None, **common)
    with pytest.raises(KeyboardInterrupt):
        train_image_policy(demonstrations, pictures, TINY, root=tmp_path / "b", report=stop, **common)
    seen = []
    resumed = train_image_policy(
        demonstrations, pictures, TINY, root=tmp_path / "b", report=lambda *done: seen.append(done[0]), **common
    )
    assert resumed.read_bytes() == whole.read_bytes()
    card = zoo.find_member("diffusion-image", PUSHT, "seed1", tmp_path / "b").card
    assert card["parameters"] == sum(parameter.numel() for parameter in ImageDenoiser(TINY, 2, 20).parameters())
    assert seen == [2, 3, 4, 5], (
        "the first phase is not repeated, and the last checkpoint of the second is gone on from"
    )


def test_an_episodes_actions_do_not_depend_on_its_neighbours(policy):
    seen = observations(3)
    policy.reset([5, 6, 7])
    together = policy.act(seen)
    policy.reset([6])
    alone = policy.act({name: values[1:2] for name, values in seen.items()})
    np.testing.assert_array_equal(together[1:2], alone)
    layout = row(PUSHT).layout
    assert together.shape == (3, 15, 2) and together.dtype == np.float32
    assert (together >= layout.low).all() and (together <= layout.high).all()


def test_it_sees_the_newest_picture_and_the_hand_and_not_the_object(policy):
    seen = observations(2)

    def act(**changed):
        policy.reset([5, 6])
        return policy.act({**seen, **changed})

    actions = act()
    object_moved, hand_moved = seen["state"].copy(), seen["state"].copy()
    object_moved[..., 2:] += 50.0
    hand_moved[..., :2] += 50.0
    old, new = seen["image"].copy(), seen["image"].copy()
    old[:, 0], new[:, 1] = 0, 0
    np.testing.assert_array_equal(act(state=object_moved), actions)
    np.testing.assert_array_equal(act(image=old), actions)
    assert np.abs(act(state=hand_moved) - actions).max() > 1e-3
    assert np.abs(act(image=new) - actions).max() > 1e-3


def test_what_it_cannot_see_is_refused(policy):
    seen = observations(1)
    policy.reset([0])
    with pytest.raises(ValueError, match="not state, image here; make the environment with obs_type='state_image'"):
        policy.act(seen["state"])
    with pytest.raises(ValueError, match="not image here"):
        policy.act({"state": seen["state"]})
    with pytest.raises(ValueError, match="trained for"):
        policy.act({**seen, "state": seen["state"][..., :10]})


def test_the_catalogue_gives_it_pictures_and_puts_filters_behind_it(tmp_path, recorded):
    assert catalogue.observes("diffusion-image") == "state_image" and "diffusion-image" in catalogue.NAMES
    demonstrations, pictures = recorded
    recipe = replace(TINY, steps=1)
    train_image_policy(demonstrations, pictures, recipe, seed=7, root=tmp_path, report=lambda step, loss: None)
    agent = catalogue.make_agent(
        "mine", PUSHT, "seed7", base="diffusion-image", filter="clipping", weights=tmp_path, options={"bound": 0.05}
    )
    assert isinstance(agent, FilteredAgent)
    agent.reset([1, 2])
    chunk = row(PUSHT).layout.normalize(agent.act(observations(2)).astype(np.float64))
    assert np.abs(np.diff(chunk, axis=1)).max() <= 0.05 + 1e-6


def test_recipes():
    recipe = recipe_for(LIFT)
    assert recipe.hand == (10, 19) and recipe.hand_rotations == (3,) and recipe.rotations == (3, 13)
    for name, wrong in (("draws", 0), ("crop", 90), ("cameras", ()), ("hand", (2, 2)), ("move", True)):
        with pytest.raises(ValueError, match=name):
            replace(TINY, **{name: wrong})
    with pytest.raises(ValueError, match="whose cameras it knows; not for dto/ToolHang-v0"):
        recipe_for("dto/ToolHang-v0")

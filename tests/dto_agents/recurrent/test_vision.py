"""Policies that see pictures: the encoder, training on them, and a rollout that depends on what is seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from dto_agents import zoo
from dto_agents.catalogue import observes
from dto_agents.demos.dataset import Demonstrations, Episode
from dto_agents.recurrent.network import RecurrentNetwork
from dto_agents.recurrent.policy import load_policy
from dto_agents.recurrent.recipe import recipe_for
from dto_agents.recurrent.train import imitation_loss, make_sequences, train_recurrent
from dto_agents.recurrent.vision import ImageEncoder, ResNet18, spatial_softmax
from dto_envs.registry import row

LIFT = "dto/Lift-v0"
TINY = replace(
    recipe_for("leto-image", LIFT),
    hidden=8,
    layers=1,
    sampling_length=4,
    horizon=3,
    channels=4,
    keypoints=4,
    embedding=6,
    crop=64,
    steps=3,
    batch_size=4,
    warmup_steps=1,
)


@pytest.fixture
def watched():
    """Episodes of Lift and the pictures of two cameras: a bright spot, and nothing else, says which way to go."""
    rng = np.random.default_rng(0)
    episodes, pictures = [], []
    for steps, way in ((14, 1.0), (11, -1.0)):
        frames = rng.integers(0, 40, (steps, 2, 72, 72, 3)).astype(np.uint8)
        frames[:, 0, 20:52, 44 if way > 0 else 12 : 60 if way > 0 else 28] = 255
        actions = np.zeros((steps, 7))
        actions[:, 0] = 0.5 * way
        observations = np.zeros((steps, 19))
        observations[:, :10] = rng.normal(size=(steps, 10))
        episodes.append(Episode(observations, actions))
        pictures.append(frames)
    return Demonstrations(LIFT, tuple(episodes)), pictures


def test_a_resnet_18_has_the_parameters_it_is_known_for():
    network = ResNet18()
    convolutions = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)]
    assert len(convolutions) == 20, "17 in the main path and 3 shortcuts; the 18th layer is the classifier, left out"
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == 11_176_512, "11,689,512 with the classifier's 513,000"
    assert network(torch.zeros(2, 3, 84, 84)).shape == (2, 512, 3, 3)


def test_a_spatial_softmax_says_where_a_map_is_large():
    maps = torch.zeros(1, 2, 5, 9)
    maps[0, 0, 4, 0] = maps[0, 1, 2, 8] = 100.0
    torch.testing.assert_close(spatial_softmax(maps)[0], torch.tensor([[-1.0, 1.0], [1.0, 0.0]]))


def test_pictures_are_cut_at_random_in_training_and_in_the_middle_otherwise():
    torch.manual_seed(0)
    encoder = ImageEncoder(("one",), 4, 4, 6, crop=32)
    pictures = torch.randint(0, 255, (3, 5, 1, 40, 44, 3), dtype=torch.uint8)
    assert encoder(pictures).shape == (3, 5, 6)
    cuts = {encoder._cut(pictures[:1, :1].flatten(0, 1)).sum().item() for _ in range(30)}
    assert len(cuts) > 3
    encoder.eval()
    torch.testing.assert_close(encoder(pictures), encoder(pictures[:, :, :, 4:36, 6:38]))
    for wrong in (pictures[:, :, :, :20], pictures.repeat(1, 1, 2, 1, 1, 1)):
        with pytest.raises(ValueError, match="pictures must be"):
            encoder(wrong)


@pytest.mark.parametrize("head", ["leto", "gmm"])
def test_it_learns_from_what_it_sees(head, watched):
    demonstrations, pictures = watched
    recipe = replace(TINY, head=head, batch_size=12, channels=8)
    sequences = make_sequences(demonstrations, recipe, episodes=None, seed=0, pictures=pictures)
    assert sequences.features.shape[1] == 3 + 6 + 2, "the hand alone: position, two columns of its rotation, fingers"
    torch.manual_seed(0)
    network = RecurrentNetwork(recipe, row(LIFT).layout, sequences.features.shape[1])
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    draw = imitation_loss(sequences, 12)
    losses = []
    for _ in range(50):
        loss = draw(network)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    before, after = np.mean(losses[:3]), np.mean(losses[-5:])
    assert after < before - 2.0 if head == "gmm" else after < 0.3 * 0.5**2 / 7, "blind it would stay at 0.5 ** 2 / 7"
    assert all(parameter.grad is not None for parameter in network.encoder.parameters())


def test_weights_are_written_and_read_and_what_is_seen_matters(watched, tmp_path):
    demonstrations, pictures = watched
    quiet = {"seed": 3, "root": tmp_path, "report": lambda finished, loss: None}
    with pytest.raises(ValueError, match="needs pictures of agentview, robot0_eye_in_hand"):
        train_recurrent("leto-image", demonstrations, TINY, **quiet)
    train_recurrent("leto-image", demonstrations, TINY, pictures=pictures, **quiet)
    (entry,) = zoo.list_members("leto-image", LIFT, tmp_path)
    policy = load_policy("leto-image", entry, LIFT)

    def act(state, images, seeds=(1, 2)):
        policy.reset(seeds)
        seen = {name: images[:, place] for place, name in enumerate(TINY.cameras)}
        return policy.act({"state": state, **seen})

    states = np.zeros((2, 19))
    images = np.stack([pictures[0][0], pictures[0][-1]])
    actions = act(states, images)
    assert actions.shape == (2, 3, 7)
    objects_moved = states.copy()
    objects_moved[:, :10] += 1.0
    np.testing.assert_array_equal(act(objects_moved, images), actions, "it is not shown where the objects are")
    assert np.abs(act(states, 255 - images) - actions).max() > 0
    np.testing.assert_array_equal(act(states[1:], images[1:], (2,)), actions[1:])
    policy.reset([1, 2])
    with pytest.raises(ValueError, match="sees agentview, robot0_eye_in_hand; make the environment with obs_type"):
        policy.act(states)


def test_agents_that_watch_are_known_by_name():
    assert observes("leto-image") == "state_image" and observes("leto") == "state"
    with pytest.raises(ValueError, match="whose cameras it knows; not for dto/PushT-v0"):
        recipe_for("leto-image", "dto/PushT-v0")

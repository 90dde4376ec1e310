"""The diffusion policy as an agent: batches do not matter, seeds do, and it learns what it is shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from dto_agents import zoo
from dto_agents.demos.dataset import FORMATS, task_format
from dto_agents.diffusion.features import Fit, features
from dto_agents.diffusion.networks import build_denoiser
from dto_agents.diffusion.policy import DiffusionPolicy, build_policy, load_policy, make_denoiser, make_scheduler
from dto_agents.diffusion.recipe import RECIPES, DiffusionRecipe
from dto_agents.diffusion.train import Windows, make_windows, noise_loss, train_diffusion
from dto_agents.diffusion.windows import DataDescription, Range
from dto_envs.registry import row

LAYOUT = row("dto/PushT-v0").layout


def random_policy(recipe: DiffusionRecipe, state_size: int = 20) -> DiffusionPolicy:
    torch.manual_seed(0)
    denoiser = make_denoiser(recipe, LAYOUT.size, state_size)
    for parameter in denoiser.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    zeros = torch.zeros(state_size, dtype=torch.float64)
    return DiffusionPolicy(denoiser, recipe, LAYOUT, Range(zeros, zeros + 512))


@pytest.fixture(params=["mlp", "unet"])
def recipe(request) -> DiffusionRecipe:
    width = 416 if request.param == "mlp" else 8
    return DiffusionRecipe(denoiser=request.param, width=width, train_timesteps=20, inference_steps=2)


def test_an_episodes_actions_do_not_depend_on_the_batch(recipe):
    policy = random_policy(recipe)
    rng = np.random.default_rng(0)
    observations = rng.uniform(0, 512, (70, 2, 2, 20))
    seeds = rng.integers(0, 2**31, 70)
    policy.reset(seeds)
    expected = [policy.act(observations[:, call]) for call in range(2)]
    for size in (1, 2, 5, 25, 32, 33, 70):
        rows = rng.permutation(70)[:size]
        policy.reset(seeds[rows])
        for call in range(2):
            np.testing.assert_array_equal(policy.act(observations[rows, call]), expected[call][rows])
    assert expected[0].shape == (70, 15, 2)
    assert expected[0].dtype == np.float32


def test_seed_and_observation_decide_the_chunk(recipe):
    policy = random_policy(recipe)
    observations = np.full((4, 2, 20), 100.0)
    observations[3] += 200.0
    policy.reset([1, 1, 2, 1])
    chunk = policy.act(observations)
    np.testing.assert_array_equal(chunk[0], chunk[1])
    assert not np.array_equal(chunk[0], chunk[2])
    assert not np.array_equal(chunk[0], chunk[3])
    assert not np.array_equal(policy.act(observations)[0], chunk[0])


def test_actions_stay_in_the_layouts_range(recipe):
    policy = random_policy(recipe)
    policy.reset(range(8))
    chunk = policy.act(np.random.default_rng(0).uniform(-2000, 2000, (8, 2, 20)))
    assert (chunk >= np.asarray(LAYOUT.low)).all() and (chunk <= np.asarray(LAYOUT.high)).all()


def test_reads_the_state_of_a_dictionary_and_refuses_images_alone(tiny):
    policy = random_policy(tiny)
    states = np.full((1, 2, 20), 100.0)
    policy.reset([5])
    plain = policy.act(states)
    policy.reset([5])
    np.testing.assert_array_equal(policy.act({"state": states, "image": np.zeros((1, 2, 3))}), plain)
    with pytest.raises(ValueError, match="obs_type"):
        policy.act({"image": np.zeros((1, 2, 3))})


@pytest.mark.parametrize("shape", [(2, 2, 20), (1, 2, 19), (1, 20), (1, 3, 20)])
def test_observations_that_do_not_fit_are_refused(tiny, shape):
    policy = random_policy(tiny)
    policy.reset([5])
    with pytest.raises(ValueError, match="shape"):
        policy.act(np.zeros(shape))


@pytest.mark.parametrize("predicts", ["epsilon", "sample"])
def test_ddim_recovers_the_sequence_when_the_noise_is_known(predicts):
    """With a denoiser that knows the clean sequence, sampling must return it, whatever the number of steps."""
    recipe = DiffusionRecipe(inference_steps=7, predicts=predicts)
    scheduler = make_scheduler(recipe)
    clean = torch.linspace(-0.9, 0.9, 32).view(1, 16, 2)

    class Oracle(torch.nn.Module):
        def forward(self, noisy, timestep, condition):
            if predicts == "sample":
                return clean.expand_as(noisy)
            alpha = scheduler.alphas_cumprod[timestep.long()].view(-1, 1, 1)
            return (noisy - alpha.sqrt() * clean) / (1 - alpha).sqrt()

    policy = DiffusionPolicy(Oracle(), recipe, LAYOUT, Range(torch.zeros(20).double(), torch.ones(20).double()))
    policy.reset([1, 2, 3])
    sampled = policy.sample(torch.zeros(3, 2, 20, dtype=torch.float64))
    torch.testing.assert_close(sampled, clean.expand(3, -1, -1), atol=1e-4, rtol=0)


def test_scaled_actions_come_back_in_the_range_of_the_demonstrated_ones():
    recipe = DiffusionRecipe(width=8, scale_actions=True)
    acted = Range(torch.tensor([-0.1, 0.2]).double(), torch.tensor([0.1, 0.3]).double())
    plain, scaled = (
        DiffusionPolicy(make_denoiser(recipe, LAYOUT.size, 20), recipe, LAYOUT, Range(*torch.zeros(2, 20).double()), to)
        for to in (None, acted)
    )
    scaled._denoiser.load_state_dict(plain._denoiser.state_dict())
    for policy in (plain, scaled):
        policy.reset([1, 2])
    sequences, restored = (policy.sample(torch.zeros(2, 2, 20).double()) for policy in (plain, scaled))
    torch.testing.assert_close(restored, acted.restore(sequences))
    assert (restored >= acted.low - 1e-6).all() and (restored <= acted.high + 1e-6).all()


def test_a_policy_trained_on_scaled_actions_is_read_with_their_range(tiny, demonstrations, tmp_path):
    recipe = replace(tiny, scale_actions=True, steps=2)
    train_diffusion(demonstrations, recipe, seed=42, root=tmp_path, report=lambda *_: None)
    policy = load_policy(zoo.find_member("diffusion", "dto/PushT-v0", "seed42", tmp_path), "dto/PushT-v0")
    windows = make_windows(demonstrations, recipe, LAYOUT, episodes=None, seed=0)
    policy.reset([1])
    sampled = policy.sample(windows.states[:1])[0]
    lowest, highest = windows.actions.amin((0, 1)), windows.actions.amax((0, 1))
    assert (sampled >= lowest - 1e-6).all() and (sampled <= highest + 1e-6).all()
    assert (highest < 0.99).any()


def test_predicting_the_clean_sequence_needs_no_room_for_the_noise(tiny, demonstrations):
    """A network narrower than the noise learns what it can: motions, but not the noise itself."""
    narrow = replace(tiny, width=8, batch_size=64, bfloat16=False)
    losses = {}
    for predicts in ("epsilon", "sample"):
        recipe = replace(narrow, predicts=predicts)
        loss = noise_loss(make_windows(demonstrations, recipe, LAYOUT, episodes=None, seed=0), recipe)
        torch.manual_seed(0)
        denoiser = make_denoiser(recipe, LAYOUT.size, 20)
        optimizer = torch.optim.AdamW(denoiser.parameters(), lr=3e-3)
        start = np.mean([loss(denoiser).item() for _ in range(5)])
        for _ in range(300):
            optimizer.zero_grad()
            loss(denoiser).backward()
            optimizer.step()
        losses[predicts] = np.mean([loss(denoiser).item() for _ in range(5)]) / start
    assert losses["sample"] < 0.5 < losses["epsilon"]


def test_noise_loss_is_one_at_the_start_and_falls(tiny, demonstrations):
    recipe = replace(tiny, width=64, batch_size=64, bfloat16=False)
    windows = make_windows(demonstrations, recipe, LAYOUT, episodes=None, seed=0)
    torch.manual_seed(0)
    denoiser = make_denoiser(recipe, LAYOUT.size, 20)
    loss = noise_loss(windows, recipe)
    optimizer = torch.optim.AdamW(denoiser.parameters(), lr=3e-3)
    losses = []
    for _ in range(150):
        value = loss(denoiser)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    assert losses[0] == pytest.approx(1.0, abs=0.1)
    assert np.mean(losses[-20:]) < 0.6


def test_fine_moments_are_learned_from_as_often_as_the_recipe_says():
    """State: two poses; the first thing meets the second in one window of ten."""
    pose = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    states = torch.tensor([[*pose, 0.5, *pose[1:]]] * 9 + [[*pose, *pose]], dtype=torch.float64)
    fit = Fit(0, (0.0, 0.0, 0.0), 7, (0.0, 0.0, 0.0))
    recipe = DiffusionRecipe(
        n_obs_steps=1, horizon=8, batch_size=1000, bfloat16=False, fits=(fit,), fine_share=0.4, rotations=(3, 10)
    )
    seen = features(states, recipe.rotations, recipe.fits)
    windows = Windows(states[:, None], torch.zeros(10, 8, 2), Range.of(seen), DataDescription())
    drawn = []

    def denoiser(noisy, timestep, condition):
        drawn.append(condition)
        return torch.zeros_like(noisy)

    torch.manual_seed(0)
    noise_loss(windows, recipe)(denoiser)
    met = windows.observed.normalize(seen)[-1]
    assert (drawn[0] == met).all(1).float().mean() == pytest.approx(0.4 + 0.6 / 10, abs=0.03)


def test_windows_hold_the_demonstrated_actions_and_their_observations(tiny, demonstrations):
    windows = make_windows(demonstrations, tiny, LAYOUT, episodes=2, seed=3)
    chosen = [demonstrations.episodes[index] for index in windows.data.episodes]
    assert windows.data.steps == sum(len(episode) for episode in chosen)
    np.testing.assert_array_equal(windows.states[1], chosen[0].observations[:2])
    np.testing.assert_allclose(LAYOUT.denormalize(windows.actions[1].numpy()), chosen[0].actions[:16], rtol=1e-5)


def test_actions_of_another_space_are_refused(tiny, demonstrations):
    episode = demonstrations.episodes[0]
    wrong = replace(demonstrations, episodes=(replace(episode, actions=episode.actions * 3),))
    with pytest.raises(ValueError, match="another action space"):
        make_windows(wrong, tiny, LAYOUT, episodes=None, seed=0)


def test_recipes_fit_four_megabytes_and_refuse_nonsense():
    for env_id in RECIPES.keys() & FORMATS.keys():  # the others' recipes only cut chunks for filters
        recipe = RECIPES[env_id]
        denoiser = make_denoiser(recipe, row(env_id).layout.size, task_format(env_id).size)
        count = sum(value.numel() for value in denoiser.parameters())
        assert (1 if recipe.int8 else 2) * count < 4e6  # bytes of a weight
    for wrong in ({"horizon": 8}, {"steps": 0}, {"inference_steps": 101}, {"width": -1}):
        with pytest.raises(ValueError):
            DiffusionRecipe(**wrong)
    with pytest.raises(ValueError, match="mlp or unet"):
        build_denoiser(replace(DiffusionRecipe(), denoiser="lstm"), 2, 4)


def test_shipped_file_gives_the_policy_of_the_rounded_weights(tiny_zoo, tiny):
    entry = zoo.find_member("diffusion", "dto/PushT-v0", "seed42", tiny_zoo)
    description, tensors = zoo.read(entry.path, "diffusion")
    assert DiffusionRecipe(**description["recipe"]) == tiny
    assert tensors["observation.low"].dtype == torch.float64
    assert all(torch.equal(v, v.half().float()) for name, v in tensors.items() if name.startswith("denoiser."))
    loaded, rebuilt = load_policy(entry, "dto/PushT-v0"), build_policy(description, tensors)
    observations = np.random.default_rng(0).uniform(50, 450, (3, 2, 20))
    chunks = []
    for policy in (loaded, rebuilt):
        policy.reset([1, 2, 3])
        chunks.append(policy.act(observations))
    np.testing.assert_array_equal(*chunks)


def test_weights_of_another_environment_are_refused(tiny_zoo):
    entry = zoo.find_member("diffusion", "dto/PushT-v0", "seed42", tiny_zoo)
    with pytest.raises(zoo.DamagedWeightsError, match="not for dto/Lift-v0"):
        load_policy(entry, "dto/Lift-v0")

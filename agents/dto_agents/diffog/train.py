"""Training a filter by imitation: the optimised chunk should be the demonstrated one (DiffOG, equation 10)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from dto_agents import zoo
from dto_agents.demos.dataset import Demonstrations
from dto_agents.diffog.policy import describe, make_layer
from dto_agents.diffog.recipe import FilterRecipe
from dto_agents.diffog.residual import smoothness_penalty
from dto_agents.diffusion import recipe as diffusion_recipe
from dto_agents.diffusion.policy import DiffusionPolicy, load_policy
from dto_agents.diffusion.train import make_windows
from dto_agents.training import Report, train_member
from dto_envs.actions import ActionLayout
from dto_envs.registry import row


def sample_base(policy: DiffusionPolicy, states: Tensor, samples: int, *, seed: int, at_once: int = 2048) -> Tensor:
    """What the base policy does on demonstrated observations.

    Args:
        policy: the base.
        states: (N, n_obs_steps, D) float64 observation histories in environment units.
        samples: samples per history.
        seed: seed of the samples.
        at_once: histories sampled together.

    Returns:
        (samples, N, horizon - n_obs_steps + 1, D_a) float32 normalised chunks.
    """
    draws = []
    for draw in range(samples):
        parts = []
        for start in range(0, len(states), at_once):
            part = states[start : start + at_once]
            policy.reset([seed * 1_000_003 + draw * len(states) + start + offset for offset in range(len(part))])
            parts.append(policy.sample(part)[:, policy.n_obs_steps - 1 :])
        draws.append(torch.cat(parts))
    return torch.stack(draws).clone()


def nearest(samples: Tensor, targets: Tensor) -> Tensor:
    """Of samples (S, N, T, D_a) the one (N, T, D_a) nearest to each of the targets (N, T, D_a).

    A policy that imitates several ways of doing a thing may sample another one than was demonstrated; a layer trained
    on such a pair learns a compromise between the two.
    """
    distances = (samples - targets).square().flatten(2).sum(dim=2)
    return samples[distances.argmin(dim=0), torch.arange(len(targets))]


def imitation_loss(
    inputs: Tensor,
    targets: Tensor,
    previous: Tensor | None,
    executed: int,
    recipe: FilterRecipe,
    layout: ActionLayout,
) -> Callable[[nn.Module], Tensor]:
    """The loss of a batch drawn at random (equation 10): squared distance of the optimised to the demonstrated chunk.

    Of a residual there is the smoothness penalty beside it (appendix F); both are means over the chunk's numbers.

    Args:
        inputs: (N, T, D_a) normalised chunks to optimise.
        targets: (N, T, D_a) demonstrated chunks.
        previous: (N, D_a) demonstrated actions before them, or None to leave the first action free.
        executed: number of steps of a chunk that are executed.
        recipe: batch size and weights.
        layout: names the trajectory dimensions, and brings the penalty's weight where the recipe has none.
    """
    alpha = layout.alpha if recipe.alpha is None else recipe.alpha
    weights = torch.ones(targets.shape[1], 1)
    weights[:executed] = recipe.executed_weight
    weights /= weights.mean()

    def loss(layer: nn.Module) -> Tensor:
        index = torch.randint(len(targets), (recipe.batch_size,))
        link = None if previous is None else previous[index]
        optimized = layer(inputs[index], link)
        distance = (weights * (optimized - targets[index]).square()).mean()
        if recipe.source != "residual":
            return distance
        return distance + alpha * smoothness_penalty(optimized, layout).mean() / targets[0].numel()

    return loss


def train_filter(
    agent: str,
    demonstrations: Demonstrations,
    recipe: FilterRecipe,
    *,
    seed: int,
    root: Path,
    report: Report,
    base_root: Path | None = None,
    episodes: int | None = None,
) -> Path:
    """Train a filter and write it to a zoo; an interrupted run of the same recipe, seed, data and base is continued.

    Args:
        agent: name of the filter, the folder it is written to.
        demonstrations: what to imitate.
        recipe: layer and optimisation.
        seed: seed of the weights, the batches and the choice of episodes, and of the base policy for refine training.
        root: the zoo's root.
        report: called with finished steps and loss.
        base_root: root of the zoo that holds the base policy; None for the shipped one. Dataset training needs none.
        episodes: how many demonstrations to use; None for all.

    Returns:
        The weights file; its card lies beside it.

    Raises:
        FileExistsError: the result is already there.
        ValueError: the data does not fit.
        dto_agents.zoo.MissingWeightsError: no base policy of this seed; names the command that trains it.
        dto_agents.training.TrainingError: the checkpoints are another run's, or the loss diverged.
    """
    env_id = demonstrations.env_id
    layout = row(env_id).layout
    path = zoo.claim(agent, env_id, seed, root)
    policy = base = None
    if recipe.inputs == "refine":
        base = zoo.find_member("diffusion", env_id, f"seed{seed}", base_root)
        policy = load_policy(base, env_id)
    window = policy.recipe if policy else diffusion_recipe.recipe_for(env_id)
    # The action before a chunk is there where the observation before it is; where an episode is one chunk it is not.
    recipe = replace(recipe, linked=recipe.linked and window.n_obs_steps > 1)
    windows = make_windows(demonstrations, window, layout, episodes=episodes, seed=seed)
    current = window.n_obs_steps - 1
    used = _spread(len(windows.actions), recipe.observations if policy else None, seed)
    targets = windows.actions[used, current:]
    previous = windows.actions[used, max(current - 1, 0)] if recipe.linked else None
    if previous is not None and recipe.velocity is not None:
        # A rollout never leaves the limit; a demonstration that does is taken to have been stopped there.
        trajectory = list(layout.trajectory)
        previous[:, trajectory] = previous[:, trajectory].clamp(-recipe.velocity, recipe.velocity)
    inputs = targets
    if policy:
        inputs = nearest(sample_base(policy, windows.states[used], recipe.samples, seed=seed), targets)
    origin = base.sha256 if base else None
    return train_member(
        path,
        describe(agent, recipe, env_id, targets.shape[1]),
        lambda: make_layer(recipe, layout, targets.shape[1]),
        imitation_loss(inputs, targets, previous, window.n_action_steps, recipe, layout),
        recipe=recipe,
        data={**asdict(windows.data), "base_sha256": origin},
        seed=seed,
        report=report,
        origin={"base": origin},
        int8=recipe.int8,
    )


def _spread(count: int, wanted: int | None, seed: int) -> Tensor:
    """Indices of ``wanted`` of ``count`` windows, drawn by ``seed``; all of them where there are fewer."""
    if wanted is None or wanted >= count:
        return torch.arange(count)
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:wanted].sort().values

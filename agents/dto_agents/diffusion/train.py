"""Training a diffusion policy: noise prediction (Ho et al. 2020) on windows that stay in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from dto_agents import zoo
from dto_agents.demos.dataset import Demonstrations
from dto_agents.diffusion.features import near_a_fit
from dto_agents.diffusion.moves import room
from dto_agents.diffusion.policy import KIND, add_noise, answer, describe, make_denoiser, make_scheduler, shown
from dto_agents.diffusion.recipe import DiffusionRecipe
from dto_agents.diffusion.symmetry import mirror
from dto_agents.diffusion.two_arms import put_together, two_arms
from dto_agents.diffusion.windows import DataDescription, Range, all_states, chosen, normalized_actions, windows_of
from dto_agents.training import Report, train_member
from dto_envs.actions import ActionLayout
from dto_envs.registry import row

Variation = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Windows:
    """Training data: every observation history with its action sequence.

    Attributes:
        states: (N, n_obs_steps, D) float64 observation histories, in the environment's units.
        actions: (N, horizon, D_a) float32 action sequences, normalised.
        observed: range of the states' features.
        data: which demonstrations these are.
        acted: range of the actions, where the recipe scales them.
        varied: what makes new windows of the drawn ones, where the recipe asks for it: given histories
            (B, n_obs_steps, D) and sequences (B, horizon, D_a), it returns as many others.
    """

    states: Tensor
    actions: Tensor
    observed: Range
    data: DataDescription
    acted: Range | None = None
    varied: Variation | None = None

    def tensors(self) -> dict[str, Tensor]:
        """What a weights file holds of the ranges."""
        acted = self.acted.tensors("action") if self.acted else {}
        return self.observed.tensors("observation") | acted


def make_windows(
    demonstrations: Demonstrations, recipe: DiffusionRecipe, layout: ActionLayout, *, episodes: int | None, seed: int
) -> Windows:
    """Cut demonstrations into windows.

    Args:
        demonstrations: where the episodes come from.
        recipe: lengths of a window.
        layout: how actions are normalised.
        episodes: how many episodes to use, drawn by ``seed``; None for all.
        seed: seed of that draw.

    Raises:
        ValueError: more episodes than there are, or actions beyond the layout's range by more than a rounding.
    """
    used, data = chosen(demonstrations, episodes, seed)
    if recipe.mirror:
        used += [mirror(episode, demonstrations.env_id) for episode in used]
    observations = all_states(used)
    actions = normalized_actions(used, layout)
    index = windows_of(used, recipe)
    return Windows(
        states=observations[index[:, : recipe.n_obs_steps]],
        actions=actions[index],
        observed=Range.of(shown(recipe, observations), recipe.least_range),
        data=data,
        acted=Range.of(actions.double()) if recipe.scale_actions else None,
        varied=_variation(demonstrations.env_id, recipe),
    )


def _variation(env_id: str, recipe: DiffusionRecipe) -> Variation | None:
    if recipe.mix_arms:
        return partial(put_together, two_arms(env_id))
    if recipe.move:
        space = room(env_id)
        return lambda histories, sequences: (space.moved(histories), sequences)
    return None


def noise_loss(windows: Windows, recipe: DiffusionRecipe) -> Callable[[nn.Module], Tensor]:
    """The loss of a batch drawn at random: mean squared error of the predicted noise, or of the clean sequence."""
    scheduler = make_scheduler(recipe)
    states, varied = windows.states, windows.varied
    conditions = windows.observed.normalize(shown(recipe, states)).flatten(1)
    size = conditions.shape[1] // recipe.n_obs_steps
    actions = windows.acted.normalize(windows.actions) if windows.acted else windows.actions
    fine = _fine_windows(windows, recipe)

    def loss(denoiser: nn.Module) -> Tensor:
        index = torch.randint(len(conditions), (recipe.batch_size,))
        if len(fine):
            count = round(recipe.fine_share * recipe.batch_size)
            index[:count] = fine[torch.randint(len(fine), (count,))]
        clean = actions[index]
        if varied is None:
            condition = conditions[index]
        else:
            histories, clean = varied(states[index], clean)
            condition = windows.observed.normalize(shown(recipe, histories)).flatten(1)
        if recipe.observation_noise > 0:
            offset = torch.randn(recipe.batch_size, size).repeat(1, recipe.n_obs_steps)
            condition = condition + recipe.observation_noise * offset
        noisy, timestep, noise = add_noise(clean, scheduler)
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bfloat16):
            predicted = denoiser(noisy, timestep, condition)
        return functional.mse_loss(predicted.float(), answer(recipe, clean, noise))

    return loss


def _fine_windows(windows: Windows, recipe: DiffusionRecipe) -> Tensor:
    """Numbers of the windows whose newest state is near a fit; none where the recipe does not ask for them."""
    if not recipe.fits or not recipe.fine_share:
        return torch.empty(0, dtype=torch.long)
    return near_a_fit(windows.states[:, -1], recipe.fits).nonzero().flatten()


def train_diffusion(
    demonstrations: Demonstrations,
    recipe: DiffusionRecipe,
    *,
    seed: int,
    root: Path,
    report: Report,
    episodes: int | None = None,
) -> Path:
    """Train a policy and write it to a zoo; an interrupted run of the same recipe, seed and data is continued.

    Args:
        demonstrations: what to imitate.
        recipe: network and optimisation.
        seed: seed of the weights, the batches and the choice of episodes.
        root: the zoo's root; checkpoints go beside the result, into ``seed<k>/``.
        report: called with finished steps and loss.
        episodes: how many demonstrations to use; None for all.

    Returns:
        The weights file; its card lies beside it.

    Raises:
        FileExistsError: the result is already there.
        ValueError: the data does not fit.
        dto_agents.training.TrainingError: the checkpoints are another run's, or the loss diverged.
    """
    env_id = demonstrations.env_id
    layout = row(env_id).layout
    path = zoo.claim(KIND, env_id, seed, root)
    windows = make_windows(demonstrations, recipe, layout, episodes=episodes, seed=seed)
    state_size = windows.states.shape[-1]
    return train_member(
        path,
        describe(recipe, env_id, state_size),
        lambda: make_denoiser(recipe, layout.size, state_size),
        noise_loss(windows, recipe),
        recipe=recipe,
        data=asdict(windows.data),
        seed=seed,
        report=report,
        prefix="denoiser.",
        tensors=windows.tensors(),
        int8=recipe.int8,
    )

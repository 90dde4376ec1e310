"""Training implicit policies: what was demonstrated against actions drawn uniformly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from dto_agents import zoo
from dto_agents.demos.dataset import Demonstrations
from dto_agents.diffusion.features import features
from dto_agents.diffusion.windows import DataDescription, Range, all_states, chosen, normalized_actions, window_indices
from dto_agents.ibc.network import EnergyNetwork, info_nce
from dto_agents.ibc.policy import KIND, describe, make_energy
from dto_agents.ibc.recipe import IbcRecipe
from dto_agents.training import Report, train_member
from dto_envs.registry import row


@dataclass(frozen=True)
class Examples:
    """Training data.

    Attributes:
        conditions: (N, C) float32, normalised observation histories.
        actions: (N, T * D_a) float32, the normalised actions that follow each.
        observed: range of the features in their own units.
        low: (D_a,) lowest action that counter-examples and searches may have, normalised.
        high: (D_a,) highest.
        state_size: numbers of a state observation.
        data: which demonstrations these are.
    """

    conditions: Tensor
    actions: Tensor
    observed: Range
    low: Tensor
    high: Tensor
    state_size: int
    data: DataDescription


def make_examples(demonstrations: Demonstrations, recipe: IbcRecipe, *, episodes: int | None, seed: int) -> Examples:
    """Cut demonstrations into histories and the actions that follow.

    Args:
        demonstrations: where the episodes come from.
        recipe: their lengths, and the margin of the box of actions.
        episodes: how many episodes to use, drawn by ``seed``; None for all.
        seed: seed of that draw.

    Raises:
        ValueError: more episodes than there are, or actions beyond the layout's range by more than a rounding.
    """
    used, data = chosen(demonstrations, episodes, seed)
    states = all_states(used)
    shown = features(states, recipe.rotations)
    observed = Range.of(shown)
    actions = normalized_actions(used, row(demonstrations.env_id).layout)
    past, ahead = recipe.n_obs_steps, recipe.horizon
    index = torch.from_numpy(
        window_indices(
            [len(episode) for episode in used],
            horizon=past - 1 + ahead,
            n_obs_steps=past,
            n_action_steps=recipe.n_action_steps,
        )
    )
    low, high = actions.amin(0), actions.amax(0)
    extra = recipe.margin * (high - low)
    return Examples(
        conditions=observed.normalize(shown)[index[:, :past]].flatten(1),
        actions=actions[index[:, past - 1 :]].flatten(1),
        observed=observed,
        low=(low - extra).clamp(-1, 1),
        high=(high + extra).clamp(-1, 1),
        state_size=states.shape[-1],
        data=data,
    )


def contrastive_loss(examples: Examples, recipe: IbcRecipe) -> Callable[[EnergyNetwork], Tensor]:
    """The loss of a batch drawn at random, with fresh counter-examples."""
    low, high = (corner.repeat(recipe.horizon) for corner in (examples.low, examples.high))

    def loss(energy: EnergyNetwork) -> Tensor:
        index = torch.randint(len(examples.conditions), (recipe.batch_size,))
        shape = (recipe.batch_size, recipe.counter_examples, len(low))
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bfloat16):
            return info_nce(
                energy, examples.conditions[index], examples.actions[index], low + (high - low) * torch.rand(shape)
            )

    return loss


def train_ibc(
    demonstrations: Demonstrations,
    recipe: IbcRecipe,
    *,
    seed: int,
    root: Path,
    report: Report,
    episodes: int | None = None,
) -> Path:
    """Train a policy and write it to a zoo; an interrupted run of the same recipe, seed and data is continued.

    Args:
        demonstrations: what to imitate.
        recipe: network, search and optimisation.
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
    path = zoo.claim(KIND, env_id, seed, root)
    examples = make_examples(demonstrations, recipe, episodes=episodes, seed=seed)
    return train_member(
        path,
        describe(recipe, env_id, examples.state_size),
        lambda: make_energy(recipe, row(env_id).layout, examples.state_size),
        contrastive_loss(examples, recipe),
        recipe=recipe,
        data=asdict(examples.data),
        seed=seed,
        report=report,
        prefix="energy.",
        tensors={
            **examples.observed.tensors("observation"),
            "action.low": examples.low.double(),
            "action.high": examples.high.double(),
        },
    )

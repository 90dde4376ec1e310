"""Training recurrent policies by imitation, on sequences that stay in memory (LeTO, section III-A)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dto_agents import zoo
from dto_agents.demos.dataset import Demonstrations
from dto_agents.diffusion.features import features
from dto_agents.diffusion.windows import DataDescription, Range, all_states, chosen, normalized_actions
from dto_agents.recurrent.network import RecurrentNetwork
from dto_agents.recurrent.policy import describe
from dto_agents.recurrent.recipe import RecurrentRecipe
from dto_agents.training import Report, train_member
from dto_envs.registry import row

Pictures = Sequence[np.ndarray]


@dataclass(frozen=True)
class Sequences:
    """Training data: every sequence of T_s steps, as indices into all steps.

    Attributes:
        features: (N, F) float32, in [-1, 1].
        actions: (N, D_a) float32, normalised.
        steps: (M, T_s) indices of the steps of each sequence.
        targets: (M, T_s, T_p) indices of the actions from each step on.
        observed: range of the features in their own units.
        state_size: numbers of a state observation.
        data: which demonstrations these are.
        pictures: (N, cameras, H, W, 3) uint8 where the recipe has cameras, else None.
    """

    features: Tensor
    actions: Tensor
    steps: Tensor
    targets: Tensor
    observed: Range
    state_size: int
    data: DataDescription
    pictures: Tensor | None = None


def sequence_indices(lengths: Sequence[int], sampling_length: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of every sequence into the concatenated episodes.

    A sequence begins at every step of an episode; beyond the end the last step is repeated.

    Args:
        lengths: steps of each episode, in order.
        sampling_length: T_s.
        horizon: T_p.

    Returns:
        (M, T_s) steps, and (M, T_s, T_p) actions from each of these steps on; int64.
    """
    steps, targets, offset = [], [], 0
    for length in lengths:
        step = np.arange(length)[:, None] + np.arange(sampling_length)
        steps.append(offset + np.minimum(step, length - 1))
        targets.append(offset + np.minimum(step[:, :, None] + np.arange(horizon), length - 1))
        offset += length
    return np.concatenate(steps), np.concatenate(targets)


def make_sequences(
    demonstrations: Demonstrations,
    recipe: RecurrentRecipe,
    *,
    episodes: int | None,
    seed: int,
    pictures: Pictures | None = None,
) -> Sequences:
    """Cut demonstrations into sequences.

    Args:
        demonstrations: where the episodes come from.
        recipe: lengths of a sequence.
        episodes: how many episodes to use, drawn by ``seed``; None for all.
        seed: seed of that draw.
        pictures: of every demonstration, (T, cameras, H, W, 3) uint8, for a recipe with cameras.

    Raises:
        ValueError: more episodes than there are, actions beyond the layout's range by more than a rounding, or a recipe
            with cameras and no pictures.
    """
    if recipe.cameras and pictures is None:
        raise ValueError(f"a policy with cameras needs pictures of {', '.join(recipe.cameras)} to learn from")
    used, data = chosen(demonstrations, episodes, seed)
    states = all_states(used)
    shown = features(states[:, -(recipe.seen or states.shape[1]) :], recipe.rotations)
    observed = Range.of(shown)
    steps, targets = sequence_indices([len(episode) for episode in used], recipe.sampling_length, recipe.horizon)
    return Sequences(
        features=observed.normalize(shown),
        actions=normalized_actions(used, row(demonstrations.env_id).layout),
        steps=torch.from_numpy(steps),
        targets=torch.from_numpy(targets),
        observed=observed,
        state_size=states.shape[-1],
        data=data,
        pictures=torch.from_numpy(np.concatenate([pictures[index] for index in data.episodes])) if pictures else None,
    )


def imitation_loss(sequences: Sequences, batch_size: int) -> Callable[[RecurrentNetwork], Tensor]:
    """The loss of a batch of sequences drawn at random."""

    def loss(network: RecurrentNetwork) -> Tensor:
        index = torch.randint(len(sequences.steps), (batch_size,))
        steps, targets = sequences.steps[index], sequences.targets[index]
        pictures = None if sequences.pictures is None else sequences.pictures[steps]
        return network.loss(sequences.features[steps], sequences.actions[targets], pictures)

    return loss


def train_recurrent(
    agent: str,
    demonstrations: Demonstrations,
    recipe: RecurrentRecipe,
    *,
    seed: int,
    root: Path,
    report: Report,
    episodes: int | None = None,
    pictures: Pictures | None = None,
) -> Path:
    """Train a policy and write it to a zoo; an interrupted run of the same recipe, seed and data is continued.

    Args:
        agent: name of the agent, the folder it is written to.
        demonstrations: what to imitate.
        recipe: network and optimisation.
        seed: seed of the weights, the batches and the choice of episodes.
        root: the zoo's root; checkpoints go beside the result, into ``seed<k>/``.
        report: called with finished steps and loss.
        episodes: how many demonstrations to use; None for all.
        pictures: see :func:`make_sequences`.

    Returns:
        The weights file; its card lies beside it.

    Raises:
        FileExistsError: the result is already there.
        ValueError: the data does not fit.
        dto_agents.training.TrainingError: the checkpoints are another run's, or the loss diverged.
    """
    env_id = demonstrations.env_id
    path = zoo.claim(agent, env_id, seed, root)
    sequences = make_sequences(demonstrations, recipe, episodes=episodes, seed=seed, pictures=pictures)
    return train_member(
        path,
        describe(agent, recipe, env_id, sequences.state_size),
        lambda: RecurrentNetwork(recipe, row(env_id).layout, sequences.features.shape[-1]),
        imitation_loss(sequences, recipe.batch_size),
        recipe=recipe,
        data=asdict(sequences.data),
        seed=seed,
        report=report,
        prefix="network.",
        tensors=sequences.observed.tensors("observation"),
    )

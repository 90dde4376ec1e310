"""Training a policy on pictures: a diffusion policy's training with pictures in the place of most of the state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dto_agents import zoo
from dto_agents.demos.dataset import Demonstrations
from dto_agents.diffusion.features import features
from dto_agents.diffusion.policy import add_noise, in_batches, make_scheduler
from dto_agents.diffusion.seeing import Codes, denoising_loss, look_at_all, train_in_two_phases
from dto_agents.diffusion.symmetry import mirror, mirror_pictures
from dto_agents.diffusion.windows import DataDescription, Range, all_states, chosen, normalized_actions, windows_of
from dto_agents.diffusion_image.network import ImageDenoiser
from dto_agents.diffusion_image.policy import KIND, describe
from dto_agents.diffusion_image.recipe import ImageRecipe
from dto_agents.training import Report
from dto_envs.registry import row


@dataclass(frozen=True)
class ImageWindows:
    """Training data: what was seen in every step, and which steps belong to which action sequence.

    Attributes:
        pictures: (N, cameras, H, W, 3) uint8, of every demonstrated step.
        hands: (N, F) float32, the hand's features, normalised.
        states: (N, F') float32, the whole state's features, normalised.
        seen: (W, n_obs_steps) int64, the steps that a window's policy sees, oldest first.
        actions: (W, horizon, D_a) float32 action sequences, normalised.
        hand_range: range of the hand's features.
        state_size: numbers of a state.
        data: which demonstrations these are.
    """

    pictures: Tensor
    hands: Tensor
    states: Tensor
    seen: Tensor
    actions: Tensor
    hand_range: Range
    state_size: int
    data: DataDescription


def make_windows(
    demonstrations: Demonstrations,
    pictures: Sequence[np.ndarray],
    recipe: ImageRecipe,
    *,
    episodes: int | None,
    seed: int,
) -> ImageWindows:
    """Cut demonstrations and their pictures into windows.

    Args:
        demonstrations: what to imitate.
        pictures: of every demonstration, (T, cameras, H, W, 3) uint8.
        recipe: lengths of a window.
        episodes: how many episodes to use, drawn by ``seed``; None for all.
        seed: seed of that draw.

    Raises:
        ValueError: more episodes than there are, or actions beyond the layout's range by more than a rounding.
    """
    env_id = demonstrations.env_id
    used, data = chosen(demonstrations, episodes, seed)
    shown = [pictures[index] for index in data.episodes]
    if recipe.mirror:
        used += [mirror(episode, env_id) for episode in used]
        shown += [mirror_pictures(frames, env_id) for frames in shown]
    index = windows_of(used, recipe)
    states = all_states(used)
    first, end = recipe.hand
    whole, hands = features(states, recipe.rotations), features(states[:, first:end], recipe.hand_rotations)
    hand_range = Range.of(hands, recipe.least_range)
    return ImageWindows(
        pictures=torch.from_numpy(np.concatenate(shown)),
        hands=hand_range.normalize(hands),
        states=Range.of(whole, recipe.least_range).normalize(whole),
        seen=index[:, : recipe.n_obs_steps],
        actions=normalized_actions(used, row(env_id).layout)[index],
        hand_range=hand_range,
        state_size=states.shape[1],
        data=data,
    )


def seeing_loss(windows: ImageWindows, recipe: ImageRecipe) -> Callable[[nn.Module], Tensor]:
    """The first phase's loss of a random batch: the squared error of the noise, and of what is told of the state.

    Every window is denoised at ``recipe.draws`` noise levels; its pictures are looked at once.
    """
    scheduler = make_scheduler(recipe)

    def loss(network: nn.Module) -> Tensor:
        index = torch.randint(len(windows.actions), (recipe.seeing_batch,))
        newest, hands = windows.seen[index, -1], _blurred(windows.hands[windows.seen[index]], recipe)
        noisy, timestep, noise = add_noise(windows.actions[index].repeat_interleave(recipe.draws, 0), scheduler)
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bfloat16):
            predicted, told = network(noisy, timestep, windows.pictures[newest], hands)
        wrong = functional.mse_loss(told.float(), windows.states[newest])
        return functional.mse_loss(predicted.float(), noise) + recipe.state_weight * wrong

    return loss


def conditions(windows: ImageWindows, codes: Codes, recipe: ImageRecipe) -> Callable[[Tensor], Tensor]:
    """What the second phase's denoiser is told of windows (B,): the newest pictures' codes and the hand."""

    def of(index: Tensor) -> Tensor:
        seen = windows.seen[index]
        return torch.cat([codes.draw(seen[:, -1:])[:, 0], _blurred(windows.hands[seen], recipe).flatten(1)], dim=-1)

    return of


def _blurred(hands: Tensor, recipe: ImageRecipe) -> Tensor:
    """Hands (B, n_obs_steps, F) with the same noise on all of a window."""
    return hands + recipe.observation_noise * torch.randn(len(hands), 1, hands.shape[2])


def train_image_policy(
    demonstrations: Demonstrations,
    pictures: Sequence[np.ndarray],
    recipe: ImageRecipe,
    *,
    seed: int,
    root: Path,
    report: Report,
    episodes: int | None = None,
) -> Path:
    """Train a policy and write it to a zoo; an interrupted run of the same recipe, seed and data is continued.

    Args:
        demonstrations: what to imitate.
        pictures: see :func:`make_windows`.
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
    target = zoo.claim(KIND, env_id, seed, root)
    windows = make_windows(demonstrations, pictures, recipe, episodes=episodes, seed=seed)

    def acting(network: ImageDenoiser) -> Callable[[nn.Module], Tensor]:
        codes = look_at_all(lambda: in_batches(network.train().look, windows.pictures), recipe, seed)
        return denoising_loss(windows.actions, conditions(windows, codes, recipe), recipe)

    return train_in_two_phases(
        target,
        describe(recipe, env_id, windows.state_size),
        lambda: ImageDenoiser(recipe, row(env_id).layout.size, windows.state_size),
        seeing_loss(windows, recipe),
        acting,
        recipe=recipe,
        data=asdict(windows.data),
        seed=seed,
        report=report,
        tensors=windows.hand_range.tensors("hands"),
    )

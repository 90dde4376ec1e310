"""Demonstrations as training windows: every observation history with the action sequence that belongs to it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from dto_agents.demos.dataset import Demonstrations, Episode
from dto_agents.diffusion.recipe import DiffusionRecipe
from dto_envs.actions import ActionLayout


@dataclass(frozen=True)
class Range:
    """Affine map of observations onto [-1, 1] by the smallest and largest value seen in each dimension.

    Attributes:
        low: (D,) float64, in the environment's units.
        high: (D,) float64. Where it equals ``low`` the dimension maps to 0 at that value and is not scaled.
    """

    low: Tensor
    high: Tensor

    @classmethod
    def of(cls, observations: Tensor, least: float = 0.0) -> Range:
        """The range of observations (N, D), about its middle widened to ``least`` where it is narrower."""
        low, high = observations.amin(dim=0), observations.amax(dim=0)
        missing = (least - (high - low)).clamp(min=0.0) / 2
        return cls(low - missing, high + missing)

    @classmethod
    def saved(cls, tensors: Mapping[str, Tensor], name: str) -> Range:
        """The range that :meth:`tensors` named ``name``; raises KeyError where there is none."""
        return cls(tensors[f"{name}.low"].double(), tensors[f"{name}.high"].double())

    def tensors(self, name: str) -> dict[str, Tensor]:
        """What a weights file holds of it: ``<name>.low`` and ``<name>.high``."""
        return {f"{name}.low": self.low, f"{name}.high": self.high}

    def normalize(self, observations: Tensor) -> Tensor:
        """Observations (..., D) -> float32 in [-1, 1] within the range; values beyond it are not clipped."""
        centre, half = self._centre_and_half()
        return ((observations.double() - centre) / half).float()

    def restore(self, normalized: Tensor) -> Tensor:
        """What :meth:`normalize` was given, float32, of what it returned (..., D)."""
        centre, half = self._centre_and_half()
        return (normalized.double() * half + centre).float()

    def scale(self, differences: Tensor) -> Tensor:
        """Differences (..., D) of observations -> float32, those of what :meth:`normalize` returns for them."""
        return (differences.double() / self._centre_and_half()[1]).float()

    def _centre_and_half(self) -> tuple[Tensor, Tensor]:
        half = (self.high - self.low) / 2
        return (self.low + self.high) / 2, torch.where(half > 1e-6, half, torch.ones_like(half))


@dataclass(frozen=True)
class DataDescription:
    """Which demonstrations a policy was trained on.

    Attributes:
        episodes: indices of the episodes used, in the order of the file.
        steps: number of time steps in them.
        sha256: hash of their observations and actions, see :func:`data_sha256`.
    """

    episodes: tuple[int, ...] = field(default=())
    steps: int = 0
    sha256: str = ""


def window_indices(lengths: Sequence[int], *, horizon: int, n_obs_steps: int, n_action_steps: int) -> np.ndarray:
    """Indices of every window into the concatenated episodes.

    Windows overlap an episode's start by ``n_obs_steps - 1`` and its end by ``n_action_steps - 1`` steps; there the
    first or last step is repeated, as a policy meets it at the start of an episode (Chi et al. 2023).

    Args:
        lengths: steps of each episode, in order.
        horizon: steps of a window.
        n_obs_steps: observations in a window; they lead it.
        n_action_steps: executed actions of a window, or those that follow its newest observation, if the last
            observations of an episode are to be the newest of windows too.

    Returns:
        (N, horizon) int64.
    """
    windows = []
    offset = 0
    for length in lengths:
        first, last = -(n_obs_steps - 1), max(length - horizon + n_action_steps - 1, -(n_obs_steps - 1))
        starts = np.arange(first, last + 1)[:, None]
        windows.append(offset + np.clip(starts + np.arange(horizon), 0, length - 1))
        offset += length
    return np.concatenate(windows)


def windows_of(episodes: Sequence[Episode], recipe: DiffusionRecipe) -> Tensor:
    """:func:`window_indices` of episodes in the lengths of a recipe; the observations lead each window."""
    lengths = [len(episode) for episode in episodes]
    return torch.from_numpy(
        window_indices(
            lengths,
            horizon=recipe.horizon,
            n_obs_steps=recipe.n_obs_steps,
            n_action_steps=recipe.horizon - recipe.n_obs_steps + 1 if recipe.to_the_end else recipe.n_action_steps,
        )
    )


def choose_episodes(available: int, wanted: int | None, seed: int) -> tuple[int, ...]:
    """Choose which demonstrations to train on: all, or ``wanted`` of them drawn by ``seed``; sorted indices.

    Raises:
        ValueError: more wanted than there are, or none.
    """
    if wanted is None or wanted == available:
        return tuple(range(available))
    if not 1 <= wanted <= available:
        raise ValueError(
            f"{wanted} demonstrations wanted, but the data has {available}; pass --episodes 1 to {available}"
        )
    drawn = np.random.default_rng(seed).permutation(available)[:wanted]
    return tuple(sorted(int(index) for index in drawn))


def chosen(demonstrations: Demonstrations, wanted: int | None, seed: int) -> tuple[list[Episode], DataDescription]:
    """The episodes that :func:`choose_episodes` chooses, and which they are."""
    indices = choose_episodes(len(demonstrations.episodes), wanted, seed)
    used = [demonstrations.episodes[index] for index in indices]
    return used, DataDescription(indices, sum(map(len, used)), data_sha256(used))


def all_states(episodes: Sequence[Episode]) -> Tensor:
    """The state observations of the episodes, one after the other; (N, D) float64, in the environment's units."""
    return torch.from_numpy(np.concatenate([episode.observations for episode in episodes]).astype(np.float64))


def normalized_actions(episodes: Sequence[Episode], layout: ActionLayout) -> Tensor:
    """All actions of the episodes, one after the other, normalised and within [-1, 1]; (N, D_a) float32.

    Raises:
        ValueError: actions beyond the layout's range by more than a rounding.
    """
    actions = layout.normalize(np.concatenate([episode.actions for episode in episodes]).astype(np.float64))
    if np.abs(actions).max() > 1 + 1e-3:
        raise ValueError(
            f"the data's actions reach {np.abs(actions).max():.3f} on the environment's normalised scale, "
            "where the limit is 1; is it data of another action space?"
        )
    return torch.from_numpy(actions.clip(-1, 1).astype(np.float32))


def data_sha256(episodes: Sequence[Episode]) -> str:
    """SHA-256 over each episode's length (int64), observations and actions (float64, C order, little-endian)."""
    digest = hashlib.sha256()
    for episode in episodes:
        digest.update(np.int64(len(episode)).astype("<i8").tobytes())
        for array in (episode.observations, episode.actions):
            digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
    return digest.hexdigest()

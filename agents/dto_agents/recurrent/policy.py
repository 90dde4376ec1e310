"""A trained recurrent policy as an agent: one action at a time, its state refreshed as often as in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dto_agents import zoo
from dto_agents.diffusion.features import feature_size, features
from dto_agents.diffusion.windows import Range
from dto_agents.recurrent.network import RecurrentNetwork, State
from dto_agents.recurrent.recipe import RecurrentRecipe
from dto_agents.simple import states_like
from dto_envs.actions import ActionLayout
from dto_envs.filters.rows import PositionLimit
from dto_envs.registry import StateLimit, row

# The network only ever sees batches of this many rows, so that a row's last bits do not depend on its neighbours.
BATCH = 32


class RecurrentPolicy:
    """Unrolls the LSTM one observation at a time and executes the first action of what its head predicts.

    LeTO's trajectories are linked to the last executed action, which before the first is a standstill (LeTO, section
    III-D), so that every difference of executed actions keeps the limit whatever is observed. A mixture's action is the
    mean of a Gaussian drawn by its weight.

    Attributes:
        recipe: how it was built and trained.
        n_action_steps: 1.
    """

    def __init__(
        self,
        network: RecurrentNetwork,
        recipe: RecurrentRecipe,
        layout: ActionLayout,
        observed: Range,
        state_size: int | None = None,
        position_limit: StateLimit | None = None,
    ) -> None:
        """A policy from a trained network.

        Args:
            network: the network.
            recipe: how it was built and trained.
            layout: of the actions.
            observed: range of the features of the numbers that it is shown.
            state_size: numbers of a state; None where it is shown all of them.
            position_limit: what LeTO's layer keeps besides its other limits (LeTO, section V-B); others ignore it.
        """
        self.recipe = recipe
        self.n_action_steps = 1
        self._network = network.eval().requires_grad_(False)
        self._layout = layout
        self._observed = observed
        self._state_size = state_size or len(observed.low) - feature_size(0, recipe.rotations)
        self._position_limit = position_limit if recipe.head == "leto" else None
        if self._position_limit is not None:
            self._network.optimizer.optimizer.limit_positions(_rows_of(self._position_limit, layout))
        self._generators: list[np.random.Generator] = []
        self._state: State | None = None
        self._previous: np.ndarray | None = None
        self._step = 0

    def reset(self, seeds: Sequence[int]) -> None:
        """Begin one episode per seed."""
        self._generators = [np.random.default_rng(seed) for seed in seeds]
        self._state, self._step, self._previous = None, 0, None
        if self._layout.difference == "acceleration":
            self._previous = self._layout.normalize(np.zeros((len(seeds), self._layout.size)))

    def act(self, observations: Any) -> np.ndarray:
        """The actions of one step.

        Args:
            observations: (B, D) state observations, or a dictionary with them as "state" and, for a recipe with
                cameras, each camera's pictures (B, H, W, 3) uint8.

        Returns:
            (B, T_p, D_a) float32 in environment units, of which the first is to be executed.

        Raises:
            ValueError: the batch does not fit the reset, or the observations do not fit the weights.
        """
        states = states_like((len(self._generators), self._state_size), observations)
        outputs = self._unroll(
            torch.from_numpy(np.ascontiguousarray(states, dtype=np.float64)), self._pictures(observations)
        )
        raw = self._layout.denormalize(self._chunks(outputs, states)).astype(np.float32)
        self._previous = self._layout.normalize(raw[:, 0].astype(np.float64))
        return raw

    def _pictures(self, observations: Any) -> Tensor | None:
        """What the recipe's cameras see, (B, cameras, H, W, 3) uint8; None without cameras."""
        cameras = self.recipe.cameras
        if not cameras:
            return None
        missing = [name for name in cameras if not isinstance(observations, Mapping) or name not in observations]
        if missing:
            raise ValueError(f"this policy sees {', '.join(missing)}; make the environment with obs_type 'state_image'")
        return torch.from_numpy(np.stack([np.asarray(observations[name], dtype=np.uint8) for name in cameras], axis=1))

    @torch.inference_mode()
    def _unroll(self, states: Tensor, pictures: Tensor | None = None) -> Tensor:
        """The network's outputs (B, ...) for the observations of this step."""
        seen = states[:, -(self.recipe.seen or states.shape[1]) :]
        shown = self._observed.normalize(features(seen, self.recipe.rotations))
        padding = -len(shown) % BATCH
        shown = torch.cat([shown, shown.new_zeros(padding, shown.shape[1])])[:, None]
        drawn: Sequence[Tensor | None] = [None] * (len(shown) // BATCH)
        if pictures is not None:
            drawn = torch.cat([pictures, pictures.new_zeros(padding, *pictures.shape[1:])])[:, None].split(BATCH)
        if self._step % self.recipe.sampling_length == 0:
            size = (self.recipe.layers, len(shown), self.recipe.hidden)
            self._state = (torch.zeros(size), torch.zeros(size))
        self._step += 1
        assert self._state is not None
        parts = [
            self._network.embed(part, (h.contiguous(), c.contiguous()), images)
            for part, images, h, c in zip(
                shown.split(BATCH), drawn, *(s.split(BATCH, dim=1) for s in self._state), strict=True
            )
        ]
        hidden, cells = zip(*(state for _, state in parts), strict=True)
        self._state = (torch.cat(hidden, dim=1), torch.cat(cells, dim=1))
        return torch.cat([outputs[:, 0] for outputs, _ in parts])[: len(states)]

    @torch.inference_mode()
    def _chunks(self, outputs: Tensor, states: np.ndarray) -> np.ndarray:
        """Normalised action sequences (B, T_p, D_a) float64."""
        shape = (len(outputs), self.recipe.horizon, self._layout.size)
        if self.recipe.head == "leto":
            embedding, position = outputs.double().numpy().reshape(shape), None
            if self._position_limit is not None:
                position = np.zeros((len(states), len(self._layout.trajectory)))
                position[:, _column(self._position_limit, self._layout)] = states[:, self._position_limit.state]
            return self._network.optimizer(embedding, self._previous, position)
        if self.recipe.head == "linear":
            return torch.tanh(outputs.double()).numpy().reshape(shape)
        mixture = self._network.mixture(outputs.double())
        weights = mixture.mixture_distribution.probs.numpy().cumsum(axis=1)
        draws = np.array([generator.random() for generator in self._generators])
        modes = (draws[:, None] * weights[:, -1:] > weights).sum(axis=1)
        means = mixture.component_distribution.mean.numpy()
        return means[np.arange(len(modes)), modes].reshape(shape)


def _column(limit: StateLimit, layout: ActionLayout) -> int:
    """Which of the trajectory dimensions a limit is about."""
    return layout.trajectory.index(layout.names.index(limit.name))


def _rows_of(limit: StateLimit, layout: ActionLayout) -> PositionLimit:
    weights = [0.0] * len(layout.trajectory)
    weights[_column(limit, layout)] = 1.0
    return PositionLimit((tuple(weights),), (limit.lower,), (np.inf,))


def describe(agent: str, recipe: RecurrentRecipe, env_id: str, state_size: int) -> dict[str, Any]:
    """What a weights file says of itself, enough to build the policy again."""
    return {"kind": agent, "env_id": env_id, "recipe": asdict(recipe), "state_size": state_size}


def build_policy(description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> RecurrentPolicy:
    """Build the policy from what :func:`describe` wrote and the tensors beside it.

    Raises:
        ValueError: the tensors do not fill the network that the description names.
    """
    recipe = RecurrentRecipe(**description["recipe"])
    layout = row(description["env_id"]).layout
    state_size = int(description["state_size"])
    network = RecurrentNetwork(recipe, layout, feature_size(recipe.seen or state_size, recipe.rotations))
    network.load_state_dict(zoo.part(tensors, "network."))
    observed = Range.saved(tensors, "observation")
    limit = row(description["env_id"]).position_limit
    return RecurrentPolicy(network, recipe, layout, observed, state_size, limit)


def load_policy(agent: str, entry: zoo.Entry, env_id: str) -> RecurrentPolicy:
    """The policy of a zoo's member.

    Raises:
        dto_agents.zoo.DamagedWeightsError: the file does not hold this agent for ``env_id``.
    """
    return zoo.load(entry, agent, env_id, build_policy)

"""A trained implicit policy as an agent: every step a search for the action of the lowest energy."""

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
from dto_agents.ibc.network import EnergyNetwork, search
from dto_agents.ibc.recipe import IbcRecipe
from dto_agents.simple import states_like
from dto_envs.actions import ActionLayout
from dto_envs.registry import row

KIND = "ibc"


class IbcPolicy:
    """Searches for the action of the lowest energy, without its gradient (Florence et al. 2021).

    An episode is searched on its own and with its own generator, so that its actions depend on no neighbours.

    Attributes:
        recipe: how it was built and trained.
        n_obs_steps: observations that ``act`` sees.
        n_action_steps: actions of a chunk that are executed.
    """

    def __init__(
        self,
        energy: EnergyNetwork,
        recipe: IbcRecipe,
        layout: ActionLayout,
        observed: Range,
        box: tuple[Tensor, Tensor],
    ) -> None:
        """A policy from a trained energy.

        Args:
            energy: the network.
            recipe: how it was built and trained.
            layout: of the actions.
            observed: range of the states' features.
            box: lowest and highest normalised actions to search among, (D_a,) each.
        """
        self.recipe = recipe
        self.n_obs_steps = recipe.n_obs_steps
        self.n_action_steps = recipe.n_action_steps
        self._energy = energy.eval().requires_grad_(False)
        self._layout = layout
        self._observed = observed
        self._state_size = len(observed.low) - feature_size(0, recipe.rotations)
        self._low, self._high = (corner.float().repeat(recipe.horizon) for corner in box)
        self._generators: list[torch.Generator] = []

    def reset(self, seeds: Sequence[int]) -> None:
        """Begin one episode per seed."""
        self._generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]

    @torch.inference_mode()
    def act(self, observations: Any) -> np.ndarray:
        """Search one chunk per episode.

        Args:
            observations: (B, n_obs_steps, D) state observations, oldest first, or a dictionary with them as "state".

        Returns:
            (B, T, D_a) float32 in environment units.

        Raises:
            ValueError: the batch does not fit the reset, or the observations do not fit the weights.
        """
        states = states_like((len(self._generators), self.n_obs_steps, self._state_size), observations)
        wide = torch.from_numpy(np.ascontiguousarray(states, dtype=np.float64))
        conditions = self._observed.normalize(features(wide, self.recipe.rotations)).flatten(1)
        found = [
            search(self._energy, condition[None], self._low, self._high, self.recipe, generator)
            for condition, generator in zip(conditions, self._generators, strict=True)
        ]
        chunk = torch.stack(found).double().unflatten(1, (self.recipe.horizon, self._layout.size))
        return self._layout.denormalize(chunk.numpy()).astype(np.float32)


def describe(recipe: IbcRecipe, env_id: str, state_size: int) -> dict[str, Any]:
    """What a weights file says of itself, enough to build the policy again."""
    return {"kind": KIND, "env_id": env_id, "recipe": asdict(recipe), "state_size": state_size}


def make_energy(recipe: IbcRecipe, layout: ActionLayout, state_size: int) -> EnergyNetwork:
    """The untrained network of a recipe."""
    condition = recipe.n_obs_steps * feature_size(state_size, recipe.rotations)
    return EnergyNetwork(recipe, condition, recipe.horizon * layout.size)


def build_policy(description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> IbcPolicy:
    """Build the policy from what :func:`describe` wrote and the tensors beside it.

    Raises:
        ValueError: the tensors do not fill the network that the description names.
    """
    recipe = IbcRecipe(**description["recipe"])
    layout = row(description["env_id"]).layout
    energy = make_energy(recipe, layout, int(description["state_size"]))
    energy.load_state_dict(zoo.part(tensors, "energy."))
    observed = Range.saved(tensors, "observation")
    return IbcPolicy(energy, recipe, layout, observed, (tensors["action.low"], tensors["action.high"]))


def load_policy(entry: zoo.Entry, env_id: str) -> IbcPolicy:
    """The policy of a zoo's member.

    Raises:
        dto_agents.zoo.DamagedWeightsError: the file does not hold an implicit policy for ``env_id``.
    """
    return zoo.load(entry, KIND, env_id, build_policy)

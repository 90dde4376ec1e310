"""A trained policy on point clouds as an agent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dto_agents import zoo
from dto_agents.diffusion.policy import DiffusionPolicy, in_batches
from dto_agents.diffusion.windows import Range
from dto_agents.dp3.network import HAND_SIZE, CloudDenoiser
from dto_agents.dp3.recipe import CloudRecipe
from dto_envs.actions import ActionLayout
from dto_envs.registry import row

KIND = "dp3"


class CloudPolicy(DiffusionPolicy):
    """Samples an action sequence from noise, conditioned on the last point clouds and hand states (Ze et al. 2024).

    Attributes:
        recipe: how it was built and trained.
        n_obs_steps: observations that ``act`` sees.
        n_action_steps: actions of a chunk that are executed.
    """

    recipe: CloudRecipe

    def __init__(
        self, network: CloudDenoiser, recipe: CloudRecipe, layout: ActionLayout, places: Range, hands: Range
    ) -> None:
        """A policy from a trained network, its recipe, and the ranges of points (3) and hand states (4)."""
        super().__init__(network.denoiser, recipe, layout, hands)
        self._network = network.eval().requires_grad_(False)
        self._places = places

    def act(self, observations: Any) -> np.ndarray:
        """Sample one chunk per episode.

        Args:
            observations: a dictionary with "pointcloud" (B, n_obs_steps, P, 3) and "hand" (B, n_obs_steps, 4), oldest
                first, as environments with ``obs_type="pointcloud"`` give them.

        Returns:
            (B, horizon - n_obs_steps + 1, D_a) float32 in environment units.

        Raises:
            ValueError: there are no clouds, or the batch does not fit the reset, or the clouds have too few points.
        """
        if not isinstance(observations, Mapping) or "pointcloud" not in observations:
            raise ValueError("this policy looks at point clouds; make the environment with obs_type='pointcloud'")
        clouds, hands = (np.asarray(observations[name]) for name in ("pointcloud", "hand"))
        episodes, steps, points = len(self._generators), self.n_obs_steps, self.recipe.points
        if clouds.shape[:2] != (episodes, steps) or clouds.shape[2] < points or clouds.shape[3:] != (3,):
            raise ValueError(
                f"clouds have shape {clouds.shape}; this policy was reset and trained for "
                f"({episodes}, {steps}, {points} or more, 3)"
            )
        normalized = self.sample_given(self._conditions(clouds[:, :, :points], hands))
        return self._layout.denormalize(normalized.double())[:, steps - 1 :].float().numpy()

    @torch.inference_mode()
    def _conditions(self, clouds: np.ndarray, hands: np.ndarray) -> Tensor:
        """Codes (B, C), made in batches of one size, so that an episode's does not depend on its neighbours."""
        seen = self._places.normalize(torch.from_numpy(np.ascontiguousarray(clouds)))
        held = self._observed.normalize(torch.from_numpy(np.ascontiguousarray(hands)))
        return in_batches(self._network.encode, seen, held)


def describe(recipe: CloudRecipe, env_id: str) -> dict[str, Any]:
    """What a weights file says of itself, enough to build the policy again."""
    return {"kind": KIND, "env_id": env_id, "recipe": asdict(recipe)}


def build_policy(description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> CloudPolicy:
    """Build the policy from what :func:`describe` wrote and the tensors beside it.

    Raises:
        ValueError: the tensors do not fill the network that the description names.
    """
    recipe = CloudRecipe(**description["recipe"])
    layout = row(description["env_id"]).layout
    network = CloudDenoiser(recipe, layout.size)
    network.load_state_dict(zoo.part(tensors, "network."))
    places, hands = (Range.saved(tensors, name) for name in ("places", "hands"))
    if hands.low.shape != (HAND_SIZE,):
        raise ValueError(f"the range of hand states has shape {tuple(hands.low.shape)}")
    return CloudPolicy(network, recipe, layout, places, hands)


def load_policy(entry: zoo.Entry, env_id: str) -> CloudPolicy:
    """The policy of a zoo's member.

    Raises:
        dto_agents.zoo.DamagedWeightsError: the file does not hold a policy on point clouds for ``env_id``.
    """
    return zoo.load(entry, KIND, env_id, build_policy)

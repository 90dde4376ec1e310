"""A trained policy on pictures as an agent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dto_agents import zoo
from dto_agents.diffusion.features import features
from dto_agents.diffusion.policy import DiffusionPolicy, in_batches
from dto_agents.diffusion.windows import Range
from dto_agents.diffusion_image.network import ImageDenoiser
from dto_agents.diffusion_image.recipe import ImageRecipe
from dto_agents.simple import states_like
from dto_envs.actions import ActionLayout
from dto_envs.registry import row

KIND = "diffusion-image"


class ImagePolicy(DiffusionPolicy):
    """Samples an action sequence from noise, conditioned on the newest pictures and the last states of the hand.

    Of the state it is shown the hand's part alone.

    Attributes:
        recipe: how it was built and trained.
        n_obs_steps: observations that ``act`` sees.
        n_action_steps: actions of a chunk that are executed.
    """

    recipe: ImageRecipe

    def __init__(
        self, network: ImageDenoiser, recipe: ImageRecipe, layout: ActionLayout, state_size: int, hands: Range
    ) -> None:
        """A policy from a trained network, its recipe, the length of a state and the range of the hand's features."""
        super().__init__(network.denoiser, recipe, layout, hands)
        self._network = network.eval().requires_grad_(False)
        self._state_size = state_size

    def act(self, observations: Any) -> np.ndarray:
        """Sample one chunk per episode.

        Args:
            observations: a dictionary with "state" (B, n_obs_steps, D) and every camera's pictures
                (B, n_obs_steps, H, W, 3) uint8, oldest first, as with ``obs_type="state_image"``.

        Returns:
            (B, horizon - n_obs_steps + 1, D_a) float32 in environment units.

        Raises:
            ValueError: pictures are missing or too small, or the batch does not fit the reset.
        """
        names = ("state", *self.recipe.cameras)
        missing = [name for name in names if not isinstance(observations, Mapping) or name not in observations]
        if missing:
            raise ValueError(
                f"this policy sees {', '.join(names)}, but not {', '.join(missing)} here; make the environment with "
                "obs_type='state_image'"
            )
        states = states_like((len(self._generators), self.n_obs_steps, self._state_size), observations)
        pictures = np.stack([np.asarray(observations[name])[:, -1] for name in self.recipe.cameras], axis=1)
        normalized = self.sample_given(self._conditions(pictures, states))
        return self._layout.denormalize(normalized.double())[:, self.n_obs_steps - 1 :].float().numpy()

    @torch.inference_mode()
    def _conditions(self, pictures: np.ndarray, states: np.ndarray) -> Tensor:
        """Conditions (B, C), made in batches of one size, so that an episode's does not depend on its neighbours."""
        first, end = self.recipe.hand
        hands = torch.from_numpy(np.ascontiguousarray(states[..., first:end], dtype=np.float64))
        held = self._observed.normalize(features(hands, self.recipe.hand_rotations))
        seen = torch.from_numpy(pictures.astype(np.uint8, copy=False))
        return in_batches(self._network.encode, seen, held)


def describe(recipe: ImageRecipe, env_id: str, state_size: int) -> dict[str, Any]:
    """What a weights file says of itself, enough to build the policy again."""
    return {"kind": KIND, "env_id": env_id, "recipe": asdict(recipe), "state_size": state_size}


def build_policy(description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> ImagePolicy:
    """Build the policy from what :func:`describe` wrote and the tensors beside it.

    Raises:
        ValueError: the tensors do not fill the network that the description names.
    """
    recipe = ImageRecipe(**description["recipe"])
    layout, state_size = row(description["env_id"]).layout, int(description["state_size"])
    network = ImageDenoiser(recipe, layout.size, state_size)
    network.load_state_dict(zoo.part(tensors, "network."))
    return ImagePolicy(network, recipe, layout, state_size, Range.saved(tensors, "hands"))


def load_policy(entry: zoo.Entry, env_id: str) -> ImagePolicy:
    """The policy of a zoo's member.

    Raises:
        dto_agents.zoo.DamagedWeightsError: the file does not hold a policy on pictures for ``env_id``.
    """
    return zoo.load(entry, KIND, env_id, build_policy)

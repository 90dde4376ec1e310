"""A trained diffusion policy as an agent: DDIM sampling whose actions do not depend on the rest of the batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor, nn

from dto_agents import zoo
from dto_agents.diffusion.features import feature_size, features
from dto_agents.diffusion.networks import build_denoiser
from dto_agents.diffusion.recipe import DiffusionRecipe
from dto_agents.diffusion.windows import Range
from dto_agents.simple import states_like
from dto_envs.actions import ActionLayout
from dto_envs.registry import row

KIND = "diffusion"

# The denoiser only ever sees batches of this many rows. Matrix libraries choose their algorithm by the shape, so that
# a row's last bits would otherwise depend on how many neighbours it has.
BATCH = 32


def shown(recipe: DiffusionRecipe, states: Tensor) -> Tensor:
    """What the recipe's network is shown of states (..., D), (..., :func:`shown_size`)."""
    return features(states, recipe.rotations, recipe.fits, recipe.axes)


def shown_size(recipe: DiffusionRecipe, state_size: int) -> int:
    """How many numbers the recipe's network is shown of a state of ``state_size``."""
    return feature_size(state_size, recipe.rotations, recipe.fits, recipe.axes)


def make_scheduler(recipe: DiffusionRecipe) -> DDIMScheduler:
    """The noise schedule of training and sampling: squared cosine (Nichol and Dhariwal 2021)."""
    scheduler = DDIMScheduler(
        num_train_timesteps=recipe.train_timesteps,
        beta_schedule="squaredcos_cap_v2",
        prediction_type=recipe.predicts,
        clip_sample=True,
        clip_sample_range=1.0,
        set_alpha_to_one=True,
    )
    scheduler.set_timesteps(recipe.inference_steps)
    return scheduler


def add_noise(clean: Tensor, scheduler: DDIMScheduler) -> tuple[Tensor, Tensor, Tensor]:
    """Training's question: action sequences (B, ...) at levels of noise drawn at random, the levels, and the noise."""
    noise = torch.randn_like(clean)
    timestep = torch.randint(int(scheduler.config["num_train_timesteps"]), (len(clean),))
    return scheduler.add_noise(clean, noise, timestep), timestep, noise  # type: ignore[arg-type]


def answer(recipe: DiffusionRecipe, clean: Tensor, noise: Tensor) -> Tensor:
    """What the network should have predicted for sequences ``clean`` in ``noise``."""
    return clean if recipe.predicts == "sample" else noise


def in_batches(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """What ``function`` makes of rows, which it sees in batches of :data:`BATCH`, the last padded with zeros."""
    count = len(inputs[0])
    padded = (torch.cat([rows, rows.new_zeros(-count % BATCH, *rows.shape[1:])]) for rows in inputs)
    parts = zip(*(rows.split(BATCH) for rows in padded), strict=True)
    return torch.cat([function(*part) for part in parts])[:count]


class DiffusionPolicy:
    """Samples an action sequence from noise, conditioned on the last observations (Chi et al. 2023).

    The sequence starts at the oldest observation; what is returned starts at the current one.

    Attributes:
        recipe: how it was built and trained.
        n_obs_steps: observations that ``act`` sees.
        n_action_steps: actions of a chunk that are executed.
    """

    def __init__(
        self,
        denoiser: nn.Module,
        recipe: DiffusionRecipe,
        layout: ActionLayout,
        observed: Range,
        acted: Range | None = None,
    ) -> None:
        """A policy from a trained denoiser and the recipe it was trained by.

        ``observed`` is the range of the states' features, ``acted`` that of the normalised actions that the denoiser's
        scale stands for; None where it denoises them as they are.
        """
        self.recipe = recipe
        self.n_obs_steps = recipe.n_obs_steps
        self.n_action_steps = recipe.n_action_steps
        self._denoiser = denoiser.eval().requires_grad_(False)
        self._scheduler = make_scheduler(recipe)
        self._layout = layout
        self._observed = observed
        self._acted = acted
        self._state_size = len(observed.low) - shown_size(recipe, 0)
        self._shape = (recipe.horizon, layout.size)
        self._generators: list[torch.Generator] = []

    def reset(self, seeds: Sequence[int]) -> None:
        """Begin one episode per seed."""
        self._generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]

    def act(self, observations: Any) -> np.ndarray:
        """Sample one chunk per episode.

        Args:
            observations: (B, n_obs_steps, D) state observations, oldest first, or a dictionary with them as "state".

        Returns:
            (B, horizon - n_obs_steps + 1, D_a) float32 in environment units.

        Raises:
            ValueError: the batch does not fit the reset, or the observations do not fit the weights.
        """
        states = states_like((len(self._generators), self.n_obs_steps, self._state_size), observations)
        normalized = self.sample(torch.from_numpy(np.ascontiguousarray(states, dtype=np.float64)))
        raw = self._layout.denormalize(normalized.double())
        return raw[:, self.n_obs_steps - 1 :].float().numpy()

    @torch.inference_mode()
    def sample(self, states: Tensor) -> Tensor:
        """Sample whole sequences.

        Args:
            states: (B, n_obs_steps, D) float64 in environment units, one row per episode of the last reset.

        Returns:
            (B, horizon, D_a) float32, normalised, in [-1, 1].
        """
        return self.sample_given(self._observed.normalize(shown(self.recipe, states)).flatten(1))

    @torch.inference_mode()
    def sample_given(self, condition: Tensor) -> Tensor:
        """Sample whole sequences (B, horizon, D_a) for what conditions the denoiser, (B, C) float32."""
        noise = torch.stack([torch.randn(self._shape, generator=generator) for generator in self._generators])
        sequences = in_batches(self._denoise, noise, condition)
        return sequences if self._acted is None else self._acted.restore(sequences).clamp(-1.0, 1.0)

    def _denoise(self, sequence: Tensor, condition: Tensor) -> Tensor:
        for timestep in self._scheduler.timesteps:
            predicted = self._denoiser(sequence, timestep.expand(len(sequence)), condition)
            sequence = self._scheduler.step(predicted, timestep, sequence).prev_sample  # type: ignore[union-attr, arg-type]
        return sequence.clamp(-1.0, 1.0)


def describe(recipe: DiffusionRecipe, env_id: str, state_size: int) -> dict[str, Any]:
    """What a weights file says of itself, enough to build the policy again."""
    return {"kind": KIND, "env_id": env_id, "recipe": asdict(recipe), "state_size": state_size}


def build_policy(description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> DiffusionPolicy:
    """Build the policy from what :func:`describe` wrote and the tensors beside it.

    Raises:
        ValueError: the tensors do not fill the network that the description names.
    """
    recipe = DiffusionRecipe(**description["recipe"])
    layout = row(description["env_id"]).layout
    denoiser = make_denoiser(recipe, layout.size, int(description["state_size"]))
    denoiser.load_state_dict(zoo.part(tensors, "denoiser."))
    observed = Range.saved(tensors, "observation")
    acted = Range.saved(tensors, "action") if recipe.scale_actions else None
    return DiffusionPolicy(denoiser, recipe, layout, observed, acted)


def make_denoiser(recipe: DiffusionRecipe, action_size: int, state_size: int) -> nn.Module:
    """The untrained network of a recipe."""
    return build_denoiser(recipe, action_size, recipe.n_obs_steps * shown_size(recipe, state_size))


def load_policy(entry: zoo.Entry, env_id: str) -> DiffusionPolicy:
    """The policy of a zoo's member.

    Raises:
        dto_agents.zoo.DamagedWeightsError: the file does not hold a diffusion policy for ``env_id``.
    """
    return zoo.load(entry, KIND, env_id, build_policy)

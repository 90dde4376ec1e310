"""How an implicit policy is built, trained and searched: one frozen recipe."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dto_agents.diffusion import recipe as diffusion_recipe
from dto_agents.recipes import check_counts


@dataclass(frozen=True)
class IbcRecipe:
    """Everything but data and seed that a trained implicit policy depends on.

    Attributes:
        width: width of the energy's hidden layers.
        blocks: residual blocks of two layers each.
        n_obs_steps: observations that the energy sees.
        horizon: actions that it judges together, of which ``n_action_steps`` are executed.
        n_action_steps: actions executed before the next search.
        counter_examples: actions drawn uniformly from the box that a demonstrated one is told from.
        margin: how far that box exceeds the range of the demonstrated actions on either side, as a part of the range.
        samples: actions that the search holds.
        iterations: rounds of the search.
        spread: standard deviation of the noise that the first round adds, as a part of half the box.
        shrink: factor of that standard deviation from one round to the next.
        rotations: indices of the state's quaternions, see :func:`dto_agents.diffusion.features.features`.
        steps: optimiser steps.
        batch_size: demonstrated actions per step.
        learning_rate: peak learning rate; warmed up linearly, then a cosine down to zero.
        warmup_steps: steps of the linear warm-up.
        weight_decay: AdamW's weight decay.
        ema_power: see :class:`dto_agents.training.Plan`.
        ema_max: see :class:`dto_agents.training.Plan`.
        bfloat16: whether matrix products of training run in bfloat16.
    """

    width: int = 256
    blocks: int = 2
    n_obs_steps: int = 2
    horizon: int = 1
    n_action_steps: int = 1
    counter_examples: int = 64
    margin: float = 0.05
    samples: int = 256
    iterations: int = 3
    spread: float = 0.33
    shrink: float = 0.5
    rotations: tuple[int, ...] = ()
    steps: int = 3_000
    batch_size: int = 64
    learning_rate: float = 1e-3
    warmup_steps: int = 200
    weight_decay: float = 1e-4
    ema_power: float = 0.75
    ema_max: float = 0.999
    bfloat16: bool = True

    def __post_init__(self) -> None:
        """Refuse recipes that cannot be trained."""
        object.__setattr__(self, "rotations", tuple(self.rotations))
        check_counts(self, "width", "n_obs_steps", "horizon", "n_action_steps")
        check_counts(self, "counter_examples", "samples", "iterations", "steps", "batch_size")
        if self.n_action_steps > self.horizon:
            raise ValueError(f"{self.n_action_steps} actions cannot be executed of {self.horizon}")


def recipe_for(env_id: str) -> IbcRecipe:
    """The recipe of ``env_id``."""
    return replace(IbcRecipe(), rotations=diffusion_recipe.recipe_for(env_id).rotations)

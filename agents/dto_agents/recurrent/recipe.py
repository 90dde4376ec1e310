"""How a recurrent policy is built and trained: one frozen recipe per agent and environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

from dto_agents.diffusion import recipe as diffusion_recipe
from dto_agents.recipes import check_counts

Head = Literal["leto", "linear", "gmm"]


@dataclass(frozen=True)
class RecurrentRecipe:
    """Everything but data and seed that a trained recurrent policy depends on.

    Attributes:
        head: what follows the LSTM: ``leto`` for LeTO's optimisation layer, ``linear`` for the same network without
            it, ``gmm`` for a mixture of Gaussians (Mandlekar et al. 2021).
        hidden: size of the LSTM's state.
        layers: layers of the LSTM.
        sampling_length: T_s, steps of a training sequence; in a rollout the state is refreshed as often.
        horizon: T_p, predicted actions, of which one is executed.
        modes: Gaussians of the mixture.
        alpha: smoothing weight of LeTO's layer.
        bound: its limit on differences, normalised; None for the layout's.
        velocity: its limit on normalised commands.
        rotations: indices of the state's quaternions, see :func:`dto_agents.diffusion.features.features`.
        cameras: cameras whose pictures it sees beside the state; none by default.
        seen: how many of the state's last numbers it is shown, such as the hands alone; None for all. ``rotations``
            count from the first of these.
        channels: of the first stage of each camera's ResNet-18.
        keypoints: of each camera's spatial softmax.
        embedding: size of what a camera's network makes of a picture.
        crop: side in pixels of the square of a picture that is looked at.
        steps: optimiser steps.
        batch_size: sequences per step.
        learning_rate: peak learning rate; warmed up linearly, then a cosine down to zero.
        warmup_steps: steps of the linear warm-up.
        weight_decay: AdamW's weight decay; 0 makes it Adam.
        ema_power: see :class:`dto_agents.training.Plan`.
        ema_max: see :class:`dto_agents.training.Plan`.
        bfloat16: whether the LSTM's matrix products run in bfloat16 while training, which takes half the time.
    """

    head: Head = "leto"
    hidden: int = 192
    layers: int = 2
    sampling_length: int = 12
    horizon: int = 6
    modes: int = 5
    alpha: float = 1.0
    bound: float | None = None
    velocity: float = 1.0
    rotations: tuple[int, ...] = ()
    cameras: tuple[str, ...] = ()
    seen: int | None = None
    channels: int = 64
    keypoints: int = 32
    embedding: int = 64
    crop: int = 76
    steps: int = 6_000
    batch_size: int = 64
    learning_rate: float = 3e-3
    warmup_steps: int = 200
    weight_decay: float = 0.0
    ema_power: float = 0.75
    ema_max: float = 0.9995
    bfloat16: bool = True

    def __post_init__(self) -> None:
        """Refuse recipes that cannot be trained."""
        object.__setattr__(self, "rotations", tuple(self.rotations))
        object.__setattr__(self, "cameras", tuple(self.cameras))
        check_counts(self, "hidden", "layers", "sampling_length", "horizon", "modes", "steps", "batch_size")


HAND = 9  # numbers of a state that belong to one hand: position, quaternion, fingers
CAMERAS = ("agentview", "robot0_eye_in_hand")
_WATCHING: dict[str, Any] = {"cameras": CAMERAS, "hidden": 256, "learning_rate": 1e-4, "batch_size": 16}

# LeTO, Table II and section IV-A. LSTM-GMM predicts one action, from sequences of 10 (robomimic's defaults).
RECIPES: Mapping[str, RecurrentRecipe] = MappingProxyType(
    {
        "leto": RecurrentRecipe(),
        "lstm-gmm": RecurrentRecipe(head="gmm", sampling_length=10, horizon=1),
        "leto-image": RecurrentRecipe(**_WATCHING),
        "lstm-gmm-image": RecurrentRecipe(head="gmm", sampling_length=10, horizon=1, **_WATCHING),
    }
)
NAMES = tuple(RECIPES)
WATCHED = ("dto/Lift-v0", "dto/Can-v0", "dto/Square-v0")


def recipe_for(agent: str, env_id: str) -> RecurrentRecipe:
    """The recipe of ``agent`` for ``env_id``.

    Raises:
        ValueError: no such recurrent agent.
    """
    if agent not in RECIPES:
        raise ValueError(f"there is no recurrent agent {agent!r}; choose {' or '.join(RECIPES)}")
    recipe = RECIPES[agent]
    if recipe.cameras:
        if env_id not in WATCHED:
            raise ValueError(f"{agent} is for {', '.join(WATCHED)}, whose cameras it knows; not for {env_id}")
        return replace(recipe, seen=HAND, rotations=(3,))
    return replace(recipe, rotations=diffusion_recipe.recipe_for(env_id).rotations)

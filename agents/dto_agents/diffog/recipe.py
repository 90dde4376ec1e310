"""How a learned filter is built and trained: one frozen recipe per agent name and environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from dto_agents.recipes import check_counts


@dataclass(frozen=True)
class FilterRecipe:
    """Everything but data, base policy and seed that a trained filter depends on.

    Attributes:
        source: where the quadratic form Q comes from: ``transformer`` of the chunk, or a learned ``matrix``. With
            ``residual`` there is no optimisation but a learned correction, see :mod:`dto_agents.diffog.residual`.
        inputs: what is optimised in training: the demonstrated chunk itself (``dataset``), or what the trained base
            policy samples on the same observation (``refine``). The target is the demonstrated chunk either way.
        alpha: smoothing weight, of the optimisation or, of a residual, in the loss; None for the layout's.
        bound: bound of the differences, normalised; None for the layout's.
        velocity: limit on the normalised commands themselves (DiffOG, appendix D); None for none.
        linked: whether the chunk is linked to the demonstrated action before it, as it is at inference. The paper
            trains unlinked; on Square that cost a tenth of the success, see the README's results.
        executed_weight: weight of the executed steps in the loss; the others weigh 1, as all do in the paper.
        samples: base samples drawn per observation for refine training, of which the one nearest to the demonstration
            is used. With 1, as in the paper, the layer learns to shrink what it cannot predict, and the robot slows.
        observations: how many observations refine training draws samples for.
        width: width of the transformer.
        heads: its attention heads.
        layers: its encoder layers.
        feedforward: width of its feed-forward layers.
        dropout: its dropout.
        spread: see :class:`dto_envs.filters.dto.TransformerQ`.
        steps: optimiser steps.
        batch_size: chunks per step.
        learning_rate: peak learning rate; warmed up linearly, then a cosine down to zero.
        warmup_steps: steps of the linear warm-up.
        weight_decay: AdamW's weight decay.
        ema_power: see :class:`dto_agents.training.Plan`.
        ema_max: see :class:`dto_agents.training.Plan`.
        int8: whether the trained matrices are kept as 8-bit integers, see :func:`dto_agents.zoo.write`.
    """

    source: Literal["transformer", "matrix", "residual"] = "transformer"
    inputs: Literal["dataset", "refine"] = "dataset"
    alpha: float | None = None
    bound: float | None = None
    velocity: float | None = None
    linked: bool = False
    executed_weight: float = 1.0
    samples: int = 8
    observations: int = 4096
    width: int = 256
    heads: int = 4
    layers: int = 2
    feedforward: int = 256
    dropout: float = 0.1
    spread: float = 0.01
    steps: int = 600
    batch_size: int = 32
    learning_rate: float = 3e-4
    warmup_steps: int = 50
    weight_decay: float = 1e-4
    ema_power: float = 0.75
    ema_max: float = 0.999
    int8: bool = False

    def __post_init__(self) -> None:
        """Refuse recipes that cannot be trained."""
        check_counts(self, "samples", "observations", "width", "heads", "layers", "feedforward", "steps", "batch_size")
        if self.width % self.heads:
            raise ValueError(f"a width of {self.width} cannot be split into {self.heads} heads")


# Layers begin at Q = I and learn slowly. Begun at random, their many small entries add up, and they can end with more
# loss than Q = I has: on joint angles, twenty times as much.
_TRANSFORMER = FilterRecipe(linked=True, executed_weight=8.0, spread=0.0, learning_rate=3e-5, int8=True)
_MATRIX = FilterRecipe(source="matrix", linked=True, executed_weight=8.0, learning_rate=1e-2, steps=400)

RECIPES: Mapping[str, FilterRecipe] = MappingProxyType(
    {
        "diffog": _TRANSFORMER,
        "diffog-refine": replace(_TRANSFORMER, inputs="refine"),
        "matrix": _MATRIX,
        "matrix-refine": replace(_MATRIX, inputs="refine"),
        "residual": FilterRecipe(source="residual", steps=3000, batch_size=128, learning_rate=1e-3),
    }
)


# Tasks of many small layers are narrower, so that all of them fit into one package.
_WIDE = ("dto/Lift-v0", "dto/Can-v0", "dto/Square-v0", "dto/ToolHang-v0", "dto/PushT-v0")
_NARROW = {"width": 96, "feedforward": 96}


def recipe_for(agent: str, env_id: str) -> FilterRecipe:
    """The recipe of a learned filter; the layout of ``env_id`` gives its bound and alpha.

    It is the same for every environment, but transformers are wider for RoboMimic's tasks of one arm and Push-T.
    """
    if agent not in RECIPES:
        raise ValueError(f"there is no learned filter {agent!r}; choose from {', '.join(RECIPES)}")
    recipe = RECIPES[agent]
    if recipe.source != "transformer":
        return recipe
    return recipe if env_id in _WIDE else replace(recipe, **_NARROW)

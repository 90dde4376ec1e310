"""A trained optimisation layer, built from a member of the zoo."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from dto_agents import zoo
from dto_agents.diffog.recipe import FilterRecipe
from dto_agents.diffog.residual import ResidualLayer
from dto_envs.actions import ActionLayout
from dto_envs.filters.dto import DTOLayer, LearnedMatrixQ, TransformerQ
from dto_envs.registry import row


def make_layer(
    recipe: FilterRecipe,
    layout: ActionLayout,
    horizon: int,
    *,
    bound: Any | None = None,
    alpha: float | None = None,
    velocity: float | None = None,
) -> DTOLayer | ResidualLayer:
    """The untrained layer of a recipe.

    Args:
        recipe: where Q comes from.
        layout: what the actions mean.
        horizon: length of the chunks.
        bound: replaces the recipe's, which replaces the layout's.
        alpha: likewise.
        velocity: limit on the commands; replaces the recipe's.

    Raises:
        ValueError: a limit or alpha for a residual, which has neither once it is trained.
    """
    if recipe.source == "residual":
        if bound is not None or alpha is not None or velocity is not None:
            raise ValueError("a residual keeps no limits, and its alpha belongs to its training; leave them out")
        return ResidualLayer(horizon, layout, recipe.width)
    if recipe.source == "matrix":
        source = LearnedMatrixQ(horizon, layout)
    else:
        source = TransformerQ(
            horizon,
            layout,
            width=recipe.width,
            heads=recipe.heads,
            layers=recipe.layers,
            feedforward=recipe.feedforward,
            dropout=recipe.dropout,
            spread=recipe.spread,
        )
    alpha = recipe.alpha if alpha is None else alpha
    return DTOLayer(
        source,
        layout,
        alpha=alpha,
        bound=recipe.bound if bound is None else bound,
        velocity=recipe.velocity if velocity is None else velocity,
    )


def describe(agent: str, recipe: FilterRecipe, env_id: str, horizon: int) -> dict[str, Any]:
    """What a weights file says of itself, enough to build the filter again."""
    return {"kind": agent, "env_id": env_id, "recipe": asdict(recipe), "horizon": horizon}


def load_filter(
    entry: zoo.Entry,
    env_id: str,
    *,
    bound: Any | None = None,
    alpha: float | None = None,
    velocity: float | None = None,
) -> DTOLayer | ResidualLayer:
    """The filter of a zoo's member, ready for inference.

    Args:
        entry: the member.
        env_id: environment that it must have been trained for.
        bound: bound of the differences, normalised; None for the trained one.
        alpha: smoothing weight; None for the trained one.
        velocity: limit on the commands; None for the trained one.

    Raises:
        dto_agents.zoo.DamagedWeightsError: the file does not hold this filter for ``env_id``.
        ValueError: a limit or alpha that makes no sense.
    """
    description, tensors = zoo.read(entry.path, entry.path.parent.name, env_id)
    try:
        recipe, horizon = FilterRecipe(**description["recipe"]), int(description["horizon"])
    except (KeyError, TypeError, ValueError) as error:
        raise zoo.DamagedWeightsError(f"{entry.path} does not describe a filter: {error}") from error
    layer = make_layer(recipe, row(env_id).layout, horizon, bound=bound, alpha=alpha, velocity=velocity)
    try:
        layer.load_state_dict(tensors)
    except RuntimeError as error:
        raise zoo.DamagedWeightsError(f"{entry.path} does not fill the layer it describes: {error}") from error
    return layer.eval().requires_grad_(False)

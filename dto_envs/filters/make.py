"""The filters that need no weights, by name."""

from __future__ import annotations

import difflib
from typing import Any

from dto_envs.actions import ActionLayout
from dto_envs.filters.base import ActionFilter

FILTERS = ("clipping", "penalty", "projection", "tracking", "static-q")


def make_filter(name: str, layout: ActionLayout, **options: Any) -> ActionFilter:
    """Build a filter that has nothing to learn.

    Args:
        name: "clipping", "penalty", "projection", "tracking" or "static-q".
        layout: what the actions mean; brings the parameters that are not given.
        options: ``bound`` for all of them, ``parameters`` for the penalty, ``alpha`` for static Q and tracking,
            ``weight`` for tracking.

    Raises:
        ValueError: there is no such filter; the message names the nearest.
    """
    if name == "clipping":
        from dto_envs.filters.clipping import Clipping

        return Clipping(layout, **options)
    if name == "penalty":
        from dto_envs.filters.penalty import Penalty

        return Penalty(layout, **options)
    if name == "projection":
        from dto_envs.filters.projection import Projection

        return Projection(layout, **options)
    if name == "tracking":
        from dto_envs.filters.tracking import Tracking

        return Tracking(layout, **options)
    if name == "static-q":
        from dto_envs.filters.dto import DTOLayer, StaticQ

        return DTOLayer(StaticQ(), layout, **options)
    nearest = difflib.get_close_matches(name, FILTERS, n=1, cutoff=0.3)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    raise ValueError(f"there is no filter {name!r}; {hint}the filters are {', '.join(FILTERS)}")

"""Action filters: mathematics that knows action chunks and limits, and no environment.

    >>> from dto_envs.filters import make_filter
    >>> clip = make_filter("clipping", layout)
    >>> tamed = clip(chunk, previous)  # (B, T, D_a)

Importing this package loads neither torch nor numba; building a filter or solving a problem does.
"""

from dto_envs.filters.base import ActionFilter, InfeasibleLimitsError
from dto_envs.filters.limits import violation
from dto_envs.filters.make import FILTERS, make_filter
from dto_envs.filters.optimize import optimize_trajectory

__all__ = [
    "FILTERS",
    "ActionFilter",
    "InfeasibleLimitsError",
    "make_filter",
    "optimize_trajectory",
    "violation",
]

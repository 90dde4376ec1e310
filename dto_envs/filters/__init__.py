"""Action filters: mathematics that knows action chunks and limits, and no environment."""

from dto_envs.filters.base import ActionFilter, InfeasibleLimitsError

__all__ = ["ActionFilter", "InfeasibleLimitsError"]

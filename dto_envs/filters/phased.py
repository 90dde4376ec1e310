"""Limits that change in the course of an episode (DiffOG, section IV-E): one filter, another bound in every phase."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from dto_envs.filters.base import ActionFilter

Phase = tuple[float, int | None]  # bound, and the step before which it holds; None to the end


class PhasedFilter:
    """A filter for every step of an episode; what executes chunks asks for the one at its step.

    A chunk that reaches into the next phase has that phase's bound from there on.
    """

    def __init__(self, make: Callable[[np.ndarray], ActionFilter], phases: Sequence[Phase]) -> None:
        """Filter in ``phases``.

        Args:
            make: builds the filter for bounds (T, 1), one for each step of a chunk.
            phases: in their order.

        Raises:
            ValueError: see :func:`check_phases`.
        """
        check_phases(phases)
        self._make = make
        self._phases = tuple(phases)
        self._made: dict[bytes, ActionFilter] = {}

    def at(self, step: int, horizon: int) -> ActionFilter:
        """The filter for a chunk of ``horizon`` actions of which the first is the episode's action ``step``."""
        bounds = bounds_at(self._phases, np.arange(step, step + horizon))[:, None]
        key = bounds.tobytes()
        if key not in self._made:
            self._made[key] = self._make(bounds)
        return self._made[key]


def bounds_at(phases: Sequence[Phase], steps: np.ndarray) -> np.ndarray:
    """The bound (N,) at each of the episode's actions ``steps`` (N,)."""
    ends = [math.inf if end is None else end for _, end in phases]
    return np.array([bound for bound, _ in phases])[np.searchsorted(ends, steps, side="right")]


def check_phases(phases: Sequence[Phase]) -> None:
    """Raise ValueError unless bounds are positive, ends grow, and the last phase, and no other, has none."""
    ends = [end for _, end in phases]
    if not phases or ends[-1] is not None or None in ends[:-1]:
        raise ValueError("the last phase lasts to the end, and every other one until a step")
    grown = [0, *(end for end in ends if end is not None)]
    if any(later <= earlier for earlier, later in zip(grown, grown[1:], strict=False)):
        raise ValueError(f"phases end at growing steps, all above 0; got {', '.join(map(str, grown[1:]))}")
    for bound, _ in phases:
        if not (math.isfinite(bound) and bound > 0):
            raise ValueError(f"a phase's bound must be a positive number, not {bound}")


def parse_phases(texts: Sequence[str]) -> tuple[Phase, ...]:
    """Phases from ``0.05:40 0.1:80 0.3``: a bound and the step that ends it, the last one without.

    Raises:
        ValueError: what is not of this form, or makes no sense.
    """
    phases: list[Phase] = []
    for text in texts:
        bound, colon, end = text.partition(":")
        try:
            phases.append((float(bound), int(end) if colon else None))
        except ValueError:
            raise ValueError(f"a phase is BOUND:STEP, the last one BOUND, such as 0.05:40 0.1; got {text!r}") from None
    check_phases(phases)
    return tuple(phases)

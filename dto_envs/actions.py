"""What an action means: which dimensions form a trajectory, in which units, how fast, and how they are bounded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

Array = TypeVar("Array")  # numpy.ndarray or torch.Tensor


@dataclass(frozen=True)
class PenaltyParameters:
    """Parameters of the penalty-based filter, on the normalised scale (DiffOG, Table XI).

    Attributes:
        step_size: eta, the fraction of a violation that one iteration removes.
        tolerance: stop when ``|v_max| + |v_min|`` (Euclidean norms over a chunk) falls below this.
        max_iterations: stop after this many iterations in any case.
    """

    step_size: float
    tolerance: float
    max_iterations: int


@dataclass(frozen=True)
class ActionLayout:
    """The meaning of an action vector of ``D_a`` dimensions.

    The trajectory dimensions are the rows of DiffOG's selection matrix S (equation 2); grippers and other discrete
    commands stay outside. All filters and smoothness figures work on the normalised scale, where ``low`` is -1 and
    ``high`` is +1 in every dimension.

    Attributes:
        names: name of each dimension.
        trajectory: indices of the ``D_c`` dimensions that form a trajectory.
        low: raw value of each dimension that is -1 on the normalised scale.
        high: raw value of each dimension that is +1 on the normalised scale.
        difference: what the first difference of the command is, divided by ``dt``: a velocity (position commands) or an
            acceleration (velocity commands).
        dt: seconds between two actions.
        bound: limit on the absolute first difference of every trajectory dimension, normalised.
        alpha: smoothing weight of the trajectory optimisation (DiffOG, equation 6).
        penalty: parameters of the penalty-based filter.
        units: physical unit of each dimension's command, such as "m/s" or "px".
        scale: physical command per normalised unit in each dimension, in ``units``.
        groups: named sets of trajectory dimensions that are reported apart, such as linear and rotational.
    """

    names: tuple[str, ...]
    trajectory: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    difference: Literal["velocity", "acceleration"]
    dt: float
    bound: float
    alpha: float
    penalty: PenaltyParameters
    units: tuple[str, ...]
    scale: tuple[float, ...]
    groups: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @property
    def size(self) -> int:
        """Number of action dimensions ``D_a``."""
        return len(self.names)

    def normalize(self, actions: Array) -> Array:
        """Map raw actions ``(..., D_a)`` to the normalised scale; numpy in, numpy out, torch in, torch out."""
        low, span = self._affine(actions)
        return (actions - low) * (2.0 / span) - 1.0  # type: ignore[operator]

    def denormalize(self, actions: Array) -> Array:
        """Map normalised actions ``(..., D_a)`` back to raw ones; the inverse of :meth:`normalize`."""
        low, span = self._affine(actions)
        return (actions + 1.0) * (span / 2.0) + low  # type: ignore[operator]

    @property
    def is_normalized(self) -> bool:
        """True where raw and normalised actions are the same numbers, so that no rounding is spent on mapping."""
        return all(v == -1 for v in self.low) and all(v == 1 for v in self.high)

    def _affine(self, like: object) -> tuple:
        low, high = np.asarray(self.low), np.asarray(self.high)
        if isinstance(like, np.ndarray):
            dtype = like.dtype if np.issubdtype(like.dtype, np.floating) else np.float64
            return low.astype(dtype), (high - low).astype(dtype)
        import torch

        assert isinstance(like, torch.Tensor)
        options = {"dtype": like.dtype, "device": like.device}
        return torch.as_tensor(low, **options), torch.as_tensor(high - low, **options)


def plain_layout(dim: int = 1, *, dt: float = 0.05, bound: float = 0.1) -> ActionLayout:
    """A plain layout for an environment that brings none: every dimension a trajectory, raw = normalised.

    Args:
        dim: number of action dimensions.
        dt: seconds between two actions.
        bound: limit on the absolute first difference.
    """
    return ActionLayout(
        names=tuple(f"action{i}" for i in range(dim)),
        trajectory=tuple(range(dim)),
        low=(-1.0,) * dim,
        high=(1.0,) * dim,
        difference="velocity",
        dt=dt,
        bound=bound,
        alpha=1.0,
        penalty=PenaltyParameters(step_size=0.1, tolerance=0.004, max_iterations=1000),
        units=("1",) * dim,
        scale=(1.0,) * dim,
    )

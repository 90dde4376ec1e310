"""Limits on the first differences of a trajectory: reading, checking and measuring them. Pure numpy.

A limit on step ``t`` bounds ``c_t - c_{t-1}`` for the trajectory dimensions ``c`` of an action chunk; step 0 bounds the
difference to the last executed action and is dropped where there is none. Everything is on the scale of the actions
that are passed in, which for the filters of this package is the normalised one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dto_envs.actions import ActionLayout
from dto_envs.filters.base import InfeasibleLimitsError

DIFFERENCE_LIMIT = "difference limit"


def symmetric_pair(bound: Any) -> tuple[np.ndarray, np.ndarray]:
    """Read a filter's ``bound`` as (lower, upper).

    Args:
        bound: a scalar, (D_c,) or (T, D_c) limit on the absolute difference; or a *tuple* (lower, upper) of two of
            those. Lists and arrays are always limits on the absolute difference.

    Raises:
        InfeasibleLimitsError: an absolute limit is negative.
    """
    if isinstance(bound, tuple):
        if len(bound) != 2:
            raise ValueError(f"a bound given as a tuple is (lower, upper); got {len(bound)} entries")
        return np.asarray(bound[0], dtype=np.float64), np.asarray(bound[1], dtype=np.float64)
    upper = np.asarray(bound, dtype=np.float64)
    if (upper < 0).any():
        raise InfeasibleLimitsError(f"a limit on the absolute difference is negative: {upper.min():g}")
    return -upper, upper


def layout_limits(
    layout: ActionLayout, bound: Any | None, horizon: int, limit: str = DIFFERENCE_LIMIT
) -> tuple[np.ndarray, np.ndarray]:
    """The limits (lower, upper), each (T, D_c), that a filter applies to chunks of ``horizon`` steps.

    Args:
        layout: names the dimensions and brings the default bound.
        bound: see :func:`symmetric_pair`; None for the layout's.
        horizon: T.
        limit: what to call it in messages.
    """
    lower, upper = symmetric_pair(layout.bound if bound is None else bound)
    names = [layout.names[i] for i in layout.trajectory]
    shape = (horizon, len(layout.trajectory))
    lower, upper = (_broadcast(value, shape, "bound") for value in (lower, upper))
    check_limits(lower, upper, names, limit)
    return lower, upper


def check_bound(layout: ActionLayout, bound: Any | None, limit: str = DIFFERENCE_LIMIT) -> None:
    """Raise as :func:`layout_limits` would, before the first chunk and its horizon are known."""
    parts = (0.0,) if bound is None else bound if isinstance(bound, tuple) else (bound,)
    shapes = [np.shape(part) for part in parts]
    layout_limits(layout, bound, max((shape[0] for shape in shapes if len(shape) == 2), default=1), limit)


def step_limits(lower: Any, upper: Any, shape: tuple[int, int, int], linked: bool) -> tuple[np.ndarray, np.ndarray]:
    """Broadcast the limits of :func:`dto_envs.filters.optimize_trajectory` and check them.

    Args:
        lower: broadcastable to (B, T, D_c), or to (B, T - 1, D_c) where no previous action is given.
        upper: likewise.
        shape: (B, T, D_c).
        linked: True where step 0 is bound to a previous action.

    Returns:
        lower and upper, each (B or 1, T, D_c) float64. Step 0 is infinite where nothing is linked.

    Raises:
        ValueError: a shape does not fit, or a limit is NaN.
        InfeasibleLimitsError: lower exceeds upper somewhere.
    """
    limits = []
    for value, name, free in ((lower, "lower", -np.inf), (upper, "upper", np.inf)):
        array = np.asarray(value, dtype=np.float64)
        batch = shape[0] if array.ndim == 3 and array.shape[0] != 1 else 1
        steps_only = array.ndim >= 2 and array.shape[-2] == shape[1] - 1 and not linked
        full = np.empty((batch, *shape[1:]))
        if steps_only:
            full[:, 1:] = _broadcast(array, (batch, shape[1] - 1, shape[2]), name)
        else:
            full[:] = _broadcast(array, (batch, *shape[1:]), name)
        if not linked:
            full[:, 0] = free
        limits.append(full)
    check_limits(limits[0], limits[1])
    return limits[0], limits[1]


def check_limits(
    lower: np.ndarray, upper: np.ndarray, names: Sequence[str] | None = None, limit: str = DIFFERENCE_LIMIT
) -> None:
    """Raise unless ``lower <= upper`` everywhere and some number lies between; arrays (..., T, D_c).

    Raises:
        ValueError: a limit is NaN.
        InfeasibleLimitsError: names the limit, the dimension and the step.
    """
    if np.isnan(lower).any() or np.isnan(upper).any():
        raise ValueError(f"{limit}: a bound is NaN; use infinity for no bound")
    broken = (lower > upper) | (lower == np.inf) | (upper == -np.inf)
    if not broken.any():
        return
    shape = np.broadcast_shapes(lower.shape, upper.shape)
    where = tuple(np.argwhere(np.broadcast_to(broken, shape))[0])
    low, high = np.broadcast_to(lower, shape)[where], np.broadcast_to(upper, shape)[where]
    raise InfeasibleLimitsError(
        f"{limit}: lower {low:g} > upper {high:g} in dimension {dimension_name(where[-1], names)} at step {where[-2]}"
    )


def dimension_name(index: int, names: Sequence[str] | None) -> str:
    """A dimension for messages: its number, and its name where it has one."""
    return f"{index}" if names is None else f"{index} ({names[index]})"


def check_chunk(chunk: np.ndarray, previous: np.ndarray | None, size: int | None = None) -> None:
    """Raise ValueError unless ``chunk`` is a finite (B, T, D_a) and ``previous`` None or a finite (B, D_a).

    Args:
        chunk: the actions.
        previous: the last executed actions.
        size: the D_a that is expected, None for any.
    """
    if chunk.ndim != 3 or chunk.shape[1] < 1:
        raise ValueError(f"an action chunk has the shape (B, T, D_a) with T >= 1; got {tuple(chunk.shape)}")
    if size is not None and chunk.shape[2] != size:
        raise ValueError(f"the layout has {size} action dimensions; the chunk has {chunk.shape[2]}")
    if not np.isfinite(chunk).all():
        batch, step, dimension = np.argwhere(~np.isfinite(chunk))[0]
        raise ValueError(f"action is NaN or infinite: sample {batch}, step {step}, dimension {dimension}")
    if previous is None:
        return
    expected = (chunk.shape[0], chunk.shape[2])
    if previous.shape != expected:
        raise ValueError(f"previous has the shape (B, D_a) = {expected}; got {tuple(previous.shape)}")
    if not np.isfinite(previous).all():
        batch, dimension = np.argwhere(~np.isfinite(previous))[0]
        raise ValueError(f"previous action is NaN or infinite: sample {batch}, dimension {dimension}")


def as_float64(
    chunk: np.ndarray, previous: Any | None, size: int | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """A copy of a chunk and the previous actions in contiguous float64, checked by :func:`check_chunk`."""
    wide = np.array(chunk, dtype=np.float64, order="C")
    last = None if previous is None else np.array(previous, dtype=np.float64, order="C")
    check_chunk(wide, last, size)
    return wide, last


def round_within(
    actions: np.ndarray,
    dtype: Any,
    lower: np.ndarray,
    upper: np.ndarray,
    trajectory: Sequence[int],
    previous: np.ndarray | None,
) -> np.ndarray:
    """Round float64 actions to ``dtype`` such that rounding breaks no limit on a difference by more than 1e-7.

    Rounding to nearest does on the normalised scale. Where actions are larger, those of a sample in which it does not
    are moved to the neighbouring number, step by step. Types that are not floating keep float64.

    Args:
        actions: (B, T, D) float64.
        dtype: what to round to.
        lower: (T, D_c) or (B or 1, T, D_c) limits on the differences.
        upper: likewise.
        trajectory: indices of the D_c trajectory dimensions.
        previous: (B, D) or None, where step 0 is free.
    """
    kind = np.dtype(dtype).type
    if kind is np.float64 or not issubclass(kind, np.floating):
        return actions
    rounded = actions.astype(dtype)
    steps = rounded[:, :, list(trajectory)]
    start = steps[:, :1] if previous is None else previous[:, None, list(trajectory)]
    differences = np.diff(steps.astype(np.float64), axis=1, prepend=start)
    first = 1 if previous is None else 0
    low, high = (np.broadcast_to(limit, steps.shape) for limit in (lower, upper))
    excess = np.maximum(differences - high, low - differences)[:, first:]
    coarse = np.flatnonzero(excess.max(axis=(1, 2), initial=0.0) > 1e-7)
    if coarse.size == 0:
        return rounded
    wanted = actions[coarse][:, :, list(trajectory)]
    steps, low, high = steps[coarse], low[coarse], high[coarse]
    last = steps[:, 0] if previous is None else start[coarse, 0]
    for t in range(first, steps.shape[1]):
        step = np.clip(wanted[:, t], last + low[:, t], last + high[:, t]).astype(kind)
        move = step.astype(np.float64) - last
        step = np.where(move > high[:, t], np.nextafter(step, kind(-np.inf)), step)
        steps[:, t] = np.where(move < low[:, t], np.nextafter(step, kind(np.inf)), step)
        last = steps[:, t].astype(np.float64)
    rounded[coarse[:, None], :, np.array(trajectory)] = steps.transpose(0, 2, 1)
    return rounded


def violation(
    chunk: np.ndarray, previous: np.ndarray | None, layout: ActionLayout, bound: Any | None = None
) -> np.ndarray:
    """The largest excess of a difference over its limit in each sample, normalised; 0 where none is broken.

    Args:
        chunk: (B, T, D_a) normalised actions.
        previous: (B, D_a) last executed normalised actions, or None where step 0 is free.
        layout: names the trajectory dimensions and brings the default bound.
        bound: see :func:`symmetric_pair`.

    Returns:
        (B,) float64.
    """
    chunk = np.asarray(chunk, dtype=np.float64)
    previous = None if previous is None else np.asarray(previous, dtype=np.float64)
    check_chunk(chunk, previous, layout.size)
    lower, upper = layout_limits(layout, bound, chunk.shape[1])
    trajectory = list(layout.trajectory)
    steps = chunk[:, :, trajectory]
    start = steps[:, :1] if previous is None else previous[:, None, trajectory]
    differences = np.diff(steps, axis=1, prepend=start)
    excess = np.maximum(differences - upper, lower - differences)
    if previous is None:
        excess = excess[:, 1:]
    return np.maximum(excess, 0.0).max(axis=(1, 2), initial=0.0)


def _broadcast(value: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray:
    try:
        return np.broadcast_to(value, shape)
    except ValueError:
        raise ValueError(f"{name} of shape {value.shape} does not fit the differences {shape}") from None

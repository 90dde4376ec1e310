"""A dual active-set method for small convex quadratic programs: exact, if slow (Goldfarb and Idnani 1983).

From the optimum without limits it takes the broken limits in one after the other, the worst first, and lets go of those
that hold no more. Where :mod:`.general`'s iterative solver gives up, as it does now and then on problems whose feasible
set is thin, this one does not.
"""

from __future__ import annotations

import numpy as np

TOLERANCE = 1e-11  # by how much a limit may be broken, of the problem's scale
ITERATIONS = 2000  # far beyond what any problem of a trajectory's size has taken


def solve(
    h: np.ndarray, a: np.ndarray, c: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray]:
    """Minimise ``1/2 y'Hy - a'y`` subject to ``low <= Cy <= high``.

    Args:
        h: (n, n) symmetric positive definite.
        a: (n,).
        c: (m, n).
        low: (m,), may be -inf.
        high: (m,), may be inf.

    Returns:
        The optimum (n,), None where no point satisfies the limits; and the duals (m,), positive at upper limits.
    """
    rows = np.concatenate([np.flatnonzero(np.isfinite(low)), np.flatnonzero(np.isfinite(high))])
    upper = np.arange(len(rows)) >= np.isfinite(low).sum()
    normals = np.where(upper[:, None], -c[rows], c[rows])
    offsets = np.where(upper, -high[rows], low[rows])
    inverse = np.linalg.inv(h)
    y, active, multipliers = inverse @ a, [], np.zeros(0)
    scale = max(1.0, float(np.abs(y).max(initial=0.0)), float(np.abs(offsets).max(initial=0.0)))
    duals = np.zeros(len(c))
    for _ in range(ITERATIONS):
        slack = normals @ y - offsets
        slack[active] = 0.0
        entering = int(slack.argmin()) if len(slack) else 0
        if not len(slack) or slack[entering] >= -TOLERANCE * scale:
            np.add.at(duals, rows[active], np.where(upper[active], multipliers, -multipliers))
            return y, duals
        found = _enter(inverse, normals, offsets, y, active, multipliers, entering)
        if found is None:
            return None, duals
        y, active, multipliers = found
    return None, duals


def _enter(
    inverse: np.ndarray,
    normals: np.ndarray,
    offsets: np.ndarray,
    y: np.ndarray,
    active: list[int],
    multipliers: np.ndarray,
    entering: int,
) -> tuple[np.ndarray, list[int], np.ndarray] | None:
    """Move to the limit ``entering``, letting go of active limits on the way; None where it cannot be reached."""
    normal, own = normals[entering], 0.0
    active = list(active)
    for _ in range(len(active) + 1):
        step, change = _directions(inverse, normals[active], normal)
        pull = float(normal @ step)
        reachable = pull > 1e-13 * float(normal @ inverse @ normal)
        full = (offsets[entering] - normal @ y) / pull if reachable else np.inf
        falling = np.flatnonzero(change > 0.0)
        ratios = multipliers[falling] / change[falling]
        partial = float(ratios.min(initial=np.inf))
        length = min(full, partial)
        if not np.isfinite(length):
            return None
        if reachable:
            y = y + length * step
        multipliers, own = multipliers - length * change, own + length
        if full <= partial:
            return y, [*active, entering], np.append(multipliers, own)
        leaving = int(falling[ratios.argmin()])
        del active[leaving]
        multipliers = np.delete(multipliers, leaving)
    return None


def _directions(inverse: np.ndarray, held: np.ndarray, normal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How y moves within the ``held`` limits (k, n) towards ``normal`` (n,), and how their multipliers fall (k,)."""
    straight = inverse @ normal
    if not len(held):
        return straight, np.zeros(0)
    across = inverse @ held.T
    change = np.linalg.lstsq(held @ across, held @ straight, rcond=1e-13)[0]
    return straight - across @ change, change

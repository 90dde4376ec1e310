"""Trajectory optimisation as a box QP, for numpy arrays: exact limits, machine precision, one answer per sample.

Minimise ``1/2 y'Qy - a'y + alpha/2 |D S y|^2`` subject to limits on the first differences of the trajectory dimensions
(DiffOG, equations 6 and 7, with the sign of the linear term that makes Q = I reproduce the input). In the first step
and the differences as unknowns the limits are a box, and projected Newton on the free coordinates (Bertsekas, 1982)
ends after a few Cholesky factorisations. Every sample is solved on its own, by one thread, so that its answer depends
neither on the batch nor on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from dto_envs.filters import boxqp_kernel as kernel


@dataclass(frozen=True)
class BoxSolution:
    """What a batch of box QPs came to.

    Attributes:
        actions: (B, T, D) float64 optimal actions.
        active: (B, T, D) int8, -1 where the lower limit holds the step or difference, 1 where the upper one does.
    """

    actions: np.ndarray
    active: np.ndarray


def trajectory_mask(dims: int, trajectory: Sequence[int]) -> np.ndarray:
    """(D,) float64: 1 for trajectory dimensions, 0 for the others."""
    mask = np.zeros(dims)
    mask[list(trajectory)] = 1.0
    return mask


def expand_limits(limits: np.ndarray, dims: int, trajectory: Sequence[int], free: float) -> np.ndarray:
    """Limits (B or 1, T, D_c) on the differences as limits (B or 1, T * D) on the unknowns; ``free`` elsewhere."""
    full = np.full((*limits.shape[:2], dims), free)
    full[:, :, list(trajectory)] = limits
    return full.reshape(limits.shape[0], limits.shape[1] * dims)


def solve(
    q: np.ndarray,
    linear: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    *,
    alpha: float,
    trajectory: Sequence[int],
    previous: np.ndarray | None = None,
    start: np.ndarray | None = None,
    threads: int = 1,
) -> BoxSolution:
    """Solve a batch of trajectory problems.

    Args:
        q: (B or 1, T * D, T * D) float64; its symmetric part must be positive definite.
        linear: (B, T, D) float64, the ``a`` of the objective.
        lower: (B or 1, T, D_c) float64, may be infinite; step 0 must be infinite where ``previous`` is None.
        upper: likewise.
        alpha: smoothing weight, on the differences within the chunk.
        trajectory: indices of the D_c trajectory dimensions.
        previous: (B, D) last executed actions, or None.
        start: (B, T, D) actions near which the search begins; None for ``linear``. The answer does not depend on it.
        threads: number of threads among which the samples are divided.

    Raises:
        ValueError: the quadratic form is not positive definite, or too ill-conditioned to solve.
    """
    batch, horizon, dims = linear.shape
    size = horizon * dims
    mask = trajectory_mask(dims, trajectory)
    low, high = (expand_limits(b, dims, trajectory, f) for b, f in ((lower, -np.inf), (upper, np.inf)))
    linked = previous is not None
    last = _plain(previous) if previous is not None else np.zeros((batch, dims))
    flat = _plain(linear).reshape(batch, size)
    begin_at = flat if start is None else _plain(start).reshape(batch, size)
    y, z, status = np.empty((batch, size)), np.empty((batch, size)), np.zeros(batch, dtype=np.int64)
    problem = (_plain(q), flat, low, high, last, linked, float(alpha), mask, horizon)
    found = (y, z, status)
    _divide(lambda begin, end: kernel.solve_range(begin, end, *problem, begin_at, *found), batch, threads)
    if kernel.NOT_CONVERGED in status:
        # Where standing still is just the best, no residual is small beside a scale that shrinks with it: begin there.
        still = np.tile(last * mask, horizon)
        for sample in np.flatnonzero(status == kernel.NOT_CONVERGED):
            kernel.solve_range(sample, sample + 1, *problem, still, *found)
    _check_status(status)
    active = (z >= high).astype(np.int8) - ((z <= low) & (low < high)).astype(np.int8)
    return BoxSolution(y.reshape(linear.shape), active.reshape(linear.shape))


def backward(
    q: np.ndarray,
    active: np.ndarray,
    cotangent: np.ndarray,
    *,
    alpha: float,
    trajectory: Sequence[int],
    threads: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients at a solution by the implicit function theorem: one solve with the free block.

    Args:
        q: (B or 1, T * D, T * D) float64.
        active: (B, T, D) of the solution.
        cotangent: (B, T, D) float64, gradient of a loss by the optimal actions.
        alpha: smoothing weight.
        trajectory: indices of the trajectory dimensions.
        threads: as in :func:`solve`.

    Returns:
        The gradient by the linear term (B, T, D), and the gradient by the limit that holds each active coordinate
        (B, T, D), zero where none does.
    """
    batch, horizon, dims = cotangent.shape
    shape = (batch, horizon * dims)
    adjoint, bounds = np.empty(shape), np.empty(shape)
    flags = _plain(active, np.int8).reshape(shape)
    weights = _plain(cotangent).reshape(shape)
    mask = trajectory_mask(dims, trajectory)
    shared = (_plain(q), float(alpha), mask, horizon, flags, weights, adjoint, bounds)
    _divide(lambda begin, end: kernel.backward_range(begin, end, *shared), batch, threads)
    return adjoint.reshape(cotangent.shape), bounds.reshape(cotangent.shape)


def _divide(work: Callable[[int, int], None], batch: int, threads: int) -> None:
    """Run ``work`` on consecutive ranges of the batch, in this thread and ``threads - 1`` others.

    Samples differ in how long they take: each thread takes a short range after the other until none is left.
    """
    workers = max(1, min(threads, batch))
    if workers == 1:
        work(0, batch)
        return
    length = max(1, batch // (6 * workers))
    begins = iter(range(0, batch, length))

    def work_on() -> None:
        for begin in begins:
            work(begin, min(begin + length, batch))

    with ThreadPoolExecutor(workers - 1) as pool:
        others = [pool.submit(work_on) for _ in range(workers - 1)]
        work_on()
        for other in others:
            other.result()


def _plain(array: np.ndarray, dtype: type = np.float64) -> np.ndarray:
    """The array contiguous and writable, so that one compiled version of the loop serves every caller."""
    return np.require(array, dtype, ["C", "W"])


def _check_status(status: np.ndarray) -> None:
    failed = np.flatnonzero(status)
    if failed.size == 0:
        return
    sample = failed[0]
    if status[sample] == kernel.NOT_CONVEX:
        raise ValueError(f"Q of sample {sample} is not positive definite; add a multiple of the identity to it")
    raise ValueError(
        f"Q of sample {sample} is too ill-conditioned for the box QP; add a multiple of the identity to it"
    )

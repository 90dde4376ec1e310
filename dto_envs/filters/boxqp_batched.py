"""The box QP on a whole batch of torch tensors at once, for devices that a compiled loop does not reach."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

NEWTON_ITERATIONS = 30
INTERIOR_ITERATIONS = 80
TARGET_RESIDUAL = 1e-14
ACCEPTED_RESIDUAL = 1e-9


def hessian_of(q: Tensor, alpha: float, trajectory: Sequence[int], horizon: int) -> Tensor:
    """M'(sym(Q) + alpha S'D'DS)M, (B or 1, n, n), with M the cumulative sum of trajectory dimensions over time."""
    dims = q.shape[-1] // horizon
    blocks = (0.5 * (q + q.mT)).reshape(-1, horizon, dims, horizon, dims)
    for d in trajectory:
        blocks[:, :, d] = blocks[:, :, d].flip(1).cumsum(1).flip(1)
    for d in trajectory:
        blocks[..., d] = blocks[..., d].flip(3).cumsum(3).flip(3)
    smooth = torch.zeros(horizon, dims, dtype=q.dtype, device=q.device)
    smooth[1:, list(trajectory)] = alpha
    return blocks.reshape(q.shape) + torch.diag(smooth.flatten())


def sum_forward(steps: Tensor, trajectory: Sequence[int]) -> Tensor:
    """M times (B, T, D)."""
    result = steps.clone()
    result[:, :, list(trajectory)] = steps[:, :, list(trajectory)].cumsum(1)
    return result


def sum_back(vector: Tensor, trajectory: Sequence[int]) -> Tensor:
    """M' times (B, T, D)."""
    result = vector.clone()
    result[:, :, list(trajectory)] = vector[:, :, list(trajectory)].flip(1).cumsum(1).flip(1)
    return result


def solve_batched(
    q: Tensor,
    linear: Tensor,
    lower: Tensor,
    upper: Tensor,
    alpha: float,
    trajectory: Sequence[int],
    previous: Tensor | None,
    start: Tensor,
) -> tuple[Tensor, Tensor]:
    """Arguments as :func:`dto_envs.filters.boxqp_torch.solve`; returns actions and active limits, each (B, T, D)."""
    batch, horizon, dims = linear.shape
    hessian = hessian_of(q, alpha, trajectory, horizon)
    low, high = (_expand(b, dims, trajectory, f, batch) for b, f in ((lower, -torch.inf), (upper, torch.inf)))
    offset = torch.zeros_like(linear)
    slope = -linear
    if previous is not None:
        offset[:, :, list(trajectory)] = previous[:, None, list(trajectory)]
        slope = slope + (0.5 * (q + q.mT) @ offset.flatten(1)[:, :, None]).reshape(linear.shape)
    slope = sum_back(slope, trajectory).flatten(1)
    z = _greedy(start, low, high, offset, trajectory)
    # Where the best is to stand still exactly, no residual is small beside a scale that shrinks with it: begin there.
    z = torch.where((slope == 0).all(1)[:, None, None], torch.zeros_like(z).clamp(low, high), z)
    boxes = (slope, low.flatten(1), high.flatten(1))
    z, residual = projected_newton(hessian, *boxes, z.flatten(1))
    hard = residual > ACCEPTED_RESIDUAL
    if hard.any():
        forms = hessian[hard] if hessian.shape[0] > 1 else hessian
        g, lo, hi = (part[hard] for part in boxes)
        z[hard], residual[hard] = projected_newton(forms, g, lo, hi, interior(forms, g, lo, hi, z[hard]))
    if (residual > ACCEPTED_RESIDUAL).any():
        sample = int(residual.argmax())
        raise ValueError(f"Q of sample {sample} is too ill-conditioned for the box QP; add a multiple of the identity")
    z = z.reshape(linear.shape)
    active = (z >= high).to(torch.int8) - ((z <= low) & (low < high)).to(torch.int8)
    return sum_forward(z, trajectory) + offset, active


def backward_batched(
    q: Tensor, active: Tensor, cotangent: Tensor, alpha: float, trajectory: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """As :func:`dto_envs.filters.boxqp.backward`, for tensors."""
    hessian = hessian_of(q, alpha, trajectory, cotangent.shape[1])
    right = sum_back(cotangent, trajectory).flatten(1)
    free = (active == 0).flatten(1)
    factor, _ = torch.linalg.cholesky_ex(_free_block(hessian, free))
    v = torch.cholesky_solve((right * free)[:, :, None], factor)
    held = (right - (hessian @ v)[..., 0]) * ~free
    return sum_forward(v[..., 0].reshape(cotangent.shape), trajectory), held.reshape(cotangent.shape)


def projected_newton(hessian: Tensor, linear: Tensor, low: Tensor, high: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Minimise 1/2 z'Hz + g'z over boxes from feasible ``z`` (B, n).

    Returns:
        z, and the relative residual (B,) of each sample.

    Raises:
        ValueError: a matrix is not positive definite.
    """
    fixed = low == high
    best = torch.full_like(z[:, 0], torch.inf)
    stalled = torch.zeros_like(best)
    for _ in range(NEWTON_ITERATIONS):
        gradient, scale = _gradient(hessian, linear, z)
        held = ((z <= low) & (gradient > 0)) | ((z >= high) & (gradient < 0)) | fixed
        free = ~held
        relative = (gradient.abs() * free).amax(1) / scale.clamp_min(torch.finfo(z.dtype).tiny)
        stalled = torch.where(relative > 0.5 * best, stalled + 1, 0.0)
        best = torch.minimum(best, relative)
        going = (relative > TARGET_RESIDUAL) & ~((stalled > 1) & (relative <= ACCEPTED_RESIDUAL))
        if not going.any():
            break
        factor, info = torch.linalg.cholesky_ex(_free_block(hessian, free))
        if (info > 0).any():
            sample = int(info.argmax())
            raise ValueError(f"Q of sample {sample} is not positive definite; add a multiple of the identity to it")
        direction = -torch.cholesky_solve((gradient * free)[:, :, None], factor)[..., 0]
        z, moved = _line_search(hessian, gradient, z, direction, low, high, going)
        if not moved.any():
            break
    return z, relative


def interior(hessian: Tensor, linear: Tensor, low: Tensor, high: Tensor, z: Tensor) -> Tensor:
    """Points close to the minimum over boxes, on the limits that are active there (Mehrotra's method), from any ``z``.

    The way out for ill-conditioned problems; what it leaves to :func:`projected_newton` is rounding.
    """
    inset = (0.1 * (high - low)).clamp_max(1.0)
    z = torch.minimum(torch.maximum(z, low + inset), high - inset)
    fixed = low == high
    sign = torch.tensor([1.0, -1.0], dtype=z.dtype, device=z.device)[:, None, None]
    slack = torch.stack([z - low, high - z])
    limited = torch.isfinite(slack) & ~fixed
    slack = torch.where(limited, slack, 1.0)
    largest = _gradient(hessian, linear, z)[0].abs().amax(1)
    dual = (0.1 * largest + 1e-300)[None, :, None] * limited
    pairs = limited.sum((0, 2)).clamp_min(1)
    target = 1e-24 * (slack * dual).sum((0, 2)) / pairs
    for _ in range(INTERIOR_ITERATIONS):
        gap = (slack * dual).sum((0, 2)) / pairs
        going = gap > target
        gradient = _gradient(hessian, linear, z)[0]
        barrier = _free_block(hessian, ~fixed) + torch.diag_embed((dual / slack).sum(0))
        factor, info = torch.linalg.cholesky_ex(barrier)
        going &= info == 0
        if not going.any():
            break
        step, change = torch.zeros_like(z), torch.zeros_like(dual)
        center, length = torch.zeros_like(gap), torch.ones_like(gap)
        for _ in range(2):
            goal = (center[:, None] - sign * step * change) / slack * limited
            right = torch.where(fixed, 0.0, goal[0] - goal[1] - gradient)
            step = torch.cholesky_solve(right[:, :, None], factor)[..., 0]
            change = (goal - dual * (1.0 + sign * step / slack)) * limited
            length = torch.minimum(_longest(slack, sign * step * limited), _longest(dual, change))
            after = (slack + length[:, None] * sign * step) * (dual + length[:, None] * change) * limited
            center = (after.sum((0, 2)) / pairs / gap.clamp_min(1e-300)) ** 3 * gap
        length = torch.where(going, (0.995 * length).clamp_max(1.0), 0.0)[:, None]
        step = torch.where(going[:, None], step, 0.0)
        change = torch.where(going[:, None], change, 0.0)
        z, dual = z + length * step, dual + length * change
        slack = torch.where(limited, slack + length * sign * step, 1.0)
    z = torch.minimum(torch.maximum(z, low), high)
    curvature = torch.diagonal(hessian, dim1=-2, dim2=-1)
    held = (dual > curvature * slack) & limited
    z = torch.where(held[1] & (dual[1] >= dual[0]), high, z)
    return torch.where(held[0] & (dual[0] > dual[1]), low, z)


def _longest(value: Tensor, change: Tensor) -> Tensor:
    """The longest length (B,) in (0, 1] that keeps ``value + length * change``, (2, B, n), positive."""
    ratio = torch.where(change < 0, -value / change.clamp_max(-1e-300), 1.0)
    return ratio.amin((0, 2)).clamp_max(1.0)


def _line_search(
    hessian: Tensor, gradient: Tensor, z: Tensor, direction: Tensor, low: Tensor, high: Tensor, going: Tensor
) -> tuple[Tensor, Tensor]:
    """Halve each going sample's step until it descends enough; returns the new points and which samples moved."""
    step = torch.ones_like(z[:, :1])
    moved = torch.zeros_like(going)
    for _ in range(40):
        trial = torch.minimum(torch.maximum(z + step * direction, low), high)
        move = trial - z
        slope = (gradient * move).sum(1)
        curvature = (move * (hessian @ move[:, :, None])[..., 0]).sum(1)
        good = (slope < 0) & (slope + 0.5 * curvature <= 0.05 * slope) & going & ~moved
        z = torch.where(good[:, None], trial, z)
        moved |= good
        if not (going & ~moved).any():
            break
        step = step * 0.5
    return z, moved


def _gradient(hessian: Tensor, linear: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    gradient = (hessian @ z[:, :, None])[..., 0] + linear
    magnitude = (hessian.abs() @ z.abs()[:, :, None])[..., 0] + linear.abs()
    return gradient, magnitude.amax(1)


def _free_block(hessian: Tensor, free: Tensor) -> Tensor:
    """The Hessian on the free coordinates, the identity on the held ones, so that one shape serves the batch."""
    both = free[:, :, None] & free[:, None, :]
    return torch.where(both, hessian, 0.0) + torch.diag_embed((~free).to(hessian.dtype))


def _expand(limit: Tensor, dims: int, trajectory: Sequence[int], free: float, batch: int) -> Tensor:
    full = limit.new_full((batch, limit.shape[1], dims), free)
    full[:, :, list(trajectory)] = limit
    return full


def _greedy(start: Tensor, low: Tensor, high: Tensor, offset: Tensor, trajectory: Sequence[int]) -> Tensor:
    """The unknowns of ``start`` (B, T, D) clipped greedily into the limits."""
    mask = torch.zeros(start.shape[-1], dtype=start.dtype, device=start.device)
    mask[list(trajectory)] = 1.0
    steps, before = [], offset[:, 0]
    for t in range(start.shape[1]):
        step = torch.minimum(torch.maximum(start[:, t] - mask * before, low[:, t]), high[:, t])
        before = mask * before + step
        steps.append(step)
    return torch.stack(steps, dim=1)

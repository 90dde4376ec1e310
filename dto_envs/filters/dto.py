"""The differentiable trajectory optimisation (DTO) layer and the sources of its quadratic form.

The layer minimises ``1/2 y'Qy - a'y + alpha/2 |D S y|^2`` under limits on the differences of the trajectory dimensions
(DiffOG, equations 6 and 7). Where Q comes from is the whole difference between static optimisation, a learned matrix
and DiffOG's transformer. The paper prints the linear term with a plus; with Q near the identity the output would then
be ``-a``, so it is a minus here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dto_envs.actions import ActionLayout
from dto_envs.filters import boxqp_torch
from dto_envs.filters.limits import as_float64, check_bound, check_chunk, layout_limits, round_within
from dto_envs.filters.rows import (
    VELOCITY_LIMIT,
    LimitRows,
    PositionLimit,
    difference_rows,
    position_rows,
    reachable_commands,
    stack,
    velocity_rows,
)

EPSILON = 1e-4
CLAMP = 10.0
NETWORK_BATCH = 32
RELAXED_TOLERANCE = 1e-9  # a limit that is broken by less counts as kept


def positive_definite(entries: Tensor) -> Tensor:
    """Q from unconstrained entries (..., n, n), steps 3 to 7 of DiffOG's algorithm 1.

    The diagonal of L is ``exp + eps``, everything is clamped to [-10, 10], and Q = L L' + eps I.
    """
    # exp(3) exceeds the clamp already; cutting here keeps the gradient free of inf * 0.
    diagonal = torch.diagonal(entries, dim1=-2, dim2=-1).clamp(max=3.0).exp() + EPSILON
    factor = torch.tril(entries, diagonal=-1) + torch.diag_embed(diagonal)
    factor = factor.clamp(-CLAMP, CLAMP)
    q = factor @ factor.mT + EPSILON * torch.eye(entries.shape[-1], dtype=entries.dtype, device=entries.device)
    return 0.5 * (q + q.mT)


class StaticQ(nn.Module):
    """Q = I: stay close to the input, be smooth, keep the limits. Any horizon, nothing to learn."""

    def forward(self, chunk: Tensor) -> Tensor:
        """(B, T, D) to (B, T * D, T * D)."""
        size = chunk.shape[1] * chunk.shape[2]
        return torch.eye(size, dtype=chunk.dtype, device=chunk.device).expand(chunk.shape[0], size, size)


class LearnedMatrixQ(nn.Module):
    """One learned matrix for every input (DiffOG, section IV-C, matrix learning); begins at Q = I."""

    def __init__(self, horizon: int, layout: ActionLayout) -> None:
        """A matrix for chunks of ``horizon`` steps under ``layout``."""
        super().__init__()
        self.horizon, self.dims = horizon, layout.size
        self.entries = nn.Parameter(torch.zeros(horizon * layout.size, horizon * layout.size))

    def forward(self, chunk: Tensor) -> Tensor:
        """(B, T, D) to (B, T * D, T * D), one matrix expanded over the batch."""
        _check_horizon(chunk, self.horizon, self.dims)
        return positive_definite(self.entries).expand(chunk.shape[0], -1, -1)


class TransformerQ(nn.Module):
    """Q from a transformer encoder over the chunk's steps (DiffOG, algorithm 1 and Table XII).

    Each step is a token, and each token's embedding gives the ``D`` rows of L that belong to its step, by one linear
    map that all steps share: the map to all of L at once would have ``T`` times as many weights. The map begins small,
    so that Q begins near the identity.
    """

    def __init__(
        self,
        horizon: int,
        layout: ActionLayout,
        width: int = 256,
        heads: int = 4,
        layers: int = 2,
        feedforward: int = 256,
        dropout: float = 0.1,
        spread: float = 0.01,
    ) -> None:
        """An encoder for chunks of ``horizon`` steps under ``layout``.

        Args:
            horizon: T.
            layout: brings the number of action dimensions.
            width: embedding size.
            heads: attention heads.
            layers: encoder layers.
            feedforward: hidden size of the layers' perceptrons.
            dropout: rate while training.
            spread: standard deviation of the entries of L that it begins with; 0 to begin at the identity.
        """
        super().__init__()
        self.horizon, self.dims = horizon, layout.size
        self.embed = nn.Linear(layout.size, width)
        self.position = nn.Parameter(torch.randn(horizon, width) * 0.02)
        layer = nn.TransformerEncoderLayer(width, heads, feedforward, dropout, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.rows = nn.Linear(width, layout.size * horizon * layout.size)
        nn.init.normal_(self.rows.weight, std=spread / math.sqrt(width))
        nn.init.zeros_(self.rows.bias)

    def forward(self, chunk: Tensor) -> Tensor:
        """(B, T, D) to (B, T * D, T * D)."""
        _check_horizon(chunk, self.horizon, self.dims)
        tokens = self.encoder(self.embed(chunk) + self.position)
        size = self.horizon * self.dims
        return positive_definite(self.rows(tokens).reshape(chunk.shape[0], size, size))


class DTOLayer(nn.Module):
    """A trajectory optimisation layer for training, and the action filter that comes of it.

    Called with a torch tensor it is differentiable. Called with a numpy array it is an action filter: no gradient, no
    dropout, the network in batches padded to one size so that a row does not depend on its neighbours, the
    optimisation in float64.

    Example::

        layer = DTOLayer(TransformerQ(15, layout), layout)
        loss = (layer(demonstrated) - demonstrated).square().mean()  # dataset training, equation 10
        smooth = layer(chunk, previous)  # numpy arrays, in a rollout
    """

    def __init__(
        self,
        q_source: nn.Module,
        layout: ActionLayout,
        alpha: float | None = None,
        bound: Any | None = None,
        velocity: Any | None = None,
        position_limit: PositionLimit | None = None,
        best_effort: bool = False,
    ) -> None:
        """Build the layer.

        Args:
            q_source: maps chunks (B, T, D) to quadratic forms (B, T * D, T * D).
            layout: names the trajectory dimensions; brings alpha and bound where none are given.
            alpha: smoothing weight; None for the layout's.
            bound: see :func:`dto_envs.filters.limits.symmetric_pair`; None for the layout's.
            velocity: limit on the normalised commands themselves, in the forms of ``bound`` (DiffOG, appendix D);
                None for no limit. It and ``position_limit`` take the general solver.
            position_limit: limit on the positions that the commands integrate to; None for no limit.
            best_effort: where the other limits make it impossible to keep ``position_limit``, brake or turn back as
                hard as they allow; otherwise that is an :class:`InfeasibleLimitsError`.
        """
        super().__init__()
        self.q_source = q_source
        self.layout = layout
        self.alpha = float(layout.alpha if alpha is None else alpha)
        self.bound = bound
        self.velocity = velocity
        self.position_limit = position_limit
        self.best_effort = best_effort
        if not (math.isfinite(self.alpha) and self.alpha >= 0):
            raise ValueError(f"alpha is a number >= 0; got {self.alpha}")
        check_bound(layout, bound)
        check_bound(layout, velocity, VELOCITY_LIMIT)

    def limit_positions(self, limit: PositionLimit) -> None:
        """From now on keep ``limit`` too, by best effort; every call then needs positions."""
        self.position_limit, self.best_effort = limit, True

    def forward(self, chunk: Any, previous: Any | None = None, position: Any | None = None) -> Any:
        """Optimise (B, T, D_a) normalised actions; see :class:`dto_envs.filters.ActionFilter`.

        ``position`` (B, D_c) is where the robot is now, in physical units; needed where positions are limited.
        """
        if isinstance(chunk, np.ndarray):
            return self._filter(chunk, previous, position)
        device = chunk.device
        last = None if previous is None else torch.as_tensor(previous, device=device)
        check_chunk(_array(chunk), None if last is None else _array(last), self.layout.size)
        return self._optimize(self.q_source(chunk), chunk, last, position).to(chunk.dtype)

    def _optimize(self, q: Tensor, chunk: Tensor, previous: Tensor | None, position: Any | None = None) -> Tensor:
        if self.velocity is None and self.position_limit is None:
            return self._optimize_box(q, chunk, previous)
        last = None if previous is None else _array(previous)
        where = _array(torch.as_tensor(position)) if position is not None else None
        # An optimum under fewer limits that happens to keep them all is the optimum under all.
        relaxed = self._optimize_box(q, chunk, previous)
        if self.position_limit is None and self._keeps_velocity(_array(relaxed)):
            return relaxed
        rows = self.limit_rows(chunk.shape[1], last, where)
        broken = np.flatnonzero(rows.excess(_array(relaxed)) > RELAXED_TOLERANCE)
        if broken.size == 0:
            return relaxed
        index = torch.from_numpy(broken).to(chunk.device)
        forms = q[:1] if q.stride(0) == 0 else q[index]
        return torch.index_copy(relaxed, 0, index, self._optimize_general(forms, chunk[index], rows.take(broken)))

    def _keeps_velocity(self, actions: np.ndarray) -> bool:
        lower, upper = layout_limits(self.layout, self.velocity, actions.shape[1], VELOCITY_LIMIT)
        commands = actions[:, :, list(self.layout.trajectory)]
        return bool(np.maximum(commands - upper, lower - commands).max(initial=0.0) <= RELAXED_TOLERANCE)

    def _optimize_box(self, q: Tensor, chunk: Tensor, previous: Tensor | None) -> Tensor:
        """The optimum under the limits on differences alone."""
        lower, upper = (np.array(limit) for limit in layout_limits(self.layout, self.bound, chunk.shape[1]))
        if previous is None:
            lower[0], upper[0] = -np.inf, np.inf
        return boxqp_torch.solve(
            q,
            chunk,
            torch.as_tensor(lower, device=chunk.device)[None],
            torch.as_tensor(upper, device=chunk.device)[None],
            alpha=self.alpha,
            trajectory=self.layout.trajectory,
            previous=previous,
        )

    def _optimize_general(self, q: Tensor, chunk: Tensor, rows: LimitRows) -> Tensor:
        from dto_envs.filters import general_torch
        from dto_envs.filters.reference_torch import smoothed

        hessian = smoothed(q.double(), self.alpha, self.layout.trajectory, chunk.shape[1])
        return general_torch.solve(hessian, chunk.double().flatten(1), rows).reshape(chunk.shape)

    def limit_rows(self, horizon: int, previous: np.ndarray | None, position: np.ndarray | None) -> LimitRows:
        """All limits of this layer as rows.

        Args:
            horizon: T.
            previous: (B, D_a) last executed actions, or None.
            position: (B, D_c) current positions, or None where no position is limited.

        Raises:
            InfeasibleLimitsError: ``position`` breaks its limit already.
        """
        layout = self.layout
        lower, upper = layout_limits(layout, self.bound, horizon)
        parts = [difference_rows(lower[None], upper[None], layout.size, layout.trajectory, previous, layout.names)]
        velocity = layout_limits(layout, 1.0 if self.velocity is None else self.velocity, horizon, VELOCITY_LIMIT)
        if self.velocity is not None:
            parts.append(velocity_rows(*velocity, layout))
        if self.position_limit is not None:
            if position is None:
                raise ValueError("a position limit needs the current position (B, D_c) with every chunk")
            trajectory = layout.trajectory
            reach = reachable_commands((lower, upper), velocity, previous, trajectory) if self.best_effort else None
            parts.append(position_rows(self.position_limit, position, layout, horizon, reach))
        return stack(*parts)

    def _filter(self, chunk: np.ndarray, previous: np.ndarray | None, position: Any | None) -> np.ndarray:
        wide, last = as_float64(chunk, previous, self.layout.size)
        training = self.training
        self.eval()
        try:
            with torch.no_grad():
                actions = torch.from_numpy(wide)
                linked = None if last is None else torch.from_numpy(np.ascontiguousarray(last))
                result = self._optimize(self._padded_q(actions), actions, linked, position)
        finally:
            self.train(training)
        limits = layout_limits(self.layout, self.bound, wide.shape[1])
        return round_within(result.numpy(), chunk.dtype, *limits, self.layout.trajectory, last)

    def _padded_q(self, actions: Tensor) -> Tensor:
        """The quadratic forms of (B, T, D), computed in batches of one fixed size in the network's own dtype."""
        if not any(True for _ in self.q_source.parameters()):
            return self.q_source(actions)
        weight = next(self.q_source.parameters())
        forms = []
        for begin in range(0, actions.shape[0], NETWORK_BATCH):
            part = actions[begin : begin + NETWORK_BATCH]
            padded = torch.zeros(NETWORK_BATCH, *part.shape[1:], dtype=weight.dtype, device=weight.device)
            padded[: part.shape[0]] = part.to(padded)
            forms.append(self.q_source(padded)[: part.shape[0]])
        return torch.cat(forms).to(device=actions.device, dtype=torch.float64)


def _check_horizon(chunk: Tensor, horizon: int, dims: int) -> None:
    if tuple(chunk.shape[1:]) != (horizon, dims):
        raise ValueError(f"this Q is for chunks (B, {horizon}, {dims}); got {tuple(chunk.shape)}")


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().cpu().numpy()

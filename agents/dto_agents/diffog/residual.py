"""The residual policy that DiffOG is compared with (appendix F): a correction of each chunk, with no limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dto_envs.actions import ActionLayout
from dto_envs.filters.dto import NETWORK_BATCH
from dto_envs.filters.limits import as_float64, check_chunk


class ResidualLayer(nn.Module):
    """Adds what a small perceptron makes of a chunk to its trajectory dimensions; begins as the identity.

    Called with torch tensors it is differentiable; called with numpy arrays it is an action filter whose rows do not
    depend on each other. It is trained to stay near the chunk and to be smooth, and keeps no limit.
    """

    def __init__(self, horizon: int, layout: ActionLayout, width: int = 256) -> None:
        """A correction of chunks of ``horizon`` steps under ``layout``, by two hidden layers of ``width``."""
        super().__init__()
        self.horizon, self.layout = horizon, layout
        outputs = horizon * len(layout.trajectory)
        self.layers = nn.Sequential(
            nn.Linear(horizon * layout.size, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.correction = nn.Linear(width, outputs)
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)

    def forward(self, chunk: Any, previous: Any | None = None) -> Any:
        """Correct normalised actions (B, T, D_a); ``previous`` is looked at by no one.

        Raises:
            ValueError: a chunk of another shape, or one that is not finite.
        """
        if isinstance(chunk, np.ndarray):
            return self._filter(chunk, previous)
        check_chunk(chunk.detach().cpu().numpy(), None, self.layout.size)
        if chunk.shape[1] != self.horizon:
            raise ValueError(f"this correction is for chunks of {self.horizon} steps; got {tuple(chunk.shape)}")
        corrected = chunk.clone()
        moved = self.correction(self.layers(chunk.flatten(1))).unflatten(1, (self.horizon, -1))
        corrected[:, :, list(self.layout.trajectory)] += moved
        return corrected

    @torch.no_grad()
    def _filter(self, chunk: np.ndarray, previous: np.ndarray | None) -> np.ndarray:
        wide, _ = as_float64(chunk, previous, self.layout.size)
        parts = []
        for begin in range(0, len(wide), NETWORK_BATCH):
            part = torch.from_numpy(wide[begin : begin + NETWORK_BATCH]).float()
            padded = torch.zeros(NETWORK_BATCH, *part.shape[1:])
            padded[: len(part)] = part
            parts.append(self(padded)[: len(part)])
        result = torch.cat(parts).numpy() if parts else wide.astype(np.float32)
        others = [d for d in range(self.layout.size) if d not in self.layout.trajectory]
        result = result.astype(chunk.dtype)
        result[:, :, others] = chunk[:, :, others]
        return result


def smoothness_penalty(chunk: Tensor, layout: ActionLayout) -> Tensor:
    """|D S y|^2 / 2, (B,), of chunks (B, T, D_a): DiffOG's smoothing term (equations 5 and 6) without its weight."""
    return 0.5 * chunk[:, :, list(layout.trajectory)].diff(dim=1).square().flatten(1).sum(dim=1)

"""The network: a small PointNet that turns clouds into codes, and a denoiser that is conditioned on them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dto_agents.diffusion.networks import build_denoiser
from dto_agents.dp3.recipe import CloudRecipe

HAND_SIZE = 4
STATE_SIZE = 39  # of Meta-World's states


class CloudEncoder(nn.Module):
    """Layers that every point goes through by itself, the maximum over the points, and a projection (DP3, section IV).

    The order of the points makes no difference.
    """

    def __init__(self, channels: tuple[int, ...], code: int) -> None:
        """Layers of the given widths on single points, each with LayerNorm; then ``code`` numbers."""
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in zip((3, *channels), channels, strict=False):
            layers += [nn.Linear(inputs, outputs), nn.LayerNorm(outputs), nn.ReLU()]
        self.each = nn.Sequential(*layers)
        self.project = nn.Sequential(nn.Linear(channels[-1], code), nn.LayerNorm(code))

    def forward(self, clouds: Tensor) -> Tensor:
        """Clouds (..., P, 3), normalised -> (..., code)."""
        seen = self._critical(clouds) if torch.is_grad_enabled() else clouds
        return self.project(self.each(seen).amax(dim=-2))

    @torch.no_grad()
    def _critical(self, clouds: Tensor) -> Tensor:
        """The points that reach some maximum (..., C, 3): no others pass gradients on, and half the work is saved."""
        reached = self.each(clouds).argmax(dim=-2)
        return clouds.gather(-2, reached[..., None].expand(*reached.shape, 3))


class CloudDenoiser(nn.Module):
    """Predicts the noise in action sequences, given clouds and the hand's state."""

    def __init__(self, recipe: CloudRecipe, action_size: int) -> None:
        """The untrained network of a recipe."""
        super().__init__()
        self.draws = recipe.draws
        self.encoder = CloudEncoder(recipe.channels, recipe.code)
        self.hand = nn.Sequential(nn.Linear(HAND_SIZE, recipe.code), nn.ReLU(), nn.Linear(recipe.code, recipe.code))
        self.tell = nn.Linear(recipe.code, STATE_SIZE) if recipe.state_weight else None
        self.denoiser = build_denoiser(recipe, action_size, recipe.n_obs_steps * 2 * recipe.code)

    def encode(self, clouds: Tensor, hands: Tensor) -> Tensor:
        """Clouds (B, n_obs_steps, P, 3) and hands (B, n_obs_steps, 4), normalised -> conditions (B, C)."""
        return self.conditions(self.encoder(clouds), hands)

    def conditions(self, codes: Tensor, hands: Tensor) -> Tensor:
        """Codes of clouds (B, n_obs_steps, code) and hands as in :meth:`encode` -> conditions (B, C)."""
        return torch.cat([codes, self.hand(hands)], dim=-1).flatten(1)

    def forward(self, noisy: Tensor, timestep: Tensor, clouds: Tensor, hands: Tensor) -> tuple[Tensor, Tensor | None]:
        """What noise there is, and in what state the task.

        Args:
            noisy: (B * draws, H, D_a) noisy sequences, those that share a window one after the other.
            timestep: (B * draws,) noise levels.
            clouds: see :meth:`encode`.
            hands: see :meth:`encode`.

        Returns:
            The predicted noise (B * draws, H, D_a), and the normalised states (B, n_obs_steps, 39) that the clouds
            tell; None where the recipe does not ask for them.
        """
        codes = self.encoder(clouds)
        condition = self.conditions(codes, hands).repeat_interleave(self.draws, 0)
        return self.denoiser(noisy, timestep, condition), None if self.tell is None else self.tell(codes)

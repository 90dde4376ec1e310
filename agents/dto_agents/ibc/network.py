"""The energy of an action sequence before an observation, and the loss that shapes it (Florence et al. 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from dto_agents.ibc.recipe import IbcRecipe


class EnergyNetwork(nn.Module):
    """Observations and action sequences to energies; what is demonstrated has the lowest."""

    def __init__(self, recipe: IbcRecipe, condition_size: int, action_size: int) -> None:
        """An untrained energy of conditions (..., condition_size) and flattened sequences (..., action_size)."""
        super().__init__()
        self.condition = nn.Linear(condition_size, recipe.width)
        self.action = nn.Linear(action_size, recipe.width, bias=False)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.ReLU(), nn.Linear(recipe.width, recipe.width), nn.ReLU(), nn.Linear(recipe.width, recipe.width)
            )
            for _ in range(recipe.blocks)
        )
        self.energy = nn.Linear(recipe.width, 1)

    def forward(self, condition: Tensor, actions: Tensor) -> Tensor:
        """Energies (B, N) of conditions (B, C) with N sequences each, (B, N, T * D_a)."""
        hidden = self.condition(condition)[:, None] + self.action(actions)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.energy(functional.relu(hidden))[..., 0]


def info_nce(energy: EnergyNetwork, condition: Tensor, demonstrated: Tensor, counter_examples: Tensor) -> Tensor:
    """How badly the energy tells what was demonstrated from counter-examples: the cross-entropy of -energy.

    Args:
        energy: the network.
        condition: (B, C).
        demonstrated: (B, T * D_a).
        counter_examples: (B, N, T * D_a).
    """
    candidates = torch.cat([demonstrated[:, None], counter_examples], dim=1)
    logits = -energy(condition, candidates).float()
    return functional.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))


def search(
    energy: EnergyNetwork,
    condition: Tensor,
    low: Tensor,
    high: Tensor,
    recipe: IbcRecipe,
    generator: torch.Generator,
) -> Tensor:
    """The sequence of the lowest energy in a box, by resampling (Florence et al. 2021, algorithm 1).

    Args:
        energy: the network.
        condition: (1, C).
        low: (T * D_a,) lower corner of the box.
        high: (T * D_a,) upper corner.
        recipe: how many samples and rounds, and how far they spread.
        generator: of all randomness.

    Returns:
        (T * D_a,)
    """
    samples = low + (high - low) * torch.rand(recipe.samples, len(low), generator=generator)
    spread = recipe.spread
    for _ in range(recipe.iterations):
        weights = torch.softmax(-energy(condition, samples[None])[0], dim=0)
        chosen = torch.multinomial(weights, recipe.samples, replacement=True, generator=generator)
        noise = spread * 0.5 * (high - low) * torch.randn(samples.shape, generator=generator)
        samples = torch.minimum(torch.maximum(samples[chosen] + noise, low), high)
        spread *= recipe.shrink
    return samples[energy(condition, samples[None])[0].argmin()]

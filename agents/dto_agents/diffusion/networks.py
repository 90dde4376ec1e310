"""Denoisers: networks that predict the noise in an action sequence, given its noise level and a condition."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from dto_agents.diffusion.recipe import DiffusionRecipe

EMBEDDING = 128  # width of the embedded condition (noise level and observations) that modulates every block


def build_denoiser(recipe: DiffusionRecipe, action_size: int, condition_size: int) -> MLPDenoiser | UNetDenoiser:
    """The untrained denoiser of a recipe, ``mlp`` or ``unet``, for conditions of ``condition_size`` numbers."""
    if recipe.denoiser == "mlp":
        return MLPDenoiser(
            recipe.width, recipe.blocks, recipe.horizon, action_size, condition_size, exact=recipe.exact_inputs
        )
    if recipe.denoiser == "unet":
        channels = (recipe.width, 2 * recipe.width, 4 * recipe.width)
        return UNetDenoiser(channels, action_size, condition_size, exact=recipe.exact_inputs)
    raise ValueError(f"there is no denoiser {recipe.denoiser!r}; choose mlp or unet")


class ReadingLayer(nn.Linear):
    """A linear layer on observations, if ``exact`` in float32 where the layers after it run in bfloat16."""

    def __init__(self, inputs: int, outputs: int, exact: bool) -> None:
        """From ``inputs`` to ``outputs`` numbers."""
        super().__init__(inputs, outputs)
        self._exact = exact

    def forward(self, values: Tensor) -> Tensor:
        """(B, inputs) -> (B, outputs)."""
        if not self._exact:
            return super().forward(values)
        with torch.autocast("cpu", enabled=False):
            return super().forward(values.float())


class ConditionEmbedding(nn.Module):
    """Embeds a noise level (sinusoids, as in Vaswani et al. 2017) together with the flattened observations."""

    frequencies: Tensor

    def __init__(self, condition_size: int, size: int = EMBEDDING, *, exact: bool = False) -> None:
        """Condition vectors of ``condition_size`` numbers; ``exact`` as in :class:`ReadingLayer`."""
        super().__init__()
        self.size = size
        frequencies = torch.exp(-math.log(10_000.0) * torch.arange(size // 4) / (size // 4))
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.layers = nn.Sequential(
            ReadingLayer(size // 2 + condition_size, 2 * size, exact), nn.SiLU(), nn.Linear(2 * size, size), nn.SiLU()
        )

    def forward(self, timestep: Tensor, condition: Tensor) -> Tensor:
        """Timesteps (B,) and conditions (B, C) -> (B, size)."""
        angles = timestep[:, None].float() * self.frequencies
        return self.layers(torch.cat([angles.sin(), angles.cos(), condition], dim=-1))


class ModulatedBlock(nn.Module):
    """Residual MLP block whose normalised input is scaled and shifted by the condition (FiLM, Perez et al. 2018)."""

    def __init__(self, width: int) -> None:
        """Two linear layers of ``width``."""
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(EMBEDDING, 2 * width)
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, hidden: Tensor, embedding: Tensor) -> Tensor:
        """(B, width) and (B, EMBEDDING) -> (B, width)."""
        scale, shift = self.modulation(embedding).chunk(2, dim=-1)
        modulated = self.norm(hidden) * (1 + scale) + shift
        return hidden + self.outer(functional.silu(self.inner(functional.silu(modulated))))


class MLPDenoiser(nn.Module):
    """Residual MLP on the flattened sequence: on a CPU by far the most learning per second."""

    def __init__(
        self, width: int, blocks: int, horizon: int, action_size: int, condition_size: int, *, exact: bool = False
    ) -> None:
        """Sequences (B, horizon, action_size); conditions (B, condition_size); ``exact``: see ReadingLayer."""
        super().__init__()
        self.embedding = ConditionEmbedding(condition_size, exact=exact)
        self.lift = ReadingLayer(horizon * action_size + condition_size, width, exact)
        self.blocks = nn.ModuleList(ModulatedBlock(width) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.drop = nn.Linear(width, horizon * action_size)
        nn.init.zeros_(self.drop.weight)
        nn.init.zeros_(self.drop.bias)

    def forward(self, noisy: Tensor, timestep: Tensor, condition: Tensor) -> Tensor:
        """Noisy sequences (B, H, D_a), noise levels (B,), conditions (B, C) -> predicted noise (B, H, D_a)."""
        embedding = self.embedding(timestep, condition)
        hidden = self.lift(torch.cat([noisy.flatten(1), condition], dim=-1))
        for block in self.blocks:
            hidden = block(hidden, embedding)
        return self.drop(self.norm(hidden)).view_as(noisy)


class ConvolutionBlock(nn.Module):
    """Two 1-D convolutions over time with a residual connection, modulated by the condition between them."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """From ``inputs`` to ``outputs`` channels, both divisible by 8 except the first level's input."""
        super().__init__()
        self.first = nn.Conv1d(inputs, outputs, 5, padding=2)
        self.second = nn.Conv1d(outputs, outputs, 5, padding=2)
        self.first_norm = nn.GroupNorm(8, outputs)
        self.second_norm = nn.GroupNorm(8, outputs)
        self.modulation = nn.Linear(EMBEDDING, 2 * outputs)
        self.skip = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, sequence: Tensor, embedding: Tensor) -> Tensor:
        """(B, inputs, H) and (B, EMBEDDING) -> (B, outputs, H)."""
        scale, shift = self.modulation(embedding)[..., None].chunk(2, dim=1)
        hidden = functional.mish(self.first_norm(self.first(sequence))) * (1 + scale) + shift
        return functional.mish(self.second_norm(self.second(hidden))) + self.skip(sequence)


class UNetDenoiser(nn.Module):
    """Conditional 1-D U-Net over time (Janner et al. 2022; Chi et al. 2023). The horizon is a multiple of 4."""

    def __init__(
        self, channels: tuple[int, int, int], action_size: int, condition_size: int, *, exact: bool = False
    ) -> None:
        """Channels of the three levels, multiples of 8; the sequence is halved between levels.

        ``exact``: see :class:`ReadingLayer`.
        """
        super().__init__()
        top, middle, bottom = channels
        if top % 8:
            raise ValueError(f"the U-Net's width must be a multiple of 8, not {top}")
        self.embedding = ConditionEmbedding(condition_size, exact=exact)
        self.down_top = ConvolutionBlock(action_size, top)
        self.down_middle = ConvolutionBlock(top, middle)
        self.bottom = ConvolutionBlock(middle, bottom)
        self.up_middle = ConvolutionBlock(bottom + middle, middle)
        self.up_top = ConvolutionBlock(middle + top, top)
        self.halve_top = nn.Conv1d(top, top, 3, stride=2, padding=1)
        self.halve_middle = nn.Conv1d(middle, middle, 3, stride=2, padding=1)
        self.double_bottom = nn.ConvTranspose1d(bottom, bottom, 4, stride=2, padding=1)
        self.double_middle = nn.ConvTranspose1d(middle, middle, 4, stride=2, padding=1)
        self.drop = nn.Conv1d(top, action_size, 1)

    def forward(self, noisy: Tensor, timestep: Tensor, condition: Tensor) -> Tensor:
        """Noisy sequences (B, H, D_a), noise levels (B,), conditions (B, C) -> predicted noise (B, H, D_a)."""
        embedding = self.embedding(timestep, condition)
        top = self.down_top(noisy.transpose(1, 2), embedding)
        middle = self.down_middle(self.halve_top(top), embedding)
        bottom = self.bottom(self.halve_middle(middle), embedding)
        middle = self.up_middle(torch.cat([self.double_bottom(bottom), middle], dim=1), embedding)
        top = self.up_top(torch.cat([self.double_middle(middle), top], dim=1), embedding)
        return self.drop(top).transpose(1, 2)

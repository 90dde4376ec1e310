"""What a recurrent policy sees of camera images: a ResNet-18 and a spatial softmax for every camera.

As robomimic's image policies (Mandlekar et al. 2021), but with group normalisation: running statistics and averaged
weights do not go together (Chi et al. 2023).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

BLOCKS = 2  # residual blocks of each of the four stages of a ResNet-18
GROUP = 16  # channels that are normalised together


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions around which the input goes (He et al. 2016), the first with a stride."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        """From ``inputs`` to ``outputs`` channels."""
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList(_norm(outputs) for _ in range(2))
        self.shortcut = (
            nn.Identity()
            if stride == 1 and inputs == outputs
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), _norm(outputs))
        )

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        hidden = functional.relu(self.norms[0](self.first(images)))
        return functional.relu(self.norms[1](self.second(hidden)) + self.shortcut(images))


class ResNet18(nn.Module):
    """A ResNet-18 without its classifier: images (B, 3, H, W) to maps (B, 8 * channels, H / 32, W / 32)."""

    def __init__(self, channels: int = 64) -> None:
        """``channels`` in the first stage, twice as many in each that follows."""
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 7, 2, 3, bias=False)
        self.norm = _norm(channels)
        widths = [channels * 2**stage for stage in range(4)]
        blocks = []
        for stage, width in enumerate(widths):
            for number in range(BLOCKS):
                inputs = width if number else widths[max(stage - 1, 0)]
                blocks.append(ResidualBlock(inputs, width, 2 if stage and not number else 1))
        self.blocks = nn.Sequential(*blocks)

    def forward(self, images: Tensor) -> Tensor:
        """Feature maps of images with values about 0."""
        hidden = functional.relu(self.norm(self.stem(images)))
        return self.blocks(functional.max_pool2d(hidden, 3, 2, 1))


def spatial_softmax(maps: Tensor) -> Tensor:
    """Where maps (B, K, H, W) are large, (B, K, 2): mean x, y in [-1, 1] by each one's softmax (Finn et al. 2016)."""
    height, width = maps.shape[-2:]
    weights = torch.softmax(maps.flatten(2), dim=-1).unflatten(-1, (height, width))
    x, y = (torch.linspace(-1, 1, size, dtype=maps.dtype, device=maps.device) for size in (width, height))
    return torch.stack([(weights.sum(-2) * x).sum(-1), (weights.sum(-1) * y).sum(-1)], dim=-1)


class ImageEncoder(nn.Module):
    """Images of several cameras to one embedding; every camera has its own network."""

    def __init__(self, cameras: Sequence[str], channels: int, keypoints: int, size: int, crop: int) -> None:
        """Build the networks.

        Args:
            cameras: their names.
            channels: see :class:`ResNet18`.
            keypoints: maps that the spatial softmax reads.
            size: embedding of one camera.
            crop: side of the square that is cut out, at random while training and in the middle otherwise.
        """
        super().__init__()
        self.cameras, self.crop = tuple(cameras), crop
        self.networks = nn.ModuleList(ResNet18(channels) for _ in cameras)
        self.maps = nn.ModuleList(nn.Conv2d(8 * channels, keypoints, 1) for _ in cameras)
        self.embeddings = nn.ModuleList(nn.Linear(2 * keypoints, size) for _ in cameras)

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures (..., cameras, H, W, 3) uint8 to embeddings (..., cameras * size).

        Raises:
            ValueError: another number of cameras, or pictures smaller than the crop.
        """
        shape = pictures.shape[:-4]
        if pictures.shape[-4] != len(self.cameras) or min(pictures.shape[-3:-1]) < self.crop:
            raise ValueError(
                f"pictures must be (..., {len(self.cameras)}, H, W, 3) with H and W at least {self.crop}, got "
                f"{tuple(pictures.shape)}"
            )
        flat = self._cut(pictures.flatten(0, -5))
        parts = []
        for place, (network, maps, embed) in enumerate(zip(self.networks, self.maps, self.embeddings, strict=True)):
            shown = flat[:, place].permute(0, 3, 1, 2).float() / 127.5 - 1.0
            parts.append(embed(spatial_softmax(maps(network(shown))).flatten(1)))
        return torch.cat(parts, dim=-1).unflatten(0, shape)

    def _cut(self, pictures: Tensor) -> Tensor:
        """The same square of all pictures of a batch while training, the middle one otherwise."""
        rooms = [side - self.crop for side in pictures.shape[-3:-1]]
        top, left = [int(torch.randint(room + 1, ())) for room in rooms] if self.training else [r // 2 for r in rooms]
        return pictures[..., top : top + self.crop, left : left + self.crop, :]


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(max(1, channels // GROUP), channels)

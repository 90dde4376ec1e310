"""The network: small convolutions that turn pictures into codes, and a denoiser that is conditioned on them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dto_agents.diffusion.features import feature_size
from dto_agents.diffusion.networks import build_denoiser
from dto_agents.diffusion_image.recipe import ImageRecipe
from dto_agents.recurrent.vision import spatial_softmax

PATCH = 4  # pixels of a side of the patches that the first layer reads
GROUPS = 4  # of channels that are normalised together


class PictureEncoder(nn.Module):
    """One camera's pictures to codes: patches of 4 x 4 pixels, three 3 x 3 convolutions, a spatial softmax.

    Small enough for a CPU: nearly all is done at an eighth of the resolution, where the softmax still places a keypoint
    between cells.

    The coordinates that the softmax reads are those in the whole picture, wherever the square that is looked at was
    cut out: cutting at random then moves nothing that is seen.
    """

    def __init__(self, channels: tuple[int, int], keypoints: int, code: int, crop: int) -> None:
        """Build the network; arguments as in :class:`ImageRecipe`."""
        super().__init__()
        fine, coarse = channels
        self.crop = crop
        self.maps = nn.Sequential(
            *(nn.Conv2d(3, fine, PATCH, PATCH), nn.ReLU()),
            *_layer(fine, coarse, 2),
            *_layer(coarse, coarse),
            *_layer(coarse, coarse),
            nn.Conv2d(coarse, keypoints, 1),
        )
        self.code = nn.Sequential(
            nn.Linear(2 * keypoints, 2 * code), nn.ReLU(), nn.Linear(2 * code, code), nn.LayerNorm(code)
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures (B, H, W, 3) uint8 -> codes (B, code); a random square of each in training, else the middle.

        Raises:
            ValueError: pictures smaller than the crop.
        """
        height, width = pictures.shape[1:3]
        if min(height, width) < self.crop or pictures.shape[3:] != (3,):
            raise ValueError(
                f"pictures must be (B, H, W, 3) with H and W at least {self.crop}, got {tuple(pictures.shape)}"
            )
        corners = self._corners(len(pictures), height - self.crop, width - self.crop)
        squares = torch.stack(
            [
                picture[top : top + self.crop, left : left + self.crop]
                for picture, (top, left) in zip(pictures, corners.tolist(), strict=True)
            ]
        )
        maps = self.maps(squares.permute(0, 3, 1, 2) / 127.5 - 1.0).float()
        reach = PATCH * (maps.shape[-1] - 1)  # pixels from the middle of the cells to the centre of the last
        pixels = corners.flip(1)[:, None] + PATCH / 2 + reach * (1 + spatial_softmax(maps))
        return self.code((2 * pixels / torch.tensor([width, height]) - 1).flatten(1))

    def _corners(self, count: int, down: int, right: int) -> Tensor:
        """Top and left of each picture's square, (B, 2)."""
        if not self.training:
            return torch.tensor([[down // 2, right // 2]]).expand(count, 2)
        return torch.stack([torch.randint(room + 1, (count,)) for room in (down, right)], dim=1)


class ImageDenoiser(nn.Module):
    """Predicts the noise in action sequences, given pictures and the hand's states."""

    def __init__(self, recipe: ImageRecipe, action_size: int, state_size: int) -> None:
        """The untrained network of a recipe, for a task with states of ``state_size`` numbers."""
        super().__init__()
        self.draws = recipe.draws
        first, end = recipe.hand
        sizes = recipe.channels, recipe.keypoints, recipe.code, recipe.crop
        self.encoders = nn.ModuleList(PictureEncoder(*sizes) for _ in recipe.cameras)
        codes = len(recipe.cameras) * recipe.code
        self.tell = nn.Linear(codes, feature_size(state_size, recipe.rotations))
        condition_size = codes + recipe.n_obs_steps * feature_size(end - first, recipe.hand_rotations)
        self.denoiser = build_denoiser(recipe, action_size, condition_size)

    def look(self, pictures: Tensor) -> Tensor:
        """Pictures (B, cameras, H, W, 3) uint8 -> codes (B, cameras * code)."""
        return torch.cat([encode(pictures[:, place]) for place, encode in enumerate(self.encoders)], dim=-1)

    def encode(self, pictures: Tensor, hands: Tensor) -> Tensor:
        """Pictures as in :meth:`look` and hands (B, n_obs_steps, F), normalised -> conditions (B, C)."""
        return torch.cat([self.look(pictures), hands.flatten(1)], dim=-1)

    def forward(self, noisy: Tensor, timestep: Tensor, pictures: Tensor, hands: Tensor) -> tuple[Tensor, Tensor]:
        """What noise there is, and in what state the task.

        Args:
            noisy: (B * draws, H, D_a) noisy sequences, those that share a window one after the other.
            timestep: (B * draws,) noise levels.
            pictures: see :meth:`encode`.
            hands: see :meth:`encode`.

        Returns:
            The predicted noise (B * draws, H, D_a), and the features of the state (B, F') that the pictures tell.
        """
        condition = self.encode(pictures, hands)
        codes = condition[:, : self.tell.in_features]
        return self.denoiser(noisy, timestep, condition.repeat_interleave(self.draws, 0)), self.tell(codes)


def _layer(inputs: int, outputs: int, stride: int = 1) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 3, stride, 1), nn.GroupNorm(GROUPS, outputs), nn.ReLU()

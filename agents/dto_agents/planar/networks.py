"""The DLM paper's networks: a video encoder (equation 3) and heads for actions or mechanical parameters (equation 4).

All that a network sees is the task's video. Before the convolutions every frame is centred on the object, whose
centroid and moment of inertia are read off its pixels (mass 1 kg, even density); everything is predicted relative to
that centroid. This stands in front of all architectures alike. It takes the place of what tens of thousands of frames
would teach: with twenty videos, finding the object to a millimetre is beyond a network of this size. Poses of the task,
corners, facets and the expert's plan are labels in training, and unknown afterwards. An angle cannot be seen, only its
change: predicted angles begin at zero.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from dto_agents.planar.qp_layer import Actions, LayerOptions, Mechanics, inverse_dynamics
from dto_envs.planar_push import constants
from dto_envs.planar_push.video import GROUND_COLOR, OBJECT_COLOR, check_video, frame

LENGTH = 0.1  # m; lengths enter and leave the networks in this unit
PIXEL = constants.VIDEO_SIDE / constants.VIDEO_SIZE
WINDOW = 32  # pixels of a centred frame: 0.51 m, which holds every object whole
CHANNELS = (6, 12, 24)
LATENT = 75
HIDDEN = 40
DROPOUT = 0.2
# Of what a head predicts at a keyframe: its numbers.
PARAMETER_SIZES = {"position": 2, "angle": 1, "facets": 8, "cones": 8, "external_point": 2, "external_cone": 4}
# Cheaper slack, dearer rays and less stickiness than the layer's own keep the program well conditioned whatever a
# network predicts: with its own, four batches of 25 could not be solved. On true parameters the plans' median loss is
# 0.0008 cm^2 with either.
LAYER = LayerOptions(slack_weight=1e3, ray_weight=1e-2, stickiness=(0.0, 1.0, 10.0, 100.0, 1e3))


@dataclass(frozen=True)
class Views:
    """What networks are given of B videos.

    Attributes:
        frames: (B, T, 3, 32, 32) float32, frames centred on the object; 0 is sky and 1 the darkest there is.
        centroids: (B, T, 2) float64, of the object's pixels, m, world frame.
        inertia: (B,) float64, moment of inertia of the pixels at a mass of 1 kg, kg m^2; the mean over the frames.
    """

    frames: Tensor
    centroids: Tensor
    inertia: Tensor

    @staticmethod
    def of(videos: np.ndarray) -> Views:
        """The views of ``videos`` (B, T, 50, 50, 3) uint8.

        Raises:
            ValueError: videos of another shape or type, or a frame without an object.
        """
        check_video(videos)
        coverage = _coverage(videos)
        weight = coverage.sum(axis=(2, 3))
        if (weight < 1.0).any():
            index, keyframe = np.argwhere(weight < 1.0)[0]
            raise ValueError(
                f"frame {keyframe} of video {index} shows no object: nothing in it has the object's colour"
            )
        along = (np.arange(constants.VIDEO_SIZE) + 0.5) * PIXEL
        x, y = constants.VIDEO_LEFT + along, constants.VIDEO_BOTTOM + along[::-1]
        share = coverage / weight[..., None, None]
        centroids = np.stack([(share * x).sum(axis=(2, 3)), (share * y[:, None]).sum(axis=(2, 3))], axis=-1)
        squares = (share * (x**2 + y[:, None] ** 2)).sum(axis=(2, 3)) - (centroids**2).sum(axis=-1)
        return Views(
            frames=_centred(videos, centroids),
            centroids=torch.from_numpy(centroids),
            inertia=torch.from_numpy(constants.MASS * squares.mean(axis=1)),
        )

    def __getitem__(self, rows: Tensor) -> Views:
        """The views of some videos, by their numbers."""
        return Views(self.frames[rows], self.centroids[rows], self.inertia[rows])


@functools.cache
def _background() -> np.ndarray:
    """(50, 50, 3) a frame without an object."""
    far = np.array([[10.0, 10.0], [11.0, 10.0], [10.0, 11.0]])
    background = frame(far).astype(np.float64)
    background.flags.writeable = False
    return background


def _coverage(videos: np.ndarray) -> np.ndarray:
    """(B, T, 50, 50) share of each pixel that the object covers."""
    change = OBJECT_COLOR - _background()
    shown = ((videos - _background()) * change).sum(axis=-1) / (change**2).sum(axis=-1)
    return np.where(shown > 0.02, shown, 0.0)


def _centred(videos: np.ndarray, centroids: np.ndarray) -> Tensor:
    batch, keyframes = videos.shape[:2]
    images = torch.from_numpy(1.0 - videos.astype(np.float32) / 255.0).flatten(0, 1).permute(0, 3, 1, 2)
    middle = np.array([constants.VIDEO_LEFT, constants.VIDEO_BOTTOM]) + constants.VIDEO_SIDE / 2
    where = torch.from_numpy((centroids - middle) / (constants.VIDEO_SIDE / 2)).float().flatten(0, 1)
    offsets = (torch.arange(WINDOW) + 0.5 - WINDOW / 2) * 2 / constants.VIDEO_SIZE
    grid = torch.stack(torch.meshgrid(offsets, offsets, indexing="xy"), dim=-1)
    grid = grid + (where * torch.tensor([1.0, -1.0]))[:, None, None]
    below = torch.from_numpy(1.0 - GROUND_COLOR / 255.0).float()
    seen = nn.functional.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
    # What lies beneath the picture is ground as well.
    hidden = (grid[..., 1] > 1.0 - 1.0 / constants.VIDEO_SIZE)[:, None].float()
    seen = (1 - hidden) * seen + hidden * torch.maximum(seen, below[:, None, None])
    return seen.unflatten(0, (batch, keyframes))


class Encoder(nn.Module):
    """Equation 3: convolutions frame by frame, then a bidirectional LSTM of five layers; a latent per keyframe.

    What the convolutions see also reaches the latent past the LSTM, through a residual connection.
    """

    def __init__(self) -> None:
        """Random weights from torch's generator."""
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((3, *CHANNELS), CHANNELS, strict=False):
            layers += [nn.Conv2d(before, after, 5, stride=2, padding=2), nn.ReLU()]
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        features = CHANNELS[-1] * (WINDOW // 8) ** 2
        self.embedding = nn.Sequential(nn.Linear(features + 3, LATENT), nn.BatchNorm1d(LATENT), nn.ReLU())
        self.memory = nn.LSTM(LATENT, HIDDEN, num_layers=5, bidirectional=True, batch_first=True)
        self.readout = nn.Linear(2 * HIDDEN, LATENT)

    def forward(self, views: Views) -> Tensor:
        """(B, T, 75)."""
        batch, keyframes = views.frames.shape[:2]
        moved = (views.centroids - views.centroids[:, :1]) / LENGTH
        height = views.centroids[..., 1:] / LENGTH
        seen = torch.cat([self.convolutions(views.frames.flatten(0, 1)), *(_flat(moved), _flat(height))], dim=1)
        embedded = self.embedding(seen).unflatten(0, (batch, keyframes))
        return embedded + self.readout(self.memory(embedded)[0])


class Head(nn.Module):
    """An MLP with three hidden layers of the size of its input, batch normalisation and dropout, per keyframe."""

    def __init__(self, size: int) -> None:
        """A head for ``size`` numbers; random weights from torch's generator."""
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(3):
            layers += [nn.Linear(LATENT, LATENT), nn.BatchNorm1d(LATENT), nn.ReLU(), nn.Dropout(DROPOUT)]
        self.layers = nn.Sequential(*layers, nn.Linear(LATENT, size))

    def forward(self, latent: Tensor) -> Tensor:
        """(B, T, size) from latents (B, T, 75)."""
        return self.layers(latent.flatten(0, 1)).unflatten(0, latent.shape[:2])


class ActionNetwork(nn.Module):
    """NN and NNM: from video to finger targets, with nothing of mechanics in between."""

    def __init__(self) -> None:
        """Random weights from torch's generator."""
        super().__init__()
        self.encoder = Encoder()
        self.head = Head(2 * constants.FINGERS)

    def forward(self, views: Views) -> Tensor:
        """(B, T, 2, 2) float64, targets in m, world frame [video, keyframe, finger, x or y]."""
        offsets = self.head(self.encoder(views)).unflatten(-1, (constants.FINGERS, 2)).double()
        return views.centroids[:, :, None] + LENGTH * offsets


class MechanicsNetwork(nn.Module):
    """MDR, CVX and DLM: from video to mechanical parameters, and by the inverse-dynamics layer to finger targets."""

    def __init__(self) -> None:
        """Random weights from torch's generator."""
        super().__init__()
        self.encoder = Encoder()
        self.heads = nn.ModuleDict({name: Head(size) for name, size in PARAMETER_SIZES.items()})

    def parameters_of(self, views: Views) -> Mechanics:
        """Equation 4: the mechanical parameters that the network derenders."""
        latent = self.encoder(views)
        raw = {name: head(latent).double() for name, head in self.heads.items()}
        centre = views.centroids
        angle = raw["angle"] - raw["angle"][:, :1]
        mass = torch.full_like(views.inertia, constants.MASS)
        return Mechanics(
            poses=torch.cat([centre + 0.1 * LENGTH * raw["position"], angle], dim=-1),
            facets=centre[:, :, None, None] + LENGTH * raw["facets"].unflatten(-1, (constants.FINGERS, 2, 2)),
            cones=_at_least(raw["cones"].unflatten(-1, (constants.FINGERS, 2, 2)), 0.1),
            external_point=centre + LENGTH * raw["external_point"],
            external_cone=_at_least(raw["external_cone"].unflatten(-1, (2, 2)), 1.0),
            mass=mass,
            inertia=views.inertia,
        )

    def solve(self, views: Views) -> Actions:
        """Equation 6 on the derendered parameters."""
        return inverse_dynamics(self.parameters_of(views), LAYER)

    def forward(self, views: Views) -> Tensor:
        """(B, T, 2, 2) float64, targets in m, world frame: where the fingers are, and pressed in by their forces."""
        return targets_of(self.solve(views))


def targets_of(actions: Actions) -> Tensor:
    """(B, T, 2, 2) targets whose springs press with the actions' forces, in m, world frame."""
    return actions.fingers + actions.forces / constants.POSITION_STIFFNESS


NETWORKS: dict[str, type[ActionNetwork] | type[MechanicsNetwork]] = {
    "nn": ActionNetwork,
    "nnm": ActionNetwork,
    "mdr": MechanicsNetwork,
    "cvx": MechanicsNetwork,
    "dlm": MechanicsNetwork,
}


def _at_least(rays: Tensor, least: float) -> Tensor:
    """Rays (..., 2) of unit length; those shorter than ``least`` are only divided by it."""
    return rays / rays.norm(dim=-1, keepdim=True).clamp_min(least)


def _flat(values: Tensor) -> Tensor:
    return values.flatten(0, 1).float()


def stack(videos: Sequence[np.ndarray]) -> Views:
    """The views of some videos (T, 50, 50, 3)."""
    return Views.of(np.stack(videos))

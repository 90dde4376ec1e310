"""How a diffusion policy on pictures is built and trained: one frozen recipe per environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from dto_agents.diffusion import recipe as on_states
from dto_agents.diffusion.seeing import SeeingRecipe
from dto_agents.recipes import check_counts


@dataclass(frozen=True)
class ImageRecipe(SeeingRecipe):
    """Everything but data and seed that a trained policy on pictures depends on.

    A policy sees the newest picture of every camera, and the hand's state in the last ``n_obs_steps`` steps.

    Attributes:
        cameras: names of the pictures that it sees.
        hand: which numbers of the state belong to the hand, the first and the one after the last.
        channels: of the convolutions at a quarter and at an eighth of a picture's resolution.
        keypoints: of each camera's spatial softmax.
        code: numbers that a camera's picture becomes.
        crop: side in pixels of the square of a picture that is looked at.
    """

    width: int = 144
    blocks: int = 3
    seeing_steps: int = 6_000
    code_noise: float = 0.2
    state_weight: float = 10.0
    exact_inputs: bool = True
    cameras: tuple[str, ...] = ("image",)
    hand: tuple[int, int] = (0, 2)
    channels: tuple[int, int] = (16, 48)
    keypoints: int = 32
    code: int = 48
    crop: int = 88

    def __post_init__(self) -> None:
        """Refuse recipes that cannot be trained."""
        super().__post_init__()
        for name in ("cameras", "hand", "channels"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.cameras or not 0 <= self.hand[0] < self.hand[1]:
            raise ValueError(f"cameras and hand must name something, not {self.cameras} and {self.hand}")
        check_counts(self, "keypoints", "code", "crop")
        if self.move:
            raise ValueError("move is for policies on states and on point clouds; pictures cannot be moved")
        if self.crop % 4:
            raise ValueError(f"crop must be a multiple of 4, not {self.crop}")

    @property
    def hand_rotations(self) -> tuple[int, ...]:
        """Where quaternions begin in the hand's part of the state."""
        first, end = self.hand
        return tuple(start - first for start in self.rotations if first <= start < end)


_CAMERAS = ("agentview", "robot0_eye_in_hand")


def _robomimic(env_id: str, state_size: int, steps: int) -> ImageRecipe:
    return ImageRecipe(
        width=120,
        steps=steps,
        rotations=on_states.recipe_for(env_id).rotations,
        cameras=_CAMERAS,
        hand=(state_size - 9, state_size),
        crop=76,
    )


RECIPES: Mapping[str, ImageRecipe] = MappingProxyType(
    {
        "dto/PushT-v0": ImageRecipe(steps=50_000, mirror=True, observation_noise=0.01),
        "dto/Lift-v0": _robomimic("dto/Lift-v0", 19, 8_000),
        "dto/Can-v0": _robomimic("dto/Can-v0", 23, 20_000),
        "dto/Square-v0": _robomimic("dto/Square-v0", 23, 24_000),
    }
)


def recipe_for(env_id: str) -> ImageRecipe:
    """The recipe of ``env_id``.

    Raises:
        ValueError: an environment without one, whose cameras are not known here.
    """
    if env_id not in RECIPES:
        raise ValueError(f"diffusion-image is for {', '.join(RECIPES)}, whose cameras it knows; not for {env_id}")
    return RECIPES[env_id]

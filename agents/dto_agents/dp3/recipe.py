"""How a policy on point clouds is built and trained."""

from __future__ import annotations

from dataclasses import dataclass

from dto_agents.diffusion.recipe import DiffusionRecipe


@dataclass(frozen=True)
class CloudRecipe(DiffusionRecipe):
    """Everything but data and seed that a trained policy on point clouds depends on.

    Attributes:
        points: how many of a cloud's points the encoder sees. Clouds come in the order of farthest-point sampling, so
            that the first of them are a sparser cloud of the same kind.
        channels: widths of the encoder's layers on single points; DP3 has 64, 128 and 256.
        code: numbers that a cloud becomes, and as many that the hand becomes.
        jitter: standard deviation of the Gaussian noise on normalised points while training.
    """

    width: int = 140
    steps: int = 3_000
    batch_size: int = 64
    points: int = 256
    channels: tuple[int, ...] = (32, 64, 128)
    code: int = 64
    jitter: float = 0.005
    int8: bool = True

    def __post_init__(self) -> None:
        """Refuse recipes that cannot be trained."""
        super().__post_init__()
        if self.predicts != "epsilon" or self.fits or self.scale_actions:
            raise ValueError("predicts, fits and scale_actions are for policies on states")
        object.__setattr__(self, "channels", tuple(self.channels))
        if not self.channels or min(self.points, self.code, *self.channels) < 1:
            raise ValueError(
                f"points, code and channels must be at least 1, not {self.points, self.code, self.channels}"
            )


def recipe_for(env_id: str) -> CloudRecipe:
    """The recipe of ``env_id``: the same everywhere, and small enough for minutes of a CPU."""
    return CloudRecipe()

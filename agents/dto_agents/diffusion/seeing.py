"""Training policies that look at pictures or clouds: first the whole network, then the denoiser on what it sees."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dto_agents.diffusion.policy import add_noise, make_scheduler
from dto_agents.diffusion.recipe import DiffusionRecipe
from dto_agents.recipes import check_counts
from dto_agents.training import Plan, Report, fit, train_member


@dataclass(frozen=True)
class SeeingRecipe(DiffusionRecipe):
    """Everything but data and seed that a trained policy depends on which looks at more than a state.

    Training has two phases. To look costs far more than to denoise, and what there is to see is learned soon: first all
    of the network is trained for ``seeing_steps``, then for ``steps`` the denoiser alone, on the codes that everything
    demonstrated has by then, ``batch_size`` windows a step.

    Attributes:
        seeing_steps: optimiser steps of the first phase.
        seeing_batch: windows per step of the first phase.
        draws: noise levels that each of these windows is denoised at.
        views: codes of everything demonstrated that the second phase learns from, each of another view: another square
            of a picture, or points that are blurred otherwise.
        code_noise: standard deviation of the Gaussian noise on these codes, as a share of their own: what is seen for
            the first time is never coded as exactly as what the encoder has learned from.
        state_weight: weight of the first phase's auxiliary loss, that what is seen tells the whole state; 0 for none.
    """

    seeing_steps: int = 3_000
    seeing_batch: int = 24
    draws: int = 8
    views: int = 4
    code_noise: float = 0.0
    state_weight: float = 0.0
    int8: bool = True

    def __post_init__(self) -> None:
        """Refuse recipes that cannot be trained."""
        super().__post_init__()
        if self.predicts != "epsilon" or self.fits or self.scale_actions or self.mix_arms:
            raise ValueError("predicts, fits, scale_actions and mix_arms are for policies on states")
        check_counts(self, "seeing_steps", "seeing_batch", "draws", "views")
        for name in ("code_noise", "state_weight"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)}")

    @property
    def all_steps(self) -> int:
        """Optimiser steps of both phases."""
        return self.seeing_steps + self.steps


class Codes:
    """What everything demonstrated was coded as.

    Attributes:
        views: (views, N, C), each step's codes in several views.
    """

    def __init__(self, views: Tensor, noise: float) -> None:
        """Keep ``views``, to be drawn with Gaussian noise, ``noise`` times their standard deviation."""
        self.views = views
        self._noise = noise * views.std((0, 1)) if noise else None

    def draw(self, steps: Tensor) -> Tensor:
        """Codes (B, n, C) of windows' steps (B, n): of a window any view, with the same noise on all of it."""
        view = torch.randint(len(self.views), (len(steps), 1))
        codes = self.views[view, steps]
        return codes if self._noise is None else codes + self._noise * torch.randn_like(codes[:, :1])


def denoising_loss(
    actions: Tensor, conditions: Callable[[Tensor], Tensor], recipe: SeeingRecipe
) -> Callable[[nn.Module], Tensor]:
    """The second phase's loss of a random batch: the squared error of the noise.

    Args:
        actions: (W, horizon, D_a) float32 action sequences, normalised.
        conditions: makes the conditions (B, C) of the windows (B,), from some view of each.
        recipe: sizes of a batch.
    """
    scheduler = make_scheduler(recipe)

    def loss(denoiser: nn.Module) -> Tensor:
        index = torch.randint(len(actions), (recipe.batch_size,))
        condition = conditions(index)
        noisy, timestep, noise = add_noise(actions[index], scheduler)
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bfloat16):
            predicted = denoiser(noisy, timestep, condition)
        return functional.mse_loss(predicted.float(), noise)

    return loss


@torch.no_grad()
def look_at_all(view: Callable[[], Tensor], recipe: SeeingRecipe, seed: int) -> Codes:
    """The codes (N, C) of everything demonstrated that ``view`` makes, another view each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Codes(torch.stack([view() for _ in range(recipe.views)]), recipe.code_noise)


def train_in_two_phases(
    target: Path,
    description: dict[str, Any],
    build: Callable[[], Any],
    seeing: Callable[[Any], Tensor],
    acting: Callable[[Any], Callable[[nn.Module], Tensor]],
    *,
    recipe: SeeingRecipe,
    data: Mapping[str, Any],
    seed: int,
    report: Report,
    tensors: Mapping[str, Tensor],
) -> Path:
    """Train a policy and write it to a zoo.

    Args:
        target: what :func:`dto_agents.zoo.claim` returned; checkpoints go beside it, into ``seed<k>/``.
        description: what the weights file says of itself.
        build: makes the network, with random initial weights and a ``denoiser`` of its own.
        seeing: draws a batch and returns the loss of the whole network.
        acting: makes the second phase's loss, given a network that has learned to see.
        recipe: network and optimisation.
        data: what the card says of the data, with its ``sha256``.
        seed: seed of all randomness.
        report: called with finished steps of both phases and loss.
        tensors: written beside the weights.

    Returns:
        ``target``; its card lies beside it.

    Raises:
        dto_agents.training.TrainingError: the checkpoints are another run's, or the loss diverged.
    """
    # The second phase can be made longer without doing the first again.
    identity = {"seed": seed, "data": data["sha256"], **asdict(recipe)}
    del identity["steps"]
    learned = fit(
        build,
        seeing,
        Plan.of(replace(recipe, steps=recipe.seeing_steps)),
        seed=seed,
        folder=target.with_suffix("") / "seeing",
        fingerprint=json.dumps(identity, sort_keys=True),
        report=report,
    )
    network = build()
    network.load_state_dict(learned)
    return train_member(
        target,
        description,
        lambda: network.denoiser,
        acting(network),
        recipe=recipe,
        data=data,
        seed=seed,
        report=lambda finished, loss: report(recipe.seeing_steps + finished, loss),
        prefix="network.denoiser.",
        tensors=tensors,
        frozen={f"network.{name}": value for name, value in learned.items() if not name.startswith("denoiser.")},
        int8=recipe.int8,
    )

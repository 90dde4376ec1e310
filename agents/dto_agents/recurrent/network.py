"""An LSTM over observations, and what turns its output into actions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from dto_agents.recurrent.recipe import RecurrentRecipe
from dto_agents.recurrent.vision import ImageEncoder
from dto_envs.actions import ActionLayout
from dto_envs.filters.leto import LeTOLayer

State = tuple[Tensor, Tensor]
# Of a mixture's Gaussians. Grippers are told to open or close and nothing between: with a smaller one the likelihood
# of exactly that outweighs how the arm moves.
LEAST_DEVIATION = 0.02


class RecurrentNetwork(nn.Module):
    """Observations to embeddings, step by step, and embeddings to what the head makes of them."""

    def __init__(self, recipe: RecurrentRecipe, layout: ActionLayout, feature_size: int) -> None:
        """The untrained network of a recipe, for features (..., feature_size)."""
        super().__init__()
        self.recipe, self.action_size = recipe, layout.size
        if recipe.cameras:
            sizes = recipe.channels, recipe.keypoints, recipe.embedding
            self.encoder = ImageEncoder(recipe.cameras, *sizes, recipe.crop)
            feature_size += len(recipe.cameras) * recipe.embedding
        self.lstm = nn.LSTM(feature_size, recipe.hidden, recipe.layers, batch_first=True)
        chunk = recipe.horizon * layout.size
        outputs = recipe.modes * (1 + 2 * chunk) if recipe.head == "gmm" else chunk
        self.head = nn.Linear(recipe.hidden, outputs)
        if recipe.head == "leto":
            self.optimizer = LeTOLayer(
                recipe.horizon, layout, alpha=recipe.alpha, bound=recipe.bound, velocity=recipe.velocity
            )

    def embed(
        self, features: Tensor, state: State | None = None, pictures: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Unroll the network.

        Args:
            features: (B, T, F).
            state: before them; None for zero.
            pictures: (B, T, cameras, H, W, 3) uint8, where the recipe has cameras.

        Returns:
            Outputs (B, T, ...), and the state after them.
        """
        hidden, after = self.lstm(self.look(features, pictures), state)
        return self.head(hidden), after

    def look(self, features: Tensor, pictures: Tensor | None) -> Tensor:
        """Features (B, T, F) with what the cameras' networks make of the pictures, where there are any."""
        if not self.recipe.cameras:
            return features
        assert pictures is not None
        return torch.cat([features, self.encoder(pictures).to(features.dtype)], dim=-1)

    def chunks(self, outputs: Tensor) -> Tensor:
        """The action sequences (N, T_p, D_a), normalised, of outputs (N, ...); not for mixtures."""
        embedding = outputs.unflatten(-1, (self.recipe.horizon, self.action_size))
        return self.optimizer(embedding) if self.recipe.head == "leto" else torch.tanh(embedding)

    def mixture(self, outputs: Tensor) -> torch.distributions.MixtureSameFamily:
        """The distribution of flattened action sequences (N, T_p * D_a), normalised, of outputs (N, ...)."""
        modes = self.recipe.modes
        logits, rest = outputs[..., :modes], outputs[..., modes:].unflatten(-1, (modes, 2, -1))
        mean, deviation = torch.tanh(rest[..., 0, :]), functional.softplus(rest[..., 1, :]) + LEAST_DEVIATION
        return torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(logits=logits, validate_args=False),
            torch.distributions.Independent(torch.distributions.Normal(mean, deviation, validate_args=False), 1),
            validate_args=False,
        )

    def loss(self, features: Tensor, targets: Tensor, pictures: Tensor | None = None) -> Tensor:
        """How far sequences are from being imitated.

        Args:
            features: (B, T_s, F).
            targets: (B, T_s, T_p, D_a) normalised: at each step the actions from there on.
            pictures: see :meth:`embed`.

        Returns:
            The mean squared error, or the mean negative log-likelihood of a mixture.
        """
        with torch.autocast(features.device.type, torch.bfloat16, enabled=self.recipe.bfloat16):
            hidden = self.lstm(self.look(features, pictures))[0]
        outputs = self.head(hidden.float()).flatten(0, 1)
        targets = targets.flatten(0, 1)
        if self.recipe.head == "gmm":
            return -self.mixture(outputs).log_prob(targets.flatten(1)).mean()
        return functional.mse_loss(self.chunks(outputs), targets)

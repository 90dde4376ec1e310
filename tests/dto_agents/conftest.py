"""Small recipes, demonstrations and zoos, made by the tests themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dto_agents.demos.dataset import Demonstrations, Episode
from dto_agents.diffog.recipe import FilterRecipe
from dto_agents.diffusion.recipe import DiffusionRecipe

TINY = DiffusionRecipe(
    width=16, blocks=1, steps=12, batch_size=8, warmup_steps=2, train_timesteps=20, inference_steps=3
)
TINY_FILTER = FilterRecipe(width=8, heads=2, layers=1, feedforward=8, samples=1, steps=6, batch_size=4)


@pytest.fixture(scope="session")
def tiny() -> DiffusionRecipe:
    return TINY


@pytest.fixture(scope="session")
def tiny_filter() -> FilterRecipe:
    return TINY_FILTER


@pytest.fixture(scope="session")
def demonstrations() -> Demonstrations:
    """Push-T-like random walks, one dimension of the observation constant."""
    rng = np.random.default_rng(0)
    episodes = []
    for steps in (30, 25, 40, 18):
        walk = np.cumsum(rng.normal(0, 8, (steps, 20)), axis=0) + rng.uniform(150, 350, 20)
        observations = walk.clip(30, 500)
        observations[:, 19] = 256.0
        episodes.append(Episode(observations, observations[:, :2] + 4.0))
    return Demonstrations("dto/PushT-v0", tuple(episodes))


@pytest.fixture(scope="session")
def tiny_zoo(tmp_path_factory: pytest.TempPathFactory, demonstrations: Demonstrations) -> Path:
    """Two members of a diffusion policy, and a filter of each kind for the first."""
    from dto_agents.diffog.train import train_filter
    from dto_agents.diffusion.train import train_diffusion

    root = tmp_path_factory.mktemp("zoo")
    common = {"root": root, "report": lambda finished, loss: None, "episodes": 3}
    for seed in (42, 142):
        train_diffusion(demonstrations, TINY, seed=seed, **common)
    for name, recipe in (
        ("diffog", TINY_FILTER),
        ("diffog-refine", replace(TINY_FILTER, inputs="refine")),
        ("matrix", replace(TINY_FILTER, source="matrix")),
    ):
        train_filter(name, demonstrations, recipe, seed=42, base_root=root, **common)
    return root

"""Soft actor-critic on the RC car's manoeuvres.

The policy earns the environment's own reward. On the drifting turn a fine for coming near a can is taken off: there the
reward alone leads across the can, and with the fine most episodes succeed; on the other manoeuvres the fine keeps
policies away from their targets. The manoeuvre's end is an end, not a time limit: the time left is observed. Policies
are tested on starts of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from dto_agents import soft_actor_critic, zoo
from dto_agents.actor import Policy
from dto_agents.rc_car.sac import FEATURES, KIND, features
from dto_agents.soft_actor_critic import learn, play_tests, write_learned
from dto_agents.training import Report

TESTED_SEEDS = range(20_000, 20_020)  # reset seeds of the tests during training; evaluations use 100,000 and up
ROOM = 0.05  # m; a car that passes a can nearer than this is fined
MANOEUVRES = ("dto/RCCarParking-v0", "dto/RCCarReverse-v0", "dto/RCCarDriftTurn-v0")


@dataclass(frozen=True)
class SacRecipe(soft_actor_critic.SacRecipe):
    """As every soft actor-critic's, with the fines.

    Attributes:
        fine: taken from the reward per metre of :data:`ROOM` that is missing where a car passes a can.
    """

    fine: float = 0.0

    def __post_init__(self) -> None:
        """Refuse recipes that cannot be trained."""
        super().__post_init__()
        if self.fine < 0:
            raise ValueError(f"fine must not be negative, but is {self.fine}")


def recipe_for(env_id: str) -> SacRecipe:
    """How the shipped policy of a manoeuvre was trained."""
    return SacRecipe(fine=20.0) if env_id == "dto/RCCarDriftTurn-v0" else SacRecipe()


@dataclass(frozen=True)
class Test:
    """How a policy did.

    Attributes:
        samples: environment steps it was trained on.
        reward: mean over episodes of the summed reward, fines taken off.
        success: share of the episodes.
        position_error: mean at the end, m.
        heading_error: mean at the end, rad.
    """

    samples: int
    reward: float
    success: float
    position_error: float
    heading_error: float


class ManoeuvreFeatures(gymnasium.Wrapper):
    """A manoeuvre as the policy sees it: features for observations, an end where time is up, fines for near misses."""

    def __init__(self, env: gymnasium.Env, fine: float) -> None:
        """Wrap a manoeuvre; ``fine`` as in :class:`SacRecipe`."""
        super().__init__(env)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (FEATURES,), np.float32)
        self._fine = fine
        self._fined = 0.0

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """See :meth:`gymnasium.Env.reset`."""
        observation, info = self.env.reset(**kwargs)
        self._fined = self._fines(info)
        return features(observation[None])[0], info

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """See :meth:`gymnasium.Env.step`."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        fines = self._fines(info)
        reward, self._fined = float(reward) - (fines - self._fined), fines
        return features(observation[None])[0], reward, terminated or truncated, False, info

    def _fines(self, info: dict[str, Any]) -> float:
        """All fines of an episode so far: its smallest distance to a can decides."""
        return self._fine * max(ROOM - info["clearance"], 0.0)


def train_sac(env_id: str, recipe: SacRecipe, *, seed: int, root: Path, report: Report) -> Path:
    """Train a policy and write it to a zoo; interrupted by the keyboard, write the best so far.

    Args:
        env_id: one of :data:`MANOEUVRES`.
        recipe: how to train.
        seed: of initial weights, exploration and starts.
        root: the zoo.
        report: called with the samples so far and minus the mean reward of the last test.

    Returns:
        The weights file.

    Raises:
        ValueError: the environment is no manoeuvre.
        FileExistsError: the result is there already.
        dto_envs.registry.MissingExtraError: stable-baselines3 is not installed.
    """
    if env_id not in MANOEUVRES:
        raise ValueError(f"rc-car-sac drives the manoeuvres {', '.join(MANOEUVRES)}, not {env_id}; pass one with --env")
    path = zoo.claim(KIND, env_id, seed, root)

    def make_env() -> ManoeuvreFeatures:
        return ManoeuvreFeatures(gymnasium.make(env_id), recipe.fine)

    tested = make_env()
    learned = learn(make_env, partial(test_policy, tested), recipe, seed=seed, report=report)
    tested.close()
    return write_learned(path, KIND, env_id, seed, learned, recipe, len(TESTED_SEEDS))


def test_policy(env: ManoeuvreFeatures, policy: Policy, samples: int) -> Test:
    """Drive an episode from each of :data:`TESTED_SEEDS` without exploring."""
    reward, means = play_tests(env, policy, TESTED_SEEDS, ("success", "position_error", "heading_error"))
    return Test(samples, reward, **means)

"""Soft actor-critic on the iiwa's reaching.

The policy earns what the environment pays, minus the cost of every step, with a floor under it (random torques on the
light wrist cost a hundred times what an optimal motion does) and a reward for coming nearer to the goal, which sums to
the same for every way that arrives. It learns nothing from the arm's model or from optimal motions but the range of
torques.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from dto_agents import zoo
from dto_agents.actor import Policy
from dto_agents.iiwa.agents import ENV_ID
from dto_agents.iiwa.sac import FEATURES, KIND, features, torques_of
from dto_agents.soft_actor_critic import SacRecipe, learn, play_tests, write_learned
from dto_agents.training import Report
from dto_envs.iiwa.constants import JOINTS

RECIPE = SacRecipe(steps=50_000, discount=0.995, tests=10)
TESTED_SEEDS = range(70_000, 70_020)  # starts of the tests during training; evaluations use 100,000 and up
FLOOR = -1.0  # of what a step earns
APPROACH = 5.0  # reward per rad, or rad/s, that the state comes nearer to the goal


@dataclass(frozen=True)
class Test:
    """How a policy did.

    Attributes:
        samples: environment steps it was trained on.
        reward: mean over episodes of the summed reward.
        success: share of the episodes.
        cost: mean cost.
        distance: mean distance from the goal at the end.
    """

    samples: int
    reward: float
    success: float
    cost: float
    distance: float


class ReachingFeatures(gymnasium.Wrapper):
    """Reaching as the policy sees it: features for observations, actions in [-1, 1], rewards as the module says."""

    def __init__(self, env: gymnasium.Env) -> None:
        """Wrap the environment."""
        super().__init__(env)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (FEATURES,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1, 1, (JOINTS,), np.float32)
        self._distance = 0.0

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """See :meth:`gymnasium.Env.reset`."""
        observation, info = self.env.reset(**kwargs)
        self._distance = info["distance"]
        return features(observation[None])[0], info

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """See :meth:`gymnasium.Env.step`."""
        observation, earned, terminated, truncated, info = self.env.step(torques_of(action))
        nearer, self._distance = self._distance - info["distance"], info["distance"]
        reward = max(float(earned), FLOOR) + APPROACH * nearer
        return features(observation[None])[0], reward, terminated, truncated, info


def train_sac(recipe: SacRecipe, *, seed: int, root: Path, report: Report) -> Path:
    """Train a policy and write it to a zoo; interrupted by the keyboard, write the best so far.

    Args:
        recipe: how to train, :data:`RECIPE` or one's own.
        seed: of initial weights, exploration and starts.
        root: the zoo.
        report: called with the samples so far and minus the mean reward of the last test.

    Returns:
        The weights file.

    Raises:
        FileExistsError: the result is there already.
        dto_envs.registry.MissingExtraError: stable-baselines3 is not installed.
    """
    path = zoo.claim(KIND, ENV_ID, seed, root)

    def make_env() -> ReachingFeatures:
        return ReachingFeatures(gymnasium.make(ENV_ID))

    learned = learn(make_env, partial(test_policy, make_env()), recipe, seed=seed, report=report)
    return write_learned(path, KIND, ENV_ID, seed, learned, recipe, len(TESTED_SEEDS))


def test_policy(env: ReachingFeatures, policy: Policy, samples: int) -> Test:
    """Reach from each of :data:`TESTED_SEEDS` without exploring."""
    reward, means = play_tests(env, policy, TESTED_SEEDS, ("success", "cost", "distance"))
    return Test(samples, reward, **means)

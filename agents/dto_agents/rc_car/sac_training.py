"""Soft actor-critic (Haarnoja et al. 2018) on the RC car's manoeuvres, by stable-baselines3, with samples counted.

The policy earns the environment's own reward, less a fine for coming near a can: the environment takes success away
from a car that touched one, which random driving is too seldom near to learn from. The manoeuvre's end is an end, not a
time limit: the time left is observed. The policy that did best in repeated tests on starts of their own is kept, not
the last one.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

from dto_agents import zoo
from dto_agents.rc_car.sac import FEATURES, KIND, Policy, features
from dto_agents.training import Report
from dto_envs.registry import require

TESTED_SEEDS = range(20_000, 20_020)  # reset seeds of the tests during training; evaluations use 100,000 and up
ROOM = 0.05  # m; a car that passes a can nearer than this is fined
MANOEUVRES = ("dto/RCCarParking-v0", "dto/RCCarReverse-v0", "dto/RCCarDriftTurn-v0")


@dataclass(frozen=True)
class SacRecipe:
    """What a training run depends on besides its environment and seed.

    Attributes:
        steps: environment steps over all environments: the samples.
        environments: that step together.
        updates: optimiser steps after each step of all environments.
        warmup: samples of random driving before the first update.
        width: neurons of a hidden layer, of actor and critics.
        depth: hidden layers.
        batch_size: samples per update.
        learning_rate: of actor, critics and temperature.
        discount: of a reward per step.
        lookahead: steps whose rewards are summed before the critic's estimate takes over.
        fine: taken from the reward per metre of :data:`ROOM` that is missing where a car passes a can.
        tests: times that the policy is tested, evenly spread.
    """

    steps: int = 100_000
    environments: int = 16
    updates: int = 4
    warmup: int = 4_000
    width: int = 128
    depth: int = 2
    batch_size: int = 256
    learning_rate: float = 7e-4
    discount: float = 0.99
    lookahead: int = 3
    fine: float = 20.0
    tests: int = 40

    def __post_init__(self) -> None:
        """Refuse recipes that cannot be trained."""
        for name in ("steps", "environments", "updates", "width", "depth", "batch_size", "lookahead", "tests"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.fine < 0:
            raise ValueError(f"fine must not be negative, but is {self.fine}")


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
    require("rl", "stable_baselines3")
    path = zoo.claim(KIND, env_id, seed, root)
    best: list[tuple[Test, Policy]] = []

    def keep(test: Test, policy: Policy) -> None:
        if not best or test.reward > best[0][0].reward:
            best[:] = [(test, policy)]

    samples = _learn(env_id, recipe, seed, report, keep)
    test, policy = best[0]
    tensors = {
        f"{kind}{i}": torch.from_numpy(values)
        for kind, arrays in (("weight", policy.weights), ("bias", policy.biases))
        for i, values in enumerate(arrays)
    }
    description = {"kind": KIND, "env_id": env_id}
    zoo.write(path, tensors, description, make_card(env_id, recipe, seed, samples=samples, test=test))
    return path


def make_card(env_id: str, recipe: SacRecipe, seed: int, *, samples: int, test: Test) -> dict[str, Any]:
    """What a policy's card says: ``steps`` are the samples it was chosen from, ``selected`` how the chosen one did."""
    return {
        "agent": KIND,
        "env_id": env_id,
        "seed": seed,
        "steps": samples,
        "recipe": asdict(recipe),
        "selected": {**asdict(test), "episodes": len(TESTED_SEEDS)},
        "versions": {name: importlib.metadata.version(name) for name in ("stable-baselines3", "torch", "numpy")},
        "measured": None,
    }


def _learn(env_id: str, recipe: SacRecipe, seed: int, report: Report, keep: Callable[[Test, Policy], None]) -> int:
    """Run soft actor-critic, hand every tested policy to ``keep``, and return the number of samples."""
    from stable_baselines3 import SAC
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.vec_env import DummyVecEnv

    every = max(recipe.steps // recipe.tests, recipe.environments)
    tested = ManoeuvreFeatures(gymnasium.make(env_id), recipe.fine)

    class Tests(BaseCallback):
        next_test = every
        last = float("nan")

        def _on_step(self) -> bool:
            if self.num_timesteps >= self.next_test:
                self.next_test += every
                self.test()
            report(self.num_timesteps, self.last)
            return True

        def test(self) -> None:
            policy = _export(self.model.policy.actor)
            result = test_policy(tested, policy, self.num_timesteps)
            self.last = -result.reward
            keep(result, policy)

    environments = DummyVecEnv([lambda: ManoeuvreFeatures(gymnasium.make(env_id), recipe.fine)] * recipe.environments)
    model = SAC(
        "MlpPolicy",
        environments,
        learning_rate=recipe.learning_rate,
        buffer_size=max(recipe.steps, 1000),
        learning_starts=recipe.warmup,
        batch_size=recipe.batch_size,
        gamma=recipe.discount,
        n_steps=recipe.lookahead,
        gradient_steps=recipe.updates,
        ent_coef="auto_0.1",
        policy_kwargs={"net_arch": [recipe.width] * recipe.depth, "optimizer_kwargs": {"fused": True}},
        seed=seed,
        device="cpu",
    )
    tests = Tests()
    with suppress(KeyboardInterrupt):
        model.learn(recipe.steps, callback=tests)
    tests.test()
    environments.close()
    tested.close()
    return model.num_timesteps


def test_policy(env: ManoeuvreFeatures, policy: Policy, samples: int) -> Test:
    """Drive an episode from each of :data:`TESTED_SEEDS` without exploring."""
    rewards, infos = [], []
    for seed in TESTED_SEEDS:
        observation, info = env.reset(seed=seed)
        total, over = 0.0, False
        while not over:
            observation, reward, over, _, info = env.step(policy(observation[None])[0])
            total += float(reward)
        rewards.append(total)
        infos.append(info)
    means = {
        key: float(np.mean([info[key] for info in infos])) for key in ("success", "position_error", "heading_error")
    }
    return Test(samples, float(np.mean(rewards)), **means)


def _export(actor: Any) -> Policy:
    """The mean of stable-baselines3's actor as it is now, rounded as a zoo keeps it."""
    layers = [layer for layer in (*actor.latent_pi, actor.mu) if isinstance(layer, torch.nn.Linear)]

    def rounded(values: torch.Tensor) -> np.ndarray:
        return values.detach().half().float().numpy().copy()

    return Policy(tuple(rounded(layer.weight) for layer in layers), tuple(rounded(layer.bias) for layer in layers))

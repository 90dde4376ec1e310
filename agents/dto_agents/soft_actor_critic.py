"""Soft actor-critic (Haarnoja et al. 2018) by stable-baselines3, with samples counted.

The policy that did best in repeated tests is kept, not the last one. What is trained on and how it is tested belongs to
each task.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import gymnasium
import numpy as np
import torch

from dto_agents import zoo
from dto_agents.actor import Policy
from dto_agents.recipes import check_counts
from dto_agents.training import Report
from dto_envs.registry import require


@dataclass(frozen=True)
class SacRecipe:
    """What a training run depends on besides its environment and seed.

    Attributes:
        steps: environment steps over all environments: the samples.
        environments: that step together.
        updates: optimiser steps after each step of all environments.
        warmup: samples of random actions before the first update.
        width: neurons of a hidden layer, of actor and critics.
        depth: hidden layers.
        batch_size: samples per update.
        learning_rate: of actor, critics and temperature.
        discount: of a reward per step.
        lookahead: steps whose rewards are summed before the critic's estimate takes over.
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
    tests: int = 40

    def __post_init__(self) -> None:
        """Refuse recipes that cannot be trained."""
        check_counts(self, "steps", "environments", "updates", "width", "depth", "batch_size", "lookahead", "tests")


class Tested(Protocol):
    """What a test of a policy tells; the larger the reward the better."""

    @property
    def reward(self) -> float:
        """Mean over episodes of the summed reward."""
        ...


Outcome = TypeVar("Outcome", bound=Tested)


@dataclass(frozen=True, eq=False)
class Learned(Generic[Outcome]):
    """The best policy of a run.

    Attributes:
        policy: as the zoo keeps it.
        test: how it did.
        samples: environment steps that were taken in all.
    """

    policy: Policy
    test: Outcome
    samples: int


def learn(
    make_env: Callable[[], gymnasium.Env],
    test: Callable[[Policy, int], Outcome],
    recipe: SacRecipe,
    *,
    seed: int,
    report: Report,
) -> Learned[Outcome]:
    """Run soft actor-critic; interrupted by the keyboard, return the best so far.

    Args:
        make_env: makes the environment that is learned in, with float32 features for observations.
        test: called with a policy and the samples it has learned from.
        recipe: how to train.
        seed: of initial weights, exploration and starts.
        report: called with the samples so far and minus the reward of the last test.

    Raises:
        dto_envs.registry.MissingExtraError: stable-baselines3 is not installed.
    """
    require("rl", "stable_baselines3")
    from stable_baselines3 import SAC
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.vec_env import DummyVecEnv

    every = max(recipe.steps // recipe.tests, recipe.environments)
    best: list[tuple[Outcome, Policy]] = []

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
            policy = export(self.model.policy.actor)
            result = test(policy, self.num_timesteps)
            self.last = -result.reward
            if not best or result.reward > best[0][0].reward:
                best[:] = [(result, policy)]

    environments = DummyVecEnv([make_env] * recipe.environments)
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
    result, policy = best[0]
    return Learned(policy, result, model.num_timesteps)


def play_tests(
    env: gymnasium.Env, policy: Policy, seeds: Sequence[int], figures: Sequence[str]
) -> tuple[float, dict[str, float]]:
    """Play an episode from each reset seed without exploring.

    Returns:
        The mean over episodes of the summed reward, and of each of ``figures`` in the last step's info.
    """
    rewards, infos = [], []
    for seed in seeds:
        observation, info = env.reset(seed=seed)
        total, over = 0.0, False
        while not over:
            observation, reward, terminated, truncated, info = env.step(policy(observation[None])[0])
            total, over = total + float(reward), terminated or truncated
        rewards.append(total)
        infos.append(info)
    return float(np.mean(rewards)), {key: float(np.mean([info[key] for info in infos])) for key in figures}


def export(actor: Any) -> Policy:
    """The mean of stable-baselines3's actor as it is now, rounded as a zoo keeps it."""
    layers = [layer for layer in (*actor.latent_pi, actor.mu) if isinstance(layer, torch.nn.Linear)]

    def rounded(values: torch.Tensor) -> np.ndarray:
        return values.detach().half().float().numpy().copy()

    return Policy(tuple(rounded(layer.weight) for layer in layers), tuple(rounded(layer.bias) for layer in layers))


def write_learned(
    path: Path, agent: str, env_id: str, seed: int, learned: Learned[Any], recipe: SacRecipe, episodes: int
) -> Path:
    """Write the best policy of a run and its card; returns ``path``.

    The card's ``steps`` are the samples it was chosen from, ``selected`` how it did in its test of ``episodes``.
    """
    card = {
        "agent": agent,
        "env_id": env_id,
        "seed": seed,
        "steps": learned.samples,
        "recipe": asdict(recipe),
        "selected": {**asdict(learned.test), "episodes": episodes},
        "versions": {name: importlib.metadata.version(name) for name in ("stable-baselines3", "torch", "numpy")},
        "measured": None,
    }
    zoo.write(path, learned.policy.tensors(), {"kind": agent, "env_id": env_id}, card)
    return path

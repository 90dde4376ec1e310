"""What smooth motion is worth in LeTO's two real-world tasks: an expert that moves like a person, filtered and not.

Run: python benchmarks/bench_leto_tasks.py [--episodes 50]
"""

from __future__ import annotations

import argparse

import gymnasium
import numpy as np

import dto_envs  # noqa: F401
from dto_agents.base import Agent, FilteredAgent
from dto_agents.experts import EXPERTS, make_expert
from dto_envs.actions import ActionLayout
from dto_envs.filters import make_filter
from dto_envs.registry import row

FIRST_SEED = 80_000


def play(env: gymnasium.Env, layout: ActionLayout, agent: Agent, seed: int) -> tuple[bool, int, float, float]:
    """Success, steps, largest force on the table (N) and largest change of an action (normalised) of an episode."""
    observation, info = env.reset(seed=seed)
    agent.reset([seed])
    actions, force, over = [], 0.0, False
    while not over:
        action = agent.act(observation[None])[0, 0]
        observation, _, terminated, truncated, info = env.step(action)
        actions.append(action)
        force = max(force, info["contact_force"])
        over = terminated or truncated
    changes = np.abs(np.diff(np.array(actions)[:, list(layout.trajectory)], axis=0))
    return info["success"], len(actions), force, float(changes.max())


def main() -> None:
    """Print a line per task and agent."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--task", choices=("MoveStack", "ArrangeChopsticks"), nargs="*")
    options = parser.parse_args()
    for task in options.task or ("MoveStack", "ArrangeChopsticks"):
        env_id = f"dto/{task}-v0"
        env, layout, style = gymnasium.make(env_id), row(env_id).layout, EXPERTS[env_id].style
        agents: dict[str, Agent] = {"expert": make_expert(env_id), "as people move": make_expert(env_id, style)}
        for name in ("clipping", "projection"):
            agents[f"as people move, {name}"] = FilteredAgent(
                make_expert(env_id, style), make_filter(name, layout), layout, from_rest=row(env_id).from_rest
            )
        for name, agent in agents.items():
            played = [play(env, layout, agent, FIRST_SEED + index) for index in range(options.episodes)]
            success, steps, force, change = (np.array(values) for values in zip(*played, strict=True))
            print(
                f"{task}, {name}: success {success.sum()}/{len(success)}, steps {steps.mean():.0f}, "
                f"largest change {change.max():.2f}, largest force mean {force.mean():.1f} N, peak {force.max():.1f} N",
                flush=True,
            )
        env.close()


if __name__ == "__main__":
    main()

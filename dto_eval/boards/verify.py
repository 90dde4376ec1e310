"""Simulate a sample of a run's episodes again and compare them with what was recorded."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from dto_envs.registry import row
from dto_eval import pool
from dto_eval.boards import evidence
from dto_eval.boards.checks import board_settings
from dto_eval.boards.evidence import Key, grid_step, to_grid
from dto_eval.boards.guard import RefusedError, printable
from dto_eval.boards.submit import read_finished, read_submission
from dto_eval.evaluate import resolve_protocol, shard_player
from dto_eval.records import Episode, Protocol
from dto_eval.rollout import Rollout
from dto_eval.settings import env_spec
from dto_eval.shards import Shard, plan


@dataclass(frozen=True)
class Recorded:
    """What was recorded of a run, from its folder or from a submission.

    Attributes:
        protocol: how it was run.
        episodes: the records by (member, init).
        grid: the rounded actions by the same keys, see ``dto_eval.boards.evidence``; None where they follow from seeds.
        n_action_steps: number of actions executed of every chunk, None where that is not known.
    """

    protocol: Protocol
    episodes: Mapping[Key, Episode]
    grid: Mapping[Key, np.ndarray] | None
    n_action_steps: int | None


@dataclass(frozen=True)
class Comparison:
    """One episode, recorded and simulated again.

    Attributes:
        key: (member, init).
        differing: which of initial state, success, score, cost, steps and actions differ.
        action_difference: largest difference of any action over the steps that both have, normalised, to within the
            archive's rounding; None where the archive holds no actions.
    """

    key: Key
    differing: tuple[str, ...]
    action_difference: float | None


def read_recorded(path: Path) -> Recorded:
    """Read a run folder or a submission, which may hold anything.

    Raises:
        RefusedError: with the reason.
    """
    if (path / evidence.EPISODES).exists():
        submission = read_submission(path)
        return Recorded(submission.run.protocol, submission.episodes, submission.grid, submission.n_action_steps)
    finished, entry = read_finished(path)
    grid = {key: to_grid(value.actions, entry.layout) for key, value in finished.actions.items()}
    counts = {value.n_action_steps for value in finished.actions.values()}
    return Recorded(finished.run.protocol, finished.episodes, grid, counts.pop() if len(counts) == 1 else None)


def verify(
    recorded: Recorded,
    *,
    episodes: int = 10,
    seed: int = 0,
    weights: Path | None = None,
    workers: int = 1,
    run_own_code: bool = False,
) -> Iterator[Comparison]:
    """Simulate whole shards, drawn at random, until at least ``episodes`` episodes were compared.

    Whole shards, because a policy sees its shard as one batch. The environment and the agent are built from their
    names here, not from the recorded description of the environment.

    Args:
        recorded: what to compare with.
        episodes: how many at least.
        seed: of the draw.
        weights: root of the folder with trained weights, None for those shipped.
        workers: number of processes.
        run_own_code: import classes that the run names as ``module:Class``.

    Raises:
        RefusedError: the agent cannot be built here as it was, or names code that was not allowed to run.
    """
    spec = env_spec(recorded.protocol.env_id, board_settings(recorded.protocol))
    protocol = recorded.protocol.model_copy(update={"env_spec": spec})
    check_agent(protocol, weights, run_own_code)
    shards = sample_shards(protocol, episodes, seed)
    setup = partial(shard_player, protocol, weights)
    try:
        for event in pool.run_tasks(setup, shards, workers):
            if event.kind == "result":
                yield _compare(recorded, event.value)
    except (pool.TaskFailedError, pool.WorkerDiedError) as error:
        raise RefusedError(f"the simulation failed: {printable(str(error), 300)}") from error


def sample_shards(protocol: Protocol, episodes: int, seed: int) -> list[Shard]:
    """Shards drawn at random, in the order of the plan, with at least ``episodes`` episodes, or all there are."""
    shards = list(plan(protocol))
    chosen: list[Shard] = []
    for shard in random.Random(seed).sample(shards, len(shards)):
        if sum(len(entry.inits) for entry in chosen) >= episodes:
            break
        chosen.append(shard)
    return sorted(chosen, key=lambda shard: shard.index)


def check_agent(protocol: Protocol, weights: Path | None, run_own_code: bool) -> None:
    """Refuse agents whose members come out otherwise here: other weights, or another version of their class."""
    own = [part for part in (protocol.base, protocol.filter or "") if ":" in part]
    if own and not run_own_code:
        raise RefusedError(f"verifying would import {printable(own[0])}; allow it with --run-own-code if you trust it")
    try:
        here = resolve_protocol(
            protocol.env_id,
            protocol.agent,
            base=protocol.base,
            filter=protocol.filter,
            filter_options=protocol.filter_options,
            weights=weights,
            episodes=protocol.episodes,
        )
    except (ValueError, FileNotFoundError) as error:
        raise RefusedError(f"the agent cannot be built here: {printable(str(error), 300)}") from error
    members = {member.name: member for member in here.members}
    for member in protocol.members:
        if members.get(member.name) != member:
            raise RefusedError(f"member {printable(member.name)} is another one here: weights or source differ")


def _compare(recorded: Recorded, rollout: Rollout) -> Comparison:
    again = rollout.episode
    key = (again.member, again.init)
    before = recorded.episodes[key]
    compared = {
        "initial state": before.init_hash == again.init_hash,
        "success": before.success_once == again.success_once,
        "score": before.score == again.score,
        "cost": before.cost == again.cost,
        "steps": before.steps == again.steps,
        "actions": before.actions_sha256 == again.actions_sha256,
        "actions per chunk": recorded.n_action_steps in (None, rollout.n_action_steps),
    }
    difference = None
    if recorded.grid is not None:
        layout = row(recorded.protocol.env_id).layout
        grid, fresh = recorded.grid[key], to_grid(rollout.actions, layout)
        steps = min(len(grid), len(fresh))
        difference = float((np.abs(grid[:steps] - fresh[:steps]) * grid_step(layout)).max())
        # The archive itself must hold the actions whose SHA-256 is recorded beside it.
        if compared["actions"] and not np.array_equal(grid, fresh):
            compared["archived actions"] = False
    return Comparison(key, tuple(name for name, same in compared.items() if not same), difference)

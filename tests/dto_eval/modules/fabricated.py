"""Runs made up without a simulator, whose every number follows from member and init."""

import hashlib

import numpy as np

from dto_envs import registry
from dto_eval.records import Episode, Member, Protocol, Provenance, Run
from dto_eval.rollout import Rollout, actions_digest
from dto_eval.run_folder import open_run
from dto_eval.settings import env_spec
from dto_eval.shards import plan

PROVENANCE = Provenance(created="now", git_commit=None, git_dirty=None, versions={}, platform="test")


def make_run(episodes=10, members=("seed1", "seed2"), shard_size=3, env_id="dto/PushT-v0", **fields):
    protocol = Protocol(
        env_id=env_id,
        env_spec=env_spec(env_id),
        agent=fields.pop("agent", "made-up"),
        base="made-up",
        members=tuple(Member(name=name) for name in members),
        episodes=episodes,
        shard_size=shard_size,
        **fields,
    )
    return Run(protocol=protocol, provenance=PROVENANCE)


def make_rollout(run, shard, init, *, wall_s=0.0, shift=0.0, success=None, scale=0.02):
    """An episode of 4 to 10 steps; ``shift`` and ``scale`` change its actions, ``success`` its outcome."""
    layout = registry.row(run.protocol.env_id).layout
    name_seed = int.from_bytes(hashlib.sha256(shard.member.encode()).digest()[:4], "big")
    rng = np.random.default_rng([name_seed, init])
    steps = int(rng.integers(4, 11))
    normalized = np.cumsum(scale * rng.uniform(-1, 1, (steps, layout.size)), axis=0) + shift
    actions = layout.denormalize(normalized).astype(np.float32)
    solved = bool(rng.integers(2)) if success is None else success
    episode = Episode(
        member=shard.member,
        init=init,
        shard=shard.index,
        init_hash=hashlib.sha256(str(init).encode()).hexdigest(),
        steps=steps,
        success_once=solved,
        success_at_end=solved,
        score=1.0 if solved else float(rng.uniform(0, 0.9)),
        actions_sha256=actions_digest(actions),
        wall_s=wall_s,
    )
    return Rollout(episode, actions, actions + 1 if run.protocol.filter else None, 4)


def fill(path, run, **options):
    """Write a complete run folder and return the finished run."""
    with open_run(path, run) as folder:
        for shard in folder.todo:
            for init in shard.inits:
                folder.add(make_rollout(run, shard, init, **options))
            folder.finish_shard(shard)
        return folder.complete()


def shards(run):
    return plan(run.protocol)

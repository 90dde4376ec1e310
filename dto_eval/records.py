"""What is kept of an evaluation: the run's description and one record per finished episode."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

# Fields of an Episode that two runs of one protocol may differ in.
TIMINGS = frozenset({"policy_ms", "filter_ms", "wall_s"})


class Frozen(BaseModel):
    """Base of all records: immutable, and unknown fields are an error rather than silently dropped."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Member(Frozen):
    """One trained policy of a run: a training seed and a checkpoint.

    Attributes:
        name: unique within the run, such as ``seed42``; ``only`` for agents without weights.
        training_seed: seed of the training run, None without weights.
        checkpoint: name of the checkpoint, None without weights.
        weights: file name -> SHA-256 of every weights file the member reads.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_.+-]{1,64}$")
    training_seed: int | None = None
    checkpoint: str | None = None
    weights: dict[str, str] = Field(default_factory=dict)


class Protocol(Frozen):
    """Everything that fixes a run's numbers. Two runs with equal protocols and weights give equal records.

    Attributes:
        env_id: environment id.
        env_spec: the environment's serialised Gymnasium spec, wrappers included.
        agent: the agent's name on the boards.
        base: name of the base policy, or ``module:Class``.
        filter: name of the filter and its options; None for none.
        filter_options: options of the filter (bound, alpha and so on) as resolved, not as typed.
        members: the members, in order.
        episodes: number of episodes.
        first_init: reset seed of the first init.
        shard_size: inits per shard.
        seed: seed of the agents' randomness.
        run_out: True to step on to the horizon after success.
    """

    env_id: str
    env_spec: str
    agent: str
    base: str
    filter: str | None = None
    filter_options: dict[str, Any] = Field(default_factory=dict)
    members: tuple[Member, ...]
    episodes: int = Field(ge=1)
    first_init: int = 100_000
    shard_size: int = Field(ge=1)
    seed: int = 0
    run_out: bool = False


class Episode(Frozen):
    """One finished episode. ``wall_s``, ``policy_ms`` and ``filter_ms`` are timings; all else is reproducible.

    Attributes:
        member: name of the member.
        init: reset seed of the environment.
        shard: index of the shard.
        init_hash: SHA-256 of the initial simulator state.
        steps: number of actions executed.
        success_once: success at any step.
        success_at_end: success at the last step.
        score: the environment's score, 0 to 1.
        cost: what the episode has cost, None where the environment counts no cost.
        actions_sha256: SHA-256 of the commanded actions, float32, C order.
        filter_unresolved: for filters that may stop short of the limits, the largest violation left, normalised.
        policy_ms: mean milliseconds of one batched policy call of this episode's shard, filter excluded.
        filter_ms: the same for the filter.
        wall_s: seconds from the shard's start to this episode's end.
    """

    member: str
    init: int
    shard: int
    init_hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    steps: int = Field(ge=1)
    success_once: bool
    success_at_end: bool
    score: float = Field(ge=0, le=1)
    cost: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    actions_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    filter_unresolved: float = 0.0
    policy_ms: float = 0.0
    filter_ms: float = 0.0
    wall_s: float = 0.0


class Provenance(Frozen):
    """Where a run came from; reported, never part of its numbers.

    Attributes:
        created: UTC time, ISO 8601.
        git_commit: commit of the code, or None outside a checkout.
        git_dirty: True where the checkout had uncommitted changes.
        versions: package -> version.
        platform: operating system, machine and processor.
    """

    created: str
    git_commit: str | None
    git_dirty: bool | None
    versions: dict[str, str]
    platform: str


class Run(Frozen):
    """The contents of ``run.json``."""

    schema_version: int = 1
    protocol: Protocol
    provenance: Provenance

"""What is admitted to the boards: the protocol, the members' weights, the records, the initial states."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import gymnasium

from dto_agents import catalogue
from dto_agents.zoo import DamagedWeightsError, MissingWeightsError
from dto_envs.registry import EnvRow, MissingExtraError, UnknownEnvError, row
from dto_eval.boards.guard import (
    MAX_EPISODES,
    MAX_MEMBERS,
    RefusedError,
    check_agent_name,
    check_values,
    printable,
)
from dto_eval.evaluate import resolve_filter_options
from dto_eval.records import Episode, Protocol, Provenance
from dto_eval.settings import Settings, env_spec, settings_of
from dto_eval.shards import plan

FIRST_INIT = 100_000
SEED = 0

Key = tuple[str, int]


def check_protocol(protocol: Protocol) -> EnvRow:
    """The environment's row, if the run was made as the boards demand.

    Raises:
        RefusedError: another environment, other inits, batches or seeds than all submissions share, or a name that
            says something else than what was run.
    """
    try:
        entry = row(protocol.env_id)
    except UnknownEnvError as error:
        raise RefusedError(f"there is no environment {printable(protocol.env_id)}") from error
    check_agent_name(protocol.agent)
    check_values(protocol.filter_options, "filter_options")
    if protocol.episodes > MAX_EPISODES:
        raise RefusedError(f"the run has {protocol.episodes} episodes; at most {MAX_EPISODES} are admitted")
    names = [member.name for member in protocol.members]
    if not 1 <= len(names) <= min(MAX_MEMBERS, protocol.episodes) or len(set(names)) != len(names):
        raise RefusedError(f"a run has 1 to {MAX_MEMBERS} members with different names, and an episode for each")
    demanded = {"first_init": FIRST_INIT, "seed": SEED, "run_out": False, "shard_size": entry.shard_size}
    for name, value in demanded.items():
        if getattr(protocol, name) != value:
            raise RefusedError(f"{name} is {getattr(protocol, name)}; on the boards it is {value}")
    _check_env_spec(protocol)
    _check_composition(protocol, entry)
    return entry


def check_weights(protocol: Protocol) -> None:
    """Compare the members' weights with the zoo's, where the agent is from the zoo.

    Raises:
        RefusedError: the zoo has no such member, or its weights have another SHA-256.
    """
    if any(":" in part for part in (protocol.base, protocol.filter or "")):
        return
    try:
        infos = catalogue.members(protocol.agent, protocol.env_id, base=protocol.base, filter=protocol.filter)
    except (MissingWeightsError, DamagedWeightsError) as error:
        raise RefusedError(f"cannot compare the weights with the zoo's: {printable(str(error), 300)}") from error
    zoo = {info.name: dict(info.weights) for info in infos}
    for member in protocol.members:
        if member.name not in zoo:
            raise RefusedError(f"the zoo has no member {printable(member.name)} of {protocol.agent}")
        if member.weights != zoo[member.name]:
            raise RefusedError(f"the weights of {printable(member.name)} are not those of the zoo (SHA-256 differs)")


def check_records(protocol: Protocol, episodes: Mapping[Key, Episode], entry: EnvRow) -> None:
    """Compare the records with the protocol's plan and with themselves.

    Raises:
        RefusedError: an episode is missing, surplus or out of order, or contradicts itself or another one.
    """
    planned = {key: shard.index for shard in plan(protocol) for key in shard.keys}
    if list(episodes) != list(planned):
        wrong = sorted(episodes.keys() ^ planned.keys())
        example = f", such as {printable(wrong[0][0])}, init {wrong[0][1]}" if wrong else ": their order differs"
        raise RefusedError(f"the episodes are not the {len(planned)} that the protocol demands{example}")
    hashes: dict[int, str] = {}
    for key, episode in episodes.items():
        where = f"{key[0]}, init {key[1]}"
        if episode.shard != planned[key]:
            raise RefusedError(f"{where} is recorded in shard {episode.shard}; the protocol has it in {planned[key]}")
        if episode.steps > entry.horizon:
            raise RefusedError(f"{where} has {episode.steps} steps; the horizon is {entry.horizon}")
        if episode.success_once != episode.success_at_end:
            raise RefusedError(f"{where} went on after its success; episodes on the boards end there")
        if not episode.success_once and episode.steps < entry.horizon:
            raise RefusedError(f"{where} ended after {episode.steps} steps without success, before the horizon")
        if episode.success_once and episode.score < entry.least_success:
            raise RefusedError(
                f"{where} succeeded with a score of {episode.score}, which is below {entry.least_success:g}"
            )
        if not entry.graded and episode.score != float(episode.success_once):
            raise RefusedError(f"{where} has score {episode.score}, which is not its success")
        if (episode.cost is None) == entry.has_cost:
            what = "no cost" if entry.has_cost else f"cost {episode.cost}, where there is none"
            raise RefusedError(f"{where} has {what}; run it again with this version")
        reported = (episode.filter_unresolved, episode.policy_ms, episode.filter_ms, episode.wall_s)
        if not all(math.isfinite(value) and value >= 0 for value in reported):
            raise RefusedError(f"{where} has a timing or violation that is negative, NaN or infinite")
        if hashes.setdefault(key[1], episode.init_hash) != episode.init_hash:
            raise RefusedError(f"{where} has another initial state than other members' episodes of that init")


def check_initial_states(hashes: Mapping[int, str], others: Iterable[tuple[str, Mapping[int, str]]]) -> None:
    """Compare initial states with those of other submissions.

    Args:
        hashes: init -> SHA-256 of the initial state.
        others: name -> the same of another submission for the same environment.

    Raises:
        RefusedError: an init differs; names the submission that it differs from.
    """
    for name, theirs in others:
        for init in sorted(hashes.keys() & theirs.keys()):
            if hashes[init] != theirs[init]:
                raise RefusedError(f"init {init} has another initial state than in {name}")


def check_resets(protocol: Protocol, hashes: Mapping[int, str], sample: int = 5) -> str:
    """Reset the environment with ``sample`` of the inits, evenly spread, and compare the initial states.

    Returns:
        What was compared, or why nothing could be.

    Raises:
        RefusedError: an initial state comes out otherwise.
    """
    inits = sorted(hashes)
    chosen = sorted({inits[index * (len(inits) - 1) // max(sample - 1, 1)] for index in range(sample)})
    try:
        env = gymnasium.make(protocol.env_id)
    except (MissingExtraError, ImportError) as error:
        return f"initial states were not simulated: {error}"
    try:
        for init in chosen:
            _, info = env.reset(seed=init)
            if info["init_hash"] != hashes[init]:
                raise RefusedError(f"init {init} has another initial state here: the environment's version differs")
    finally:
        env.close()
    return f"{len(chosen)} initial states come out the same here"


def init_hashes(episodes: Mapping[Key, Episode]) -> dict[int, str]:
    """Init -> SHA-256 of the initial state."""
    return {init: episode.init_hash for (_, init), episode in episodes.items()}


def check_provenance(provenance: Provenance) -> None:
    """Refuse a time that is none and a commit that is none: both stand on the boards."""
    try:
        datetime.fromisoformat(provenance.created)
    except ValueError as error:
        raise RefusedError(f"created is {printable(provenance.created)}, which is no time") from error
    if provenance.git_commit is not None and not re.fullmatch(r"[0-9a-f]{40}([0-9a-f]{24})?", provenance.git_commit):
        raise RefusedError(f"git_commit is {printable(provenance.git_commit)}, which is no commit")


def provenance_flags(provenance: Provenance) -> tuple[str, ...]:
    """What a reader of the boards should know of where a run came from."""
    if provenance.git_commit is None:
        return ("no commit recorded",)
    return ("uncommitted changes",) if provenance.git_dirty else ()


def board_settings(protocol: Protocol) -> Settings:
    """What the boards take over from a run's choices: only what its agent observed.

    Raises:
        RefusedError: a spec that cannot be read, or choices that rows of one board may not differ in.
    """
    try:
        chosen = settings_of(protocol)
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"env_spec cannot be read: {printable(str(error))}") from error
    entry = row(protocol.env_id)
    if chosen.obs_type not in entry.obs_types:
        raise RefusedError(f"obs_type is {printable(chosen.obs_type)}; it is one of {', '.join(entry.obs_types)}")
    if "image" in chosen.obs_type and not entry.portable_images:
        raise RefusedError("the agent observed images, which differ from one OpenGL to the next; boards are of states")
    if chosen.object_set is not None:
        raise RefusedError(f"the objects were those of {printable(chosen.object_set)}; on the boards seeds draw them")
    if chosen.feed_forward:
        raise RefusedError("the actions carried forces; boards are of positions alone")
    return Settings(obs_type=chosen.obs_type)


def _check_env_spec(protocol: Protocol) -> None:
    """The run's environment must be the registered one; a spec could name any code and any wrapper."""
    settings = board_settings(protocol)
    theirs, ours = json.loads(protocol.env_spec), json.loads(env_spec(protocol.env_id, settings))
    if theirs != ours:
        keys = [key for key in ours if not isinstance(theirs, dict) or theirs.get(key) != ours[key]]
        raise RefusedError(
            f"env_spec is not that of {protocol.env_id} as registered ({', '.join(keys) or 'more keys'})"
        )


def _check_composition(protocol: Protocol, entry: EnvRow) -> None:
    """A name of the catalogue must stand for what it always stands for."""
    own = any(":" in part for part in (protocol.base, protocol.filter or ""))
    try:
        catalogue.compose(protocol.agent, base=protocol.base, filter=protocol.filter)
    except ValueError as error:
        raise RefusedError(printable(str(error), 300)) from error
    if protocol.agent not in catalogue.NAMES:
        return
    meant = catalogue.compose(protocol.agent)
    if own or (meant.base, meant.filter) != (protocol.base, protocol.filter):
        raise RefusedError(f"{protocol.agent} stands for {_parts(meant.base, meant.filter)}, which is not what was run")
    options = resolve_filter_options(meant.filter, entry.layout, {})
    if _plain(protocol.filter_options) != _plain(options):
        raise RefusedError(
            f"{protocol.agent} was run with other options than its own ({options}); give the run another name "
            "with --agent NAME --base BASE --filter FILTER"
        )


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _parts(base: str, filter: str | None) -> str:
    return f"{base} with filter {filter}" if filter else base

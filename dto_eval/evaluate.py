"""Run an evaluation: resolve what is to be run, play its shards on a pool of processes, and keep what they give."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from dto_agents import catalogue, zoo
from dto_envs import registry
from dto_eval import pool, rollout
from dto_eval.progress import EvaluationProgress
from dto_eval.provenance import differences, provenance
from dto_eval.records import Member, Protocol, Run
from dto_eval.run_folder import FinishedRun, RunFolder, open_run
from dto_eval.settings import Settings, env_spec, settings_of
from dto_eval.shards import Shard, plan


class EvaluationError(RuntimeError):
    """The run cannot go on; the message says what failed where. What was finished is kept."""


@dataclass(frozen=True)
class Evaluation:
    """The outcome of :func:`evaluate`.

    Attributes:
        finished: the complete run.
        simulated: episodes that were simulated now, the others being there already.
        seconds: wall time it took, processes' start included.
    """

    finished: FinishedRun
    simulated: int
    seconds: float


def resolve_protocol(
    env_id: str,
    agent: str | None,
    *,
    base: str | None = None,
    filter: str | None = None,
    filter_options: Mapping[str, Any] | None = None,
    weights: Path | None = None,
    episodes: int = 1500,
    first_init: int = 100_000,
    seed: int = 0,
    run_out: bool = False,
    obs_type: str | None = None,
    render_quality: str = "default",
    object_set: str | None = None,
    feed_forward: bool = False,
) -> Protocol:
    """Turn the choices of a command line into everything that fixes a run's numbers; simulates nothing.

    Args:
        env_id: environment id.
        agent: name of the agent; with ``base`` or ``filter`` only a label, None for one made of these.
        base: name of the base policy, or ``module:Class``.
        filter: name of the action filter, or ``module:Class``.
        filter_options: options of the filter; those not given are what it was trained with, or the layout's.
        weights: root of the folder with trained weights, None for those shipped.
        episodes: number of episodes over all members.
        first_init: reset seed of the first init.
        seed: seed of the agents' randomness.
        run_out: step on to the horizon after success.
        obs_type: what the agent observes, of those that the environment offers; None for what its base looks at.
        render_quality: how images are drawn: ``default``, or ``fast`` where the environment knows it.
        object_set: the frozen objects of this name, None for those that seeds draw.
        feed_forward: whether actions carry forces after positions.

    Raises:
        ValueError: an unknown environment, agent, base or filter, or an option that does not fit; one line.
        dto_agents.zoo.MissingWeightsError: the agent has not been trained for this environment.
    """
    composition = catalogue.compose(agent, base=base, filter=filter)
    seen = obs_type or catalogue.observes(composition.base)
    settings = Settings(seen, render_quality, object_set, feed_forward)
    row = settings.check(env_id)
    if feed_forward:
        catalogue.check_forces(composition.base)
    if filter_options and composition.filter is None:
        raise ValueError(f"{' and '.join(filter_options)} given, but the agent has no filter to give it to")
    infos = catalogue.members(agent, env_id, base=base, filter=filter, weights=weights)
    source = _source_digest(composition.base, composition.filter)
    chosen = {**_trained_options(composition.filter, env_id, weights), **(filter_options or {})}
    return Protocol(
        env_id=env_id,
        env_spec=env_spec(env_id, settings, run_out=run_out),
        agent=agent or "+".join(part for part in (composition.base, composition.filter) if part),
        base=composition.base,
        filter=composition.filter,
        filter_options=resolve_filter_options(composition.filter, row.layout, chosen),
        members=tuple(
            Member(
                name=info.name,
                training_seed=info.training_seed,
                checkpoint=info.checkpoint or source,
                weights=dict(info.weights),
            )
            for info in infos
        ),
        episodes=episodes,
        first_init=first_init,
        shard_size=row.shard_size,
        seed=seed,
        run_out=run_out,
    )


def _trained_options(name: str | None, env_id: str, weights: Path | None) -> dict[str, float]:
    """The limits and alpha that a learned filter was trained with, where they are not the layout's."""
    if name not in catalogue.LEARNED_FILTERS or name == "residual":
        return {}
    recipes = [entry.card.get("recipe", {}) for entry in zoo.list_members(name, env_id, weights)]
    options: dict[str, float] = {}
    for option in ("bound", "alpha", "velocity"):
        values = {recipe.get(option) for recipe in recipes}
        if len(values) > 1:
            raise ValueError(f"the members of {name!r} were trained with different values of {option}; give --{option}")
        if values and (value := values.pop()) is not None:
            options[option] = value
    return options


def resolve_filter_options(name: str | None, layout: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that a filter runs with: those ``given``, the layout's values for the others.

    Raises:
        ValueError: a bound that is not positive or has the wrong length, or a weight that is negative.
    """
    options: dict[str, Any] = {}
    if name in (*catalogue.PLAIN_FILTERS, *catalogue.LEARNED_FILTERS) and name != "residual":
        options["bound"] = layout.bound
    if name in ("static-q", "tracking", *catalogue.LEARNED_FILTERS) and name != "residual":
        options["alpha"] = layout.alpha
    # Lists, not tuples: the options must equal themselves after a round trip through JSON.
    options |= {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}
    if "phases" in options:
        options["bound"] = max(bound for bound, _ in options["phases"])
    bounds = options.get("bound", layout.bound)
    several = bounds if isinstance(bounds, list) else [bounds]
    if len(several) not in {1, len(layout.trajectory)}:
        raise ValueError(
            f"give one bound, or one for each of the {len(layout.trajectory)} trajectory dimensions, not {len(several)}"
        )
    if not all(value > 0 for value in several):
        raise ValueError(f"a bound must be positive, not {min(several)}")
    if not options.get("velocity", 1.0) > 0:
        raise ValueError(f"velocity must be positive, but it is {options['velocity']}")
    if not options.get("alpha", 0.0) >= 0:
        raise ValueError(f"alpha must not be negative, but it is {options['alpha']}")
    return options


def evaluate(
    protocol: Protocol, out: Path, *, workers: int, weights: Path | None = None, console: Console | None = None
) -> Evaluation:
    """Run, or go on with, the run that ``protocol`` describes in the folder ``out``.

    Args:
        protocol: from :func:`resolve_protocol`.
        out: the run's folder; created where absent, resumed where it holds a part of this run.
        workers: number of processes; changes nothing but the time it takes.
        weights: root of the folder with trained weights, None for those shipped.
        console: where to show progress, None for nowhere.

    Raises:
        dto_eval.run_folder.RunFolderError: the folder cannot be used.
        EvaluationError: an agent or environment raised, or a shard cost too many workers.
    """
    start = time.monotonic()
    console = console or Console(quiet=True)
    run = Run(protocol=protocol, provenance=provenance())
    with open_run(out, run) as folder:
        before = len(folder.episodes)
        headline = registry.row(protocol.env_id).headline
        with EvaluationProgress(console, plan(protocol), folder.episodes.values(), headline) as progress:
            if folder.todo and (changes := differences(folder.run.provenance, run.provenance)):
                progress.warn(f"this run was begun with {changes}; what is left is done with what is here now")
            _play_shards(folder, workers, weights, progress)
        simulated = len(folder.episodes) - before
        return Evaluation(folder.complete(), simulated, time.monotonic() - start)


def _play_shards(folder: RunFolder, workers: int, weights: Path | None, progress: EvaluationProgress) -> None:
    """Play what is to be played and keep every episode as it ends."""
    todo = folder.todo
    setup = partial(shard_player, folder.run.protocol, weights)
    try:
        for event in pool.run_tasks(setup, todo, workers):
            shard = todo[event.task]
            if event.kind == "result":
                folder.add(event.value)
                progress.add(event.value.episode)
            elif event.kind == "finished":
                folder.finish_shard(shard)
            else:
                progress.warn(f"a worker died {event.value}; {_describe(shard)} starts again on a new one")
    except (pool.TaskFailedError, pool.WorkerDiedError) as error:
        hint = "; try fewer --workers" if isinstance(error, pool.WorkerDiedError) else ""
        raise EvaluationError(f"{_describe(todo[error.task])}: {error}{hint}") from error


def shard_player(protocol: Protocol, weights: Path | None) -> pool.Work:
    """In a worker process: what plays one shard after the other, keeping environments and agents between them."""
    environments = rollout.Environments(protocol.env_spec)
    agents: dict[str, Any] = {}

    def work(shard: Shard) -> Iterator[rollout.Rollout]:
        if shard.member not in agents:
            agents[shard.member] = build_agent(protocol, shard.member, weights)
            _one_torch_thread()
        bound = protocol.filter_options.get("bound")
        yield from rollout.play(shard, agents[shard.member], environments, run_seed=protocol.seed, bound=bound)

    return work


def build_agent(protocol: Protocol, member: str, weights: Path | None = None) -> Any:
    """The agent of one member of a run, as its protocol describes it."""
    return catalogue.make_agent(
        protocol.agent,
        protocol.env_id,
        member,
        base=protocol.base,
        filter=protocol.filter,
        weights=weights,
        options=protocol.filter_options if protocol.filter else None,
        feed_forward=settings_of(protocol).feed_forward,
    )


def _one_torch_thread() -> None:
    """Hold torch to one thread, whatever the agent's module did on import."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _describe(shard: Shard) -> str:
    inits = f"init {shard.inits[0]}" if len(shard.inits) == 1 else f"inits {shard.inits[0]} to {shard.inits[-1]}"
    return f"shard {shard.index} ({shard.member}, {inits})"


def _source_digest(*names: str | None) -> str | None:
    """What pins agents that are classes of the user's own: a digest of the files that define them, None without any.

    A run's folder is then not resumed with another version of the class.
    """
    digest = hashlib.sha256()
    own = [name for name in names if name is not None and ":" in name]
    for name in own:
        catalogue.load_class(name)
        module = name.rpartition(":")[0]
        file = module if module.endswith(".py") else sys.modules[module].__file__
        if file is not None:
            digest.update(Path(file).read_bytes())
    return f"source-{digest.hexdigest()[:16]}" if own else None

"""The episodes behind Table I of Köhler et al., played once: the suite's folder keeps them for the next run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dto_eval.suites import SuiteOptions

FIRST_INIT = 100_000
MANOEUVRES = ("Parking", "Reverse", "DriftTurn")
KEPT = Path("kept", "drives")


@dataclass(frozen=True)
class Task:
    """Episodes of one agent's member on one manoeuvre.

    Attributes:
        manoeuvre: one of :data:`MANOEUVRES`.
        agent: name of the agent.
        member: name of its member.
        inits: reset seeds.
        weights: file -> SHA-256 of what the member reads.
    """

    manoeuvre: str
    agent: str
    member: str
    inits: tuple[int, ...]
    weights: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def file(self) -> Path:
        """Where the episodes are kept in the suite's folder; other weights or starts have another file."""
        content = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]
        return KEPT / f"{self.manoeuvre}-{self.agent}-{self.member}-{content}.npz"


@dataclass(frozen=True, eq=False)
class Driven:
    """One episode.

    Attributes:
        task: what it belongs to.
        init: reset seed.
        states: (n + 1, 6) observed.
        controls: (n, 2).
        position: final distance from the target, m.
        heading: final absolute heading error, rad.
        slip: largest slip angle, rad.
        success: as the environment judges.
        touched: whether a can was.
    """

    task: Task
    init: int
    states: np.ndarray
    controls: np.ndarray
    position: float
    heading: float
    slip: float
    success: bool
    touched: bool


FIELDS = ("init", "states", "controls", "position", "heading", "slip", "success", "touched")


def drive(options: SuiteOptions, agents: Sequence[str], episodes: int) -> list[Driven]:
    """Every manoeuvre by each member of ``agents``, from the kept files or played now.

    An agent that is trained but has no weights for a manoeuvre is left out, planners' networks must be there.

    Raises:
        dto_agents.zoo.MissingWeightsError: a planner has no network.
    """
    from dto_eval.pool import run_tasks

    tasks = _tasks(options, agents, episodes)
    drives = {task: list(_read(task, options.out / task.file)) for task in tasks}
    missing = [task for task in tasks if not drives[task]]
    for event in run_tasks(partial(_player, options.weights), missing, options.workers):
        task = missing[event.task]
        if event.kind == "result":
            drives[task].append(event.value)
        elif event.kind == "retry":
            drives[task].clear()
        else:
            _write(drives[task], options.out / task.file)
            options.console.print(f"rc-car: {task.manoeuvre}, {task.agent}, {task.member}", highlight=False)
    return [entry for found in drives.values() for entry in found]


def play(task: Task, weights: Path | None = None) -> Iterator[Driven]:
    """Play the episodes of ``task``, one after the other."""
    import gymnasium

    import dto_envs  # noqa: F401  registers the ids in a fresh process
    from dto_agents.catalogue import make_agent

    env_id = _env_id(task.manoeuvre)
    agent = make_agent(task.agent, env_id, task.member, weights=_weights(task.agent, weights))
    env = gymnasium.make(env_id)
    simulator: Any = env.unwrapped
    for init in task.inits:
        observation, info = env.reset(seed=init)
        agent.reset([init])
        states, controls, over = [simulator.state], [], False
        while not over:
            chunk = agent.act(observation[None])[0]
            for action in chunk.reshape(-1, 2):
                observation, _, terminated, truncated, info = env.step(action)
                states.append(simulator.state)
                controls.append(action)
                over = terminated or truncated
                if over:
                    break
        yield Driven(
            *(task, init, np.array(states), np.array(controls)),
            position=info["position_error"],
            heading=info["heading_error"],
            slip=info["largest_slip"],
            success=info["success"],
            touched=info["touched"],
        )
    env.close()


def _tasks(options: SuiteOptions, agents: Sequence[str], episodes: int) -> list[Task]:
    from dto_agents.catalogue import members
    from dto_agents.zoo import MissingWeightsError

    inits = tuple(FIRST_INIT + index for index in range(episodes))
    tasks = []
    for manoeuvre in MANOEUVRES:
        for agent in agents:
            try:
                found = members(agent, _env_id(manoeuvre), weights=_weights(agent, options.weights))
            except MissingWeightsError:
                if agent != "rc-car-sac":
                    raise
                continue
            tasks += [Task(manoeuvre, agent, member.name, inits, dict(member.weights)) for member in found]
    return tasks


def _weights(agent: str, networks: Path | None) -> Path | None:
    """Networks of one's own are a planner's; policies are always those of the zoo."""
    return None if agent == "rc-car-sac" else networks


def _player(weights: Path | None) -> Any:
    return partial(play, weights=weights)


def _env_id(manoeuvre: str) -> str:
    return f"dto/RCCar{manoeuvre}-v0"


def _write(drives: Sequence[Driven], path: Path) -> None:
    """Keep a task's episodes, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp.npz")
    np.savez(unfinished, **{name: np.stack([getattr(entry, name) for entry in drives]) for name in FIELDS})
    unfinished.replace(path)


def _read(task: Task, path: Path) -> Iterator[Driven]:
    """The episodes kept in ``path``; none where there is no such file."""
    if not path.exists():
        return
    with np.load(path, allow_pickle=False) as kept:
        columns = {name: kept[name] for name in FIELDS}
    for row in range(len(task.inits)):
        values = {name: column[row] if column.ndim > 1 else column[row].item() for name, column in columns.items()}
        yield Driven(task, **values)

"""Collect demonstrations of an expert: an episode per seed, failures thrown away, resumable at any point.

Every finished episode becomes a small file of its own in ``OUT.parts``; when enough have succeeded they are merged, in
the order of their seeds, so that the result depends neither on the number of processes nor on interruptions.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from dto_agents.catalogue import make_agent
from dto_agents.demos.dataset import FORMATS, STATE_KEYS, DemonstrationError, robosuite_keys, task_format
from dto_agents.demos.robomimic import Recording, tenths, write_demo, write_file
from dto_agents.experts import EXPERTS, STYLES, make_expert
from dto_agents.experts.operators import OPERATORS, Operator
from dto_agents.processes import process_pool
from dto_envs.registry import row

# Tasks whose observation is kept whole, with one expert: it drives a car, or leads ALOHA's arms.
DRIVEN = tuple(env_id for env_id, format_ in FORMATS.items() if format_.keys == STATE_KEYS and env_id not in STYLES)
LETO = ("dto/MoveStack-v0", "dto/ArrangeChopsticks-v0")
# Steps that a demonstration goes on for after its success. A puck is brought as soon as it is 7 cm from the goal, which
# does not show where to bring it: policies that learned from this pass by goals at 7 to 8 cm.
GOES_ON: Mapping[str, int] = MappingProxyType({"dto/PickPlaceWall-v0": 32})
# Evaluations start at 100000; seeds below it never meet one.
SEED_LIMIT = 100_000


def usual_episodes(env_id: str, operators: str = "single") -> int:
    """How many demonstrations DiffOG's policies learn from (Table IX), and LeTO's; of RoboMimic's six operators 300."""
    if row(env_id).extra == "metaworld":
        return 30
    if row(env_id).extra == "aloha" or env_id in LETO:
        return 100
    return 200 if operators == "single" else 300


@dataclass(frozen=True)
class Collection:
    """What fixes the content of a collected file.

    Attributes:
        env_id: environment with an expert, of :data:`dto_agents.experts.STYLES` or :data:`DRIVEN`.
        episodes: number of successful episodes, as many of each operator.
        first_seed: seed of the first attempt; further attempts count up.
        operators: ``single`` for one skilled person, ``multi`` for the six of :mod:`dto_agents.experts.operators`, who
            take turns.
    """

    env_id: str
    episodes: int
    first_seed: int = 0
    operators: str = "single"

    def check(self) -> None:
        """Raise where this cannot be collected; simulates nothing."""
        row(self.env_id)
        if self.env_id not in (*STYLES, *DRIVEN):
            known = ", ".join((*STYLES, *DRIVEN))
            raise DemonstrationError(f"there is no scripted expert for {self.env_id}; choose one of {known}")
        if self.operators not in OPERATORS:
            raise DemonstrationError(f"operators must be {' or '.join(OPERATORS)}, got {self.operators!r}")
        if self.env_id in DRIVEN and self.operators != "single":
            raise DemonstrationError(f"{self.env_id} has one expert; leave out --operators")
        if self.episodes % len(self.people):
            raise DemonstrationError(f"{len(self.people)} operators cannot share {self.episodes} episodes evenly")
        if not 1 <= self.episodes <= SEED_LIMIT // 4:
            raise DemonstrationError(f"episodes must be from 1 to {SEED_LIMIT // 4}, got {self.episodes}")
        if self.first_seed < 0 or self.seed_limit > SEED_LIMIT:
            last = SEED_LIMIT - (self.seed_limit - self.first_seed)
            raise DemonstrationError(
                f"first_seed must be from 0 to {last}, got {self.first_seed}: the seeds from {SEED_LIMIT} on belong to "
                "evaluations"
            )

    @property
    def people(self) -> tuple[Operator, ...]:
        """Who collects."""
        return OPERATORS[self.operators]

    def person(self, seed: int) -> Operator:
        """Who has the turn at ``seed``."""
        return self.people[(seed - self.first_seed) % len(self.people)]

    @property
    def seed_limit(self) -> int:
        """The first seed that is not tried: an expert that fails on half of the seeds is broken."""
        return self.first_seed + 2 * self.episodes + 20


@dataclass(frozen=True)
class Progress:
    """How far a collection is: successes and attempts among the seeds that have been tried."""

    successes: int
    attempts: int


def collect(
    collection: Collection, path: Path, *, workers: int = 1, report: Callable[[Progress], None] = lambda progress: None
) -> Progress:
    """Collect ``collection`` into ``path``, continuing where an interrupted collection of the same stopped.

    Args:
        collection: what to collect.
        path: the HDF5 file to write; its parts lie in ``{path}.parts`` until it is complete.
        workers: number of processes; 1 is this one.
        report: called as episodes end.

    Returns:
        Successes and attempts behind the file.

    Raises:
        DemonstrationError: the collection makes no sense, the file is there already, other parts lie there, a worker
            died, or the expert fails too often.
    """
    collection.check()
    if workers < 1:
        raise DemonstrationError(f"workers must be at least 1, got {workers}")
    if path.exists():
        raise DemonstrationError(f"{path} is there already; give another --out, or remove it to collect again")
    parts = _claim(collection, path)
    seeds = _fill(parts, collection, path, workers, report)
    fills = (functools.partial(_copy, _part(parts, seed)) for seed in seeds)
    write_file(path, env_args(collection.env_id), fills, _masks(collection, seeds))
    attempts = len(_attempts(dict(_known(parts)), collection))
    shutil.rmtree(parts)
    return Progress(len(seeds), attempts)


def _fill(
    parts: Path, collection: Collection, path: Path, workers: int, report: Callable[[Progress], None]
) -> list[int]:
    """Play seeds until enough have succeeded; returns those, in order."""
    outcomes = dict(_known(parts))
    limit = collection.seed_limit
    report(_progress(outcomes))
    pool = process_pool(workers)
    ahead = 2 * workers if workers > 1 else 1
    try:
        running: dict[Future[bool], int] = {}
        while (seeds := _chosen(outcomes, collection)) is None:
            while len(running) < ahead and (seed := _next_seed(outcomes, running.values(), collection)) < limit:
                person = collection.person(seed)
                running[pool.submit(_attempt, collection.env_id, person, seed, str(parts))] = seed
            if not running:
                raise DemonstrationError(f"the expert solved too few of the seeds below {limit}; {path} is not written")
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                outcomes[running.pop(future)] = future.result()
            report(_progress(outcomes))
        return seeds
    except BrokenProcessPool as error:
        raise DemonstrationError(
            f"a worker process died; the finished episodes are kept, run the same command again to go on to {path}"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def env_args(env_id: str) -> dict[str, Any]:
    """``env_args`` as robomimic writes them for robosuite (type 1), or for a Gymnasium environment (type 2)."""
    if task_format(env_id).keys == STATE_KEYS:
        version = importlib.metadata.version("dto-envs")
        name, choices = task_format(env_id).env_name, _choices(env_id)
        return {"env_name": name, "env_version": version, "type": 2, "env_kwargs": choices}
    from dto_envs.robomimic.build import quiet

    with quiet():
        from robosuite import __version__ as version
        from robosuite.controllers import load_composite_controller_config

        controller = load_composite_controller_config(robot="Panda")
    arms = len(EXPERTS[env_id].arms)
    placement = {"env_configuration": "opposed"} if arms == 2 else {}
    return {
        "env_name": task_format(env_id).env_name,
        "env_version": version,
        "type": 1,
        "env_kwargs": {
            "robots": ["Panda"] * arms,
            **placement,
            "controller_configs": controller,
            "control_freq": 20,
            "has_renderer": False,
            "has_offscreen_renderer": False,
            "use_object_obs": True,
            "use_camera_obs": False,
            "ignore_done": True,
            "reward_shaping": False,
        },
    }


def record_episode(env: Any, expert: Any, seed: int) -> tuple[Recording, bool]:
    """Let ``expert`` play the episode of ``seed``; where a task has :data:`GOES_ON`, so many steps beyond its success.

    Returns:
        What happened, and whether there was success.
    """
    simulator = env.unwrapped
    observation, info = env.reset(seed=seed)
    expert.reset([seed])
    observations, actions, rewards, states = [observation], [], [], []
    goes_on, after = GOES_ON.get(env.spec.id), 0
    success = over = False
    while not over:
        states.append(simulator.get_state() if hasattr(simulator, "get_state") else simulator.state)
        action = expert.act(observation[None])[0, 0]
        observation, reward, terminated, truncated, step_info = env.step(action)
        observations.append(observation)
        actions.append(action)
        rewards.append(reward)
        after += success
        success = bool(step_info["success"]) or (success and goes_on is not None)
        over = terminated or truncated or after == goes_on
    recording = Recording(
        observations=_split(np.array(observations), 0 if env.spec.id in DRIVEN else len(action) // 7),
        actions=np.array(actions, dtype=np.float64),
        rewards=np.array(rewards),
        states=np.array(states),
        attributes={"seed": seed, "init_hash": info["init_hash"]},
    )
    return recording, success


def _split(observations: np.ndarray, arms: int) -> dict[str, np.ndarray]:
    """The parts of state observations (T, D), by robomimic's keys; one part with ``arms`` 0."""
    if not arms:
        return {STATE_KEYS[0]: observations}
    ends = np.cumsum([observations.shape[1] - 9 * arms, *(3, 4, 2) * arms])
    return dict(zip(robosuite_keys(arms), np.split(observations, ends[:-1], axis=1), strict=True))


@functools.cache
def _environment(env_id: str) -> Any:
    """This process's environment, made once."""
    import gymnasium

    import dto_envs  # noqa: F401  registers the ids in a fresh process

    return gymnasium.make(env_id, **_choices(env_id))


def _choices(env_id: str) -> dict[str, Any]:
    """What demonstrations say to the environment that evaluations do not."""
    if env_id in GOES_ON:
        return {"terminate_on_success": False}
    return dict(EXPERTS[env_id].demonstrated) if env_id in EXPERTS else {}


def _attempt(env_id: str, person: Operator, seed: int, parts: str) -> bool:
    """Let ``person`` play one seed and leave its part: an HDF5 file for a success, an empty file for a failure."""
    import h5py

    if env_id in DRIVEN:
        expert = make_agent("expert", env_id)
    else:
        expert = make_expert(env_id, person.style(STYLES[env_id]))
    recording, success = record_episode(_environment(env_id), expert, seed)
    target = _part(Path(parts), seed) if success else _failure(Path(parts), seed)
    partial = target.with_name(target.name + ".partial")
    if success:
        with h5py.File(partial, "w") as file:
            write_demo(file.create_group("demo"), recording)
    else:
        partial.touch()
    os.replace(partial, target)
    return success


def _part(parts: Path, seed: int) -> Path:
    return parts / f"{seed:06d}.hdf5"


def _failure(parts: Path, seed: int) -> Path:
    return parts / f"{seed:06d}.failed"


def _copy(part: Path, group: Any) -> None:
    import h5py

    with h5py.File(part, "r") as file:
        demo: Any = file["demo"]
        for name in demo:
            file.copy(demo[name], group, name)
        for name, value in demo.attrs.items():
            group.attrs[name] = value


def _claim(collection: Collection, path: Path) -> Path:
    """Make the directory of parts, or recognise it as this collection's."""
    parts = path.with_name(path.name + ".parts")
    parts.mkdir(parents=True, exist_ok=True)
    card = parts / "collection.json"
    # The number of episodes may be raised or lowered between two attempts: the parts stay good.
    mine = {"env_id": collection.env_id, "first_seed": collection.first_seed}
    if collection.env_id not in DRIVEN:
        styles = {person.name: asdict(person.style(STYLES[collection.env_id])) for person in collection.people}
        mine |= {"style": styles["better_operator_1"]} if len(styles) == 1 else {"styles": styles}
    if collection.env_id in GOES_ON:
        mine["goes_on"] = GOES_ON[collection.env_id]
    text = json.dumps(mine, sort_keys=True, indent=1)
    if not card.exists():
        card.write_text(text)
    elif card.read_text() != text:
        raise DemonstrationError(f"{parts} holds parts of another collection; remove it, or give another --out")
    return parts


def _known(parts: Path) -> Iterator[tuple[int, bool]]:
    for file in parts.iterdir():
        if file.suffix in (".hdf5", ".failed"):
            yield int(file.stem), file.suffix == ".hdf5"


def _chosen(outcomes: dict[int, bool], collection: Collection) -> list[int] | None:
    """Each person's first successful seeds without a gap before them, or None while someone has too few."""
    attempts = _attempts(outcomes, collection)
    chosen = [seed for seed in attempts if outcomes[seed]]
    return chosen if len(chosen) == collection.episodes else None


def _attempts(outcomes: dict[int, bool], collection: Collection) -> list[int]:
    """The seeds behind each person's share, in order: without a gap, up to the success that completes the share."""
    people = len(collection.people)
    used: list[int] = []
    for first in range(collection.first_seed, collection.first_seed + people):
        seed, missing = first, collection.episodes // people
        while seed in outcomes and missing:
            used.append(seed)
            missing -= outcomes[seed]
            seed += people
    return sorted(used)


def _next_seed(outcomes: dict[int, bool], running: Iterable[int], collection: Collection) -> int:
    """The lowest seed that nobody has tried, of those whose turn it is for someone whose share is not complete."""
    busy = set(running)
    shares = {person.name: collection.episodes // len(collection.people) for person in collection.people}
    for seed in _attempts(outcomes, collection):
        shares[collection.person(seed).name] -= outcomes[seed]
    seed = collection.first_seed
    while seed in outcomes or seed in busy or not shares[collection.person(seed).name]:
        seed += 1
    return seed


def _masks(collection: Collection, seeds: list[int]) -> dict[str, list[int]] | None:
    """Robomimic's subsets by operator and by skill, beside the usual ones; None for a single operator."""
    if len(collection.people) == 1:
        return None
    masks = tenths(len(seeds))
    for index, seed in enumerate(seeds):
        name = collection.person(seed).name
        for mask in (name, name.split("_")[0]):
            masks.setdefault(mask, []).append(index)
    return masks


def _progress(outcomes: dict[int, bool]) -> Progress:
    return Progress(sum(outcomes.values()), len(outcomes))

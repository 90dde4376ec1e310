"""Optimal trajectories from many starts: solved in parallel, kept in blocks on disk, resumable.

A data set is a folder with a ``card.json`` that says what it holds and one safetensors file per block of problems,
``train-0000.safetensors`` and so on. A block is written in one go when its last problem is solved, so that an
interrupted collection goes on from the blocks that are there; problem i of a split depends on its own seed alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from dto_agents.iiwa.solver import OpenLoopSolver, SolverOptions
from dto_agents.iiwa.trajectory import Guess, OptimalTrajectory, Status, unsolved
from dto_agents.processes import process_pool
from dto_envs.iiwa import constants
from dto_envs.iiwa.constants import CONTROL_PERIOD, JOINTS
from dto_envs.iiwa.model import sample_start

ENV_ID = "dto/IiwaReach-v0"
BLOCK = 25  # problems in a file: about two seconds of work
Block = tuple[str, int, int]  # split, first problem, end
# Test start i is that of the environment's reset seed 100000 + i, with which agents are evaluated.
FIRST_SEEDS: Mapping[str, int] = MappingProxyType({"train": 0, "validation": 50_000, "test": 100_000})


class DatasetError(ValueError):
    """A data set cannot be made or read; the message says what to do."""


@dataclass(frozen=True)
class DatasetPlan:
    """What fixes the content of a data set. The defaults are the paper's counts.

    Attributes:
        train: number of training problems.
        validation: number of validation problems.
        test: number of test problems.
        side: edge of the cube of starts [rad].
        trial: 0, 1, ...: which independent repetition; changes the training and validation starts, not the test's.
    """

    train: int = 500
    validation: int = 100
    test: int = 1000
    side: float = constants.DEFAULT_SIDE
    trial: int = 0

    def __post_init__(self) -> None:
        """Check the counts."""
        if min(self.train, self.validation, self.test) < 0 or max(self.train, self.validation) > 10_000:
            raise DatasetError("a data set has 0 to 10000 training and validation problems and 0 or more for testing")
        if not self.side > 0 or not 0 <= self.trial < 5:
            raise DatasetError(f"the side must be positive and the trial from 0 to 4, got {self.side}, {self.trial}")

    def count(self, split: str) -> int:
        """Number of problems of a split."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[split]

    def start(self, split: str, index: int) -> np.ndarray:
        """State (14,) in which problem ``index`` of ``split`` begins."""
        seed = FIRST_SEEDS[split] + index + (0 if split == "test" else 10_000 * self.trial)
        return np.concatenate([sample_start(np.random.default_rng(seed), self.side), np.zeros(JOINTS)])


@dataclass(frozen=True)
class Task:
    """A problem to be solved.

    Attributes:
        start: (14,) state.
        guess: where DDP begins, None for the solver's own.
        first_duration: where the search over the duration begins [s], None for the solver's own.
    """

    start: np.ndarray
    guess: Guess | None = None
    first_duration: float | None = None


def collect_dataset(
    plan: DatasetPlan,
    folder: Path,
    *,
    workers: int = 1,
    options: SolverOptions | None = None,
    report: Callable[[int, int, int], None] = lambda done, total, solved: None,
) -> dict[str, int]:
    """Solve every problem of ``plan`` that has not been solved yet.

    Args:
        plan: which problems.
        folder: where the data set lies or shall lie.
        workers: number of processes; does not change the data.
        options: how to solve them.
        report: called with the numbers of problems done, of all, and of those solved, as blocks end.

    Returns:
        Number of solved problems by split.

    Raises:
        DatasetError: the folder holds another data set, or a worker died; the blocks that ended stay.
    """
    if workers < 1:
        raise DatasetError(f"workers must be at least 1, got {workers}")
    options = options or SolverOptions()
    _claim(plan, options, folder)
    blocks = [
        (split, first, min(first + BLOCK, plan.count(split)))
        for split in FIRST_SEEDS
        for first in range(0, plan.count(split), BLOCK)
    ]
    missing = [block for block in blocks if not _block_path(folder, *block[:2]).exists()]
    total = sum(plan.count(split) for split in FIRST_SEEDS)
    done = total - sum(end - first for _, first, end in missing)
    solved = sum(_solved_in(_block_path(folder, *block[:2])) for block in blocks if block not in missing)
    report(done, total, solved)
    for (_, first, end), count in _solved_blocks(plan, options, folder, missing, workers):
        done, solved = done + end - first, solved + count
        report(done, total, solved)
    return {
        split: sum(_solved_in(_block_path(folder, split, first)) for name, first, _ in blocks if name == split)
        for split in FIRST_SEEDS
    }


def load_dataset(folder: Path, split: str) -> list[OptimalTrajectory]:
    """All trajectories of a split, solved or not, in the order of their seeds.

    Raises:
        DatasetError: no data set lies there, it has no such split, or blocks are missing.
    """
    plan = load_plan(folder)
    if split not in FIRST_SEEDS:
        raise DatasetError(f"there is no split {split!r}; choose from {', '.join(FIRST_SEEDS)}")
    paths = [_block_path(folder, split, first) for first in range(0, plan.count(split), BLOCK)]
    missing = [path.name for path in paths if not path.exists()]
    if missing:
        raise DatasetError(f"{folder} lacks {missing[0]}; run the command that collects it again: it goes on")
    return [trajectory for path in paths for trajectory in read_trajectories(path)]


def load_plan(folder: Path) -> DatasetPlan:
    """What the data set in ``folder`` holds.

    Raises:
        DatasetError: no data set lies there.
    """
    try:
        card = json.loads((Path(folder) / "card.json").read_text(encoding="utf-8"))
        return DatasetPlan(**card["plan"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{folder} holds no data set of optimal trajectories ({error}); collect one with: "
            f"dto-demos optimal --env {ENV_ID} --out {folder}"
        ) from error


def solve_all(
    tasks: Sequence[Task],
    *,
    workers: int = 1,
    options: SolverOptions | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[OptimalTrajectory]:
    """Solve ``tasks`` on ``workers`` processes; the answers stand in the order of the tasks."""
    options = options or SolverOptions()
    parts = [list(tasks[first : first + BLOCK]) for first in range(0, len(tasks), BLOCK)]
    answers: list[OptimalTrajectory] = []
    with process_pool(workers) as pool:
        for part in pool.map(_solve_tasks, parts, [options] * len(parts)):
            answers += part
            report(len(answers), len(tasks))
    return answers


def write_trajectories(path: Path, trajectories: Sequence[OptimalTrajectory]) -> None:
    """Write trajectories to one safetensors file, in one go; gains and slopes are rounded to float32."""
    from safetensors.numpy import save_file

    nothing = unsolved(Status.DIVERGED, np.zeros(2 * JOINTS), "")

    def joined(name: str, kind: type = np.float64) -> np.ndarray:
        parts = [getattr(nothing, name)[:0], *(getattr(each, name) for each in trajectories)]
        return np.ascontiguousarray(np.concatenate(parts), dtype=kind)

    tensors = {"lengths": np.array([len(each.torques) for each in trajectories], dtype=np.int64)}
    tensors |= {name: joined(name) for name in ("times", "states", "torques")}
    tensors |= {name: joined(name, np.float32) for name in ("gains", "time_slopes")}
    tensors |= {name: np.array([getattr(each, name) for each in trajectories], dtype=np.float64) for name in _NUMBERS}
    texts = {name: [str(getattr(each, name)) for each in trajectories] for name in ("message",)}
    texts["status"] = [each.status.value for each in trajectories]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    save_file(tensors, partial, metadata={"texts": json.dumps(texts)})
    os.replace(partial, path)


def read_trajectories(path: Path) -> list[OptimalTrajectory]:
    """Read what :func:`write_trajectories` wrote.

    Raises:
        DatasetError: the file cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            texts = json.loads(file.metadata()["texts"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"cannot read trajectories from {path}: {error}; delete it and collect again") from error
    ends = np.cumsum(tensors["lengths"])
    return [_cut(tensors, texts, index, int(end)) for index, end in enumerate(ends)]


# Fields of a trajectory that are one number each.
_NUMBERS = ("duration", "cost", "reaching_cost", "gradient", "iterations", "ddp_iterations")
assert set(_NUMBERS) < {field.name for field in fields(OptimalTrajectory)}


def _cut(tensors: Mapping[str, np.ndarray], texts: Mapping[str, list[str]], index: int, end: int) -> OptimalTrajectory:
    steps = int(tensors["lengths"][index])
    begin = end - steps
    # Times and states have one row more than torques for every trajectory.
    points = slice(begin + index, end + index + 1)
    numbers: dict[str, Any] = {name: float(tensors[name][index]) for name in _NUMBERS}
    numbers |= {name: int(numbers[name]) for name in ("iterations", "ddp_iterations")}
    return OptimalTrajectory(
        status=Status(texts["status"][index]),
        times=tensors["times"][points],
        states=tensors["states"][points],
        torques=tensors["torques"][begin:end],
        gains=tensors["gains"][begin:end],
        time_slopes=tensors["time_slopes"][begin:end],
        message=texts["message"][index],
        **numbers,
    )


def _solved_blocks(
    plan: DatasetPlan, options: SolverOptions, folder: Path, blocks: Sequence[Block], workers: int
) -> Iterator[tuple[Block, int]]:
    """Solve blocks; yields each with its number of solved problems, as they end."""
    if workers == 1:
        for block in blocks:
            yield block, _solve_block(plan, options, _block_path(folder, *block[:2]), *block)
        return
    with process_pool(workers) as pool:
        running = {
            pool.submit(_solve_block, plan, options, _block_path(folder, *block[:2]), *block): block for block in blocks
        }
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        except BrokenProcessPool as error:
            raise DatasetError(f"a worker died; run the same command again to go on in {folder}") from error
        finally:
            pool.shutdown(cancel_futures=True)


def _solve_block(plan: DatasetPlan, options: SolverOptions, path: Path, split: str, first: int, end: int) -> int:
    answers = _solve_tasks([Task(plan.start(split, index)) for index in range(first, end)], options)
    write_trajectories(path, answers)
    return sum(each.solved for each in answers)


def _solve_tasks(tasks: Iterable[Task], options: SolverOptions) -> list[OptimalTrajectory]:
    solver = _solver(options)
    return [solver.solve(task.start, guess=task.guess, first_duration=task.first_duration) for task in tasks]


@lru_cache(maxsize=2)
def _solver(options: SolverOptions) -> OpenLoopSolver:
    """This process's solver: its memory is worth keeping."""
    return OpenLoopSolver(options=options)


def _solved_in(path: Path) -> int:
    return sum(each.solved for each in read_trajectories(path))


def _block_path(folder: Path, split: str, first: int) -> Path:
    return Path(folder) / f"{split}-{first // BLOCK:04d}.safetensors"


def _claim(plan: DatasetPlan, options: SolverOptions, folder: Path) -> None:
    """Write the folder's card, or recognise it as this data set's."""
    card = {"env_id": ENV_ID, "plan": asdict(plan), "solver": asdict(options), "problem": _constants()}
    text = json.dumps(card, indent=1, sort_keys=True) + "\n"
    path = Path(folder) / "card.json"
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise DatasetError(f"{folder} holds another data set; give another --out, or delete it")
    if not path.exists() and Path(folder).exists() and any(Path(folder).iterdir()):
        raise DatasetError(f"{folder} is not empty and holds no data set; give another --out")
    Path(folder).mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _constants() -> dict[str, Any]:
    """The numbers that the data depend on, so that data of an older problem are recognised."""
    names = ("GOAL", "START_OFFSET", "TIME_WEIGHT", "TORQUE_WEIGHT", "ACCELERATION_WEIGHT", "TERMINAL_WEIGHT")
    arm = [[*link.offset, *link.quarter_turns, link.mass, *link.center, *link.inertia] for link in constants.LINKS]
    numbers = {name.lower(): getattr(constants, name) for name in names}
    return {**numbers, "control_period": CONTROL_PERIOD, "success_radius": constants.SUCCESS_RADIUS, "links": arm}

"""``dto-board``: submit runs to the leaderboards, verify them, render the boards, compare runs, fill weight cards."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro


@dataclass(frozen=True)
class Submit:
    """Check a finished run and copy its evidence to the leaderboards."""

    run: tyro.conf.Positional[Path]
    """Folder of a run that dto-eval has completed."""
    root: Path = Path("leaderboards")
    """Folder of the leaderboards."""
    allow_dirty: bool = False
    """Admit a run made with uncommitted changes; the board then says so."""
    simulate: bool = True
    """Reset the environment with some of the inits and compare the initial states."""


@dataclass(frozen=True)
class Verify:
    """Simulate a sample of a run's or submission's episodes again and say whether they come out the same."""

    path: tyro.conf.Positional[Path]
    """Folder of a run or of a submission."""
    episodes: int = 10
    """Number of episodes at least; whole shards are simulated."""
    seed: int = 0
    """Seed of the draw of shards."""
    weights: Path | None = None
    """Folder with trained weights, laid out as dto-train writes them. Default: those shipped."""
    workers: int = 1
    """Number of processes."""
    run_own_code: bool = False
    """Import the class that the run names as module:Class. Only for code that you trust."""


@dataclass(frozen=True)
class Render:
    """Compute the boards from the submissions and write them."""

    root: Path = Path("leaderboards")
    """Folder of the leaderboards."""
    check: bool = False
    """Write nothing; fail where the boards that are there differ."""


@dataclass(frozen=True)
class Compare:
    """Print paired differences between runs, on the inits and members that they share."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of two or more runs; the first is what the others are compared with."""


@dataclass(frozen=True)
class Card:
    """Write what a run or submission measured into the cards of the weights that it ran."""

    path: tyro.conf.Positional[Path]
    """Folder of a run or of a submission."""
    weights: Path | None = None
    """Folder with trained weights, laid out as dto-train writes them. Default: those shipped."""


Command = (
    Annotated[Submit, tyro.conf.subcommand("submit")]
    | Annotated[Verify, tyro.conf.subcommand("verify")]
    | Annotated[Render, tyro.conf.subcommand("render")]
    | Annotated[Compare, tyro.conf.subcommand("compare")]
    | Annotated[Card, tyro.conf.subcommand("card")]
)


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the command."""
    command = tyro.cli(Command, args=arguments, prog="dto-board", description=__doc__)  # type: ignore[arg-type]
    sys.exit(run(command))


def run(command: Command) -> int:
    """Do what ``command`` asks for and return the exit code: 2 for what is refused, 1 for what differs."""
    from dto_eval.boards.guard import RefusedError, printable

    actions = {Submit: _submit, Verify: _verify, Render: _render, Compare: _compare, Card: _card}
    try:
        return actions[type(command)](command)
    except RefusedError as error:
        print(f"dto-board: {printable(str(error), 600)}", file=sys.stderr)
        return 2


def _submit(command: Submit) -> int:
    from dto_eval.boards.render import SUBMISSIONS
    from dto_eval.boards.submit import submit

    path, remarks = submit(
        command.run, command.root / SUBMISSIONS, allow_dirty=command.allow_dirty, simulate=command.simulate
    )
    for remark in remarks:
        print(remark)
    print(f"submitted to {path}; now run: dto-board render")
    return 0


def _render(command: Render) -> int:
    from dto_eval.boards.render import render

    names = render(command.root, check=command.check)
    if not command.check:
        print(f"wrote {', '.join(names)}" if names else "the boards are up to date")
        return 0
    for name in names:
        print(
            f"dto-board: {command.root / name} is not what the submissions give; run: dto-board render", file=sys.stderr
        )
    return 1 if names else 0


def _verify(command: Verify) -> int:
    from dto_eval.boards.guard import RefusedError
    from dto_eval.boards.verify import read_recorded, verify
    from dto_eval.kernels import other_choice

    if command.episodes < 1 or command.workers < 1:
        raise RefusedError("--episodes and --workers must be at least 1")
    compared, differing = 0, 0
    for result in verify(
        read_recorded(command.path),
        episodes=command.episodes,
        seed=command.seed,
        weights=command.weights,
        workers=command.workers,
        run_own_code=command.run_own_code,
    ):
        compared += 1
        if result.differing:
            differing += 1
            detail = "" if result.action_difference is None else f" (actions by up to {result.action_difference:.2g})"
            print(f"{result.key[0]}, init {result.key[1]}: {', '.join(result.differing)} differ{detail}")
    print(f"{compared - differing} of {compared} simulated episodes come out the same, bit for bit")
    if differing and (remark := other_choice()) is not None:
        print(remark)
    return 1 if differing else 0


def _compare(command: Compare) -> int:
    from rich.console import Console

    from dto_eval.boards.guard import RefusedError, printable
    from dto_eval.comparison import ComparisonError, compare_runs
    from dto_eval.comparison_tables import differences_table, figures_table, pair_table
    from dto_eval.run_folder import RunFolderError

    if len(command.runs) < 2:
        raise RefusedError("give two runs or more")
    try:
        first, *others = [_load(path) for path in command.runs]
        comparisons = [compare_runs(first, other) for other in others]
    except (ComparisonError, RunFolderError) as error:
        raise RefusedError(printable(str(error), 600)) from error
    console = Console(markup=False, emoji=False)
    if len(others) == 1:
        console.print(pair_table(first, comparisons[0]))
    else:
        console.print(figures_table([first, *others]))
        console.print(differences_table(comparisons))
    for comparison in comparisons:
        console.print(
            f"{comparison.second}: {comparison.episodes} pairs, {comparison.solved} solved by both, "
            f"{comparison.only_first} by the first alone, {comparison.only_second} by it alone",
            highlight=False,
        )
    return 0


def _card(command: Card) -> int:
    from dto_agents.zoo import DamagedWeightsError, MissingWeightsError
    from dto_eval.boards.guard import RefusedError
    from dto_eval.cards import CardError, note_run
    from dto_eval.run_folder import RunFolderError

    try:
        for path in note_run(_load(command.path), command.weights):
            print(f"wrote {path.with_suffix('.json')}")
    except (CardError, RunFolderError, MissingWeightsError, DamagedWeightsError) as error:
        raise RefusedError(str(error)) from error
    return 0


def _load(path: Path) -> Any:
    """A complete run from its folder, or from a submission."""
    from dto_eval.boards import evidence
    from dto_eval.boards.submit import read_evidence
    from dto_eval.run_folder import load_run

    return read_evidence(path) if (path / evidence.EPISODES).exists() else load_run(path)

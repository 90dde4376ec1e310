"""``dto-demos``: collect demonstrations of experts or a solver, drive the RC car, import, draw, inspect."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from dto_agents.demos.dataset import environment_of, load_demonstrations

if TYPE_CHECKING:
    from dto_agents.demos.collect import Progress
    from dto_agents.demos.statistics import Description


@dataclass(frozen=True)
class Collect:
    """Collect successful episodes of a scripted expert as robomimic HDF5; goes on where it was killed."""

    env: str = "dto/Square-v0"
    """Environment with an expert: a task of RoboMimic, Meta-World, ALOHA or LeTO, as in dto/Lift-v0, or an RC car's; or
    dto/PlanarPush-v0, whose fixed sets of tasks are solved and written with all mechanical parameters."""
    episodes: Annotated[
        int | None,
        tyro.conf.arg(help_behavior_hint="(default: 200, of six operators 300; ALOHA and LeTO 100, Meta-World 30)"),
    ] = None
    """Number of successful episodes; failures are thrown away. Planar pushing: number of further training tasks, none
    by default, in a set of their own."""
    operators: Literal["single", "multi"] = "single"
    """Who moves the robot: one skilled person, or six people of three levels of skill, as many episodes each."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """HDF5 file to write; demos/TASK.hdf5 by default, demos/TASK-multi.hdf5 for six operators."""
    first_seed: int = 0
    """Seed of the first attempt; the others count up. Evaluations use 100000 and up."""
    workers: int = os.cpu_count() or 1
    """Number of processes; does not change the file."""


@dataclass(frozen=True)
class Optimal:
    """Solve the optimal control problems that controllers are trained and tested on; goes on where it was killed."""

    env: str = "dto/IiwaReach-v0"
    """Environment with an optimal control solver: dto/IiwaReach-v0."""
    train: int = 500
    """Number of training problems."""
    validation: int = 100
    """Number of validation problems."""
    test: int = 1000
    """Number of test problems; the first starts where the environment does after reset(seed=100000)."""
    side: float = 1.0
    """Edge of the cube of starts in rad: 0.4, 1 and 2 are the difficulties of the boards."""
    trial: int = 0
    """Independent repetition, 0 to 4: other training and validation starts, the same test starts."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder of the data set; demos/IiwaReach by default."""
    workers: int = os.cpu_count() or 1
    """Number of processes; does not change the data."""


@dataclass(frozen=True)
class Drive:
    """Drive the simulated RC car like a person and record it: data for dto-train --agent rc-car-dynamics.

    Writes OUT/train.npz, OUT/test.npz (a minute) and OUT/validation.npz (40 trajectories of 3 s, half of them
    drifting) with t, x, y, heading, throttle and steering at 240 Hz, with a motion capture system's noise.
    """

    minutes: float = 15.0
    """Length of the drive to train on."""
    seed: int = 42
    """Seed of what the driver does, and of the noise."""
    out: Path = Path("demos/RCCar")
    """Folder to write to; files in it are replaced."""


@dataclass(frozen=True)
class Import:
    """Check other people's demonstrations and write them as HDF5 that dto-train and dto-demos inspect read."""

    source: Annotated[Path, tyro.conf.Positional]
    """A robomimic HDF5 file (low-dim or image), or the directory of Diffusion Policy's Push-T zarr."""
    env: str | None = None
    """Environment that they must belong to; by default what the file says."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """HDF5 file to write; demos/TASK.hdf5 by default."""
    images: bool = False
    """Keep image observations too."""


@dataclass(frozen=True)
class Draw:
    """Add what the cameras see to collected demonstrations, from their recorded states: data for the -image agents.

    Takes OpenGL, in software MUJOCO_GL=egl.
    """

    source: Annotated[Path, tyro.conf.Positional]
    """HDF5 file of dto-demos collect, of RoboMimic's tasks."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """HDF5 file to write; demos/TASK-image.hdf5 by default."""
    episodes: int | None = None
    """How many of the demonstrations, from the first; all by default."""


@dataclass(frozen=True)
class Inspect:
    """Print counts, lengths and how far actions jump, beside people's demonstrations, and draw a plot.

    Of a mixed set, by several operators, it says how each of them moves.
    """

    path: Annotated[Path | None, tyro.conf.Positional] = None
    """HDF5 file or Push-T zarr directory; demos/TASK.hdf5 by default."""
    env: str | None = None
    """Environment that they belong to; by default what the file says, and dto/Square-v0 without a file."""
    mask: str | None = None
    """Subset of an HDF5 file, such as train or valid."""
    plot: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """PNG to write; demos/TASK.png by default."""


PLANAR = "dto/PlanarPush-v0"


def default_path(env_id: str, suffix: str = ".hdf5") -> Path:
    """Where what belongs to the demonstrations of ``dto/TASK-v0`` lies unless said otherwise: ``demos/TASK``."""
    return Path("demos") / f"{env_id.split('/')[-1].rsplit('-', 1)[0]}{suffix}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``dto-demos``; what is wrong with the input becomes one line and exit status 2."""
    options = tyro.extras.subcommand_cli_from_dict(
        {"collect": Collect, "optimal": Optimal, "drive": Drive, "import": Import, "draw": Draw, "inspect": Inspect},
        prog="dto-demos",
        description=__doc__,
        args=arguments,
    )
    runs: dict[type, Callable] = {
        Collect: run_collect,
        Optimal: run_optimal,
        Drive: run_drive,
        Import: run_import,
        Draw: run_draw,
        Inspect: run_inspect,
    }
    console = Console(highlight=False)
    try:
        runs[type(options)](options, console)
    except KeyboardInterrupt:
        console.print("stopped; the same command goes on from the episodes that have ended")
        raise SystemExit(130) from None
    except (ValueError, OSError, ImportError) as error:
        print(f"dto-demos: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def run_collect(options: Collect, console: Console) -> None:
    """Collect demonstrations, showing progress."""
    if options.env == PLANAR:
        _collect_planar(options, console)
        return
    from dto_agents.demos.collect import Collection, collect, usual_episodes

    episodes = usual_episodes(options.env, options.operators) if options.episodes is None else options.episodes
    collection = Collection(options.env, episodes, options.first_seed, options.operators)
    collection.check()
    out = options.out or default_path(options.env, "-multi.hdf5" if options.operators == "multi" else ".hdf5")
    with _reporter(console, options.env, episodes) as report:
        ended = collect(collection, out, workers=options.workers, report=report)
    rate = ended.successes / ended.attempts
    console.print(f"{ended.successes} episodes in {out}; the expert solved {rate:.1%} of {ended.attempts} seeds")


def _collect_planar(options: Collect, console: Console) -> None:
    """Solve the sets of planar pushing tasks and write them."""
    from dto_agents.planar import dataset

    if options.first_seed or options.operators != "single" or (options.episodes or 0) < 0:
        raise ValueError(
            "the sets of planar pushing are fixed; only --episodes N adds one, of N further training tasks"
        )
    out = options.out or default_path(options.env)
    sets = [(name, dataset.solve_set(name)) for name in dataset.PAPER_SETS]
    if options.episodes:
        sets.append((dataset.EXTRA_SET, dataset.solve_extra(options.episodes)))
    counts: dict[str, int] = {}
    dataset.write(out, sets, counts.__setitem__)
    console.print(f"{', '.join(f'{count} {name}' for name, count in counts.items())} tasks in {out}")


def run_optimal(options: Optimal, console: Console) -> None:
    """Solve optimal control problems, saying how many of them are solved."""
    from dto_agents.iiwa.datasets import ENV_ID, DatasetPlan, collect_dataset

    if options.env != ENV_ID:
        raise ValueError(f"there is no optimal control solver for {options.env}; choose {ENV_ID}")
    plan = DatasetPlan(options.train, options.validation, options.test, options.side, options.trial)
    out = options.out or default_path(options.env, "")
    began = time.monotonic()

    def report(done: int, total: int, solved: int) -> None:
        console.print(f"{options.env}: {done}/{total} problems, {solved} solved, {time.monotonic() - began:.0f} s")

    counts = collect_dataset(plan, out, workers=options.workers, report=report)
    shares = ", ".join(f"{solved} of {plan.count(split)} in {split}" for split, solved in counts.items())
    console.print(f"solved {shares}; data set in {out}")


def run_drive(options: Drive, console: Console) -> None:
    """Record a drive of the simulated car."""
    from dto_agents.rc_car import driving

    if not 0.1 <= options.minutes <= 600:
        raise ValueError(f"--minutes must be between 0.1 and 600, but is {options.minutes:g}")
    if options.seed < 0:
        raise ValueError(f"--seed must not be negative, but is {options.seed}")
    console.print(f"driving for {options.minutes:g} minutes and a few more, which takes a minute at most")
    recordings = driving.Recordings.make(driving.Drive(duration_s=60 * options.minutes), options.seed)
    paths = recordings.write(options.out)
    console.print(f"wrote {', '.join(str(path) for path in paths)}")
    console.print(f"train on it: dto-train --agent rc-car-dynamics --data {paths[0]} --seed 42")


def run_import(options: Import, console: Console) -> None:
    """Import demonstrations and say what they hold."""
    from dto_agents.demos.importing import import_demonstrations

    written: list[Path] = []

    def out(env_id: str) -> Path:
        written.append(options.out or default_path(env_id))
        return written[-1]

    imported = import_demonstrations(options.source, out, env_id=options.env, images=options.images)
    held = (["states"] if imported.state else []) + list(imported.images)
    console.print(f"{imported.episodes} episodes of {imported.env_id} in {written[-1]}, with {', '.join(held)}")
    for note in imported.notes:
        console.print(f"note: {note}")


def run_draw(options: Draw, console: Console) -> None:
    """Draw what the cameras saw."""
    from dto_agents.demos.pictures import draw_demonstrations

    out = options.out or default_path(environment_of(options.source), "-image.hdf5")
    began = time.monotonic()

    def report(done: int, total: int) -> None:
        console.print(f"{out}: {done}/{total} demonstrations, {time.monotonic() - began:.0f} s")

    cameras = draw_demonstrations(options.source, out, episodes=options.episodes, report=report)
    console.print(f"pictures of {', '.join(cameras)} in {out}")


def run_inspect(options: Inspect, console: Console) -> None:
    """Describe demonstrations in a table and a picture."""
    from dto_agents.demos.plot import plot_demonstrations
    from dto_agents.demos.robomimic import operators_of
    from dto_agents.demos.statistics import describe
    from dto_agents.planar.dataset import is_planar

    if options.env == PLANAR or (options.path and is_planar(options.path)):
        _inspect_planar(options, console)
        return
    env_id = options.env or (environment_of(options.path) if options.path else "dto/Square-v0")
    path = options.path or default_path(env_id)
    demonstrations = load_demonstrations(path, env_id, mask=options.mask)
    console.print(_table(describe(demonstrations), path))
    people = operators_of(path)
    if people and options.mask is None:
        console.print(_people(path, env_id, people))
    picture = options.plot or default_path(env_id, ".png")
    plot_demonstrations(demonstrations, picture)
    console.print(f"plot in {picture}")


def _people(path: Path, env_id: str, names: Sequence[str]) -> Table:
    """How each operator of a mixed set moves."""
    from dto_agents.demos.statistics import operator_figures

    table = Table(title="operators", title_justify="left")
    table.add_column("", no_wrap=True)
    for column in ("episodes", "median steps", "still", "turns", "speed", "max difference", "mean difference"):
        table.add_column(column)
    for name in names:
        figures = operator_figures(name, load_demonstrations(path, env_id, mask=name))
        motion = f"{figures.still:.1%}", f"{figures.turns:.1f}", f"{figures.speed:.3f}"
        differences = f"{figures.max_difference:.3f}", f"{figures.mean_difference:.4f}"
        table.add_row(name, str(figures.episodes), f"{figures.length:g}", *motion, *differences)
    return table


def _inspect_planar(options: Inspect, console: Console) -> None:
    """Describe the sets of planar pushing tasks, and how the fingers move in the expert's plans."""
    from dto_agents.demos.plot import plot_demonstrations
    from dto_agents.demos.statistics import describe
    from dto_agents.planar import dataset

    path = options.path or default_path(PLANAR)
    if options.env not in (None, PLANAR):
        raise ValueError(f"{path} belongs to {PLANAR}, not to {options.env}")
    names = (options.mask,) if options.mask else dataset.sets_of(path)
    sets = {name: dataset.read(path, name) for name in names}
    table = Table(title=f"{path}: {PLANAR}", title_justify="left")
    for column in (
        "set",
        "tasks",
        "facets",
        "in the air",
        "finger force, median / largest [N]",
        "largest residual of a plan [N]",
    ):
        table.add_column(column)
    for name, examples in sets.items():
        table.add_row(name, *dataset.describe(examples))
    console.print(table)
    demonstrations = dataset.demonstrations(example for examples in sets.values() for example in examples)
    console.print(_table(describe(demonstrations), path))
    picture = options.plot or default_path(PLANAR, ".png")
    plot_demonstrations(demonstrations, picture)
    console.print(f"plot in {picture}")


def _table(description: Description, path: Path) -> Table:
    shortest, median, longest = description.lengths
    table = Table(title=f"{path}: {description.env_id}", title_justify="left")
    for column in ("", "here", "people (LeTO)"):
        table.add_column(column)
    table.add_row("episodes", str(description.episodes))
    table.add_row("steps", str(description.steps))
    table.add_row("episode length, shortest / median / longest", f"{shortest} / {median:g} / {longest}")
    for name, figures in description.groups.items():
        table.add_row(f"{name}: max difference", f"{figures.max_difference:.3f}", _span(figures.human_max))
        table.add_row(f"{name}: mean difference", f"{figures.mean_difference:.4f}", _span(figures.human_mean))
        table.add_row(f"{name}: differences beyond the bound", f"{figures.exceeding:.1%}")
    return table


def _span(limits: tuple[float, float] | None) -> str:
    return "" if limits is None else f"{limits[0]:g} to {limits[1]:g}"


@contextmanager
def _reporter(console: Console, title: str, total: int, every_s: float = 10.0) -> Iterator[Callable[[Progress], None]]:
    """A progress bar, or a plain line every ``every_s`` seconds where the console is no terminal."""
    if not console.is_terminal:
        # Counting begins as the first episode ends: workers take a while to start.
        first: tuple[int, float] | None = None
        last = 0.0

        def report_line(progress: Progress) -> None:
            nonlocal first, last
            now = time.monotonic()
            if first is None or now - last >= every_s:
                began, since = first or (progress.successes, now)
                rate = (progress.successes - began) / (now - since) if now > since else 0.0
                left = f", {rate:.2f} episodes/s, ETA {max(total - progress.successes, 0) / rate:.0f} s" if rate else ""
                console.print(f"{title}: {progress.successes}/{total} episodes, {progress.attempts} seeds tried{left}")
                first, last = (began, since), now

        yield report_line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task(title, total=total)

        def report_bar(progress: Progress) -> None:
            tried = f"{title}, {progress.attempts} seeds tried"
            bar.update(task, completed=min(progress.successes, total), description=tried)

        yield report_bar


if __name__ == "__main__":
    main()

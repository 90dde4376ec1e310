"""``dto-eval``: evaluate an agent on an environment, resume where a killed run stopped, and report."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import arg


def available_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class EvaluateOptions:
    """Evaluate an agent: success, score and smoothness with intervals, and the evidence for a leaderboard.

    The same command on the same folder goes on where a run stopped, however it was stopped. Any number of workers
    gives the same records. With --suite, a paper's tables and figures instead, with what was submitted
    to ./leaderboards read from there.
    """

    env: str = "dto/Square-v0"
    """Environment id."""
    agent: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: diffog)")] = None
    """Agent. For most tasks: expert, random, hold. For RoboMimic's and Meta-World's tasks and Push-T: base (the
    diffusion policy), leto, lstm-gmm, ibc, diffusion-image, leto-image, lstm-gmm-image, which see pictures, or the
    diffusion policy behind a filter: clipping, penalty, projection, tracking, static-q, matrix, matrix-refine,
    diffog, diffog-refine, residual. For Meta-World's: dp3, which sees point clouds. For the RC car: rc-car-plan,
    rc-car-mpc, rc-car-sac. For the iiwa: iiwa-qrnet, iiwa-qrnet-wide, iiwa-mlp, iiwa-sac, iiwa-lqr, iiwa-optimal,
    iiwa-replay. For planar pushing: miqp, planar-blind, planar-other, nn, nnm, mdr, cvx, dlm, the last five also
    with -large or -huge behind their names (learned from more tasks). Or module:Class for your own. With --base or
    --filter it is only the name that reports show."""
    base: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: the agent's)")] = None
    """Base policy, to be combined with --filter: diffusion, or any agent above that is not itself one with a filter."""
    filter: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: the agent's)")] = None
    """Action filter behind the base policy: clipping, penalty, projection, tracking, static-q, matrix, matrix-refine,
    diffog, diffog-refine, residual, or module:Class."""
    bound: Annotated[
        tuple[float, ...] | None, arg(metavar="FLOAT [FLOAT ...]", help_behavior_hint="(default: the environment's)")
    ] = None
    """The filter's limit on the difference of successive normalised actions: one number, or one for each trajectory
    dimension."""
    alpha: Annotated[float | None, arg(metavar="FLOAT", help_behavior_hint="(default: the environment's)")] = None
    """The filter's smoothing weight, for those that have one."""
    velocity: Annotated[float | None, arg(metavar="FLOAT", help_behavior_hint="(default: none)")] = None
    """The filter's limit on the normalised commands themselves, for static-q, matrix and diffog."""
    phases: Annotated[
        tuple[str, ...] | None, arg(metavar="BOUND:STEP ... BOUND", help_behavior_hint="(default: none)")
    ] = None
    """Bounds that change in the course of an episode, each up to a step, such as 0.05:40 0.1:80 0.3; instead of
    --bound."""
    weights: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: those shipped)")] = None
    """Folder with trained weights, laid out as dto-train writes them."""
    episodes: Annotated[int | None, arg(metavar="INT", help_behavior_hint="(default: 1500, or the suite's)")] = None
    """Number of episodes, spread evenly over the agent's trained members; of a suite, how much of each experiment."""
    first_init: int = 100_000
    """Reset seed of each member's first episode; the next ones follow it."""
    seed: int = 0
    """Seed of the agent's randomness."""
    obs_type: Annotated[
        Literal["state", "image", "state_image", "pointcloud"] | None,
        arg(help_behavior_hint="(default: what the agent looks at)"),
    ] = None
    """What the agent observes; point clouds in Meta-World's tasks. Images need OpenGL where the environment does. They
    are drawn only of the steps that the agent looks at, the last n_obs_steps before it acts."""
    render_quality: Literal["default", "fast"] = "default"
    """How images of robosuite's tasks are drawn: as robosuite does, or without multisampling, shadows and
    reflections."""
    object_set: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: drawn by the seeds)")] = None
    """Frozen objects to push, in planar pushing: train, fine-tune, test, family, omnipush."""
    feed_forward: bool = False
    """Actions carry the forces of the fingers after their positions, in planar pushing: expert, miqp, mdr, cvx, dlm."""
    run_out: bool = False
    """Go on to the horizon after success."""
    out: Annotated[
        Path | None, arg(metavar="DIR", help_behavior_hint="(default: runs/<task>/<agent>, or runs/<suite>)")
    ] = None
    """Folder of the run."""
    workers: Annotated[int, arg(help_behavior_hint="(default: the cores of this machine)")] = field(
        default_factory=available_cores
    )
    """Number of processes."""
    video: int = 0
    """Number of episodes to render as MP4 films, after the run."""
    suite: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: none)")] = None
    """Regenerate a paper's tables and figures as a results page instead. Takes --out, --episodes,
    --workers, --weights and --data, and nothing else."""
    data: Annotated[tuple[Path, ...], arg(metavar="PATH [PATH ...]", help_behavior_hint="(default: none)")] = ()
    """Recordings that the suite reads."""


EPISODES = 1500
SUITE_OPTIONS = ("suite", "out", "episodes", "workers", "weights", "data")


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the command."""
    options = tyro.cli(EvaluateOptions, args=arguments, prog="dto-eval")
    try:
        code = run(options)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        code = 130
    sys.exit(code)


def run(options: EvaluateOptions) -> int:
    """Do what ``options`` ask for and return the exit code: 2 for choices that cannot be run, 1 for a failed run."""
    from rich.console import Console

    from dto_agents.zoo import DamagedWeightsError, MissingWeightsError
    from dto_envs.registry import MissingExtraError
    from dto_eval.evaluate import EvaluationError, evaluate
    from dto_eval.run_folder import RunFolderError
    from dto_eval.video import VideoError, check_rendering

    console = Console()
    if options.suite is not None:
        return _run_suite(options, console)
    try:
        _check(options)
        protocol = _protocol(options)
        out = options.out or Path("runs") / protocol.env_id.split("/")[-1].rsplit("-v", 1)[0] / _folder(protocol.agent)
        if options.video:
            check_rendering(protocol.env_spec)
        console.print(_headline(protocol, out, options.workers), highlight=False, soft_wrap=True)
        evaluation = evaluate(protocol, out, workers=options.workers, weights=options.weights, console=console)
    except (
        RunFolderError,
        VideoError,
        MissingWeightsError,
        DamagedWeightsError,
        MissingExtraError,
        ValueError,
    ) as error:
        print(f"dto-eval: {error}", file=sys.stderr)
        return 2
    except (EvaluationError, OSError) as error:
        print(f"dto-eval: {error}", file=sys.stderr)
        return 1
    return _report(evaluation, options, console)


def _check(options: EvaluateOptions) -> None:
    """Raise ValueError for numbers that make no sense."""
    for name, least in (("episodes", 1), ("workers", 1), ("seed", 0), ("first_init", 0), ("video", 0)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise ValueError(f"--{name.replace('_', '-')} must be at least {least}, not {value}")
    if options.data and options.suite is None:
        raise ValueError("--data is for a suite; name it with --suite")


def _run_suite(options: EvaluateOptions, console: Any) -> int:
    """Run a suite and return the exit code: 2 for choices that cannot be run, 1 where it failed."""
    from dto_eval.boards.render import SUBMISSIONS
    from dto_eval.evaluate import EvaluationError
    from dto_eval.suites import SuiteOptions, find_suite

    try:
        _check(options)
        others = [item for item in fields(options) if item.name not in SUITE_OPTIONS]
        given = [item.name for item in others if getattr(options, item.name) != item.default]
        if given:
            raise ValueError(f"a suite chooses --{given[0].replace('_', '-')} itself; leave it out")
        suite = find_suite(str(options.suite))
        if missing := [path for path in options.data if not path.exists()]:
            raise ValueError(f"there is no {missing[0]}; give --data the path of a recording")
        page = suite(
            SuiteOptions(
                out=options.out or Path("runs") / str(options.suite),
                episodes=options.episodes,
                workers=options.workers,
                weights=options.weights,
                boards=Path("leaderboards") / SUBMISSIONS,
                data=options.data,
                console=console,
            )
        )
    except (ValueError, ImportError) as error:
        print(f"dto-eval: {error}", file=sys.stderr)
        return 2
    except (EvaluationError, OSError, RuntimeError) as error:
        print(f"dto-eval: {error}", file=sys.stderr)
        return 1
    console.print(f"results in {page}", highlight=False, soft_wrap=True)
    return 0


def _protocol(options: EvaluateOptions) -> Any:
    from dto_envs.filters.phased import parse_phases
    from dto_eval.evaluate import resolve_protocol

    composed = options.base is not None or options.filter is not None
    given: dict[str, Any] = {}
    if options.bound is not None:
        given["bound"] = options.bound[0] if len(options.bound) == 1 else options.bound
    if options.alpha is not None:
        given["alpha"] = options.alpha
    if options.velocity is not None:
        given["velocity"] = options.velocity
    if options.phases is not None:
        if options.bound is not None:
            raise ValueError("--phases bring their own bounds; leave out --bound")
        given["phases"] = [list(phase) for phase in parse_phases(options.phases)]
    return resolve_protocol(
        options.env,
        options.agent or (None if composed else "diffog"),
        base=options.base,
        filter=options.filter,
        filter_options=given,
        weights=options.weights,
        episodes=options.episodes or EPISODES,
        first_init=options.first_init,
        seed=options.seed,
        run_out=options.run_out,
        obs_type=options.obs_type,
        render_quality=options.render_quality,
        object_set=options.object_set,
        feed_forward=options.feed_forward,
    )


def _folder(agent: str) -> str:
    """A folder name for an agent whose name may hold colons and slashes."""
    return "".join(letter if letter.isalnum() or letter in "._+-" else "-" for letter in agent).strip(".-") or "agent"


def _headline(protocol: Any, out: Path, workers: int) -> str:
    members = len(protocol.members)
    spread = f"{members} members" if members > 1 else "1 member"
    return f"{protocol.agent} on {protocol.env_id}: {protocol.episodes} episodes, {spread}, {workers} workers -> {out}"


def _report(evaluation: Any, options: EvaluateOptions, console: Any) -> int:
    """Write the reports into the run's folder and show the main figures."""
    from rich.table import Table

    from dto_eval.plots import write_plots
    from dto_eval.summary import table_rows, write_summary

    rate = evaluation.simulated / evaluation.seconds if evaluation.simulated else None
    summary = write_summary(evaluation.finished, episodes_per_second=rate)
    write_plots(evaluation.finished, summary)
    table = Table(
        title=f"{summary['agent']} on {summary['env_id']}, {summary['episodes']} episodes", title_justify="left"
    )
    table.add_column("")
    table.add_column("mean [95 % interval]")
    for name, text in table_rows(summary):
        table.add_row(name, text)
    console.print(table)
    console.print(f"reports in {evaluation.finished.path}", highlight=False, soft_wrap=True)
    if options.video:
        return _films(evaluation, options, console)
    return 0


def _films(evaluation: Any, options: EvaluateOptions, console: Any) -> int:
    from dto_eval.video import VideoError, write_videos

    try:
        paths = write_videos(evaluation.finished, options.video, workers=options.workers)
    except VideoError as error:
        print(f"dto-eval: {error}", file=sys.stderr)
        return 1
    console.print(f"{len(paths)} films in {paths[0].parent}", highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    main()

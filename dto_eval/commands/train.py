"""``dto-train``: train a diffusion policy, or an action filter on top of one, from demonstrations."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from dto_agents.training import Report


@dataclass(frozen=True)
class Train:
    """Train an agent from demonstrations. Started again after a kill, it goes on from its last checkpoint.

    Writes OUT/<Task>/<agent>/seed<k>.safetensors and its .json card; evaluate it with dto-eval --weights OUT.
    """

    agent: Literal[
        "diffusion",
        "leto",
        "lstm-gmm",
        "matrix",
        "matrix-refine",
        "diffog",
        "diffog-refine",
        "residual",
        "rc-car-dynamics",
        "rc-car-sac",
        "iiwa-qrnet",
        "iiwa-mlp",
        "nn",
        "nnm",
        "mdr",
        "cvx",
        "dlm",
    ] = "diffusion"
    """What to train: a policy (diffusion, leto, lstm-gmm), a filter, the model of an RC car that its planners use
    (rc-car-dynamics), a policy that drives one of its manoeuvres by trial and error (rc-car-sac, without --data;
    stopped with Ctrl-C it writes the best policy so far, and cannot go on), or a controller of the iiwa (iiwa-qrnet,
    iiwa-mlp), or one of the networks that push objects as a video shows (nn, nnm, mdr, cvx, dlm; evaluated as
    planar-nn and so on). The -refine filters learn from the trained policy's own chunks."""
    env: str = "dto/PushT-v0"
    """Environment id."""
    data: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """Demonstrations: robomimic HDF5 as dto-demos writes it, or Diffusion Policy's Push-T zarr directory. For
    rc-car-dynamics a log, as dto-demos drive writes it; for the iiwa's controllers the folder of dto-demos optimal.
    For planar pushing the file of dto-demos collect."""
    seed: int = 42
    """Training seed: initial weights, batches, and which demonstrations are used."""
    steps: int | None = None
    """Optimiser steps, of rc-car-sac environment steps, of planar pushing steps on each loss; by default what the
    environment's recipe says."""
    episodes: int | None = None
    """How many demonstrations to use, drawn by the seed; by default 90 for Push-T and all for other tasks. Of
    planar pushing, how many of the file's extra tasks to learn from beside the training set; none by default."""
    out: Path = Path("weights")
    """Root folder of the weights."""
    alpha: float | None = None
    """Smoothing weight of a filter, or of LeTO's layer; by default the environment's, and 1 for LeTO."""
    bound: float | None = None
    """Limit on the difference of successive normalised actions that a filter, or LeTO, is trained with; by default the
    environment's."""
    base: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Root folder of the diffusion policy that a -refine filter is trained on; by default the shipped weights."""
    car: Literal["simulated", "real"] | None = None
    """For rc-car-dynamics, whose recording --data is; simulated by default. Writes OUT/<car>/seed<k>.safetensors."""
    epochs: int | None = None
    """For rc-car-dynamics and the iiwa's controllers, how often each moment of the data is shown; by default what the
    recipe says."""


# Of the options that only some agents have, those that these have.
OWN_OPTIONS = {"diffusion": (), "lstm-gmm": (), "residual": ("alpha",), "rc-car-dynamics": (), "rc-car-sac": ()}
OWN_OPTIONS |= {"iiwa-qrnet": (), "iiwa-mlp": ()}
PLANAR = ("nn", "nnm", "mdr", "cvx", "dlm")
OWN_OPTIONS |= {agent: () for agent in PLANAR}
DEFAULT_EPISODES = {"dto/PushT-v0": 90}
DYNAMICS = "rc-car-dynamics"
SAC = "rc-car-sac"
IIWA = ("iiwa-qrnet", "iiwa-mlp")


def main() -> None:
    """Entry point: parse the command line, train, and turn expected failures into one line and exit status 2."""
    options = tyro.cli(Train)
    console = Console(highlight=False)
    try:
        path = run(options, console)
    except KeyboardInterrupt:
        console.print("stopped; the same command goes on from the last checkpoint")
        raise SystemExit(130) from None
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        print(f"dto-train: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    console.print(f"wrote {path} and {path.with_suffix('.json').name}")
    env, agent = (
        ("dto/RCCarParking-v0", "rc-car-plan") if options.agent == DYNAMICS else (options.env, _agent_name(options))
    )
    console.print(f"evaluate it: dto-eval --env {env} --agent {agent} --weights {options.out}")


def run(options: Train, console: Console) -> Path:
    """Train as the options say and return the weights file.

    Raises:
        ValueError: an option or the data does not fit; the message says what to pass instead.
        OSError: data or base weights are missing, or the result exists already.
        dto_agents.training.TrainingError: training cannot go on.
    """
    from dto_envs.registry import row

    row(options.env)
    if options.data is None and options.agent != SAC:
        raise ValueError("--data PATH is needed: the demonstrations to train on; dto-demos collect makes some")
    if options.seed < 0:
        raise ValueError(f"--seed must not be negative, but is {options.seed}")
    if options.steps is not None and options.steps < 1:
        raise ValueError(f"--steps must be at least 1, but is {options.steps}")
    if options.alpha is not None and not options.alpha >= 0:
        raise ValueError(f"--alpha must not be negative, but is {options.alpha}")
    if options.bound is not None and not options.bound > 0:
        raise ValueError(f"--bound must be positive, but is {options.bound}")
    for name in ("alpha", "bound"):
        if getattr(options, name) is not None and name not in OWN_OPTIONS.get(options.agent, ("alpha", "bound")):
            raise ValueError(f"{options.agent} has no {name}; leave --{name} out")

    _refuse_options_of_others(options)

    import torch

    torch.set_num_threads(1)
    if options.agent == DYNAMICS:
        return _train_dynamics(options, console)
    if options.agent == SAC:
        return _train_sac(options, console)
    if options.agent in IIWA:
        return _train_iiwa(options, console)
    if options.agent in PLANAR:
        return _train_planar(options, console)

    from dto_agents.demos.dataset import load_demonstrations

    assert options.data is not None
    demonstrations = load_demonstrations(options.data, options.env)
    wanted = DEFAULT_EPISODES.get(options.env) if options.episodes is None else options.episodes
    if options.episodes is None and wanted is not None:
        wanted = min(wanted, len(demonstrations.episodes))
    train = {"diffusion": _train_diffusion, "leto": _train_recurrent, "lstm-gmm": _train_recurrent}
    return train.get(options.agent, _train_filter)(options, demonstrations, wanted, console)


def _refuse_options_of_others(options: Train) -> None:
    """Raise ValueError for an option that means nothing to the agent."""
    dynamics, iiwa = options.agent == DYNAMICS, options.agent in IIWA
    foreign = ("steps", "episodes", "base") if dynamics or iiwa else ("car", "epochs")
    for name in (*foreign, "car", "alpha", "bound") if iiwa else foreign:
        if getattr(options, name) is not None:
            instead = (
                "it has --epochs" if iiwa else "it has --car and --epochs" if dynamics else f"only {DYNAMICS} has it"
            )
            raise ValueError(f"--{name} does not apply to {options.agent}: {instead}; leave --{name} out")
    for name in ("data", "episodes", "base") if options.agent == SAC else ():
        if getattr(options, name) is not None:
            raise ValueError(f"{SAC} learns by driving, not from recordings; leave --{name} out")
    if options.epochs is not None and options.epochs < 1:
        raise ValueError(f"--epochs must be at least 1, but is {options.epochs}")


def _train_dynamics(options: Train, console: Console) -> Path:
    from dto_agents.rc_car.networks import RECIPES, train_on_recording

    car = options.car or "simulated"
    recipe = RECIPES[car] if options.epochs is None else replace(RECIPES[car], epochs=options.epochs)
    assert options.data is not None
    return train_on_recording(
        options.data,
        car,
        seed=options.seed,
        root=options.out,
        reporting=lambda title, steps: reporting(title, steps, console),
        recipe=recipe,
    )


def _train_iiwa(options: Train, console: Console) -> Path:
    from dto_agents.iiwa.agents import ENV_ID
    from dto_agents.iiwa.members import recipe_for, train_member

    if options.env != ENV_ID:
        raise ValueError(f"{options.agent} controls {ENV_ID}; pass --env {ENV_ID}")
    recipe = recipe_for(options.agent)
    if options.epochs is not None:
        training = replace(recipe.sampling.training, epochs=options.epochs)
        recipe = replace(recipe, sampling=replace(recipe.sampling, training=training))
    assert options.data is not None
    return train_member(
        options.agent, options.data, seed=options.seed, root=options.out, recipe=recipe, report=console.print
    )


def _train_planar(options: Train, console: Console) -> Path:
    from dto_agents.planar.learning import ENV_ID, Recipe, stages, train_network

    if options.env != ENV_ID:
        raise ValueError(f"{options.agent} learns {ENV_ID}; pass --env {ENV_ID}")
    if options.base is not None or (options.episodes or 0) < 0:
        raise ValueError(f"{options.agent} takes --episodes N, which must not be negative, and no --base")
    recipe = Recipe(steps=options.steps or Recipe.steps, extra=options.episodes or 0)
    assert options.data is not None
    steps = recipe.steps * len(stages(options.agent))
    with reporting(f"{options.agent} {options.env} seed {options.seed}", steps, console) as report:
        return train_network(options.agent, options.data, recipe, seed=options.seed, root=options.out, report=report)


def _train_sac(options: Train, console: Console) -> Path:
    from dto_agents.rc_car.sac_training import SacRecipe, train_sac

    recipe = SacRecipe() if options.steps is None else SacRecipe(steps=options.steps)
    with reporting(f"{options.agent} {options.env} seed {options.seed}", recipe.steps, console) as report:
        return train_sac(options.env, recipe, seed=options.seed, root=options.out, report=report)


def _train_diffusion(options: Train, demonstrations, episodes: int | None, console: Console) -> Path:
    from dto_agents.diffusion.recipe import recipe_for
    from dto_agents.diffusion.train import train_diffusion

    recipe = recipe_for(options.env)
    recipe = _adapted(recipe, options)
    with reporting(f"diffusion {options.env} seed {options.seed}", recipe.steps, console) as report:
        return train_diffusion(
            demonstrations, recipe, seed=options.seed, root=options.out, report=report, episodes=episodes
        )


def _train_recurrent(options: Train, demonstrations, episodes: int | None, console: Console) -> Path:
    from dto_agents.recurrent.recipe import recipe_for
    from dto_agents.recurrent.train import train_recurrent

    recipe = recipe_for(options.agent, options.env)
    recipe = _adapted(recipe, options)
    with reporting(f"{options.agent} {options.env} seed {options.seed}", recipe.steps, console) as report:
        return train_recurrent(
            options.agent,
            demonstrations,
            recipe,
            seed=options.seed,
            root=options.out,
            report=report,
            episodes=episodes,
        )


def _train_filter(options: Train, demonstrations, episodes: int | None, console: Console) -> Path:
    from dto_agents.diffog.recipe import recipe_for
    from dto_agents.diffog.train import train_filter

    recipe = recipe_for(options.agent, options.env)
    recipe = _adapted(recipe, options)
    with reporting(f"{options.agent} {options.env} seed {options.seed}", recipe.steps, console) as report:
        return train_filter(
            options.agent,
            demonstrations,
            recipe,
            seed=options.seed,
            root=options.out,
            base_root=options.base,
            report=report,
            episodes=episodes,
        )


def _adapted(recipe, options: Train):
    """The recipe with what the options set apart from it."""
    given = {name: getattr(options, name) for name in ("steps", "alpha", "bound")}
    return replace(recipe, **{name: value for name, value in given.items() if value is not None})


def _agent_name(options: Train) -> str:
    if options.agent in PLANAR:
        return f"planar-{options.agent}{'-large' if options.episodes else ''} --obs-type image"
    return "base" if options.agent == "diffusion" else options.agent


@contextmanager
def reporting(title: str, steps: int, console: Console, every_s: float = 10.0) -> Iterator[Report]:
    """Show training as it goes: a bar with the time left on a terminal, a line every ``every_s`` seconds elsewhere.

    Yields:
        A function of the finished steps and the last loss; the first call may carry NaN for steps done earlier.
    """
    meter = _Meter(steps)
    if not console.is_terminal:
        last = [time.monotonic()]

        def report_line(finished: int, loss: float) -> None:
            meter.update(finished, loss)
            now = time.monotonic()
            if math.isnan(loss) or finished == steps or now - last[0] >= every_s:
                last[0] = now
                console.print(f"{title}: step {finished}/{steps}  {meter.text()}", soft_wrap=True)

        yield report_line
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[text]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=steps, text="")

        def report_bar(finished: int, loss: float) -> None:
            meter.update(finished, loss)
            progress.update(task, completed=finished, text=meter.text())

        yield report_bar


class _Meter:
    """Steps per second since the start, a running mean of the loss, and the time that is left."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._began = time.monotonic()
        self._first = self._finished = 0
        self._loss = math.nan

    def update(self, finished: int, loss: float) -> None:
        """Count a step."""
        if math.isnan(loss):
            self._first, self._began = finished, time.monotonic()
        else:
            self._loss = loss if math.isnan(self._loss) else 0.99 * self._loss + 0.01 * loss
        self._finished = finished

    def text(self) -> str:
        """One line of figures."""
        rate = (self._finished - self._first) / max(time.monotonic() - self._began, 1e-9)
        if rate == 0:
            return f"starts at step {self._finished}"
        left = round((self._steps - self._finished) / rate)
        return f"loss {self._loss:.4f}  {rate:.1f} it/s  ETA {left // 60}:{left % 60:02d}"


if __name__ == "__main__":
    main()

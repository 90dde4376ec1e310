"""Köhler et al., Figures 3 and 4: which loss, which activation and which size a network of the RC car should have.

``dto-eval --suite rc-car-models`` drives the simulated car for 15 minutes, trains some hundred small networks on it and
compares their errors over 40 trajectories of 3 s. ``--data FOLDER`` takes the recordings from a folder that
``dto-demos drive`` wrote; ``--episodes N`` is the number of networks per configuration. Every training's figures are
kept in the suite's folder as soon as it ends; a second run goes on from there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dto_eval.suites import SuiteOptions
from dto_eval.suites.page import Page
from dto_eval.suites.rc_car_models_figures import distribution_figure, scatter_figure, size_figure

if TYPE_CHECKING:
    from dto_agents.rc_car.prediction import Starts
    from dto_agents.rc_car.preparing import Windows
    from dto_agents.rc_car.training import Recipe

NETWORKS = 5  # per configuration, unless --episodes says otherwise; the paper trains 15
GRID_NETWORKS = 2  # per size, at most
EPOCHS = 15
SEED = 42  # of the recordings
DEPTHS, WIDTHS, ACTIVATIONS = (1, 2, 4, 8), (16, 32, 64), ("gelu", "relu")
LABELS = {"gelu": "GELU", "relu": "ReLU"}
LOSSES = ("l1", "l2", "relative")
KEPT = "kept"  # folder of recordings and figures, in the suite's own


@dataclass(frozen=True)
class Job:
    """One training: what it is called on the page, how it is done, and with which seed."""

    name: str
    recipe: Recipe
    seed: int


@dataclass(frozen=True)
class Recorded:
    """What networks are trained and judged on.

    Attributes:
        folder: where train.npz, test.npz and validation.npz lie.
        starts: the 40 validation trajectories.
    """

    folder: Path
    starts: Starts


def run(options: SuiteOptions) -> Path:
    """Write the results page.

    ``options.data`` is a folder of recordings, or nothing; ``options.episodes`` the number of networks per
    configuration; ``options.weights`` a folder that holds ``simulated/seed<k>.safetensors``. Trainings run one after
    the other, whatever ``options.workers``.

    Raises:
        ValueError: more than one folder, or one without the three recordings.
    """
    networks = options.count(NETWORKS, "networks per configuration")
    recorded = _recordings(options)
    jobs = plan_jobs(networks)
    figures = _train_all(options, jobs, recorded)
    losses = {loss: _of(figures, f"gelu {loss}") for loss in LOSSES}
    relu = _of(figures, "relu relative")
    page = Page("Which network models the RC car best", options.out)
    page.text(_introduction(recorded, networks, figures))
    page.heading("Figure 3, left: losses")
    page.text("8 x 64 GELU networks that predict the velocity from the velocity and one action, as in the paper.")
    _table(page, "losses", {f"{loss} loss": found for loss, found in losses.items()})
    page.figure("figure3_losses", distribution_figure(losses), "Validation error by training loss; bars are means.")
    page.text("\n".join(loss_verdicts(losses)))
    page.heading("Figure 3, right: activations")
    _table(page, "activations", {"GELU": losses["relative"], "ReLU": relu})
    both = {"GELU": losses["relative"], "ReLU": relu}
    page.figure("figure3_activations", scatter_figure(both), "Relative loss on the test minute and validation error.")
    page.text(compare("GELU", losses["relative"], "ReLU", relu, "The paper finds GELU at least as good as ReLU"))
    page.heading("Figure 4: sizes")
    _size_section(page, figures)
    page.heading("What else helps")
    _beyond(page, figures, losses)
    page.heading("The shipped networks")
    _shipped(page, options, recorded)
    return page.write()


def plan_jobs(networks: int) -> list[Job]:
    """All trainings, ``networks`` per configuration, the most telling first."""
    from dto_agents.rc_car.training import Recipe

    paper = Recipe(
        actions=1, residual=False, mirror=False, loss="relative", epochs=EPOCHS, batch_size=128, learning_rate=1.5e-3
    )
    recipes = {f"gelu {loss}": replace(paper, loss=loss) for loss in LOSSES}
    recipes["relu relative"] = replace(paper, activation="relu")
    recipes["residual l1"] = replace(paper, loss="l1", residual=True)
    recipes["residual l1, 3 actions"] = replace(paper, loss="l1", residual=True, actions=3)
    recipes["residual l1, 3 actions, mirrored"] = replace(paper, loss="l1", residual=True, actions=3, mirror=True)
    jobs = [Job(name, recipe, seed) for seed in range(networks) for name, recipe in recipes.items()]
    for seed in range(min(networks, GRID_NETWORKS)):
        for activation in ACTIVATIONS:
            for depth in DEPTHS:
                for width in WIDTHS:
                    if (depth, width) != (8, 64):
                        recipe = replace(paper, activation=activation, depth=depth, width=width)
                        jobs.append(Job(f"{activation} {depth} x {width}", recipe, seed))
    return jobs


def _recordings(options: SuiteOptions) -> Recorded:
    from dto_agents.rc_car.driving import Drive, Recordings
    from dto_agents.rc_car.reading import read_log
    from dto_agents.rc_car.validation import validation_starts
    from dto_envs.rc_car.car import CONTROL_STEP

    if len(options.data) > 1:
        raise ValueError(f"rc-car-models reads one folder of recordings, not {len(options.data)}: --data FOLDER")
    folder = options.data[0] if options.data else options.out / KEPT
    names = ("train.npz", "test.npz", "validation.npz")
    missing = [name for name in names if not (folder / name).exists()]
    if missing and options.data:
        raise ValueError(f"{folder} lacks {', '.join(missing)}; make it with: dto-demos drive --out {folder}")
    if missing:
        options.console.print("rc-car-models: drives the simulated car for 15 minutes", highlight=False)
        Recordings.make(Drive(), SEED).write(folder)
    pieces = read_log(folder / "validation.npz").pieces
    return Recorded(folder, validation_starts(pieces, CONTROL_STEP, smoothing_s=_smoothing()))


def _smoothing() -> float:
    from dto_agents.rc_car.training import Recipe

    return Recipe().smoothing_s


def _train_all(options: SuiteOptions, jobs: Sequence[Job], recorded: Recorded) -> list[dict[str, Any]]:
    """Figures of all jobs, in their order; those that are kept are not trained again."""
    import torch

    kept = _Kept(options.out / KEPT / "trainings.jsonl", recorded.folder)
    prepared = _Prepared(recorded.folder)
    torch.set_num_threads(1)
    found = []
    for number, job in enumerate(jobs, start=1):
        figures = kept.get(job)
        if figures is None:
            figures = _train_one(job, prepared, recorded.starts)
            kept.add(job, figures)
            options.console.print(
                f"rc-car-models: {number} of {len(jobs)}, {job.name}, seed {job.seed}: TVE {figures['tve']:.3f}",
                highlight=False,
            )
        found.append({"name": job.name, "seed": job.seed, "recipe": job.recipe, **figures})
    return found


def _train_one(job: Job, prepared: _Prepared, starts: Starts) -> dict[str, float]:
    from dto_agents.rc_car.training import train
    from dto_agents.rc_car.validation import as_predictor, one_step_losses, trajectory_validation_error
    from dto_envs.rc_car.car import CONTROL_STEP

    began = time.process_time()
    network = train(prepared.windows("train", job.recipe), CONTROL_STEP, job.recipe, seed=job.seed)
    seconds = time.process_time() - began
    test = one_step_losses(network, prepared.windows("test", job.recipe))
    return {"tve": trajectory_validation_error(as_predictor(network), starts), **test, "cpu_s": seconds}


class _Prepared:
    """The windows of the recordings, cut once per number of actions."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[tuple[str, int], Windows] = {}

    def windows(self, name: str, recipe: Recipe) -> Windows:
        from dto_agents.rc_car.preparing import prepare
        from dto_agents.rc_car.reading import read_log
        from dto_envs.rc_car.car import CONTROL_STEP

        key = (name, recipe.actions)
        if key not in self._made:
            logs = read_log(self._folder / f"{name}.npz").pieces
            self._made[key] = prepare(logs, dt=CONTROL_STEP, actions=recipe.actions, smoothing_s=recipe.smoothing_s)
        return self._made[key]


class _Kept:
    """Figures of finished trainings, one JSON line each, valid for one set of recordings."""

    def __init__(self, path: Path, recordings: Path) -> None:
        self._path = path
        self._data = _sha256(recordings / "train.npz") + _sha256(recordings / "validation.npz")
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self._found: dict[str, dict[str, float]] = {}
        for line in lines:
            try:
                entry = json.loads(line)
                self._found[entry["key"]] = entry["figures"]
            except (ValueError, KeyError):
                continue  # the last line of a run that was killed

    def get(self, job: Job) -> dict[str, float] | None:
        return self._found.get(self._key(job))

    def add(self, job: Job, figures: dict[str, float]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            # On a line of its own, whatever a run that was killed left behind.
            file.write("\n" + json.dumps({"key": self._key(job), "figures": figures}) + "\n")

    def _key(self, job: Job) -> str:
        return json.dumps({"recipe": asdict(job.recipe), "seed": job.seed, "data": self._data}, sort_keys=True)


def _sha256(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _of(figures: Sequence[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    return [entry for entry in figures if entry["name"] == name]


def _errors(entries: Sequence[Mapping[str, Any]]) -> np.ndarray:
    return np.array([entry["tve"] for entry in entries])


def _introduction(recorded: Recorded, networks: int, figures: Sequence[Mapping[str, Any]]) -> str:
    from functools import partial

    from dto_agents.rc_car.baselines import constant_twist
    from dto_agents.rc_car.validation import trajectory_validation_error
    from dto_envs.rc_car.car import CONTROL_STEP

    twist = trajectory_validation_error(partial(constant_twist, dt=CONTROL_STEP), recorded.starts)
    minutes = sum(entry["cpu_s"] for entry in figures) / 60
    with np.load(recorded.folder / "train.npz") as log:
        driven = np.ptp(log["t"]) / 60
    return (
        f"The simulated car was driven for {driven:.0f} minutes by a program that drives like a person (to points, "
        "slalom, power slides, flicks, corners at speed, reversing, braking), recorded at 240 Hz with a motion capture "
        f"system's noise (1 mm, 0.01 rad) and smoothed over {_smoothing():g} s. Networks are compared by the "
        "trajectory validation error (TVE, equation 10): the mean L1 norm, in m, m and rad, of the error of the "
        "final pose over "
        f"{len(recorded.starts)} trajectories of 3 s, half of them drifting. Keeping the first velocity gives "
        f"{twist:.2f}.\n\nIn small: {networks} networks per configuration where the paper trains 15 ({GRID_NETWORKS} "
        f"per size at most), {EPOCHS} epochs each, from weights as He et al. (2015) draw them; {len(figures)} "
        f"trainings took {minutes:.1f} minutes of one core. The paper's own figures are of another simulated car: "
        "its orderings are what can be compared."
    )


def _table(page: Page, name: str, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    lines = []
    for label, entries in rows.items():
        tve = _errors(entries)
        spread = float(tve.std(ddof=1)) if len(tve) > 1 else float("nan")
        tests = [float(np.mean([entry[loss] for entry in entries])) for loss in LOSSES]
        lines.append([label, len(tve), float(tve.mean()), spread, float(tve.min()), float(tve.max()), *tests])
    columns = ["trained", "networks", "TVE, mean", "std", "least", "largest", *(f"test {loss}" for loss in LOSSES)]
    page.table(name, columns, lines, caption="Test losses are of one step, on a minute of driving.")


def loss_verdicts(losses: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """What became of the paper's three statements on losses, a sentence each."""
    spread = {
        loss: float(_errors(entries).std(ddof=1)) if len(entries) > 1 else 0.0 for loss, entries in losses.items()
    }
    least = min(spread, key=lambda loss: spread[loss])
    told = ", ".join(f"{loss} {value:.3f}" for loss, value in spread.items())
    found = "it does here too" if least == "relative" else f"that did not come out: {least} does"
    return [
        "- " + compare("L1", losses["l1"], "L2", losses["l2"], "The paper finds L1 notably better than L2"),
        "- "
        + compare(
            "relative", losses["relative"], "L2", losses["l2"], "The paper finds relative notably better than L2"
        ),
        f"- In the paper the relative loss scatters least; {found} (standard deviations: {told}).",
    ]


def compare(
    first: str, ours: Sequence[Mapping[str, Any]], second: str, theirs: Sequence[Mapping[str, Any]], claim: str
) -> str:
    """One sentence: whether ``claim``, that the first has the lower error, came out, and how sure that is.

    Sure means that the means differ by more than two standard errors of their difference.
    """
    a, b = _errors(ours), _errors(theirs)
    gap = b.mean() - a.mean()
    numbers = f"{first} {a.mean():.3f}, {second} {b.mean():.3f}"
    if min(len(a), len(b)) < 2:
        return f"{claim}; one network each says nothing about that ({numbers})."
    error = np.sqrt(sum(x.var(ddof=1) / len(x) for x in (a, b)))
    if abs(gap) <= 2 * error:
        return f"{claim}; here the difference is within the noise ({numbers}, standard error {error:.3f})."
    verdict = "it is so here too" if gap > 0 else "here it is the other way round"
    return f"{claim}; {verdict} ({numbers}, standard error {error:.3f})."


def _size_section(page: Page, figures: Sequence[Mapping[str, Any]]) -> None:
    grid = {}
    for activation in ACTIVATIONS:
        for depth in DEPTHS:
            for width in WIDTHS:
                name = f"{activation} relative" if (depth, width) == (8, 64) else f"{activation} {depth} x {width}"
                grid[activation, depth, width] = _of(figures, name)[:GRID_NETWORKS]
    rows = [
        [activation, depth, width, float(_errors(found).mean()), float(_errors(found).min())]
        for (activation, depth, width), found in grid.items()
    ]
    page.text("The paper's network (velocity, one action, relative loss) in other sizes.")
    page.table("sizes", ["activation", "depth", "width", "TVE, mean", "least"], rows)
    means = {key: float(_errors(found).mean()) for key, found in grid.items()}
    page.figure("figure4_sizes", size_figure(means, DEPTHS, WIDTHS), "Mean validation error by depth and width.")
    best = min(means, key=lambda key: means[key])
    chosen = _errors(_of(figures, "gelu relative"))
    scatter = (
        f" Networks of one size scatter: {chosen.min():.3f} to {chosen.max():.3f} for {len(chosen)} of 8 x 64 GELU."
    )
    page.text(
        f"The paper chooses 8 x 64 GELU, {means['gelu', 8, 64]:.3f} here. The least here has "
        f"{best[1]} x {best[2]} {LABELS[best[0]]}, {means[best]:.3f}.{scatter if len(chosen) > 1 else ''}"
    )


def _beyond(
    page: Page, figures: Sequence[Mapping[str, Any]], losses: Mapping[str, Sequence[Mapping[str, Any]]]
) -> None:
    steps = {
        "velocity, relative (the paper)": losses["relative"],
        "velocity, l1": losses["l1"],
        "change of velocity, l1": _of(figures, "residual l1"),
        "the same, 3 actions": _of(figures, "residual l1, 3 actions"),
        "the same, mirror images too": _of(figures, "residual l1, 3 actions, mirrored"),
    }
    page.text(
        "Predicting the change of the velocity; seeing the two actions before too; training on the driving's mirror "
        "image too, which takes twice the optimiser steps."
    )
    _table(page, "beyond", steps)
    page.figure("beyond", distribution_figure(steps), "Validation error as the paper's recipe is changed step by step.")


def _shipped(page: Page, options: SuiteOptions, recorded: Recorded) -> None:
    from dto_agents.rc_car.validation import as_predictor, final_pose_errors
    from dto_envs.rc_car.learned import list_models, read_network

    networks = {path.stem: read_network(path) for path in list_models("simulated", options.weights)}
    models = {name: as_predictor(network) for name, network in networks.items()}
    models["their ensemble"] = as_predictor(list(networks.values()))
    half = len(recorded.starts) // 2
    rows = []
    for name, model in models.items():
        errors = final_pose_errors(model, recorded.starts)
        rows.append(
            [name, *(float(part.mean()) for part in (errors, errors[:half], errors[half:])), float(np.median(errors))]
        )
    page.text(
        "What the planners use, trained for longer (see their cards). The ensemble takes the mean of the networks' "
        "velocities at every step."
    )
    page.table("shipped", ["network", "TVE", "drifting half", "gripping half", "median"], rows)

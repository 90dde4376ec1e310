"""The real car: how well models predict a recorded drive open loop, one second ahead.

``dto-eval --suite rc-car-real --data TRAIN TEST``: bicycles are fitted to the first recording, the paper's network is
trained on it, the shipped networks are read, and all are tested on the second. Fits and networks are kept in the
folder of the suite; a second run reads them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from dto_eval.suites import SuiteOptions
from dto_eval.suites.page import Page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dto_agents.rc_car.logs import Log
    from dto_agents.rc_car.prediction import Predictor, Starts

RATE = 30.0  # Hz
HORIZON = 30  # control steps: one second
PAST = 12  # control steps before a start
STRIDE = 3  # control steps between starts of the test
FIT_STRIDE = 6
PAPER_SEEDS = (42, 142, 242)
BLOCK_S = 4.0  # s; the bootstrap draws whole blocks of the recording, since neighbouring starts overlap
RESAMPLES = 2000
SLIDING = 0.3  # rad of slip
MOVING = 0.5  # m/s; slower, slip is not counted
BICYCLE = "dynamic bicycle"
ENSEMBLE = "ours, ensemble"
POSITION_BAR, HEADING_BAR = 1 / 2, 2 / 3


@dataclass(frozen=True)
class Measured:
    """Errors of one model at every start and step, (B, n + 1) in m and in rad."""

    position: np.ndarray
    heading: np.ndarray


def run(options: SuiteOptions) -> Path:
    """Write the results page.

    ``options.data`` are two recordings, to fit to and to test on; ``options.episodes`` limits the starts of the test;
    ``options.weights`` is a folder that holds ``real/seed<k>.safetensors``.

    Raises:
        ValueError: there are not two recordings, or one cannot be read.
    """
    from dto_agents.rc_car.prediction import errors, moving_starts
    from dto_agents.rc_car.reading import read_log

    if len(options.data) != 2:
        raise ValueError(
            f"rc-car-real needs two recordings, not {len(options.data)}: --data TRAIN TEST, to fit to and to test on"
        )
    recordings = [read_log(path, rate=RATE) for path in options.data]
    fitted, tested = (recording.pieces for recording in recordings)
    starts = moving_starts(tested, horizon=HORIZON, past=PAST, stride=STRIDE)
    if options.episodes is not None:
        starts = starts.pick(np.unique(np.linspace(0, len(starts) - 1, options.episodes).astype(int)))
    models, bicycles = _models(options, fitted)
    predicted, measured = {}, {}
    for name, model in models.items():
        options.console.print(f"rc-car-real: {name} predicts {len(starts)} starts", highlight=False)
        predicted[name] = model(starts.states, starts.controls, starts.past)
        measured[name] = Measured(*errors(predicted[name], starts.poses))
    page = Page("The real RC car, predicted one second ahead", options.out)
    page.text(_introduction(options, fitted, tested, starts, bicycles[BICYCLE]))
    _error_table(page, "errors", measured, starts)
    page.text(_verdict(measured, starts))
    page.heading("Starts that slide")
    sliding = _slides(starts)
    page.text(f"{sliding.sum()} of the {len(starts)} starts, where the slip passes {SLIDING} rad within the second.")
    subset = {name: Measured(m.position[sliding], m.heading[sliding]) for name, m in measured.items()}
    if sliding.any():
        _error_table(page, "errors_sliding", subset, starts.pick(np.flatnonzero(sliding)))
    page.heading("Over the horizon")
    page.figure("growth", _growth_figure(measured), "Median error over the horizon, all starts.")
    page.figure(
        "trajectories",
        _trajectory_figure(predicted, measured, starts),
        "Measured and predicted paths; starts at quantiles of the dynamic bicycle's error, from 50 % to 95 %.",
    )
    page.heading("The fitted bicycles")
    names = list(bicycles[BICYCLE])
    rows = [[name, *(values.get(name) for values in bicycles.values())] for name in names]
    page.table("bicycles", ["parameter", *bicycles], rows, caption="Units: dto_agents.rc_car.baselines.")
    _repairs(page, options, recordings)
    return page.write()


def _models(options: SuiteOptions, logs: Sequence[Log]) -> tuple[dict[str, Predictor], dict[str, Mapping[str, float]]]:
    """All models by the name that the page shows, in its order, and the parameters of the bicycles."""
    from dto_agents.rc_car.baselines import constant_twist
    from dto_agents.rc_car.validation import as_predictor
    from dto_envs.rc_car.learned import list_models, read_network

    kept = options.out / "fitted"
    bicycles = {f"{kind} bicycle": _bicycle(options, kind, logs, kept) for kind in ("kinematic", "dynamic")}
    paper = {seed: _paper_network(options, logs, seed, kept) for seed in PAPER_SEEDS}
    ours = {path.stem: read_network(path) for path in list_models("real", options.weights)}
    models: dict[str, Predictor] = {"constant twist": partial(constant_twist, dt=1 / RATE), **bicycles}
    models |= {f"the paper's network, seed{seed}": as_predictor(network) for seed, network in paper.items()}
    models |= {f"ours, {name}": as_predictor(network) for name, network in ours.items()}
    models[ENSEMBLE] = as_predictor(list(ours.values()))
    return models, {name: bicycle.parameters for name, bicycle in bicycles.items()}


def _bicycle(options: SuiteOptions, kind, logs: Sequence[Log], kept: Path):
    from dto_agents.rc_car.baselines import Bicycle, fit_bicycle
    from dto_agents.rc_car.prediction import moving_starts

    path = kept / f"{kind}.json"
    if path.exists():
        return Bicycle(kind, MappingProxyType(json.loads(path.read_text(encoding="utf-8"))), 1 / RATE)
    options.console.print(f"rc-car-real: fits the {kind} bicycle, some minutes", highlight=False)
    bicycle = fit_bicycle(kind, moving_starts(logs, horizon=HORIZON, past=PAST, stride=FIT_STRIDE))
    kept.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(bicycle.parameters), indent=2) + "\n", encoding="utf-8")
    return bicycle


def _paper_network(options: SuiteOptions, logs: Sequence[Log], seed: int, kept: Path):
    from dto_agents.rc_car.real import PAPER, train_network
    from dto_envs.rc_car.learned import read_network, write_network

    path = kept / f"paper_seed{seed}.safetensors"
    if not path.exists():
        options.console.print(f"rc-car-real: trains the paper's network, seed {seed}", highlight=False)
        write_network(path, train_network(logs, PAPER, seed=seed), {"recipe": asdict(PAPER), "seed": seed})
    return read_network(path)


def _introduction(
    options: SuiteOptions,
    fitted: Sequence[Log],
    tested: Sequence[Log],
    starts: Starts,
    bicycle: Mapping[str, float],
) -> str:
    return (
        f"Models see the pose and velocity at a start, the {PAST} controls before it and the {HORIZON} after it, and "
        f"predict the pose {HORIZON / RATE:g} s later. Bicycles are fitted to, and networks trained on, "
        f"`{options.data[0].name}` ({sum(map(len, fitted))} samples at {RATE:g} Hz); all are tested on "
        f"`{options.data[1].name}` ({sum(map(len, tested))} samples): {len(starts)} starts, {STRIDE} samples apart, "
        "wherever the car moves faster than 0.3 m/s. Intervals (95 %) are bootstrapped over "
        f"blocks of {BLOCK_S:g} s, since neighbouring starts overlap. "
        "The paper's network is the paper's to the letter: 8 x 64 GELU, smoothed poses, the present action alone, "
        "the relative loss, the next velocity as output. Ours sees 10 actions and gives the change of velocity: the "
        f"car answers late (the dynamic bicycle's fit: throttle after {bicycle['delay_throttle']:.2f} s, steering "
        f"after {bicycle['delay_steering']:.2f} s with a lag of {bicycle['steering_lag']:.2f} s). A run keeps what "
        "it fitted in `fitted/` of its folder."
    )


def _error_table(page: Page, name: str, measured: Mapping[str, Measured], starts: Starts) -> None:
    rows = []
    for model, errors in measured.items():
        position, heading = errors.position[:, -1], errors.heading[:, -1]
        shown = [model]
        for values in (position, heading):
            lo, hi = interval(values, starts)
            shown += [float(np.median(values)), f"{lo:.3f} to {hi:.3f}", float(values.mean())]
        rows.append(shown)
    columns = ["model", "position, median [m]", "95 %", "mean [m]", "heading, median [rad]", "95 %", "mean [rad]"]
    page.table(name, columns, rows)


def _verdict(measured: Mapping[str, Measured], starts: Starts) -> str:
    """How our models compare with the dynamic bicycle, and with the bar of half its position error."""
    lines = []
    for what, bar in (("position", POSITION_BAR), ("heading", HEADING_BAR)):
        bicycle = getattr(measured[BICYCLE], what)[:, -1]
        for model in (name for name in measured if name.startswith("ours")):
            ours = getattr(measured[model], what)[:, -1]
            ratio = float(np.median(ours) / np.median(bicycle))
            lo, hi = ratio_interval(ours, bicycle, starts)
            met = "met" if ratio <= bar else "missed"
            lines.append(
                f"- {model}: median {what} error {ratio:.2f} of the dynamic bicycle's ({lo:.2f} to {hi:.2f}); "
                f"the bar of {bar:.2f} is {met}."
            )
    return "\n".join(lines)


def interval(values: np.ndarray, starts: Starts) -> tuple[float, float]:
    """95 % interval of the median of ``values`` (B,), by a bootstrap over blocks of the recording."""
    lo, hi = np.quantile(_resampled_medians(values, starts), [0.025, 0.975])
    return float(lo), float(hi)


def ratio_interval(values: np.ndarray, reference: np.ndarray, starts: Starts) -> tuple[float, float]:
    """95 % interval of the ratio of medians; the same blocks are drawn for both."""
    ratios = _resampled_medians(values, starts) / _resampled_medians(reference, starts)
    lo, hi = np.quantile(ratios, [0.025, 0.975])
    return float(lo), float(hi)


def _resampled_medians(values: np.ndarray, starts: Starts) -> np.ndarray:
    """(RESAMPLES,) lower medians; each resample draws as many blocks as there are, with replacement."""
    _, block = np.unique(np.floor(starts.starts / BLOCK_S), return_inverse=True)
    blocks = block.max() + 1
    drawn = np.random.default_rng(0).multinomial(blocks, np.full(blocks, 1 / blocks), size=RESAMPLES)
    order = np.argsort(values)
    reached = np.cumsum(drawn[:, block[order]], axis=1)
    return values[order][np.argmax(2 * reached >= reached[:, -1:], axis=1)]


def _slides(starts: Starts) -> np.ndarray:
    """(B,) whether the car slips within the horizon, as its poses show."""
    change = np.diff(starts.poses, axis=1) / starts.dt
    # The direction of travel belongs to the middle of a step.
    heading = 0.5 * (starts.poses[:, 1:, 2] + starts.poses[:, :-1, 2])
    forward = np.cos(heading) * change[..., 0] + np.sin(heading) * change[..., 1]
    left = np.cos(heading) * change[..., 1] - np.sin(heading) * change[..., 0]
    slip = np.abs(np.arctan2(left, np.abs(forward)))
    return np.any((slip > SLIDING) & (np.hypot(forward, left) > MOVING), axis=1)


SHOWN = ("constant twist", "kinematic bicycle", BICYCLE, f"the paper's network, seed{PAPER_SEEDS[0]}", ENSEMBLE)


def _growth_figure(measured: Mapping[str, Measured]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6))
    axes = figure.subplots(1, 2)
    seconds = np.arange(HORIZON + 1) / RATE
    for ax, what, unit in zip(axes, ("position", "heading"), ("m", "rad"), strict=True):
        for name in SHOWN:
            errors = getattr(measured[name], what)
            line = ax.plot(seconds, np.median(errors, axis=0), label=name)[0]
            if name in (BICYCLE, ENSEMBLE):
                ax.fill_between(
                    seconds, *np.quantile(errors, [0.25, 0.75], axis=0), color=line.get_color(), alpha=0.15, lw=0
                )
        ax.set(xlabel="time [s]", ylabel=f"{what} error [{unit}]", xlim=(0, seconds[-1]), ylim=(0, None))
        ax.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    axes[0].set_ylim(0, 2 * np.median(measured["kinematic bicycle"].position[:, -1]))
    figure.suptitle("Shaded: from the lower to the upper quartile", fontsize=8)
    return figure


def _trajectory_figure(predicted: Mapping[str, np.ndarray], measured: Mapping[str, Measured], starts: Starts) -> Figure:
    from matplotlib.figure import Figure

    order = np.argsort(measured[BICYCLE].position[:, -1])
    picked = [order[int(q * (len(order) - 1))] for q in (0.5, 0.65, 0.8, 0.95)]
    figure = Figure(figsize=(12, 3.4))
    for ax, start in zip(figure.subplots(1, 4), picked, strict=True):
        ax.plot(*starts.poses[start, :, :2].T, color="black", lw=2.5, label="measured")
        for name in SHOWN:
            ax.plot(*predicted[name][start, :, :2].T, lw=1.3, label=name)
        # A stroke along the car shows its heading.
        for pose in starts.poses[start, ::10]:
            ahead = 0.1 * np.array([np.cos(pose[2]), np.sin(pose[2])])
            ax.plot(*np.stack([pose[:2] - ahead, pose[:2] + ahead], axis=1), color="grey", lw=1)
        ax.set_aspect("equal", adjustable="datalim")
        ax.set(xlabel="x [m]", title=f"at {starts.starts[start]:.1f} s")
        ax.title.set_fontsize(9)
    figure.axes[0].set_ylabel("y [m]")
    figure.axes[0].legend(fontsize=6)
    figure.tight_layout()
    return figure


def _repairs(page: Page, options: SuiteOptions, recordings) -> None:
    page.heading("The recordings")
    lines = [
        f"- `{path.name}`: {'; '.join(recording.repairs) or 'nothing to repair'}."
        for path, recording in zip(options.data, recordings, strict=True)
    ]
    page.text("Repaired on reading:\n\n" + "\n".join(lines))

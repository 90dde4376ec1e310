"""Driving the RC car by planning: Köhler et al., Table I and Figures 5, 8, 9 and 10.

``dto-eval --suite rc-car`` plays each manoeuvre 20 times (``--episodes``) with every shipped network: planned on the
network and executed open loop, and replanned at every step; beside them the expert, which plans on the car itself, and
soft actor-critic where there are policies (:mod:`.rc_car_drives`, kept in the suite's folder). Then it plans on
networks of both activations (:mod:`.rc_car_activations`) and races (:mod:`.rc_car_laps`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dto_eval.suites import SuiteOptions
from dto_eval.suites.page import Page
from dto_eval.suites.rc_car_drives import MANOEUVRES, Driven, drive

if TYPE_CHECKING:
    from dto_envs.rc_car.learned import CarNetwork

EPISODES = 20
METHODS = {
    "rc-car-plan": "planned on the network, open loop",
    "rc-car-mpc": "planned on the network, closed loop",
    "rc-car-sac": "soft actor-critic",
    "expert": "planned on the car itself, closed loop",
}
# Mean and standard deviation of the position error in m, and of the absolute heading error in rad (Table I).
PAPER = {
    "Parking": (0.38, 0.10, 0.13, 0.08),
    "Reverse": (0.21, 0.074, 0.50, 0.10),
    "DriftTurn": (0.37, 0.21, 0.10, 0.10),
}
OPEN_TARGET, CLOSED_TARGET = 0.30, 0.10  # m


def run(options: SuiteOptions) -> Path:
    """Write the results page.

    ``options.episodes`` is the number of starts of each manoeuvre, ``options.weights`` a folder with networks
    ``simulated/seed<k>.safetensors``.

    Raises:
        ValueError: fewer than one episode.
    """
    from dto_eval.suites import rc_car_figures as figures
    from dto_eval.suites.rc_car_activations import compare_activations
    from dto_eval.suites.rc_car_laps import race

    episodes = options.count(EPISODES, "starts of each manoeuvre")
    drives = drive(options, tuple(METHODS), episodes)
    page = Page("Driving the RC car by planning", options.out)
    page.text(_introduction(options, episodes))
    page.heading("Table I: the error at the end of each manoeuvre")
    _table_one(page, drives)
    page.text(_verdict(drives))
    page.heading("Figures 5 and 8: planned and executed")
    networks = _networks(options)
    planned = [(entry, _predicted(entry, networks[entry.task.member])) for entry in _first_plans(drives, networks)]
    page.figure("plans", figures.plans(planned), "Planned on the network (orange) and executed open loop (green).")
    page.heading("Figure 10: GELU against ReLU")
    compare_activations(page, options, episodes)
    page.heading("Figure 9: laps")
    race(page, options, networks)
    return page.write()


def _networks(options: SuiteOptions) -> dict[str, CarNetwork]:
    from dto_envs.rc_car.learned import list_models, read_network

    return {path.stem: read_network(path) for path in list_models("simulated", options.weights)}


def _introduction(options: SuiteOptions, episodes: int) -> str:
    source = "the shipped networks" if options.weights is None else "networks of one's own"
    return (
        f"Each manoeuvre is driven from {episodes} slightly different starts with each of {source}. They learned from "
        "15 minutes of driving on the analytic car, which executes what is planned on them. The paper's figures are of "
        "a real car, open loop, with manoeuvres of its own; ours are laid out so that they take sliding. Plans are "
        "found by L-BFGS from six starts with gradients by the implicit function theorem; open loop they are then "
        "made to hold for cars whose throttle, steering and speed at the start differ by 5 % from the model."
    )


def _table_one(page: Page, drives: Sequence[Driven]) -> None:
    columns = ["manoeuvre", "method", "position error [m]", "std", "heading error [rad]", "std"]
    columns += ["largest slip [rad]", "success", "cans touched", "episodes"]
    rows: list[list[Any]] = []
    for manoeuvre in MANOEUVRES:
        rows.append([manoeuvre, "the paper: real car, open loop", *PAPER[manoeuvre], None, None, None, 20])
        for agent, label in METHODS.items():
            chosen = _of(drives, manoeuvre, agent)
            if chosen:
                rows.append([manoeuvre, label, *_summary(chosen), len(chosen)])
    page.table(
        "table1",
        columns,
        rows,
        caption="Means and standard deviations over starts and networks; success needs the way point too.",
    )
    members = sorted({(entry.task.agent, entry.task.member) for entry in drives if entry.task.member != "only"})
    rows = [
        [manoeuvre, METHODS[agent], member, *_summary(_of(drives, manoeuvre, agent, member))[:4]]
        for manoeuvre in MANOEUVRES
        for agent, member in members
        if _of(drives, manoeuvre, agent, member)
    ]
    page.text("By network:")
    page.table("table1_members", [*columns[:2], "network", *columns[2:6]], rows)


def _of(drives: Sequence[Driven], manoeuvre: str, agent: str, member: str | None = None) -> list[Driven]:
    return [
        entry
        for entry in drives
        if (entry.task.manoeuvre, entry.task.agent) == (manoeuvre, agent) and member in (None, entry.task.member)
    ]


def _summary(chosen: Sequence[Driven]) -> list[float]:
    position, heading = (np.array([getattr(entry, name) for entry in chosen]) for name in ("position", "heading"))
    shares = [float(np.mean([getattr(entry, name) for entry in chosen])) for name in ("success", "touched")]
    slip = float(np.mean([entry.slip for entry in chosen]))
    return [*map(float, (position.mean(), position.std(), heading.mean(), heading.std())), slip, *shares]


def _verdict(drives: Sequence[Driven]) -> str:
    lines = []
    for agent, target, name in (("rc-car-plan", OPEN_TARGET, "Open"), ("rc-car-mpc", CLOSED_TARGET, "Closed")):
        means = {m: _summary(_of(drives, m, agent))[0] for m in MANOEUVRES}
        missed = [f"{m} {value:.2f} m" for m, value in means.items() if value > target]
        lines.append(
            f"{name} loop, the aim is a mean position error of at most {target:.2f} m in each manoeuvre: "
            + (f"missed in {', '.join(missed)}." if missed else "met in all three.")
        )
    opened, closed = ({m: _summary(_of(drives, m, agent))[0] for m in MANOEUVRES} for agent in list(METHODS)[:2])
    worse = [m for m in MANOEUVRES if opened[m] > PAPER[m][0]]
    unhelped = [m for m in MANOEUVRES if closed[m] >= opened[m]]
    lines.append(
        "The paper's order, feedback far better than playing a plan back, "
        + (f"does not come out in {', '.join(unhelped)}" if unhelped else "comes out")
        + (f"; open loop we are further off than the paper in {', '.join(worse)}." if worse else ".")
    )
    return " ".join(lines)


def _first_plans(drives: Sequence[Driven], networks: dict[str, CarNetwork]) -> list[Driven]:
    """Of each manoeuvre, the first network's open-loop episodes."""
    first = next(iter(networks))
    return [entry for m in MANOEUVRES for entry in _of(drives, m, "rc-car-plan", first)]


def _predicted(entry: Driven, network: CarNetwork) -> np.ndarray:
    """The states (n + 1, 6) that the network expected of an episode's controls."""
    from dto_envs.rc_car.learned import rollout

    return rollout(network, entry.states[0], entry.controls[None].astype(np.float64))[0]

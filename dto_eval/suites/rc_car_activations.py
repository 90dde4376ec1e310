"""Figure 10 of Köhler et al.: are controls and gradients smoother on a network with GELU than on one with ReLU?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dto_eval.suites import SuiteOptions
from dto_eval.suites.page import Page
from dto_eval.suites.rc_car_drives import FIRST_INIT, MANOEUVRES

if TYPE_CHECKING:
    from dto_agents.rc_car.optimisation import Plan
    from dto_envs.rc_car.learned import CarNetwork

SEED = 42
KEPT = "kept"
COLUMNS = ("manoeuvre", "activation", "throttle: std of differences", "steering: std of differences")
COLUMNS += ("throttle: peak rate [m/s³]", "steering: peak rate [rad/s]", "steering: SPARC")
COLUMNS += ("roughness of the controls", "roughness of the gradient")


def compare_activations(page: Page, options: SuiteOptions, episodes: int) -> None:
    """Plan the same starts on networks that differ in nothing but their activation, and compare the controls."""
    from dto_eval.suites import rc_car_figures as figures

    networks = {"GELU": train_network(options, "gelu"), "ReLU": train_network(options, "relu")}
    rows: list[list[Any]] = []
    shown = {}
    for manoeuvre in MANOEUVRES:
        for name, network in networks.items():
            options.console.print(f"rc-car: {manoeuvre}, {name}", highlight=False)
            found = [_plan(manoeuvre, network, FIRST_INIT + index) for index in range(episodes)]
            controls = [plan.controls for plan, _ in found]
            rough = [float(np.mean(list(map(roughness, part)))) for part in (controls, [slopes for _, slopes in found])]
            rows.append([manoeuvre, name, *_smoothness(controls), *rough])
            shown[manoeuvre, name] = found[0][0].controls, found[0][1]
    page.table(
        *("activations", COLUMNS, rows),
        digits=4,
        caption=(
            "Means over starts, on the scale [-1, 1] where no unit is given; SPARC: the larger the smoother. "
            "Roughness: the root mean square of the second differences over that of the values; gradients are on one "
            "and the same drive."
        ),
    )
    page.figure(
        *("gelu_relu", figures.activations(shown)),
        "Controls planned on networks with GELU and with ReLU, and gradients on one and the same drive.",
    )
    page.text(_verdict(rows))


def _verdict(rows: Sequence[Sequence[Any]]) -> str:
    def cell(manoeuvre: str, activation: str, column: int) -> float:
        return next(row[column] for row in rows if list(row[:2]) == [manoeuvre, activation])

    def where(column: int) -> str:
        found = [m for m in MANOEUVRES if cell(m, "GELU", column) < cell(m, "ReLU", column)]
        return "all three manoeuvres" if len(found) == len(MANOEUVRES) else " and ".join(found) or "none"

    return (
        "The paper finds considerably smoother gradients and controls with GELU. Here, with one network of each, "
        f"trained on the same drive with seed {SEED}, the gradient is less rough with GELU in {where(8)}, the "
        f"controls in {where(7)}; the steering's differences deviate less in {where(3)}, the throttle's in {where(2)}."
    )


def train_network(options: SuiteOptions, activation: Literal["gelu", "relu"]) -> CarNetwork:
    """A network of the shipped recipe but for its activation, from a drive of its own; kept in the suite's folder."""
    from dto_agents.rc_car.driving import Drive, drive
    from dto_agents.rc_car.networks import RECIPES
    from dto_agents.rc_car.preparing import prepare
    from dto_agents.rc_car.training import train
    from dto_envs.rc_car.learned import read_network, write_network

    path = options.out / KEPT / f"{activation}.safetensors"
    if path.exists():
        return read_network(path)
    options.console.print(f"rc-car: trains a network with {activation}", highlight=False)
    recipe, plan = replace(RECIPES["simulated"], activation=activation), Drive()
    log = drive(plan, SEED).log
    windows = prepare([log], dt=plan.dt, actions=recipe.actions, steps=recipe.steps, smoothing_s=recipe.smoothing_s)
    network = train(windows, plan.dt, recipe, seed=SEED)
    write_network(path, network, {"recipe": asdict(recipe), "seed": SEED})
    return network


def _plan(manoeuvre: str, network: CarNetwork, init: int) -> tuple[Plan, np.ndarray]:
    """A plan of a manoeuvre for the network alone, without doubt, and the gradient (n, 2) at a plain drive."""
    from dto_agents.rc_car.dynamics import LearnedDynamics
    from dto_agents.rc_car.missions import Effort, missions, plan_mission
    from dto_agents.rc_car.optimisation import Problem
    from dto_envs.rc_car.scenarios import SCENARIOS, draw_start

    scenario, dynamics = SCENARIOS[manoeuvre], LearnedDynamics(network)
    start = draw_start(scenario, np.random.default_rng(init))
    _, plan = plan_mission(dynamics, scenario, start, effort=Effort(doubt=0.0))
    mission = missions(scenario, start[2], dynamics.dt)[0]
    plain = np.stack([np.full(mission.steps, 0.3), 0.5 * np.sin(np.linspace(0, 6, mission.steps))], axis=1)
    _, gradient = Problem(dynamics, mission.cost(dynamics, None), start).cost_and_gradient(plain)
    return plan, gradient


def _smoothness(controls: Sequence[np.ndarray]) -> list[float]:
    from dto_envs.layouts import RC_CAR_LAYOUT
    from dto_envs.smoothness import trajectory_metrics

    groups = [trajectory_metrics(entry, RC_CAR_LAYOUT).groups for entry in controls]
    wanted = [("throttle", "std_difference"), ("steering", "std_difference")]
    wanted += [("throttle", "peak_velocity"), ("steering", "peak_velocity"), ("steering", "sparc")]
    return [float(np.nanmean([getattr(group[part], name) for group in groups])) for part, name in wanted]


def roughness(values: np.ndarray) -> float:
    """Root mean square of the second differences over time of values (n, 2) over that of the values themselves."""
    bends = np.diff(values, n=2, axis=0)
    return float(np.sqrt((bends**2).mean() / (values**2).mean()))

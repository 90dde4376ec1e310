"""Figure 9 of Köhler et al.: laps, replanned at 20 Hz and at 50 Hz, with a network that never saw the track."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from dto_eval.suites import SuiteOptions
from dto_eval.suites.page import Page

if TYPE_CHECKING:
    from dto_agents.rc_car.laps import Laps
    from dto_envs.rc_car.learned import CarNetwork

SPEEDS = (2.3, 2.8)  # m/s
ITERATIONS = {20.0: 10, 50.0: 8}  # Hz: most iterations at a tick
LAPS = 3
DEADLINE_SHARE = 0.99
COLUMNS = ("network", "track", "rate [Hz]", "wanted speed [m/s]", "laps", "standing lap [s]", "flying lap [s]")
COLUMNS += ("excursions", "largest offset [m]", "slipping", "planning [ms]", "99 % below [ms]")
COLUMNS += ("late, computing", "late, clock")


def race(page: Page, options: SuiteOptions, networks: Mapping[str, CarNetwork]) -> None:
    """Laps of both tracks, at both rates, at two speeds, on every network; the first one's are drawn."""
    from dto_agents.rc_car.driving_agents import Racing
    from dto_agents.rc_car.dynamics import LearnedDynamics
    from dto_agents.rc_car.laps import drive_laps
    from dto_envs.rc_car.tracks import TRACKS
    from dto_eval.suites import rc_car_figures as figures

    rows, driven = [], []
    for name, track, (rate, iterations), speed in product(networks, TRACKS.values(), ITERATIONS.items(), SPEEDS):
        options.console.print(f"rc-car: {name}, {track.name}, {rate:g} Hz, {speed} m/s", highlight=False)
        racing = Racing(speed=speed, iterations=iterations)
        laps = drive_laps(LearnedDynamics(networks[name]), track, racing, rate=rate, laps=LAPS)
        rows.append([name, track.name, f"{rate:g}", speed, *_figures(laps, 1 / rate)])
        if rate == 20.0 and name == next(iter(networks)):
            driven.append((track, speed, laps))
    page.table(
        *("laps", COLUMNS, rows),
        digits=2,
        caption=(
            "Planned one second ahead. Slipping: share of the ticks beyond 0.3 rad. Planning: computing "
            "time of a tick on one core. Late: share of the ticks whose plan came after the next one was due, by the "
            "planning thread's computing time and by the wall clock, which also counts what else the machine was doing."
        ),
    )
    page.figure("laps", figures.laps(driven), "Laps at 20 Hz, coloured by speed; dotted, the centre of the track.")
    page.text(_verdict(rows))


def _figures(laps: Laps, deadline: float) -> list[Any]:
    standing = laps.lap_times[0] if laps.lap_times else None
    flying = float(np.mean(laps.lap_times[1:])) if len(laps.lap_times) > 1 else None
    cpu = 1e3 * laps.cpu[1:]
    return [
        *(len(laps.lap_times), standing, flying, laps.excursions, float(laps.offsets.max())),
        f"{100 * float(np.mean(np.abs(laps.slip) > 0.3)):.1f} %",
        *(float(cpu.mean()), float(np.percentile(cpu, 99))),
        *(f"{100 * laps.misses(deadline, clock):.2f} %" for clock in ("cpu", "wall")),
    ]


def _verdict(rows: Sequence[Sequence[Any]]) -> str:
    table: list[dict[str, Any]] = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    finished = sum(row["laps"] == LAPS for row in table)
    clean = sum(row["laps"] == LAPS and row["excursions"] == 0 for row in table)
    allowed = 100 * (1 - DEADLINE_SHARE)
    kept = {
        clock: sum(float(row[f"late, {clock}"].split()[0]) <= allowed for row in table)
        for clock in ("computing", "clock")
    }
    return (
        f"{finished} of {len(rows)} runs finished their {LAPS} laps, {clean} without leaving the track. Planning kept "
        f"the deadline on at least {100 * DEADLINE_SHARE:g} % of the ticks in {kept['computing']} runs by its own "
        f"computing time, and in {kept['clock']} by the wall clock. The paper's authors could not run analytic "
        "gradients at 20 Hz and fell back on finite differences."
    )

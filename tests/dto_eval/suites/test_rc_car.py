"""The suite rc-car: what it plays, sums up and draws."""

from __future__ import annotations

import numpy as np
import pytest

from dto_eval.suites import SuiteOptions, rc_car, rc_car_figures, rc_car_laps
from dto_eval.suites.page import Page
from dto_eval.suites.rc_car import PAPER
from dto_eval.suites.rc_car_activations import COLUMNS, roughness
from dto_eval.suites.rc_car_activations import _verdict as activation_verdict
from dto_eval.suites.rc_car_drives import MANOEUVRES, Driven, Task


def make_driven(manoeuvre, agent, member, position, **changes):
    task = Task(manoeuvre, agent, member, (100_000,))
    states = np.zeros((41, 6))
    states[:, 0] = np.linspace(0, 2, 41)
    figures = {"heading": 0.1, "slip": 0.7, "success": position < 0.15, "touched": False, **changes}
    return Driven(task, 100_000, states, np.zeros((40, 2)), position, **figures)


def make_drives(opened=0.2, closed=0.05):
    return [
        make_driven(manoeuvre, agent, member, error + shift)
        for manoeuvre in MANOEUVRES
        for agent, error in (("rc-car-plan", opened), ("rc-car-mpc", closed))
        for member, shift in (("seed1", -0.01), ("seed2", 0.01))
    ]


def test_table_one_holds_means_over_starts_and_networks_beside_the_papers(tmp_path):
    page = Page("title", tmp_path)
    rc_car._table_one(page, [*make_drives(), make_driven("Parking", "expert", "only", 0.03)])
    page.write()
    lines = (tmp_path / "table1.csv").read_text().splitlines()
    assert len(lines) == 1 + 3 * 3 + 1
    paper = lines[1].split(",")
    assert "the paper" in lines[1] and float(paper[-8]) == PAPER["Parking"][0]
    ours = next(line for line in lines if "Reverse" in line and "open loop" in line and "paper" not in line).split(",")
    assert [float(value) for value in ours[-8:-4]] == pytest.approx([0.2, 0.01, 0.1, 0.0])
    assert float(ours[-3]) == 0.0 and float(ours[-1]) == 2
    by_member = (tmp_path / "table1_members.csv").read_text()
    assert by_member.count("seed1") == by_member.count("seed2") == 6 and "only" not in by_member


def test_the_verdict_says_what_is_missed():
    assert rc_car._verdict(make_drives()).count("met in all three") == 2
    text = rc_car._verdict(make_drives(opened=0.4))
    assert "missed in Parking 0.40 m, Reverse 0.40 m, DriftTurn 0.40 m" in text
    assert "further off than the paper in Parking, Reverse, DriftTurn" in text
    assert "does not come out in Parking, Reverse, DriftTurn." in rc_car._verdict(make_drives(closed=0.3))


def test_figures_are_drawn(tmp_path):
    page = Page("title", tmp_path)
    drives = [make_driven(name, "rc-car-plan", "seed1", 0.1) for name in MANOEUVRES]
    page.figure("plans", rc_car_figures.plans([(entry, entry.states + 0.1) for entry in drives]), "plans")
    shown = {(m, a): (np.zeros((40, 2)), np.ones((40, 2))) for m in MANOEUVRES for a in ("GELU", "ReLU")}
    page.figure("controls", rc_car_figures.activations(shown), "controls")
    page.write()
    assert (tmp_path / "plans.png").stat().st_size > 5000 and (tmp_path / "controls.png").stat().st_size > 5000


def test_roughness_tells_noise_from_motion():
    time = np.linspace(0, 6, 40)[:, None]
    smooth = np.concatenate([np.sin(time), np.cos(time)], axis=1)
    noisy = smooth + 0.3 * np.random.default_rng(0).normal(size=smooth.shape)
    assert roughness(noisy) > 5 * roughness(smooth)
    assert roughness(np.full((5, 2), 3.0)) == 0


def test_the_activations_verdict_names_where_gelu_is_smoother():
    rows = []
    for manoeuvre in MANOEUVRES:
        rows.append([manoeuvre, "GELU", *[0.1] * (len(COLUMNS) - 2)])
        rows.append([manoeuvre, "ReLU", 0.05, *[0.2] * (len(COLUMNS) - 3)])
    text = activation_verdict(rows)
    assert "gradient is less rough with GELU in all three manoeuvres" in text and "throttle's in none" in text


def test_the_laps_verdict_counts_runs():
    clean = ["seed42", "oval", "20", 2.3, 3, 7.2, 7.0, 0, 0.2, "0.0 %", 5.0, 9.0, "0.00 %", "3.00 %"]
    stuck = ["seed42", "L", "50", 2.8, 1, 9.0, None, 2, 0.6, "4.0 %", 9.0, 30.0, "2.00 %", "9.00 %"]
    text = rc_car_laps._verdict([clean, stuck])
    assert text.startswith("1 of 2 runs finished their 3 laps, 1 without leaving")
    assert "in 1 runs by its own computing time, and in 0 by the wall clock" in text


def test_no_starts_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least 1"):
        rc_car.run(SuiteOptions(out=tmp_path, episodes=0))

"""The sweeps of the suite diffog: what is run, and what is computed from it."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fabricated import fill, make_run

from dto_eval.suites import SuiteOptions, diffog_phases, diffog_sweeps
from dto_eval.suites.diffog_sweeps import ALPHAS, BOUNDS, RESIDUALS, SQUARE
from dto_eval.suites.page import Page
from dto_eval.suites.runs import Done, Runs


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Made-up runs instead of simulated ones, no training; the plans that were asked for."""
    plans = []

    def get(self, planned):
        plans.append(planned)
        run = make_run(episodes=planned.episodes, agent=planned.agent, env_id=planned.env_id)
        return Done(fill(tmp_path / "made-up" / str(len(plans)), run))

    monkeypatch.setattr(Runs, "get", get)
    monkeypatch.setattr(diffog_sweeps, "trained_filter", lambda *arguments, **changes: Path("trained"))
    monkeypatch.setattr(diffog_sweeps, "data_of", lambda options, env_id: options.data[0] if options.data else None)
    return plans


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_every_point_is_trained_and_run(tmp_path, asked):
    options = SuiteOptions(out=tmp_path / "out", data=(Path("Square.hdf5"),))
    page = Page("sweeps", options.out)
    diffog_sweeps.write_sweeps(page, options, Runs(options), episodes=6)
    text = page.write().read_text()
    assert "DiffOG, alpha 16 instead of 4: the loss is undecided (+0.0 points" in text
    assert "DiffOG, bound 0.05 instead of 0.1" in text and "from 0.01 to 16 that is undecided" in text
    assert "the limit costs DiffOG nothing (here it is not told apart (+0.0 points" in text
    swept = rows_of(options.out / "figure10.csv")
    assert [row["value"] for row in swept if row["method"] == "diffog"] == [repr(v) for v in (*ALPHAS, *BOUNDS)]
    assert [row["value"] for row in swept if row["method"] == "tracking"] == [repr(v) for v in (*ALPHAS, *BOUNDS)]
    assert len(rows_of(options.out / "figure13.csv")) == len(RESIDUALS)
    velocities = {row["method"]: row for row in rows_of(options.out / "table10.csv")}
    assert float(velocities["diffog with the velocity limit"]["max velocity: paper"]) == 0.39
    assert len({(plan.folder, plan.weights) for plan in asked}) == len({plan.folder for plan in asked})
    assert all(plan.weights == Path("trained") for plan in asked if plan.label not in ("", "phases"))


def test_without_data_only_what_needs_no_training_is_run(tmp_path, asked):
    options = SuiteOptions(out=tmp_path / "out")
    page = Page("sweeps", options.out)
    diffog_sweeps.write_sweeps(page, options, Runs(options), episodes=6)
    assert "Figures 10 and 13 and Table X are left out" in page.write().read_text()
    assert {plan.agent for plan in asked} == {"diffog", "tracking"}
    assert len(rows_of(options.out / "table8.csv")) == 2 * 3


def test_motion_is_told_apart_by_phase():
    run = make_run(episodes=1, env_id=SQUARE, members=("seed1",))
    ramps = np.concatenate([np.arange(40) * 0.01, 0.39 + np.arange(1, 41) * 0.02])
    actions = np.repeat(ramps[:, None], 7, axis=1).astype(np.float32)
    finished = SimpleNamespace(run=run, actions={("seed1", 0): SimpleNamespace(actions=actions)})
    first, second, third, fourth = diffog_phases._phase_motion(Done(finished))  # pyright: ignore[reportArgumentType]
    assert first == pytest.approx((0.01, 0.0), abs=1e-6) and second == pytest.approx((0.02, 0.0), abs=1e-6)
    assert np.isnan(third).all() and np.isnan(fourth).all()
    assert diffog_sweeps._largest_velocity(Done(finished)) == pytest.approx(ramps.max())  # pyright: ignore

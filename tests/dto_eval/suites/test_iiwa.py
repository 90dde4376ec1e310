"""The iiwa's suites at a small scale: every table is filled from runs, and runs are not repeated."""

import csv

import pytest

pytest.importorskip("crocoddyl")
pytest.importorskip("mujoco")

from dto_eval.suites import SuiteOptions, find_suite, iiwa_closed_loop, iiwa_solver


def rows(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_solver_is_compared_with_and_without_marching(tmp_path, monkeypatch):
    monkeypatch.setattr(iiwa_solver, "TIMED", 1)
    monkeypatch.setattr(iiwa_solver, "SIDES", {0.4: 1.0})
    page = find_suite("iiwa-solver")(SuiteOptions(tmp_path, episodes=2))
    table = rows(tmp_path / "solved.csv")
    assert [(row["guess"], row["marching"]) for row in table] == [
        *(("hold", "no"), ("hold", "yes"), ("zero", "no"), ("zero", "yes"))
    ]
    assert table[0]["solved [%]"] == "100.0" and table[0]["not solved"] == "none"
    assert float(table[1]["DDP steps"]) > float(table[0]["DDP steps"])
    assert all(float(row["CPU time a problem [s]"]) > 0 for row in rows(tmp_path / "effort.csv"))
    assert {row["starts"] for row in table} == {"2"} and page.exists()


def test_closed_loops_are_compared_and_not_run_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(iiwa_closed_loop, "SHIPPED", ("iiwa-lqr", "iiwa-mlp"))
    scale = iiwa_closed_loop.Scale(problems=5, trials=1, iterations=1, epochs=2, variants=False)
    options = SuiteOptions(tmp_path)
    page = iiwa_closed_loop.run_at(scale, options)
    table = rows(tmp_path / "table1.csv")
    assert [(row["measure"], row["sampling"]) for row in table] == [
        *(("success [%]", "IVP-ART"), ("success [%]", "DAgger"), ("cost ratio", "IVP-ART"), ("cost ratio", "DAgger"))
    ]
    assert table[0]["0"] == table[1]["0"]
    assert {row["trials"] for row in table} == {"1"}
    shipped = rows(tmp_path / "shipped.csv")
    assert [(row["agent"], row["side [rad]"]) for row in shipped] == [
        (f"`{name}`", side) for name in ("iiwa-lqr", "iiwa-mlp") for side in ("0.4", "1.0", "2.0")
    ]
    controllers = {row["controller"]: row for row in rows(tmp_path / "controllers.csv")}
    assert controllers["optimum replayed with DDP's gains"]["success [%]"] == "100.0"
    assert float(controllers["plain network"]["cost ratio, mean"]) > 5
    assert "The paper has IVP-ART far above DAgger. Here the ensembles reach" in page.read_text(encoding="utf-8")
    assert "on the same 10 starts" in page.read_text(encoding="utf-8")
    before = page.read_bytes()

    def refuse(*arguments, **options):
        raise AssertionError("this has been done already")

    monkeypatch.setattr(iiwa_closed_loop, "evaluate", refuse)
    assert iiwa_closed_loop.run_at(scale, options).read_bytes() == before


def test_fewer_problems_mean_a_shorter_comparison():
    full, quick = iiwa_closed_loop.scale_of(None), iiwa_closed_loop.scale_of(100)
    assert (full.problems, full.trials, full.iterations, full.epochs, full.variants) == (500, 3, 6, 12, True)
    assert (quick.problems, quick.trials, quick.iterations) == (100, 3, 3) and not quick.variants
    plan = iiwa_closed_loop.schedule(iiwa_closed_loop.arms_of(full), full)
    assert len(plan) == len(set(plan)) == 3 * 3 + 2 + 5
    assert plan[:3] == [("MLP", 0), ("IVP-ART", 0), ("DAgger", 0)] and plan[-1][1] == 0
    assert len(iiwa_closed_loop.schedule(iiwa_closed_loop.arms_of(quick), quick)) == 9

"""The suite diffog: its tables from runs, and what it says of the paper's order."""

from __future__ import annotations

import csv

import pytest
from fabricated import fill, make_run

from dto_eval.suites import SuiteOptions, diffog, diffog_time, find_suite
from dto_eval.suites.diffog_tables import Group, write_paired
from dto_eval.suites.page import Page
from dto_eval.suites.runs import Done, Runs

SOLVES = {"base": True, "diffog": True, "clipping": False, "tracking": True}


@pytest.fixture
def made_up_runs(tmp_path, monkeypatch):
    """Runs on Push-T for four agents, none for the others."""

    def get(self, planned):
        if planned.env_id != "dto/PushT-v0" or planned.agent not in SOLVES:
            return None
        run = make_run(episodes=planned.episodes, agent=planned.agent)
        scale = 0.04 if planned.agent == "base" else 0.01
        return Done(fill(tmp_path / "made-up" / planned.agent, run, success=SOLVES[planned.agent], scale=scale))

    monkeypatch.setattr(Runs, "get", get)
    monkeypatch.setattr(diffog, "write_structure", lambda page, options: None)
    monkeypatch.setattr(
        diffog_time, "batch_seconds", lambda env_id, agent, weights, batch=25: 0.01 if agent == "base" else None
    )


def test_its_tables_hold_ours_beside_the_papers(tmp_path, made_up_runs):
    page = find_suite("diffog")(SuiteOptions(out=tmp_path / "page", episodes=8)).read_text()
    assert "Every run has 8 episodes" in page and "No policy is trained yet for Lift, Can" in page
    assert "DiffOG above clipping comes out" in page and "penalty comes out" not in page
    with (tmp_path / "page" / "table1.csv").open() as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert set(rows["base policy"]) == {"method", "PushT", "PushT: interval", "PushT: episodes", "PushT: paper"}
    assert rows["base policy"]["PushT: episodes"] == "8" and rows["penalty"]["PushT: episodes"] == ""
    assert float(rows["base policy"]["PushT"]) == 1.0 and float(rows["base policy"]["PushT: paper"]) == 0.84
    assert rows["penalty"]["PushT"] == "" and rows["tracking (ours)"]["PushT: paper"] == ""
    with (tmp_path / "page" / "paired.csv").open() as file:
        lost = next(row for row in csv.DictReader(file) if row["method"] == "clipping")
    assert float(lost["success: above the base"]) < 0 and float(lost["std of differences"]) < 0.02
    assert "not rougher, by paired intervals: None is found here." in page, "tracking solves as much as DiffOG"
    assert "than without one: it comes out in all 3 comparisons. The smallest deviation is that of" in page


def test_a_filter_that_solves_more_than_diffog_and_is_not_rougher_is_named(tmp_path):
    def made_up(agent, success, scale):
        run = make_run(episodes=8, agent=agent)
        return Done(fill(tmp_path / agent, run, success=success, scale=scale))

    done = {"base": made_up("base", True, 0.04), "diffog": made_up("diffog", False, 0.01)}
    done |= {"tracking": made_up("tracking", True, 0.01), "projection": made_up("projection", True, 0.03)}
    page = Page("paired", tmp_path / "page")
    write_paired(page, {Group("table1", "Table I: success", ("PushT",)): {"PushT": done}})
    text = page.write().read_text()
    assert "PushT: tracking (ours) solves" in text
    assert "projection (ours) solves" not in text, "it is rougher"


def test_meta_worlds_policies_see_point_clouds_and_leto_stands_beside_diffog(tmp_path, monkeypatch):
    asked = []

    def get(self, planned):
        asked.append(planned)
        task = planned.env_id.removeprefix("dto/").removesuffix("-v0")
        if task != "StickPull" or not planned.agent.endswith(("dp3", "diffog", "leto")):
            return None
        run = make_run(episodes=planned.episodes, agent=planned.agent, env_id=planned.env_id)
        success = planned.agent != "leto"
        return Done(fill(tmp_path / "made-up" / planned.agent, run, success=success))

    monkeypatch.setattr(Runs, "get", get)
    monkeypatch.setattr(diffog, "write_structure", lambda page, options: None)
    monkeypatch.setattr(diffog_time, "batch_seconds", lambda *_, **__: None)
    page = find_suite("diffog")(SuiteOptions(out=tmp_path / "page", episodes=8)).read_text()
    clouds = {plan.agent: (plan.base, plan.filter) for plan in asked if "dp3" in plan.agent}
    assert clouds["dp3"] == (None, None) and clouds["dp3-clipping"] == ("dp3", "clipping")
    pictures = {plan.env_id for plan in asked if "diffusion-image" in (plan.agent, plan.base)}
    assert pictures == {"dto/PushT-v0"}, "other pictures differ from one OpenGL to the next"
    assert not any(plan.filter == "diffog-refine" for plan in asked), "it has learned from policies on states"
    with (tmp_path / "page" / "table2.csv").open() as file:
        seen = {row["method"]: row for row in csv.DictReader(file)}
    assert float(seen["base policy"]["StickPull"]) == 1.0 and float(seen["penalty"]["StickPull: paper"]) == 0.7
    with (tmp_path / "page" / "table7.csv").open() as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert float(rows["LeTO"]["StickPull"]) == 0.0 and float(rows["LeTO"]["StickPull: paper"]) == 0.2
    assert float(rows["DiffOG, dataset training"]["StickPull"]) == 1.0
    assert "StickPull: it comes out (+100.0 points" in page and "StickPull (clouds)" in page
    assert "Left out: AlohaMoveStack" in page


def test_a_batch_is_timed_only_where_its_agent_is_trained(tmp_path):
    assert diffog_time.batch_seconds("dto/PushT-v0", "base", tmp_path) is None
    seconds = diffog_time.batch_seconds("dto/PushT-v0", "hold")
    assert seconds is not None and 0 <= seconds < 1


def test_what_costs_most_is_said():
    measured = {"base": 0.05, "static-q": 0.06, "diffog": 0.062}
    assert "static Q adds 10.0 ms" in diffog_time._costs(measured) and "it comes out" in diffog_time._costs(measured)
    assert "DiffOG 50.0 ms: it does not come out" in diffog_time._costs({**measured, "diffog": 0.1})
    assert "not both" in diffog_time._costs({"base": 0.05})


def test_no_episodes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="--episodes must be at least 1"):
        find_suite("diffog")(SuiteOptions(out=tmp_path, episodes=0))

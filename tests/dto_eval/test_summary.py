import json
from dataclasses import replace

import fabricated
import numpy as np
import pytest

from dto_envs import registry
from dto_eval.plots import write_plots
from dto_eval.statistics import wilson
from dto_eval.summary import summarize, table_rows, write_summary

INTERVALS = ("success_rate", "success_at_end", "score", "steps", "max_difference", "std_difference", "mean_difference")
KEYS = {*INTERVALS, "agent", "env_id", "episodes", "max_violation", "filter_ms", "policy_ms", "episodes_per_second"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return fabricated.fill(tmp_path_factory.mktemp("run"), fabricated.make_run(episodes=41), scale=0.2)


def test_the_figures_are_those_of_the_definitions(finished):
    """Recomputed from the actions, one episode at a time, as DiffOG's section V-A words them."""
    summary = summarize(finished, episodes_per_second=2.5)
    layout = registry.row("dto/PushT-v0").layout
    largest, spread, excess = [], [], []
    for entry in finished.actions.values():
        low, high = np.array(layout.low), np.array(layout.high)
        normalized = 2 * (entry.actions.astype(float) - low) / (high - low) - 1
        differences = normalized[1:] - normalized[:-1]
        largest.append(np.abs(differences).max(axis=0).mean())
        spread.append(differences.std(axis=0).mean())
        excess.append(np.abs(differences).max() - layout.bound)
    assert summary["max_difference"]["mean"] == pytest.approx(np.mean(largest))
    assert summary["std_difference"]["mean"] == pytest.approx(np.mean(spread))
    assert summary["max_violation"] == pytest.approx(max(0.0, *excess))
    solved = [record.success_once for record in finished.episodes.values()]
    assert summary["success_rate"]["mean"] == pytest.approx(np.mean(solved))
    assert summary["score"]["mean"] == pytest.approx(np.mean([r.score for r in finished.episodes.values()]))
    assert summary["solved"]["episodes"] == sum(solved)
    assert summary["solved"]["max_difference"]["mean"] == pytest.approx(np.mean(np.array(largest)[solved]))
    assert summary["episodes_per_second"] == 2.5


def test_the_keys_are_there_and_intervals_hold_their_means(finished):
    summary = summarize(finished)
    assert summary.keys() >= KEYS
    assert summary["agent"] == "made-up" and summary["env_id"] == "dto/PushT-v0" and summary["episodes"] == 41
    for name in INTERVALS:
        assert summary[name]["lo"] <= summary[name]["mean"] <= summary[name]["hi"]


def test_what_episodes_cost_is_reported_where_all_say_it(finished):
    assert "cost" not in summarize(finished)
    costs = {key: 2.0 + index for index, key in enumerate(finished.episodes)}
    paid = {key: record.model_copy(update={"cost": costs[key]}) for key, record in finished.episodes.items()}
    summary = summarize(replace(finished, episodes=paid))
    assert summary["cost"]["mean"] == pytest.approx(np.mean(list(costs.values())))
    assert any(name == "cost" and text.startswith("22.000 [") for name, text in table_rows(summary))


def test_jumps_between_chunks_are_told_from_the_rest(finished):
    """The made-up agents execute four actions of every chunk."""
    layout = registry.row("dto/PushT-v0").layout
    jumps = []
    for entry in finished.actions.values():
        differences = np.abs(np.diff(layout.normalize(entry.actions.astype(float)), axis=0))
        if len(differences) > 3:
            jumps.append(differences[3::4].mean())
    assert summarize(finished)["chunk_boundaries"]["mean_difference"] == pytest.approx(np.mean(jumps))


def test_members_get_wilson_intervals(finished):
    members = summarize(finished)["members"]
    assert [(member["name"], member["episodes"]) for member in members] == [("seed1", 21), ("seed2", 20)]
    own = [record.success_once for record in finished.episodes.values() if record.member == "seed1"]
    assert members[0]["success_rate"] == wilson(sum(own), 21).as_dict()


def test_violations_are_measured_against_the_filters_bound(tmp_path):
    loose = fabricated.make_run(filter="clipping", filter_options={"bound": 0.5})
    assert summarize(fabricated.fill(tmp_path, loose, scale=0.2))["max_violation"] == 0.0


def test_linear_and_rotational_motion_are_reported_apart(tmp_path):
    run = fabricated.make_run(env_id="dto/Square-v0")
    groups = summarize(fabricated.fill(tmp_path, run))["groups"]
    assert list(groups) == ["linear", "rotational"] and groups["linear"]["unit"] == "m/s"
    assert all(groups["linear"][name] > 0 for name in ("peak_velocity", "peak_acceleration", "max_difference"))


def test_reports_are_written_and_valid(finished):
    first = write_summary(finished, episodes_per_second=3.0)
    again = write_summary(finished)
    assert again["episodes_per_second"] == first["episodes_per_second"] == 3.0
    assert json.loads((finished.path / "summary.json").read_text()) == json.loads(json.dumps(again))
    text = (finished.path / "summary.md").read_text()
    assert "| success rate | " in text and "| seed2 | 20 |" in text and "numpy" not in text
    paths = write_plots(finished, again)
    assert {path.name for path in paths} == {"success.png", "differences.png", "actions.png"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


@pytest.mark.parametrize("success", [True, False])
def test_a_single_episode_has_a_summary(tmp_path, success):
    run = fabricated.make_run(episodes=1, filter="clipping")
    finished = fabricated.fill(tmp_path, run, success=success)
    summary = write_summary(finished)
    assert summary["success_rate"]["mean"] == success and summary["success_rate"]["hi"] > summary["success_rate"]["lo"]
    assert (summary["solved"]["max_difference"] is not None) == success
    write_plots(finished, summary)

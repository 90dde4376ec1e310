import csv
from dataclasses import replace

import numpy as np
import pytest

from dto_agents import zoo
from dto_agents.planar import dataset, learning
from dto_agents.planar.losses import Lessons
from dto_agents.planar.networks import NETWORKS
from dto_agents.planar.recipe import PAPER, Recipe
from dto_envs.planar_push.tasks import make_task
from dto_eval.suites import SuiteOptions, dlm, dlm_parameters, find_suite


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The suite on one task of each set, with networks that have learned for two iterations."""
    out = tmp_path_factory.mktemp("dlm")
    examples = [dataset.solve_example(make_task("train", index)) for index in (0, 8)]
    dataset.write(out / "data" / "planar.hdf5", [(name, examples) for name in ("train", "fine-tune")])
    tiny = Recipe(steps=2, symmetries=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning, "CURVE_SETS", ("train",))
        patch.setattr(learning, "task_set", lambda name: type("Few", (), {"size": 2}))
        patch.setattr(dlm, "PAPER", replace(PAPER, steps=2))
        patch.setattr(dlm, "TIMED", 2)
        for agent in ("nnm", "dlm"):
            learning.train_network(agent, out / "data" / "planar.hdf5", tiny, seed=42, root=out / "own")
        options = SuiteOptions(out, episodes=1, weights=out / "own")
        path = dlm.run(options)
        again = path.read_bytes(), (out / "table1-median.csv").read_bytes()
        dlm.run(options)
        assert (out / "table1-median.csv").read_bytes() == again[1]
    return path


def read(path) -> dict[str, list[str]]:
    with path.open(newline="") as file:
        return {row[0]: row[1:] for row in csv.reader(file)}


def test_the_page_holds_all_rows_and_the_papers_numbers(page):
    rows = read(page.parent / "table1-median.csv")
    assert {"MIQP, told the task", "DLM, as published", "DLM", "no fingers", "shape-blind mean offset"} <= set(rows)
    assert "DLM, more tasks" not in rows
    assert rows["NN"][:2] == ["2", "1"] and rows["NN"][-2:] == ["9.5", "10.0"]
    assert max(map(float, rows["expert" if "expert" in rows else "enumeration, told the task"][2:7])) < 0.5
    assert min(map(float, rows["no fingers"][2:7])) > 0.5


def test_means_are_clipped_and_seconds_measured(page):
    means = read(page.parent / "table1-mean.csv")
    assert all(float(value) <= 100 for name, row in means.items() if name != "agent" for value in row[2:])
    seconds = read(page.parent / "seconds.csv")
    assert all(float(seconds[name][1]) > 0 for name in ("NN", "NNM", "MDR", "CVX", "DLM"))
    assert float(seconds["MIQP"][0]) > float(seconds["enumeration"][0])
    assert (page.parent / "curves.png").stat().st_size > 5000


def test_parameters_are_made_true_one_group_at_a_time(page):
    rows = read(page.parent / "parameters.csv")
    assert len(rows) == 1 + 1 + 2 * len(dlm_parameters.GROUPS)
    assert all(np.isfinite(list(map(float, row))).all() for name, row in rows.items() if name != "parameters")
    geometry = read(page.parent / "geometry.csv")
    assert abs(float(geometry["expert"][0])) < 0.5 and geometry["NN"][1] == "" and float(geometry["MDR"][1]) > 0
    lessons = Lessons.of(dlm_parameters._examples("family", 2))
    network = NETWORKS["mdr"]().eval()
    network.parameters_of = lambda views: replace(lessons.mechanics, poses=lessons.poses)
    assert max(dlm_parameters._medians(network, lessons).values()) < 0.1


def test_the_simulators_gap_to_pymunk_closes_as_contacts_grow_sharper(page):
    rows = read(page.parent / "simulator.csv")
    assert float(rows["10000"][0] if "10000" in rows else rows["10000.0"][0]) < 0.2
    assert float(rows["100" if "100" in rows else "100.0"][0]) > 0.5
    assert "the forces carry the objects" in page.read_text()


def test_it_is_a_suite_and_missing_weights_are_left_out():
    assert find_suite("dlm") is dlm.run
    with pytest.raises(zoo.MissingWeightsError):
        zoo.list_members("dlm", learning.ENV_ID, zoo.SHIPPED / "nowhere")


def test_the_page_says_which_orders_of_the_paper_come_out():
    def row(key, test, family):
        losses = {"test": np.full((2, 3), test), "family": np.full((2, 3), family)}
        return dlm.Row(key.upper(), key, 600, 2, losses)

    said = dlm.findings([row("nn", 2.0, 3.0), row("mdr", 1.0, 4.0), row("cvx", 0.5, 1.0), row("dlm", 0.6, 1.5)])
    assert len(said) == 4
    assert said[0].startswith(
        "In the paper MDR is below NN; here on one set only (1.00 (1.00 to 1.00) and 2.00 (2.00 to 2.00) on test"
    )
    assert "CVX is below NN; so it is here" in said[1]
    assert "DLM is below CVX; here it is not" in said[3]


def test_orders_within_the_spread_of_seeds_are_none():
    def row(key, *medians):
        losses = np.array(medians)[:, None].repeat(3, axis=1)
        return dlm.Row(key.upper(), key, 600, len(medians), {"test": losses, "family": losses})

    (said,) = dlm.findings([row("nn", 1.0, 2.0), row("mdr", 1.5, 2.5)])
    assert "MDR is below NN; here the seeds differ more than the two do" in said
    (said,) = dlm.findings([row("nn", 1.0, 2.0), row("mdr", 2.5, 2.6)])
    assert "here it is not" in said

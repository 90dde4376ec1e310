"""The suite leto: its tables from runs, what it says of the paper's order, and a small run of its own."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from fabricated import fill, make_run

from dto_agents.demos.dataset import FORMATS, Demonstrations, Episode
from dto_agents.demos.robomimic import Recording, write_demo, write_file
from dto_agents.recurrent.recipe import recipe_for
from dto_agents.recurrent.train import train_recurrent
from dto_eval.suites import SuiteOptions, find_suite, leto, leto_motion, leto_time, training
from dto_eval.suites.leto_paper import BOUNDS, CELLS, METRICS, MOTION, SUCCESS
from dto_eval.suites.runs import Done, Runs
from dto_eval.suites.training import data_of, trained_policies

SQUARE = "dto/Square-v0"
SOLVES = {"leto": True, "lstm-gmm": False, "base": True, "clipping": False}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def square_file(path: Path, people: tuple[str, ...] = (), episodes: int = 4) -> Path:
    """Demonstrations of Square of a few random steps, by these people in turns."""
    rng = np.random.default_rng(0)
    sizes = dict(zip(FORMATS[SQUARE].keys, (14, 3, 4, 2), strict=True))
    recording = Recording(
        observations={key: rng.normal(size=(9, size)) for key, size in sizes.items()},
        actions=rng.uniform(-1, 1, (8, 7)),
        rewards=np.zeros(8),
        states=np.zeros((8, 45)),
    )
    write_file(path, {"env_name": "NutAssemblySquare", "type": 1}, [lambda g: write_demo(g, recording)] * episodes)
    with h5py.File(path, "a") as file:
        for place, person in enumerate(people):
            file[f"mask/{person}"] = np.array([f"demo_{place}"], dtype="S")
    return path


@pytest.fixture
def made_up_runs(tmp_path, monkeypatch):
    """Runs on Square from one operator for four methods, none for the others; the plans that were asked for."""
    plans = []

    def get(self, planned):
        plans.append(planned)
        if planned.env_id != SQUARE or planned.agent not in SOLVES or planned.label == "mh":
            return None
        run = make_run(episodes=min(planned.episodes, 12), agent=planned.agent, env_id=SQUARE)
        scale = 0.02 if planned.agent == "leto" else 0.08
        return Done(fill(tmp_path / "made-up" / str(len(plans)), run, success=SOLVES[planned.agent], scale=scale))

    monkeypatch.setattr(Runs, "get", get)
    return plans


def test_its_tables_hold_ours_beside_the_papers(tmp_path, made_up_runs):
    page = find_suite("leto")(SuiteOptions(out=tmp_path / "page", episodes=12, weights=tmp_path)).read_text()
    rows = {row["method"]: row for row in rows_of(tmp_path / "page" / "table3.csv")}
    assert float(rows["LeTO"]["Square ph"]) == 1.0 and rows["LeTO"]["Square ph: paper"] == "0.947 ± 0.046"
    assert float(rows["LSTM-GMM"]["Square ph"]) == 0.0 and rows["LSTM-GMM"]["Square ph: seeds"] == "2"
    assert rows["IBC"]["Square ph"] == "" and rows["IBC"]["Can ph: paper"] == "0.080"
    assert "Square ph: LeTO is +100.0 points [100.0, 100.0] from LSTM-GMM, the paper +16.0: the order agrees" in page
    assert "LSTM-GMM, Square ph: 0.000" in page and "trains for minutes" in page
    assert "Not trained: IBC on Can (ph)" in page and "Table VI: accelerations on Square ph" in page
    assert "Table IV:" not in page, "there is no run on Can"
    rows = rows_of(tmp_path / "page" / "table6.csv")
    ours = {row["method"]: row for row in rows if row[""] == "here"}
    assert ours["LeTO"]["num-of-opt"] == "6" and ours["LSTM-GMM"]["num-of-opt"] == "0"
    paper = next(row for row in rows if row[""] == "paper" and row["method"] == "LeTO")
    assert paper["avg-mean-lin"] == "5.08" and paper["num-of-opt"] == "5"


def test_accelerations_are_counted_as_the_paper_counts_them():
    commands = np.array([[0.0, 0.0], [0.3, 0.0], [0.2, 0.1]])
    mean, largest, deviation = leto_motion.episode_metrics(commands)
    assert (mean, largest) == (pytest.approx((0.2 + 0.05) / 2), pytest.approx((0.3 + 0.1) / 2))
    assert deviation == pytest.approx((0.1 + 0.05) / 2)
    assert leto_motion.optimal_indicators({"a": (1.0, 2.0), "b": (1.09, 2.3), "c": (1.2, 1.9)}) == {
        "a": 2,
        "b": 1,
        "c": 1,
    }


def test_the_papers_optimal_indicators_follow_from_its_figures_but_for_two_rows():
    """Two counts of Table IV and one of Table VII rest on digits that are not printed; the rest must come out."""
    off = 0
    for table in MOTION.values():
        counted = leto_motion.optimal_indicators({name: figures for name, (figures, _) in table.items()})
        off += sum(counted[name] != count for name, (_, count) in table.items())
    assert off <= 3


def test_without_demonstrations_nothing_is_trained_and_the_sweep_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(Runs, "get", lambda self, planned: None)
    page = find_suite("leto")(SuiteOptions(out=tmp_path / "page", episodes=3)).read_text()
    assert "Left out: LeTO is trained under every limit" in page and "Left out: it takes Square's" in page
    assert "have not been run on the same task" in page


def test_the_sweep_trains_every_limit(tmp_path, made_up_runs, monkeypatch):
    trained = []

    def train(options, env_id, agent, data, name, seeds, changes=None):
        trained.append((agent, data, name, tuple(seeds), changes))
        return tmp_path / name

    monkeypatch.setattr(leto, "trained_policies", train)
    monkeypatch.setattr(training, "trained_policies", train)
    monkeypatch.setattr(leto, "write_time", lambda page, options: None)
    data = square_file(tmp_path / "Square.hdf5"), square_file(tmp_path / "mh.hdf5", ("a_operator_1", "b_operator_1"))
    find_suite("leto")(SuiteOptions(out=tmp_path / "page", episodes=400, weights=tmp_path / "none", data=data))
    limits = [entry for entry in trained if entry[4]]
    assert limits == [("leto", data[0], f"leto-bound{b:g}", (42,), {"bound": b}) for b in BOUNDS]
    assert ("leto", data[0], "ph", (42, 142, 242), None) in trained
    assert ("ibc", data[1], "mh", (42, 142, 242), None) in trained
    assert ("diffusion", None, "mh", (42, 142, 242), None) in trained, "no demonstrations of Can were given"
    rows = [row for row in rows_of(tmp_path / "page" / "table8.csv") if row[""] == "here"]
    assert [float(row["limit"]) for row in rows] == list(BOUNDS)
    assert [plan.episodes for plan in made_up_runs if plan.label.startswith("bound")] == [300] * len(BOUNDS)
    assert {plan.label for plan in made_up_runs if plan.agent == "leto" and plan.env_id == SQUARE} >= {"ph", "mh"}


def test_one_persons_demonstrations_and_several_peoples_are_told_apart(tmp_path):
    one = square_file(tmp_path / "one.hdf5", ("better_operator_1",))
    many = square_file(tmp_path / "many.hdf5", ("better_operator_1", "worse_operator_2"))
    options = SuiteOptions(out=tmp_path, data=(many, one))
    assert data_of(options, SQUARE) == many
    assert data_of(options, SQUARE, mixed=True) == many and data_of(options, SQUARE, mixed=False) == one
    assert data_of(options, "dto/Can-v0") is None


def test_a_policy_is_trained_once_for_every_seed(tmp_path, monkeypatch):
    recipe = replace(recipe_for("leto", SQUARE), hidden=4, layers=1, steps=2, batch_size=2)
    monkeypatch.setattr("dto_agents.recurrent.recipe.recipe_for", lambda agent, env_id: recipe)
    data = square_file(tmp_path / "Square.hdf5")
    options = SuiteOptions(out=tmp_path)
    root = trained_policies(options, SQUARE, "leto", data, "x", (1, 2), {"bound": 0.3})
    files = sorted(root.rglob("*.safetensors"))
    assert root == tmp_path / "weights" / "x" and {file.stem for file in files} >= {"seed1", "seed2"}
    cards = [path.read_text() for path in (root / "Square" / "leto").glob("*.json")]
    assert len(cards) == 2 and all('"bound": 0.3' in card for card in cards)
    monkeypatch.setattr("dto_agents.recurrent.train.train_recurrent", lambda *_, **__: pytest.fail("trained again"))
    assert trained_policies(options, SQUARE, "leto", data, "x", (1, 2), {"bound": 0.3}) == root
    assert trained_policies(options, SQUARE, "leto", None, "y", (1, 2)) == tmp_path / "weights" / "y"


def test_training_is_timed_step_by_step():
    rng = np.random.default_rng(0)
    episode = Episode(rng.normal(size=(30, 23)), rng.uniform(-1, 1, (30, 7)))
    steps = leto_time.training_steps(Demonstrations(SQUARE, (episode, episode)))
    assert set(steps) == set(leto_time.LABELS) and all(count >= 40 for _, count in steps.values())
    seconds = leto_time.step_seconds({name: step for name, (step, _) in steps.items()}, warm=1, count=1)
    assert all(value > 0 for value in seconds.values())


def test_a_real_run_keeps_letos_limit(tmp_path):
    """LeTO, trained for a moment, plays Square: few episodes, but the real simulator and the whole page."""
    recipe = replace(recipe_for("leto", SQUARE), hidden=4, layers=1, steps=2, batch_size=2)
    rng = np.random.default_rng(0)
    episodes = tuple(Episode(rng.normal(size=(20, 23)), rng.uniform(-1, 1, (20, 7))) for _ in range(2))
    zoo = tmp_path / "zoo"
    train_recurrent(
        "leto", Demonstrations(SQUARE, episodes), recipe, seed=1, root=zoo, report=lambda finished, loss: None
    )
    options = SuiteOptions(out=tmp_path / "page", episodes=1, weights=zoo)
    find_suite("leto")(options)
    (row,) = [row for row in rows_of(tmp_path / "page" / "table6.csv") if row[""] == "here"]
    assert row["method"] == "LeTO" and float(row["avg-max-lin"].split()[0]) <= 10.0 + 1e-4
    assert (tmp_path / "page" / "runs" / "Square" / "leto-1" / "episodes.jsonl").exists()


def test_no_episodes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="--episodes must be at least 1"):
        find_suite("leto")(SuiteOptions(out=tmp_path, episodes=0))


def test_the_papers_figures_are_complete():
    assert all(len(figures) == len(CELLS) for figures in SUCCESS.values())
    assert all(len(figures) == len(METRICS) for table in MOTION.values() for figures, _ in table.values())
    assert all(len(figures) == len(METRICS) for _, figures in BOUNDS.values())

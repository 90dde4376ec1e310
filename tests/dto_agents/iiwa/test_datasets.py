"""Data sets are resumable, do not depend on the number of processes, and come back as they were written."""

import numpy as np
import pytest

pytest.importorskip("crocoddyl")
pytest.importorskip("mujoco")

from dto_agents.iiwa import datasets
from dto_agents.iiwa.datasets import DatasetError, DatasetPlan, Task, collect_dataset, load_dataset, solve_all
from dto_agents.iiwa.trajectory import Status

PLAN = DatasetPlan(train=3, validation=1, test=2)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(datasets, "BLOCK", 2)


@pytest.fixture
def folder(small_blocks, tmp_path):
    collect_dataset(PLAN, tmp_path / "data")
    return tmp_path / "data"


def test_all_splits_are_solved_and_read_back(folder):
    train, test = load_dataset(folder, "train"), load_dataset(folder, "test")
    assert [each.status for each in train + test] == [Status.CONVERGED] * 5
    for index, each in enumerate(train):
        np.testing.assert_array_equal(each.states[0], PLAN.start("train", index))
        assert len(each.times) == len(each.states) == len(each.torques) + 1 == len(each.gains) + 1
        direct = solve_all([Task(PLAN.start("train", index))])[0]
        np.testing.assert_array_equal(each.states, direct.states)
        np.testing.assert_array_equal(each.torques, direct.torques)
        np.testing.assert_allclose(each.gains, direct.gains, rtol=1e-6)
        assert (each.cost, each.duration, each.iterations) == (direct.cost, direct.duration, direct.iterations)


def test_it_goes_on_where_it_stopped(folder):
    kept, lost = folder / "train-0000.safetensors", folder / "train-0001.safetensors"
    before, stamp = lost.read_bytes(), kept.stat().st_mtime_ns
    lost.unlink()
    with pytest.raises(DatasetError, match=r"lacks train-0001.*goes on"):
        load_dataset(folder, "train")
    seen = []
    solved = collect_dataset(PLAN, folder, report=lambda *numbers: seen.append(numbers))
    assert seen == [(5, 6, 5), (6, 6, 6)] and solved == {"train": 3, "validation": 1, "test": 2}
    assert lost.read_bytes() == before and kept.stat().st_mtime_ns == stamp


def test_processes_do_not_change_the_data(folder, tmp_path):
    collect_dataset(PLAN, tmp_path / "two", workers=2)
    for one, two in zip(load_dataset(folder, "test"), load_dataset(tmp_path / "two", "test"), strict=True):
        np.testing.assert_array_equal(one.states, two.states)


def test_another_plan_or_foreign_files_are_refused(folder, tmp_path):
    with pytest.raises(DatasetError, match="holds another data set"):
        collect_dataset(DatasetPlan(train=3, validation=1, test=2, side=2.0), folder)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(DatasetError, match="not empty"):
        collect_dataset(PLAN, tmp_path / "mine")
    with pytest.raises(DatasetError, match="dto-demos optimal"):
        load_dataset(tmp_path / "nowhere", "train")
    with pytest.raises(DatasetError, match="choose from train"):
        load_dataset(folder, "exam")
    (folder / "test-0000.safetensors").write_bytes(b"garbage")
    with pytest.raises(DatasetError, match="delete it and collect again"):
        load_dataset(folder, "test")


def test_unsolved_problems_are_kept_as_such(tmp_path):
    start = PLAN.start("train", 0)
    start[3] = -3.0
    answers = solve_all([Task(PLAN.start("train", 0)), Task(start), Task(PLAN.start("train", 1))])
    datasets.write_trajectories(tmp_path / "file.safetensors", answers)
    back = datasets.read_trajectories(tmp_path / "file.safetensors")
    assert [each.solved for each in back] == [True, False, True]
    assert back[1].status is Status.OUTSIDE_JOINT_LIMITS and "joint 4" in back[1].message
    np.testing.assert_array_equal(back[1].states, start[None])
    np.testing.assert_array_equal(back[2].states, answers[2].states)


def test_test_starts_are_the_same_for_every_trial_and_training_starts_are_not():
    one, two = DatasetPlan(trial=0), DatasetPlan(trial=1)
    np.testing.assert_array_equal(one.start("test", 7), two.start("test", 7))
    assert not np.array_equal(one.start("train", 7), two.start("train", 7))
    with pytest.raises(DatasetError, match="trial"):
        DatasetPlan(trial=7)

import json

import numpy as np
import pytest

from dto_agents.rc_car.driving import Drive, Recordings
from dto_eval.suites import SuiteOptions, find_suite
from dto_eval.suites import rc_car_models as suite


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    Recordings.make(Drive(duration_s=20.0), 1, count=4).write(folder)
    return folder


@pytest.fixture
def in_small(monkeypatch):
    monkeypatch.setattr(suite, "EPOCHS", 1)
    monkeypatch.setattr(suite, "DEPTHS", (1, 8))
    monkeypatch.setattr(suite, "WIDTHS", (16, 64))


def entries(*errors: float) -> list[dict[str, float]]:
    return [{"tve": error, "l1": 1.0, "l2": 1.0, "relative": 1.0} for error in errors]


def test_the_page_is_written_and_finished_trainings_are_not_done_again(recordings, in_small, tmp_path, monkeypatch):
    options = SuiteOptions(out=tmp_path, episodes=1, data=(recordings,))
    page = find_suite("rc-car-models")(options)
    first = page.read_text(encoding="utf-8")
    names = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert {"README.md", "losses.csv", "sizes.csv", "shipped.csv", "figure3_losses.png", "figure4_sizes.png"} <= names
    assert "1 networks per configuration" in first and "nan" not in first
    kept = tmp_path / "kept" / "trainings.jsonl"
    lines = [line for line in kept.read_text(encoding="utf-8").splitlines() if line]
    assert len(lines) == len(suite.plan_jobs(1)) == 7 + 2 * 3
    assert all(np.isfinite(list(json.loads(line)["figures"].values())).all() for line in lines)

    # As a run that was killed in its last training left it.
    kept.write_text("\n".join([*lines[:-1], lines[-1][:40]]), encoding="utf-8")
    trained = []
    original = suite._train_one
    monkeypatch.setattr(suite, "_train_one", lambda job, *rest: (trained.append(job.name), original(job, *rest))[1])
    find_suite("rc-car-models")(options)
    find_suite("rc-car-models")(options)
    assert trained == [suite.plan_jobs(1)[-1].name]


def test_other_recordings_are_trained_on_anew(recordings, in_small, tmp_path):
    job = suite.plan_jobs(1)[0]
    kept = suite._Kept(tmp_path / "trainings.jsonl", recordings)
    kept.add(job, {"tve": 1.0})
    assert suite._Kept(tmp_path / "trainings.jsonl", recordings).get(job) == {"tve": 1.0}
    other = tmp_path / "other"
    Recordings.make(Drive(duration_s=5.0), 2, count=2).write(other)
    assert suite._Kept(tmp_path / "trainings.jsonl", other).get(job) is None


def test_every_configuration_of_the_paper_is_trained():
    jobs = suite.plan_jobs(5)
    assert len({(job.name, job.seed) for job in jobs}) == len(jobs)
    figure3 = [job for job in jobs if job.name.startswith("gelu") and " x " not in job.name]
    assert {job.recipe.loss for job in figure3} == {"l1", "l2", "relative"} and len(figure3) == 15
    assert all((job.recipe.actions, job.recipe.residual, job.recipe.depth) == (1, False, 8) for job in figure3)
    sizes = {(j.recipe.activation, j.recipe.depth, j.recipe.width) for j in jobs}
    assert len(sizes) == 2 * 4 * 3


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        (entries(1.0, 1.1, 1.05), entries(2.0, 2.1, 2.05), "it is so here too"),
        (entries(2.0, 2.1, 2.05), entries(1.0, 1.1, 1.05), "here it is the other way round"),
        (entries(1.0, 2.0, 1.5), entries(1.1, 2.1, 1.6), "within the noise"),
        (entries(1.0), entries(9.0), "one network each says nothing"),
    ],
)
def test_verdicts_follow_the_numbers(ours, theirs, verdict):
    sentence = suite.compare("A", ours, "B", theirs, "The paper says A")
    assert verdict in sentence and sentence.startswith("The paper says A; ")


def test_the_loss_that_scatters_least_is_named():
    losses = {"l1": entries(1.0, 1.01), "l2": entries(1.0, 2.0), "relative": entries(1.0, 1.5)}
    assert "that did not come out: l1 does" in suite.loss_verdicts(losses)[2]
    losses["relative"] = entries(1.0, 1.0)
    assert "it does here too" in suite.loss_verdicts(losses)[2]


def test_bad_folders_are_told(tmp_path):
    with pytest.raises(ValueError, match="lacks train.npz, test.npz, validation.npz; make it with: dto-demos drive"):
        suite.run(SuiteOptions(out=tmp_path, data=(tmp_path,)))
    with pytest.raises(ValueError, match="one folder of recordings, not 2"):
        suite.run(SuiteOptions(out=tmp_path, data=(tmp_path, tmp_path)))
    with pytest.raises(ValueError, match="at least 1"):
        suite.run(SuiteOptions(out=tmp_path, episodes=0))

import json

import pytest

from dto_agents import zoo
from dto_agents.planar import dataset, learning
from dto_agents.planar.learning import load_network, stages, train_network
from dto_agents.planar.recipe import PAPER, Recipe
from dto_agents.training import TrainingError

TINY = Recipe(steps=3, batch=4, symmetries=False)


@pytest.fixture(autouse=True)
def few_probes(monkeypatch):
    monkeypatch.setattr(learning, "CURVE_SETS", ("train",))
    monkeypatch.setattr(learning, "task_set", lambda name: type("Few", (), {"size": 2}))


def test_stages_follow_the_paper():
    assert stages("dlm") == ("mdr", "cvx", "dlm") and stages("nnm") == ("nn", "nnm")
    assert (PAPER.steps, PAPER.learning_rate) == (100, 1e-4)
    with pytest.raises(ValueError, match="no architecture 'gan'"):
        stages("gan")


def test_training_goes_stage_by_stage_and_is_repeatable(data, tmp_path):
    whole = train_network("dlm", data, TINY, seed=1, root=tmp_path / "whole")
    train_network("cvx", data, TINY, seed=1, root=tmp_path / "parts")
    parts = train_network("dlm", data, TINY, seed=1, root=tmp_path / "parts")
    assert whole.read_bytes() == parts.read_bytes() and whole.stat().st_size < 1e6
    card = json.loads(whole.with_suffix(".json").read_text())
    assert card["agent"] == "dlm" and [point["step"] for point in card["curve"]] == [0, 1, 2, 3]
    folder = whole.parent.parent
    assert {path.parent.name for path in folder.glob("*/*.safetensors")} == {"mdr", "cvx", "dlm"}
    with pytest.raises(FileExistsError, match="already trained"):
        train_network("dlm", data, TINY, seed=1, root=tmp_path / "whole")


def test_other_recipes_are_refused(data, tmp_path):
    train_network("nn", data, TINY, seed=0, root=tmp_path)
    with pytest.raises(TrainingError, match="other steps"):
        train_network("nnm", data, Recipe(steps=4, batch=4, symmetries=False), seed=0, root=tmp_path)


def test_more_tasks_go_to_a_folder_of_their_own(data, tmp_path):
    recipe = Recipe(steps=1, batch=4, symmetries=False, extra=1)
    assert train_network("nn", data, recipe, seed=0, root=tmp_path).parent.name == "nn-large"
    with pytest.raises(dataset.DatasetError, match="has 1 extra tasks, not 2"):
        train_network("nn", data, Recipe(steps=1, extra=2), seed=1, root=tmp_path)


def test_weights_of_another_kind_are_refused(data, tmp_path):
    path = train_network("nn", data, TINY, seed=0, root=tmp_path)
    assert not load_network("nn", path).training
    with pytest.raises(zoo.DamagedWeightsError):
        load_network("mdr", path)

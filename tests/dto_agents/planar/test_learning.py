import json

import numpy as np
import pytest
import torch

from dto_agents import zoo
from dto_agents.planar import dataset, learning
from dto_agents.planar.learning import LOSSES, PAPER, Lessons, Recipe, load_network, stages, train_network
from dto_agents.planar.networks import NETWORKS
from dto_agents.training import TrainingError
from dto_envs.planar_push.tasks import make_task

TINY = Recipe(steps=3, batch=4, symmetries=False)
KEPT = {"train": (0, 8), "fine-tune": (1, 9), "extra": (2,)}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("planar") / "planar.hdf5"
    solved = {name: dataset.solve_example for name in KEPT}
    sets = [
        (name, [solve(make_task("train" if name == "extra" else name, index)) for index in KEPT[name]])
        for name, solve in solved.items()
    ]
    dataset.write(path, sets)
    return path


@pytest.fixture(autouse=True)
def few_probes(monkeypatch):
    monkeypatch.setattr(learning, "CURVE_SETS", ("train",))
    monkeypatch.setattr(learning, "task_set", lambda name: type("Few", (), {"size": 2}))


def test_stages_follow_the_paper():
    assert stages("dlm") == ("mdr", "cvx", "dlm") and stages("nnm") == ("nn", "nnm")
    assert (PAPER.steps, PAPER.learning_rate) == (100, 1e-4)
    with pytest.raises(ValueError, match="no architecture 'gan'"):
        stages("gan")


@pytest.mark.parametrize("agent", ["nn", "mdr", "cvx", "nnm"])
def test_every_loss_falls(data, agent):
    lessons = Lessons.of(dataset.read(data, "train"))
    torch.manual_seed(0)
    network = NETWORKS[agent]()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(25):
        loss = LOSSES[agent](network, lessons)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


def test_labels_lose_nothing_on_the_expert(data):
    examples = dataset.read(data, "train")
    lessons = Lessons.of(examples)
    poses = learning.simulate(lessons.scene, lessons.fingers + lessons.forces / learning.POSITION_STIFFNESS)
    assert learning.trajectory_loss(poses, lessons.poses).max() < 0.5
    one = lessons[torch.tensor([1])]
    assert len(one) == 1 and torch.equal(one.mechanics.facets[0], lessons.mechanics.facets[1])


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

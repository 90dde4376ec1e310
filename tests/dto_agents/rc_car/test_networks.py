import contextlib
import json
from dataclasses import replace

import numpy as np
import pytest

from dto_agents.rc_car.driving import Drive, drive, write_log
from dto_agents.rc_car.networks import RECIPES, optimiser_steps, read_training, train_on_recording
from dto_agents.rc_car.preparing import decimate
from dto_agents.rc_car.reading import LogError
from dto_envs.rc_car.learned import list_models, read_network

TINY = {car: replace(recipe, depth=1, width=4, epochs=1) for car, recipe in RECIPES.items()}


@contextlib.contextmanager
def quiet(title, steps):
    quiet.steps = steps
    quiet.told = []
    yield lambda step, loss: quiet.told.append(step)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return write_log(tmp_path_factory.mktemp("drive") / "train.npz", [drive(Drive(duration_s=20.0), 1).log])


def test_a_network_and_its_card_are_written(recording, tmp_path):
    path = train_on_recording(recording, "simulated", seed=42, root=tmp_path, reporting=quiet, recipe=TINY["simulated"])
    assert list_models("simulated", tmp_path) == (path,)
    network, card = read_network(path), json.loads(path.with_suffix(".json").read_text())
    assert (network.actions, network.dt, network.residual) == (3, 0.05, True)
    assert card["seed"] == 42 and card["data"]["samples"] == 4800 and card["recipe"]["epochs"] == 1
    assert card["steps"] == quiet.steps == quiet.told[-1]
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="pass another --out or --seed"):
        train_on_recording(recording, "simulated", seed=42, root=tmp_path, reporting=quiet)
    assert path.read_bytes() == before


def test_the_simulated_cars_recording_is_decimated_and_a_real_cars_is_not(recording, tmp_path):
    simulated = read_training(recording, "simulated")
    assert simulated.dt == 0.05 and len(simulated.windows) == 401 - simulated.recipe.actions - simulated.recipe.steps
    log = drive(Drive(duration_s=20.0), 1).log
    slow = write_log(tmp_path / "slow.npz", [decimate(log, 1 / 30)])
    real = read_training(slow, "real")
    count = 601 - real.recipe.actions - real.recipe.steps
    assert real.dt == pytest.approx(1 / 30) and len(real.windows) == count
    recipe = replace(real.recipe, mirror=False, epochs=7, batch_size=100)
    assert optimiser_steps(real.windows, recipe) == 7 * -(-count // 100)


def test_recordings_that_do_not_fit_are_told(recording, tmp_path):
    slow = write_log(tmp_path / "slow.npz", [decimate(drive(Drive(duration_s=20.0), 1).log, 1 / 30)])
    with pytest.raises(ValueError, match="no multiple of the control rate of 20 Hz"):
        read_training(slow, "simulated")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(LogError, match="lacks t"):
        read_training(tmp_path / "other.npz", "simulated")
    with pytest.raises(OSError):
        read_training(tmp_path / "nowhere.npz", "simulated")

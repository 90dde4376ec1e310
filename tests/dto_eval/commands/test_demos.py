import h5py
import numpy as np
import pytest

from dto_agents.demos.dataset import FORMATS
from dto_agents.demos.robomimic import Recording, write_demo, write_file
from dto_agents.rc_car.driving import Recordings
from dto_agents.rc_car.reading import read_log
from dto_eval.commands.demos import default_path, main


@pytest.fixture
def lift_file(tmp_path):
    rng = np.random.default_rng(0)
    sizes = dict(zip(FORMATS["dto/Lift-v0"].keys, (10, 3, 4, 2), strict=True))
    recording = Recording(
        observations={key: rng.normal(size=(9, size)) for key, size in sizes.items()},
        actions=rng.uniform(-1, 1, (8, 7)),
        rewards=np.zeros(8),
        states=np.zeros((8, 32)),
    )
    path = tmp_path / "lift.hdf5"
    write_file(path, {"env_name": "Lift", "type": 1}, [lambda group: write_demo(group, recording)] * 10)
    return path


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def test_files_lie_in_demos_by_default():
    assert default_path("dto/Square-v0").as_posix() == "demos/Square.hdf5"


def test_inspect_prints_figures_beside_peoples_and_draws(lift_file, elsewhere, capsys):
    main(["inspect", str(lift_file), "--mask", "train"])
    printed = capsys.readouterr().out
    for text in ("dto/Lift-v0", "episodes", "9", "72", "8 / 8 / 8", "linear: max difference", "0.6 to 0.8"):
        assert text in printed
    assert (elsewhere / "demos" / "Lift.png").stat().st_size > 1000


def test_inspect_describes_every_operator_of_a_mixed_set(lift_file, elsewhere, capsys):
    with h5py.File(lift_file, "a") as file:
        for person, first in (("okay_operator_1", 0), ("worse_operator_2", 4)):
            file[f"mask/{person}"] = np.array([f"demo_{first + k}" for k in range(4)], dtype="S")
    main(["inspect", str(lift_file)])
    printed = capsys.readouterr().out
    assert "okay_operator_1" in printed and "worse_operator_2" in printed and "better_operator_1" not in printed


def test_a_drive_is_recorded_for_training(elsewhere, capsys, monkeypatch):
    whole = Recordings.make
    monkeypatch.setattr(Recordings, "make", lambda plan, seed: whole(plan, seed, count=2))
    main(["drive", "--minutes", "0.1", "--seed", "3"])
    assert {path.name for path in (elsewhere / "demos/RCCar").iterdir()} == {"train.npz", "test.npz", "validation.npz"}
    (drive,) = read_log(elsewhere / "demos/RCCar/train.npz").pieces
    assert len(drive) == 6 * 240
    assert "dto-train --agent rc-car-dynamics --data demos/RCCar/train.npz" in capsys.readouterr().out.replace(
        "\n", " "
    )


@pytest.mark.parametrize(("option", "value"), [("--minutes", "0"), ("--minutes", "inf"), ("--seed", "-1")])
def test_drives_that_cannot_be_are_refused(option, value, elsewhere, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["drive", option, value])
    assert ended.value.code == 2 and capsys.readouterr().err.startswith(f"dto-demos: {option} must")
    assert not list(elsewhere.iterdir())


def test_import_writes_where_the_environment_belongs(lift_file, elsewhere, capsys):
    main(["import", str(lift_file)])
    assert "10 episodes of dto/Lift-v0 in demos/Lift.hdf5, with states" in capsys.readouterr().out
    with h5py.File(elsewhere / "demos" / "Lift.hdf5") as file:
        assert len(file["data"]) == 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["collect", "--env", "dto/Sqare-v0"], "did you mean dto/Square-v0"),
        (["collect", "--env", "dto/PushT-v0"], "no scripted expert for dto/PushT-v0"),
        (["collect", "--episodes", "0"], "episodes must be from 1"),
        (["collect", "--workers", "0"], "workers must be at least 1"),
        (["inspect"], "dto-demos collect --env dto/Square-v0"),
        (["inspect", "missing.hdf5"], "there is nothing at missing.hdf5"),
        (["import", "missing.hdf5"], "there is nothing at missing.hdf5"),
    ],
)
def test_what_is_wrong_is_one_line_and_leaves_nothing(arguments, message, elsewhere, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert list(elsewhere.iterdir()) == []


def test_inspect_refuses_another_environments_file(lift_file, capsys):
    with pytest.raises(SystemExit):
        main(["inspect", str(lift_file), "--env", "dto/Can-v0"])
    assert "demonstrations of Lift, not of PickPlaceCan" in capsys.readouterr().err


def test_optimal_control_problems_are_solved_into_a_folder(elsewhere, capsys):
    pytest.importorskip("crocoddyl")
    from dto_agents.iiwa.datasets import load_dataset

    arguments = ["optimal", "--train", "2", "--validation", "1", "--test", "0", "--side", "0.4", "--workers", "1"]
    main(arguments)
    printed = capsys.readouterr().out
    assert "3/3 problems, 3 solved" in printed and "2 of 2 in train" in printed
    assert [each.solved for each in load_dataset(elsewhere / "demos" / "IiwaReach", "train")] == [True, True]
    with pytest.raises(SystemExit):
        main([*arguments, "--env", "dto/Lift-v0"])
    assert "no optimal control solver for dto/Lift-v0" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*arguments, "--side", "2"])
    assert "holds another data set" in capsys.readouterr().err

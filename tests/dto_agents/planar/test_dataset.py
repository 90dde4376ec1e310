import dataclasses

import h5py
import numpy as np
import pytest

from dto_agents.catalogue import make_action_filter
from dto_agents.planar import dataset
from dto_envs.planar_push.tasks import make_task
from dto_eval.commands.demos import main
from dto_eval.commands.train import main as train


def test_parameters_explain_the_expert(tmp_path):
    for index in (0, 7, 8, 9):
        example = dataset.solve_example(make_task("train", index))
        task, parameters = example.task, example.parameters
        forces = example.forces.reshape(len(task.poses), 4)
        arms = parameters.external_point - task.poses[:, :2]
        pushed = example.external_force
        wrench = np.einsum("tij,tj->ti", parameters.jacobian, forces)
        wrench[:, :2] += pushed
        wrench[:, 2] += arms[:, 0] * pushed[:, 1] - arms[:, 1] * pushed[:, 0]
        wanted = task.accelerations * [task.polygon.mass, task.polygon.mass, task.polygon.inertia]
        wanted[:, 1] += task.polygon.mass * task.gravity
        np.testing.assert_allclose(wrench, wanted, atol=1e-6)

        # Fingers lie on their facets, and forces are non-negative combinations of the cones' edges.
        start, end = parameters.facets[:, :, 0], parameters.facets[:, :, 1]
        span = end - start
        offset = example.fingers - start
        share = (offset * span).sum(-1) / (span**2).sum(-1)
        np.testing.assert_allclose(offset, share[..., None] * span, atol=1e-9)
        assert (share > 0.29).all() and (share < 0.71).all()
        weights = np.linalg.solve(np.swapaxes(parameters.cones, -1, -2), example.forces[..., None])
        assert (weights > -1e-9).all()
        # The ground's forces too; where nothing touches there are none.
        touching = task.touching.any(axis=1)
        assert not pushed[~touching].any() and not parameters.external_cone[~touching].any()
        np.testing.assert_allclose(np.linalg.norm(parameters.external_cone[touching], axis=-1), 1.0)
        ratio = parameters.external_cone[touching, :, 0] / parameters.external_cone[touching, :, 1]
        along = pushed[touching, 0]
        assert (along >= ratio[:, 0] * pushed[touching, 1] - 1e-9).all()
        assert (along <= ratio[:, 1] * pushed[touching, 1] + 1e-9).all()


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "planar.hdf5"
    examples = [dataset.solve_example(make_task("train", index)) for index in (0, 3)]
    dataset.write(path, [("train", examples)])
    read = dataset.read(path, "train")
    assert len(read) == 2
    for here, there in zip(examples, read, strict=True):
        assert here.task.digest == there.task.digest
        assert here.task.airborne == there.task.airborne
        for name in ("fingers", "forces", "external_force"):
            np.testing.assert_array_equal(getattr(here, name), getattr(there, name))
        for field in dataclasses.fields(dataset.Parameters):
            np.testing.assert_array_equal(getattr(here.parameters, field.name), getattr(there.parameters, field.name))


def test_extra_tasks_do_not_depend_on_their_number():
    two, three = list(dataset.solve_extra(2)), list(dataset.solve_extra(3))
    assert [example.task.digest for example in two] == [example.task.digest for example in three[:2]]
    frozen = {make_task("train", index).digest for index in range(20)}
    assert not frozen & {example.task.digest for example in three}


def test_files_that_are_none(tmp_path):
    path = tmp_path / "planar.hdf5"
    with pytest.raises(dataset.DatasetError, match="dto-demos collect --env dto/PlanarPush-v0"):
        dataset.read(path, "train")
    path.write_text("no")
    with pytest.raises(dataset.DatasetError, match="not a readable HDF5 file"):
        dataset.read(path, "train")
    with pytest.raises(dataset.DatasetError, match="there already"):
        dataset.write(path, [])
    other = tmp_path / "other.hdf5"
    with h5py.File(other, "w") as file:
        file["data"] = 1
    with pytest.raises(dataset.DatasetError, match="holds no planar tasks"):
        dataset.read(other, "train")
    dataset.write(tmp_path / "one.hdf5", [("train", [dataset.solve_example(make_task("train", 0))])])
    with pytest.raises(dataset.DatasetError, match="has no set 'test'; it has train"):
        dataset.read(tmp_path / "one.hdf5", "test")


def test_filters_learn_from_the_experts_plans(tmp_path, capsys, monkeypatch):
    examples = [dataset.solve_example(make_task("train", index)) for index in (0, 7)]
    plans = dataset.demonstrations(examples)
    assert [episode.actions.shape for episode in plans.episodes] == [(5, 4), (5, 4)]
    np.testing.assert_array_equal(plans.episodes[1].actions, commands_of(examples[1]))
    path = tmp_path / "tasks.hdf5"
    dataset.write(path, [("train", examples)])
    options = ["--agent", "diffog", "--env", dataset.ENV_ID, "--data", str(path), "--steps", "2"]
    monkeypatch.setattr("sys.argv", ["dto-train", *options, "--out", str(tmp_path)])
    train()
    assert "--agent dlm-diffog --base dlm --filter diffog" in " ".join(capsys.readouterr().out.split())
    action_filter = make_action_filter("diffog", dataset.ENV_ID, "seed42", weights=tmp_path, options={"bound": 0.02})
    assert (
        np.abs(np.diff(action_filter(np.random.default_rng(0).uniform(-1, 1, (3, 5, 4)), None), axis=1)).max() < 0.0201
    )


def commands_of(example):
    return (example.fingers + example.forces / 10_000).reshape(-1, 4)


def test_inspect_tells_what_a_file_holds(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tasks.hdf5"
    examples = [dataset.solve_example(make_task("family", index)) for index in range(3)]
    assert all(dataset.residual(example) < 1e-6 for example in examples)
    dataset.write(path, [("family", examples)])
    assert dataset.is_planar(path) and dataset.sets_of(path) == ("family",)
    main(["inspect", str(path)])
    assert "family" in (printed := capsys.readouterr().out) and "episodes" in printed
    assert (tmp_path / "demos" / "PlanarPush.png").stat().st_size > 0
    for arguments, message in (
        (["--mask", "test"], "has no set 'test'"),
        (["--env", "dto/Lift-v0"], "not to dto/Lift"),
    ):
        with pytest.raises(SystemExit):
            main(["inspect", str(path), *arguments])
        assert message in capsys.readouterr().err


def test_a_failed_collection_leaves_nothing(tmp_path):
    def failing():
        yield dataset.solve_example(make_task("train", 0))
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        dataset.write(tmp_path / "planar.hdf5", [("train", failing())])
    assert not list(tmp_path.iterdir())


def test_the_command_writes_all_sets(tmp_path, capsys):
    path = tmp_path / "planar.hdf5"
    main(["collect", "--env", "dto/PlanarPush-v0", "--out", str(path), "--episodes", "3"])
    assert "20 train, 20 fine-tune, 40 test, 40 family, 3 extra tasks" in capsys.readouterr().out.replace("\n", " ")
    sizes = {name: len(dataset.read(path, name)) for name in ("train", "fine-tune", "test", "family", "extra")}
    assert sizes == {"train": 20, "fine-tune": 20, "test": 40, "family": 40, "extra": 3}
    with pytest.raises(SystemExit):
        main(["collect", "--env", "dto/PlanarPush-v0", "--out", str(path)])
    assert "there already" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["collect", "--env", "dto/PlanarPush-v0", "--first-seed", "7"])
    assert "are fixed" in capsys.readouterr().err

"""``dto-train`` from the outside: results, progress, resume after a kill, and one clear error for bad input."""

from __future__ import annotations

import io
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
from rich.console import Console

from dto_agents.rc_car.driving import Drive, drive, write_log
from dto_envs.rc_car.learned import read_network
from dto_eval.commands.train import Train, main
from dto_eval.commands.trainers import OPTIONS, TRAINERS
from dto_eval.commands.training_progress import reporting

COMMAND = (sys.executable, "-m", "dto_eval.commands.train")


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the command in this process; returns its exit status, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dto-train", *arguments])
        status = 0
        try:
            main()
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 1
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A replay buffer in the format of Diffusion Policy's Push-T data."""
    import zarr

    rng = np.random.default_rng(0)
    root = zarr.open(str(tmp_path / "demos.zarr"), mode="w")
    root["data/action"] = rng.uniform(100, 400, (60, 2)).astype(np.float32)
    root["data/state"] = rng.uniform(100, 400, (60, 5)).astype(np.float32)
    root["data/keypoint"] = rng.uniform(100, 400, (60, 9, 2)).astype(np.float32)
    root["meta/episode_ends"] = np.array([20, 40, 60])
    return tmp_path / "demos.zarr"


def test_killed_and_started_again_gives_the_same_file(train, data, tmp_path):
    arguments = ["--env", "dto/PushT-v0", "--data", str(data), "--steps", "60", "--episodes", "2"]
    name = "PushT/diffusion/seed42.safetensors"
    status, out, _ = train(*arguments, "--out", str(tmp_path / "whole"))
    assert status == 0 and "step 60/60" in out and "wrote" in out
    cut = tmp_path / "cut"
    process = subprocess.Popen([*COMMAND, *arguments, "--out", str(cut)], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(cut.glob("PushT/diffusion/seed42/step*.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (cut / name).exists()
    status, out, _ = train(*arguments, "--out", str(cut))
    assert status == 0 and "starts at step 0" not in out
    assert (cut / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    status, _, error = train(*arguments, "--out", str(cut))
    assert status == 2 and "already trained" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--env", "dto/PushT-v1", "--data", "x"], "did you mean dto/PushT-v0"),
        ([], "--data PATH is needed"),
        (["--data", "nowhere.zarr"], "nowhere.zarr"),
        (["--data", "DATA", "--steps", "0"], "--steps must be at least 1"),
        (["--data", "DATA", "--seed", "-1"], "--seed must not be negative"),
        (["--data", "DATA", "--episodes", "4"], "--episodes 1 to 3"),
        (["--data", "DATA", "--agent", "diffog-refine", "--base", "nowhere"], "dto-train --agent diffusion"),
        (["--agent", "rc-car-sac", "--data", "DATA"], "--data does not apply to rc-car-sac, which takes --steps"),
        (["--agent", "rc-car-sac", "--env", "dto/PushT-v0"], "pass one with --env"),
        (["--agent", "iiwa-qrnet", "--data", "nowhere"], "pass --env dto/IiwaReach-v0"),
        (["--agent", "iiwa-qrnet", "--env", "dto/IiwaReach-v0", "--data", "nowhere"], "dto-demos optimal"),
        (
            ["--agent", "iiwa-mlp", "--env", "dto/IiwaReach-v0", "--data", "x", "--steps", "3"],
            "which takes --data, --epochs",
        ),
    ],
)
def test_bad_input_gets_one_line_and_writes_nothing(train, data, tmp_path, arguments, message):
    out = tmp_path / "out"
    filled = [str(data) if argument == "DATA" else argument for argument in arguments]
    status, _, error = train(*filled, "--out", str(out))
    assert status == 2
    assert message in error and error.count("\n") == 1 and error.startswith("dto-train: ")
    assert not out.exists()


@pytest.fixture(scope="module")
def drive_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short recording of the simulated RC car."""
    return write_log(tmp_path_factory.mktemp("drive") / "train.npz", [drive(Drive(duration_s=10.0), 1).log])


def test_the_dynamics_of_a_car_are_trained_on_a_log(train, drive_log, tmp_path):
    arguments = ["--agent", "rc-car-dynamics", "--data", str(drive_log), "--epochs", "1", "--seed", "7"]
    status, out, _ = train(*arguments, "--out", str(tmp_path))
    assert status == 0 and "rc-car-dynamics train.npz seed 7: step 4/4" in out
    assert read_network(tmp_path / "simulated" / "seed7.safetensors").dt == 0.05
    status, _, error = train(*arguments, "--out", str(tmp_path))
    assert status == 2 and "already trained" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--agent", "rc-car-dynamics", "--steps", "9"], "--steps does not apply to rc-car-dynamics"),
        (["--agent", "rc-car-dynamics", "--episodes", "9"], "--episodes does not apply to rc-car-dynamics"),
        (["--agent", "rc-car-dynamics", "--bound", "0.1"], "--bound does not apply to rc-car-dynamics"),
        (["--agent", "rc-car-dynamics", "--epochs", "0"], "--epochs must be at least 1"),
        (
            ["--agent", "diffusion", "--car", "real"],
            "--car does not apply to diffusion, which takes --data, --steps, --episodes; leave --car out",
        ),
        (["--agent", "diffusion", "--epochs", "3"], "--epochs does not apply to diffusion"),
    ],
)
def test_options_of_other_agents_are_refused(train, drive_log, tmp_path, arguments, message):
    status, _, error = train(*arguments, "--data", str(drive_log), "--out", str(tmp_path / "out"))
    assert status == 2 and message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_plain_lines_where_there_is_no_terminal():
    stream = io.StringIO()
    with reporting("title", 4, Console(file=stream, width=40), every_s=0.0) as report:
        report(1, math.nan)
        report(2, 0.5)
        report(4, 0.5)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "title: step 1/4  starts at step 1"
    assert lines[1].startswith("title: step 2/4  loss 0.5000") and "ETA" in lines[1]
    assert lines[-1].startswith("title: step 4/4") and lines[-1].endswith("ETA 0:00")


def test_a_bar_on_a_terminal():
    stream = io.StringIO()
    with reporting("title", 2, Console(file=stream, width=120, force_terminal=True)) as report:
        report(0, math.nan)
        report(2, 0.25)
    assert "2/2" in stream.getvalue() and "loss 0.2500" in stream.getvalue()


def test_every_agent_has_a_trainer_that_takes_options_there_are():
    assert set(get_args(get_type_hints(Train)["agent"])) == set(TRAINERS)
    assert set(OPTIONS) < {field.name for field in fields(Train)}
    for trainer in TRAINERS.values():
        assert set(trainer.takes) <= set(OPTIONS)


@pytest.mark.parametrize("agent", TRAINERS)
def test_options_of_others_are_refused(agent, tmp_path):
    trainer = TRAINERS[agent]
    values = {"data": tmp_path, "base": tmp_path, "car": "real", "alpha": 1.0, "bound": 0.1}
    needed = {"data": tmp_path} if "data" in trainer.takes else {}
    trainer.check(Train(agent=agent, **needed))
    for name in OPTIONS:
        options = Train(agent=agent, **{**needed, name: values.get(name, 3)})
        if name in trainer.takes:
            trainer.check(options)
        else:
            with pytest.raises(ValueError, match=f"--{name} does not apply to {agent}.*leave --{name} out"):
                trainer.check(options)

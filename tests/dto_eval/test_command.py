import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dto_agents.catalogue import NAMES
from dto_eval.commands.evaluate import EvaluateOptions, main, run

MODULES = Path(__file__).parent / "modules"


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_from_the_command_line(somewhere, capsys):
    with pytest.raises(SystemExit) as caught:
        main("--env dto/PushT-v0 --agent hold --episodes 3 --workers 1".split())
    assert caught.value.code == 0
    folder = somewhere / "runs" / "PushT" / "hold"
    names = {"run.json", "episodes.jsonl", "actions.parquet", "summary.json", "summary.md"}
    assert names | {"success.png", "differences.png", "actions.png"} <= {file.name for file in folder.iterdir()}
    assert json.loads((folder / "summary.json").read_text())["episodes"] == 3
    output = capsys.readouterr().out
    assert "3/3 episodes" in output and "success rate" in output


WRONG = {
    "--env dto/Squar-v0": "did you mean dto/Square-v0",
    "--env dto/PushT-v0 --agent difog": "no agent 'difog'",
    "--env dto/PushT-v0 --agent harness_agents:Nobody": "cannot load",
    "--env dto/PushT-v0 --agent hold --episodes 0": "--episodes must be at least 1, not 0",
    "--env dto/PushT-v0 --agent hold --workers 0": "--workers must be at least 1, not 0",
    "--env dto/PushT-v0 --agent hold --seed -1": "--seed must be at least 0, not -1",
    "--env dto/PushT-v0 --agent hold --bound 0.1": "the agent has no filter",
    "--env dto/PushT-v0 --base hold --filter clipping --bound 0.1 0.1 0.1": "2 trajectory dimensions",
    "--env dto/PushT-v0 --base hold --filter clipping --bound -1": "must be positive",
    "--env dto/PushT-v0 --agent diffog --weights nowhere": "dto-train --agent",
    "--env dto/PushT-v0 --agent hold --out /proc/nowhere": "cannot use /proc/nowhere",
}


@pytest.mark.parametrize("arguments", WRONG)
def test_what_cannot_be_run_is_one_line_before_anything_is_simulated(somewhere, capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments.split())
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert WRONG[arguments] in error and error.count("\n") == 1
    assert list(somewhere.iterdir()) == []


def test_an_agent_that_fails_is_one_line(somewhere, capsys):
    options = EvaluateOptions(env="dto/PushT-v0", agent="harness_agents:NotANumber", episodes=1, workers=1)
    assert run(options) == 1
    assert "the agent returned nan (row 0, step 2, dim 1)" in capsys.readouterr().err
    assert not (somewhere / "runs" / "PushT").is_dir() or not list((somewhere / "runs" / "PushT").iterdir())


def test_every_option_has_a_help_line(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for name in EvaluateOptions.__dataclass_fields__:
        assert f"--{name.replace('_', '-')}" in text
    for name in NAMES:
        assert re.search(rf"[ ,]{name.removesuffix('-large').removesuffix('-huge')}[ ,.]", text)
    assert "(default" in text and "Environment id" in text


def test_the_command_starts_without_simulators():
    loaded = "[name for name in ('torch', 'robosuite', 'numba') if name in sys.modules]"
    code = f"import sys, dto_eval.commands.evaluate; print({loaded})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

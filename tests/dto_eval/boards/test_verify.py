import json
from pathlib import Path

import numpy as np
import pytest

from dto_agents.simple import HoldAgent
from dto_eval.boards.guard import RefusedError
from dto_eval.boards.submit import submit
from dto_eval.boards.verify import check_agent, read_recorded, sample_shards, verify
from dto_eval.commands.board import main
from dto_eval.evaluate import evaluate, resolve_protocol
from dto_eval.records import Member
from dto_eval.run_folder import load_run


@pytest.fixture(scope="module")
def played(tmp_path_factory) -> Path:
    """A real run: a robot that stands still on Push-T, whose block nothing moves."""
    folder = tmp_path_factory.mktemp("played") / "run"
    evaluate(resolve_protocol("dto/PushT-v0", "hold", episodes=3), folder, workers=1)
    return folder


def copy(played, tmp_path, change):
    """The run with its files changed."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("run.json", "episodes.jsonl", "actions.parquet"):
        (folder / name).write_bytes((played / name).read_bytes())
    change(folder)
    return folder


def test_a_submission_that_comes_out_the_same(played, root, capsys):
    path, remarks = submit(played, root / "submissions", allow_dirty=True)
    assert remarks[0] == "3 initial states come out the same here"
    with pytest.raises(SystemExit) as left:
        main(["verify", str(path)])
    out = capsys.readouterr().out
    assert left.value.code == 0 and out == "3 of 3 simulated episodes come out the same, bit for bit\n"


def test_a_run_on_portable_images_comes_out_the_same(tmp_path, root, capsys):
    folder = tmp_path / "run"
    evaluate(resolve_protocol("dto/PlanarPush-v0", "nn", episodes=3), folder, workers=1)
    path, _ = submit(folder, root / "submissions", allow_dirty=True)
    assert path.parts[-3:-1] == ("PlanarPush", "nn")
    with pytest.raises(SystemExit) as left:
        main(["verify", str(path)])
    assert left.value.code == 0 and "3 of 3 simulated episodes come out the same" in capsys.readouterr().out


def test_what_differs_is_named(played, tmp_path, capsys):
    def change(folder):
        records = [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]
        records[1]["score"] = 0.987
        (folder / "episodes.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))

    with pytest.raises(SystemExit) as left:
        main(["verify", str(copy(played, tmp_path, change))])
    out = capsys.readouterr().out
    assert left.value.code == 1
    assert "only, init 100001: score differ (actions by up to 0)" in out and "2 of 3 simulated" in out


def test_actions_that_nobody_took_are_named(played, make):
    """A forged run whose files agree with each other is found out by simulating."""
    finished = load_run(played)
    protocol = finished.run.protocol

    def forged(member, init, steps):
        actions = np.array(finished.actions[member, init].actions)
        if init == 100_002:
            actions[-1] += 5
        return actions

    run = make.run(protocol, actions=forged, succeeds=lambda *_: False, n_action_steps=2)
    results = {result.key[1]: result for result in verify(read_recorded(run), episodes=3)}
    assert results[100_000].differing == ("initial state", "score", "actions per chunk")
    assert results[100_002].differing == ("initial state", "score", "actions", "actions per chunk")
    assert results[100_002].action_difference == pytest.approx(5 / 243, abs=1e-3)


def test_whole_shards_are_drawn(make):
    protocol = make.protocol(episodes=430)
    sizes = {shard.index: len(shard.inits) for shard in sample_shards(protocol, 10**6, 0)}
    assert sum(sizes.values()) == 430 and list(sizes) == sorted(sizes)
    for episodes in (1, 50, 60, 200):
        shards = sample_shards(protocol, episodes, seed=3)
        assert sum(len(shard.inits) for shard in shards) >= episodes
        assert sum(len(shard.inits) for shard in shards) - max(len(shard.inits) for shard in shards) < episodes
        assert shards == sample_shards(protocol, episodes, seed=3)
    assert sample_shards(protocol, 1, seed=0) != sample_shards(protocol, 1, seed=5)


def test_foreign_code_is_not_run_unasked(make, tmp_path, monkeypatch):
    module = tmp_path / "foreign.py"
    module.write_text("raise SystemExit('this ran')\n")
    monkeypatch.chdir(tmp_path)
    run = make.run(make.protocol("foreign:Agent"))
    with pytest.raises(RefusedError, match="would import foreign:Agent; allow it with --run-own-code"):
        next(verify(read_recorded(run)))


def test_own_code_that_has_changed_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = tmp_path / "still_agent.py"
    module.write_text(f"from {HoldAgent.__module__} import HoldAgent\n\n\nclass Still(HoldAgent):\n    pass\n")
    protocol = resolve_protocol("dto/PushT-v0", "still_agent:Still", episodes=1)
    check_agent(protocol, None, run_own_code=True)
    module.write_text(module.read_text() + "    other = 1\n")
    with pytest.raises(RefusedError, match="weights or source differ"):
        check_agent(protocol, None, run_own_code=True)


def test_agents_that_cannot_be_built_here_are_refused(make):
    absent = make.protocol("absent.py:Agent", members=(Member(name="only"),))
    with pytest.raises(RefusedError, match="cannot be built here: cannot load 'absent.py:Agent'"):
        check_agent(absent, None, run_own_code=True)


def test_the_command_refuses_in_one_line(tmp_path, capsys):
    for arguments, reason in (
        ([str(tmp_path)], "run.json is missing"),
        ([str(tmp_path), "--episodes", "0"], "least 1"),
    ):
        with pytest.raises(SystemExit) as left:
            main(["verify", *arguments])
        error = capsys.readouterr().err
        assert left.value.code == 2 and reason in error and error.count("\n") == 1

"""A suite's runs: played once, read ever after, left out where nothing is trained."""

from __future__ import annotations

import pytest

from dto_eval.boards.submit import submit
from dto_eval.suites import SuiteOptions
from dto_eval.suites.runs import Planned, Runs


def test_a_run_is_played_once_and_read_afterwards(tmp_path, monkeypatch):
    planned = Planned("dto/PushT-v0", "hold", 2)
    first = Runs(SuiteOptions(out=tmp_path)).get(planned)
    assert first is not None and first.episodes == 2
    assert first.run.path == tmp_path / "runs" / "PushT" / "hold-2"

    monkeypatch.setattr("dto_eval.evaluate.shard_player", lambda *_: pytest.fail("played again"))
    runs = Runs(SuiteOptions(out=tmp_path))
    again = runs.get(planned)
    assert again is not None and again.summary == first.summary
    assert runs.get(planned) is again


def test_a_complete_run_of_more_episodes_counts_and_one_that_was_interrupted_does_not(tmp_path):
    longer = Runs(SuiteOptions(out=tmp_path)).get(Planned("dto/PushT-v0", "hold", 3))
    found = Runs(SuiteOptions(out=tmp_path)).get(Planned("dto/PushT-v0", "hold", 2))
    assert longer is not None and found is not None and found.run.path == longer.run.path

    records = longer.run.path / "episodes.jsonl"
    records.write_text("".join(records.read_text().splitlines(keepends=True)[:1]))
    (longer.run.path / "actions.parquet").unlink()
    shorter = Runs(SuiteOptions(out=tmp_path)).get(Planned("dto/PushT-v0", "hold", 2))
    assert shorter is not None and shorter.episodes == 2


def test_options_have_folders_of_their_own():
    plain = Planned("dto/Square-v0", "diffog", 300)
    swept = Planned("dto/Square-v0", "diffog", 300, {"bound": 0.05, "alpha": 1.0})
    assert str(plain.folder) == "Square/diffog-300"
    assert str(swept.folder) == "Square/diffog-alpha1-bound0.05-300"


def test_what_is_not_trained_is_left_out(tmp_path):
    assert Runs(SuiteOptions(out=tmp_path, weights=tmp_path)).get(Planned("dto/PushT-v0", "base", 2)) is None
    with pytest.raises(ValueError, match="there is no agent 'nobody'"):
        Runs(SuiteOptions(out=tmp_path)).get(Planned("dto/PushT-v0", "nobody", 2))


def test_what_is_on_the_leaderboards_is_read_from_there(tmp_path, monkeypatch):
    boards = tmp_path / "submissions"
    played = Runs(SuiteOptions(out=tmp_path / "first")).get(Planned("dto/PushT-v0", "hold", 3))
    assert played is not None
    place, _ = submit(played.run.path, boards, allow_dirty=True, simulate=False)

    runs = Runs(SuiteOptions(out=tmp_path / "second", boards=boards))
    with monkeypatch.context() as patched:
        patched.setattr("dto_eval.evaluate.shard_player", lambda *_: pytest.fail("played again"))
        found = runs.get(Planned("dto/PushT-v0", "hold", 2))
    assert found is not None and found.run.path == place and found.episodes == 3
    assert found.summary["score"] == played.summary["score"]
    assert not (tmp_path / "second").exists()

    longer = runs.get(Planned("dto/PushT-v0", "hold", 4))
    assert longer is not None and longer.run.path == tmp_path / "second/runs/PushT/hold-4"

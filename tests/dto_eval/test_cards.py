"""What a run measured goes into the cards of the weights that it ran, and of no others."""

import json
import shutil

import fabricated
import pytest

from dto_agents import zoo
from dto_eval.cards import CardError, note_run
from dto_eval.commands import board

PUSHT = "dto/PushT-v0"


@pytest.fixture
def weights(tmp_path):
    root = tmp_path / "weights"
    for agent in ("diffusion", "diffog"):
        shutil.copytree(zoo.SHIPPED / "PushT" / agent, root / "PushT" / agent)
        for card in (root / "PushT" / agent).glob("*.json"):
            card.write_text(json.dumps({**json.loads(card.read_text()), "measured": None}))
    return root


def make_run(weights, trained, **fields):
    run = fabricated.make_run(members=("seed42", "seed142"), agent="made-up", **fields)
    entries = {entry.name: entry for entry in zoo.list_members(trained, PUSHT, weights)}
    members = tuple(
        member.model_copy(update={"weights": {entries[member.name].label: entries[member.name].sha256}})
        for member in run.protocol.members
    )
    updates = {"base": "diffusion", "filter": None if trained == "diffusion" else trained, "members": members}
    return run.model_copy(update={"protocol": run.protocol.model_copy(update=updates)})


@pytest.mark.parametrize("trained", ["diffusion", "diffog"])
def test_each_member_gets_its_own_figures(trained, weights, tmp_path):
    finished = fabricated.fill(tmp_path / "run", make_run(weights, trained, episodes=11))
    assert len(note_run(finished, weights)) == 2
    for entry in zoo.list_members(trained, PUSHT, weights)[:2]:
        records = [record for record in finished.episodes.values() if record.member == entry.name]
        measured = entry.card["measured"]
        if not records:
            assert measured is None
            continue
        assert measured["episodes"] == len(records)
        assert measured["success_rate"] == pytest.approx(sum(r.success_once for r in records) / len(records), abs=1e-4)
        low, high = measured["success_rate_wilson_95"]
        assert low <= measured["success_rate"] <= high
    others = {"diffusion", "diffog"} - {trained}
    assert all(entry.card["measured"] is None for entry in zoo.list_members(others.pop(), PUSHT, weights))


def test_the_command_writes_cards(weights, tmp_path, capsys):
    fabricated.fill(tmp_path / "run", make_run(weights, "diffusion"))
    assert board.run(board.Card(tmp_path / "run", weights)) == 0
    assert "seed142.json" in capsys.readouterr().out
    assert zoo.find_member("diffusion", PUSHT, "seed142", weights).card["measured"]["episodes"] == 5


def test_other_weights_and_agents_without_any_are_refused(weights, tmp_path):
    finished = fabricated.fill(tmp_path / "run", make_run(weights, "diffusion"))
    shutil.copy(weights / "PushT/diffusion/seed42.safetensors", weights / "PushT/diffusion/seed142.safetensors")
    card = weights / "PushT/diffusion/seed42.json"
    shutil.copy(card, card.with_name("seed142.json"))
    before = card.read_text()
    with pytest.raises(CardError, match="seed142 that are in"):
        note_run(finished, weights)
    assert card.read_text() == before
    with pytest.raises(CardError, match="no trained weights of its own"):
        note_run(fabricated.fill(tmp_path / "other", fabricated.make_run()), weights)
    assert board.run(board.Card(tmp_path / "other", weights)) == 2


def test_what_another_agent_measured_is_kept(weights, tmp_path):
    run = make_run(weights, "diffusion")
    note_run(fabricated.fill(tmp_path / "run", run), weights)
    card = weights / "PushT/diffusion/seed42.json"
    before = card.read_text()
    other = run.model_copy(update={"protocol": run.protocol.model_copy(update={"agent": "another"})})
    with pytest.raises(CardError, match="seed42.json holds what 'made-up' measured; set its \"measured\" to null"):
        note_run(fabricated.fill(tmp_path / "other", other), weights)
    assert card.read_text() == before
    assert len(note_run(fabricated.fill(tmp_path / "again", run), weights)) == 2  # the same agent may

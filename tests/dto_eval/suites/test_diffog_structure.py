"""How diagonal a quadratic form is, and in which phase of Square."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dto_eval.suites import SuiteOptions, diffog_structure
from dto_eval.suites.diffog_structure import STAGED, Chunk, diagonality, write_structure
from dto_eval.suites.page import Page


@given(seed=st.integers(0, 2**31), size=st.integers(2, 12))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_a_form_is_the_more_diagonal_the_less_stands_beside_the_diagonal(seed, size):
    entries = np.random.default_rng(seed).normal(size=(3, size, size))
    q = entries @ entries.swapaxes(1, 2) + np.eye(size)
    apart = q * (1 - np.eye(size))
    scores = [diagonality(q - (1 - share) * apart) for share in (0.0, 0.5, 1.0)]
    np.testing.assert_allclose(scores[0], 1.0, atol=1e-4)
    assert (scores[0] > scores[1]).all() and (scores[1] > scores[2]).all() and (scores[2] > 0).all()


def test_phases_follow_nut_and_hand():
    first = np.zeros(23)
    first[9] = 0.83

    def seen(nut, hand):
        observation = np.zeros(23)
        observation[7:10], observation[14:17] = nut, hand
        return STAGED[0].phase_of(observation, first)

    assert seen((0.0, 0.0, 0.83), (0.0, 0.0, 1.0)) == "reach"
    assert seen((0.0, 0.0, 0.83), (0.05, 0.0, 0.84)) == "grasp"
    assert seen((0.0, 0.0, 0.95), (0.05, 0.0, 0.95)) == "carry"
    assert seen((0.22, 0.1, 0.95), (0.27, 0.1, 0.95)) == "insert"


def test_toolhangs_phases_come_in_the_papers_order_when_its_expert_plays():
    pytest.importorskip("robosuite")
    import gymnasium

    import dto_envs  # noqa: F401  registers the ids
    from dto_agents.experts import make_expert

    staged = STAGED[1]
    env, expert = gymnasium.make("dto/ToolHang-v0"), make_expert("dto/ToolHang-v0")
    first, _ = env.reset(seed=503)
    expert.reset([503])
    observation, met, over = first, [], False
    while not over:
        phase = staged.phase_of(observation, first)
        met += [phase] if phase not in met else []
        observation, _, terminated, truncated, info = env.step(expert.act(observation[None])[0, 0])
        over = terminated or truncated
    assert info["success"] and met == list(staged.phases)


def test_the_section_says_whether_the_papers_finding_comes_out(tmp_path, monkeypatch):
    chunks = [
        Chunk(episode, 8 * k, phase, 0.9 - speed + 0.01 * k, speed)
        for episode in range(2)
        for k, (phase, speed) in enumerate([("reach", 0.6), ("grasp", 0.1), ("carry", 0.5), ("insert", 0.2)])
    ]
    monkeypatch.setattr(diffog_structure, "roll_out", lambda staged, episodes, weights: chunks)
    monkeypatch.setattr(diffog_structure, "STAGED", STAGED[:1])
    page = Page("structure", tmp_path)
    write_structure(page, SuiteOptions(out=tmp_path))
    text = page.write().read_text()
    assert "it comes out" in text and "| Square | insert | fine | 0.730 |" in text
    assert (tmp_path / "figure11-square.png").stat().st_size > 1000


def test_without_a_layer_the_section_says_so(tmp_path):
    page = Page("structure", tmp_path)
    write_structure(page, SuiteOptions(out=tmp_path, weights=tmp_path))
    assert "dto-train --agent diff" in page.write().read_text()


def test_a_rollout_gives_a_chunk_for_every_call():
    pytest.importorskip("robosuite")
    chunks = diffog_structure.roll_out(STAGED[0], 1)
    assert chunks[0].phase == "reach" and {chunk.step % 8 for chunk in chunks} == {0}
    assert all(0 < chunk.diagonality <= 1 for chunk in chunks)

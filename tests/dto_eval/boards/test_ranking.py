import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dto_envs.registry import row
from dto_envs.smoothness import batch_metrics
from dto_eval import statistics
from dto_eval.boards.evidence import resolution
from dto_eval.boards.guard import RefusedError, code
from dto_eval.boards.ranking import SMOOTHNESS, BoardRow, make_board, mark_front
from dto_eval.boards.render import board_page, render
from dto_eval.boards.submit import admitted, submit
from dto_eval.commands.board import main
from dto_eval.run_folder import load_run
from dto_eval.statistics import Interval

RESOLUTION = max(resolution(row(env_id).layout) for env_id in ("dto/PushT-v0", "dto/Square-v0"))


def entry(agent, success, std, half=0.0, **changes):
    def around(value):
        return Interval(value, value - half, value + half)

    smoothness = {name: around(std) for name in SMOOTHNESS}
    made = BoardRow(
        f"Task/{agent}/0", agent, "", None, (), 10, 1, around(success), around(success), 5, smoothness, 0, 0, {}, {}, {}
    )
    return replace(made, **changes)


def front(*rows):
    return {made.agent for made in mark_front(rows, "success") if made.front}


# ---- the front ----


def test_the_front_is_where_nobody_is_better_in_both():
    rows = [entry("a", 0.9, 0.05), entry("b", 0.8, 0.02), entry("c", 0.8, 0.05), entry("d", 0.7, 0.03)]
    assert front(*rows) == {"a", "b"}


def test_a_frozen_robot_is_never_on_the_front():
    rows = [entry("hold", 0.06, 0.0, half=0.02), entry("random", 0.1, 0.8), entry("good", 0.9, 0.05)]
    assert front(*rows, entry("frozen", 0.06, 0.0, half=0.02)) == {"good"}
    assert front(*rows, entry("barely", 0.1, 0.001, half=0.01)) == {"good", "barely"}
    assert front(entry("frozen", 0.0, 0.0), entry("good", 0.9, 0.05)) == {"good"}


def test_a_frozen_robot_keeps_nobody_off_the_front():
    assert front(entry("hold", 0.9, 0.0, half=0.02), entry("good", 0.95, 0.05, half=0.01)) == {"good"}


def test_rows_that_print_alike_are_both_on_the_front():
    assert front(entry("a", 0.9001, 0.05), entry("b", 0.9, 0.05001)) == {"a", "b"}


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20)), min_size=1, max_size=8, unique=True))
def test_the_front_against_the_definition(points):
    rows = [entry(f"agent{i}", success / 20, rough / 20) for i, (success, rough) in enumerate(points)]
    expected = {
        f"agent{i}"
        for i, (s, r) in enumerate(points)
        if not any(s2 >= s and r2 <= r and (s2, r2) != (s, r) for s2, r2 in points)
    }
    assert front(*rows) == expected


# ---- the figures ----


def submitted(root, *runs):
    for run in runs:
        submit(run, root / "submissions", simulate=False)
    return admitted(root / "submissions")


@pytest.mark.parametrize("env_id", ["dto/PushT-v0", "dto/Square-v0"])
def test_figures_come_from_the_actions(make, root, env_id):
    run = make.run(make.protocol(env_id=env_id, episodes=20))
    made = make_board(env_id, submitted(root, run)).rows[0]
    finished = load_run(run)
    exact = batch_metrics([value.actions for value in finished.actions.values()], row(env_id).layout)
    for name in SMOOTHNESS:
        table = statistics.table(dict(zip(finished.episodes, exact[name].tolist(), strict=True)))
        assert made.smoothness[name].mean == pytest.approx(np.nanmean(table), abs=RESOLUTION)
        assert made.smoothness[name].lo == pytest.approx(statistics.mean_interval(table).lo, abs=RESOLUTION)
    for group, figures in made.groups.items():
        assert figures["peak_jerk"] == pytest.approx(exact[f"{group}/peak_jerk"].mean(), rel=0.02)
        assert figures["sparc"] == pytest.approx(exact[f"{group}/sparc"].mean(), rel=0.01)
    successes = [float(episode.success_once) for episode in finished.episodes.values()]
    assert made.success.mean == pytest.approx(np.mean(successes))
    assert made.steps == pytest.approx(np.mean([episode.steps for episode in finished.episodes.values()]))


def alternating(step):
    """Actions that jump by exactly ``step`` on the normalised scale, back and forth."""
    layout = row("dto/PushT-v0").layout
    return lambda member, init, steps: layout.denormalize(np.outer(np.arange(steps) % 2 * step, [1.0, 1.0]))


@pytest.mark.parametrize(("step", "violating", "excess"), [(0.05, 0, 0), (0.0501, 0, 0), (0.06, 1, 0.01), (0.04, 0, 0)])
def test_limits_are_the_task_s_and_excesses_below_the_archive_s_rounding_are_none(make, root, step, violating, excess):
    run = make.run(make.protocol(), actions=alternating(step))
    made = make_board("dto/PushT-v0", submitted(root, run)).rows[0]
    assert made.violating == violating
    assert made.max_violation == pytest.approx(excess, abs=RESOLUTION)
    steps = sum(episode.steps for episode in load_run(run).episodes.values())
    assert [count for count, _ in made.limits.values()] == [violating * (steps - 6)] * 2
    assert list(made.limits) == ["x", "y"]


def test_jumps_between_chunks(make, root):
    layout = row("dto/PushT-v0").layout

    def every_fourth(member, init, steps):
        return layout.denormalize(np.outer(np.arange(steps) // 4 % 2 * 0.02, [1.0, 1.0]))

    runs = [
        make.run(make.protocol(f"a.py:By{count}"), actions=every_fourth, n_action_steps=count) for count in (1, 2, 4)
    ]
    rows = {made.agent: made for made in make_board("dto/PushT-v0", submitted(root, *runs)).rows}
    assert rows["a.py:By4"].jumps["boundary_mean_difference"] == pytest.approx(0.02, abs=RESOLUTION)
    assert rows["a.py:By4"].jumps["interior_mean_difference"] == 0
    assert 0.008 < rows["a.py:By2"].jumps["boundary_mean_difference"] < 0.012
    assert set(rows["a.py:By1"].jumps.values()) == {None}


def test_boards_lead_with_what_the_task_leads_with(make, root):
    runs = [make.run(make.protocol(env_id=env_id)) for env_id in ("dto/PushT-v0", "dto/Square-v0")]
    submissions = submitted(root, *runs)
    for env_id, headline, mean in (("dto/PushT-v0", "score", 5 / 6), ("dto/Square-v0", "success", 2 / 3)):
        board = make_board(env_id, [s for s in submissions if s.submission.run.protocol.env_id == env_id])
        assert board.headline == headline
        assert board.rows[0].headline(headline).mean == pytest.approx(mean)


def test_solved_by_all_counts_the_episodes_that_all_compared_agents_solved(make, root, weights):
    runs = [
        make.run(make.protocol("base", episodes=12), succeeds=lambda member, init: init % 3 != 0),
        make.run(make.protocol("clipping", episodes=12), step=0.01, succeeds=lambda member, init: init % 2 == 0),
        make.run(make.protocol("hold", episodes=12), succeeds=lambda member, init: True),
        make.run(make.protocol("penalty", episodes=12), succeeds=lambda member, init: False, score=0.01),
    ]
    submissions = submitted(root, *runs)
    rows = {made.agent: made for made in make_board("dto/PushT-v0", submissions).rows}
    inits = [100_000 + i for i in range(6)]
    common = [init for init in inits if init % 3 and init % 2 == 0]
    assert rows["base"].solved == rows["clipping"].solved == 2 * len(common)
    assert rows["hold"].solved == rows["penalty"].solved == 0 and rows["penalty"].solved_smoothness is None
    by_agent = {s.submission.run.protocol.agent: s.submission for s in submissions}
    for agent in ("base", "clipping"):
        submission = by_agent[agent]
        columns = batch_metrics(submission.actions(), submission.layout)
        chosen = [index for index, (_, init) in enumerate(submission.episodes) if init in common]
        assert rows[agent].solved_smoothness["max_difference"] == pytest.approx(
            columns["max_difference"][chosen].mean()
        )
        assert rows[agent].solved_smoothness["steps"] == pytest.approx(np.mean([20 + init % 7 for init in common]))


def test_costs_are_held_against_the_lowest_of_each_start(make, root):
    arm = "dto/IiwaReach-v0"
    submissions = submitted(
        root,
        make.run(make.protocol("hold", arm, episodes=8), succeeds=lambda _, init: init % 2 == 0, cost=2.0),
        make.run(make.protocol("robots.py:Dear", arm, episodes=8), succeeds=lambda *_: True, cost=3.0),
        make.run(make.protocol("robots.py:Lost", arm, episodes=8), succeeds=lambda *_: False, cost=1.0),
    )
    rows = {made.agent: made for made in make_board(arm, submissions).rows}
    assert rows["hold"].cost.mean == 2 and rows["hold"].cost_ratio.mean == pytest.approx((1 + 10) / 2)
    assert rows["robots.py:Dear"].cost_ratio.mean == pytest.approx((1.5 + 1) / 2)
    assert rows["robots.py:Lost"].cost is None and rows["robots.py:Lost"].cost_ratio.mean == 10
    render(root)
    page = (root / "README.md").read_text()
    assert "| Cost | Cost over the lowest |" in page and "at most 5, and\n10 for" in page
    data = {made["agent"]: made for made in json.loads((root / "boards.json").read_text())["boards"][arm]["rows"]}
    assert data["robots.py:Dear"]["cost_over_lowest"]["mean"] == 1.25 and data["robots.py:Lost"]["cost"] is None


def test_costs_are_where_the_task_counts_them(make, root):
    with pytest.raises(RefusedError, match="has no cost; run it again"):
        submitted(root, make.run(make.protocol("hold", "dto/IiwaReach-v0")))
    with pytest.raises(RefusedError, match="has cost 1.0, where there is none"):
        submitted(root, make.run(make.protocol("hold"), cost=1.0))
    (record, *_) = load_run(make.run(make.protocol("hold"))).episodes.values()
    submitted(root, make.run(make.protocol("hold")))
    assert record.cost is None and "Cost" not in board_page(())


# ---- the files ----


@pytest.fixture
def filled(make, root, weights):
    submitted(
        root,
        make.run(make.protocol("base")),
        make.run(make.protocol("hold"), succeeds=lambda *_: False, actions=lambda _, i, n: np.full((n, 2), 99.0)),
        make.run(make.protocol("my_agents.py:Fast"), step=0.1),
        make.run(make.protocol("hold", "dto/Square-v0"), actions=lambda _, i, n: np.zeros((n, 7))),
    )
    return root


def test_rendering_writes_both_boards_and_a_picture_for_each(filled):
    assert sorted(render(filled)) == ["PushT.png", "README.md", "Square.png", "boards.json"]
    page = (filled / "README.md").read_text()
    assert page.index("## dto/PushT-v0") < page.index("## dto/Square-v0")
    assert "`my_agents.py:Fast`" in page
    data = json.loads((filled / "boards.json").read_text())
    assert {made["agent"] for made in data["boards"]["dto/PushT-v0"]["rows"]} == {"base", "hold", "my_agents.py:Fast"}
    assert all(line.count("|") > 8 for line in page.splitlines() if line.startswith("| ★"))
    for made in data["boards"]["dto/PushT-v0"]["rows"]:
        assert (filled / "submissions" / made["submission"] / "run.json").exists()
        assert f"(submissions/{made['submission']})" in page
    assert (filled / "PushT.png").read_bytes().startswith(b"\x89PNG")


def test_a_robot_at_rest_has_no_jerk_to_speak_of(filled):
    render(filled)
    rows = json.loads((filled / "boards.json").read_text())["boards"]["dto/Square-v0"]["rows"]
    assert rows[0]["groups"]["linear"]["sparc"] is None
    assert rows[0]["groups"]["linear"]["peak_jerk"] == 0


def test_rendering_again_changes_nothing(filled):
    render(filled)
    before = {path.name: path.read_bytes() for path in filled.iterdir() if path.is_file()}
    assert render(filled) == []
    assert {path.name: path.read_bytes() for path in filled.iterdir() if path.is_file()} == before


def test_checking_writes_nothing_and_names_what_differs(filled, capsys):
    with pytest.raises(SystemExit) as left:
        main(["render", "--check", "--root", str(filled)])
    assert left.value.code == 1 and not (filled / "README.md").exists()
    render(filled)
    with pytest.raises(SystemExit) as left:
        main(["render", "--check", "--root", str(filled)])
    assert left.value.code == 0
    page = filled / "README.md"
    page.write_text(page.read_text().replace("0.", "0.9", 1))
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        main(["render", "--check", "--root", str(filled)])
    assert left.value.code == 1 and "README.md is not what the submissions give" in capsys.readouterr().err


def test_links_are_replaced_and_not_followed(filled, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("precious")
    for name in ("README.md", "boards.json", "PushT.png"):
        (filled / name).symlink_to(elsewhere)
    render(filled)
    assert elsewhere.read_text() == "precious" and not (filled / "README.md").is_symlink()


def test_a_bad_submission_stops_the_rendering(filled):
    render(filled)
    before = (filled / "README.md").read_text()
    next(filled.glob("submissions/PushT/base/*/episodes.parquet")).write_bytes(b"nothing")
    with pytest.raises(RefusedError, match=r"PushT/base/\w+: episodes.parquet cannot be read"):
        render(filled)
    assert (filled / "README.md").read_text() == before


def test_no_submissions_give_an_empty_board(root):
    assert render(root) == ["README.md", "boards.json"]
    assert "There are no submissions yet." in (root / "README.md").read_text()


@settings(max_examples=300)
@given(st.text(max_size=40) | st.text("<>|`[]()*_~!#&;:/.@\\\n\r aA0", max_size=12))
def test_no_markup_survives(name):
    """A name that is admitted stands on the board as code, and nothing in it can end the code, the cell or the line."""
    try:
        written = code(name)
    except RefusedError:
        return
    assert written == f"`{name}`" and written.isascii()
    assert not set(name) & set("`|<>&[]()*\\\n\r") and "//" not in name and ".." not in name.split("/")


# ---- comparing ----


def test_runs_and_submissions_can_be_compared(make, root, capsys):
    first = make.run(make.protocol("one.py:One"))
    second = make.run(make.protocol("two.py:Two"), step=0.01, succeeds=lambda member, init: True)
    path, _ = submit(second, root / "submissions", simulate=False)
    with pytest.raises(SystemExit) as left:
        main(["compare", str(first), str(path)])
    out = capsys.readouterr().out
    assert left.value.code == 0
    assert "two.py:Two: 6 pairs, 4 solved by both, 0 by the first alone, 2 by it alone" in out
    assert "+0.3333" in out


def test_comparing_needs_two_runs_of_one_environment(make, capsys):
    runs = [make.run(make.protocol(env_id=env_id)) for env_id in ("dto/PushT-v0", "dto/Square-v0")]
    for arguments, reason in (([runs[0]], "two runs or more"), (runs, "env_id differs")):
        with pytest.raises(SystemExit) as left:
            main(["compare", *map(str, arguments)])
        assert left.value.code == 2 and reason in capsys.readouterr().err


def test_without_a_base_the_best_trained_agent_says_what_is_compared(make, root, weights):
    runs = [
        make.run(make.protocol("clipping", episodes=12), succeeds=lambda member, init: init % 3 != 0),
        make.run(make.protocol("penalty", episodes=12), succeeds=lambda member, init: init % 2 == 0),
        make.run(make.protocol("hold", episodes=12), succeeds=lambda member, init: True),
    ]
    board = make_board("dto/PushT-v0", submitted(root, *runs))
    rows = {made.agent: made for made in board.rows}
    assert board.reference == "clipping"
    assert rows["clipping"].solved == rows["penalty"].solved > 0 and rows["hold"].solved == 0
    assert "compared are the agents with the members of `clipping`" in board_page([board])
    with_base = make_board("dto/PushT-v0", submitted(root, make.run(make.protocol("base", episodes=12))))
    assert with_base.reference == "base" and "There is no `base`" not in board_page([with_base])

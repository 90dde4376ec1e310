import fabricated
import pytest

from dto_eval.comparison import ComparisonError, compare_runs
from dto_eval.run_folder import RunFolderError
from dto_eval.summary import summarize


@pytest.fixture
def base(tmp_path):
    return fabricated.fill(tmp_path / "base", fabricated.make_run(episodes=30), scale=0.1)


def test_a_run_does_not_differ_from_itself(base):
    comparison = compare_runs(base, base.path)
    assert comparison.episodes == 30 and comparison.only_first == comparison.only_second == 0
    for interval in (*comparison.differences.values(), *comparison.solved_differences.values()):
        assert interval.mean == interval.lo == interval.hi == 0


def test_differences_are_second_minus_first(base, tmp_path):
    run = fabricated.make_run(episodes=30, agent="smooth")
    smooth = fabricated.fill(tmp_path / "smooth", run, scale=0.05)
    comparison = compare_runs(base, smooth)
    assert (comparison.first, comparison.second) == ("made-up", "smooth")
    summaries = summarize(base), summarize(smooth)
    for name in ("max_difference", "std_difference", "score"):
        expected = summaries[1][name]["mean"] - summaries[0][name]["mean"]
        assert comparison.differences[name].mean == pytest.approx(expected)
    # Every difference is halved, up to the rounding of actions to float32.
    assert comparison.differences["max_difference"].mean == pytest.approx(
        -summaries[0]["max_difference"]["mean"] / 2, rel=1e-4
    )
    assert comparison.differences["max_difference"].hi < 0
    assert comparison.solved == summaries[0]["solved"]["episodes"]


def test_wins_and_losses_are_counted(base, tmp_path):
    always = fabricated.fill(tmp_path / "always", fabricated.make_run(episodes=30), success=True, scale=0.1)
    failures = sum(not record.success_once for record in base.episodes.values())
    assert failures > 0
    comparison = compare_runs(base, always)
    assert (comparison.only_first, comparison.only_second) == (0, failures)
    assert comparison.differences["success_rate"].mean == pytest.approx(failures / 30)
    assert compare_runs(always, base).only_first == failures


def test_only_common_inits_are_compared(base, tmp_path):
    shorter = fabricated.fill(tmp_path / "shorter", fabricated.make_run(episodes=12), scale=0.1)
    assert compare_runs(base, shorter).episodes == 12


def test_an_agent_without_weights_is_compared_with_every_member(base, tmp_path):
    run = fabricated.make_run(episodes=40, members=("only",))
    comparison = compare_runs(base, fabricated.fill(tmp_path / "only", run))
    assert comparison.episodes == 30 and comparison.members == ("seed1", "seed2")
    assert compare_runs(tmp_path / "only", base).episodes == 30


def test_runs_that_cannot_be_compared_are_refused(base, tmp_path):
    other = fabricated.fill(tmp_path / "a", fabricated.make_run(members=("x", "y")))
    with pytest.raises(ComparisonError, match="no members in common"):
        compare_runs(base, other)
    other = fabricated.fill(tmp_path / "b", fabricated.make_run(first_init=5))
    with pytest.raises(ComparisonError, match="no inits in common"):
        compare_runs(base, other)
    other = fabricated.fill(tmp_path / "c", fabricated.make_run(run_out=True))
    with pytest.raises(ComparisonError, match="run_out differs"):
        compare_runs(base, other)
    with pytest.raises(RunFolderError):
        compare_runs(base, tmp_path / "nowhere")

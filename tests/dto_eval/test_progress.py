import io

import fabricated
from rich.console import Console

from dto_eval.progress import EvaluationProgress

RUN = fabricated.make_run(episodes=8, members=("seed1",), shard_size=4)


def episodes(*outcomes):
    """Records of the first inits with the given outcomes."""
    pairs = [(shard, init) for shard in fabricated.shards(RUN) for init in shard.inits]
    return [
        fabricated.make_rollout(RUN, shard, init, success=outcome).episode
        for (shard, init), outcome in zip(pairs, outcomes, strict=False)
    ]


def test_plain_lines_where_there_is_no_terminal():
    output = io.StringIO()
    with EvaluationProgress(Console(file=output), fabricated.shards(RUN), [], "success") as progress:
        for episode in episodes(*[True] * 8):
            progress.add(episode)
        progress.warn("a worker died")
    text = output.getvalue()
    assert "8/8 episodes" in text and "success 1.000 [1.000, 1.000]" in text and "a worker died" in text
    assert "\x1b" not in text


def test_a_live_line_on_a_terminal():
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=120)
    with EvaluationProgress(console, fabricated.shards(RUN), [], "success") as progress:
        for episode in episodes(True, False, True, True):
            progress.add(episode)
    assert "4/8" in output.getvalue() and "success 0.750" in output.getvalue() and "left" in output.getvalue()


def test_whole_shards_count_once_there_is_one():
    """Four solved of the first four, and a flattering start of the second shard."""
    progress = EvaluationProgress(Console(quiet=True), fabricated.shards(RUN), [], "success")
    first = episodes(False, True, False, True, True, True)
    progress.add(first[1])
    assert "success 1.000" in progress.figures()
    for episode in first:
        progress.add(episode)
    assert "success 0.500" in progress.figures()


def test_episodes_of_an_earlier_start_count_but_not_for_the_rate():
    done = episodes(*[True] * 4)
    progress = EvaluationProgress(Console(quiet=True), fabricated.shards(RUN), done, "success")
    assert "0.00 episodes/s" in progress.figures() and "? left" in progress.figures()

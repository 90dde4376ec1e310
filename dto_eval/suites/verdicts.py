"""Whether what a paper finds comes out on a suite's runs: paired differences, and the words for them."""

from __future__ import annotations

from collections.abc import Mapping

from dto_eval.suites.runs import Done

Figure = Mapping[str, float]  # mean, lo, hi


def headline_name(env_id: str) -> str:
    """The figure that leads a task's board: the success rate, on Push-T the score."""
    from dto_envs.registry import row

    return "score" if row(env_id).headline == "score" else "success_rate"


def gain(first: Done, second: Done, name: str | None = None) -> dict[str, float]:
    """``second - first``, paired by episode, of a figure of :func:`dto_eval.comparison.compare_runs`.

    Args:
        first: a run.
        second: another with some of the same episodes.
        name: the figure; None for the one that leads the task's board.

    Raises:
        dto_eval.comparison.ComparisonError: they cannot be compared.
    """
    from dto_eval.comparison import compare_runs

    name = name or headline_name(first.run.run.protocol.env_id)
    return compare_runs(first.run, second.run).differences[name].as_dict()


def points(figure: Figure) -> str:
    """A difference of rates with its interval: ``+4.7 points [2.2, 7.8]``."""
    return f"{100 * figure['mean']:+.1f} points {points_interval(figure)}"


def points_interval(figure: Figure) -> str:
    """The interval alone: ``[2.2, 7.8]``."""
    return f"[{100 * figure['lo']:.1f}, {100 * figure['hi']:.1f}]"


def lead(figure: Figure) -> str:
    """Whether a lead that the paper finds comes out, by the paired gain that should be above zero."""
    return _say(figure, above="comes out", below="is reversed", between="is undecided")


def loss(figure: Figure) -> str:
    """Whether a loss that the paper finds comes out, by the paired gain that should be below zero."""
    return _say(figure, above="is reversed", below="comes out", between="is undecided")


def level(figure: Figure) -> str:
    """Whether what the paper finds to change nothing changes nothing here, by the paired gain."""
    return _say(figure, above="is higher", below="is lower", between="is not told apart")


def _say(figure: Figure, *, above: str, below: str, between: str) -> str:
    outcome = above if figure["lo"] > 0 else below if figure["hi"] < 0 else between
    return f"{outcome} ({points(figure)})"

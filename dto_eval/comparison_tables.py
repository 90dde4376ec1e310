"""Comparisons as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from dto_envs.registry import row
from dto_eval.comparison import Comparison
from dto_eval.run_folder import FinishedRun
from dto_eval.statistics import Interval
from dto_eval.summary import summarize


def figures_table(runs: Sequence[FinishedRun]) -> Table:
    """A row per run: success (or score, where it leads) with its 95 % interval, smoothness, violations."""
    env_id = runs[0].run.protocol.env_id
    layout = row(env_id).layout
    headline = _headline(env_id)
    table = Table(title=f"{env_id}: means [95 % intervals]", title_justify="left")
    table.add_column("agent", no_wrap=True)
    table.add_column(headline.replace("_", " "), no_wrap=True)
    for name in ("max diff.", "std of diff.", f"excess over {layout.bound:g}", "steps", "n"):
        table.add_column(name, justify="right")
    for run in runs:
        summary = summarize(run)
        table.add_row(
            run.run.protocol.agent,
            _plain(summary[headline]),
            f"{summary['max_difference']['mean']:.3f}",
            f"{summary['std_difference']['mean']:.4f}",
            f"{summary['max_violation']:.4f}",
            f"{summary['steps']['mean']:.0f}",
            str(summary["episodes"]),
        )
    return table


def differences_table(comparisons: Sequence[Comparison]) -> Table:
    """A row per compared run: what it adds to the first run, paired by member and init."""
    first = comparisons[0]
    headline = _headline(first.env_id)
    table = Table(title=f"paired differences from {first.first}", title_justify="left")
    table.add_column("agent", no_wrap=True)
    for name in (headline.replace("_", " "), "std of diff.", "max diff."):
        table.add_column(name)
    for comparison in comparisons:
        paired = comparison.differences
        table.add_row(
            comparison.second,
            _short(paired[headline]),
            _short(paired["std_difference"]),
            f"{paired['max_difference'].mean:+.3f}",
        )
    return table


def pair_table(first: FinishedRun, comparison: Comparison) -> Table:
    """A row per figure: the first run's value, and what the second adds to it."""
    summary = summarize(first)
    table = Table(
        title=f"{comparison.env_id}: paired differences from {comparison.first}, 95 % intervals", title_justify="left"
    )
    table.add_column("")
    table.add_column(comparison.first, no_wrap=True)
    table.add_column(comparison.second)
    for name, difference in comparison.differences.items():
        table.add_row(name.replace("_", " "), f"{summary[name]['mean']:.4g}", _signed(difference))
    for name, difference in comparison.solved_differences.items():
        table.add_row("both solved: " + name.replace("_", " "), "", _signed(difference))
    return table


def _headline(env_id: str) -> str:
    """The figure that leads on an environment's tables, by its name in a summary."""
    return "score" if row(env_id).headline == "score" else "success_rate"


def _plain(interval: dict[str, float]) -> str:
    return f"{interval['mean']:.3f} [{interval['lo']:.3f}, {interval['hi']:.3f}]"


def _signed(interval: Interval) -> str:
    decimals = 1 if abs(interval.mean) >= 1 else 4
    return f"{interval.mean:+.{decimals}f} [{interval.lo:+.{decimals}f}, {interval.hi:+.{decimals}f}]"


def _short(interval: Interval) -> str:
    return f"{interval.mean:+.3f} [{interval.lo:+.3f}, {interval.hi:+.3f}]"

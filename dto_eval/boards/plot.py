"""A board as a picture: success, or score, against smoothness."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dto_eval.boards.ranking import REFERENCES, Board, BoardRow

_COLORS = ("#2f6db5", "#c0392b", "#27864a", "#8e5bb5", "#c77f1a", "#17a2a2", "#7a5230", "#d6639f", "#5c6b73", "#9aab1f")
_MARKERS = "oDv^"  # where there are more agents than colours
_GRAY = "#9a9a9a"
_TICKS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
_REFERENCE_MARKERS = {"random": "X", "hold": "s"}


def plot_board(board: Board, path: Path) -> Path:
    """Draw every row of ``board`` with its intervals into the PNG file ``path``.

    The left panel shows all rows, the right one those that do the task, from close by: rows of at least half the best
    headline. Stars are the Pareto front.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    able = [entry for entry in board.rows if _capable(entry, board)]
    figure = Figure(figsize=(9.5, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    everything, close = figure.subplots(1, 2)
    for axes, rows in ((everything, board.rows), (close, able)):
        _draw(axes, board, rows)
    everything.set_xscale("symlog", linthresh=0.01)
    everything.xaxis.set_major_locator(FixedLocator(_TICKS))
    everything.xaxis.set_minor_locator(NullLocator())
    everything.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    left, right = everything.get_xlim()
    everything.set_xlim(min(left, 0.0), max(right, _TICKS[1]))
    everything.set_ylim(-0.03, 1.05)
    everything.set_ylabel({"success": "success rate", "score": "mean score"}[board.headline])
    close.margins(0.12)
    close.locator_params(axis="x", nbins=5)
    handles, labels = everything.get_legend_handles_labels()
    # Names of agents are text, never formulas.
    legend = figure.legend(handles, labels, loc="outside right upper", fontsize=8, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)
    figure.suptitle(f"{board.env_id}, 95 % intervals; stars: Pareto front", fontsize=10)
    figure.supxlabel("standard deviation of action differences, normalised (smoother to the left)", fontsize=9)
    figure.savefig(path, dpi=130)
    return path


def _draw(axes: Any, board: Board, rows: Sequence[BoardRow]) -> None:
    front = sorted(_point(entry, board) for entry in rows if entry.front)
    axes.plot([x for x, _ in front], [y for _, y in front], color="#dddddd", linewidth=6, zorder=1)
    for entry in rows:
        rough, headline = entry.smoothness["std_difference"], entry.headline(board.headline)
        axes.errorbar(
            *_point(entry, board),
            xerr=[[rough.mean - rough.lo], [rough.hi - rough.mean]],
            yerr=[[headline.mean - headline.lo], [headline.hi - headline.mean]],
            color=_color(entry, board),
            marker="*" if entry.front else _marker(entry, board),
            markersize=11 if entry.front else 6,
            capsize=2,
            linewidth=1,
            linestyle="none",
            label=entry.agent,
            zorder=2,
        )
    axes.grid(alpha=0.3)


def _point(entry: BoardRow, board: Board) -> tuple[float, float]:
    return entry.smoothness["std_difference"].mean, entry.headline(board.headline).mean


def _capable(entry: BoardRow, board: Board) -> bool:
    best = max(other.headline(board.headline).mean for other in board.rows)
    return entry.agent not in REFERENCES and entry.headline(board.headline).mean >= best / 2


def _color(entry: BoardRow, board: Board) -> str:
    return _GRAY if entry.agent in REFERENCES else _COLORS[_number(entry, board) % len(_COLORS)]


def _marker(entry: BoardRow, board: Board) -> str:
    if entry.agent in REFERENCES:
        return _REFERENCE_MARKERS[entry.agent]
    return _MARKERS[_number(entry, board) // len(_COLORS) % len(_MARKERS)]


def _number(entry: BoardRow, board: Board) -> int:
    """The agent's place among the board's, by name."""
    return sorted({other.agent for other in board.rows} - set(REFERENCES)).index(entry.agent)

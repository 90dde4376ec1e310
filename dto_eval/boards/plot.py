"""A board as a picture: success, or score, against smoothness."""

from __future__ import annotations

from pathlib import Path

from dto_eval.boards.ranking import REFERENCES, Board

_BLUE, _GRAY = "#2f6db5", "#9a9a9a"


def plot_board(board: Board, path: Path) -> Path:
    """Draw every row of ``board`` with its intervals, and the Pareto front as a line, into the PNG file ``path``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    front = sorted(_point(board, index) for index, entry in enumerate(board.rows) if entry.front)
    axes.plot([x for x, _ in front], [y for _, y in front], color=_BLUE, alpha=0.4, linewidth=6, zorder=1)
    for index, entry in enumerate(board.rows):
        x, y = _point(board, index)
        rough, headline = entry.smoothness["std_difference"], entry.headline(board.headline)
        color = _GRAY if entry.agent in REFERENCES else _BLUE
        axes.errorbar(
            x,
            y,
            xerr=[[rough.mean - rough.lo], [rough.hi - rough.mean]],
            yerr=[[headline.mean - headline.lo], [headline.hi - headline.mean]],
            color=color,
            marker="*" if entry.front else "o",
            markersize=11 if entry.front else 6,
            capsize=2,
            linewidth=1,
            zorder=2,
        )
        # Agents' names may hold a dollar sign nowhere else either: they are text, never formulas.
        axes.annotate(entry.agent, (x, y), xytext=(7, 5), textcoords="offset points", fontsize=8, parse_math=False)
    axes.set_xscale("symlog", linthresh=0.01)
    axes.set_ylim(-0.03, 1.05)
    axes.set_xlabel("standard deviation of action differences, normalised (smoother to the left)")
    axes.set_ylabel({"success": "success rate", "score": "mean score"}[board.headline])
    axes.set_title(f"{board.env_id}, 95 % intervals", fontsize=10)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=130)
    return path


def _point(board: Board, index: int) -> tuple[float, float]:
    entry = board.rows[index]
    return entry.smoothness["std_difference"].mean, entry.headline(board.headline).mean

"""A results page: text, tables and figures in the order they are added; tables also as CSV, figures as PNG."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE_NAME = "README.md"


class Page:
    """Collects a page and writes it in one go.

    Example::

        page = Page("RC car", folder)
        page.text("Each scenario 20 times, from slightly different starts.")
        page.table("table1", ["scenario", "position error [m]"], [["parking", 0.26]])
        page.figure("plans", figure, "Planned and executed trajectories.")
        page.write()
    """

    def __init__(self, title: str, folder: Path) -> None:
        """Begin a page.

        Args:
            title: its heading.
            folder: where it will be written; created when it is.
        """
        self._folder = Path(folder)
        self._blocks = [f"# {title}"]
        self._tables: dict[str, list[list[str]]] = {}
        self._figures: dict[str, Figure] = {}

    def heading(self, text: str) -> None:
        """Begin a section."""
        self._blocks.append(f"## {text}")

    def text(self, text: str) -> None:
        """Add a paragraph, or any Markdown."""
        self._blocks.append(text.strip())

    def table(
        self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, digits: int = 3, caption: str = ""
    ) -> None:
        """Add a table, and ``<name>.csv`` with the same rows in full precision.

        Args:
            name: name of the CSV file, small letters, digits, - and _.
            columns: headings.
            rows: one value per column; floats are rounded on the page, NaN and None become "-".
            digits: significant decimals of floats on the page.
            caption: a sentence under the table.

        Raises:
            ValueError: a name that is taken or unfit for a file, or a row of another length.
        """
        _check_name(name, self._tables)
        for cells in rows:
            if len(cells) != len(columns):
                raise ValueError(f"a row of table {name!r} has {len(cells)} cells for {len(columns)} columns: {cells}")
        self._tables[name] = [list(columns), *([_exact(cell) for cell in cells] for cells in rows)]
        lines = [columns, ["---"] * len(columns), *([_shown(cell, digits) for cell in cells] for cells in rows)]
        self._blocks.append("\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines))
        self._blocks.append(" ".join(part for part in (caption, f"([CSV]({name}.csv))") if part))

    def figure(self, name: str, figure: Figure, caption: str) -> None:
        """Add a matplotlib figure, written as ``<name>.png``, with a caption that serves as alternative text.

        Raises:
            ValueError: a name that is taken or unfit for a file.
        """
        _check_name(name, self._figures)
        self._figures[name] = figure
        self._blocks.append(f"![{caption}]({name}.png)")
        self._blocks.append(f"*{caption}*")

    def write(self) -> Path:
        """Write figures, tables and last the page, which is returned; figures are closed."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for name, figure in self._figures.items():
            # Without the library's version in it, the same figure is the same file.
            figure.savefig(self._folder / f"{name}.png", dpi=110, bbox_inches="tight", metadata={"Software": None})
            figure.clear()
        for name, lines in self._tables.items():
            with (self._folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows(lines)
        path = self._folder / PAGE_NAME
        path.write_text("\n\n".join(self._blocks) + "\n", encoding="utf-8")
        return path


def interval(figure: Mapping[str, float], digits: int = 3) -> str:
    """The interval of a figure of a summary as text."""
    return f"[{figure['lo']:.{digits}f}, {figure['hi']:.{digits}f}]"


def _check_name(name: str, taken: dict[str, Any]) -> None:
    if not re.fullmatch(r"[a-z0-9_-]+", name):
        raise ValueError(f"{name!r} is not a file name of small letters, digits, - and _")
    if name in taken:
        raise ValueError(f"the page has {name!r} already")


def _exact(cell: Any) -> str:
    return "" if _is_missing(cell) else repr(float(cell)) if isinstance(cell, float) else str(cell)


def _shown(cell: Any, digits: int) -> str:
    if _is_missing(cell):
        return "-"
    text = f"{cell:.{digits}f}" if isinstance(cell, float) else str(cell)
    return text.replace("|", "\\|").replace("\n", " ")


def _is_missing(cell: Any) -> bool:
    return cell is None or (isinstance(cell, float) and math.isnan(cell))

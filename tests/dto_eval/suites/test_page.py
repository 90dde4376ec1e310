import csv
import math

import matplotlib

matplotlib.use("Agg")
import pytest
from matplotlib import pyplot

from dto_eval.suites.page import Page


def figure():
    drawn, axes = pyplot.subplots()
    axes.plot([0, 1], [1, 0])
    pyplot.close(drawn)
    return drawn


def test_a_page_holds_what_was_added_in_order(tmp_path):
    page = Page("A car", tmp_path / "results")
    page.text("  Twenty starts.  ")
    page.heading("Table I")
    page.table("table1", ["scenario", "error [m]"], [["parking", 0.26049], ["a|b", math.nan], ["turn", None]], digits=2)
    page.figure("plans", figure(), "Plans")
    path = page.write()
    assert path == tmp_path / "results" / "README.md"
    text = path.read_text()
    places = [
        text.index(part) for part in ("# A car", "Twenty starts.", "## Table I", "| parking | 0.26 |", "![Plans]")
    ]
    assert places == sorted(places)
    assert "| a\\|b | - |" in text and "| turn | - |" in text
    with (path.parent / "table1.csv").open() as file:
        assert list(csv.reader(file))[1:] == [["parking", "0.26049"], ["a|b", ""], ["turn", ""]]
    assert (path.parent / "plans.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_page_is_the_same_files(tmp_path):
    for name in ("one", "other"):
        page = Page("A car", tmp_path / name)
        page.figure("plans", figure(), "Plans")
        page.write()
    for name in ("README.md", "plans.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


@pytest.mark.parametrize("name", ["Table 1", "../escape", ""])
def test_names_that_are_no_file_names_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="file name"):
        Page("x", tmp_path).table(name, ["a"], [[1]])


def test_a_taken_name_and_a_row_of_another_length_are_refused(tmp_path):
    page = Page("x", tmp_path)
    page.table("one", ["a"], [[1]])
    with pytest.raises(ValueError, match="already"):
        page.table("one", ["a"], [[1]])
    with pytest.raises(ValueError, match="2 cells for 1 columns"):
        page.table("two", ["a"], [[1, 2]])

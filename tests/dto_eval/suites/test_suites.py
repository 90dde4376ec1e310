import importlib

import pytest

from dto_eval import suites
from dto_eval.commands.evaluate import main

SHIPPED = dict(suites.SUITES)


@pytest.fixture(autouse=True)
def a_suite(tmp_path, monkeypatch):
    """A suite that writes what it was told into its page."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "a_suite_module.py").write_text(
        "def run(options):\n"
        "    if options.episodes == 13:\n"
        "        raise RuntimeError('thirteen brings bad luck')\n"
        "    options.out.mkdir(parents=True)\n"
        "    page = options.out / 'README.md'\n"
        "    page.write_text(f'{options.episodes} {options.workers} {[p.name for p in options.data]}')\n"
        "    return page\n"
    )
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(suites, "SUITES", {"a-suite": "a_suite_module"})
    monkeypatch.chdir(tmp_path)


def dto_eval(arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(arguments.split())
    return caught.value.code


def test_a_suite_is_run_from_the_command_line(tmp_path, capsys):
    (tmp_path / "log.csv").write_text("t\n")
    assert dto_eval("--suite a-suite --workers 2 --data log.csv") == 0
    page = tmp_path / "runs" / "a-suite" / "README.md"
    assert page.read_text() == "None 2 ['log.csv']"
    assert "runs/a-suite/README.md" in capsys.readouterr().out
    assert dto_eval("--suite a-suite --episodes 7 --out elsewhere --workers 1") == 0
    assert (tmp_path / "elsewhere" / "README.md").read_text() == "7 1 []"


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("--suite b-suite", "there is no suite 'b-suite'; choose a-suite"),
        ("--suite a-suite --agent diffog", "chooses --agent itself"),
        ("--suite a-suite --run-out", "chooses --run-out itself"),
        ("--suite a-suite --data nowhere.csv", "there is no nowhere.csv"),
        ("--suite a-suite --episodes 0", "--episodes must be at least 1"),
        ("--data log.csv", "--data is for a suite"),
    ],
)
def test_what_a_suite_cannot_take_is_one_line(tmp_path, capsys, arguments, message):
    assert dto_eval(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_suite_that_fails_says_why(capsys):
    assert dto_eval("--suite a-suite --episodes 13") == 1
    assert "thirteen brings bad luck" in capsys.readouterr().err


@pytest.mark.parametrize("module", SHIPPED.values(), ids=SHIPPED)
def test_every_suite_can_be_loaded(module):
    assert callable(importlib.import_module(module).run)

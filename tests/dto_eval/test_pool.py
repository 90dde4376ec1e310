import multiprocessing
import os
import signal
import time
from functools import partial

import harness_work
import pytest

from dto_eval.pool import MAX_ATTEMPTS, TaskFailedError, WorkerDiedError, run_tasks


def results(events):
    """Task -> its results since it last started over."""
    values = {}
    for event in events:
        if event.kind == "result":
            values.setdefault(event.task, []).append(event.value)
        elif event.kind == "retry":
            values[event.task] = []
    return values


@pytest.mark.parametrize("workers", [1, 3])
def test_every_task_yields_its_results(workers):
    events = list(run_tasks(harness_work.doubler, [5, 6, 7, 8], workers))
    assert results(events) == {0: [5, 10], 1: [6, 12], 2: [7, 14], 3: [8, 16]}
    assert sorted(event.task for event in events if event.kind == "finished") == [0, 1, 2, 3]


def test_no_tasks_need_no_workers():
    assert list(run_tasks(harness_work.hopeless, [], 4)) == []


def test_workers_have_one_thread_and_the_parent_keeps_its_own(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    ((threads, pid),) = results(run_tasks(harness_work.report_environment, [0], 1))[0]
    assert threads == "1" and pid != os.getpid() and os.environ["OMP_NUM_THREADS"] == "7"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_death_costs_a_retry(tmp_path, number):
    events = list(run_tasks(partial(harness_work.mortal, tmp_path, 2, number), [0, 1, 2], 2))
    assert results(events) == {0: [0, 0], 1: [1, 10], 2: [2, 20]}
    retries = [event for event in events if event.kind == "retry"]
    assert [event.task for event in retries] == [1, 1]
    assert all(number.name in event.value for event in retries)


def test_retries_are_bounded(tmp_path):
    with pytest.raises(WorkerDiedError, match="died 3 times, at last by SIGKILL") as caught:
        list(run_tasks(partial(harness_work.mortal, tmp_path, 99), [0, 1], 2))
    assert caught.value.task == 1
    assert len(list(tmp_path.iterdir())) == MAX_ATTEMPTS


def test_want_of_memory_counts_as_death():
    with pytest.raises(WorkerDiedError, match="for want of memory"):
        list(run_tasks(harness_work.starved, [0], 1))


def test_an_exception_ends_the_run():
    with pytest.raises(TaskFailedError, match="ZeroDivisionError") as caught:
        list(run_tasks(harness_work.clumsy, [1, 0], 1))
    assert caught.value.task == 1 and "harness_work.py" in caught.value.trace


def test_a_setup_that_fails_is_reported():
    with pytest.raises(TaskFailedError, match="ValueError: cannot even start"):
        list(run_tasks(harness_work.hopeless, [0], 1))


def test_workers_leave_the_keyboards_interrupt_to_the_parent():
    assert results(run_tasks(harness_work.stays_calm, [0], 1)) == {0: [0]}
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_abandoned_workers_are_stopped(tmp_path):
    events = run_tasks(partial(harness_work.lingering, tmp_path), [0, 1], 2)
    while len(list(tmp_path.iterdir())) < 2:
        next(events)
    events.close()
    assert not multiprocessing.active_children()


def test_workers_end_with_a_killed_parent(tmp_path):
    context = multiprocessing.get_context("spawn")
    parent = context.Process(target=harness_work.linger, args=(tmp_path,))
    parent.start()
    deadline = time.monotonic() + 30
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.02)
    parent.kill()
    parent.join()
    (worker,) = (int(entry.name) for entry in tmp_path.iterdir())
    while _runs(worker) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _runs(worker)


def _runs(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False

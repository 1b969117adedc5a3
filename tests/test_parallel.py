"""Where work runs: cores, threads, worker processes, and the monitor that says how busy they are."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from fuelbreak import parallel
from fuelbreak.errors import InputError
from fuelbreak.parallel import CoreMonitor, WorkerLost, Workers, run_threads


class Counter:
    """What a worker process owns in these tests."""

    def __init__(self, start: int) -> None:
        if start < 0:
            raise InputError(f"start is {start}; give 0 or more")
        self.n = start

    def add(self, k: int) -> int:
        self.n += k
        return self.n

    def refuse(self, what: str) -> None:
        raise InputError(f"{what} is refused")

    def nap(self, seconds: float) -> None:
        time.sleep(seconds)

    def pid(self) -> int:
        return os.getpid()


class Cores:
    def asked(self) -> int:
        return parallel.checked_workers(None)


# ---- how many


def test_cores_and_workers_are_at_least_one():
    assert 1 <= parallel.available_cores() <= (os.cpu_count() or 1)
    assert 1 <= parallel.nested_workers() <= max(1, parallel.available_cores() // 4)
    assert parallel.checked_workers(None) == parallel.available_cores()
    assert parallel.checked_workers(7) == 7
    for none in (0, -3, 1.5, "many"):
        with pytest.raises(InputError, match=f"workers: {none!r} .* at least 1"):
            parallel.checked_workers(none)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity to set")
def test_a_process_bound_to_one_core_has_one():
    code = (
        "import os, sys; os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1]);"
        "from fuelbreak.parallel import available_cores; sys.exit(available_cores() != 1)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "300000\n"}, 3.0),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_a_containers_quota_is_read(tmp_path, files, cores):
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert parallel._container_quota(tmp_path) == cores


def test_methods_are_known_by_name():
    for method in parallel.METHODS:
        assert parallel.checked_method(method) == method
    with pytest.raises(InputError, match="'dask' is unknown; use one of sequential, threading, multiprocessing, ray"):
        parallel.checked_method("dask")


# ---- threads


@pytest.mark.parametrize("workers", [1, 2, 5, 80])
def test_every_thread_runs_once(workers):
    seen, lock = [], threading.Lock()

    def work(i: int) -> None:
        with lock:
            seen.append(i)

    run_threads(work, workers)
    assert sorted(seen) == list(range(workers))


def test_threads_run_at_the_same_time_and_the_first_is_ours():
    meeting, mine = threading.Barrier(3, timeout=30), []

    def work(i: int) -> None:
        meeting.wait()  # breaks if they run one after another
        if i == 0:
            mine.append(threading.get_ident())

    run_threads(work, 3)
    assert mine == [threading.get_ident()]


@pytest.mark.parametrize("fails", [0, 1, 2])
def test_an_error_in_any_thread_is_raised_after_all_are_done(fails):
    done = []

    def work(i: int) -> None:
        if i == fails:
            raise ZeroDivisionError(f"thread {i}")
        time.sleep(0.05)
        done.append(i)

    with pytest.raises(ZeroDivisionError, match=f"thread {fails}"):
        run_threads(work, 3)
    assert sorted(done) == [i for i in range(3) if i != fails]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # from 3.12 on Python itself advises against it
def test_threads_run_in_a_forked_child_too():
    run_threads(lambda i: None, 2)  # threads are now kept, and do not live on in the child
    child = multiprocessing.get_context("fork").Process(target=run_threads, args=(lambda i: None, 2), daemon=True)
    child.start()
    child.join(timeout=20)
    hangs = child.is_alive()
    child.kill()
    child.join()
    assert not hangs
    assert child.exitcode == 0


# ---- processes


def test_each_worker_keeps_its_own_object_and_answers_in_order():
    workers = Workers(Counter, [(0,), (100,)])
    try:
        assert workers.call("add", [(1,), (2,)]) == [1, 102]
        workers.send("add", [(1,), (2,)])
        assert workers.receive() == [2, 104]
        pids = workers.call("pid", [(), ()])
        assert pids == workers.pids
        assert os.getpid() not in pids
    finally:
        workers.close()
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert workers.pids == []
    workers.close()  # again is no harm


def test_an_exception_in_a_worker_comes_back_and_the_worker_goes_on():
    workers = Workers(Counter, [(0,), (0,)])
    try:
        workers.send("add", [(1,), ("x",)])
        with pytest.raises(TypeError):
            workers.receive()
        with pytest.raises(InputError, match="this is refused"):
            workers.call("refuse", [("this",), ("this",)])
        with pytest.raises(AttributeError):
            workers.call("no_such_method", [(), ()])
        assert workers.call("add", [(1,), (1,)]) == [2, 1]
    finally:
        workers.close()


def test_an_object_that_cannot_be_made_says_why_at_the_first_call():
    workers = Workers(Counter, [(-4,)])
    try:
        with pytest.raises(InputError, match="start is -4"):
            workers.call("add", [(1,)])
    finally:
        workers.close()


def test_a_dead_worker_that_cannot_be_replaced_is_named():
    workers = Workers(Counter, [(0,), (0,)])
    try:
        workers.call("add", [(1,), (1,)])
        victim, pids = workers.pids[0], workers.pids
        os.kill(victim, signal.SIGKILL)
        with pytest.raises(WorkerLost, match=rf"worker 0 ended \(process {victim}, killed by SIGKILL\)"):
            workers.call("add", [(1,), (1,)])
    finally:
        workers.close()
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_dead_worker_is_replaced_and_its_past_repeated():
    total = [0, 0]
    workers = Workers(Counter, [(0,), (0,)], restore=lambda i: [("add", (total[i],))])
    try:
        for step in range(4):
            victim = workers.pids[step % 2]
            os.kill(victim, signal.SIGKILL)
            workers.send("add", [(1,), (10,)])
            with pytest.warns(RuntimeWarning, match=f"worker {step % 2} ended .*{victim}"):
                total = workers.receive()
            assert victim not in workers.pids
        assert total == [4, 40]
    finally:
        workers.close()


def test_this_process_may_be_the_first_worker():
    workers = Workers(Counter, [(0,), (0,)], here=True)
    try:
        assert len(workers.pids) == 1
        assert workers.call("pid", [(), ()]) == [os.getpid(), *workers.pids]
        assert workers.call("add", [(1,), (2,)]) == [1, 2]
        with pytest.raises(InputError, match="this is refused"):
            workers.call("refuse", [("this",), ("this",)])
    finally:
        workers.close()


def test_signals_meant_for_the_whole_run_do_not_end_a_worker():
    workers = Workers(Counter, [(0,)])
    try:
        workers.call("add", [(1,)])  # it is there, and heeds no signal by now
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(workers.pids[0], number)
        assert workers.call("add", [(1,)]) == [2]
    finally:
        workers.close()


def test_in_a_child_process_everything_is_nested():
    workers = Workers(Cores, [()])
    try:
        assert workers.call("asked", [()]) == [parallel.nested_workers()]
    finally:
        workers.close()


def test_workers_closed_in_the_middle_of_a_call_end_quietly(capfd):
    workers = Workers(Counter, [(0,), (0,)])
    workers.call("add", [(1,), (1,)])
    pids = workers.pids
    workers.send("nap", [(0.3,), (0.0,)])  # one answers into nothing, one before closing
    time.sleep(0.1)
    workers.close()
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert capfd.readouterr().err == ""


def test_workers_start_from_a_script_without_a_main_guard(tmp_path):
    script = tmp_path / "unguarded.py"
    script.write_text(
        "from fuelbreak.parallel import Workers\n"
        "import collections\n"
        "workers = Workers(collections.Counter, [('aab',)])\n"
        "print(workers.call('total', [()]))\n"
        "workers.close()\n"
    )
    ran = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert ran.stdout == "[3]\n", ran.stderr


# ---- the monitor

SPIN = "import time\nend = time.process_time() + 60\nwhile time.process_time() < end: pass"


def watched(code: str, cpu_s: float) -> tuple[parallel.CoreUse, float]:
    """What the monitor says while a child runs `code` until it has used `cpu_s` (for a second if that is 0), and the
    CPU time that the system says it used."""
    child = subprocess.Popen([sys.executable, "-c", code])
    try:
        told = psutil.Process(child.pid)
        time.sleep(0.2)
        monitor = CoreMonitor(period_s=0.1)
        before = sum(told.cpu_times()[:2])
        began = time.perf_counter()
        while (
            sum(told.cpu_times()[:2]) - before < cpu_s if cpu_s else time.perf_counter() - began < 1
        ) and time.perf_counter() - began < 30:
            time.sleep(0.05)
        spent = sum(told.cpu_times()[:2]) - before
        use = monitor.use()
        monitor.close()
        return use, spent
    finally:
        child.kill()
        child.wait()


def test_the_monitor_sees_a_spinning_child_and_not_an_idle_one():
    """Held to the CPU time the system counts, not to the clock: the machine may be shared."""
    busy, spent = watched(SPIN, 1.0)
    assert spent >= 1.0
    assert busy.process_cpu_s == pytest.approx(spent, abs=0.4)
    one_core = busy.busy_share * parallel.available_cores()
    # All of one core if it had a core; its true share of the time otherwise (steal only raises the share).
    assert one_core >= 0.9 * spent / busy.seconds
    assert one_core < 1.6 or one_core < 1.6 * busy.process_cpu_s / spent
    idle, _ = watched("import time\ntime.sleep(60)", 0.0)
    assert idle.process_cpu_s < 0.5
    assert idle.busy_share < 0.5
    assert idle.busy_share < busy.busy_share


def test_the_monitor_keeps_a_timeline_and_can_start_anew():
    others = set(threading.enumerate())
    monitor = CoreMonitor(period_s=0.05)
    deadline = time.perf_counter() + 20
    while len(monitor.use().timeline) < 3 and time.perf_counter() < deadline:
        time.sleep(0.02)
    use = monitor.use()
    assert len(use.timeline) >= 3
    moments = [moment for moment, _ in use.timeline]
    assert moments == sorted(moments)
    assert all(len(shares) == len(use.per_core) == psutil.cpu_count() for _, shares in use.timeline)
    assert all(0 <= share <= 1.0 for _, shares in use.timeline for share in shares)
    monitor.restart()
    assert monitor.use().seconds < use.seconds
    assert len(monitor.use().timeline) <= 2
    monitor.close()
    assert set(threading.enumerate()) <= others


def test_peak_memory_counts_children_and_keeps_the_peak():
    monitor = CoreMonitor(period_s=0.05)
    alone = monitor.use().peak_memory_mb
    child = subprocess.Popen([sys.executable, "-c", "x = b'x' * 2**28\nimport time\ntime.sleep(60)"])
    try:
        deadline = time.perf_counter() + 20
        while monitor.use().peak_memory_mb < alone + 250 and time.perf_counter() < deadline:
            time.sleep(0.02)
    finally:
        child.kill()
        child.wait()
    peak = monitor.use().peak_memory_mb
    monitor.close()
    assert 10 < alone < 100_000
    assert alone + 250 < peak < alone + 600


def test_threads_are_started_where_no_signal_interrupts_it():
    """Those of the pool are all there before the first task, so that submitting one starts none."""
    parallel._threads.cache_clear()
    before = set(threading.enumerate())
    pool = parallel._threads()
    started = [thread for thread in threading.enumerate() if thread not in before]
    assert len(started) == min(2 * parallel.available_cores(), 64)
    parallel.run_threads(lambda _: None, 2)
    assert {thread for thread in threading.enumerate() if thread not in before} == set(started)
    pool.shutdown()
    parallel._threads.cache_clear()

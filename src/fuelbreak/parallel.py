"""Where work runs: how many cores and how much memory there are, threads, worker processes, what cores do meanwhile.

Runs callables; knows nothing of fire.
"""

from __future__ import annotations

import logging
import multiprocessing
import operator
import os
import signal
import socket
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import lru_cache
from importlib.util import find_spec
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for_exit
from pathlib import Path
from typing import Any, NamedTuple

from fuelbreak.errors import InputError

METHODS = ("sequential", "threading", "multiprocessing")
_most: int | None = None


def use_at_most(cores: int | None) -> None:
    """Let this whole process use no more than so many cores; None takes the limit away again."""
    global _most
    _most = None if cores is None else checked_workers(cores)


def available_cores() -> int:
    """How many cores this process may use: affinity, container quota and `use_at_most` respected."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = Path("/sys/fs/cgroup/cpu.max")
    if quota.is_file():
        limit, period, *_ = [*quota.read_text().split(), "100000"]
        if limit != "max":
            cores = min(cores, max(1, round(int(limit) / int(period))))
    return cores if _most is None else min(cores, _most)


def nested_workers() -> int:
    """Workers inside one of several parallel environments: a quarter of the cores, at least one."""
    return max(1, available_cores() // 4)


def checked_workers(workers: int | None) -> int:
    """A number of workers that can be used: None is every available core; below one is refused."""
    if workers is None:
        return available_cores()
    try:
        whole = operator.index(workers)
    except TypeError:
        whole = 0
    if whole < 1:
        raise InputError(f"workers: {workers!r} cannot do any work; give at least 1, or leave it out for every core")
    return whole


def refuse_beyond_memory(needed: float, what: str, remedy: str) -> None:
    """Refuse what needs more bytes than this machine has free, before it starts."""
    import psutil

    free = psutil.virtual_memory().available
    if needed > 0.8 * free:
        raise InputError(f"memory: {what} need {needed / 2**30:,.1f} GiB, {free / 2**30:.1f} GiB are free; {remedy}")


def checked_method(method: str) -> str:
    """A parallel method by name; an unknown one is refused."""
    if method not in METHODS:
        raise InputError(f"parallel method: {method!r} is unknown; use one of {', '.join(METHODS)}")
    return method


def join_ray(address: str | None = None) -> Any:
    """The module `ray`, connected: to the cluster at `address`, or one of this machine's cores started here.

    A cluster that is connected already is used as it is. One started here ends with this process.

    Parameters
    ----------
    address : host:port, "auto" for the cluster this machine belongs to, None for a local one
    """
    if find_spec("ray") is None:
        raise InputError("method ray needs ray, which is not installed; run: pip install 'fuelbreak[ray]'")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    import ray

    if ray.is_initialized():
        return ray
    where: dict[str, Any] = {"num_cpus": available_cores(), "include_dashboard": False}
    try:
        if address:
            where = {"address": address}
            host, _, port = address.removeprefix("ray://").rpartition(":")
            if host:  # ray itself would ask for minutes
                socket.create_connection((host, int(port)), timeout=5).close()
        ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        said = " ".join(str(error).split()[:30]) or type(error).__name__
        raise InputError(
            f"--ray-address: cannot join the cluster at {address or 'this machine'} ({said}); "
            "start one with: ray start --head"
        ) from error
    return ray


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=64, thread_name_prefix="fuelbreak")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.cache_clear)  # threads do not live on in a forked child


def run_threads(work: Callable[[int], None], workers: int) -> None:
    """Call `work(0) ... work(workers - 1)` at the same time, the first in this thread; return when all are done.

    Threads are kept between calls. Meant for work that lets go of Python's lock (compiled kernels).
    """
    others = [_threads().submit(work, i) for i in range(1, workers)]
    try:
        work(0)
    finally:
        wait(others)
    for other in others:
        other.result()


@contextmanager
def _no_main_module() -> Iterator[None]:
    """Start child processes without running the caller's script again.

    Under `spawn` a child first imports the parent's main script; a script without a main guard, a notebook or
    `python -` would fail there. Our children need nothing of it.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class Workers:
    """Processes that each own one object and answer calls of its methods.

    Started by `spawn`, which works on every system and beside any thread. `make(*args)` runs in the child.
    """

    def __init__(self, make: Callable[..., Any], args: Sequence[tuple[Any, ...]]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        with _no_main_module():
            for arg in args:
                ours, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(theirs, make, arg), daemon=True)
                process.start()
                theirs.close()
                self._pipes.append(ours)
                self._processes.append(process)

    @property
    def pids(self) -> list[int]:
        """Process ids, for whoever measures what they do."""
        return [process.pid for process in self._processes if process.pid is not None]

    def send(self, method: str, args: Sequence[tuple[Any, ...]]) -> None:
        """Ask every worker i for `method(*args[i])`; the answers are fetched by `receive`."""
        for pipe, arg in zip(self._pipes, args, strict=True):
            try:
                pipe.send((method, arg))
            except (BrokenPipeError, OSError) as gone:
                raise RuntimeError(self._cause_of_death()) from gone

    def receive(self) -> list[Any]:
        """The answers to the last `send`, in the workers' order; an exception in a worker is raised here."""
        answers, failure = [], None
        for pipe in self._pipes:
            try:
                kind, answer = pipe.recv()
            except (EOFError, ConnectionResetError) as gone:
                raise RuntimeError(self._cause_of_death()) from gone
            if kind == "error":
                failure = answer
            answers.append(answer)
        if failure is not None:
            raise failure
        return answers

    def call(self, method: str, args: Sequence[tuple[Any, ...]]) -> list[Any]:
        """`send`, then `receive`."""
        self.send(method, args)
        return self.receive()

    def close(self) -> None:
        """End every worker, also in the middle of a call; nothing is left behind."""
        for pipe in self._pipes:
            with suppress(OSError):  # a worker that is gone needs no telling
                pipe.send(None)
            pipe.close()
        for process in self._processes:
            process.join(timeout=5)
            if process.is_alive():
                process.kill()
                process.join()
        self._pipes, self._processes = [], []

    def _cause_of_death(self) -> str:
        # A dying process closes its pipe first and has an exit code a moment later.
        gone = wait_for_exit([process.sentinel for process in self._processes], timeout=2)
        for process in self._processes:
            if process.sentinel in gone:
                process.join(timeout=2)
        dead = [f"worker {i} (exit code {p.exitcode})" for i, p in enumerate(self._processes) if not p.is_alive()]
        return (
            f"a worker process ended: {', '.join(dead) or 'cause unknown'}; if memory ran out, use fewer environments"
        )


def _serve(pipe: Connection, make: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """A worker's whole life. Ctrl-C reaches it too, but only its parent decides when to end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        owned = make(*args)
        failed = None
    except Exception as error:
        failed = error
    while True:
        try:
            message = pipe.recv()
        except (EOFError, ConnectionResetError):
            return
        if message is None:
            return
        method, call_args = message
        try:
            if failed is not None:
                raise failed
            answer = ("ok", getattr(owned, method)(*call_args))
        except Exception as error:
            answer = ("error", error)
        try:
            pipe.send(answer)
        except BrokenPipeError:  # closed in the middle of a call: nobody waits for the answer
            return


class CoreUse(NamedTuple):
    """What the cores did over a while."""

    seconds: float
    process_cpu_s: float  # this process and its children
    busy_share: float  # process CPU time / (wall x cores - steal)
    per_core: tuple[float, ...]  # busy share of each core, whoever used it
    timeline: tuple[tuple[float, tuple[float, ...]], ...]  # (seconds since start, share of each core)


class CoreMonitor:
    """Watches the cores from a thread that wakes twice a second; read with `use()` at any time.

    Steal is time that the machine's host gave to others; it is not ours to lose.
    """

    def __init__(self, period_s: float = 0.5) -> None:
        self._period_s = period_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="fuelbreak-cores")
        self.restart()
        self._thread.start()

    def restart(self) -> None:
        """Forget what was seen, for instance after warm-up."""
        import psutil

        self._since = time.perf_counter()
        self._process_cpu = _tree_cpu_s()
        self._cores = psutil.cpu_times(percpu=True)
        self._timeline: list[tuple[float, tuple[float, ...]]] = []

    def _watch(self) -> None:
        import psutil

        before = psutil.cpu_times(percpu=True)
        while not self._stop.wait(self._period_s):
            now = psutil.cpu_times(percpu=True)
            self._timeline.append((time.perf_counter() - self._since, _shares(before, now)))
            before = now

    def use(self) -> CoreUse:
        """What was seen since the start or the last `restart`."""
        import psutil

        now = psutil.cpu_times(percpu=True)
        seconds = time.perf_counter() - self._since
        cpu = _tree_cpu_s() - self._process_cpu
        allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(len(now))
        steal = sum(
            getattr(now[i], "steal", 0.0) - getattr(self._cores[i], "steal", 0.0) for i in allowed if i < len(now)
        )
        cores = available_cores()
        free = max(seconds * cores - steal, 1e-9)
        return CoreUse(seconds, cpu, cpu / free, _shares(self._cores, now), tuple(self._timeline))

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join()


def _tree_cpu_s() -> float:
    """CPU seconds of this process and of its living children."""
    import psutil

    me = psutil.Process()
    total = 0.0
    for process in [me, *me.children(recursive=True)]:
        try:
            spent = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += spent.user + spent.system
    return total


def _shares(before: Sequence[Any], now: Sequence[Any]) -> tuple[float, ...]:
    """Busy share of each core between two readings of psutil."""
    shares = []
    for old, new in zip(before, now, strict=True):
        waited = {"idle", "iowait", "steal", "guest", "guest_nice"}
        spent = {name: getattr(new, name) - getattr(old, name) for name in new._fields if name not in ("guest",)}
        busy = sum(seconds for name, seconds in spent.items() if name not in waited)
        whole = busy + spent.get("idle", 0.0) + spent.get("iowait", 0.0)
        shares.append(busy / whole if whole > 0 else 0.0)
    return tuple(shares)


def peak_memory_mb() -> float:
    """Largest memory this process has held, MB (the present figure where the system does not keep the peak)."""
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return float(psutil.Process().memory_info().rss) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)

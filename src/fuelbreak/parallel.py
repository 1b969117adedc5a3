"""Where work runs: how many cores and how much memory there are, threads, worker processes, what cores do meanwhile.

Runs callables; knows nothing of fire.
"""

from __future__ import annotations

import logging
import multiprocessing
import operator
import os
import pickle
import signal
import socket
import sys
import threading
import time
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import lru_cache
from importlib.util import find_spec
from multiprocessing.connection import Connection
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any, NamedTuple

from fuelbreak.errors import InputError

METHODS = ("sequential", "threading", "multiprocessing", "ray")
_most: int | None = None


def use_at_most(cores: int | None) -> None:
    """Let this whole process use no more than so many cores; None takes the limit away again."""
    global _most
    _most = None if cores is None else checked_workers(cores)


def available_cores() -> int:
    """How many cores this process may use: affinity, container quota and `use_at_most` respected."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _container_quota()
    if quota is not None:
        cores = min(cores, max(1, round(quota)))
    return cores if _most is None else min(cores, _most)


def _container_quota(groups: Path = Path("/sys/fs/cgroup")) -> float | None:
    """How many cores' time a container may use, by either version of Linux's control groups; None without a limit."""
    newer, older = groups / "cpu.max", groups / "cpu"
    try:
        if newer.is_file():
            limit, period, *_ = [*newer.read_text().split(), "100000"]
        else:
            limit, period = ((older / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
    except OSError:
        return None
    return None if limit == "max" or int(limit) <= 0 else int(limit) / int(period)


def nested_workers() -> int:
    """Workers inside one of several parallel environments: a quarter of the cores, at least one."""
    return max(1, available_cores() // 4)


def checked_workers(workers: int | None) -> int:
    """A number of workers that can be used; below one is refused.

    None is every available core, and in a child process, which is surely not alone, `nested_workers()`.
    """
    if workers is None:
        return available_cores() if multiprocessing.parent_process() is None else nested_workers()
    try:
        whole = operator.index(workers)
    except TypeError:
        whole = 0
    if whole < 1:
        raise InputError(f"workers: {workers!r} cannot do any work; give at least 1, or leave it out for every core")
    return whole


SMALL_BYTES = 2**26  # what needs no more is not worth asking the system, which takes 0.2 ms


def refuse_beyond_memory(needed: float, what: str, remedy: str) -> None:
    """Refuse what needs more bytes than this machine has free, before it starts."""
    if needed <= SMALL_BYTES:
        return
    import psutil

    free = psutil.virtual_memory().available
    if needed > 0.8 * free:
        raise InputError(f"memory: {what} need {needed / 2**30:,.1f} GiB, {free / 2**30:.1f} GiB are free; {remedy}")


def checked_method(method: str) -> str:
    """A parallel method by name; an unknown one is refused."""
    if method not in METHODS:
        raise InputError(f"parallel method: {method!r} is unknown; use one of {', '.join(METHODS)}")
    return method


RETRIES = 20  # of a task lost with its machine or process; one that kills every process it runs in ends sometime
_joined = 0  # how often a cluster was joined here and not left yet


def join_ray(address: str | None = None) -> Any:
    """The module `ray`, connected: to the cluster at `address`, or one of this machine's cores started here.

    A cluster that is connected already is used as it is. Each call is followed by one of `leave_ray`, the last of
    which ends what was started here.

    Parameters
    ----------
    address : host:port, "auto" for the cluster this machine belongs to, None for a local one
    """
    global _joined
    if find_spec("ray") is None:
        raise InputError("method ray needs ray, which is not installed; run: pip install 'fuelbreak[ray]'")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    import ray

    if ray.is_initialized():
        _joined += _joined > 0  # else whoever connected it also ends it
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
    _joined = 1
    return ray


def leave_ray() -> None:
    """Undo one `join_ray`."""
    global _joined
    if _joined == 1:
        import ray

        ray.shutdown()
    _joined = max(0, _joined - 1)


@contextmanager
def ray_at(address: str | None) -> Iterator[Any]:
    """`join_ray`, and `leave_ray` in the end."""
    ray = join_ray(address)
    try:
        yield ray
    finally:
        leave_ray()


def ray_cores(ray: Any) -> int:
    """Cores of all machines of a cluster that was joined."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def on_each_machine(ray: Any, work: Callable[..., None], *args: Any) -> None:
    """Call `work(*args)` once on each machine of a cluster that was joined, all at the same time, and wait."""
    pinned = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    function = ray.remote(num_cpus=1, max_retries=RETRIES)(work)
    for begun in [function.options(scheduling_strategy=pinned(node, soft=True)).remote(*args) for node in nodes]:
        _result(ray, begun)


def _result(ray: Any, begun: Any) -> Any:
    """What a task returned; its own exception if it raised one, and a line if its processes died again and again."""
    try:
        return ray.get(begun)
    except ray.exceptions.RayTaskError as failed:
        raise failed.cause from None
    except ray.exceptions.WorkerCrashedError as crashed:
        raise WorkerLost(
            f"a task of the cluster ended {RETRIES + 1} times: {' '.join(str(crashed).split()[:40])}"
        ) from None


def run_ray(
    ray: Any,
    work: Callable[..., Any],
    shared: Any,
    tasks: Sequence[tuple[Any, ...]],
    *,
    before: Callable[[Any], None] = lambda _: None,
) -> Iterator[Any]:
    """Yield `work(shared, *task)` of each task, in their order, done anywhere in a cluster that was joined.

    `shared` is sent to each machine once. A task that is lost with its machine is done again on another.

    Parameters
    ----------
    before : called with `shared` once on each machine before any task starts, to fill what is cached there
    """
    stored = ray.put(shared)
    on_each_machine(ray, before, stored)
    function = ray.remote(num_cpus=1, max_retries=RETRIES)(work)
    waiting = [function.remote(stored, *task) for task in tasks]
    try:
        for i, result in enumerate(waiting):
            yield _result(ray, result)
            waiting[i] = None  # its memory in the cluster is given back
    finally:
        for left in waiting:
            if left is not None:
                ray.cancel(left, force=True)


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    pool, n = ThreadPoolExecutor(max_workers=64, thread_name_prefix="fuelbreak"), min(2 * available_cores(), 64)
    met = threading.Barrier(n)

    def start() -> None:
        for _ in range(n):
            pool.submit(met.wait, 5.0)

    # By a thread that no signal interrupts: Ctrl-C between a thread's start and its entry in the pool's list would
    # leave one that is never told to end, and the process would wait for it forever.
    starter = threading.Thread(target=start, daemon=True)
    starter.start()
    starter.join()
    return pool


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.cache_clear)  # threads do not live on in a forked child


def run_threads(work: Callable[[int], None], workers: int) -> None:
    """Call `work(0) ... work(workers - 1)` at the same time, the first in this thread; return when all are done.

    Threads are kept between calls. Meant for work that lets go of Python's lock (compiled kernels).
    """
    if workers == 1:
        return work(0)
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


class WorkerLost(RuntimeError):
    """A worker ended, and so did the one that took its place before it had done the same call."""


class _Gone(Exception):
    """A worker's process or actor has ended; says how."""


class _Process:
    """One child process that owns an object, started by `spawn`, which works on every system and beside any thread."""

    def __init__(self, make: Callable[..., Any], args: tuple[Any, ...]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, args), daemon=True)
        with _no_main_module():
            self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None  # it was started
        return self._process.pid

    def ask(self, method: str, args: tuple[Any, ...]) -> None:
        try:
            self._pipe.send_bytes(pickle.dumps((method, args)))
        except OSError:  # how it ended is told by `answer`
            self._pipe.close()

    def answer(self) -> tuple[str, Any]:
        try:
            kind, said = pickle.loads(self._pipe.recv_bytes())
        except (EOFError, OSError):
            raise _Gone(self._how()) from None
        return kind, said

    def _how(self) -> str:
        # A dying process closes its pipe first and has an exit code a moment later.
        self._process.join(timeout=5)
        code = self._process.exitcode
        if code is not None and code < 0:
            with suppress(ValueError):
                return f"process {self.pid}, killed by {signal.Signals(-code).name}"
        return f"process {self.pid}, exit code {code}"

    def tell_to_end(self) -> None:
        with suppress(OSError):  # one that is gone needs no telling
            self._pipe.send_bytes(pickle.dumps(None))
        self._pipe.close()

    def end(self) -> None:
        self._process.join(timeout=5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


class _Owned:
    """What a ray actor is: an object and the calls of its methods."""

    def __init__(self, make: Callable[..., Any], shared: tuple[Any, ...], args: tuple[Any, ...]) -> None:
        self._owned = make(*shared, *args)

    def pid(self) -> int:
        return os.getpid()

    def call(self, method: str, args: tuple[Any, ...]) -> tuple[str, Any]:
        try:
            return "ok", getattr(self._owned, method)(*args)
        except Exception as error:
            return "error", error


class _Actor:
    """One ray actor that owns an object, on whichever machine of the cluster has cores free."""

    def __init__(self, ray: Any, make: Callable[..., Any], shared: Any, args: tuple[Any, ...], cores: float) -> None:
        self._ray = ray
        self._actor = ray.remote(num_cpus=cores, max_restarts=0)(_Owned).remote(make, shared, args)
        self._pid = self._actor.pid.remote()
        self._asked: Any = None

    @property
    def pid(self) -> int:
        return int(self._ray.get(self._pid))

    def ask(self, method: str, args: tuple[Any, ...]) -> None:
        self._asked = self._actor.call.remote(method, args)

    def answer(self) -> tuple[str, Any]:
        try:
            kind, said = self._ray.get(self._asked)
        except self._ray.exceptions.RayActorError as gone:
            raise _Gone(f"ray actor; {' '.join(str(gone).split()[:40])}") from None
        except self._ray.exceptions.RayTaskError as failed:  # its object could not be made
            return "error", failed.cause
        return kind, said

    def tell_to_end(self) -> None:
        if self._ray.is_initialized():  # else it ended with its cluster
            self._ray.kill(self._actor)

    def end(self) -> None:
        pass


class _Here:
    """The process itself as a worker: it works when its answer is wanted, after the others were set to work.

    So one process less shares the cores, and what it owns stays in its core's cache.
    """

    def __init__(self, make: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.owned = make(*args)
        self.pid = os.getpid()

    def ask(self, method: str, args: tuple[Any, ...]) -> None:
        self._asked = method, args

    def answer(self) -> tuple[str, Any]:
        method, args = self._asked
        try:
            return "ok", getattr(self.owned, method)(*args)
        except Exception as error:
            return "error", error

    def tell_to_end(self) -> None:
        self.owned = None

    def end(self) -> None:
        pass


class Workers:
    """Processes, or actors of a ray cluster, that each own one object and answer calls of its methods.

    `make(*shared, *args[i])` runs in the child. A worker that dies is replaced, its object brought back to where it
    stood, and the call it died in made again; if that one dies too before it has answered, the cause may lie in the
    work itself, and `WorkerLost` says so.

    Parameters
    ----------
    args : of each worker
    shared : the first arguments, the same for every worker
    restore : gives the calls (method, arguments) that bring a new worker i to where the old one stood before the call
        under way; without it a worker is not replaced
    here : whether this process is the first of the workers
    ray : the module, from `join_ray`, for actors in place of processes
    cores : that each actor takes of its cluster
    """

    def __init__(
        self,
        make: Callable[..., Any],
        args: Sequence[tuple[Any, ...]],
        shared: tuple[Any, ...] = (),
        *,
        restore: Callable[[int], list[tuple[str, tuple[Any, ...]]]] | None = None,
        here: bool = False,
        ray: Any = None,
        cores: float = 1,
    ) -> None:
        stored = None if ray is None else ray.put(shared)  # once in the cluster, however many actors take it

        def new(i: int) -> _Process | _Actor:
            if ray is None:
                return _Process(make, (*shared, *args[i]))
            return _Actor(ray, make, stored, args[i], cores)

        self._new = new
        self._restore = restore
        self._asked: list[tuple[str, tuple[Any, ...]]] = []
        self._members: list[_Here | _Process | _Actor] = []
        # Before multiprocessing itself would end them at exit by a signal, which they do not heed.
        self._end = Finalize(self, _end_all, args=(self._members,), exitpriority=10)
        self._members.extend(new(i) for i in range(int(here), len(args)))  # these start while this process does its own
        if here:
            self._members.insert(0, _Here(make, (*shared, *args[0])))

    @property
    def pids(self) -> list[int]:
        """Ids of the other processes, for whoever measures what they do."""
        return [member.pid for member in self._members if not isinstance(member, _Here)]

    def send(self, method: str, args: Sequence[tuple[Any, ...]]) -> None:
        """Ask every worker i for `method(*args[i])`; the answers are fetched by `receive`."""
        self._asked = [(method, arg) for arg in args]
        for member, asked in zip(self._members, self._asked, strict=True):
            member.ask(*asked)

    def receive(self) -> list[Any]:
        """The answers to the last `send`, in the workers' order; an exception in a worker is raised here."""
        answers, failure = [], None
        for i, asked in enumerate(self._asked):
            try:
                kind, answer = self._members[i].answer()
            except _Gone as gone:
                kind, answer = self._replaced(i, gone, [asked])
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

    def _replaced(self, i: int, gone: _Gone, asked: list[tuple[str, tuple[Any, ...]]]) -> tuple[str, Any]:
        """Put a new worker in the place of a dead one; its answer to the call that was under way."""
        if self._restore is None:
            raise WorkerLost(f"worker {i} ended ({gone})")
        self._members[i].tell_to_end()
        self._members[i].end()
        self._members[i] = self._new(i)
        try:
            for call in (*self._restore(i), *asked):
                self._members[i].ask(*call)
                answer = self._members[i].answer()
                if answer[0] == "error":
                    break
        except _Gone as again:
            raise WorkerLost(
                f"worker {i} ended twice in a row ({gone}; then {again}); if memory ran out, use fewer environments or "
                "fires"
            ) from None
        warnings.warn(
            f"worker {i} ended ({gone}); a new one has taken its place and played its episodes again",
            RuntimeWarning,
            stacklevel=4,
        )
        return answer

    def close(self) -> None:
        """End every worker, also in the middle of a call; nothing is left behind."""
        self._end()


def _end_all(members: list[_Here | _Process | _Actor]) -> None:
    for member in members:
        member.tell_to_end()
    for member in members:
        member.end()
    members.clear()


def _serve(pipe: Connection, make: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """A worker's whole life. Signals meant for all of a run reach it too, but only its parent decides when to end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    try:
        owned = make(*args)
        failed = None
    except Exception as error:
        failed = error
    while True:
        try:
            message = pickle.loads(pipe.recv_bytes())
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
            pipe.send_bytes(pickle.dumps(answer))
        except BrokenPipeError:  # closed in the middle of a call: nobody waits for the answer
            return


class CoreUse(NamedTuple):
    """What the cores did over a while."""

    seconds: float
    process_cpu_s: float  # this process and its children
    busy_share: float  # process CPU time / (wall x cores - steal)
    per_core: tuple[float, ...]  # busy share of each core, whoever used it
    timeline: tuple[tuple[float, tuple[float, ...]], ...]  # (seconds since start, share of each core)
    peak_memory_mb: float  # that this process and its children held for themselves


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
        self._peak_memory_mb = _tree_memory_mb()
        self._cores = psutil.cpu_times(percpu=True)
        self._timeline: list[tuple[float, tuple[float, ...]]] = []

    def _watch(self) -> None:
        import psutil

        before, looks = psutil.cpu_times(percpu=True), 0
        while not self._stop.wait(self._period_s):
            now = psutil.cpu_times(percpu=True)
            self._timeline.append((time.perf_counter() - self._since, _shares(before, now)))
            before, looks = now, looks + 1
            if looks % 8 == 1:  # it takes milliseconds, and memory changes slowly
                self._peak_memory_mb = max(self._peak_memory_mb, _tree_memory_mb())

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
        return CoreUse(seconds, cpu, cpu / free, _shares(self._cores, now), tuple(self._timeline), self._peak_memory_mb)

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join()


def _ask_tree(what: str) -> list[Any]:
    """What psutil tells of this process and of its living children."""
    import psutil

    me, told = psutil.Process(), []
    for process in [me, *me.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            told.append(getattr(process, what)())
    return told


def _tree_cpu_s() -> float:
    """CPU seconds of this process and of its living children."""
    return float(sum(spent.user + spent.system for spent in _ask_tree("cpu_times")))


def _tree_memory_mb() -> float:
    """Memory that this process and its living children hold for themselves, MB."""
    return float(sum(memory.uss for memory in _ask_tree("memory_full_info"))) / 2**20


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

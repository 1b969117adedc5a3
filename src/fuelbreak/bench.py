"""Benchmarks: how fast each way of running is on this machine, measured and not promised."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from fuelbreak import parallel
from fuelbreak.env import VectorizedFireEnv
from fuelbreak.simulate import Simulate
from fuelbreak.spread import warm_up
from fuelbreak.train import Say, TrainConfig, open_landscape


def parallel_methods(config: TrainConfig, seconds: float, say: Say) -> list[dict[str, Any]]:
    """Environment steps by every method and whole fires by `Simulate`, one row each.

    Rows: method, workers, steps_per_second (rows of the vector), simulations_per_second, speedup and efficiency over
    the sequential row of the same work, busy_share of the cores, peak_memory_mb of this process.
    """
    say("prepare", 0.0, "compiling fire kernels (once for this machine and version; later runs load them)")
    warm_up()
    landscape, workers = open_landscape(config), parallel.checked_workers(config.max_workers)
    rows, whole_fires = [], []
    for i, method in enumerate(parallel.METHODS):
        say("measure", i / 5, f"environments, {method}")
        env = VectorizedFireEnv(
            config.num_parallel_envs,
            method,
            workers,
            landscape,
            weather=config.weathers(),
            num_simulations=config.memory_simulations,
            max_duration=config.fire_simulation_max_duration,
            budget=config.budget,
            bank_size=config.fire_bank_size,
            fires_seed=config.seed,
        )
        used = 1 if method == "sequential" else workers if method == "threading" else min(workers, env.num_envs)
        try:
            rate, busy = _steps_per_second(env, seconds)
        finally:
            env.close()
        rows.append(_row(method, used, rate, rate * config.memory_simulations, busy))
    simulation = Simulate(landscape, config.weathers(), config.seed)
    for i, threads in enumerate(sorted({1, workers})):
        say("measure", (3 + i) / 5, f"whole fires on {threads} threads")
        simulation.set_parallel_simulations(True, threads)
        rate, busy = _fires_per_second(simulation, config.fire_simulation_max_duration, seconds)
        whole_fires.append(_row(f"fires, {threads} thread{'s' * (threads > 1)}", threads, 0.0, rate, busy))
    for same_work in (rows, whole_fires):
        sequential = same_work[0]["simulations_per_second"]
        for row in same_work:
            row["speedup"] = row["simulations_per_second"] / sequential
            row["efficiency"] = row["speedup"] / row["workers"]
    say("measure", 1.0, "")
    return rows + whole_fires


def _row(method: str, workers: int, steps: float, simulations: float, busy: float) -> dict[str, Any]:
    return {
        "method": method,
        "workers": workers,
        "steps_per_second": steps,
        "simulations_per_second": simulations,
        "busy_share": busy,
        "peak_memory_mb": parallel.peak_memory_mb(),
    }


def _steps_per_second(env: VectorizedFireEnv, seconds: float) -> tuple[float, float]:
    """Rows stepped per second with random allowed actions, and how busy the cores were."""
    rng = np.random.default_rng(0)
    _, info = env.reset(seed=0)
    cores = parallel.CoreMonitor()
    steps, left, began = 0, env.budget, time.perf_counter()
    while time.perf_counter() - began < seconds:
        if left == 0:
            _, info = env.reset()
            left = env.budget
        actions = (info["action_mask"] * rng.random(info["action_mask"].shape)).argmax(axis=1)
        _, _, _, _, info = env.step(actions)
        steps, left = steps + env.num_envs, left - 1
    took = time.perf_counter() - began
    busy = cores.use().busy_share
    cores.close()
    return steps / took, busy


def _fires_per_second(simulation: Simulate, duration_min: float, seconds: float) -> tuple[float, float]:
    """Whole fires burned per second, and how busy the cores were."""
    n = 2000
    cores = parallel.CoreMonitor()
    fires, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        simulation.run_many_simulations(n, duration_min)
        fires += n
    took = time.perf_counter() - began
    busy = cores.use().busy_share
    cores.close()
    return fires / took, busy

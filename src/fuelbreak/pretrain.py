"""Train the agent that ships with fuelbreak: on worlds made by rules, from what search finds on them.

Read `pretrain` from top to bottom. Fine-tuning on one landscape is `train`.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import psutil

from fuelbreak import parallel
from fuelbreak.errors import InputError
from fuelbreak.lessons import SEEDS_EACH, make_lesson, make_world
from fuelbreak.planners import sequential_dpv
from fuelbreak.policy import FIXED, PRIOR, SIDES, SIGHT, VECTORS
from fuelbreak.policy import agent as plan_by_agent
from fuelbreak.spread import spread, warm_up
from fuelbreak.train import Interrupted, Say, check_torch, stop_flag, write_metrics, write_resolved

if TYPE_CHECKING:
    from fuelbreak.agents.dqn import DQN, DQNConfig
    from fuelbreak.agents.replay import Lesson


@dataclass(frozen=True)
class PretrainConfig:
    """How the shipped agent is made; the same numbers make the same agent, whatever the number of cores."""

    lessons: int = 640
    """Worlds to learn on."""
    lessons_per_round: int = 16
    """Worlds between two copies of the weights, which the next worlds' own episodes are played with."""
    updates_per_lesson: int = 12
    """Updates for each world."""
    batch_size: int = 32
    """Decisions per update on maps of 20 x 20 cells; fewer on larger ones."""
    learning_rate: float = 1e-3
    """Adam's step size at first; it falls to 0 like a cosine."""
    network_width: int = 32
    """Channels of the network's hidden layers."""
    n_step: int = 5
    """Rewards summed before the network's own estimate takes over."""
    td_weight: float = 0.02
    """Weight of the TD loss beside that of the teachers, whose rows count as 0 in its mean."""
    taught_weight: float = 1.0
    """Weight of the loss that lifts a teacher's cells."""
    sharpness: float = 30.0
    """How clearly it wants them apart."""
    gain_weight: float = 0.3
    """Weight of the loss on what single cells bring."""
    demo_fraction: float = 0.75
    """Share of teachers' decisions in each batch; the others are the agent's own."""
    own_episodes: bool = True
    """Whether the agent plays, too."""
    symmetry: bool = True
    """Whether maps are turned and mirrored."""
    prior: bool = True
    """Whether the network sees the downstream protection value and starts as its rule; otherwise it never sees it."""
    largest: int = 50
    """Cells a side of the largest worlds."""
    seed: int = 0
    """Of worlds, fires, starting weights and batches."""


def learner(config: PretrainConfig) -> DQNConfig:
    """What of it the learner is told."""
    from fuelbreak.agents.dqn import DQNConfig

    return DQNConfig(
        learning_rate=config.learning_rate,
        n_step=config.n_step,
        batch_size=config.batch_size,
        td_weight=config.td_weight,
        td_own_only=True,
        margin_weight=0.0,
        taught_weight=config.taught_weight,
        sharpness=config.sharpness,
        gain_weight=config.gain_weight,
        demo_fraction=config.demo_fraction,
        width=config.network_width,
    )


METRICS = (
    "round",
    "lessons",
    "updates",
    "seconds",
    "cpu_s",
    "taught_loss",
    "gain_loss",
    "td_error",
    "agent",
    "sequential_dpv",
)
VALIDATION_WORLDS = 12  # the last of the training's seeds
VALIDATION_ROUNDS = 10


class _Validated(NamedTuple):
    agent: float
    rule: float


def _begin_worker(threads: int) -> None:
    """Whether a training ends is decided where it runs: signals to the group are not for its workers."""
    import torch

    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    parallel.use_at_most(threads)
    warm_up()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _network(path: Path | None) -> DQN | None:
    from fuelbreak.agents.dqn import DQN

    return None if path is None else DQN.load_weights(path)


def _lessons(number: int, config: PretrainConfig, weights: Path | None, kept: Path) -> list[Lesson]:
    """One world's lessons, from the file they are kept in if they were made before."""
    from fuelbreak.agents.replay import Lesson

    if not kept.is_file():
        agent = _network(weights)
        made = make_lesson(
            make_world(number, config.seed, number / config.lessons, config.largest), config.n_step, agent
        )
        if agent is not None:
            agent.close()
        arrays = {
            f"{i}.{name}": values.astype(np.float16) if values.dtype.kind == "f" and values.ndim > 1 else values
            for i, lesson in enumerate(made)
            for name, values in lesson._asdict().items()
            if values is not None
        }
        part = kept.with_suffix(".part")
        with part.open("wb") as file:
            np.savez(file, **arrays)
        part.replace(kept)
    with np.load(kept, allow_pickle=False) as saved:
        found: list[dict[str, Any]] = [{} for _ in range(1 + max(int(name[0]) for name in saved.files))]
        for name in saved.files:
            found[int(name[0])][name[2:]] = saved[name]
    return [Lesson(**each) for each in found]


def _validate(config: PretrainConfig, weights: Path) -> _Validated:
    """Loss avoided on worlds that nothing was learned on, by the agent and by sequential DPV on the same fires."""
    agent = _network(weights)
    shares = []
    for i in range(VALIDATION_WORLDS):
        world = make_world(SEEDS_EACH - 1 - i, config.seed, i / VALIDATION_WORLDS, config.largest)
        land, fires, judge = world.landscape, world.fires(300), world.fires(1000, purpose="validate")
        untreated = spread(land, judge).mean_loss
        plans = plan_by_agent(land, fires, world.budget, network=agent), sequential_dpv(land, fires, world.budget)
        shares.append([1 - spread(land, judge, plan).mean_loss / max(untreated, 1e-12) for plan in plans])
    return _Validated(*(float(share) for share in np.mean(shares, axis=0)))


def pretrain(config: PretrainConfig, folder: Path, *, workers: int | None = None, say: Say = lambda *_: None) -> Path:
    """Train an agent that plans on any landscape, and return the file of its weights.

    While the learner learns from one round of worlds, worker processes make the next: with the weights from before, so
    that timing never changes a result. A folder that holds an interrupted training goes on where it stopped.

    Parameters
    ----------
    folder : made if it is not there; lessons, weights, checkpoint and metrics go there
    workers : processes that make lessons; None: as many as there are cores

    Raises
    ------
    InputError : a folder of another training
    Interrupted : Ctrl-C or SIGTERM; the same call goes on
    """
    check_torch()
    say("prepare", 0.0, "compiling fire kernels (once for this machine and version; later runs load them)")
    warm_up()
    from fuelbreak.agents.dqn import DQN
    from fuelbreak.agents.replay import Replay, Symmetry

    workers = parallel.checked_workers(workers)
    cores = parallel.available_cores()
    kept = folder / "lessons"
    kept.mkdir(parents=True, exist_ok=True)
    asked = json.loads(json.dumps(config.__dict__))
    if (folder / "config.json").is_file():
        before = json.loads((folder / "config.json").read_text(encoding="utf-8"))["settings"]
        if before != asked:
            raise InputError(f"{folder}: a training with other settings was begun there; give another folder")
    else:
        write_resolved(folder, asked)
    rounds = -(-config.lessons // config.lessons_per_round)
    go_on = f"fuelbreak pretrain --lessons {config.lessons} --seed {config.seed} --out {folder}"
    with ExitStack() as on_leaving:
        stop = on_leaving.enter_context(stop_flag())
        pool = ProcessPoolExecutor(
            workers, get_context("spawn"), initializer=_begin_worker, initargs=(max(1, cores // workers),)
        )
        on_leaving.callback(lambda: pool.shutdown(cancel_futures=True))
        symmetry = Symmetry(VECTORS, SIDES) if config.symmetry else None
        replay = Replay(config.lessons * 12, fixed=FIXED, symmetry=symmetry)
        rng = np.random.default_rng([config.seed, 7])
        # It is the last of the planes, so a network for one plane less does not see it.
        channels, prior = (len(SIGHT), PRIOR) if config.prior else (PRIOR, None)
        agent = DQN(channels, learner(config), prior_channel=prior, seed=config.seed, threads=max(1, cores - 1))
        on_leaving.callback(lambda: agent.close())
        done, seconds_before, cpu_before = 0, 0.0, 0.0

        def numbers(turn: int) -> range:
            return range(turn * config.lessons_per_round, min((turn + 1) * config.lessons_per_round, config.lessons))

        def weights_of(turn: int) -> Path | None:
            return None if turn <= 0 or not config.own_episodes else folder / f"agent-{turn:03d}.safetensors"

        def ask(turn: int) -> list[Future[list[Lesson]]]:
            """Lessons of a round, in the making."""
            weights = weights_of(turn - 1)
            return [pool.submit(_lessons, i, config, weights, kept / f"{i:05d}.npz") for i in numbers(turn)]

        def take(lessons: Sequence[Lesson]) -> None:
            land = replay.add(lessons[0], is_demo=True)
            for own in lessons[1:]:
                replay.add(own, land=land)

        if (folder / "checkpoint.pt").is_file():
            agent.close()
            agent, saved = DQN.load(folder / "checkpoint.pt", threads=max(1, cores - 1))
            done, seconds_before, cpu_before = int(saved["round"]), float(saved["seconds"]), float(saved["cpu_s"])
            rng.bit_generator.state = json.loads(saved["rng"])
            for turn in range(done):
                for i in numbers(turn):
                    take(_lessons(i, config, None, kept / f"{i:05d}.npz"))
            replay.priorities = saved["priorities"]
        began, cpu_began = time.perf_counter(), _cpu_s()
        validating: Future[_Validated] | None = None
        coming = ask(done) if done < rounds else []
        for turn in range(done, rounds):
            lessons, coming = coming, ask(turn + 1) if turn + 1 < rounds else []
            for i, future in enumerate(lessons):
                say(
                    "learn",
                    turn / rounds,
                    f"round {turn + 1} of {rounds}: waiting for lesson {i + 1} of {len(lessons)}",
                )
                while not future.done():
                    if stop:
                        raise Interrupted(folder, go_on)
                    time.sleep(0.05)
                take(future.result())
            updates = len(lessons) * config.updates_per_lesson
            of = rounds * config.lessons_per_round * config.updates_per_lesson
            learned, sums = None, np.zeros(3)
            for step in range(updates):
                agent.set_learning_rate(config.learning_rate * _fallen(agent.updates / of))
                batch = replay.sample(
                    config.batch_size, rng, demo_fraction=config.demo_fraction, most_cells=config.batch_size * 400
                )
                learned = agent.update(batch)
                replay.learned(batch.place, learned.td_errors)
                sums += learned.taught_loss, learned.gain_loss, learned.td_error
                if step % 20 == 0:
                    taught = sums[0] / (step + 1)
                    say("learn", (turn + step / updates) / rounds, f"round {turn + 1} of {rounds}, taught {taught:.2f}")
                if stop:
                    raise Interrupted(folder, go_on)
            weights = folder / f"agent-{turn + 1:03d}.safetensors"
            agent.save_weights(weights, averaged=True)
            seconds = seconds_before + time.perf_counter() - began
            cpu_s = cpu_before + _cpu_s() - cpu_began
            found = _Validated(np.nan, np.nan)
            if (turn + 1) % VALIDATION_ROUNDS == 0 or turn + 1 == rounds:
                validating = pool.submit(_validate, config, weights)
                found = validating.result()
                say("validate", (turn + 1) / rounds, f"agent {found.agent:.1%}, sequential DPV {found.rule:.1%}")
            write_metrics(
                folder,
                METRICS,
                [turn + 1, numbers(turn)[-1] + 1, agent.updates, seconds, cpu_s, *(sums / updates), *found],
            )
            extra = {
                "round": turn + 1,
                "seconds": seconds,
                "cpu_s": cpu_s,
                "rng": json.dumps(rng.bit_generator.state),
                "priorities": replay.priorities,
            }
            agent.save(folder / "checkpoint.pt", extra)
            for old in range(1, turn):
                (folder / f"agent-{old:03d}.safetensors").unlink(missing_ok=True)
        told = {
            "command": f"fuelbreak pretrain --seed {config.seed} --lessons {config.lessons}",
            "code": version("fuelbreak"),
            "hours": f"{(seconds_before + time.perf_counter() - began) / 3600:.2f}",
            "cpu_hours": f"{(cpu_before + _cpu_s() - cpu_began) / 3600:.2f}",
        }
        agent.save_weights(folder / "agent.safetensors", told, averaged=True)
    return folder / "agent.safetensors"


def _cpu_s() -> float:
    """CPU seconds of this process and of the workers it started."""
    mine = psutil.Process()
    used = mine.cpu_times()
    total = used.user + used.system
    for child in mine.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            total += sum(child.cpu_times()[:2])
    return float(total)


def _fallen(done: float) -> float:
    """Share of the step size that is left: a short rise, then half a cosine."""
    return float(min(1.0, (done + 0.002) / 0.02) * 0.5 * (1 + np.cos(np.pi * min(done, 1.0))))

"""Train a deep-Q agent to place fuel breaks: the configuration, THE loop, the agent as one more planner.

Read `train` from top to bottom; everything it calls is one room below.
"""

from __future__ import annotations

import csv
import json
import platform
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from fuelbreak import parallel, planners
from fuelbreak.env import VectorizedFireEnv
from fuelbreak.errors import InputError
from fuelbreak.evaluate import Scores, evaluate
from fuelbreak.formats import check_output_folder
from fuelbreak.landscape import Landscape, Plan, budget_units
from fuelbreak.lessons import World, make_lesson
from fuelbreak.policy import FIXED, PRETRAINED, PRIOR, SIDES, SIGHT, VECTORS, load_agent, sight
from fuelbreak.policy import agent as agent_plan
from fuelbreak.problem import DEMO_DURATION_MIN, Problem, make_problem
from fuelbreak.scenarios import Fires, Season, check_draw
from fuelbreak.spread import Fields, spread, warm_up

if TYPE_CHECKING:
    from fuelbreak.agents.dqn import DQN, Gradient, Learned
    from fuelbreak.agents.replay import Replay

Say = Callable[[str, float, str], None]
"""Told of progress: stage, share done (0 to 1), message."""


class TrainConfig(Problem):
    """Every setting of a training run, with its documented default; a JSON file may give any of them."""

    # Narrower than where nothing is learned: every step of every episode pays for the buffer, and fires have an end.
    buffer_cells: int | None = Field(None, ge=0, le=400, description=Problem.model_fields["buffer_cells"].description)
    fire_simulation_max_duration: float = Field(
        DEMO_DURATION_MIN, gt=0, description=Problem.model_fields["fire_simulation_max_duration"].description
    )
    budget: int | float | str = Field(0.05, description="share of the treatable cells to treat, or a number of cells")

    num_parallel_envs: int = Field(4, ge=1, le=4096, description="episodes that run side by side")
    parallel_method: Literal["sequential", "threading", "multiprocessing", "ray"] = Field(
        "multiprocessing", description="where they run"
    )
    max_workers: int | None = Field(
        None, ge=1, description="threads, processes or ray actors for fires; null is every core"
    )
    simulation_workers: int | None = Field(
        None, ge=1, description="threads in each process or actor; null is a quarter of the cores, or what is left"
    )
    ray_address: str | None = Field(None, description="cluster to join (host:port or auto); null starts one here")
    torch_threads: int | None = Field(None, ge=1, description="threads of the learner; null is every core")
    memory_simulations: int = Field(50, ge=1, description="fires that judge each episode")
    fire_bank_size: int = Field(2000, ge=1, description="training fires that episodes sample from")
    planning_simulations: int = Field(500, ge=1, description="fires every method plans on in the end")
    validation_simulations: int = Field(4000, ge=1, description="fires that choose the best weights")
    heldout_simulations: int = Field(2000, ge=1, description="fires that judge in the end")

    num_episodes: int = Field(80, ge=0, description="episodes to train on, all environments together")
    demonstration_episodes: int = Field(
        8, ge=0, description="plans of a long search that are shown beforehand, each in a dozen states"
    )
    pretrain_steps: int = Field(200, ge=0, description="updates on demonstrations beforehand")
    train_frequency: int = Field(2, ge=1, description="steps of all environments between updates")
    learning_rate: float = Field(5e-4, gt=0, le=1)
    gamma: float = Field(1.0, ge=0, le=1, description="1: the return is the share of loss avoided")
    n_step: int = Field(5, ge=1, description="rewards summed before the network's own estimate takes over")
    initial_epsilon: float = Field(0.1, ge=0, le=1, description="share of random units at first")
    epsilon_min: float = Field(0.01, ge=0, le=1)
    epsilon_decay: float = Field(
        0.8, gt=0, le=1, description="epsilon is multiplied by it after each round of episodes"
    )
    batch_size: int = Field(16, ge=1, description="decisions per update")
    buffer_size: int = Field(4000, ge=64, description="steps that the replay keeps, all environments together")
    target_tau: float = Field(
        0.01, gt=0, le=1, description="share of the weights that the target takes over per update"
    )
    td_weight: float = Field(0.05, ge=0, description="weight of the loss of value learning beside that of the teacher")
    demo_fraction: float = Field(0.25, ge=0, le=1, description="share of each batch that is demonstrations")
    margin_weight: float = Field(1.0, ge=0, description="weight of the loss that pulls toward demonstrations")
    network_width: int = Field(32, ge=4, le=256, description="channels of the network's hidden layers")
    start: str | None = Field(
        PRETRAINED,
        description="agent to go on from: pretrained, a run's folder or a .safetensors file; null learns from nothing",
    )
    device: str = Field("auto", description="where the network is computed: cpu, cuda, or auto")
    validation_frequency: int = Field(4, ge=1, description="rounds of episodes between validations")
    checkpoint_frequency: int = Field(10, ge=1, description="rounds of episodes between checkpoints")
    seed: int = Field(0, ge=0, lt=2**32)
    output_dir: str = Field("runs", description="folder in which the run's own folder is made")
    reasons: dict[str, str] | None = Field(
        None, description="why settings are as they are, for people; `fuelbreak configure` writes it"
    )

    @field_validator("budget", mode="before")
    @classmethod
    def _not_a_truth_value(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError("give a share, a number or a text such as 5%")
        return value


BEGAN_WITH = "start.safetensors"  # the agent that a training goes on from, kept to be judged beside what it became
SHARPNESS = 30.0  # of the teacher's loss, see DQNConfig; the pretrained agent's


def make_config(settings: dict[str, Any], source: str = "configuration") -> TrainConfig:
    """Check settings: an unknown or impossible key is refused with the key, the reason and the nearest valid name."""
    config = make_problem(TrainConfig, settings, source, {})
    if config.memory_simulations > config.fire_bank_size:
        raise InputError(
            f"{source}: memory_simulations = {config.memory_simulations}: the bank holds "
            f"fire_bank_size = {config.fire_bank_size} fires; give no more than that"
        )
    return config


def load_config(path: str | Path) -> dict[str, Any]:
    """The settings in a JSON file, unchecked."""
    path = Path(path)
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot read the configuration ({error.strerror}); give a JSON file") from error
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error}); mend it there") from error
    if not isinstance(settings, dict):
        raise InputError(f"{path}: the configuration must be a JSON object of keys and values")
    return settings


@dataclass(frozen=True, eq=False)
class TrainResult:
    """What a run ends with; its folder holds config.json, metrics.csv, checkpoint.pt and agent.pt."""

    folder: Path
    landscape: Landscape
    plan: Plan
    scores: Scores
    heldout: Fires
    core_use: parallel.CoreUse
    steps_per_second: float
    fires_per_second: float
    network_s: float  # CPU time of the network while it was trained


def check_torch() -> None:
    """Refuse what learns where the learner is not installed, before any work."""
    try:
        found = find_spec("torch") is not None
    except ImportError:
        found = False
    if not found:
        raise InputError("a trained agent needs torch, which is not installed; run: pip install 'fuelbreak[learn]'")


class Interrupted(Exception):
    """The run was stopped by its user; the checkpoint is written. Its folder, and the command that goes on."""

    def __init__(self, folder: Path, go_on: str | None = None) -> None:
        super().__init__(folder)
        self.go_on = f"fuelbreak train --resume {folder}" if go_on is None else go_on


@contextmanager
def stop_flag() -> Iterator[list[bool]]:
    """A flag that Ctrl-C and SIGTERM raise instead of breaking off in the middle of a step."""
    flag: list[bool] = []
    kept = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(ValueError):  # outside the main thread: whoever owns it decides
            kept[number] = signal.signal(number, lambda *_: flag.append(True))
    try:
        yield flag
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


METRICS = (
    "round",
    "episodes",
    "steps",
    "updates",
    "seconds",
    "loss_avoided_train",
    "loss_avoided_validation",
    "td_error",
    "taught_loss",
    "epsilon",
    "steps_per_second",
    "fires_per_second",
    "cpu_busy_share",
    "share_network",
    "share_fires",
    "share_waiting",
)


def train(config: TrainConfig, *, say: Say = lambda *_: None, resume: Path | None = None) -> TrainResult:
    """Train an agent on one landscape, let it plan, and judge its plan on held-out fires beside the rules.

    Parameters
    ----------
    config : see `TrainConfig`
    say : told of progress
    resume : run folder of an interrupted run with the same configuration; it goes on where it stopped, bit for bit

    Raises
    ------
    InputError : before anything is written
    Interrupted : Ctrl-C or SIGTERM; the checkpoint is written and `resume` goes on from it
    """
    check_torch()
    landscape = config.open()
    season = config.season(landscape, "kept")
    budget_units(landscape, config.budget)
    if landscape.crs is None:
        raise InputError(
            f"{config.landscape}: the landscape has no coordinate system, so no GIS file can be written; "
            "give one with --crs, such as --crs EPSG:32611"
        )
    check_draw(max(config.planning_simulations, config.validation_simulations, config.heldout_simulations))
    check_output_folder(Path(config.output_dir))
    for note in (*landscape.notes, *season.notes):
        say("prepare", 0.0, f"note: {note}")
    say("prepare", 0.0, "compiling fire kernels (once for this machine and version; later runs load them)")
    warm_up()
    say("prepare", 0.5, "loading the learner (torch)")
    from fuelbreak.agents.dqn import DQN, write_snapshot
    from fuelbreak.agents.replay import Batch, windows

    duration = config.fire_simulation_max_duration
    n_envs = config.num_parallel_envs
    planning = Fires.draw(landscape, config.planning_simulations, config.seed, weather=season, duration_min=duration)
    validation = Fires.draw(
        landscape,
        config.validation_simulations,
        config.seed,
        purpose="validate",
        weather=season,
        duration_min=duration,
    )
    with ExitStack() as on_leaving:
        stop = on_leaving.enter_context(stop_flag())
        env = _environments(config, landscape, season)
        on_leaving.callback(env.close)
        threads = parallel.checked_workers(config.torch_threads)
        agent, replay = _learner(config, env, threads)
        on_leaving.callback(lambda: agent.close())
        rng = np.random.default_rng([config.seed, 1])
        rounds = -(-config.num_episodes // n_envs)
        lessons = config.demonstration_episodes
        at = _Position(-lessons, np.empty((0, n_envs), np.int64), -np.inf, 0.0)
        folder = _run_folder(config) if resume is None else resume

        judge = Fields(landscape, validation.weather)
        untreated = spread(landscape, validation, fields=judge).mean_loss

        def validate(weights: DQN) -> float:
            plan = agent_plan(landscape, planning, config.budget, network=weights)
            return 1 - spread(landscape, validation, plan, fields=judge).mean_loss / max(untreated, 1e-12)

        # Beside training, on copies: validations and periodic checkpoints, one after the other.
        aside = on_leaving.enter_context(ThreadPoolExecutor(1, "aside"))
        validating: tuple[list[DQN], list[Future[float]], list[float] | None] | None = None
        writing: Future[None] | None = None

        learning: tuple[int, Batch, Gradient] | None = None  # the update under way: since which step, on what
        if resume is not None:
            agent.close()
            agent, saved = DQN.load(folder / "checkpoint.pt", threads=threads, device=config.device)
            replay.load_state_dict(saved["replay"])
            rng.bit_generator.state = json.loads(saved["rng"])
            at = _Position(**saved["at"])
            if saved["learning"] is not None:
                since, *batch = saved["learning"]
                learning = since, Batch._make(batch), agent.begin_update(Batch._make(batch))
        else:
            at = at._replace(best=validate(agent))  # from nothing it plays sequential DPV; training must beat it
            agent.save(folder / "agent.pt")
            if config.start is not None:
                agent.save_weights(folder / BEGAN_WITH)
        began, seconds_before, validated = time.perf_counter(), at.seconds, at.best

        def consider(row: list[float] | None = None) -> None:
            """Begin to validate the weights as they are and their moving average, for a row of metrics that waits."""
            nonlocal validating
            # The average wanders less, the weights themselves are ahead of it: now this, now that is better.
            candidates = [DQN.of(agent.snapshot()), agent.averaged()]
            validating = candidates, [aside.submit(validate, weights) for weights in candidates], row

        def settle() -> None:
            """Wait for the validation under way, keep its weights if they are the best, write its row of metrics."""
            nonlocal at, validated, validating
            if validating is None:
                return
            candidates, futures, row = validating
            scores = [score.result() for score in futures]
            validated, validating = max(scores), None
            if validated > at.best:
                at = at._replace(best=validated)
                candidates[scores.index(validated)].save(folder / "agent.pt")
            for weights in candidates:
                weights.close()
            if row is not None:
                row[METRICS.index("loss_avoided_validation")] = validated
                write_metrics(folder, METRICS, row)

        def leave(history: Sequence[npt.NDArray[np.int64]], dice: Mapping[str, Any], *, go_on: bool = False) -> None:
            """Write all that a resumed run needs: weights, replay, dice, the update under way, the round's units."""
            nonlocal writing
            settle()
            now = at._replace(
                placed=np.array(history, np.int64).reshape(-1, n_envs),
                seconds=seconds_before + time.perf_counter() - began,
            )
            extra = {
                "replay": replay.state_dict(),
                "rng": json.dumps(dice),
                "at": now._asdict(),
                "learning": None if learning is None else [learning[0], *learning[1]],
            }
            if writing is not None:
                writing.result()
            writing = aside.submit(write_snapshot, folder / "checkpoint.pt", agent.snapshot(extra))
            if not go_on:
                writing.result()

        def look(obs: npt.NDArray[np.float32], info: dict[str, Any], step: int) -> tuple[Any, Any]:
            """What the network sees after so many steps, and what is allowed."""
            mask = info["action_mask"].astype(bool)
            return sight(obs, mask, np.full(n_envs, env.budget - step)), mask

        def begin(seed: int) -> tuple[npt.NDArray[np.float32], dict[str, Any], list[tuple[Any, Any, Any, Any]]]:
            """Start a round; one that was interrupted is played again up to where it stopped."""
            seen = []
            with _leaving_if_lost(folder, lambda: leave(list(at.placed), rng.bit_generator.state)):
                obs, info = env.reset(seed=seed)
                for step, actions in enumerate(at.placed):
                    planes, mask = look(obs, info, step)
                    obs, reward, _, _, info = env.step(actions)
                    seen.append((planes, mask, actions, reward))
            return obs, info, seen

        # Demonstrations: what a long search finds on fires like those, shown in many states.
        while at.round < 0:
            i = at.round + lessons
            say("demonstrate", i / lessons, f"a long search makes plan {i + 1} of {lessons} to learn from")
            world = World(landscape, season, duration, config.budget, config.seed * 10**6 + 1 + 2 * i)
            lesson = make_lesson(
                world,
                config.n_step,
                gamma=config.gamma,
                taught_on=config.planning_simulations,
                seen_by=(config.memory_simulations,),
            )[0]
            replay.add(lesson, land=0 if i else None, is_demo=True)
            at = at._replace(round=at.round + 1)
            if stop:
                leave([], rng.bit_generator.state)
                raise Interrupted(folder)
        for i in range(agent.updates, config.pretrain_steps if lessons else 0):
            say("pretrain", i / config.pretrain_steps, "learning from demonstrations")
            agent.update(replay.sample(config.batch_size, rng, demo_fraction=1.0))
            if stop:
                leave([], rng.bit_generator.state)
                raise Interrupted(folder)
        if lessons and at.round == 0 and agent.updates == config.pretrain_steps and learning is None:
            say("pretrain", 1.0, "validating what demonstrations taught")
            consider()
            settle()
        cores = parallel.CoreMonitor()
        on_leaving.callback(cores.close)
        watch_began, network_before, steps_done = time.perf_counter(), agent.cpu_s, 0
        learned: Learned | None = None
        land = 0 if lessons else None
        avoided, use, network_s = 0.0, cores.use(), 0.0
        while at.round < rounds:
            current, history = at.round, list(at.placed)
            epsilon = max(config.epsilon_min, config.initial_epsilon * config.epsilon_decay**current)
            obs, info, seen = begin(config.seed * 10**6 + 500_000 + current * n_envs)
            for step in range(len(history), env.budget):
                planes, mask = look(obs, info, step)
                # The learner works while the agent acts and the fires burn. Acting uses the weights from before the
                # update under way, and no batch holds a step taken since, so timing never changes a result.
                if step % config.train_frequency == 0 and len(replay) and not (learning and learning[0] == step):
                    batch = replay.sample(config.batch_size, rng, demo_fraction=config.demo_fraction)
                    if learning is not None:
                        learned = agent.finish_update(learning[2])
                        replay.learned(learning[1].place, learned.td_errors)
                    learning = step, batch, agent.begin_update(batch)
                dice = rng.bit_generator.state
                actions = agent.act(planes, mask, epsilon, rng)
                with _leaving_if_lost(folder, lambda: leave(history, dice)):  # noqa: B023
                    obs, reward, _, _, info = env.step(actions)
                seen.append((planes, mask, actions, reward))
                history.append(actions)
                steps_done += 1
                if step % 10 == 0:
                    seconds, use = time.perf_counter() - watch_began, cores.use()
                    say(
                        "train",
                        (current + step / env.budget) / rounds,
                        f"loss avoided {avoided:.1%} in the last round, {at.best:.1%} validated at best; "
                        f"{steps_done * n_envs / seconds:.0f} steps/s, "
                        f"{steps_done * n_envs * config.memory_simulations / seconds:,.0f} fires/s"
                        # Clocks tick in hundredths of a second.
                        + (f"; {bottleneck(use, agent.cpu_s - network_before)}" if use.seconds >= 1 else ""),
                    )
                if step + 1 == env.budget and learning is not None:
                    learned = agent.finish_update(learning[2])
                    replay.learned(learning[1].place, learned.td_errors)
                    learning = None
                if stop:
                    leave(history, rng.bit_generator.state)
                    raise Interrupted(folder)
            for episode in windows(*zip(*seen, strict=True), n_step=config.n_step, gamma=config.gamma):
                land = replay.add(episode, land=land)
            at, avoided = at._replace(round=current + 1, placed=at.placed[:0]), float(info["loss_avoided"].mean())
            settle()
            # What is told of the cores in the end ends here too: before the last validation and checkpoint.
            seconds, use, network_s = time.perf_counter() - watch_began, cores.use(), agent.cpu_s - network_before
            row = [
                current,
                (current + 1) * n_envs,
                (current + 1) * n_envs * env.budget,
                agent.updates,
                round(seconds_before + time.perf_counter() - began, 2),
                avoided,
                validated,
                np.nan if learned is None else learned.td_error,
                np.nan if learned is None else learned.taught_loss,
                epsilon,
                steps_done * n_envs / seconds,
                steps_done * n_envs * config.memory_simulations / seconds,
                use.busy_share,
                *cpu_shares(use, network_s),
            ]
            if (current + 1) % config.validation_frequency == 0 or current + 1 == rounds:
                consider(row)
            else:
                write_metrics(folder, METRICS, row)
            if (current + 1) % config.checkpoint_frequency == 0 or current + 1 == rounds:
                leave([], rng.bit_generator.state, go_on=current + 1 < rounds)
    seconds = max(use.seconds, 1e-9)
    try:
        plan, scores, heldout = _judged(config, folder, landscape, season, planning, validation, say)
    except KeyboardInterrupt:  # the last checkpoint is that of the whole training
        raise Interrupted(folder) from None
    return TrainResult(
        folder,
        landscape,
        plan,
        scores,
        heldout,
        use,
        steps_done * n_envs / seconds,
        steps_done * n_envs * config.memory_simulations / seconds,
        network_s,
    )


def _environments(config: TrainConfig, landscape: Landscape, season: Season) -> VectorizedFireEnv:
    return VectorizedFireEnv(
        config.num_parallel_envs,
        config.parallel_method,
        config.max_workers,
        landscape,
        weather=season,
        num_simulations=config.memory_simulations,
        max_duration=config.fire_simulation_max_duration,
        budget=config.budget,
        bank_size=config.fire_bank_size,
        fires_seed=config.seed,
        simulation_workers=config.simulation_workers,
        ray_address=config.ray_address,
    )


def _learner(config: TrainConfig, env: VectorizedFireEnv, threads: int) -> tuple[DQN, Replay]:
    """An agent, untrained or the one to go on from, and an empty memory for these environments."""
    from fuelbreak.agents.dqn import DQN, DQNConfig
    from fuelbreak.agents.replay import Replay, Symmetry

    learner = DQNConfig(
        learning_rate=config.learning_rate,
        gamma=config.gamma,
        n_step=config.n_step,
        batch_size=config.batch_size,
        target_tau=config.target_tau,
        td_weight=config.td_weight,
        demo_fraction=config.demo_fraction,
        margin_weight=0.0,
        taught_weight=config.margin_weight,
        sharpness=SHARPNESS,
        width=config.network_width,
    )
    begun = None if config.start is None else load_agent(config.start)
    if begun is not None and begun.prior_channel != PRIOR:
        raise InputError(f"start: {config.start} does not see the downstream value; give an agent that does")
    if begun is not None and begun.config.width != config.network_width:
        raise InputError(
            f"network_width = {config.network_width}: the agent to go on from ({config.start}) is "
            f"{begun.config.width} wide; give that width, or learn from nothing (start null, --from nothing)"
        )
    agent = DQN(len(SIGHT), learner, prior_channel=PRIOR, seed=config.seed, threads=threads, device=config.device)
    if begun is not None:
        agent.take_weights(begun)
    return agent, Replay(config.buffer_size, fixed=FIXED, symmetry=Symmetry(VECTORS, SIDES))


class Speed(NamedTuple):
    """How fast a configuration trains."""

    steps_per_second: float
    network: float  # shares of the cores' time, see `cpu_shares`
    fires: float
    waiting: float
    peak_memory_mb: float


def training_speed(config: TrainConfig, landscape: Landscape, season: Season, seconds: float) -> Speed:
    """Train for some seconds as `train` does between two validations, and forget what was learned."""
    from fuelbreak.agents.replay import windows

    with ExitStack() as on_leaving:
        env = _environments(config, landscape, season)
        on_leaving.callback(env.close)
        agent, replay = _learner(config, env, parallel.checked_workers(config.torch_threads))
        on_leaving.callback(agent.close)
        rng, learning, land, seen = np.random.default_rng(0), None, None, list[Any]()
        obs, info = env.reset(seed=0)
        cores = parallel.CoreMonitor()
        on_leaving.callback(cores.close)
        # What is measured begins once there is enough to learn from.
        warm, step, since, began, network_before = config.n_step + 1, 0, 0, 0.0, 0.0
        while step <= warm or time.perf_counter() - began < seconds:
            if step == warm:
                if learning is not None:  # so that no part of an update falls out of what is measured
                    agent.finish_update(learning)
                    learning = None
                cores.restart()
                began, network_before = time.perf_counter(), agent.cpu_s
            mask = info["action_mask"].astype(bool)
            planes = sight(obs, mask, np.full(env.num_envs, env.budget - since))
            if step % config.train_frequency == 0 and len(replay):
                batch = replay.sample(config.batch_size, rng)
                if learning is not None:
                    agent.finish_update(learning)
                learning = agent.begin_update(batch)
            actions = agent.act(planes, mask, config.initial_epsilon, rng)
            obs, reward, _, _, info = env.step(actions)
            seen.append((planes, mask, actions, reward))
            step, since = step + 1, since + 1
            if since == env.budget or step == warm:
                for episode in windows(*zip(*seen, strict=True), n_step=config.n_step, gamma=config.gamma):
                    land = replay.add(episode, land=land)
                seen = []
            if since == env.budget:
                obs, info = env.reset()
                since = 0
        if learning is not None:
            agent.finish_update(learning)
        use, rate = cores.use(), (step - warm) * env.num_envs / (time.perf_counter() - began)
        return Speed(rate, *cpu_shares(use, agent.cpu_s - network_before), use.peak_memory_mb)


def _judged(
    config: TrainConfig,
    folder: Path,
    landscape: Landscape,
    season: Season,
    planning: Fires,
    validation: Fires,
    say: Say,
) -> tuple[Plan, Scores, Fires]:
    """Plan with the best weights, by the agent it went on from and by every rule, and judge all on held-out fires."""
    say("judge", 0.0, "planning with the best weights and with every rule, judging on held-out fires")
    agent = load_agent(folder)
    plan = agent_plan(landscape, planning, config.budget, network=agent)
    agent.close()
    # The weights were chosen on the validation fires, so those must not judge the plan either.
    plan = replace(plan, chosen_on=(*plan.chosen_on, validation.digest, validation.origin))
    plans = {"agent": plan}
    if (folder / BEGAN_WITH).is_file():
        before = load_agent(folder / BEGAN_WITH)
        plans["agent before"] = agent_plan(landscape, planning, config.budget, network=before)
        before.close()
    for name in planners.RULES:
        plans[name] = planners.planner(name)(landscape, planning, config.budget, seed=config.seed)
    heldout = Fires.draw(
        landscape,
        config.heldout_simulations,
        config.seed,
        purpose="heldout",
        weather=season,
        duration_min=config.fire_simulation_max_duration,
    )
    say("judge", 0.0, f"on {config.heldout_simulations} held-out fires")
    return plan, evaluate(plans, landscape, heldout, training=planning), heldout


class _Position(NamedTuple):
    """Where a run stands; what `resume` goes on from."""

    round: int  # of episodes; below 0 those that are demonstrated
    placed: npt.NDArray[np.int64]  # (steps, E) units of the round under way
    best: float  # validated so far
    seconds: float  # spent so far


@contextmanager
def _leaving_if_lost(folder: Path, leave: Callable[[], None]) -> Iterator[None]:
    """Write the checkpoint before a worker that cannot be replaced ends the run."""
    try:
        yield
    except parallel.WorkerLost as lost:
        leave()
        raise parallel.WorkerLost(f"{lost}; go on with: fuelbreak train --resume {folder}") from None


def cpu_shares(use: parallel.CoreUse, network_s: float) -> tuple[float, float, float]:
    """How the cores' time was spent: on the network, on fires and the rest of the run, on waiting; adds up to 1."""
    free = use.process_cpu_s / use.busy_share if use.busy_share else 1.0
    network = min(network_s / free, 1.0)
    fires = max(use.busy_share - network, 0.0)
    return network, fires, max(1.0 - network - fires, 0.0)


def bottleneck(use: parallel.CoreUse, network_s: float) -> str:
    """Say in a line what training waits for, and which setting would change that."""
    network, fires, waiting = cpu_shares(use, network_s)
    shares = f"cores: network {network:.0%}, fires {fires:.0%}, waiting {waiting:.0%}"
    if waiting > max(network, fires):
        return f"{shares}: they wait for each other; raise num_parallel_envs or memory_simulations"
    if fires > network:
        return f"{shares}: fires take most; lower memory_simulations or the duration for faster steps"
    return f"{shares}: the network takes most, more fires would cost little; raise train_frequency for faster steps"


def _run_folder(config: TrainConfig) -> Path:
    """A new folder for the run with its resolved configuration; an existing run is never written over."""
    parent = Path(config.output_dir)
    check_output_folder(parent)
    stem = time.strftime("train-%Y%m%d-%H%M%S")
    for suffix in ("", *(f"-{i}" for i in range(2, 100))):
        folder = parent / f"{stem}{suffix}"
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        write_resolved(folder, config.model_dump(mode="json"))
        return folder
    raise InputError(f"{parent}: a hundred runs were started here this second; wait a moment")


def write_resolved(folder: Path, settings: dict[str, Any]) -> None:
    """Write config.json: every setting as it was resolved, with the versions that ran it."""
    versions = {"python": platform.python_version()}
    for name in ("fuelbreak", "numpy", "numba", "gymnasium", "torch"):
        with suppress(PackageNotFoundError):  # torch is an extra
            versions[name] = version(name)
    text = json.dumps({"settings": settings, "versions": versions}, indent=2)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")


def resumed_config(folder: Path) -> TrainConfig:
    """The configuration of an earlier run, to go on with it."""
    settings = load_config(folder / "config.json").get("settings")
    if not isinstance(settings, dict):
        raise InputError(f"{folder}: its config.json is not that of a run; give the folder of an interrupted run")
    if not (folder / "checkpoint.pt").is_file():
        raise InputError(f"{folder}: no checkpoint.pt was written there yet; start the run anew")
    return make_config(settings, str(folder / "config.json"))


def write_metrics(folder: Path, names: Sequence[str], row: Sequence[float]) -> None:
    """Add a row to metrics.csv, below its names."""
    path = folder / "metrics.csv"
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(names)
        writer.writerow([f"{value:.6g}" if isinstance(value, float) else value for value in row])

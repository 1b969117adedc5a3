"""The environment: place fuel breaks one unit at a time, judged after each by the same simulated fires.

`FireEnv` is one episode (Gymnasium), `VectorizedFireEnv` many (Gymnasium's vector contract); both are thin skins over
`Episodes`, so row i of the vector is the single environment with that seed, bit for bit, by any method.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from functools import lru_cache
from multiprocessing.shared_memory import SharedMemory
from typing import Any, Literal, NamedTuple, TypeGuard

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from fuelbreak import parallel
from fuelbreak.behavior import fire_behavior
from fuelbreak.errors import InputError
from fuelbreak.generate import generated_landscape, generated_season, landscape_digest
from fuelbreak.landscape import Landscape, Plan, budget_units
from fuelbreak.scenarios import DESIGN, AnyWeather, Fires, Season, Weather, checked_bank, fire_season, mean_over
from fuelbreak.simulate import demo_landscape
from fuelbreak.spread import PLANE_NAMES, Ensemble, calibration_digest, warm_up

F4 = npt.NDArray[np.float32]
F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]
Observation = Literal["full", "raw"]

STATIC_CHANNELS = (
    "burnable",
    "value",  # over the landscape's largest
    "spread_rate",  # log(1 + mean head rate in cells per hour) / 5, over the bank of weathers
    "canopy_cover",
    "slope_east",  # how far the ground falls toward the east, -1 to 1
    "slope_north",
)
LIVE_CHANNELS = (
    "burn_probability",
    "downstream_share",  # mean value that burns through the cell over the fires' untreated loss
    "downstream_root",  # its square root, for the eye of a network
    "earliness",
    "toward_north",
    "toward_east",
    "toward_south",
    "toward_west",
)
PLAN_CHANNELS = ("treated", "budget_left")
CLOSED = "the environment is closed; make a new one"
NOT_BEGUN = "action_masks: no episode has begun; call reset first"
NOT_IN_RAW = ("downstream_share", "downstream_root")  # planes that alone rank the cells


def channel_names(obs: Observation) -> tuple[str, ...]:
    """Channels of an observation in order; `raw` leaves out the downstream protection value."""
    if obs not in ("full", "raw"):
        raise InputError(f"obs: {obs!r} is unknown; use full or raw")
    names = STATIC_CHANNELS + LIVE_CHANNELS + PLAN_CHANNELS
    return names if obs == "full" else tuple(name for name in names if name not in NOT_IN_RAW)


def unit_cells(landscape: Landscape) -> I8:
    """Flat cell of each unit: the cells of the area of interest's bounding box, row by row."""
    row, col, rows, cols = landscape.aoi_window
    flat = np.arange(landscape.shape[0] * landscape.shape[1]).reshape(landscape.shape)
    return flat[row : row + rows, col : col + cols].ravel()


def static_planes(landscape: Landscape, weathers: Sequence[Weather]) -> F4:
    """What never changes on a landscape, of its area of interest's bounding box: (channels, rows, cols) f4.

    In the order of `STATIC_CHANNELS`, each from -1 to 1.
    """
    row, col, rows, cols = landscape.aoi_window
    rates = [fire_behavior(landscape, weather).spread_rate_m_min.astype(np.float64) for weather in weathers]
    rate_cells_h = mean_over(weathers, rates) * 60 / landscape.cell_size_m
    fall = np.where(landscape.aspect_deg >= 0, np.sin(np.deg2rad(landscape.slope_deg)), 0.0)
    aspect = np.deg2rad(landscape.aspect_deg)
    planes = {
        "burnable": landscape.burnable,
        "value": landscape.value * landscape.area_of_interest / max(float(landscape.value.max()), 1e-12),
        "spread_rate": np.minimum(np.log1p(rate_cells_h) / 5, 1.0),
        "canopy_cover": landscape.canopy_cover_pct / 100,
        "slope_east": fall * np.sin(aspect),
        "slope_north": fall * np.cos(aspect),
    }
    window = (slice(row, row + rows), slice(col, col + cols))
    return np.stack([planes[name][window] for name in STATIC_CHANNELS]).astype(np.float32)


def checked_actions(actions: object, units: int, steps: I8, budget: int) -> I8:
    """One unit for each episode (E,) i8; whatever cannot be a step is refused here, before any episode takes it.

    Parameters
    ----------
    steps : units each episode has placed (E,), -1 before its first reset
    """
    if (steps < 0).any():
        raise gym.error.ResetNeeded(f"episode {np.argmax(steps < 0)} has not begun; call reset first")
    if (steps >= budget).any():
        spent = np.argmax(steps >= budget)
        raise gym.error.ResetNeeded(f"the budget of episode {spent} is spent; call reset before the next step")
    wanted = f"give one whole number from 0 to {units - 1} for each episode, {len(steps)} in all"
    try:
        given = np.asarray(actions)
    except ValueError as ragged:
        raise InputError(f"action: its rows differ in length; {wanted}") from ragged
    if given.dtype.kind not in "iu" or given.shape != steps.shape:
        raise InputError(f"action: an array of shape {given.shape} and type {given.dtype} names no units; {wanted}")
    outside = (given < 0) | (given >= units)
    if outside.any():
        row = int(np.argmax(outside))
        raise InputError(f"action: row {row} names unit {given[row]}; {wanted}")
    return given.astype(np.int64)


def _whole(seed: object) -> TypeGuard[int]:
    return isinstance(seed, int | np.integer) and not isinstance(seed, bool) and int(seed) >= 0


def _checked_seeds(seed: object, rows: int) -> list[int | None]:
    """One seed or None for each row, from one number (row i takes seed + i), None, or a list, tuple or array."""
    if isinstance(seed, np.ndarray):
        seed = seed.tolist()
    if seed is None:
        return [None] * rows
    if _whole(seed):
        return [int(seed) + i for i in range(rows)]
    seeds = seed if isinstance(seed, list | tuple) else [seed]
    for given in seeds:
        if given is not None and not _whole(given):
            shown = " ".join(repr(given).split())
            raise InputError(f"seed: {shown} is no seed; give a whole number from 0, or None for a new one")
    if len(seeds) != rows:
        raise InputError(f"seed: {len(seeds)} seeds for {rows} environments; give one for each, or one number for all")
    return [int(given) if _whole(given) else None for given in seeds]


class Dice:
    """Which fires of a bank each of E rows samples: the only draw of the environment, made beside the one who asks.

    Parameters
    ----------
    bank : fires in it
    fires : of each episode
    """

    def __init__(self, rows: int, bank: int, fires: int) -> None:
        self._generators: list[np.random.Generator | None] = [None] * rows
        self._bank, self._fires = bank, fires

    def roll(self, row: int, seed: int | None) -> I8:
        """Fires of the row's next episode (S,): a seed starts the row's own dice, None rolls them on."""
        generator = self._generators[row]
        if seed is not None or generator is None:
            generator = self._generators[row] = seeding.np_random(seed)[0]
        return np.asarray(generator.choice(self._bank, self._fires, replace=False), np.int64)


class Board(NamedTuple):
    """What is told of E episodes after a reset or a step; worker processes write their rows of it in shared memory."""

    observation: F4  # (E, channels, rows, cols)
    mask: npt.NDArray[np.int8]  # (E, units) that may be placed
    reward: F8  # (E,)
    terminated: npt.NDArray[np.bool_]  # (E,)
    loss: F8  # (E,)
    loss_avoided: F8  # (E,)
    steps: I8  # (E,) units placed, -1 before the first reset
    cells_solved: I8  # (E,) by all episodes of a worker, in its first row

    @classmethod
    def of(cls, episodes: int, shape: tuple[int, int, int], buffer: memoryview | None = None) -> Board:
        """A board for maps (channels, rows, cols), in shared memory if there is any."""
        units = shape[1] * shape[2]
        parts: dict[str, tuple[Any, tuple[int, ...]]] = {
            "observation": (np.float32, shape),
            "reward": (np.float64, ()),
            "loss": (np.float64, ()),
            "loss_avoided": (np.float64, ()),
            "steps": (np.int64, ()),
            "cells_solved": (np.int64, ()),
            "terminated": (np.bool_, ()),
            "mask": (np.int8, (units,)),
        }
        arrays, at = {}, 0
        for name, (kind, row) in parts.items():
            at = -(-at // 64) * 64
            size = episodes * int(np.prod(row, dtype=np.int64)) * np.dtype(kind).itemsize
            if buffer is None:
                arrays[name] = np.zeros((episodes, *row), kind)
            else:
                arrays[name] = np.ndarray((episodes, *row), kind, buffer, at)
            at += size
        return cls(**arrays)

    def rows(self, first: int, rows: int) -> Board:
        """Some rows of it."""
        return Board._make(field[first : first + rows] for field in self)


def _board_bytes(episodes: int, shape: tuple[int, int, int]) -> int:
    return sum(-(-field.nbytes // 64) * 64 for field in Board.of(episodes, shape))


class Episodes:
    """E episodes of the decision problem on one landscape: the dynamics, with no Gymnasium in it.

    Parameters
    ----------
    landscape : never changed
    fires : the bank of training fires; each episode samples `fires_per_episode` of it, the same for all its steps
    budget : units each episode places: share of the treatable cells, or a number
    workers : threads
    """

    def __init__(
        self,
        landscape: Landscape,
        fires: Fires,
        episodes: int,
        fires_per_episode: int,
        budget: float | str,
        obs: Observation = "full",
        workers: int = 1,
    ) -> None:
        self.landscape = landscape
        self.channels = channel_names(obs)
        self.budget = budget_units(landscape, budget)
        self.ensemble = Ensemble(
            landscape, fires, episodes=episodes, fires_per_episode=fires_per_episode, workers=workers
        )
        self._solved_before = self.ensemble.cells_solved
        row, col, rows, cols = landscape.aoi_window
        self.map_shape = (rows, cols)
        self._window = (slice(row, row + rows), slice(col, col + cols))
        self.unit_cell = unit_cells(landscape)
        self._treatable = landscape.treatable[self._window].ravel()
        self._static = static_planes(landscape, fires.weather)
        names = (*PLANE_NAMES, "downstream_share", "downstream_root")
        self._live_channels = [self.channels.index(name) if name in self.channels else -1 for name in names]
        self.treated = np.zeros((episodes, len(self.unit_cell)), bool)
        self.steps = np.full(episodes, -1)  # units placed; nothing may be placed before the first reset
        self.loss, self.first_loss, self.untreated = np.zeros(episodes), np.zeros(episodes), np.ones(episodes)

    def reset(self, rows: Sequence[int] | I8, which: Sequence[I8] | I8) -> None:
        """Start episodes `rows` anew, each on its fires `which` (S,) of the bank."""
        for row, fires in zip(rows, which, strict=True):
            self.ensemble.reset(int(row), fires)
            self.treated[row] = False
            self.steps[row] = 0
        losses = self.ensemble.losses()
        for row in rows:
            self.loss[row] = self.first_loss[row] = losses[row]
        self.untreated = np.where(self.first_loss > 0, self.first_loss, 1.0)  # what shares are taken of

    def step(self, units: I8) -> tuple[F8, npt.NDArray[np.bool_]]:
        """Place one unit in each episode, as `checked_actions` gives them; rewards (E,), whether the budget is spent.

        The reward is the share of the untreated loss that this unit avoids. A unit that cannot be placed (masked) is
        wasted: it costs budget and earns nothing.
        """
        self._place(units)
        self.steps += 1
        before, self.loss = self.loss, self.ensemble.losses()
        return (before - self.loss) / self.untreated, self.steps >= self.budget

    def replay(self, which: Sequence[I8], placed: Sequence[I8], cells_solved: int) -> None:
        """Play every episode again, to where it stood: its fires (S,), the units it placed in order, cells solved.

        A row without fires had not begun.
        """
        begun = [row for row, fires in enumerate(which) if len(fires)]
        self.reset(begun, [which[row] for row in begun])
        for step in range(max(map(len, placed))):
            self._place(np.array([units[step] if step < len(units) else -1 for units in placed]))
        self.steps[begun] = [len(placed[row]) for row in begun]
        if begun:
            self.loss = np.where(self.steps >= 0, self.ensemble.losses(), self.loss)
        self._solved_before = self.ensemble.cells_solved - cells_solved

    def _place(self, units: I8) -> None:
        """Treat one unit in each episode where that is allowed, -1 for none, and bring the fires up to date."""
        rows = np.arange(len(units))
        placed = self.action_mask()[rows, units] & (units >= 0)
        self.ensemble.treat(np.where(placed, self.unit_cell[units], -1))
        self.treated[rows[placed], units[placed]] = True

    def action_mask(self) -> npt.NDArray[np.bool_]:
        """Units that may be placed (E, units): treatable and not treated yet."""
        return self._treatable & ~self.treated

    def loss_avoided(self) -> F8:
        """Share of the untreated loss avoided so far on the episode's own fires (E,)."""
        return np.asarray(np.where(self.first_loss > 0, 1 - self.loss / self.untreated, 0.0))

    def tell(self, board: Board) -> None:
        """Write what there is to tell into a board, whose observation began as `blank`; rewards are left alone.

        Cells solved are those that episodes settled, not those of the bank's fires, which each process solves once.
        """
        self.observe(board.observation)
        board.mask[:] = self.action_mask()
        board.loss[:], board.loss_avoided[:] = self.loss, self.loss_avoided()
        board.steps[:] = self.steps
        board.cells_solved[0] = self.ensemble.cells_solved - self._solved_before

    def plan(self, row: int) -> Plan:
        """The breaks of one episode; their order is not kept here."""
        return Plan.from_flat(self.landscape, self.unit_cell[np.flatnonzero(self.treated[row])])

    def blank(self) -> F4:
        """A new observation (E, channels, rows, cols) of the area of interest, with the planes that never change."""
        out = np.zeros((len(self.steps), len(self.channels), *self.map_shape), np.float32)
        for name, plane in zip(STATIC_CHANNELS, self._static, strict=True):
            out[:, self.channels.index(name)] = plane
        return out

    def observe(self, out: F4) -> None:
        """Bring an observation from `blank` up to date."""
        corner = self._window[0].start, self._window[1].start
        self.ensemble.observe(out, self._live_channels, corner, self.untreated)
        # The last two channels, `PLAN_CHANNELS`.
        out[:, -2] = self.treated.reshape(-1, *self.map_shape)
        out[:, -1] = np.where(self.steps < 0, 0.0, 1 - self.steps / self.budget)[:, None, None]


def _bank(
    landscape: Landscape | None,
    weather: AnyWeather | None,
    num_simulations: int,
    max_duration: float,
    bank_size: int,
    fires_seed: int,
) -> tuple[Landscape, Fires]:
    """The landscape (the demo if None) and its bank of training fires."""
    if not 1 <= num_simulations <= bank_size:
        raise InputError(
            f"num_simulations: an episode cannot sample {num_simulations} of a bank of {bank_size} fires; "
            "give at least 1 and a larger bank_size"
        )
    bank = fire_season() if weather is None else weather
    if landscape is None:
        landscape = demo_landscape(50, 0, checked_bank(bank), max_duration)
    return landscape, Fires.draw(landscape, bank_size, fires_seed, weather=bank, duration_min=max_duration)


class FireEnv(gym.Env[F4, np.int64]):
    """Place fuel breaks so that simulated fires destroy less.

    Description
    -----------
    One landscape, a budget of treatment units, and S fires sampled from a bank when the episode starts; every unit is
    judged by these same fires. A fire whose ignition cell is treated still burns.

    Action Space
    ------------
    `Discrete(units)`: the cell of the area of interest (bounding box, row by row) that becomes a firebreak.
    `info["action_mask"]` (int8) and `action_masks()` (bool) say which may be placed.

    Observation Space
    -----------------
    `Box(-1, 1, (channels, rows, cols), float32)`; `channel_names(obs)` names the channels.

    Rewards
    -------
    The share of the untreated expected loss that the unit avoids; the undiscounted return is the share avoided in all.

    Starting State
    --------------
    No breaks; fires drawn from the bank by the seed given to `reset`.

    Episode End
    -----------
    Terminated when the budget is spent; never truncated.

    Arguments
    ---------
    landscape : None is the demo landscape. weather : one, a bank, a Season, or None for `fire_season()`.
    num_simulations : fires per episode, S. max_duration : minutes per fire. budget : share of the treatable cells, or a
    number of them. bank_size, fires_seed : the bank of training fires. obs : "full" or "raw".

    Version History
    ---------------
    v0: first version. `FROZEN` says what the registered ids are; a change of a world, of the calibration of fire
    spread, or of a golden return (tests/test_golden.py) makes v1.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012  Gymnasium's own name and form

    def __init__(
        self,
        landscape: Landscape | None = None,
        *,
        weather: AnyWeather | None = None,
        num_simulations: int = 50,
        max_duration: float = 60.0,
        budget: float | str = 0.05,
        bank_size: int = 2000,
        fires_seed: int = 0,
        obs: Observation = "full",
        render_mode: str | None = None,
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise InputError(f"render_mode: {render_mode!r} is unknown; use rgb_array")
        self.render_mode = render_mode
        landscape, fires = _bank(landscape, weather, num_simulations, max_duration, bank_size, fires_seed)
        self.landscape = landscape
        self._live: Episodes | None = Episodes(landscape, fires, 1, num_simulations, budget, obs)
        self._dice = Dice(1, len(fires), num_simulations)
        self.observation_space, self.action_space = _spaces(self._live.channels, self._live.map_shape)

    @property
    def _episodes(self) -> Episodes:
        if self._live is None:
            raise gym.error.ClosedEnvironmentError(CLOSED)
        return self._live

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[F4, dict[str, Any]]:
        """Start an episode on freshly sampled fires; a seed makes it repeatable."""
        episodes, seeds = self._episodes, _checked_seeds([seed], 1)
        super().reset(seed=seeds[0])
        episodes.reset([0], [self._dice.roll(0, seeds[0])])
        return self._observation(), self._info()

    def step(self, action: np.int64 | int) -> tuple[F4, float, bool, bool, dict[str, Any]]:
        """Place one unit: observation, reward, terminated, truncated, info."""
        episodes = self._episodes
        units = checked_actions([action], len(episodes.unit_cell), episodes.steps, episodes.budget)
        reward, terminated = episodes.step(units)
        return self._observation(), float(reward[0]), bool(terminated[0]), False, self._info()

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """Units that may be placed now (units,) bool."""
        if self._episodes.steps[0] < 0:
            raise InputError(NOT_BEGUN)
        return np.asarray(self._episodes.action_mask()[0])

    def render(self) -> npt.NDArray[np.uint8] | None:
        """The map as an image (H, W, 3) uint8: burn probability in red over fuels in green, breaks in black."""
        if self.render_mode is None:
            return None
        names = self._episodes.channels
        obs = self._observation()
        burnable, rate = obs[names.index("burnable")], obs[names.index("spread_rate")]
        burned, treated = obs[names.index("burn_probability")], obs[names.index("treated")]
        heat = np.clip(burned / max(float(burned.max()), 1e-6), 0, 1)
        green = np.where(burnable > 0, 0.45 + 0.4 * rate, 0.6)
        image = np.stack([np.where(burnable > 0, 0.3, 0.6), green, np.where(burnable > 0, 0.25, 0.65)], axis=-1)
        image = image * (1 - 0.85 * heat[..., None]) + np.array([0.85, 0.15, 0.05]) * 0.85 * heat[..., None]
        image[treated > 0] = 0.0
        scale = max(1, 400 // max(image.shape[:2]))
        return np.asarray(np.kron(np.rint(image * 255), np.ones((scale, scale, 1)))).astype(np.uint8)

    def close(self) -> None:
        """Give the fires' memory back; nothing can be asked of the environment afterward."""
        self._live = None
        super().close()

    def _observation(self) -> F4:
        out = self._episodes.blank()
        self._episodes.observe(out)
        return np.asarray(out[0])

    def _info(self) -> dict[str, Any]:
        return {
            "action_mask": self._episodes.action_mask()[0].astype(np.int8),
            "loss": float(self._episodes.loss[0]),
            "loss_avoided": float(self._episodes.loss_avoided()[0]),
        }


def _spaces(channels: Sequence[str], shape: tuple[int, int]) -> tuple[gym.Space[F4], gym.spaces.Discrete]:
    box: gym.Space[Any] = gym.spaces.Box(-1.0, 1.0, (len(channels), *shape), np.float32)
    return box, gym.spaces.Discrete(shape[0] * shape[1])


def settled_workers(
    method: str, rows: int, fires: int, cores: int, max_workers: int | None, simulation_workers: int | None
) -> tuple[int, int]:
    """How many workers own rows (1: all rows stay in this process), and how many threads burn fires in each.

    rows, fires : environments, and fires of each
    cores : to share; more workers than that are settled on only if asked for, with a warning
    """
    most = cores if max_workers is None else max_workers
    if method == "sequential":
        return 1, 1
    if method == "threading":
        workers, threads = 1, min(most, rows * fires)
    else:
        workers = min(most, rows)
        threads = min(parallel.nested_workers(), max(1, cores // workers))
        threads = threads if simulation_workers is None else min(simulation_workers, rows * fires)
    if workers * threads > cores:
        told = f"{workers} workers x {threads} threads" if method != "threading" else f"{threads} threads"
        of = f"{cores} cores" if cores > 1 else "one core"
        warnings.warn(f"{method}: {told} share {of}; fewer would be as fast", RuntimeWarning, stacklevel=3)
    return workers, threads


class _Share:
    """What a worker owns: some rows of a vector environment. What it tells goes to shared memory, or is sent."""

    def __init__(
        self,
        landscape: Landscape,
        fires: Fires,
        settings: tuple[Any, ...],
        first: int,
        rows: int,
        board: Board | tuple[str, int] | None,
    ) -> None:
        self._episodes = Episodes(landscape, fires, rows, *settings)
        blank = self._episodes.blank()
        self._sends = board is None
        if board is None:
            first, board = 0, Board.of(rows, blank.shape[1:])
        elif not isinstance(board, Board):
            self._memory = SharedMemory(board[0])
            board = Board.of(board[1], blank.shape[1:], self._memory.buf)
        self._board = board.rows(first, rows)
        self._board.observation[:] = blank

    def reset(self, rows: list[int], which: list[I8]) -> Board | None:
        self._episodes.reset(rows, which)
        return self._told()

    def step(self, units: list[int]) -> Board | None:  # a list: it crosses at half the cost of an array
        self._board.reward[:], self._board.terminated[:] = self._episodes.step(np.array(units))
        return self._told()

    def replay(self, which: list[I8], placed: list[I8], cells_solved: int) -> None:
        self._episodes.replay(which, placed, cells_solved)

    def _told(self) -> Board | None:
        self._episodes.tell(self._board)
        return self._board if self._sends else None


class VectorizedFireEnv(gym.vector.VectorEnv[F4, I8, npt.NDArray[Any]]):
    """Many episodes at once: Gymnasium's vector environment, all rows ending together.

    Parameters
    ----------
    num_envs : rows, E
    method : "multiprocessing" (each worker process, of which this one is the first, owns some rows; what they tell
        comes back through shared memory, only actions cross), "threading" (compiled kernels on one flat list of E x S
        fires), "ray" (actors of a cluster own the rows), "sequential" (one core; what the others are held to)
    max_workers : threads, processes or actors; every available core if None, but never more threads than there are
        fires (E x S), nor more processes or actors than rows; "sequential" has one
    simulation_workers : threads that burn fires inside each process or actor; if None a quarter of the cores, or less
        where the processes leave less. More processes x threads than cores are run if they are asked for, with a
        warning.
    ray_address : of the cluster to join, host:port or "auto"; None starts one on this machine
    landscape ... obs : as in `FireEnv`; row i of `reset(seed=s)` is `FireEnv` with seed s + i, bit for bit

    Rows are not reset by themselves (`AutoresetMode.DISABLED`): an episode has a fixed length, so all end together and
    one `reset` starts them all; `options={"reset_mask": ...}` starts some. A call that is refused changes no row.
    A worker that dies is replaced, with a warning, and plays its episodes again from their fires and units; nothing of
    the result changes. If the new one dies too before its answer, `parallel.WorkerLost` is raised.
    `cells_solved` counts the cells settled by episodes so far, the same by any method: not those of the bank.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012  Gymnasium's own form

    def __init__(
        self,
        num_envs: int = 4,
        method: str = "multiprocessing",
        max_workers: int | None = None,
        landscape: Landscape | None = None,
        *,
        weather: AnyWeather | None = None,
        num_simulations: int = 50,
        max_duration: float = 60.0,
        budget: float | str = 0.05,
        bank_size: int = 2000,
        fires_seed: int = 0,
        obs: Observation = "full",
        simulation_workers: int | None = None,
        ray_address: str | None = None,
    ) -> None:
        if num_envs < 1:
            raise InputError(f"num_envs: {num_envs} environments cannot be run; give at least 1")
        self.num_envs, self.method = num_envs, parallel.checked_method(method)
        landscape, fires = _bank(landscape, weather, num_simulations, max_duration, bank_size, fires_seed)
        self.landscape, self.fires_per_episode = landscape, num_simulations
        self.channels, self.budget = channel_names(obs), budget_units(landscape, budget)
        self.map_shape, self.unit_cell = landscape.aoi_window[2:], unit_cells(landscape)
        self.single_observation_space, self.single_action_space = _spaces(self.channels, self.map_shape)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._dice = Dice(num_envs, len(fires), num_simulations)
        for asked in (max_workers, simulation_workers):
            if asked is not None:
                parallel.checked_workers(asked)
        ray = parallel.join_ray(ray_address) if method == "ray" else None
        self._leave = parallel.leave_ray if ray is not None else lambda: None
        cores = parallel.available_cores() if ray is None else parallel.ray_cores(ray)
        shares = settled_workers(method, num_envs, num_simulations, cores, max_workers, simulation_workers)
        self.workers, self.threads = shares
        self._rows = np.array_split(np.arange(num_envs), self.workers)
        self._pending: I8 | None = None  # actions of a step that has begun
        # What it takes to play every row again, for workers that die: its fires, the units it placed, and what was told
        # of it last. Not the board's: a worker may have died after it wrote there.
        self._which: list[I8] = [np.empty(0, np.int64)] * num_envs
        self._placed = np.zeros((num_envs, self.budget), np.int64)
        self._steps, self._solved = np.full(num_envs, -1), np.zeros(num_envs, np.int64)
        shape = len(self.channels), *self.map_shape
        self._memory: SharedMemory | None = None
        # The kernels' cache is filled once on each machine, before the workers look for them there.
        if ray is not None:
            parallel.on_each_machine(ray, warm_up)
        elif self.workers > 1:
            warm_up()
            self._memory = SharedMemory(create=True, size=_board_bytes(num_envs, shape))
        buffer = None if self._memory is None else self._memory.buf
        self._board = Board.of(num_envs, shape, buffer)
        # Where each worker tells: this process on the board, others in its memory; what is far away is sent.
        boards: list[Any] = [None if self._memory is None else (self._memory.name, num_envs)] * self.workers
        if ray is None:
            boards[0] = self._board
        self._workers: parallel.Workers | None = None
        try:
            self._workers = parallel.Workers(
                _Share,
                [(int(rows[0]), len(rows), board) for rows, board in zip(self._rows, boards, strict=True)],
                (landscape, fires, (num_simulations, budget, obs, self.threads)),
                restore=self._restore,
                here=ray is None,
                ray=ray,
                cores=min(self.threads, cores / self.workers),
            )
        except BaseException:
            self.close_extras()
            raise

    def _restore(self, worker: int) -> list[tuple[str, tuple[Any, ...]]]:
        rows = self._rows[worker]
        placed = [self._placed[row, : max(0, self._steps[row])] for row in rows]
        return [("replay", ([self._which[row] for row in rows], placed, int(self._solved[rows[0]])))]

    @property
    def cells_solved(self) -> int:
        """Cells settled by all episodes so far, those of the bank left out."""
        return int(self._solved.sum())

    @property
    def pids(self) -> list[int]:
        """Ids of the workers' processes other than this one."""
        return [] if self._workers is None else self._workers.pids

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[F4, dict[str, Any]]:
        """Start every row, or those in `options["reset_mask"]` (E,) bool, on freshly sampled fires.

        `seed` is one number (row i takes seed + i) or a list, tuple or array of one seed or None for each row.
        """
        self._check_idle("reset")
        seeds = _checked_seeds(seed, self.num_envs)
        mask = np.asarray((options or {}).get("reset_mask", np.ones(self.num_envs, bool)))
        if mask.dtype != bool or mask.shape != (self.num_envs,):
            raise InputError(
                f"reset_mask: an array of shape {mask.shape} and type {mask.dtype} chooses no rows; "
                f"give True or False for each of {self.num_envs} environments"
            )
        which = {int(row): self._dice.roll(int(row), seeds[row]) for row in np.flatnonzero(mask)}
        chosen = [[int(row) for row in rows if mask[row]] for rows in self._rows]
        calls = [
            ([row - int(rows[0]) for row in some], [which[row] for row in some])
            for rows, some in zip(self._rows, chosen, strict=True)
        ]
        self._gather(self._open_workers.call("reset", calls))
        for row, fires in which.items():
            self._which[row] = fires
        return self._told()

    def step_async(self, actions: I8) -> None:
        """Begin a step; `step_wait` returns it. Workers burn their fires meanwhile, other methods wait."""
        self._check_idle("step_async")
        checked = checked_actions(actions, len(self.unit_cell), self._steps, self.budget)
        self._open_workers.send("step", [(checked[rows].tolist(),) for rows in self._rows])
        self._pending = checked

    def step_wait(self) -> tuple[F4, F8, npt.NDArray[np.bool_], npt.NDArray[np.bool_], dict[str, Any]]:
        """Finish the step begun by `step_async`: observations, rewards, terminated, truncated, info."""
        workers = self._open_workers
        if self._pending is None:
            raise gym.error.NoAsyncCallError("no step has begun; call step_async before step_wait", "step_wait")
        actions, self._pending = self._pending, None
        self._gather(workers.receive())
        board = self._board
        self._placed[np.arange(self.num_envs), self._steps] = actions
        obs, info = self._told()
        return obs, board.reward.copy(), board.terminated.copy(), np.zeros(self.num_envs, bool), info

    def step(self, actions: I8) -> tuple[F4, F8, npt.NDArray[np.bool_], npt.NDArray[np.bool_], dict[str, Any]]:
        """Place one unit in every row."""
        self.step_async(actions)
        return self.step_wait()

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """Units that may be placed now (E, units) bool."""
        assert self._open_workers
        if (self._steps < 0).all():
            raise InputError(NOT_BEGUN)
        return self._board.mask.astype(bool)

    @property
    def _open_workers(self) -> parallel.Workers:
        if self._workers is None:
            raise gym.error.ClosedEnvironmentError(CLOSED)
        return self._workers

    def _check_idle(self, call: str) -> None:
        assert self._open_workers
        if self._pending is not None:
            raise gym.error.AlreadyPendingCallError(f"{call}: a step has begun; call step_wait first", "step")

    def _gather(self, boards: list[Board | None]) -> None:
        """Take over what workers sent that share no memory with us."""
        for rows, board in zip(self._rows, boards, strict=True):
            if board is not None:
                for name in Board._fields:
                    getattr(self._board, name)[rows] = getattr(board, name)

    def _told(self) -> tuple[F4, dict[str, Any]]:
        """Observations, and Gymnasium's info: an array a key and, under the key with an underscore, who has it."""
        board, everyone = self._board, np.ones(self.num_envs, bool)
        self._steps, self._solved = board.steps.copy(), board.cells_solved.copy()
        return board.observation.copy(), {
            "action_mask": board.mask.copy(),
            "_action_mask": everyone,
            "loss": board.loss.copy(),
            "_loss": everyone,
            "loss_avoided": board.loss_avoided.copy(),
            "_loss_avoided": everyone,
        }

    def close_extras(self, **kwargs: Any) -> None:
        """End worker processes, also in the middle of a step, and give memory back, whatever became of them."""
        workers, memory = self._workers, self._memory
        self._workers = self._memory = None
        self._board = Board.of(0, (0, 0, 0))
        try:
            if workers is not None:
                workers.close()
        finally:
            if memory is not None:
                memory.unlink()
                memory.close()
            leave, self._leave = self._leave, lambda: None
            leave()


class Frozen(NamedTuple):
    """What a registered id freezes; whatever changes any of it, or a golden return, makes a new version of the id.

    landscape, scenarios, calibration : digests by `landscape_digest`, `scenarios_digest`, `calibration_digest`
    """

    size: int  # cells a side of the area of interest
    seed: int  # of landscape, season and fires; none of the leaderboard's
    buffer_cells: int
    duration_min: float  # by `settle_duration`: the mean fire burns 17 % of the burnable cells or so
    landscape: str
    scenarios: str
    calibration: str


FROZEN = {
    "fuelbreak/FuelBreak20-v0": Frozen(20, 3020, 5, 170.0, "e7dbb75221d8167d", "c13cb3a54a983e94", "1689d3c4f277173a"),
    "fuelbreak/FuelBreak50-v0": Frozen(50, 3050, 8, 260.0, "935b2ab33c83de27", "168353a54582d9fc", "1689d3c4f277173a"),
    "fuelbreak/FuelBreak100-v0": Frozen(
        100, 3100, 16, 710.0, "773bd5490076a911", "a92e7e0d46233902", "1689d3c4f277173a"
    ),
}
"""The registered ids."""
FROZEN_BUDGET, FROZEN_FIRES, FROZEN_BANK = 0.05, 100, 2000


def scenarios_digest(fires: Fires) -> str:
    """Sixteen hex digits that name where fires start, in which weather and how long they burn, on any machine alike.

    Last digits of floats are left out: weathers and durations count in thousandths.
    """
    content = hashlib.sha256(fires.ignitions.tobytes() + fires.weather_index.tobytes())
    weathers = [[getattr(weather, name) for name in DESIGN] for weather in fires.weather]
    for numbers in (np.array(weathers), fires.duration_min, fires.weight):
        content.update(np.rint(1000 * np.asarray(numbers, np.float64)).astype(np.int64).tobytes())
    return content.hexdigest()[:16]


def frozen_world(env_id: str) -> tuple[Landscape, Season, Fires]:
    """Landscape, season and bank of fires of a registered id, made from its seed."""
    spec = FROZEN[env_id]
    landscape = generated_landscape(spec.size, spec.size, spec.seed, buffer_cells=spec.buffer_cells)
    season = generated_season(spec.seed)
    fires = Fires.draw(landscape, FROZEN_BANK, spec.seed, weather=season, duration_min=spec.duration_min)
    return landscape, season, fires


@lru_cache(maxsize=len(FROZEN))
def _checked_world(env_id: str) -> tuple[Landscape, Season]:
    """Landscape and season of a registered id, refused if they are not what its version froze."""
    spec = FROZEN[env_id]
    landscape, season, fires = frozen_world(env_id)
    found = {
        "landscape": landscape_digest(landscape),
        "scenarios": scenarios_digest(fires),
        "calibration": calibration_digest(),
    }
    changed = [part for part, digest in found.items() if digest != getattr(spec, part)]
    if changed:
        raise InputError(
            f"{env_id}: no longer what this version of the id froze ({', '.join(changed)}), so results would not "
            "compare; use the release of fuelbreak that they come from, or a newer version of the id"
        )
    return landscape, season


def _frozen_settings(env_id: object, changed: dict[str, Any], free: str) -> dict[str, Any]:
    """What `FireEnv` and `VectorizedFireEnv` are given for a registered id."""
    if env_id not in FROZEN:
        raise InputError(f"env_id: {env_id!r} is unknown; use one of {', '.join(FROZEN)}")
    if changed:
        raise InputError(
            f"{env_id}: {', '.join(changed)} cannot be chosen, since an id is one frozen world; choose {free}, "
            "or make an environment of your own with fuelbreak.FireEnv or VectorizedFireEnv"
        )
    landscape, season = _checked_world(str(env_id))
    spec = FROZEN[str(env_id)]
    return {
        "landscape": landscape,
        "weather": season,
        "num_simulations": FROZEN_FIRES,
        "max_duration": spec.duration_min,
        "budget": FROZEN_BUDGET,
        "bank_size": FROZEN_BANK,
        "fires_seed": spec.seed,
    }


def frozen_env(env_id: str, obs: Observation = "full", render_mode: str | None = None, **changed: Any) -> FireEnv:
    """One frozen world as `gymnasium.make(env_id)` builds it: 5 % to treat, 100 fires an episode out of 2000.

    Raises
    ------
    InputError : an unknown id, a setting that is frozen, or a world that is no longer what the id froze
    """
    settings = _frozen_settings(env_id, changed, "obs and render_mode")
    return FireEnv(obs=obs, render_mode=render_mode, **settings)


def frozen_vector_env(
    env_id: str,
    num_envs: int = 1,
    method: str = "threading",
    max_workers: int | None = None,
    obs: Observation = "full",
    simulation_workers: int | None = None,
    **changed: Any,
) -> VectorizedFireEnv:
    """Episodes of one frozen world whose fires burn side by side, as `gymnasium.make_vec(env_id)` builds it.

    Raises
    ------
    InputError : as `frozen_env`
    """
    settings = _frozen_settings(env_id, changed, "obs, method, max_workers and simulation_workers")
    return VectorizedFireEnv(num_envs, method, max_workers, obs=obs, simulation_workers=simulation_workers, **settings)


def register() -> None:
    """Make `gymnasium.make("fuelbreak/FuelBreak20-v0")` and its 50 and 100 work; `import fuelbreak` calls it."""
    for env_id in FROZEN:
        gym.register(
            env_id,
            entry_point="fuelbreak.env:frozen_env",
            vector_entry_point="fuelbreak.env:frozen_vector_env",
            kwargs={"env_id": env_id},
        )

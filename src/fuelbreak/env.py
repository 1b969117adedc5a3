"""The environment: place fuel breaks one unit at a time, judged after each by the same simulated fires.

`FireEnv` is one episode (Gymnasium), `VectorizedFireEnv` many (Gymnasium's vector contract); both are thin skins over
`Episodes`, so row i of the vector is the single environment with that seed, bit for bit, by any method.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from multiprocessing.shared_memory import SharedMemory
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from fuelbreak import parallel
from fuelbreak.behavior import fire_behavior
from fuelbreak.errors import InputError
from fuelbreak.landscape import Landscape, Plan, budget_units
from fuelbreak.scenarios import Fires, Weather, fire_season
from fuelbreak.spread import PLANE_NAMES, Ensemble, settle_buffer

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
NOT_IN_RAW = ("downstream_share", "downstream_root")  # planes that alone rank the cells


def channel_names(obs: Observation) -> tuple[str, ...]:
    """Channels of an observation in order; `raw` leaves out the downstream protection value."""
    if obs not in ("full", "raw"):
        raise InputError(f"obs: {obs!r} is unknown; use full or raw")
    names = STATIC_CHANNELS + LIVE_CHANNELS + PLAN_CHANNELS
    return names if obs == "full" else tuple(name for name in names if name not in NOT_IN_RAW)


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
        stencil: int = 16,
    ) -> None:
        self.landscape = landscape
        self.channels = channel_names(obs)
        self.budget = budget_units(landscape, budget)
        self.ensemble = Ensemble(
            landscape, fires, episodes=episodes, fires_per_episode=fires_per_episode, workers=workers, stencil=stencil
        )
        row, col, rows, cols = landscape.aoi_window
        self.map_shape = (rows, cols)
        self._window = (slice(row, row + rows), slice(col, col + cols))
        # A unit is a cell of the area of interest's bounding box, row by row.
        flat = np.arange(landscape.shape[0] * landscape.shape[1]).reshape(landscape.shape)
        self.unit_cell: I8 = flat[self._window].ravel()
        self._treatable = landscape.treatable[self._window].ravel()
        self._static = self._static_planes(fires.weather)
        self._generators: list[np.random.Generator | None] = [None] * episodes
        self.treated = np.zeros((episodes, len(self.unit_cell)), bool)
        self.steps = np.full(episodes, self.budget)  # nothing may be placed before the first reset
        self.loss, self.first_loss = np.zeros(episodes), np.zeros(episodes)

    def _static_planes(self, weathers: Sequence[Weather]) -> F4:
        land = self.landscape
        rates = [fire_behavior(land, weather).spread_rate_m_min.astype(np.float64) for weather in weathers]
        rate_cells_h = np.mean(rates, axis=0) * 60 / land.cell_size_m
        fall = np.where(land.aspect_deg >= 0, np.sin(np.deg2rad(land.slope_deg)), 0.0)
        aspect = np.deg2rad(land.aspect_deg)
        planes = {
            "burnable": land.burnable,
            "value": land.value * land.area_of_interest / max(float(land.value.max()), 1e-12),
            "spread_rate": np.minimum(np.log1p(rate_cells_h) / 5, 1.0),
            "canopy_cover": land.canopy_cover_pct / 100,
            "slope_east": fall * np.sin(aspect),
            "slope_north": fall * np.cos(aspect),
        }
        return np.stack([planes[name][self._window] for name in STATIC_CHANNELS]).astype(np.float32)

    def reset(self, rows: Sequence[int], seeds: Sequence[int | None]) -> None:
        """Start episodes `rows` anew: a seed starts the row's own dice, None rolls them on."""
        ensemble = self.ensemble
        for row, seed in zip(rows, seeds, strict=True):
            generator = self._generators[row]
            if seed is not None or generator is None:
                generator = self._generators[row] = seeding.np_random(seed)[0]
            which = generator.choice(len(ensemble.fires), ensemble.fires_per_episode, replace=False)
            ensemble.reset(row, np.asarray(which, np.int64))
            self.treated[row] = False
            self.steps[row] = 0
        losses = ensemble.losses()
        for row in rows:
            self.loss[row] = self.first_loss[row] = losses[row]

    def step(self, actions: I8) -> tuple[F8, npt.NDArray[np.bool_]]:
        """Place one unit in each episode; rewards (E,) and whether the budget is spent (E,).

        The reward is the share of the untreated loss that this unit avoids. A unit that cannot be placed (masked) is
        wasted: it costs budget and earns nothing.
        """
        if (self.steps >= self.budget).any():
            raise gym.error.ResetNeeded("the budget of an episode is spent; call reset before the next step")
        if actions.shape != (len(self.steps),) or actions.min() < 0 or actions.max() >= len(self.unit_cell):
            raise InputError(f"action: give one unit from 0 to {len(self.unit_cell) - 1} for each episode")
        rows = np.arange(len(self.steps))
        placed = self.action_mask()[rows, actions]
        self.ensemble.treat(np.where(placed, self.unit_cell[actions], -1))
        self.treated[rows[placed], actions[placed]] = True
        self.steps += 1
        before, self.loss = self.loss, self.ensemble.losses()
        reward = (before - self.loss) / np.where(self.first_loss > 0, self.first_loss, 1.0)
        return reward, self.steps >= self.budget

    def action_mask(self) -> npt.NDArray[np.bool_]:
        """Units that may be placed (E, units): treatable and not treated yet."""
        return self._treatable & ~self.treated

    def loss_avoided(self) -> F8:
        """Share of the untreated loss avoided so far on the episode's own fires (E,)."""
        avoided = 1 - self.loss / np.where(self.first_loss > 0, self.first_loss, 1.0)
        return np.asarray(np.where(self.first_loss > 0, avoided, 0.0))

    def plan(self, row: int) -> Plan:
        """The breaks of one episode; their order is not kept here."""
        return Plan.from_flat(self.landscape, self.unit_cell[np.flatnonzero(self.treated[row])])

    def observe(self, out: F4) -> None:
        """Write the observation (E, channels, rows, cols) f4 of the area of interest."""
        planes = dict(
            zip(
                PLANE_NAMES,
                self.ensemble.planes()[(slice(None), slice(None), *self._window)].swapaxes(0, 1),
                strict=True,
            )
        )
        first_loss = np.where(self.first_loss > 0, self.first_loss, 1.0)[:, None, None]
        planes["downstream_share"] = np.minimum(planes["downstream_value"] / first_loss, 1.0)
        planes["downstream_root"] = np.sqrt(planes["downstream_share"])
        planes["treated"] = self.treated.reshape(-1, *self.map_shape)
        planes["budget_left"] = (1 - self.steps / self.budget)[:, None, None]
        for i, name in enumerate(self.channels):
            out[:, i] = self._static[i] if name in STATIC_CHANNELS else planes[name]


def demo_landscape(
    size: int = 50, seed: int = 0, weathers: Sequence[Weather] | None = None, duration_min: float = 60.0
) -> Landscape:
    """The demo landscape: `size` x `size` cells of interest with the default buffer around them."""
    bank = fire_season() if weathers is None else weathers
    return settle_buffer(lambda n: Landscape.demo(size, size, seed, buffer_cells=n), bank, duration_min)


@lru_cache(maxsize=4)
def _frozen_demo(size: int) -> Landscape:
    return demo_landscape(size)


def _bank(
    landscape: Landscape | None,
    weather: Weather | Sequence[Weather] | None,
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
        weathers = (bank,) if isinstance(bank, Weather) else tuple(bank)
        landscape = demo_landscape(50, 0, weathers, max_duration)
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
    landscape : None is the demo landscape. weather : one, a bank, or None for `fire_season()`.
    num_simulations : fires per episode, S. max_duration : minutes per fire. budget : share of the treatable cells, or a
    number of them. bank_size, fires_seed : the bank of training fires. obs : "full" or "raw".

    Version History
    ---------------
    v0: first version.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012  Gymnasium's own name and form

    def __init__(
        self,
        landscape: Landscape | None = None,
        *,
        weather: Weather | Sequence[Weather] | None = None,
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
        self._episodes = Episodes(landscape, fires, 1, num_simulations, budget, obs)
        self.observation_space, self.action_space = _spaces(self._episodes)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[F4, dict[str, Any]]:
        """Start an episode on freshly sampled fires; a seed makes it repeatable."""
        super().reset(seed=seed)
        self._episodes.reset([0], [seed])
        return self._observation(), self._info()

    def step(self, action: np.int64 | int) -> tuple[F4, float, bool, bool, dict[str, Any]]:
        """Place one unit: observation, reward, terminated, truncated, info."""
        reward, terminated = self._episodes.step(np.asarray([action], np.int64))
        return self._observation(), float(reward[0]), bool(terminated[0]), False, self._info()

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """Units that may be placed now (units,) bool."""
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

    def _observation(self) -> F4:
        out = np.empty((1, len(self._episodes.channels), *self._episodes.map_shape), np.float32)
        self._episodes.observe(out)
        return np.asarray(out[0])

    def _info(self) -> dict[str, Any]:
        episodes = self._episodes
        return {
            "action_mask": episodes.action_mask()[0].astype(np.int8),
            "loss": float(episodes.loss[0]),
            "loss_avoided": float(episodes.loss_avoided()[0]),
        }


def _spaces(episodes: Episodes) -> tuple[gym.Space[F4], gym.spaces.Discrete]:
    shape = (len(episodes.channels), *episodes.map_shape)
    box: gym.Space[Any] = gym.spaces.Box(-1.0, 1.0, shape, np.float32)
    return box, gym.spaces.Discrete(len(episodes.unit_cell))


class _Share:
    """What a worker process owns: some rows of a vector environment, observations written to shared memory."""

    def __init__(self, memory: str, shape: tuple[int, ...], first: int, rows: int, args: tuple[Any, ...]) -> None:
        self._memory = SharedMemory(memory)
        self._out = np.ndarray(shape, np.float32, self._memory.buf)[first : first + rows]
        landscape, fires, *rest = args
        self._episodes = Episodes(landscape, fires, rows, *rest)

    def reset(self, rows: list[int], seeds: list[int | None]) -> tuple[Any, ...]:
        self._episodes.reset(rows, seeds)
        self._episodes.observe(self._out)
        return self._state()

    def step(self, actions: I8) -> tuple[Any, ...]:
        reward, terminated = self._episodes.step(actions)
        self._episodes.observe(self._out)
        return (reward, terminated, *self._state())

    def _state(self) -> tuple[Any, ...]:
        episodes = self._episodes
        return episodes.action_mask(), episodes.loss.copy(), episodes.loss_avoided(), episodes.ensemble.cells_solved


class VectorizedFireEnv(gym.vector.VectorEnv[F4, I8, npt.NDArray[Any]]):
    """Many episodes at once: Gymnasium's vector environment, all rows ending together.

    Parameters
    ----------
    num_envs : rows, E
    method : "threading" (compiled kernels on one flat list of E x S fires), "multiprocessing" (each worker process owns
        some rows; observations come back through shared memory), "sequential" (one core; what the others are held to)
    max_workers : threads or processes; every available core if None, never more than there are rows to share
    landscape ... obs : as in `FireEnv`; row i of `reset(seed=s)` is `FireEnv` with seed s + i, bit for bit

    Rows are not reset by themselves (`AutoresetMode.DISABLED`): an episode has a fixed length, so all end together and
    one `reset` starts them all; `options={"reset_mask": ...}` starts some.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012  Gymnasium's own form

    def __init__(
        self,
        num_envs: int = 4,
        method: str = "multiprocessing",
        max_workers: int | None = None,
        landscape: Landscape | None = None,
        *,
        weather: Weather | Sequence[Weather] | None = None,
        num_simulations: int = 50,
        max_duration: float = 60.0,
        budget: float | str = 0.05,
        bank_size: int = 2000,
        fires_seed: int = 0,
        obs: Observation = "full",
    ) -> None:
        if num_envs < 1:
            raise InputError(f"num_envs: {num_envs} environments cannot be run; give at least 1")
        self.num_envs, self.method = num_envs, parallel.checked_method(method)
        workers = parallel.checked_workers(max_workers)
        landscape, fires = _bank(landscape, weather, num_simulations, max_duration, bank_size, fires_seed)
        self.landscape, self.fires_per_episode = landscape, num_simulations
        # One row made here gives the spaces; sequential and threading keep all rows here.
        here = num_envs if method != "multiprocessing" else 1
        threads = workers if method == "threading" else 1
        in_bank = fires if here > 1 or method != "multiprocessing" else fires.take(np.arange(num_simulations))
        self._episodes: Episodes | None = Episodes(landscape, in_bank, here, num_simulations, budget, obs, threads)
        self.channels, self.budget = self._episodes.channels, self._episodes.budget
        self.map_shape, self.unit_cell = self._episodes.map_shape, self._episodes.unit_cell
        self.single_observation_space, self.single_action_space = _spaces(self._episodes)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._observations = np.zeros((num_envs, len(self.channels), *self._episodes.map_shape), np.float32)
        self._workers: parallel.Workers | None = None
        self._memory: SharedMemory | None = None
        self._rows = [np.arange(num_envs)]
        self._waiting = False
        if method == "multiprocessing":
            self._episodes = None
            self._rows = np.array_split(np.arange(num_envs), min(workers, num_envs))
            self._memory = SharedMemory(create=True, size=self._observations.nbytes)
            self._observations = np.ndarray(self._observations.shape, np.float32, self._memory.buf)
            args = (landscape, fires, num_simulations, budget, obs)
            self._workers = parallel.Workers(
                _Share,
                [(self._memory.name, self._observations.shape, int(rows[0]), len(rows), args) for rows in self._rows],
            )

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers, if there are any."""
        return [] if self._workers is None else self._workers.pids

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[F4, dict[str, Any]]:
        """Start every row, or those in `options["reset_mask"]` (E,) bool, on freshly sampled fires.

        `seed` is one number (row i takes seed + i) or a list of one seed or None for each row.
        """
        seeds = (
            [None if seed is None else seed + i for i in range(self.num_envs)] if not isinstance(seed, list) else seed
        )
        if len(seeds) != self.num_envs:
            raise InputError(f"seed: {len(seeds)} seeds for {self.num_envs} environments; give one for each")
        mask = np.asarray((options or {}).get("reset_mask", np.ones(self.num_envs)), bool)
        if self._episodes is not None:
            rows = [int(i) for i in np.flatnonzero(mask)]
            self._episodes.reset(rows, [seeds[i] for i in rows])
            self._episodes.observe(self._observations)
            return self._observations.copy(), self._infos([self._local_state()])
        assert self._workers is not None
        calls = []
        for rows_of in self._rows:
            chosen = [int(i) for i in rows_of if mask[i]]
            calls.append(([i - int(rows_of[0]) for i in chosen], [seeds[i] for i in chosen]))
        states = self._workers.call("reset", calls)
        return self._observations.copy(), self._infos(states)

    def step_async(self, actions: I8) -> None:
        """Begin a step; `step_wait` returns it. Worker processes burn their fires meanwhile, other methods wait."""
        self._actions = np.asarray(actions, np.int64)
        if self._workers is not None:
            if self._actions.shape != (self.num_envs,):
                raise InputError(f"action: give one unit for each of the {self.num_envs} environments")
            self._workers.send("step", [(self._actions[rows],) for rows in self._rows])
            self._waiting = True

    def step_wait(self) -> tuple[F4, F8, npt.NDArray[np.bool_], npt.NDArray[np.bool_], dict[str, Any]]:
        """Finish the step begun by `step_async`: observations, rewards, terminated, truncated, info."""
        if self._episodes is not None:
            reward, terminated = self._episodes.step(self._actions)
            self._episodes.observe(self._observations)
            states = [self._local_state()]
        else:
            assert self._workers is not None
            self._waiting = False
            answers = self._workers.receive()
            reward = np.concatenate([answer[0] for answer in answers])
            terminated = np.concatenate([answer[1] for answer in answers])
            states = [answer[2:] for answer in answers]
        return self._observations.copy(), reward, terminated, np.zeros(self.num_envs, bool), self._infos(states)

    def step(self, actions: I8) -> tuple[F4, F8, npt.NDArray[np.bool_], npt.NDArray[np.bool_], dict[str, Any]]:
        """Place one unit in every row."""
        self.step_async(actions)
        return self.step_wait()

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """Units that may be placed now (E, units) bool."""
        return self._masks.astype(bool)

    def _local_state(self) -> tuple[Any, ...]:
        assert self._episodes is not None
        episodes = self._episodes
        return episodes.action_mask(), episodes.loss.copy(), episodes.loss_avoided(), episodes.ensemble.cells_solved

    def _infos(self, states: list[tuple[Any, ...]]) -> dict[str, Any]:
        """Gymnasium's form: an array for each key and, under the key with an underscore, which rows have it."""
        self._masks = np.concatenate([state[0] for state in states]).astype(np.int8)
        self.cells_solved = sum(state[3] for state in states)
        everyone = np.ones(self.num_envs, bool)
        return {
            "action_mask": self._masks.copy(),
            "_action_mask": everyone,
            "loss": np.concatenate([state[1] for state in states]),
            "_loss": everyone,
            "loss_avoided": np.concatenate([state[2] for state in states]),
            "_loss_avoided": everyone,
        }

    def close_extras(self, **kwargs: Any) -> None:
        """End worker processes and give shared memory back."""
        if self._workers is not None:
            if self._waiting:
                self._workers.receive()
            self._workers.close()
            self._workers = None
        if self._memory is not None:
            self._observations = np.zeros((0,), np.float32)
            self._memory.close()
            self._memory.unlink()
            self._memory = None


def demo_env(size: int = 50, **kwargs: Any) -> FireEnv:
    """`FireEnv` on the demo landscape of that size; what `gymnasium.make("fuelbreak/FuelBreak50-v0")` builds."""
    return FireEnv(_frozen_demo(size), **kwargs)


def demo_vector_env(num_envs: int = 1, size: int = 50, method: str = "threading", **kwargs: Any) -> VectorizedFireEnv:
    """`VectorizedFireEnv` on the demo landscape of that size; what `gymnasium.make_vec` builds."""
    return VectorizedFireEnv(num_envs, method, landscape=_frozen_demo(size), **kwargs)


def register() -> None:
    """Make `gymnasium.make("fuelbreak/FuelBreak20-v0")` and its 50 and 100 work."""
    for size in (20, 50, 100):
        gym.register(
            f"fuelbreak/FuelBreak{size}-v0",
            entry_point="fuelbreak.env:demo_env",
            vector_entry_point="fuelbreak.env:demo_vector_env",
            kwargs={"size": size},
        )

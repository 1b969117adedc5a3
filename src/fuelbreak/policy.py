"""The trained agent as a planner: what its network sees, planning by it alone, and by it together with search."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fuelbreak import parallel
from fuelbreak.env import LIVE_CHANNELS, STATIC_CHANNELS, channel_names, static_planes
from fuelbreak.errors import InputError
from fuelbreak.landscape import Landscape, Plan, Units
from fuelbreak.objective import Objective
from fuelbreak.planners import SLACK, Job, Place, Planner, Progress, improve
from fuelbreak.scenarios import Fires, Weather
from fuelbreak.spread import PLANE_NAMES, Ensemble

if TYPE_CHECKING:
    from fuelbreak.agents.dqn import DQN

F4 = npt.NDArray[np.float32]
F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

# What the network sees: planes of about 1 whatever the size of the map and however rare its fires, but for the last.
SIGHT = (
    *STATIC_CHANNELS,
    "often",  # burn probability over the map's largest
    "early",  # earliness of the fires that come
    "north",  # how fire heads as it comes, on average
    "east",
    "south",
    "west",
    "treated",
    "allowed",
    "units_left",  # log of the units still to place, over 5
    "downstream_share",
)
FIXED = tuple(range(len(STATIC_CHANNELS)))
PRIOR = SIGHT.index("downstream_share")
VECTORS = ((SIGHT.index("slope_east"), SIGHT.index("slope_north")),)
SIDES = ((SIGHT.index("north"), SIGHT.index("east"), SIGHT.index("south"), SIGHT.index("west")),)
RARE = 1e-4  # burn probability below which what fires do in a cell is not told
PRETRAINED = "pretrained"


def sight(observation: F4, allowed: Mask, left: npt.ArrayLike) -> F4:
    """What the network sees (E, 16, rows, cols) of a full observation of the environment, of the same shape.

    Parameters
    ----------
    observation : (E, 16, rows, cols), by `channel_names('full')`
    allowed : (E, rows * cols) cells that may be treated next
    left : (E,) units still to place
    """
    at = {name: observation[:, i] for i, name in enumerate(channel_names("full"))}
    out = np.empty((len(observation), len(SIGHT), *observation.shape[2:]), np.float32)
    burned = at["burn_probability"]
    rarely = 1 / np.maximum(burned, RARE)
    seen = dict(zip(SIGHT, out.swapaxes(0, 1), strict=True))
    for name in STATIC_CHANNELS:
        seen[name][:] = at[name]
    np.divide(burned, np.maximum(burned.max(axis=(1, 2), keepdims=True), 1e-6), out=seen["often"])
    np.clip(at["earliness"] * rarely, 0, 1, out=seen["early"])
    for side in ("north", "east", "south", "west"):
        np.clip(at[f"toward_{side}"] * rarely, 0, 1, out=seen[side])
    seen["treated"][:] = at["treated"]
    seen["allowed"][:] = allowed.reshape(seen["allowed"].shape)
    seen["units_left"][:] = (np.log(np.maximum(left, 1)) / 5)[:, None, None]
    seen["downstream_share"][:] = at["downstream_share"]
    return out


class Sight:
    """What the network sees of one plan under way on a landscape.

    Parameters
    ----------
    weathers : of the fires
    over : looks whose fires it remembers: what they do is a mean over about so many, each look of equal weight at first
    """

    def __init__(self, landscape: Landscape, weathers: Sequence[Weather], over: int = 1) -> None:
        row, col, rows, cols = landscape.aoi_window
        self.corner, self.shape = (row, col), (rows, cols)
        names = channel_names("full")
        self._observation = np.zeros((1, len(names), rows, cols), np.float32)
        self._observation[0, : len(STATIC_CHANNELS)] = static_planes(landscape, weathers)
        live = (*PLANE_NAMES, "downstream_share", "downstream_root")
        self._channels = [names.index(name) if name in LIVE_CHANNELS else -1 for name in live]
        self._treated = self._observation[0, names.index("treated")]
        self._live = [channel for channel in self._channels if channel >= 0]
        self._over, self._looks, self._mean = over, 0, np.zeros((1, len(self._live), rows, cols), np.float32)

    def __call__(
        self, ensemble: Ensemble, untreated: float, treated: Mask, allowed: Mask, left: int
    ) -> tuple[F4, Mask]:
        """Planes (1, channels, rows, cols) and cells allowed (1, rows * cols).

        Parameters
        ----------
        ensemble : of one episode, the fires as they are now
        untreated : their mean loss without breaks
        treated, allowed : (H, W) cells with a break; cells that may be treated next
        """
        (row, col), (rows, cols) = self.corner, self.shape
        window = np.s_[row : row + rows, col : col + cols]
        ensemble.observe(self._observation, self._channels, self.corner, np.array([max(untreated, 1e-300)]))
        if self._over > 1:
            self._looks += 1
            self._mean += (self._observation[:, self._live] - self._mean) / min(self._looks, self._over)
            self._observation[:, self._live] = self._mean
        self._treated[:] = treated[window]
        inside = np.ascontiguousarray(allowed[window]).reshape(1, -1)
        return sight(self._observation, inside, np.array([left])), inside


@cache
def _pretrained() -> DQN:
    from fuelbreak.agents.dqn import DQN

    with as_file(files("fuelbreak").joinpath("pretrained.safetensors")) as path:
        return DQN.load_weights(path, threads=parallel.available_cores())


def load_agent(where: str | Path) -> DQN:
    """A trained agent: 'pretrained', a training's folder, an agent.pt or a .safetensors file.

    Raises
    ------
    InputError : no agent there, or one that sees other planes than `SIGHT`
    """
    from fuelbreak.agents.dqn import DQN

    if str(where) == PRETRAINED:
        return _pretrained()
    path = Path(where)
    if path.is_dir():
        path /= "agent.pt" if (path / "agent.pt").is_file() else "agent.safetensors"
    threads = parallel.available_cores()
    if path.suffix == ".safetensors":
        agent = DQN.load_weights(path, threads=threads)
    else:
        agent = DQN.load(path, threads=threads)[0]
    if (agent.channels, agent.prior_channel) not in ((len(SIGHT), PRIOR), (PRIOR, None)):
        agent.close()
        raise InputError(
            f"{path}: an agent that sees {agent.channels} planes, not the {len(SIGHT)} of today; train it again"
        )
    return agent


def _typical(job: Job) -> float:
    """What a unit takes on average of those that may be treated."""
    return max(float(job.price[job.open].mean()), SLACK) if job.open.any() else 1.0


class _Hand:
    """The agent at work on a job: it looks, and says what each unit is worth for its price."""

    def __init__(self, job: Job, network: DQN, over: int = 1) -> None:
        self.job, self.network = job, network
        self.sight = Sight(job.landscape, job.fires.weather, min(job.parts, over))
        self.first_loss = float((job.untreated * job.fires.weight).sum() / job.fires.weight.sum())
        cells = job.units.cells
        self._owner = job.units.unit_of.reshape(job.landscape.shape)
        self._typical = _typical(job)
        self._some = np.maximum(cells, 0), cells >= 0

    def worth(self) -> F8:
        """By how much Q of each unit is above the least there is, for its price (U,).

        Q of a unit is that of its best cell; -inf where it cannot be treated or paid for.
        """
        job = self.job
        treated = np.zeros(job.landscape.shape, bool)
        chosen = job.units.cells[job.chosen]
        treated.flat[chosen[chosen >= 0]] = True
        open_units = np.append(job.affordable(), False)  # -1, of no unit, is the last
        left = max(1, min(round(job.left / self._typical), int(job.open.sum())))
        planes, allowed = self.sight(job.burning, self.first_loss, treated, open_units[self._owner], left)
        whole = np.full(job.landscape.shape, -np.inf)
        if allowed.any():
            (row, col), (rows, cols) = self.sight.corner, self.sight.shape
            q = self.network.q_values(planes, allowed)[0]
            whole[row : row + rows, col : col + cols] = q.reshape(rows, cols)
        place, real = self._some
        q_unit = np.where(real, whole.ravel()[place], -np.inf).max(axis=1)
        known = np.isfinite(q_unit)
        if known.any():
            # Q says what the rest of the plan brings; what a unit adds is told from the least that one adds.
            q_unit[known] = (q_unit[known] - q_unit[known].min()) / np.maximum(job.price[known], SLACK)
        return np.asarray(q_unit)


PASSES, APART_CELLS, NEARLY = 64, 4, 0.5
PLACING = 0.8  # share of the limits that placing may take where search follows


def _by_policy(job: Job, hand: _Hand, passes: int, share: float = 1.0) -> None:
    """Spend what is left by the agent: it looks, places some units far from each other, and looks again.

    Parameters
    ----------
    passes : looks for the whole budget; fewer, with more units each, where the limits leave no time for so many
    share : of the limits that it may take
    """
    least, pass_s = 0, 0.0
    while job.affordable().any():
        looked = time.perf_counter()
        worth = hand.worth()
        order = np.argsort(-worth, kind="stable")
        order = order[np.isfinite(worth[order])]
        if not job.room():
            _pay(job, order)
            return
        # As many as the best of them that can be paid for.
        n = max(1, int((job.price[order].cumsum() <= job.left + SLACK * job.amount).sum()))
        least = least or -(-n // passes)
        placed = _pay(job, _apart(job, worth, max(least, -(-n // max(1, job.rounds_left(share, pass_s))))))
        if job.affordable().any():
            job.go_on(placed)
        job.tell(share)
        pass_s = time.perf_counter() - looked


def _apart(job: Job, worth: F8, most: int) -> list[int]:
    """The units worth most (U,), so many at the most.

    None is within `APART_CELLS` of another or less than `NEARLY` as far above the mean as the best.
    """
    known = np.isfinite(worth)
    if not known.any():
        return []
    floor = worth[known].mean()
    some = np.flatnonzero(known & (worth - floor >= NEARLY * (worth[known].max() - floor)))
    row, col = job.centers
    found: list[int] = []
    for unit in some[np.argsort(-worth[some], kind="stable")].tolist():
        if len(found) == most:
            break
        if not (np.hypot(row[found] - row[unit], col[found] - col[unit]) < APART_CELLS).any():
            found.append(unit)
    return found


def _pay(job: Job, units: Iterable[int]) -> list[int]:
    """Spend on those of some units, in their order, that can be paid for: these."""
    paid = []
    for unit in units:
        if job.open[unit] and job.price[unit] <= job.left + SLACK * job.amount:
            job.spend(int(unit))
            paid.append(int(unit))
    return paid


def agent(
    landscape: Landscape,
    fires: Fires,
    budget: float | str,
    *,
    seed: int = 0,
    max_simulations: int | None = None,
    max_seconds: float | None = None,
    units: Units | None = None,
    objective: Objective | None = None,
    progress: Progress | None = None,
    network: DQN | None = None,
    passes: int = PASSES,
) -> Plan:
    """Breaks where a trained agent puts them: it looks at the fires, places the best units, and looks again.

    Parameters
    ----------
    network : the agent; None: the pretrained one
    passes : looks it takes for a whole budget; above so many units it places several, far apart, at each look
    """
    job = Job(landscape, fires, budget, seed, max_simulations, max_seconds, units, objective, progress)
    job.burn()
    _by_policy(job, _Hand(job, _pretrained() if network is None else network), passes)
    return job.plan("agent")


def agent_search(
    landscape: Landscape,
    fires: Fires,
    budget: float | str,
    *,
    seed: int = 0,
    max_simulations: int | None = None,
    max_seconds: float | None = None,
    units: Units | None = None,
    objective: Objective | None = None,
    progress: Progress | None = None,
    network: DQN | None = None,
    passes: int = PASSES,
    tried: int = 3,
) -> Plan:
    """The agent's plan improved by search: some neighboring units out, and put back where the agent now wants them.

    Fires dispose: a change stays only if the same fires then cost less. It ends at the limit, or after
    `MOVES_PER_UNIT` moves for each unit that changed nothing; without a limit, after so many of any kind.

    A budget of more than `MOST_MOVED` units would take too many such moves. There the agent sweeps over its plan, so
    many units at once as make `passes` looks: takes them out, looks, puts those back that then gain most, and goes on
    with the next, and after the last with those that gained least, until the limit; without one, for `SWEEPS` times
    the looks. Only a part of the fires burns at a time, another at each look, and what the last `REMEMBERED` did is
    kept in mind: thousands of fires for the price of hundreds, so that a plan does not suit a few fires alone.

    Parameters
    ----------
    network, passes : as for `agent`
    tried : units that are tried exactly for each that is put back, those the agent wants most
    """
    job = Job(landscape, fires, budget, seed, max_simulations, max_seconds, units, objective, progress)
    network = _pretrained() if network is None else network
    if min(job.left / _typical(job), job.open.sum()) > MOST_MOVED:
        part = max(FEWEST_IN_PART, int(landscape.area_of_interest.sum()) // CELLS_A_FIRE)
        job.burn(max(1, int((fires.weight > 0).sum()) // part))
        hand = _Hand(job, network, REMEMBERED // part)
        _by_policy(job, hand, -(-passes // 2), PLACING_SWEPT)  # in half the looks, since sweeps mend it
        _sweep(job, hand, passes, tried)
        return job.plan("agent_search")
    job.burn()
    hand = _Hand(job, network)
    _by_policy(job, hand, passes, PLACING)
    if job.room(5):
        job.rebuild(job.chosen)
        most = None if job.max_simulations or job.max_seconds else MOVES_PER_UNIT * len(job.chosen)
        rng = np.random.default_rng([seed, 5])
        improve(job, (1, 2, 3, 4), _wanted(job, hand, tried), rng, patience=MOVES_PER_UNIT, most_moves=most)
    return job.plan("agent_search")


MOVES_PER_UNIT = 6
MOST_MOVED, PLACING_SWEPT, SWEEPS = 1000, 0.4, 3
DOUBTED = 4  # once all units had their turn, every so-manieth is put in question: those that gained least
# Fires in a part: one for so many cells, so that fires of a few thousand cells burn each some ten times, but not fewer;
# and how many are kept in mind.
CELLS_A_FIRE, FEWEST_IN_PART, REMEMBERED = 300, 200, 4000


def _sweep(job: Job, hand: _Hand, passes: int, tried: int) -> None:
    """Take some units out, look, put back what then gains most; go on with the next.

    Once all had their turn it comes to those that gained least when they were put in, and so on.
    """
    movable = job.movable()
    each = -(-len(movable) // passes)
    most = None if job.max_simulations or job.max_seconds else SWEEPS * passes
    gained = np.full(len(job.units), -np.inf)  # by each for its price, when it was put in last
    queue, looks = movable, 0
    while queue and job.room(1 + (1 + tried) * each) and (most is None or looks < most):
        out, queue = queue[:each], queue[each:]
        for unit in out:
            job.take_back(unit)
        job.next_part()
        worth = hand.worth()
        wanted = list(out)
        worth[out] = -np.inf
        while more := _apart(job, worth, (1 + tried) * len(out) - len(wanted)):
            wanted += more
            worth[more] = -np.inf
        gained[wanted] = job.gains(np.array(wanted)) / np.maximum(job.price[wanted], SLACK)
        _pay(job, np.array(wanted)[np.argsort(-gained[wanted], kind="stable")])
        if job.affordable().any():  # where prices differ, money may be left
            _pay(job, np.argsort(-worth, kind="stable"))
        looks += 1
        if not queue:
            movable = job.movable()
            queue = sorted(movable, key=lambda unit: gained[unit])[: -(-len(movable) // DOUBTED)]
        job.tell_search(looks, most or 0)
    _order_by_break(job, gained)


def _order_by_break(job: Job, gained: F8) -> None:
    """Order the plan break by break, those first whose units gained most on average: a line half built does little.

    Units whose cells touch, corners too, are one break. What never was put in anew comes last, as it was.
    """
    from scipy.ndimage import label

    must = [unit for unit in job.chosen if job.units.must[unit]]
    movable = np.array(job.movable(), np.int64)
    cells = job.units.cells[movable]
    treated = np.zeros(job.landscape.shape, bool)
    treated.flat[cells[cells >= 0]] = True
    of = label(treated, np.ones((3, 3)))[0].ravel()[cells[:, 0]]
    gain = gained[movable]
    known = np.isfinite(gain)
    n = np.bincount(of[known], minlength=treated.size + 1)
    mean = np.bincount(of[known], gain[known], treated.size + 1) / np.maximum(n, 1)
    order = np.lexsort((-gain, np.where(known, of, 0), -np.where(known, mean[of], 0), ~known))
    job.chosen = must + movable[order].tolist()


def _wanted(job: Job, hand: _Hand, tried: int) -> Place:
    """Put in, of the units that the agent wants most, those that then gain most for their price."""

    def place(out: Sequence[int], _: float) -> list[int]:
        put: list[int] = []
        while len(put) < len(out) and job.affordable().any() and job.room(1 + tried):
            worth = hand.worth()
            some = np.argsort(-worth, kind="stable")[:tried]
            some = some[np.isfinite(worth[some])]
            if len(some) > 1:
                gain = job.gains(some) / np.maximum(job.price[some], SLACK)
                some = some[np.argsort(-gain, kind="stable")]
            job.spend(int(some[0]))
            job.treat([int(some[0])])
            put.append(int(some[0]))
        return put

    return place


AGENTS: dict[str, Planner] = {"agent": agent, "agent_search": agent_search}

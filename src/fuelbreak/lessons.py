"""What the agent learns from: worlds made by rules, plans that search finds there, and what it did there itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from fuelbreak import planners
from fuelbreak.env import Episodes
from fuelbreak.generate import generated_landscape, generated_season
from fuelbreak.landscape import Landscape, budget_units
from fuelbreak.policy import sight
from fuelbreak.scenarios import Fires, Purpose, Season
from fuelbreak.simulate import settle_duration

if TYPE_CHECKING:
    from fuelbreak.agents.dqn import DQN
    from fuelbreak.agents.replay import Lesson

I8 = npt.NDArray[np.int64]

# Seeds of worlds to learn on begin here: the leaderboard's, and those that choices are tried on, lie below.
FIRST_SEED = 1_000_000
SEEDS_EACH = 100_000  # worlds of one training
SIZES = (20, 24, 28, 32, 40, 50)
BUDGETS = (0.03, 0.05, 0.05, 0.05, 0.08)
SHARES = 0.02, 0.30  # of the burnable cells that a mean fire burns
TEACHER_FIRES, TEACHER_TRIED, TEACHER_ROUNDS = 400, 16, 15
STATES, SEEN_FIRES = 12, (60, 100, 200, 400)


class World(NamedTuple):
    """A landscape to learn on, its season, how long its fires last, and what is to be spent."""

    landscape: Landscape
    season: Season
    duration_min: float
    budget: float | str
    seed: int

    def fires(self, n: int, more: int = 0, purpose: Purpose = "train") -> Fires:
        """Some of its fires; others for another number `more`."""
        about = self.landscape, n, self.seed + more
        return Fires.draw(*about, purpose=purpose, weather=self.season, duration_min=self.duration_min)


def make_world(number: int, training: int, grown: float, largest: int = SIZES[-1]) -> World:
    """World `number` of a training: any of six sizes, fires and budgets; the same numbers give the same world.

    Parameters
    ----------
    training : the training's own seed, 0 or more
    grown : how far the training is, 0 to 1; sizes grow with it, from 28 x 28 cells at the most to 50 x 50
    largest : cells a side of the largest there are
    """
    seed = FIRST_SEED + SEEDS_EACH * training + number
    rng = np.random.default_rng([seed, 1])
    sizes = np.array([size for size in SIZES[: 3 + round(3 * min(grown * 1.5, 1.0))] if size <= largest])
    for _ in range(100):
        size = int(rng.choice(sizes, p=sizes**-2.0 / (sizes**-2.0).sum()))  # as many cells of each size
        share = float(np.exp(rng.uniform(*np.log(SHARES))))
        landscape = generated_landscape(size, size, seed, buffer_cells=max(5, size // 6))
        season = generated_season(seed)
        budget = float(rng.choice(BUDGETS))
        if budget_units(landscape, budget) >= 4:
            break
    return World(
        landscape, season, settle_duration(landscape, season, seed, share, fires=100, halvings=9), budget, seed
    )


def teacher_plan(landscape: Landscape, fires: Fires, budget: float | str, seed: int = 0) -> I8:
    """Cells of the plan that a long search finds, in order of building: cells and lines, then segments swapped."""
    start = planners.cells_and_lines(landscape, fires, budget, seed=seed, tried=TEACHER_TRIED)
    limit = TEACHER_ROUNDS * len(fires) * len(start.cells)
    return planners.segment_swap(landscape, fires, budget, seed=seed, start=start, max_simulations=limit).cells


def make_lesson(
    world: World,
    n_step: int,
    agent: DQN | None = None,
    *,
    gamma: float = 1.0,
    taught_on: int = TEACHER_FIRES,
    seen_by: Sequence[int] = SEEN_FIRES,
) -> list[Lesson]:
    """Decisions on one world: what a teacher's plan says in many states of it, and episodes that the agent played.

    The first lesson holds `STATES` demonstrations. Whatever the order in which a plan is built its cells are the
    same, so states are its beginning, any part of it, or a part mixed with cells that others would choose (the agent,
    or downstream protection value), each seen by other fires; taught are the cells that are still missing. The second,
    if there is an agent, holds what it did itself.

    Parameters
    ----------
    n_step, gamma : rewards summed before the network's own estimate takes over, and what that counts for each step;
        units of a plan are placed at once there, so their own rewards count whole
    taught_on : fires that the teacher plans on
    seen_by : fires by which states are seen; one of these numbers is drawn
    """
    from fuelbreak.agents.replay import Lesson

    land, budget = world.landscape, world.budget
    rng = np.random.default_rng([world.seed, 2])
    fires, others = world.fires(taught_on), world.fires(round(1.5 * max(seen_by)), 1)
    plan = teacher_plan(land, fires, budget, world.seed)
    seen = int(rng.choice(seen_by))
    episodes = Episodes(land, others, STATES, seen, budget)
    bank = [rng.choice(len(others), seen, replace=False) for _ in range(STATES)]
    unit_at = np.full(land.shape[0] * land.shape[1], -1)
    unit_at[episodes.unit_cell] = np.arange(len(episodes.unit_cell))
    wanted = unit_at[plan]
    lessons = []
    elsewhere: I8 | None = None
    if agent is not None:
        own, played = _played(agent, Episodes(land, others, 2, seen, budget), bank[:2], n_step, gamma, rng)
        lessons.append(own)
        elsewhere = np.array([unit for unit in played if unit not in set(wanted.tolist())], np.int64)
    episodes.reset(range(STATES), bank)
    if elsewhere is None:
        downstream = episodes.ensemble.planes()[0][1].ravel()[episodes.unit_cell]
        some = np.setdiff1d(np.flatnonzero(episodes.action_mask()[0]), wanted)
        elsewhere = some
        if len(some):  # a plan may take all there is
            chance = downstream[some] + 1e-3 * downstream.max() + 1e-12
            elsewhere = rng.choice(some, min(len(some), len(wanted)), replace=False, p=chance / chance.sum())
    before = [_part_of(wanted, elsewhere, i, rng) for i in range(STATES)]
    missing = [np.array([unit for unit in wanted if unit not in set(part.tolist())], np.int64) for part in before]
    _place_all(episodes, before)
    planes, mask = _seen(episodes)
    treatable = np.flatnonzero(episodes.action_mask().any(axis=0))
    gain = np.full(mask.shape, np.nan, np.float32)
    every = episodes.ensemble.gains(episodes.unit_cell[treatable]).avoided / episodes.untreated[:, None]
    gain[:, treatable] = every
    gain[~mask] = np.nan
    taught = np.zeros_like(mask)
    for i, units in enumerate(missing):
        taught[i, units] = True
    action, steps = np.array([units[0] for units in missing]), episodes.steps.copy()
    at = episodes.loss_avoided().copy()
    _place_all(episodes, [units[:n_step] for units in missing])
    # The window ends where the budget does: a mixed part leaves more of the plan missing than can be paid for.
    over = (episodes.steps >= episodes.budget) | (np.array([len(units) for units in missing]) <= n_step)
    next_planes, next_mask = _seen(episodes)
    reward = episodes.loss_avoided() - at
    discount = np.where(over, 0.0, gamma**n_step)
    lessons.insert(0, Lesson(planes, mask, action, reward, next_planes, next_mask, discount, taught, gain))
    assert (steps < episodes.budget).all()
    return lessons


def _part_of(plan: I8, elsewhere: I8, i: int, rng: np.random.Generator) -> I8:
    """Units that are placed already in state i: none in the first, else a beginning, a part, or a mixed part."""
    if i == 0:
        return np.empty(0, np.int64)
    size, kind = int(rng.integers(len(plan))), int(rng.integers(3))
    part = (plan if kind == 0 else rng.permutation(plan))[:size].copy()
    if kind == 2 and size:
        wrong = min(int(rng.integers(size // 2 + 1)), len(elsewhere))
        part[:wrong] = rng.permutation(elsewhere)[:wrong]
    return part


def _place_all(episodes: Episodes, units: Sequence[I8]) -> None:
    """Place some more units in each episode, at once, never more than the budget."""
    units = [each[: episodes.budget - step] for each, step in zip(units, episodes.steps, strict=True)]
    cells = np.full((len(units), max(1, max(map(len, units)))), -1, np.int64)
    for row, each in enumerate(units):
        cells[row, : len(each)] = episodes.unit_cell[each]
        episodes.treated[row, each] = True
        episodes.steps[row] += len(each)
    episodes.ensemble.treat(cells)
    episodes.loss = episodes.ensemble.losses()


def _seen(episodes: Episodes) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    observation = episodes.blank()
    episodes.observe(observation)
    mask = episodes.action_mask()
    return sight(observation, mask, episodes.budget - episodes.steps), mask


def _played(
    agent: DQN,
    episodes: Episodes,
    bank: Sequence[I8],
    n_step: int,
    gamma: float,
    rng: np.random.Generator,
    epsilon: float = 0.05,
) -> tuple[Lesson, I8]:
    """Windows of episodes that the agent plays, as many as there are states, and the units it placed in the first."""
    from fuelbreak.agents.replay import Lesson, windows

    episodes.reset(range(len(bank)), bank)
    seen = []
    for _ in range(episodes.budget):
        planes, mask = _seen(episodes)
        action = agent.act(planes, mask, epsilon, rng)
        seen.append((planes, mask, action, episodes.step(action)[0]))
    obs, masks, actions, rewards = zip(*seen, strict=True)
    made = windows(obs, masks, actions, rewards, n_step=n_step, gamma=gamma)
    order = rng.permutation(len(made) * episodes.budget)[:STATES]
    kept = Lesson(*(np.concatenate([each[i] for each in made])[order] for i in range(7)))
    return kept, np.array([each[0] for each in actions])

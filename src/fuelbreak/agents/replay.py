"""The memory the learner studies: decisions with their n-step windows, what never changes on a map kept once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fuelbreak.errors import InputError

F2 = NDArray[np.float16]
F4 = NDArray[np.float32]
I8 = NDArray[np.int64]
Mask = NDArray[np.bool_]

_LEAST_PRIORITY = 1e-3  # in the unit of the return; no decision is forgotten for good


class Batch(NamedTuple):
    """B sampled decisions on maps of one shape, demonstrations first."""

    obs: F2  #: (B, channels, h, w), what was seen
    mask: Mask  #: (B, h*w), what was allowed
    action: I8  #: (B,), the flat cell that was chosen
    reward: F4  #: (B,), sum of gamma^k r over the n-step window
    next_obs: F2  #: (B, channels, h, w), what was seen after the window
    next_mask: Mask  #: (B, h*w), what was allowed after the window
    discount: F4  #: (B,), gamma^n, or 0 where the episode ended inside the window
    is_demo: Mask  #: (B,), true where a teacher chose
    taught: Mask  #: (B, h*w), every cell that the teacher's plan still treats; none where nobody taught
    gain: F2  #: (B, h*w), what each cell alone would have brought, in the unit of the reward; NaN where unknown
    weight: F4  #: (B,), at most 1: makes up for decisions that are drawn more often than others
    place: I8  #: (B,), which decisions these are, for `Replay.learned`; negative for demonstrations


class Lesson(NamedTuple):
    """Decisions on one map, as `Replay.add` takes them: D of them, one after another or not."""

    obs: NDArray[np.floating[Any]]  #: (D, channels, h, w)
    mask: Mask  #: (D, h*w)
    action: NDArray[np.integer[Any]]  #: (D,)
    reward: NDArray[np.floating[Any]]  #: (D,) over the window
    next_obs: NDArray[np.floating[Any]]  #: (D, channels, h, w)
    next_mask: Mask  #: (D, h*w)
    discount: NDArray[np.floating[Any]]  #: (D,)
    taught: Mask | None = None  #: (D, h*w)
    gain: NDArray[np.floating[Any]] | None = None  #: (D, h*w)


@dataclass(frozen=True)
class Symmetry:
    """Which planes change their meaning when a map is turned or mirrored."""

    vectors: tuple[tuple[int, int], ...] = ()
    """Pairs of planes: the parts of a vector toward the east and toward the north."""
    sides: tuple[tuple[int, int, int, int], ...] = ()
    """Four planes each: how much there is toward the north, east, south and west."""

    def turned(self, planes: NDArray[Any], quarters: int, mirrored: bool) -> NDArray[Any]:
        """Planes (B, channels, h, w) turned counterclockwise by so many quarters, then mirrored east to west."""
        out = np.rot90(planes, quarters, (2, 3))
        if mirrored:
            out = out[..., ::-1]
        out = np.ascontiguousarray(out)
        for east, north in self.vectors:
            right, up = out[:, east].copy(), out[:, north].copy()
            for _ in range(quarters % 4):
                right, up = -up, right
            out[:, east], out[:, north] = -right if mirrored else right, up
        for four in self.sides:
            order = list(np.roll(four, -(quarters % 4)))  # what went east goes north
            if mirrored:
                order[1], order[3] = order[3], order[1]
            out[:, list(four)] = out[:, order]
        return out

    def turned_cells(self, cells: NDArray[Any], shape: tuple[int, int], quarters: int, mirrored: bool) -> NDArray[Any]:
        """What is known of each cell (B, h*w), turned likewise."""
        out = np.rot90(cells.reshape(-1, *shape), quarters, (1, 2))
        return np.ascontiguousarray(out[..., ::-1] if mirrored else out).reshape(len(cells), -1)


def windows(
    obs: Sequence[NDArray[np.floating[Any]]],
    mask: Sequence[Mask],
    action: Sequence[NDArray[np.integer[Any]]],
    reward: Sequence[NDArray[np.floating[Any]]],
    *,
    n_step: int,
    gamma: float,
) -> list[Lesson]:
    """Cut E whole episodes of T steps, side by side, into n-step windows: one `Lesson` for each episode.

    Parameters
    ----------
    obs, mask, action, reward : T of each, (E, channels, h, w), (E, h*w), (E,), (E,); the last step ends its episode
    """
    steps = len(action)
    rewards = np.stack(reward)  # (T, E)
    powers = gamma ** np.arange(n_step)
    padded = np.concatenate([rewards, np.zeros((n_step, *rewards.shape[1:]))])
    summed = np.stack([(padded[t : t + n_step] * powers[:, None]).sum(0) for t in range(steps)])
    # After the end nothing is bootstrapped; the step's own observation stands in for the one that does not exist.
    after = [t + n_step if t + n_step < steps else t for t in range(steps)]
    discount = np.array([gamma**n_step if t + n_step < steps else 0.0 for t in range(steps)])
    return [
        Lesson(
            np.stack([each[e] for each in obs]),
            np.stack([each[e] for each in mask]),
            np.array([each[e] for each in action]),
            summed[:, e],
            np.stack([obs[t][e] for t in after]),
            np.stack([mask[t][e] for t in after]),
            discount,
        )
        for e in range(rewards.shape[1])
    ]


class _Store:
    """Decisions of one kind: the oldest are overwritten, or none are if it `grows`."""

    _FIELDS = ("live", "mask", "next_live", "next_mask", "taught", "gain")

    def __init__(self, capacity: int, *, grows: bool) -> None:
        self.grows = grows
        self.at = 0  # decisions added so far
        self.numbers = np.zeros((capacity, 5))  # land, action, reward, discount, priority
        self.maps: list[dict[str, NDArray[Any]]] = []

    def __len__(self) -> int:
        return len(self.maps)

    def add(self, numbers: Sequence[float], maps: dict[str, NDArray[Any]]) -> None:
        capacity = len(self.numbers)
        if self.at == capacity and self.grows:
            self.numbers = np.concatenate([self.numbers, np.zeros_like(self.numbers)])
            capacity *= 2
        place = self.at % capacity
        self.numbers[place] = numbers
        if place == len(self.maps):
            self.maps.append(maps)
        else:
            self.maps[place] = maps
        self.at += 1


class Replay:
    """Remember what the agent and its teachers did on any number of maps, and deal out random batches of it.

    Planes that never change on a map are kept once for the map, the others in half precision. The agent's own decisions
    overwrite the oldest; demonstrations are never overwritten. Own decisions are drawn in proportion to how wrong the
    network was about them (prioritized replay, Schaul et al. 2016, arXiv 1511.05952, equation 1), demonstrations
    evenly; all rows of a batch are of maps of one shape, and are turned or mirrored together at random if there is a
    `symmetry`.

    Parameters
    ----------
    capacity : own decisions that are kept
    fixed : channels that never change on a map
    priority : exponent of the error in the chance to be drawn; 0 draws evenly
    correction : exponent of the weights that make up for it, 1 for wholly
    symmetry : what turning does to planes; None: batches are as they were seen
    """

    def __init__(
        self,
        capacity: int,
        *,
        fixed: Sequence[int] = (),
        priority: float = 0.6,
        correction: float = 0.4,
        symmetry: Symmetry | None = None,
    ) -> None:
        if capacity < 1 or not 0 <= priority <= 1 or not 0 <= correction <= 1:
            raise InputError(
                f"replay: capacity {capacity}, priority {priority}, correction {correction} make no memory; give a "
                "capacity of 1 or more and exponents from 0 to 1"
            )
        self.fixed = tuple(fixed)
        self.priority, self.correction, self.symmetry = priority, correction, symmetry
        self._lands: list[NDArray[Any]] = []
        self._shapes: list[tuple[int, int]] = []
        self._own, self._demos = _Store(capacity, grows=False), _Store(64, grows=True)
        self._highest = 1.0  # priority of a decision that was never learned from: the highest so far

    def __len__(self) -> int:
        """Return the number of decisions that can be sampled, demonstrations included."""
        return len(self._own) + len(self._demos)

    @property
    def demonstrations(self) -> int:
        """Decisions that teachers made."""
        return len(self._demos)

    def add(self, lesson: Lesson, *, land: int | None = None, is_demo: bool = False) -> int:
        """Store decisions on one map, and return the map's number.

        Parameters
        ----------
        land : the number that `add` returned for the same map before, so that its planes are not kept again
        is_demo : a teacher chose

        Raises
        ------
        InputError
            shapes that do not fit, an action that was not allowed, or numbers that are not finite
        """
        decisions, (channels, *shape) = len(lesson.action), lesson.obs.shape[1:]
        cells = (decisions, shape[0] * shape[1])
        fits = lesson.obs.shape == lesson.next_obs.shape and lesson.mask.shape == lesson.next_mask.shape == cells
        fits = fits and len(lesson.obs) == len(lesson.reward) == len(lesson.discount) == decisions
        fits = fits and (land is None or self._shapes[land] == tuple(shape))
        if not fits or any(each is not None and each.shape != cells for each in (lesson.taught, lesson.gain)):
            raise InputError(
                f"replay.add: obs {lesson.obs.shape}, mask {lesson.mask.shape}, {decisions} actions and what was "
                "taught do not fit each other or their map; give all decisions of one lesson with equal shapes"
            )
        if not lesson.mask[np.arange(decisions), lesson.action].all():
            raise InputError("replay.add: an action is outside its mask; store the mask that was seen before acting")
        largest = np.finfo(np.float16).max
        if not (np.isfinite(lesson.reward).all() and (np.abs(lesson.obs) <= largest).all()):
            raise InputError("replay.add: a reward or observation is not finite or beyond 65504; scale the observation")
        if land is None:
            self._lands.append(lesson.obs[0, list(self.fixed)].astype(np.float16))
            self._shapes.append((shape[0], shape[1]))
            land = len(self._lands) - 1
        changing = [i for i in range(channels) if i not in self.fixed]
        store = self._demos if is_demo else self._own
        live, next_live = lesson.obs[:, changing].astype(np.float16), lesson.next_obs[:, changing].astype(np.float16)
        for i in range(decisions):
            maps: dict[str, NDArray[Any]] = {
                "live": live[i].copy(),
                "mask": np.packbits(lesson.mask[i]),
                "next_mask": np.packbits(lesson.next_mask[i]),
            }
            if lesson.discount[i] > 0:
                maps["next_live"] = next_live[i].copy()
            if lesson.taught is not None:
                maps["taught"] = np.packbits(lesson.taught[i])
            if lesson.gain is not None:
                maps["gain"] = lesson.gain[i].astype(np.float16)
            numbers = (land, lesson.action[i], lesson.reward[i], lesson.discount[i], self._highest)
            store.add([float(number) for number in numbers], maps)
        return land

    def sample(
        self, batch_size: int, rng: np.random.Generator, *, demo_fraction: float = 0.0, most_cells: int | None = None
    ) -> Batch:
        """Draw decisions, the given share of them from demonstrations (all, while there is nothing else).

        Parameters
        ----------
        most_cells : draw fewer, but 4 at least, where the maps have more cells together

        Raises
        ------
        InputError
            nothing is stored
        """
        if not len(self):
            raise InputError("replay.sample: nothing is stored yet; add decisions first")
        # A shape of map first, by how many decisions were made on maps of it.
        shapes = sorted(set(self._shapes))
        of_land = np.array([shapes.index(shape) for shape in self._shapes])
        shape_of = {
            name: of_land[store.numbers[: len(store), 0].astype(np.int64)]
            for name, store in (("own", self._own), ("demos", self._demos))
        }
        main = "demos" if len(self._demos) and (demo_fraction > 0 or not len(self._own)) else "own"
        shape = int(shape_of[main][rng.integers(len(shape_of[main]))])
        if most_cells is not None:
            batch_size = min(batch_size, max(4, most_cells // (shapes[shape][0] * shapes[shape][1])))
        own, demos = (np.flatnonzero(shape_of[name] == shape) for name in ("own", "demos"))
        n_demo = 0 if not len(demos) else batch_size if not len(own) else round(demo_fraction * batch_size)
        drawn: list[tuple[_Store, int]] = []
        place, weight = np.full(batch_size, -1), np.ones(batch_size, np.float32)
        if n_demo:
            drawn += [(self._demos, int(i)) for i in demos[rng.integers(len(demos), size=n_demo)]]
        if n_demo < batch_size:
            chance = self._own.numbers[own, 4] ** self.priority
            ends = np.cumsum(chance)
            picked = np.searchsorted(ends, rng.random(batch_size - n_demo) * ends[-1], side="right")
            picked = np.minimum(picked, len(own) - 1)
            place[n_demo:] = own[picked]
            weight[n_demo:] = (chance[picked] / chance.min()) ** -self.correction
            drawn += [(self._own, int(i)) for i in own[picked]]
        batch = self._batch(drawn, shapes[shape], weight, place)
        if self.symmetry is None:
            return batch
        return self._turned(batch, shapes[shape], int(rng.integers(4)), bool(rng.integers(2)))

    def _batch(self, drawn: list[tuple[_Store, int]], shape: tuple[int, int], weight: F4, place: I8) -> Batch:
        cells = shape[0] * shape[1]
        maps = [store.maps[i] for store, i in drawn]
        land, action, reward, discount = np.array([store.numbers[i, :4] for store, i in drawn]).T

        def planes(name: str) -> F2:
            # After the end of an episode nothing is seen; the decision's own observation stands in for it.
            live = np.stack([each.get(name, each["live"]) for each in maps])
            if not self.fixed:
                return live
            out = np.empty((len(live), len(self.fixed) + live.shape[1], *shape), np.float16)
            out[:, list(self.fixed)] = np.stack([self._lands[int(i)] for i in land])
            out[:, [i for i in range(out.shape[1]) if i not in self.fixed]] = live
            return out

        def bits(name: str) -> Mask:
            none = np.zeros((cells + 7) // 8, np.uint8)
            packed = np.stack([each.get(name, none) for each in maps])
            return np.unpackbits(packed, axis=-1, count=cells).view(np.bool_)

        unknown = np.full(cells, np.nan, np.float16)
        return Batch(
            obs=planes("live"),
            mask=bits("mask"),
            action=action.astype(np.int64),
            reward=reward.astype(np.float32),
            next_obs=planes("next_live"),
            next_mask=bits("next_mask"),
            discount=discount.astype(np.float32),
            is_demo=np.array([store is self._demos for store, _ in drawn]),
            taught=bits("taught"),
            gain=np.stack([each.get("gain", unknown) for each in maps]),
            weight=weight,
            place=place,
        )

    def _turned(self, batch: Batch, shape: tuple[int, int], quarters: int, mirrored: bool) -> Batch:
        assert self.symmetry is not None
        cells = self.symmetry.turned_cells
        moved = np.empty(shape[0] * shape[1], np.int64)
        moved[cells(np.arange(moved.size)[None], shape, quarters, mirrored)[0]] = np.arange(moved.size)
        return batch._replace(
            obs=self.symmetry.turned(batch.obs, quarters, mirrored),
            next_obs=self.symmetry.turned(batch.next_obs, quarters, mirrored),
            mask=cells(batch.mask, shape, quarters, mirrored),
            next_mask=cells(batch.next_mask, shape, quarters, mirrored),
            taught=cells(batch.taught, shape, quarters, mirrored),
            gain=cells(batch.gain, shape, quarters, mirrored),
            action=moved[batch.action],
        )

    def learned(self, place: I8, error: NDArray[np.floating[Any]]) -> None:
        """Say how wrong the network was (B,) about decisions that `sample` dealt out; a larger error is drawn more."""
        own = place >= 0
        if own.any():
            priority = np.abs(error[own]) + _LEAST_PRIORITY
            self._own.numbers[place[own], 4] = priority
            self._highest = max(float(self._own.numbers[: len(self._own), 4].max()), _LEAST_PRIORITY)

    @property
    def priorities(self) -> NDArray[np.float64]:
        """How wrong the network was about each of its own decisions (D,)."""
        return self._own.numbers[: len(self._own), 4].copy()

    @priorities.setter
    def priorities(self, given: NDArray[np.float64]) -> None:
        self._own.numbers[: len(self._own), 4] = given
        self._highest = float(max(given.max(initial=0.0), _LEAST_PRIORITY)) if len(given) else 1.0

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Return the whole memory as arrays, ready for `numpy.savez` or a checkpoint."""
        state: dict[str, NDArray[Any]] = {"shapes": np.array(self._shapes, np.int64).reshape(-1, 2)}
        state["highest"] = np.array(self._highest)
        state |= {f"land.{i}": land for i, land in enumerate(self._lands)}
        for name, store in (("own", self._own), ("demos", self._demos)):
            state[f"{name}.numbers"] = store.numbers[: len(store)].copy()
            state[f"{name}.at"] = np.array([store.at, len(store.numbers)])
            for field in _Store._FIELDS:
                # One long vector for each kind of map; where a decision has none, its length is 0.
                parts = [each[field].ravel() if field in each else np.empty(0) for each in store.maps]
                state[f"{name}.{field}.size"] = np.array([part.size for part in parts], np.int64)
                kept = [part for part in parts if part.size]
                if kept:
                    state[f"{name}.{field}"] = np.concatenate(kept)
        return state

    def load_state_dict(self, state: dict[str, NDArray[Any]]) -> None:
        """Restore what `state_dict` returned; sampling then goes on bit for bit.

        Raises
        ------
        InputError
            the memory was saved with another capacity
        """
        saved = int(state["own.at"][1])
        if saved != len(self._own.numbers):
            raise InputError(
                f"replay.load_state_dict: saved with room for {saved} decisions, this memory has room for "
                f"{len(self._own.numbers)}; use the saved run's settings"
            )
        self._shapes = [(int(rows), int(cols)) for rows, cols in state["shapes"]]
        self._lands = [state[f"land.{i}"].copy() for i in range(len(self._shapes))]
        self._highest = float(state["highest"])
        for name, grows in (("own", False), ("demos", True)):
            at, capacity = (int(number) for number in state[f"{name}.at"])
            store = _Store(capacity, grows=grows)
            numbers = state[f"{name}.numbers"]
            store.numbers[: len(numbers)], store.at = numbers, at
            store.maps = [{} for _ in range(len(numbers))]
            for field in _Store._FIELDS:
                ends = np.cumsum(state[f"{name}.{field}.size"])
                for i, (first, last) in enumerate(zip(ends - state[f"{name}.{field}.size"], ends, strict=True)):
                    if last > first:
                        part = state[f"{name}.{field}"][first:last].copy()
                        if field in ("live", "next_live"):
                            part = part.reshape(-1, *self._shapes[int(numbers[i, 0])])
                        store.maps[i][field] = part
            if name == "own":
                self._own = store
            else:
                self._demos = store

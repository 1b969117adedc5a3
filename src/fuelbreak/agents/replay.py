"""The memory the learner studies: every step kept once, n-step returns built when it is sampled."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fuelbreak.errors import InputError

_FIELDS = ("obs", "mask", "action", "reward", "terminated")


class Batch(NamedTuple):
    """B sampled decisions, demonstrations first."""

    obs: NDArray[np.float16]  #: (B, channels, h, w), what was seen
    mask: NDArray[np.bool_]  #: (B, h*w), what was allowed
    action: NDArray[np.int64]  #: (B,), the flat cell that was chosen
    reward: NDArray[np.float32]  #: (B,), sum of gamma^k r over the n-step window
    next_obs: NDArray[np.float16]  #: (B, channels, h, w), what was seen after the window
    next_mask: NDArray[np.bool_]  #: (B, h*w), what was allowed after the window
    discount: NDArray[np.float32]  #: (B,), gamma^n, or 0 where the episode ended inside the window
    is_demo: NDArray[np.bool_]  #: (B,), true where a teacher chose


class _Lane:
    """Consecutive steps of E episodes side by side: a ring of `capacity` steps, or a growing list if `grows`."""

    def __init__(self, capacity: int, rows: int, obs_shape: tuple[int, int, int], *, grows: bool) -> None:
        channels, height, width = obs_shape
        self.cells = height * width
        self.grows = grows
        self.head = 0  # where the next step is written
        self.size = 0  # steps that are filled; the oldest is at head - size
        self.obs = np.zeros((capacity, rows, channels, height, width), np.float16)
        self.mask = np.zeros((capacity, rows, (self.cells + 7) // 8), np.uint8)
        self.action = np.zeros((capacity, rows), np.int32)
        self.reward = np.zeros((capacity, rows), np.float32)
        self.terminated = np.zeros((capacity, rows), np.bool_)
        self.open_steps = np.zeros(rows, np.int64)  # steps of each row's unfinished episode

    def add(
        self,
        obs: NDArray[np.floating[Any]],
        mask: NDArray[np.bool_],
        action: NDArray[np.integer[Any]],
        reward: NDArray[np.floating[Any]],
        terminated: NDArray[np.bool_],
    ) -> None:
        if self.grows and self.size == len(self.reward):
            for name in _FIELDS:
                array = getattr(self, name)
                setattr(self, name, np.concatenate([array, np.zeros_like(array)]))
            self.head = self.size
        self.obs[self.head] = obs
        self.mask[self.head] = np.packbits(mask, axis=-1)
        self.action[self.head] = action
        self.reward[self.head] = reward
        self.terminated[self.head] = terminated
        self.open_steps = np.where(terminated, 0, self.open_steps + 1)
        capacity = len(self.reward)
        self.head = (self.head + 1) % capacity
        self.size = min(self.size + 1, capacity)

    def usable(self, n_step: int) -> NDArray[np.int64]:
        """(rows,) how many of each row's steps, from the oldest on, have their whole window stored."""
        return self.size - np.minimum(np.minimum(self.open_steps, n_step), self.size)

    def sample(self, n: int, n_step: int, gamma: float, is_demo: bool, rng: np.random.Generator) -> Batch:
        ends = np.cumsum(self.usable(n_step))
        picked = rng.integers(ends[-1], size=n)
        row = np.searchsorted(ends, picked, side="right")
        age = picked - np.concatenate([[0], ends])[row]
        capacity = len(self.reward)
        start = (self.head - self.size + age) % capacity
        window = (start[:, None] + np.arange(n_step)) % capacity
        ended = self.terminated[window, row[:, None]]
        # Steps after the first end belong to the row's next episode, or are not written yet.
        inside = np.cumsum(ended, axis=1) - ended == 0
        powers = gamma ** np.arange(n_step)
        reward = np.where(inside, self.reward[window, row[:, None]] * powers, 0.0).sum(1)
        over = ended.any(1)
        # After the end nothing is bootstrapped; the step's own observation stands in for the one that does not exist.
        after = np.where(over, start, (start + n_step) % capacity)
        return Batch(
            obs=self.obs[start, row],
            mask=self._unpack(start, row),
            action=self.action[start, row].astype(np.int64),
            reward=reward.astype(np.float32),
            next_obs=self.obs[after, row],
            next_mask=self._unpack(after, row),
            discount=np.where(over, 0.0, gamma**n_step).astype(np.float32),
            is_demo=np.full(n, is_demo),
        )

    def _unpack(self, step: NDArray[np.int64], row: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.unpackbits(self.mask[step, row], axis=-1, count=self.cells).view(np.bool_)


class Replay:
    """Remember what the agent and its teachers did, and deal out random batches of it.

    Every observation is stored once, in half precision; the n-step window is put together when it is sampled, so
    n can differ between two runs on one memory. The agent's own steps overwrite the oldest; demonstrations are never
    overwritten.

    Parameters
    ----------
    capacity : steps kept for each of the E rows of own experience; memory is about 2 * channels * h * w bytes per
        row and step
    rows : E, episodes that advance together
    obs_shape : (channels, h, w)
    n_step : rewards added up before the network's own estimate takes over
    gamma : discount per step, 1 for none
    """

    def __init__(
        self, capacity: int, rows: int, obs_shape: tuple[int, int, int], *, n_step: int = 1, gamma: float = 1.0
    ) -> None:
        if n_step < 1 or capacity <= n_step or rows < 1:
            raise InputError(
                f"replay: capacity {capacity}, rows {rows}, n_step {n_step} leave nothing to sample; "
                "give rows >= 1, n_step >= 1 and a capacity above n_step"
            )
        self.obs_shape = obs_shape
        self.n_step = n_step
        self.gamma = gamma
        self._own = _Lane(capacity, rows, obs_shape, grows=False)
        self._demos: _Lane | None = None

    def __len__(self) -> int:
        """Return the number of decisions that can be sampled, demonstrations included."""
        lanes = [self._own] if self._demos is None else [self._own, self._demos]
        return int(sum(lane.usable(self.n_step).sum() for lane in lanes))

    def add(
        self,
        obs: NDArray[np.floating[Any]],
        mask: NDArray[np.bool_],
        action: NDArray[np.integer[Any]],
        reward: NDArray[np.floating[Any]],
        terminated: NDArray[np.bool_],
        *,
        is_demo: bool = False,
    ) -> None:
        """Store one step of every row; calls must follow each other as the steps of the episodes do.

        Parameters
        ----------
        obs : (E, channels, h, w), seen before the action; kept as float16, so values beyond 65504 are refused
        mask : bool (E, h*w), allowed before the action
        action : (E,), the flat cell chosen, which must be allowed
        reward : (E,), earned by it
        terminated : bool (E,), true where this step was the episode's last
        is_demo : a teacher chose; the number of rows is set by the first demonstration and may differ from the agent's

        Raises
        ------
        InputError
            shapes that do not fit, an action that was not allowed, or numbers that are not finite
        """
        rows = len(action)
        lane = self._demos if is_demo else self._own
        expected = rows if lane is None else lane.action.shape[1]
        cells = self.obs_shape[1] * self.obs_shape[2]
        if rows != expected or obs.shape != (expected, *self.obs_shape) or mask.shape != (expected, cells):
            raise InputError(
                f"replay.add: obs {obs.shape}, mask {mask.shape}, action {np.shape(action)} do not fit {expected} rows "
                f"of {self.obs_shape} observations; add every row of one vector environment at once"
            )
        if not mask[np.arange(rows), action].all():
            raise InputError("replay.add: an action is outside its mask; store the mask that was seen before acting")
        if not (np.isfinite(reward).all() and (np.abs(obs) <= np.finfo(np.float16).max).all()):
            raise InputError("replay.add: a reward or observation is not finite or beyond 65504; scale the observation")
        if lane is None:
            lane = self._demos = _Lane(64, rows, self.obs_shape, grows=True)
        lane.add(obs, mask, action, reward, terminated)

    def sample(self, batch_size: int, rng: np.random.Generator, *, demo_fraction: float = 0.0) -> Batch:
        """Draw decisions uniformly, the given share of them from demonstrations (all, while there is nothing else).

        Raises
        ------
        InputError
            nothing is stored whose n-step window is complete
        """
        own = int(self._own.usable(self.n_step).sum())
        demos = 0 if self._demos is None else int(self._demos.usable(self.n_step).sum())
        if own + demos == 0:
            raise InputError(f"replay.sample: no window of {self.n_step} steps is complete yet; add more steps first")
        n_demo = 0 if demos == 0 else batch_size if own == 0 else round(demo_fraction * batch_size)
        parts = []
        if self._demos is not None and n_demo:
            parts.append(self._demos.sample(n_demo, self.n_step, self.gamma, True, rng))
        if n_demo < batch_size:
            parts.append(self._own.sample(batch_size - n_demo, self.n_step, self.gamma, False, rng))
        return parts[0] if len(parts) == 1 else Batch._make(map(np.concatenate, zip(*parts, strict=True)))

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Return the whole memory as arrays, ready for `numpy.savez` or a checkpoint; only filled steps are copied."""
        state: dict[str, NDArray[Any]] = {}
        for name, lane in (("own", self._own), ("demos", self._demos)):
            if lane is not None:
                # Until a ring is full its steps lie at the front, in order.
                state |= {f"{name}.{field}": getattr(lane, field)[: lane.size].copy() for field in _FIELDS}
                state[f"{name}.open_steps"] = lane.open_steps.copy()
                state[f"{name}.head"] = np.array(lane.head)
                state[f"{name}.capacity"] = np.array(len(lane.reward))
        return state

    def load_state_dict(self, state: dict[str, NDArray[Any]]) -> None:
        """Restore what `state_dict` returned; sampling then goes on bit for bit.

        Raises
        ------
        InputError
            the memory was saved with another capacity, number of rows or shape of map
        """
        for name in ("own", "demos"):
            if f"{name}.obs" not in state:
                self._demos = None
                continue
            size, rows, *shape = state[f"{name}.obs"].shape
            capacity = int(state[f"{name}.capacity"])
            lane = self._own if name == "own" else _Lane(capacity, rows, self.obs_shape, grows=True)
            if (capacity, rows, *shape) != (*lane.action.shape, *self.obs_shape):
                raise InputError(
                    f"replay.load_state_dict: saved {capacity} steps of {rows} rows of {tuple(shape)}, this memory "
                    f"holds {lane.action.shape} of {self.obs_shape}; use the saved run's settings"
                )
            for field in _FIELDS:
                getattr(lane, field)[:size] = state[f"{name}.{field}"]
            lane.open_steps = state[f"{name}.open_steps"].copy()
            lane.size, lane.head = size, int(state[f"{name}.head"])
            if name == "demos":
                self._demos = lane

"""Deep Q-learning: choose by mask, learn from n-step returns and demonstrations, on several cores with equal bits."""

import copy
import ctypes
import itertools
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional

from fuelbreak.agents.network import QNetwork
from fuelbreak.agents.replay import Batch
from fuelbreak.errors import InputError

# In advantage units. Below it the loss is quadratic, so Q tends to the mean of noisy returns and not to their median.
_HUBER_DELTA = 10.0
_FORMAT = "fuelbreak-dqn-2"


@dataclass(frozen=True)
class DQNConfig:
    """How the agent learns; checked once, here."""

    learning_rate: float = 5e-4
    """Adam's step size."""
    gamma: float = 1.0
    """Discount per step; 1 because the return is the fraction of loss avoided. Give `Replay` the same."""
    n_step: int = 5
    """Rewards added up before the network's own estimate takes over. Give `Replay` the same."""
    batch_size: int = 32
    """Decisions per update."""
    target_tau: float = 0.005
    """Share of the online network mixed into the target network after each update."""
    advantage_unit: float = 0.01
    """Typical size of one step's reward; the advantage head and the losses count in it."""
    margin: float = 0.2
    """How far, in advantage units, a demonstrated action must stand above every other allowed one."""
    margin_weight: float = 1.0
    """Weight of the demonstration loss beside the TD loss, both in advantage units; 0 switches it off."""
    demo_fraction: float = 0.25
    """Share of each batch that is drawn from demonstrations, while there are any."""
    gradient_clip: float = 10.0
    """Largest norm of the whole gradient."""
    width: int = 24
    """Channels of the network's hidden layers, a multiple of 4."""
    shards: int = 4
    """Parts of a batch that are computed side by side; fixes the order of sums, so results do not depend on threads."""

    def __post_init__(self) -> None:
        rules = {
            "learning_rate": self.learning_rate > 0,
            "gamma": 0 <= self.gamma <= 1,
            "n_step": self.n_step >= 1,
            "batch_size": self.batch_size >= 1,
            "target_tau": 0 < self.target_tau <= 1,
            "advantage_unit": self.advantage_unit > 0,
            "margin": self.margin >= 0,
            "margin_weight": self.margin_weight >= 0,
            "demo_fraction": 0 <= self.demo_fraction <= 1,
            "gradient_clip": self.gradient_clip > 0,
            "width": self.width > 0 and self.width % 4 == 0,
            "shards": self.shards >= 1,
        }
        for name, holds in rules.items():
            if not holds:
                raise InputError(
                    f"agent settings: {name} = {getattr(self, name)} is out of range; see DQNConfig.{name}"
                )


class _ShardResult(NamedTuple):
    """What one shard adds to the update; sums over its rows, not means."""

    gradient: Tensor  #: (parameters,), flat, of the batch-mean loss
    rows: int
    demos: int
    td_loss: float
    td_error: float
    q: float
    margin_loss: float


Gradient = list[Future[_ShardResult]]
"""A batch's gradient under way."""


def td_targets(online: QNetwork, target: QNetwork, batch: Batch) -> Tensor:
    """Return what each chosen action should have been worth, f4 (B,).

    n-step double Q-learning (van Hasselt et al. 2016, arXiv 1509.06461): the online network chooses among
    the actions allowed after the window, the target network says what that choice is worth. Rows whose episode ended
    inside the window are not evaluated at all.
    """
    result = torch.from_numpy(batch.reward).clone()
    live = np.flatnonzero(batch.discount)
    if len(live):
        obs = torch.from_numpy(batch.next_obs[live]).float()
        mask = torch.from_numpy(batch.next_mask[live])
        with torch.no_grad():
            choice = online(obs, mask).argmax(1, keepdim=True)
            value = target(obs, mask).gather(1, choice).squeeze(1)
        result[live] += torch.from_numpy(batch.discount[live]) * value
    return result


def margin_losses(q: Tensor, action: Tensor, margin: float) -> Tensor:
    """Return how far each row's action falls short of standing `margin` above every other one, f4 (B,).

    max(0, max over a' != a of Q(s, a') + margin - Q(s, a)): the large-margin loss of Hester et al. 2018 (arXiv
    1704.03732), zero where there is no other allowed action. A softmax cross-entropy in its place never
    rests and bends Q away from the returns: 0.92 against 0.94 of the optimum after imitation (12 x 12 toy, measured).
    """
    chosen = q.gather(1, action[:, None])
    others = q.scatter(1, action[:, None], -torch.inf).amax(1)
    return functional.relu(others + margin - chosen.squeeze(1))


def _keep_freed_memory() -> None:
    """Let the C library reuse the memory of the last update instead of handing it back page by page.

    On glibc this takes a fifth off an update's CPU time (measured); elsewhere it does nothing.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(-1, 256 << 20)  # M_TRIM_THRESHOLD, malloc.h: bytes kept at the top of the heap
    mallopt(-3, 32 << 20)  # M_MMAP_THRESHOLD, its largest value: smaller blocks come from the heap


class DQN:
    """A masked, double, dueling, n-step deep-Q learner that can be shown demonstrations.

    Each batch is cut in `config.shards` fixed parts that worker threads compute side by side; torch releases the
    interpreter lock inside its kernels, and gradients are added in shard order, so any number of threads gives the same
    bits.
    torch's own threads are switched off for the whole process (they would spin beside ours) and freed memory is kept.

    Parameters
    ----------
    channels : planes of an observation
    prior_channel : plane that is a first guess of the advantage, in the unit of the reward (see `QNetwork`)
    seed : of the starting weights
    threads : worker threads
    """

    def __init__(
        self, channels: int, config: DQNConfig, *, prior_channel: int | None = None, seed: int = 0, threads: int = 1
    ) -> None:
        if prior_channel is not None and not 0 <= prior_channel < channels:
            raise InputError(f"agent: prior_channel {prior_channel} is not one of {channels} channels; count from 0")
        self.channels = channels
        self.config = config
        self.prior_channel = prior_channel
        self.updates = 0
        torch.set_num_threads(1)
        _keep_freed_memory()
        self._pool = ThreadPoolExecutor(threads, "learner", initializer=torch.set_num_threads, initargs=(1,))
        # Acting has threads of its own: those of the learner may be in the middle of a gradient.
        self._acting = None
        if threads > 1:
            self._acting = ThreadPoolExecutor(1, "actor", initializer=torch.set_num_threads, initargs=(1,))
        self.cpu_s = 0.0
        """CPU seconds that the network took so far, acting and learning, on all threads."""
        self._counting = threading.Lock()

        def network() -> QNetwork:
            generator = torch.Generator().manual_seed(seed)
            unit = config.advantage_unit
            net = QNetwork(channels, config.width, prior_channel, advantage_unit=unit, generator=generator)
            return net.eval()

        self.online = network()
        self.target = network().requires_grad_(False)
        # One vector for all weights: a step of 31 tensors takes several times longer, while the other cores wait.
        self._parameters = [p for p in self.online.parameters() if p.requires_grad]
        self._weights = nn.Parameter(_one_vector(self._parameters))
        trained = [p.requires_grad for p in self.online.parameters()]
        self._target_weights = _one_vector(list(itertools.compress(self.target.parameters(), trained)))
        self._optimizer = torch.optim.Adam([self._weights], lr=config.learning_rate, fused=True)

    def q_values(self, obs: NDArray[np.floating[Any]], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return what each allowed action is worth: f4 (E, h*w), in the unit of the return, -inf where not allowed.

        Parameters
        ----------
        obs : (E, channels, h, w)
        mask : bool (E, h*w)

        Rows are computed in two parts, by two threads if there are: were one core to act alone, half of the gradients
        that are worked out meanwhile would be late. The parts do not depend on the threads, so neither do the bits.
        """
        first, *rest = np.array_split(np.arange(len(obs)), min(2, len(obs)))
        other = [self._acting.submit(self._q_values, obs[rows], mask[rows]) for rows in rest] if self._acting else []
        q = [self._q_values(obs[first], mask[first]), *(future.result() for future in other)]
        q += [self._q_values(obs[rows], mask[rows]) for rows in rest[len(other) :]]
        return np.concatenate(q)

    def _q_values(self, obs: NDArray[np.floating[Any]], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        began = time.thread_time()
        with torch.no_grad():
            q: NDArray[np.float32] = self.online(torch.from_numpy(obs).float(), torch.from_numpy(mask)).numpy()
        self._count(began)
        return q

    def _count(self, began: float) -> None:
        with self._counting:
            self.cpu_s += time.thread_time() - began

    def act(
        self,
        obs: NDArray[np.floating[Any]],
        mask: NDArray[np.bool_],
        epsilon: ArrayLike,
        rng: np.random.Generator,
    ) -> NDArray[np.int64]:
        """Choose one allowed action per row: the best, or with chance epsilon any; ties go to the lowest cell.

        Parameters
        ----------
        obs : (E, channels, h, w)
        mask : bool (E, h*w)
        epsilon : one chance for all rows, or one for each (E,)
        rng : two numbers are drawn per row, whatever epsilon is

        Returns
        -------
        i8 (E,) flat cells

        Raises
        ------
        InputError
            a row allows no action
        """
        allowed = mask.sum(1)
        if not allowed.all():
            raise InputError(f"agent: row {int(allowed.argmin())} allows no action; end its episode before acting")
        explore, which = rng.random((2, len(obs)))
        # The k-th allowed cell, k uniform.
        nth = (which * allowed).astype(np.int64) + 1
        action: NDArray[np.int64] = (mask.cumsum(1) == nth[:, None]).argmax(1)
        greedy = np.flatnonzero(explore >= epsilon)
        if len(greedy):
            action[greedy] = self.q_values(obs[greedy], mask[greedy]).argmax(1)
        return action

    def update(self, batch: Batch) -> dict[str, float]:
        """Learn from one batch: `begin_update`, then `finish_update`."""
        return self.finish_update(self.begin_update(batch))

    def begin_update(self, batch: Batch) -> Gradient:
        """Let the workers compute a batch's gradient; nothing changes until `finish_update` is given what this returns.

        Between the two, acting uses the weights as they were: a fixed lag of one update, whatever the timing.
        """
        size = len(batch.action)
        parts = np.array_split(np.arange(size), min(self.config.shards, size))
        demos = max(1, int(batch.is_demo.sum()))
        shards = [Batch._make(field[part[0] : part[-1] + 1] for field in batch) for part in parts]
        return [self._pool.submit(self._shard_gradient, shard, size, demos) for shard in shards]

    def finish_update(self, begun: Gradient) -> dict[str, float]:
        """Wait for the gradient and take the step.

        Returns
        -------
        loss (TD + weighted margin, advantage units), td_error (mean absolute, unit of the return), mean_q (of the
        chosen actions, likewise), margin_loss (mean over demonstrations, advantage units), grad_norm (before clipping)
        """
        results = [shard.result() for shard in begun]
        size, demos = sum(r.rows for r in results), max(1, sum(r.demos for r in results))
        gradient = results[0].gradient
        for result in results[1:]:
            gradient += result.gradient
        norm = float(gradient.norm())
        if not np.isfinite(norm):
            raise InputError("agent: the gradient is not finite; look for wrong rewards or lower learning_rate")
        gradient *= min(1.0, self.config.gradient_clip / (norm + 1e-12))
        self._weights.grad = gradient
        self._optimizer.step()
        self._target_weights.lerp_(self._weights.detach(), self.config.target_tau)
        self.updates += 1
        td_loss, margin_loss = sum(r.td_loss for r in results) / size, sum(r.margin_loss for r in results) / demos
        return {
            "loss": td_loss + self.config.margin_weight * margin_loss,
            "td_error": sum(r.td_error for r in results) / size,
            "mean_q": sum(r.q for r in results) / size,
            "margin_loss": margin_loss,
            "grad_norm": norm,
        }

    def _shard_gradient(self, batch: Batch, size: int, demos: int) -> _ShardResult:
        """Gradient of one shard's part of the loss; runs in a worker thread and changes nothing that others read."""
        began = time.thread_time()
        config = self.config
        wanted = td_targets(self.online, self.target, batch)
        q = self.online(torch.from_numpy(batch.obs).float(), torch.from_numpy(batch.mask))
        action = torch.from_numpy(batch.action)
        chosen = q.gather(1, action[:, None]).squeeze(1)
        # Both losses count in advantage units, so that neither drowns the other whatever the rewards' size.
        td = functional.huber_loss(
            chosen / config.advantage_unit, wanted / config.advantage_unit, reduction="sum", delta=_HUBER_DELTA
        )
        loss = td / size
        margin = torch.zeros(())
        if config.margin_weight and batch.is_demo.any():
            rows = torch.from_numpy(np.flatnonzero(batch.is_demo))
            margin = margin_losses(q[rows] / config.advantage_unit, action[rows], config.margin).sum()
            loss = loss + config.margin_weight * margin / demos
        gradient = torch.autograd.grad(loss, self._parameters)
        self._count(began)
        return _ShardResult(
            gradient=_flat(gradient),
            rows=len(batch.action),
            demos=int(batch.is_demo.sum()),
            td_loss=td.item(),
            td_error=(chosen - wanted).abs().sum().item(),
            q=chosen.sum().item(),
            margin_loss=margin.item(),
        )

    def save(self, path: str | os.PathLike[str], extra: dict[str, Any] | None = None) -> None:
        """Write the learner and `extra` (plain values, arrays); an interruption leaves the old file whole."""
        write_snapshot(path, self.snapshot(extra))

    def snapshot(self, extra: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what `save` writes, as it is now: a copy, but for the arrays of `extra`."""
        return {
            "format": _FORMAT,
            "channels": self.channels,
            "prior_channel": self.prior_channel,
            "config": asdict(self.config),
            "updates": self.updates,
            "online": copy.deepcopy(self.online.state_dict()),
            "target": copy.deepcopy(self.target.state_dict()),
            "optimizer": copy.deepcopy(self._optimizer.state_dict()),
            "extra": extra or {},
        }

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, threads: int = 1) -> "tuple[DQN, dict[str, Any]]":
        """Read what `save` wrote: the learner, which goes on bit for bit, and `extra`.

        Raises
        ------
        InputError
            the file is missing or was not written by `save`; nothing in it is executed
        """
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            if state["format"] != _FORMAT:
                raise ValueError(state["format"])
        except OSError as error:
            raise InputError(f"{path}: cannot read the agent ({error.strerror}); give a file that was saved") from error
        except Exception as error:  # torch raises many kinds for a file that is not its own
            raise InputError(
                f"{path}: not an agent of this version ({type(error).__name__}); train it again"
            ) from error
        return cls.of(state, threads=threads), _mapped(state["extra"], Tensor, Tensor.numpy)

    @classmethod
    def of(cls, snapshot: dict[str, Any], *, threads: int = 1) -> "DQN":
        """Return another learner that stands where this snapshot was taken."""
        config = DQNConfig(**snapshot["config"])
        agent = cls(snapshot["channels"], config, prior_channel=snapshot["prior_channel"], threads=threads)
        agent.online.load_state_dict(snapshot["online"])
        agent.target.load_state_dict(snapshot["target"])
        agent._optimizer.load_state_dict(snapshot["optimizer"])
        agent.updates = snapshot["updates"]
        return agent

    def close(self) -> None:
        """End the worker threads."""
        self._pool.shutdown()
        if self._acting is not None:
            self._acting.shutdown()


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    """One vector of all numbers; those of convolutions in the order in which memory holds them, channels last."""
    return torch.cat([(each.permute(0, 2, 3, 1) if each.dim() == 4 else each).reshape(-1) for each in tensors])


def _one_vector(parameters: Sequence[nn.Parameter]) -> Tensor:
    """Move parameters into one vector, in the order of `_flat`, of which each is a view from now on."""
    vector = _flat([each.detach() for each in parameters])
    for parameter, piece in zip(parameters, torch.split(vector, [each.numel() for each in parameters]), strict=True):
        if parameter.dim() == 4:
            rows, planes, height, width = parameter.shape
            parameter.data = piece.view(rows, height, width, planes).permute(0, 3, 1, 2)
        else:
            parameter.data = piece.view(parameter.shape)
    return vector


def write_snapshot(path: str | os.PathLike[str], snapshot: dict[str, Any]) -> None:
    """Write what `DQN.snapshot` returned, from any thread; an interruption leaves the old file whole."""
    path = Path(path)
    state = _mapped(
        snapshot, np.ndarray, lambda array: torch.from_numpy(array if array.flags.writeable else array.copy())
    )
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        file = temporary.open("wb")
    except OSError as error:
        raise InputError(f"{path}: cannot write the agent here ({error.strerror}); choose another folder") from error
    try:
        with file:
            torch.save(state, file)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink()
        raise


def _mapped(value: Any, kind: type, convert: Callable[[Any], Any]) -> Any:
    """Return `value` with every `kind` in its nested dicts and lists converted; torch's safe loader knows no numpy."""
    if isinstance(value, kind):
        return convert(value)
    if isinstance(value, dict):
        return {key: _mapped(item, kind, convert) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_mapped(item, kind, convert) for item in value)
    return value

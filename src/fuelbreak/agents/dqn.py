"""Deep Q-learning: choose by mask, learn from n-step returns and demonstrations, on several cores with equal bits."""

import copy
import ctypes
import hashlib
import itertools
import json
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

from fuelbreak.agents.network import QNetwork, combine
from fuelbreak.agents.replay import Batch
from fuelbreak.errors import InputError

# In advantage units. Below it the loss is quadratic, so Q tends to the mean of noisy returns and not to their median.
_HUBER_DELTA = 10.0
_FORMAT = "fuelbreak-dqn-3"


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
    td_weight: float = 1.0
    """Weight of the TD loss; 0 learns from teachers alone."""
    td_own_only: bool = False
    """Whether demonstrations are left out of the TD loss; the target's two evaluations double an update's time."""
    margin: float = 0.2
    """How far, in advantage units, a demonstrated action must stand above every other allowed one."""
    margin_weight: float = 1.0
    """Weight of the demonstration loss where a teacher chose one action; 0 switches it off."""
    taught_weight: float = 1.0
    """Weight of the loss that lifts every cell of a teacher's plan above all others; 0 switches it off."""
    sharpness: float = 10.0
    """How clearly, per unit of advantage, that loss wants them apart."""
    gain_weight: float = 0.0
    """Weight of the loss that teaches what each cell alone would bring, where that was measured; 0 switches it off."""
    demo_fraction: float = 0.25
    """Share of each batch that is drawn from demonstrations, while there are any."""
    gradient_clip: float = 10.0
    """Largest norm of the whole gradient."""
    width: int = 24
    """Channels of the network's hidden layers."""
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
            "td_weight": self.td_weight >= 0,
            "margin": self.margin >= 0,
            "margin_weight": self.margin_weight >= 0,
            "taught_weight": self.taught_weight >= 0,
            "sharpness": self.sharpness > 0,
            "gain_weight": self.gain_weight >= 0,
            "demo_fraction": 0 <= self.demo_fraction <= 1,
            "gradient_clip": self.gradient_clip > 0,
            "width": self.width >= 1,
            "shards": self.shards >= 1,
        }
        for name, holds in rules.items():
            if not holds:
                raise InputError(
                    f"agent settings: {name} = {getattr(self, name)} is out of range; see DQNConfig.{name}"
                )


class _ShardResult(NamedTuple):
    """What one shard adds to the update: its part of each sum."""

    gradient: Tensor  #: (parameters,), flat, of the batch-mean loss
    rows: int
    td_loss: float
    td_errors: NDArray[np.float32]  #: (rows,), what was expected minus what came
    q: float
    margin_loss: float
    taught_loss: float
    gain_loss: float


Gradient = list[Future[_ShardResult]]
"""A batch's gradient under way."""


class Learned(NamedTuple):
    """What an update says of itself; losses in advantage units, means over the rows they are of."""

    loss: float  #: all of them, weighted
    td_error: float  #: mean absolute, in the unit of the return
    mean_q: float  #: of the chosen actions, likewise
    margin_loss: float
    taught_loss: float
    gain_loss: float
    grad_norm: float  #: before clipping
    td_errors: NDArray[np.float32]  #: (B,), by row, in the unit of the return: for `Replay.learned`


def td_targets(online: QNetwork, target: QNetwork, batch: Batch) -> Tensor:
    """Return what each chosen action should have been worth, f4 (B,).

    n-step double Q-learning (van Hasselt et al. 2016, arXiv 1509.06461): the online network chooses among
    the actions allowed after the window, the target network says what that choice is worth. Rows whose episode ended
    inside the window are not evaluated at all.
    """
    device = next(online.parameters()).device
    result = torch.from_numpy(batch.reward).clone().to(device)
    live = np.flatnonzero(batch.discount)
    if len(live):
        obs = torch.from_numpy(batch.next_obs[live]).to(device).float()
        mask = torch.from_numpy(batch.next_mask[live]).to(device)
        with torch.no_grad():
            choice = online(obs, mask).argmax(1, keepdim=True)
            value = target(obs, mask).gather(1, choice).squeeze(1)
        result[torch.from_numpy(live).to(device)] += torch.from_numpy(batch.discount[live]).to(device) * value
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


def taught_losses(advantage: Tensor, mask: Tensor, taught: Tensor, sharpness: float) -> Tensor:
    """Return how surprised a softmax of the advantages (B, h*w) is by each teacher's plan, f4 (B,).

    Whatever the order in which a plan is built, each of its cells is as good a next action as any other: the loss is
    the mean cross-entropy over the cells it still treats. Rows in which nobody taught are 0.
    """
    taught = taught & mask
    logits = (sharpness * advantage).masked_fill(~mask, -1e9)
    surprise = -(functional.log_softmax(logits, dim=1) * taught).sum(1)
    return surprise / taught.sum(1).clamp_min(1)


def gain_losses(guess: Tensor, gain: Tensor, scale: Tensor) -> Tensor:
    """Return how far guesses (B, h*w), in units of scale (B, 1), are from measured gains, NaN where not: f4 (B,)."""
    known = torch.isfinite(gain)
    wanted = torch.where(known, gain / scale, 0.0)
    off = functional.smooth_l1_loss(guess, wanted, reduction="none", beta=0.1)
    return (off * known).sum(1) / known.sum(1).clamp_min(1)


def checked_device(device: str) -> torch.device:
    """The device a name means; `auto` is a graphics processor where there is one.

    Raises
    ------
    InputError
        no such device here
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.split(":")[0] not in ("cpu", "cuda"):
        raise InputError(f"device: {device!r} is unknown; use auto, cpu or cuda")
    try:
        found = torch.device(device)
        torch.zeros(1, device=found)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device: {device!r} cannot be used here ({str(error).splitlines()[0]}); use auto") from error
    return found


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
    device : where the network is computed: cpu, cuda, or auto
    """

    def __init__(
        self,
        channels: int,
        config: DQNConfig,
        *,
        prior_channel: int | None = None,
        seed: int = 0,
        threads: int = 1,
        device: str = "cpu",
    ) -> None:
        if prior_channel is not None and not 0 <= prior_channel < channels:
            raise InputError(f"agent: prior_channel {prior_channel} is not one of {channels} channels; count from 0")
        self.channels = channels
        self.config = config
        self.prior_channel = prior_channel
        self.updates = 0
        self.device = checked_device(device)
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
            return net.eval().to(self.device)

        self.online = network()
        self.target = network().requires_grad_(False)
        # One vector for all weights: a step of 31 tensors takes several times longer, while the other cores wait.
        self._parameters = [p for p in self.online.parameters() if p.requires_grad]
        self._weights = nn.Parameter(_one_vector(self._parameters))
        trained = [p.requires_grad for p in self.online.parameters()]
        self._target_weights = _one_vector(list(itertools.compress(self.target.parameters(), trained)))
        self._optimizer = torch.optim.Adam([self._weights], lr=config.learning_rate, fused=True)

    @property
    def digest(self) -> str:
        """What tells this network's numbers from others' (16 hexadecimal digits)."""
        told = hashlib.sha256()
        for name, weight in self.online.state_dict().items():
            told.update(name.encode() + weight.detach().cpu().numpy().tobytes())
        return told.hexdigest()[:16]

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
            q: NDArray[np.float32] = self.online(self._there(obs).float(), self._there(mask)).cpu().numpy()
        self._count(began)
        return q

    def _there(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self.device)

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

    def update(self, batch: Batch) -> Learned:
        """Learn from one batch: `begin_update`, then `finish_update`."""
        return self.finish_update(self.begin_update(batch))

    def begin_update(self, batch: Batch) -> Gradient:
        """Let the workers compute a batch's gradient; nothing changes until `finish_update` is given what this returns.

        Between the two, acting uses the weights as they were: a fixed lag of one update, whatever the timing.
        """
        size = len(batch.action)
        parts = np.array_split(np.arange(size), min(self.config.shards, size))
        rows = [np.full(size, True), batch.is_demo, batch.taught.any(1), np.isfinite(batch.gain).any(1)]
        shards = [Batch._make(field[part[0] : part[-1] + 1] for field in batch) for part in parts]
        counts = [max(1, int(each.sum())) for each in rows]
        return [self._pool.submit(self._shard_gradient, shard, counts) for shard in shards]

    def finish_update(self, begun: Gradient) -> Learned:
        """Wait for the gradient and take the step."""
        results = [shard.result() for shard in begun]
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
        errors = np.concatenate([r.td_errors for r in results])
        td, margin, taught, gain = (
            sum(getattr(r, name) for r in results) for name in ("td_loss", "margin_loss", "taught_loss", "gain_loss")
        )
        config = self.config
        loss = config.td_weight * td + config.margin_weight * margin
        loss += config.taught_weight * taught + config.gain_weight * gain
        mean_q = sum(r.q for r in results) / len(errors)
        return Learned(loss, float(np.abs(errors).mean()), mean_q, margin, taught, gain, norm, errors)

    def _shard_gradient(self, batch: Batch, counts: list[int]) -> _ShardResult:
        """Gradient of one shard's part of the loss; runs in a worker thread and changes nothing that others read.

        Parameters
        ----------
        counts : rows of the whole batch: all, demonstrations, taught, with gains
        """
        began = time.thread_time()
        config = self.config
        mask, action = self._there(batch.mask), self._there(batch.action)
        value, advantage, guess, scale = self.online.heads(self._there(batch.obs).float(), mask)
        q = combine(value, advantage, scale, mask)
        chosen = q.gather(1, action[:, None]).squeeze(1)
        loss = value.sum() * 0.0  # something to differentiate where a shard teaches nothing
        td = margin = taught = gain = loss
        errors = np.zeros(len(batch.action), np.float32)
        unit = config.advantage_unit
        # All losses count in advantage units, so that none drowns the others whatever the rewards' size.
        learns = np.flatnonzero(~batch.is_demo) if config.td_own_only else np.arange(len(batch.action))
        if config.td_weight and len(learns):
            wanted = td_targets(self.online, self.target, Batch._make(field[learns] for field in batch))
            weight, estimate = self._there(batch.weight[learns]), chosen[self._there(learns)]
            off = functional.huber_loss(estimate / unit, wanted / unit, reduction="none", delta=_HUBER_DELTA)
            td = (weight * off).sum() / counts[0]
            loss = loss + config.td_weight * td
            errors[learns] = (wanted - estimate).detach().cpu().numpy()
        if config.margin_weight and batch.is_demo.any():
            rows = self._there(np.flatnonzero(batch.is_demo))
            margin = margin_losses(q[rows] / unit, action[rows], config.margin).sum() / counts[1]
            loss = loss + config.margin_weight * margin
        if config.taught_weight and batch.taught.any():
            taught = taught_losses(advantage, mask, self._there(batch.taught), config.sharpness).sum() / counts[2]
            loss = loss + config.taught_weight * taught
        if config.gain_weight and np.isfinite(batch.gain).any():
            gain = gain_losses(guess, self._there(batch.gain).float(), scale).sum() / counts[3]
            loss = loss + config.gain_weight * gain
        gradient = torch.autograd.grad(loss, self._parameters, materialize_grads=True)
        self._count(began)
        return _ShardResult(
            gradient=_flat(gradient),
            rows=len(batch.action),
            td_loss=td.item(),
            td_errors=errors,
            q=chosen.sum().item(),
            margin_loss=margin.item(),
            taught_loss=taught.item(),
            gain_loss=gain.item(),
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
    def load(
        cls, path: str | os.PathLike[str], *, threads: int = 1, device: str = "cpu"
    ) -> "tuple[DQN, dict[str, Any]]":
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
            agent = cls.of(state, threads=threads, device=device)
        except InputError:
            raise
        except OSError as error:
            raise InputError(f"{path}: cannot read the agent ({error.strerror}); give a file that was saved") from error
        except Exception as error:  # torch raises many kinds for a file that is not its own
            raise InputError(
                f"{path}: not an agent of this version ({type(error).__name__}); train it again"
            ) from error
        return agent, _mapped(state["extra"], Tensor, Tensor.numpy)

    @classmethod
    def of(cls, snapshot: dict[str, Any], *, threads: int = 1, device: str = "cpu") -> "DQN":
        """Return another learner that stands where this snapshot was taken."""
        config = DQNConfig(**snapshot["config"])
        agent = cls(
            snapshot["channels"], config, prior_channel=snapshot["prior_channel"], threads=threads, device=device
        )
        agent.online.load_state_dict(snapshot["online"])
        agent.target.load_state_dict(snapshot["target"])
        agent._optimizer.load_state_dict(snapshot["optimizer"])
        agent.updates = snapshot["updates"]
        return agent

    def averaged(self) -> "DQN":
        """Return another learner that acts by the target's weights: a moving average of these, which wanders less."""
        other = DQN.of(self.snapshot())
        other.online.load_state_dict(self.target.state_dict())
        return other

    def set_learning_rate(self, learning_rate: float) -> None:
        """Go on with another step size."""
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate

    def save_weights(
        self, path: str | os.PathLike[str], told: dict[str, str] | None = None, *, averaged: bool = False
    ) -> None:
        """Write the network alone, to act with and to learn on from: a .safetensors file.

        Parameters
        ----------
        told : kept in the file beside it, for people: how the agent was made
        averaged : the target's weights, a moving average of those learned, which wander less
        """
        from safetensors.torch import save_file

        settings = {"channels": self.channels, "prior_channel": self.prior_channel, "config": asdict(self.config)}
        meta = {"format": _FORMAT, "settings": json.dumps(settings), **(told or {})}
        network = self.target if averaged else self.online
        weights = {name: weight.detach().cpu().contiguous() for name, weight in network.state_dict().items()}
        temporary = Path(path).with_name(f"{Path(path).name}.{os.getpid()}.tmp")
        try:
            save_file(weights, temporary, meta)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    @classmethod
    def load_weights(
        cls,
        path: str | os.PathLike[str],
        config: DQNConfig | None = None,
        *,
        threads: int = 1,
        device: str = "cpu",
    ) -> "DQN":
        """Read what `save_weights` wrote: an agent that acts as the saved one, and learns anew from there.

        Parameters
        ----------
        config : how it goes on learning; None: as it was made; its width must be that of the file

        Raises
        ------
        InputError
            the file is missing or was not written by `save_weights`, or has another width
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                meta = file.metadata() or {}
                if meta.get("format") != _FORMAT:
                    raise InputError(f"{path}: not an agent of this version; train it again")
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
            settings = json.loads(meta["settings"])
            made = DQNConfig(**settings["config"])
            if config is not None and config.width != made.width:
                raise InputError(
                    f"{path}: its network is {made.width} wide, {config.width} is wanted; use {made.width}"
                )
            agent = cls(
                settings["channels"],
                config or made,
                prior_channel=settings["prior_channel"],
                threads=threads,
                device=device,
            )
            for network in (agent.online, agent.target):
                network.load_state_dict(weights)
        except OSError as error:
            why = error.strerror or "no such file"
            raise InputError(f"{path}: cannot read the agent ({why}); give a file that was saved") from error
        except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            why = str(error).splitlines()[0]
            raise InputError(f"{path}: not an agent ({why}); give a .safetensors file that was saved") from error
        return agent

    def take_weights(self, other: "DQN") -> None:
        """Go on from another learner's network, of the same planes and width, and learn anew."""
        for network in (self.online, self.target):
            network.load_state_dict(other.online.state_dict())

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

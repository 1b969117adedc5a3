"""The network that ranks every cell of a map at once, whatever the size of the map."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

# Dilations of the trunk's 3 x 3 convolutions at half resolution. With the stem, the stride-2 convolution and the head a
# cell sees 71 x 71 cells: the whole of most training maps, and of most fires on larger ones.
_DILATIONS = (1, 2, 4, 8)
# V counts in this many advantage units, since a return is the sum of many rewards.
_VALUE_UNITS = 3.0
_LEAST_SCALE = 1e-6


class _CellNorm(nn.Module):
    """Normalize the channels of each cell by themselves.

    GroupNorm over the map would tie a cell's value to the size of the map and to what burns at its other end: an agent
    that learned on 50 x 50 cells met other statistics on 500 x 500.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        cells = functional.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias)
        return cells.permute(0, 3, 1, 2)


class QNetwork(nn.Module):
    """Estimate, for every cell, what the rest of the episode brings if that cell is treated next.

    Q(s, a) = V(s) + A(s, a) - mean over the allowed a' of A(s, a') (Wang et al. 2016, arXiv 1511.06581).
    Subtracting the maximum instead lets the error of a greedy step move V alone, and lines that pay only when closed
    are hardly ever learned: 0.53 and 0.73 of the optimum against 1.00 on the gates of tests/test_agents.py (1200
    updates, two seeds, measured).

    With a prior plane A = scale * (alpha * prior / scale + net(s)), where scale is the largest prior of an allowed
    cell: the last layer starts at zero and alpha at 1, so an untrained network ranks cells exactly as the prior does,
    and what was learned on one map holds on another whose rewards are a hundred times smaller. Channels are normalized
    cell by cell, so acting and learning compute the same function whatever else is in the batch or on the map; the
    planes' means reach V beside it.

    Parameters
    ----------
    channels : number of planes of an observation; any after them are not looked at
    width : channels of the hidden layers
    prior_channel : index of the plane that is a first guess of the advantage, in the unit of the reward and not below
        0; None for none
    advantage_unit : scale where there is no prior: the size of a typical reward; the advantage head counts in it, so
        that one optimizer step is not larger than the gaps it must resolve
    generator : source of the starting weights; the process-wide seed is neither read nor set
    """

    def __init__(
        self,
        channels: int,
        width: int = 24,
        prior_channel: int | None = None,
        *,
        advantage_unit: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.channels, self.prior_channel = channels, prior_channel
        self.advantage_unit = advantage_unit
        seen = channels + (2 if prior_channel is not None else 0)
        with torch.random.fork_rng(devices=[]):  # torch's own starting weights, overwritten below, draw from it
            self.stem = nn.Conv2d(seen, width, 3, padding=1)
            self.fine_norm = _CellNorm(width)
            self.fine = nn.Conv2d(width, width, 3, padding=1)
            self.down = nn.Conv2d(width, width, 3, stride=2, padding=1)
            self.norms = nn.ModuleList(_CellNorm(width) for _ in _DILATIONS)
            self.trunk = nn.ModuleList(nn.Conv2d(width, width, 3, padding=d, dilation=d) for d in _DILATIONS)
            self.lateral = nn.Conv2d(width, width, 1)
            self.head_norm = _CellNorm(width)
            self.mix = nn.Conv2d(width, width, 3, padding=1)
            # Advantage, and beside it the gain of a cell alone, which shapes the features and is read by nobody else.
            self.head = nn.Conv2d(width, 2, 3, padding=1)
            self.value_hidden = nn.Linear(width + seen + 1, 2 * width)
            self.value = nn.Linear(2 * width, 1)
            self.alpha = nn.Parameter(torch.ones(()), requires_grad=prior_channel is not None)
        self._initialize(generator)
        # channels_last: 66 against 81 ms for forward + backward of 32 x 16 x 50 x 50 on one core (measured).
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch types lack this overload

    def _initialize(self, generator: torch.Generator | None) -> None:
        """Kaiming-uniform weights from `generator`; zero biases and zero last layers."""
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                bound = math.sqrt(6.0 / module.weight[0].numel())
                nn.init.uniform_(module.weight, -bound, bound, generator=generator)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # typed as optional; every layer here has one
        with torch.no_grad():
            # Residual branches start small, as if the sum of them all were one layer.
            for conv in (self.fine, *self.trunk, self.mix):
                conv.weight.mul_(0.5)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.value.weight)

    def scale(self, obs: Tensor, mask: Tensor) -> Tensor:
        """What one unit of advantage is in the unit of the return (B, 1): the largest prior of an allowed cell."""
        if self.prior_channel is None:
            return obs.new_full((len(obs), 1), self.advantage_unit)
        prior = obs[:, self.prior_channel].flatten(1)
        return (prior * mask).amax(1, keepdim=True).clamp_min(_LEAST_SCALE)

    def heads(self, obs: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return V (B, 1) in the unit of the return, A and the gain alone (B, h*w) in units of scale, scale (B, 1).

        Parameters
        ----------
        obs : f4 (B, channels, h, w); planes scaled to about 1 (one of 150 made learning several times slower), the
            prior excepted
        mask : bool (B, h*w), true where the action is allowed; each row needs one allowed action
        """
        height, width = obs.shape[-2:]
        obs = obs[:, : self.channels]
        scale = self.scale(obs, mask)
        planes, relative = obs, None
        if self.prior_channel is not None:
            relative = (obs[:, self.prior_channel] / scale[:, :, None]).clamp(0, 2)
            planes = obs.clone()
            planes[:, self.prior_channel] = relative
            # The same on two other scales: what matters most, and where anything burns at all.
            more = torch.stack([relative.sqrt(), torch.log1p(100 * relative) / math.log(101)], dim=1)
            planes = torch.cat([planes, more], dim=1)
        planes = planes.contiguous(memory_format=torch.channels_last)
        # Work in place where autograd allows: fresh memory from the system is a fifth of an update's time (measured).
        fine = functional.relu_(self.stem(planes))
        fine = fine + self.fine(functional.relu_(self.fine_norm(fine)))
        coarse = self.down(functional.relu(fine))
        for norm, conv in zip(self.norms, self.trunk, strict=True):
            coarse = coarse + conv(functional.relu_(norm(coarse)))
        # Half-resolution row i lies on full-resolution row 2 i; an odd last row is cut off again.
        raised = functional.interpolate(self.lateral(coarse), scale_factor=2.0, mode="nearest")[..., :height, :width]
        hidden = functional.relu_(self.head_norm(raised + fine))
        hidden = hidden + functional.relu_(self.mix(hidden))
        advantage, gain = self.head(hidden).flatten(2).unbind(1)
        if relative is not None:
            advantage = advantage + self.alpha * relative.flatten(1)
        # The planes' own means and the scale reach V directly.
        pooled = torch.cat([hidden.mean((2, 3)), planes.mean((2, 3)), scale.log() / 10], dim=1)
        value = self.value(functional.relu(self.value_hidden(pooled))) * (_VALUE_UNITS * self.advantage_unit)
        return value, advantage, gain, scale

    def forward(self, obs: Tensor, mask: Tensor) -> Tensor:
        """Return Q of every cell (B, h*w), row-major, in the unit of the return; -inf where it is not allowed."""
        value, advantage, _, scale = self.heads(obs, mask)
        return combine(value, advantage, scale, mask)


def combine(value: Tensor, advantage: Tensor, scale: Tensor, mask: Tensor) -> Tensor:
    """Q of value and advantage, as `QNetwork` says."""
    advantage = advantage * scale
    mean = advantage.masked_fill(~mask, 0.0).sum(1, keepdim=True) / mask.sum(1, keepdim=True)
    return (value - mean + advantage).masked_fill(~mask, -torch.inf)

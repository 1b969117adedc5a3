"""The network that ranks every cell of a map at once, whatever the size of the map."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

# Dilations of the trunk's 3 x 3 convolutions at half resolution. With the stem, the stride-2 convolution and the head a
# cell sees 61 x 61 cells or more: the whole of most training maps.
_DILATIONS = (1, 2, 4, 8)
_GROUPS = 4
# V counts in this many advantage units, since a return is the sum of many rewards.
_VALUE_UNITS = 3.0


class QNetwork(nn.Module):
    """Estimate, for every cell, what the rest of the episode brings if that cell is treated next.

    Q(s, a) = V(s) + A(s, a) - mean over the allowed a' of A(s, a') (Wang et al. 2016, arXiv 1511.06581).
    Subtracting the maximum instead lets the error of a greedy step move V alone, and lines that pay only when closed
    are hardly ever learned: 0.53 and 0.73 of the optimum against 1.00 on the gates of tests/test_agents.py (1200
    updates, two seeds, measured).

    A = alpha * obs[prior_channel] + unit * net(s): the last layer starts at zero and alpha at 1, so an untrained
    network ranks cells exactly as the prior does. GroupNorm depends on no other row of the batch, so acting and
    learning compute the same function; planes of one constant (budget left), which it would hide, also reach V beside
    it.

    Parameters
    ----------
    channels : number of planes of an observation
    width : channels of the hidden layers, a multiple of 4
    prior_channel : index of the plane that is a first guess of the advantage, in the unit of the reward; None for none
    advantage_unit : the size of a typical reward; the advantage head counts in it, so that one optimizer step is not
        larger than the gaps it must resolve
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
        self.prior_channel = prior_channel
        self.advantage_unit = advantage_unit
        with torch.random.fork_rng(devices=[]):  # torch's own starting weights, overwritten below, draw from it
            self.stem = nn.Conv2d(channels, width, 3, padding=1)
            self.down = nn.Conv2d(width, width, 3, stride=2, padding=1)
            self.norms = nn.ModuleList(nn.GroupNorm(_GROUPS, width) for _ in _DILATIONS)
            self.trunk = nn.ModuleList(nn.Conv2d(width, width, 3, padding=d, dilation=d) for d in _DILATIONS)
            self.lateral = nn.Conv2d(width, width, 1)
            self.head_norm = nn.GroupNorm(_GROUPS, width)
            self.head = nn.Conv2d(width, 1, 3, padding=1)
            self.value_hidden = nn.Linear(width + channels, 2 * width)
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
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.value.weight)

    def forward(self, obs: Tensor, mask: Tensor) -> Tensor:
        """Return Q of every cell, -inf where the cell is not allowed.

        Parameters
        ----------
        obs : f4 (B, channels, h, w); planes scaled to about 1 (one of 150 made learning several times slower), the
            prior excepted
        mask : bool (B, h*w), true where the action is allowed; each row needs one allowed action

        Returns
        -------
        f4 (B, h*w), row-major cells, in the unit of the return
        """
        height, width = obs.shape[-2:]
        obs = obs.contiguous(memory_format=torch.channels_last)
        # Work in place where autograd allows: fresh memory from the system is a fifth of an update's time (measured).
        fine = functional.relu_(self.stem(obs))
        coarse = self.down(fine)
        for norm, conv in zip(self.norms, self.trunk, strict=True):
            coarse = coarse + conv(functional.relu_(norm(coarse)))
        # Half-resolution row i lies on full-resolution row 2 i; an odd last row is cut off again.
        raised = functional.interpolate(self.lateral(coarse), scale_factor=2.0, mode="nearest")[..., :height, :width]
        hidden = functional.relu_(self.head_norm(raised + fine))
        advantage = self.head(hidden).flatten(1) * self.advantage_unit
        if self.prior_channel is not None:
            advantage = advantage + self.alpha * obs[:, self.prior_channel].flatten(1)
        mean = advantage.masked_fill(~mask, 0.0).sum(1, keepdim=True) / mask.sum(1, keepdim=True)
        # The planes' own means reach V directly: GroupNorm would hide how much budget is left.
        pooled = torch.cat([hidden.mean((2, 3)), obs.mean((2, 3))], dim=1)
        value = self.value(functional.relu(self.value_hidden(pooled))) * (_VALUE_UNITS * self.advantage_unit)
        q: Tensor = (value - mean + advantage).masked_fill(~mask, -torch.inf)
        return q

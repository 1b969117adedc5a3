"""The learner against slow twins, exact dynamic programming and small worlds with a known best plan."""

import itertools

import numpy as np
import pytest
import torch

from fuelbreak.agents.dqn import DQN, DQNConfig, checked_device, gain_losses, margin_losses, taught_losses, td_targets
from fuelbreak.agents.network import QNetwork
from fuelbreak.agents.replay import Batch, Lesson, Replay, Symmetry, windows
from fuelbreak.errors import InputError

CHANNELS, HEIGHT, WIDTH = 5, 7, 9
CELLS = HEIGHT * WIDTH


class Gates:
    """E maps where single cells pay their value at once and a gate pays its bonus only when all its cells are closed.

    Planes: immediate value (the prior), bonus of the gate a cell belongs to, treated, budget left.
    """

    def __init__(self, value, allowed, gates, bonuses, side, budget):
        self.value, self.allowed, self.gates, self.bonuses = value, allowed, gates, bonuses
        self.side, self.budget = side, budget
        self.rows = np.arange(len(value))

    def reset(self):
        self.treated = np.zeros(self.value.shape, bool)
        self.steps = 0
        return self.observe()

    def observe(self):
        planes = np.zeros((len(self.value), 4, self.side**2), np.float32)
        planes[:, 0] = np.where(self.treated, 0, self.value)
        for gate, bonus in zip(self.gates.swapaxes(0, 1), self.bonuses.T, strict=True):
            planes[self.rows[:, None], 1, gate] = bonus[:, None] / self.bonuses.max()
        planes[:, 2] = self.treated
        planes[:, 3] = 1 - self.steps / self.budget
        return planes.reshape(len(self.value), 4, self.side, self.side), self.allowed & ~self.treated

    def closed(self):
        return self.treated[self.rows[:, None, None], self.gates].all(2)

    def step(self, action):
        before = self.closed()
        self.treated[self.rows, action] = True
        self.steps += 1
        reward = self.value[self.rows, action] + ((self.closed() & ~before) * self.bonuses).sum(1)
        return *self.observe(), reward, np.full(len(self.rows), self.steps == self.budget)

    def best_returns(self):
        """Brute force over all plans; the order within a plan changes nothing."""
        best = np.full(len(self.rows), -np.inf)
        for row in self.rows:
            for plan in itertools.combinations(np.flatnonzero(self.allowed[row]), self.budget):
                bonus = sum(
                    b
                    for gate, b in zip(self.gates[row], self.bonuses[row], strict=True)
                    if set(gate.tolist()) <= set(plan)
                )
                best[row] = max(best[row], self.value[row, list(plan)].sum() + bonus)
        return best


def gate_worlds(n, rng):
    """n maps of 5 x 5: eight allowed cells, two of them a gate worth more than the two best single cells."""
    allowed, gates = np.zeros((n, 25), bool), np.zeros((n, 1, 2), int)
    for row in range(n):
        cell = rng.integers(4) + 5 * rng.integers(5)
        gates[row, 0] = cell, cell + 1
        others = np.setdiff1d(np.arange(25), gates[row])
        allowed[row, gates[row, 0]] = True
        allowed[row, rng.choice(others, 6, replace=False)] = True
    value = rng.uniform(0.001, 0.004, (n, 25)) * allowed
    value[np.arange(n)[:, None], gates[:, 0]] = 0.0005
    return Gates(value, allowed, gates, np.full((n, 1), 0.012), 5, 2)


def greedy_returns(agent, world):
    obs, mask = world.reset()
    total = np.zeros(len(world.rows))
    for _ in range(world.budget):
        obs, mask, reward, _ = world.step(agent.act(obs, mask, 0.0, np.random.default_rng(0)))
        total += reward
    return total


def random_batch(rng, size=10, demos=3, height=HEIGHT, width=WIDTH):
    cells = height * width
    mask, next_mask = rng.random((2, size, cells)) < 0.7
    mask[:, 4] = next_mask[:, 0] = True
    gain = np.full((size, cells), np.nan, np.float16)
    gain[size // 2 :] = rng.random(cells)
    return Batch(
        obs=rng.normal(size=(size, CHANNELS, height, width)).astype(np.float16),
        mask=mask,
        action=np.full(size, 4),
        reward=rng.normal(size=size).astype(np.float32),
        next_obs=rng.normal(size=(size, CHANNELS, height, width)).astype(np.float16),
        next_mask=next_mask,
        discount=np.where(rng.random(size) < 0.3, 0, 0.9).astype(np.float32),
        is_demo=np.arange(size) < demos,
        taught=(rng.random((size, cells)) < 0.2) & (np.arange(size) < demos)[:, None],
        gain=gain,
        weight=rng.uniform(0.3, 1, size).astype(np.float32),
        place=np.where(np.arange(size) < demos, -1, np.arange(size)),
    )


def shaken(agent, seed=5):
    """Give every weight, zero-initialized ones too, a random value; online and target get different ones."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in itertools.chain(agent.online.parameters(), agent.target.parameters()):
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return agent


def bits(agent):
    optimizer = agent._optimizer.state_dict()["state"]
    tensors = [*agent.online.parameters(), *agent.target.parameters()]
    tensors += [value for entry in optimizer.values() for value in entry.values()]
    return [tensor.detach().numpy().tobytes() for tensor in tensors]


@pytest.fixture
def make_agent():
    made = []

    def make(config=None, **kwargs):
        made.append(DQN(kwargs.pop("channels", CHANNELS), config or DQNConfig(), **kwargs))
        return made[-1]

    yield make
    for agent in made:
        agent.close()


# ------------------------------------------------------------------------------------------------ network


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (7, 10), (20, 21)])
def test_network_takes_any_map_size_and_forbids_by_minus_infinity(shape):
    net = QNetwork(CHANNELS, 8, generator=torch.Generator().manual_seed(0))
    mask = torch.rand(3, shape[0] * shape[1], generator=torch.Generator().manual_seed(1)) < 0.6
    mask[:, 0] = True
    q = net(torch.ones(3, CHANNELS, *shape), mask)
    assert q.shape == mask.shape
    assert torch.equal(torch.isneginf(q), ~mask)
    assert torch.isfinite(q[mask]).all()


def test_planes_after_those_a_network_is_for_are_not_seen():
    net = QNetwork(3, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        net.head.weight.normal_(generator=torch.Generator().manual_seed(1))
    obs, mask = torch.rand(2, 5, 6, 6, generator=torch.Generator().manual_seed(2)), torch.ones(2, 36, dtype=torch.bool)
    other = obs.clone()
    other[:, 3:] = 7.0
    assert torch.equal(net(obs, mask), net(other, mask))
    other[:, 2] = 7.0
    assert not torch.equal(net(obs, mask), net(other, mask))


def test_untrained_network_ranks_by_the_prior_even_where_it_is_tiny():
    rng = np.random.default_rng(0)
    obs = torch.from_numpy(rng.random((4, CHANNELS, HEIGHT, WIDTH), dtype=np.float32) * 0.002)
    mask = torch.from_numpy(rng.random((4, CELLS)) < 0.8)
    q = QNetwork(CHANNELS, prior_channel=2, advantage_unit=0.01)(obs, mask).detach()
    prior = obs[:, 2].flatten(1)
    for row in range(4):
        ours, theirs = q[row][mask[row]], prior[row][mask[row]]
        assert torch.equal(ours.argsort(), theirs.argsort())
        np.testing.assert_allclose(ours - ours.mean(), theirs - theirs.mean(), atol=1e-8)


def test_value_is_the_mean_over_allowed_actions_and_hears_the_budget(make_agent):
    agent = shaken(make_agent())
    rng = np.random.default_rng(1)
    obs = rng.random((2, CHANNELS, HEIGHT, WIDTH), dtype=np.float32)
    mask = np.ones((2, CELLS), bool)
    mask[1, ::2] = False
    obs[1] = obs[0]
    q = agent.q_values(obs, mask)
    assert q[0].mean() == pytest.approx(q[1][mask[1]].mean(), abs=1e-5)
    with torch.no_grad():
        agent.online.stem.weight[:, 3] = 0.0  # the convolutions, whose normalization hides a constant, are deaf to it
    q = agent.q_values(obs, mask)
    obs[1, 3] += 0.5  # more budget
    assert abs(agent.q_values(obs, mask)[1][mask[1]].mean() - q[1][mask[1]].mean()) > 1e-4


def test_a_cell_sees_twelve_cells_away_in_every_direction():
    net = QNetwork(1, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        net.head.weight.add_(1.0)  # it starts at zero, which sees nothing
    obs = torch.ones(1, 1, 51, 51, requires_grad=True)
    q = net(obs, torch.ones(1, 51 * 51, dtype=torch.bool))
    advantage = q - q[:, :1]  # the value, which hears the whole map, cancels
    (gradient,) = torch.autograd.grad(advantage[0, 25 * 51 + 25], obs)
    seen = gradient[0, 0].abs() > 1e-12
    for row, col in [(13, 25), (37, 25), (25, 13), (25, 37), (13, 13), (37, 37)]:
        assert seen[row, col]


def test_what_is_learned_of_a_place_does_not_depend_on_the_map_around_it():
    net = QNetwork(2, 8, 0, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    large = torch.rand(1, 2, 160, 160, generator=generator)
    large[0, 0, 80, 80] = 1.5  # the largest prior, which sets the scale, is in both
    small = large[..., 20:140, 20:140].clone()
    everywhere = [torch.ones(1, side * side, dtype=torch.bool) for side in (160, 120)]
    _, far, _, _ = net.heads(large, everywhere[0])
    _, near, _, _ = net.heads(small, everywhere[1])
    inner = far.reshape(160, 160)[70:90, 70:90], near.reshape(120, 120)[50:70, 50:70]
    torch.testing.assert_close(*inner, atol=1e-5, rtol=1e-4)


def test_a_map_of_rarer_fires_is_ranked_alike():
    net = QNetwork(3, 8, 1, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        net.head.weight.normal_(generator=torch.Generator().manual_seed(3))
    obs = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(4))
    rare = obs.clone()
    rare[:, 1] /= 500
    everywhere = torch.ones(1, 144, dtype=torch.bool)
    with torch.no_grad():
        (_, often, _, one), (_, seldom, _, other) = net.heads(obs, everywhere), net.heads(rare, everywhere)
    torch.testing.assert_close(often, seldom, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(one, other * 500)


def test_nothing_depends_on_batch_statistics_or_training_mode(make_agent):
    agent = shaken(make_agent())
    kinds = {type(module).__name__ for module in agent.online.modules()}
    assert not any("BatchNorm" in kind or "Dropout" in kind for kind in kinds)
    rng = np.random.default_rng(2)
    obs, mask = rng.random((6, CHANNELS, HEIGHT, WIDTH), dtype=np.float32), np.ones((6, CELLS), bool)
    q = agent.q_values(obs, mask)
    agent.online.train()
    assert agent.q_values(obs, mask).tobytes() == q.tobytes()
    np.testing.assert_allclose(agent.q_values(obs[3:4], mask[3:4])[0], q[3], atol=1e-5)


def test_weights_come_from_the_seed_alone(make_agent):
    before = torch.get_rng_state()
    first, again, other = make_agent(seed=3), make_agent(seed=3), make_agent(seed=4)
    assert torch.equal(torch.get_rng_state(), before)
    assert bits(first) == bits(again) != bits(other)
    assert all(torch.equal(a, b) for a, b in zip(first.online.parameters(), first.target.parameters(), strict=True))


# ------------------------------------------------------------------------------------------------- acting


def test_acting_never_leaves_the_mask_and_explores_it_evenly(make_agent):
    agent = shaken(make_agent())
    rng = np.random.default_rng(0)
    obs = rng.random((400, CHANNELS, 3, 3), dtype=np.float32)
    mask = np.zeros((400, 9), bool)
    mask[:, [1, 4, 8]] = True
    for epsilon in (0.0, 0.5, 1.0):
        action = agent.act(obs, mask, epsilon, rng)
        assert action.dtype == np.int64
        assert mask[np.arange(400), action].all()
    counts = np.bincount(action, minlength=9)[[1, 4, 8]]
    assert (np.abs(counts - 400 / 3) < 4 * np.sqrt(400 * 2 / 9)).all()
    best = agent.q_values(obs, mask).argmax(1)
    assert (agent.act(obs, mask, 0.0, rng) == best).all()
    ladder = np.where(np.arange(400) < 200, 0.0, 1.0)
    action = agent.act(obs, mask, ladder, rng)
    assert (action[:200] == best[:200]).all()
    assert (action[200:] != best[200:]).any()


def test_ties_go_to_the_lowest_allowed_cell(make_agent):
    mask = np.ones((2, CELLS), bool)
    mask[1, :5] = False
    action = make_agent().act(np.ones((2, CHANNELS, HEIGHT, WIDTH), np.float32), mask, 0.0, np.random.default_rng(0))
    assert action.tolist() == [0, 5]


def test_a_row_without_actions_is_named(make_agent):
    mask = np.ones((3, CELLS), bool)
    mask[1] = False
    with pytest.raises(InputError, match="row 1 allows no action"):
        make_agent().act(np.zeros((3, CHANNELS, HEIGHT, WIDTH), np.float32), mask, 0.0, np.random.default_rng(0))


# ------------------------------------------------------------------------------------------------- losses


def slow_target(agent, batch, row):
    """Textbook n-step double Q target of one row, by loops."""
    if batch.discount[row] == 0:
        return float(batch.reward[row])
    obs = torch.from_numpy(batch.next_obs[row : row + 1]).float()
    everywhere = torch.from_numpy(batch.next_mask[row : row + 1])
    with torch.no_grad():
        online, target = agent.online(obs, everywhere)[0].tolist(), agent.target(obs, everywhere)[0].tolist()
    best = None
    for cell in range(len(online)):
        if batch.next_mask[row, cell] and (best is None or online[cell] > online[best]):
            best = cell
    return float(batch.reward[row]) + float(batch.discount[row]) * target[best]


def test_td_target_equals_the_textbook(make_agent):
    agent = shaken(make_agent())
    batch = random_batch(np.random.default_rng(3), size=12)
    targets = td_targets(agent.online, agent.target, batch)
    np.testing.assert_allclose(targets, [slow_target(agent, batch, row) for row in range(12)], atol=1e-5)
    # Double: the target network's own maximum would be larger somewhere.
    with torch.no_grad():
        own = agent.target(torch.from_numpy(batch.next_obs).float(), torch.from_numpy(batch.next_mask)).amax(1).numpy()
    assert (batch.reward + batch.discount * own > targets.numpy() + 1e-4).any()


def test_a_masked_huge_q_never_enters_the_target(make_agent):
    agent = make_agent(prior_channel=0)
    batch = random_batch(np.random.default_rng(4))
    batch.next_obs[:, 0, 2, 3] = 60000.0  # the prior shouts for this cell
    batch.next_mask[:, 2 * WIDTH + 3] = False
    assert np.abs(td_targets(agent.online, agent.target, batch).numpy()).max() < 100
    batch.next_mask[:, 2 * WIDTH + 3] = True
    live = batch.discount > 0
    assert (td_targets(agent.online, agent.target, batch).numpy()[live] > 1000).all()


def test_margin_loss_by_hand():
    q = torch.tensor([[1.0, 3.0, -torch.inf], [5.0, 1.0, 2.0], [1.0, -torch.inf, -torch.inf]])
    losses = margin_losses(q, torch.tensor([0, 0, 0]), 0.5)
    assert losses.tolist() == [2.5, 0.0, 0.0]


def test_update_reports_the_loss_it_lowers(make_agent):
    config = DQNConfig(
        advantage_unit=1.0, td_weight=0.9, margin=0.3, margin_weight=0.7, taught_weight=0.4, gain_weight=0.2, shards=3
    )
    agent = shaken(make_agent(config))
    batch = random_batch(np.random.default_rng(6), size=11)
    q = torch.from_numpy(agent.q_values(batch.obs, batch.mask))
    chosen = q[:, 4].numpy()
    error = chosen - td_targets(agent.online, agent.target, batch).numpy()
    huber = np.where(np.abs(error) < 10, error**2 / 2, 10 * (np.abs(error) - 5))
    margin = margin_losses(q[:3], torch.full((3,), 4), 0.3).mean().item()
    with torch.no_grad():
        mask = torch.from_numpy(batch.mask)
        _, advantage, guess, scale = agent.online.heads(torch.from_numpy(batch.obs).float(), mask)
        taught = taught_losses(advantage, mask, torch.from_numpy(batch.taught), config.sharpness)[:3].mean().item()
        gain = gain_losses(guess, torch.from_numpy(batch.gain).float(), scale)[5:].mean().item()
    logs = agent.update(batch)
    assert logs.td_error == pytest.approx(np.abs(error).mean(), rel=1e-4)
    np.testing.assert_allclose(logs.td_errors, -error, rtol=1e-3, atol=1e-4)
    assert logs.mean_q == pytest.approx(chosen.mean(), rel=1e-4)
    parts = logs.margin_loss, logs.taught_loss, logs.gain_loss
    assert parts == pytest.approx((margin, taught, gain), rel=1e-4)
    td = (batch.weight * huber).mean()
    assert logs.loss == pytest.approx(0.9 * td + 0.7 * margin + 0.4 * taught + 0.2 * gain, rel=1e-4)
    assert logs.grad_norm > 0
    assert [agent.update(batch).loss for _ in range(20)][-1] < logs.loss


def test_taught_and_gain_losses_by_hand():
    advantage = torch.tensor([[0.0, 1.0, 2.0, 9.0], [3.0, 1.0, 0.0, 0.0]])
    mask = torch.tensor([[True, True, True, False], [True, True, True, True]])
    taught = torch.tensor([[True, False, True, True], [False, False, False, False]])
    chances = np.exp(2 * np.array([0.0, 1.0, 2.0])) / np.exp(2 * np.array([0.0, 1.0, 2.0])).sum()
    wanted = [-(np.log(chances[0]) + np.log(chances[2])) / 2, 0.0]
    np.testing.assert_allclose(taught_losses(advantage, mask, taught, 2.0), wanted, rtol=1e-5)
    gain = torch.tensor([[0.2, torch.nan, 0.4, torch.nan], [torch.nan] * 4])
    guess = torch.tensor([[1.0, 5.0, 2.05, 5.0], [1.0, 1.0, 1.0, 1.0]])
    losses = gain_losses(guess, gain, torch.tensor([[0.2], [1.0]]))
    np.testing.assert_allclose(losses, [(0.0 + 0.05**2 / 2 / 0.1) / 2, 0.0], rtol=1e-4, atol=1e-9)


def test_demonstrations_left_out_of_the_td_loss_have_no_error(make_agent):
    agent = shaken(make_agent(DQNConfig(td_own_only=True, margin_weight=0.0, taught_weight=0.0, shards=1)))
    batch = random_batch(np.random.default_rng(12), size=10, demos=10)
    before = bits(agent)[: len(list(agent.online.parameters()))]
    logs = agent.update(batch)
    assert logs.td_error == logs.loss == logs.grad_norm == 0
    assert bits(agent)[: len(before)] == before
    batch = random_batch(np.random.default_rng(13), size=10, demos=4)
    logs = agent.update(batch)
    assert (logs.td_errors[:4] == 0).all()
    assert (logs.td_errors[4:] != 0).all()


def test_an_unknown_device_is_refused_with_a_sentence():
    assert checked_device("auto").type in ("cpu", "cuda")
    for name in ("abacus", "mps"):
        with pytest.raises(InputError, match=f"device: '{name}' is unknown; use auto, cpu or cuda"):
            checked_device(name)
    with pytest.raises(InputError, match="device: 'cuda:99' cannot be used here"):
        checked_device("cuda:99")


def test_demonstrations_pull_up_their_action_and_only_their_rows_count(make_agent):
    config = DQNConfig(learning_rate=2e-3, margin=1.0, taught_weight=0.0)
    batch = random_batch(np.random.default_rng(7), demos=10)
    batch = batch._replace(reward=np.zeros_like(batch.reward), discount=np.zeros_like(batch.discount))
    taught, alone = make_agent(config), make_agent(config)
    for _ in range(60):
        taught.update(batch)
        assert alone.update(batch._replace(is_demo=np.zeros(10, bool))).margin_loss == 0
    # Without a demonstration all rewards are zero and nothing tells the actions apart.
    assert (taught.act(batch.obs, batch.mask, 0.0, np.random.default_rng(0)) == 4).all()
    assert not (alone.act(batch.obs, batch.mask, 0.0, np.random.default_rng(0)) == 4).all()


def test_bits_do_not_depend_on_threads(make_agent):
    one, two = (shaken(make_agent(prior_channel=1, threads=threads)) for threads in (1, 2))
    rng = np.random.default_rng(8)
    for _ in range(6):
        batch = random_batch(rng, size=13, height=20, width=21)
        assert one.update(batch)[:7] == two.update(batch)[:7]
    assert bits(one) == bits(two)
    assert one.q_values(batch.obs, batch.mask).tobytes() == two.q_values(batch.obs, batch.mask).tobytes()


def test_target_network_follows_slowly(make_agent):
    agent = shaken(make_agent(DQNConfig(target_tau=0.25)))
    old = [parameter.clone() for parameter in agent.target.parameters()]
    agent.update(random_batch(np.random.default_rng(9)))
    for before, after, online in zip(old, agent.target.parameters(), agent.online.parameters(), strict=True):
        if online.requires_grad:  # the weight of the prior is of no use where there is none, and stays
            torch.testing.assert_close(after, 0.75 * before + 0.25 * online, atol=1e-6, rtol=1e-5)


def test_the_averaged_agent_acts_by_the_target_and_takes_nothing_from_the_learner(make_agent):
    rng = np.random.default_rng(3)
    agent = make_agent(DQNConfig(width=8, target_tau=0.1))
    for _ in range(4):
        agent.update(random_batch(rng))
    before = bits(agent)
    planes = rng.random((2, agent.channels, 6, 7), np.float32)
    mask = np.ones((2, 42), bool)
    averaged = agent.averaged()
    for name, weight in agent.target.state_dict().items():
        assert torch.equal(averaged.online.state_dict()[name], weight)
    assert (averaged.q_values(planes, mask) != agent.q_values(planes, mask)).any()
    averaged.update(random_batch(rng))
    averaged.close()
    assert bits(agent) == before


def test_a_broken_reward_stops_learning_with_a_sentence(make_agent):
    batch = random_batch(np.random.default_rng(10))
    batch.reward[0] = np.nan
    agent = make_agent()
    before = bits(agent)
    with pytest.raises(InputError, match="gradient is not finite"):
        agent.update(batch)
    assert bits(agent) == before


# ------------------------------------------------------------------------------------------------- replay


def lesson(rng, decisions=3, shape=(3, 3), channels=4, number=0, taught=False):
    """Decisions of random content; the first number of the changing plane 2 says which they are."""
    cells = shape[0] * shape[1]
    obs, next_obs = rng.random((2, decisions, channels, *shape)).astype(np.float16)
    obs[:, 0] = next_obs[:, 0] = obs[0, 0]  # never changes on this map
    obs[:, 2, 0, 0] = number + np.arange(decisions)
    mask = rng.random((decisions, cells)) < 0.7
    mask[:, 1] = True
    return Lesson(
        obs,
        mask,
        np.full(decisions, 1),
        rng.random(decisions).astype(np.float32),
        next_obs,
        rng.random((decisions, cells)) < 0.7,
        (rng.random(decisions) < 0.5).astype(np.float32),
        mask & (rng.random((decisions, cells)) < 0.4) if taught else None,
        np.where(mask, rng.random((decisions, cells)), np.nan).astype(np.float16) if taught else None,
    )


@pytest.mark.parametrize("n_step", [1, 3, 4, 10])
def test_n_step_windows_equal_a_slow_twin(n_step):
    rng = np.random.default_rng(0)
    steps, episodes, gamma = 7, 2, 0.9
    obs, reward = rng.random((steps, episodes, 1, 3, 3)), rng.random((steps, episodes))
    mask, action = rng.random((steps, episodes, 9)) < 0.5, rng.integers(9, size=(steps, episodes))
    made = windows(obs, mask, action, reward, n_step=n_step, gamma=gamma)
    assert len(made) == episodes
    for e, found in enumerate(made):
        for t in range(steps):
            total = sum(gamma**k * reward[t + k, e] for k in range(n_step) if t + k < steps)
            assert found.reward[t] == pytest.approx(total)
            assert found.action[t] == action[t, e]
            assert np.array_equal(found.obs[t], obs[t, e])
            assert np.array_equal(found.mask[t], mask[t, e])
            if t + n_step < steps:
                assert found.discount[t] == pytest.approx(gamma**n_step)
                assert np.array_equal(found.next_obs[t], obs[t + n_step, e])
                assert np.array_equal(found.next_mask[t], mask[t + n_step, e])
            else:
                assert found.discount[t] == 0


def test_what_is_dealt_out_is_what_was_stored():
    rng = np.random.default_rng(1)
    replay = Replay(100, fixed=(0, 3))
    given = {}
    for i, is_demo in enumerate((True, False, True)):
        one = lesson(rng, 4, number=10 * i, taught=is_demo)
        one.next_obs[:, 3] = one.obs[:, 3] = one.obs[0, 3]
        replay.add(one, is_demo=is_demo)
        given |= {10 * i + k: (one, k, is_demo) for k in range(4)}
    batch = replay.sample(400, rng, demo_fraction=0.5)
    assert batch.is_demo.sum() == 200
    assert batch.is_demo[:200].all()
    seen = batch.obs[:, 2, 0, 0].astype(int)
    assert set(seen.tolist()) == set(given)
    for row, number in enumerate(seen):
        one, k, is_demo = given[int(number)]
        assert batch.is_demo[row] == is_demo
        assert np.array_equal(batch.obs[row], one.obs[k])
        assert np.array_equal(batch.mask[row], one.mask[k])
        assert (batch.action[row], batch.reward[row], batch.discount[row]) == (1, one.reward[k], one.discount[k])
        if one.discount[k]:
            assert np.array_equal(batch.next_obs[row], one.next_obs[k])
        assert np.array_equal(batch.next_mask[row], one.next_mask[k])
        assert np.array_equal(batch.taught[row], one.taught[k] if is_demo else np.zeros(9, bool))
        wanted = one.gain[k] if is_demo else np.full(9, np.nan, np.float16)
        assert np.array_equal(batch.gain[row], wanted, equal_nan=True)
        assert (batch.place[row] >= 0) == (not is_demo)


def test_large_errors_are_drawn_more_and_weigh_less():
    rng = np.random.default_rng(2)
    replay = Replay(100, priority=0.5, correction=1.0)
    replay.add(lesson(rng, 4))
    replay.learned(np.arange(4), np.array([0.1, 0.4, 0.9, 1.6]) - 1e-3)
    batch = replay.sample(20_000, rng)
    chance = np.sqrt([0.1, 0.4, 0.9, 1.6])
    chance /= chance.sum()
    drawn = np.bincount(batch.place, minlength=4) / 20_000
    assert (np.abs(drawn - chance) < 4 * np.sqrt(chance * (1 - chance) / 20_000)).all()
    np.testing.assert_allclose(batch.weight, (chance.min() / chance)[batch.place], rtol=1e-5)
    replay.add(lesson(rng, 1, number=50))  # never learned from: as likely as the largest
    drawn = np.bincount(replay.sample(20_000, rng).place, minlength=5) / 20_000
    assert drawn[4] == pytest.approx(drawn[3], abs=0.02)
    even = Replay(100, priority=0.0)
    even.add(lesson(rng, 4))
    even.learned(np.arange(4), np.array([0.1, 0.4, 0.9, 1.6]))
    assert np.bincount(even.sample(20_000, rng).place) == pytest.approx(5000, abs=300)


def test_the_oldest_decisions_make_room_and_demonstrations_stay():
    rng = np.random.default_rng(3)
    replay = Replay(10)
    replay.add(lesson(rng, 70, number=1000), is_demo=True)
    for i in range(6):
        replay.add(lesson(rng, 3, number=3 * i))
    assert len(replay) == 80
    batch = replay.sample(2000, rng, demo_fraction=0.5)
    seen = batch.obs[:, 2, 0, 0].astype(int)
    assert set(seen[~batch.is_demo].tolist()) == set(range(8, 18))
    assert set(seen[batch.is_demo].tolist()) == set(range(1000, 1070))


def test_a_batch_is_of_maps_of_one_shape_and_of_so_many_cells():
    rng = np.random.default_rng(4)
    replay = Replay(100)
    for shape in ((3, 3), (4, 5), (3, 3)):
        replay.add(lesson(rng, 6, shape), is_demo=True)
        replay.add(lesson(rng, 6, shape))
    shapes = {replay.sample(8, rng, demo_fraction=0.5, most_cells=100).obs.shape for _ in range(40)}
    assert shapes == {(8, 4, 3, 3), (5, 4, 4, 5)}


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_turned_map_is_the_map_of_the_turned_world(quarters, mirrored):
    # A world of one arrow: a vector, and how much goes toward each side, at each cell.
    rng = np.random.default_rng(5)
    east, north = rng.normal(size=(2, 4, 6))
    planes = np.stack(
        [east, north, *(np.maximum(part, 0) for part in (north, east, -north, -east)), rng.random((4, 6))]
    )
    symmetry = Symmetry(((0, 1),), ((2, 3, 4, 5),))
    turned = symmetry.turned(planes[None], quarters, mirrored)[0]
    # By coordinates: x to the east, y to the north, from the middle.
    for row, col in itertools.product(range(4), range(6)):
        x, y, right, up = col - 2.5, 1.5 - row, east[row, col], north[row, col]
        for _ in range(quarters):
            x, y, right, up = -y, x, -up, right
        if mirrored:
            x, right = -x, -right
        rows, cols = turned.shape[1:]
        there = turned[:, round((rows - 1) / 2 - y), round(x + (cols - 1) / 2)]
        wanted = [right, up, max(up, 0), max(right, 0), max(-up, 0), max(-right, 0), planes[6, row, col]]
        np.testing.assert_allclose(there, wanted)


def test_a_turned_batch_is_turned_as_a_whole():
    rng = np.random.default_rng(6)
    replay = Replay(100, symmetry=Symmetry())
    one = lesson(rng, 1, (3, 4), taught=True)._replace(discount=np.ones(1))
    marked = np.zeros((1, 12), bool)
    marked[0, 5] = True
    obs = np.zeros_like(one.obs)
    obs[0, :, 1, 1] = 1
    replay.add(
        one._replace(obs=obs, next_obs=obs, action=np.array([5]), mask=marked, next_mask=marked, taught=marked),
        is_demo=True,
    )
    shapes = set()
    for _ in range(60):
        batch = replay.sample(1, rng)
        shapes.add(batch.obs.shape[2:])
        cell = int(batch.action[0])
        for cells in (batch.mask, batch.next_mask, batch.taught, *(batch.obs[:, i].reshape(1, -1) for i in range(4))):
            assert np.flatnonzero(cells[0]).tolist() == [cell]
    assert shapes == {(3, 4), (4, 3)}


@pytest.mark.parametrize("own", [0, 7, 33])
@pytest.mark.parametrize("demos", [0, 64, 70])
def test_replay_round_trips_bit_for_bit(own, demos):
    rng = np.random.default_rng(7)
    replay, again = Replay(10, fixed=(0,)), Replay(10, fixed=(0,))
    for count, is_demo in ((own, False), (demos, True)):
        for shape in ((3, 3), (2, 5)) if count else ():
            replay.add(lesson(rng, count, shape, taught=is_demo), is_demo=is_demo)
    if own:
        replay.learned(np.arange(5), rng.random(5))
    state = replay.state_dict()
    assert all(isinstance(value, np.ndarray) for value in state.values())
    again.load_state_dict(state)
    for i in range(12):  # goes on bit for bit, through growth and overwriting
        for memory in (replay, again):
            memory.add(lesson(np.random.default_rng(i), 2))
            if demos:
                memory.add(lesson(np.random.default_rng(100 + i), 2, taught=True), is_demo=True)
        pair = [memory.sample(50, np.random.default_rng(i), demo_fraction=0.5) for memory in (replay, again)]
        assert all(a.tobytes() == b.tobytes() for a, b in zip(*pair, strict=True))
    first, second = replay.state_dict(), again.state_dict()
    assert first.keys() == second.keys()
    assert all(first[key].tobytes() == second[key].tobytes() for key in first)


def test_planes_that_never_change_are_kept_once_for_each_map():
    rng = np.random.default_rng(8)
    sizes = []
    for fixed in ((), (0, 1, 3)):
        replay = Replay(1000, fixed=fixed)
        one = lesson(rng, 100, (20, 20))
        replay.add(one, land=replay.add(one))
        sizes.append(sum(array.nbytes for array in replay.state_dict().values()))
    assert sizes[1] < 0.3 * sizes[0]


def test_replay_refuses_what_it_cannot_use():
    replay, good = Replay(10), lesson(np.random.default_rng(9))
    with pytest.raises(InputError, match="nothing is stored yet"):
        replay.sample(4, np.random.default_rng(0))
    with pytest.raises(InputError, match="do not fit each other"):
        replay.add(good._replace(mask=good.mask[:1]))
    with pytest.raises(InputError, match="outside its mask"):
        replay.add(good._replace(mask=np.zeros((3, 9), bool)))
    with pytest.raises(InputError, match="not finite"):
        replay.add(good._replace(obs=good.obs.astype(np.float32) + 1e5))
    with pytest.raises(InputError, match="saved run's settings"):
        replay.load_state_dict(Replay(11).state_dict())
    for wrong in ({"capacity": 0}, {"capacity": 5, "priority": 1.5}, {"capacity": 5, "correction": -1}):
        with pytest.raises(InputError, match="make no memory"):
            Replay(**wrong)


# ---------------------------------------------------------------------------------------------- save, load


def test_saved_agent_goes_on_bit_for_bit(make_agent, tmp_path):
    rng = np.random.default_rng(11)
    batches = [random_batch(rng) for _ in range(8)]
    agent = make_agent(DQNConfig(width=12, shards=3), prior_channel=1, seed=2)
    for batch in batches[:4]:
        agent.update(batch)
    replay = Replay(10)
    replay.add(lesson(rng, 12))
    replay.add(lesson(rng, 5, taught=True), is_demo=True)
    extra = {"step": 4, "rng": rng.bit_generator.state, "replay": replay.state_dict(), "names": ["a", None, 0.1]}
    agent.save(tmp_path / "agent.pt", extra)
    again, back = DQN.load(tmp_path / "agent.pt", threads=2)
    assert (again.config, again.updates, again.prior_channel) == (agent.config, 4, 1)
    assert bits(again) == bits(agent)
    for batch in batches[4:]:
        assert again.update(batch)[:7] == agent.update(batch)[:7]
    assert bits(again) == bits(agent)
    again.close()
    assert back["step"] == 4
    assert back["rng"] == rng.bit_generator.state
    assert back["names"] == extra["names"]
    assert all(back["replay"][key].tobytes() == value.tobytes() for key, value in extra["replay"].items())
    assert all(back["replay"][key].dtype == value.dtype for key, value in extra["replay"].items())


def test_an_interrupted_save_leaves_the_old_file(make_agent, tmp_path):
    path = tmp_path / "agent.pt"
    agent = make_agent()
    agent.save(path)
    old = path.read_bytes()
    with pytest.raises(Exception, match="pickle"):
        agent.save(path, {"cannot be written": lambda: None})
    assert path.read_bytes() == old
    assert [file.name for file in tmp_path.iterdir()] == ["agent.pt"]


def test_a_file_that_is_no_agent_is_refused_with_a_sentence(make_agent, tmp_path):
    (tmp_path / "text.pt").write_text("not an agent")
    torch.save({"format": "other"}, tmp_path / "other.pt")
    for name in ("text.pt", "other.pt"):
        with pytest.raises(InputError, match="not an agent of this version"):
            DQN.load(tmp_path / name)
    with pytest.raises(InputError, match="cannot read the agent"):
        DQN.load(tmp_path / "absent.pt")
    with pytest.raises(InputError, match="cannot write the agent"):
        make_agent().save(tmp_path / "absent" / "agent.pt")


@pytest.mark.parametrize(
    ("field", "value"), [("width", 0), ("learning_rate", 0.0), ("n_step", 0), ("demo_fraction", 1.5), ("shards", 0)]
)
def test_settings_out_of_range_are_named(field, value):
    with pytest.raises(InputError, match=f"{field} = {value}"):
        DQNConfig(**{field: value})


def test_a_prior_outside_the_channels_is_refused():
    with pytest.raises(InputError, match="prior_channel 5"):
        DQN(CHANNELS, DQNConfig(), prior_channel=CHANNELS)


# ----------------------------------------------------------------------------------------------- learning


def test_learned_q_equals_exact_dynamic_programming(make_agent):
    # 3 x 3, six allowed cells, three steps, a gate of two cells; all 1 + 6 + 15 states and their exact Q*.
    rng = np.random.default_rng(0)
    allowed = np.zeros((1, 9), bool)
    allowed[0, [0, 2, 3, 4, 7, 8]] = True
    value = rng.uniform(0.1, 0.5, (1, 9)) * allowed
    value[0, [3, 4]] = 0.05
    world = Gates(value, allowed, np.array([[[3, 4]]]), np.array([[1.5]]), 3, 3)

    def exact(treated):
        if len(treated) == 3:
            return {}
        q = {}
        for cell in set(np.flatnonzero(allowed[0]).tolist()) - treated:
            after = treated | {cell}
            reward = value[0, cell] + 1.5 * ({3, 4} <= after and not {3, 4} <= treated)
            q[cell] = reward + max(exact(after).values(), default=0.0)
        return q

    replay = Replay(2000)
    for _ in range(400):
        seen = []
        obs, mask = world.reset()
        for _ in range(3):
            action = rng.choice(np.flatnonzero(mask[0]), 1)
            after, after_mask, reward, _ = world.step(action)
            seen.append((obs, mask, action, reward))
            obs, mask = after, after_mask
        replay.add(windows(*zip(*seen, strict=True), n_step=1, gamma=1.0)[0])
    config = DQNConfig(learning_rate=2e-3, n_step=1, target_tau=0.03, advantage_unit=0.3, shards=1, width=16)
    agent = make_agent(config, channels=4, prior_channel=0)
    for _ in range(600):
        batch = replay.sample(32, rng)
        replay.learned(batch.place, agent.update(batch).td_errors)
    worst = 0.0
    for treated in itertools.chain.from_iterable(itertools.combinations([0, 2, 3, 4, 7, 8], k) for k in range(3)):
        world.reset()
        for cell in treated:
            world.step(np.array([cell]))
        q = agent.q_values(*world.observe())[0]
        truth = exact(set(treated))
        worst = max(worst, *(abs(q[cell] - truth[cell]) for cell in truth))
        assert q.argmax() in [cell for cell in truth if truth[cell] > max(truth.values()) - 0.05]
    assert worst < 0.1, f"Q* spans 0.05 to 2.4, worst error {worst:.3f}"
    assert greedy_returns(agent, world) == pytest.approx(world.best_returns())


def test_agent_finds_the_plan_that_greedy_misses(make_agent):
    rng = np.random.default_rng(1)
    world, test = gate_worlds(8, rng), gate_worlds(40, rng)
    config = DQNConfig(learning_rate=2e-3, n_step=2, target_tau=0.02, shards=1, width=16)
    agent = make_agent(config, channels=4, prior_channel=0)
    best = test.best_returns()
    # The prior is the greedy rule: it takes the two best single cells and never closes a line.
    assert (greedy_returns(agent, test) < 0.75 * best).all()
    replay = Replay(400)
    updates = 1000
    for update in range(updates):
        if update % 2 == 0:
            world, seen = gate_worlds(8, rng), []
            obs, mask = world.reset()
        action = agent.act(obs, mask, max(0.1, 1 - 2 * update / updates), rng)
        after, after_mask, reward, ended = world.step(action)
        seen.append((obs, mask, action, reward))
        obs, mask = after, after_mask
        if ended.all():
            for episode in windows(*zip(*seen, strict=True), n_step=2, gamma=1.0):
                replay.add(episode, land=0 if len(replay) else None)
        if update >= 8:
            batch = replay.sample(32, rng)
            replay.learned(batch.place, agent.update(batch).td_errors)
    found = greedy_returns(agent, test)  # on maps it has never seen
    assert (found > 0.999 * best).mean() >= 0.9
    assert (found / best).mean() > 0.97

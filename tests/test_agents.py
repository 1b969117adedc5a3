"""The learner against slow twins, exact dynamic programming and small worlds with a known best plan."""

import itertools

import numpy as np
import pytest
import torch

from fuelbreak.agents.dqn import DQN, DQNConfig, margin_losses, td_targets
from fuelbreak.agents.network import QNetwork
from fuelbreak.agents.replay import Batch, Replay
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
    return Batch(
        obs=rng.normal(size=(size, CHANNELS, height, width)).astype(np.float16),
        mask=mask,
        action=np.full(size, 4),
        reward=rng.normal(size=size).astype(np.float32),
        next_obs=rng.normal(size=(size, CHANNELS, height, width)).astype(np.float16),
        next_mask=next_mask,
        discount=np.where(rng.random(size) < 0.3, 0, 0.9).astype(np.float32),
        is_demo=np.arange(size) < demos,
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
        for norm in [*net.norms, net.head_norm]:  # normalization sees the whole map: take it out of the question
            norm.forward = lambda x: x
    obs = torch.ones(1, 1, 51, 51, requires_grad=True)
    q = net(obs, torch.ones(1, 51 * 51, dtype=torch.bool))
    advantage = q - q[:, :1]  # the value, which hears the whole map, cancels
    (gradient,) = torch.autograd.grad(advantage[0, 25 * 51 + 25], obs)
    seen = gradient[0, 0].abs() > 1e-12
    for row, col in [(13, 25), (37, 25), (25, 13), (25, 37), (13, 13), (37, 37)]:
        assert seen[row, col]


def test_nothing_depends_on_batch_statistics_or_training_mode(make_agent):
    agent = shaken(make_agent())
    kinds = {type(module).__name__ for module in agent.online.modules()}
    assert "GroupNorm" in kinds
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
    config = DQNConfig(advantage_unit=1.0, margin=0.3, margin_weight=0.7, shards=3)
    agent = shaken(make_agent(config))
    batch = random_batch(np.random.default_rng(6), size=11)
    q = torch.from_numpy(agent.q_values(batch.obs, batch.mask))
    chosen = q[:, 4].numpy()
    error = chosen - td_targets(agent.online, agent.target, batch).numpy()
    huber = np.where(np.abs(error) < 10, error**2 / 2, 10 * (np.abs(error) - 5))
    margin = margin_losses(q[:3], torch.full((3,), 4), 0.3).mean().item()
    logs = agent.update(batch)
    assert logs["td_error"] == pytest.approx(np.abs(error).mean(), rel=1e-4)
    assert logs["mean_q"] == pytest.approx(chosen.mean(), rel=1e-4)
    assert logs["margin_loss"] == pytest.approx(margin, rel=1e-4)
    assert logs["loss"] == pytest.approx(huber.mean() + 0.7 * margin, rel=1e-4)
    assert logs["grad_norm"] > 0
    assert [agent.update(batch)["loss"] for _ in range(20)][-1] < logs["loss"]


def test_demonstrations_pull_up_their_action_and_only_their_rows_count(make_agent):
    config = DQNConfig(learning_rate=2e-3, margin=1.0)
    batch = random_batch(np.random.default_rng(7), demos=10)
    batch = batch._replace(reward=np.zeros_like(batch.reward), discount=np.zeros_like(batch.discount))
    taught, alone = make_agent(config), make_agent(config)
    for _ in range(60):
        taught.update(batch)
        assert alone.update(batch._replace(is_demo=np.zeros(10, bool)))["margin_loss"] == 0
    # Without a demonstration all rewards are zero and nothing tells the actions apart.
    assert (taught.act(batch.obs, batch.mask, 0.0, np.random.default_rng(0)) == 4).all()
    assert not (alone.act(batch.obs, batch.mask, 0.0, np.random.default_rng(0)) == 4).all()


def test_bits_do_not_depend_on_threads(make_agent):
    one, two = (shaken(make_agent(prior_channel=1, threads=threads)) for threads in (1, 2))
    rng = np.random.default_rng(8)
    for _ in range(6):
        batch = random_batch(rng, size=13, height=20, width=21)
        assert one.update(batch) == two.update(batch)
    assert bits(one) == bits(two)
    assert one.q_values(batch.obs, batch.mask).tobytes() == two.q_values(batch.obs, batch.mask).tobytes()


def test_target_network_follows_slowly(make_agent):
    agent = shaken(make_agent(DQNConfig(target_tau=0.25)))
    old = [parameter.clone() for parameter in agent.target.parameters()]
    agent.update(random_batch(np.random.default_rng(9)))
    for before, after, online in zip(old, agent.target.parameters(), agent.online.parameters(), strict=True):
        if online.requires_grad:  # the weight of the prior is of no use where there is none, and stays
            torch.testing.assert_close(after, 0.75 * before + 0.25 * online, atol=1e-6, rtol=1e-5)


def test_a_broken_reward_stops_learning_with_a_sentence(make_agent):
    batch = random_batch(np.random.default_rng(10))
    batch.reward[0] = np.nan
    agent = make_agent()
    before = bits(agent)
    with pytest.raises(InputError, match="gradient is not finite"):
        agent.update(batch)
    assert bits(agent) == before


# ------------------------------------------------------------------------------------------------- replay


def played(capacity, steps, lengths, n_step, gamma=0.9, demos=0, seed=0):
    """A memory, and all that was ever put in it: each step's first observation value is its own number."""
    rng = np.random.default_rng(seed)
    rows = len(lengths)
    replay = Replay(capacity, rows, (1, 3, 3), n_step=n_step, gamma=gamma)
    story = {False: [], True: []}
    for is_demo, count in ((True, demos), (False, steps)):
        for step in range(count):
            mask = rng.random((rows, 9)) < 0.7
            mask[:, step % 9] = True
            obs = rng.random((rows, 1, 3, 3)).astype(np.float16)
            obs[:, 0, 0, 0] = step + 1000 * is_demo
            reward = rng.random(rows).astype(np.float32)
            ended = np.array([step % length == length - 1 for length in lengths])
            replay.add(obs, mask, np.full(rows, step % 9), reward, ended, is_demo=is_demo)
            story[is_demo].append((obs, mask, reward, ended))
    return replay, story


@pytest.mark.parametrize(("capacity", "steps", "n_step"), [(50, 30, 1), (50, 30, 3), (20, 67, 4), (20, 67, 10)])
def test_n_step_windows_equal_a_slow_twin_and_never_cross_an_episode(capacity, steps, n_step):
    lengths = [5, 7, 13]
    replay, story = played(capacity, steps, lengths, n_step)
    batch = replay.sample(3000, np.random.default_rng(1))
    seen = set()
    for i in range(3000):
        step = int(batch.obs[i, 0, 0, 0])
        row = next(r for r in range(3) if np.array_equal(story[False][step][0][r], batch.obs[i]))
        seen.add((step, row))
        assert step >= steps - capacity
        total, factor, end = 0.0, 1.0, None
        for k in range(n_step):
            total += factor * float(story[False][step + k][2][row])
            factor *= 0.9
            if story[False][step + k][3][row]:
                end = k
                break
        assert batch.reward[i] == pytest.approx(total, rel=1e-5)
        assert batch.action[i] == step % 9
        assert np.array_equal(batch.mask[i], story[False][step][1][row])
        if end is None:
            assert batch.discount[i] == pytest.approx(0.9**n_step)
            assert np.array_equal(batch.next_obs[i], story[False][step + n_step][0][row])
            assert np.array_equal(batch.next_mask[i], story[False][step + n_step][1][row])
        else:
            assert batch.discount[i] == 0
            assert batch.next_mask[i].any()
    # Every step whose window is complete can be drawn, and no other.
    expected = {
        (step, row)
        for row, length in enumerate(lengths)
        for step in range(max(0, steps - capacity), steps)
        if step + n_step < steps or (step // length + 1) * length <= steps
    }
    assert seen == expected
    assert len(replay) == len(expected)


def test_demonstrations_are_kept_and_make_up_their_share():
    replay, story = played(10, 100, [5, 5], 2, demos=70)
    batch = replay.sample(2000, np.random.default_rng(0), demo_fraction=0.25)
    assert batch.is_demo.sum() == 500
    assert (batch.obs[batch.is_demo, 0, 0, 0] >= 1000).all()
    assert set(batch.obs[batch.is_demo, 0, 0, 0].tolist()) == {1000.0 + step for step in range(len(story[True]))}
    assert (batch.obs[~batch.is_demo, 0, 0, 0] >= 90).all()
    only, _ = played(10, 0, [5, 5], 2, demos=70)
    assert only.sample(16, np.random.default_rng(0)).is_demo.all()


@pytest.mark.parametrize("steps", [0, 7, 10, 33])
@pytest.mark.parametrize("demos", [0, 64, 70])
def test_replay_round_trips_bit_for_bit(steps, demos):
    replay, _ = played(10, steps, [5, 8], 2, demos=demos)
    state = replay.state_dict()
    assert all(isinstance(value, np.ndarray) for value in state.values())
    again = Replay(10, 2, (1, 3, 3), n_step=2, gamma=0.9)
    again.load_state_dict(state)
    rng = np.random.default_rng(3)
    for _ in range(12):  # goes on bit for bit, through growth and overwriting
        for memory in (replay, again):
            memory.add(np.ones((2, 1, 3, 3)), np.ones((2, 9), bool), np.zeros(2, int), np.ones(2), np.zeros(2, bool))
            if demos:
                memory.add(
                    *(np.ones((2, 1, 3, 3)), np.ones((2, 9), bool), np.zeros(2, int), np.ones(2), np.ones(2, bool)),
                    is_demo=True,
                )
        seed = int(rng.integers(1000))
        if len(replay):
            pair = [m.sample(50, np.random.default_rng(seed), demo_fraction=0.5) for m in (replay, again)]
            assert all(a.tobytes() == b.tobytes() for a, b in zip(*pair, strict=True))
    first, second = replay.state_dict(), again.state_dict()
    assert first.keys() == second.keys()
    assert all(first[key].tobytes() == second[key].tobytes() for key in first)


def test_replay_refuses_what_it_cannot_use():
    replay = Replay(10, 2, (1, 3, 3), n_step=2)
    good = (np.zeros((2, 1, 3, 3)), np.ones((2, 9), bool), np.zeros(2, int), np.zeros(2), np.zeros(2, bool))
    with pytest.raises(InputError, match="no window of 2 steps"):
        replay.sample(4, np.random.default_rng(0))
    with pytest.raises(InputError, match="do not fit 2 rows"):
        replay.add(*(array[:1] for array in good))
    with pytest.raises(InputError, match="outside its mask"):
        replay.add(good[0], np.zeros((2, 9), bool), *good[2:])
    with pytest.raises(InputError, match="not finite"):
        replay.add(good[0] + 1e5, *good[1:])
    with pytest.raises(InputError, match="saved run's settings"):
        replay.load_state_dict(Replay(11, 2, (1, 3, 3)).state_dict())
    with pytest.raises(InputError, match="nothing to sample"):
        Replay(2, 1, (1, 3, 3), n_step=2)


# ---------------------------------------------------------------------------------------------- save, load


def test_saved_agent_goes_on_bit_for_bit(make_agent, tmp_path):
    rng = np.random.default_rng(11)
    batches = [random_batch(rng) for _ in range(8)]
    agent = make_agent(DQNConfig(width=12, shards=3), prior_channel=1, seed=2)
    for batch in batches[:4]:
        agent.update(batch)
    replay, _ = played(10, 33, [5, 8], 2, demos=5)
    extra = {"step": 4, "rng": rng.bit_generator.state, "replay": replay.state_dict(), "names": ["a", None, 0.1]}
    agent.save(tmp_path / "agent.pt", extra)
    again, back = DQN.load(tmp_path / "agent.pt", threads=2)
    assert (again.config, again.updates, again.prior_channel) == (agent.config, 4, 1)
    assert bits(again) == bits(agent)
    for batch in batches[4:]:
        assert again.update(batch) == agent.update(batch)
    assert bits(again) == bits(agent)
    again.close()
    assert back["step"] == 4
    assert back["rng"] == rng.bit_generator.state
    assert back["names"] == extra["names"]
    assert all(np.array_equal(back["replay"][key], value) for key, value in extra["replay"].items())
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
    ("field", "value"), [("width", 10), ("learning_rate", 0.0), ("n_step", 0), ("demo_fraction", 1.5), ("shards", 0)]
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

    replay = Replay(2000, 1, (4, 3, 3), n_step=1)
    for _ in range(400):
        obs, mask = world.reset()
        for _ in range(3):
            action = rng.choice(np.flatnonzero(mask[0]), 1)
            after, after_mask, reward, ended = world.step(action)
            replay.add(obs, mask, action, reward, ended)
            obs, mask = after, after_mask
    config = DQNConfig(learning_rate=2e-3, n_step=1, target_tau=0.03, advantage_unit=0.3, shards=1, width=16)
    agent = make_agent(config, channels=4, prior_channel=0)
    for _ in range(600):
        agent.update(replay.sample(32, rng))
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
    replay = Replay(400, 8, (4, 5, 5), n_step=2)
    updates = 1000
    for update in range(updates):
        if update % 2 == 0:
            world = gate_worlds(8, rng)
            obs, mask = world.reset()
        action = agent.act(obs, mask, max(0.1, 1 - 2 * update / updates), rng)
        after, after_mask, reward, ended = world.step(action)
        replay.add(obs, mask, action, reward, ended)
        obs, mask = after, after_mask
        if update >= 8:
            agent.update(replay.sample(32, rng))
    found = greedy_returns(agent, test)  # on maps it has never seen
    assert (found > 0.999 * best).mean() >= 0.9
    assert (found / best).mean() > 0.97

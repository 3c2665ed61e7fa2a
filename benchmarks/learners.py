"""Updates per second of our learners beside those of d3rlpy, Stable-Baselines3 and
tianshou, in one process.

    python benchmarks/learners.py --rounds 7 --seconds 0.5
    python benchmarks/learners.py --work dqn "iql, box" --threads 1 --precision bf32

d3rlpy and tianshou must be installed without their own pinned dependencies (see `peers`
in setup.cfg); a missing peer is left out. Every round times ours and then each peer for
`--seconds`. A ratio compares rates of one round; the table shows the median over rounds
and in brackets the smallest and largest. The share of peak divides the FLOP of our
update's matrix products, counted by hand, by the fastest product of large matrices that
the same run measured.

Updates are timed on one prepared batch; `buffer.py` times sampling. Timed are
`learner.update(Batch)`; `algo.impl.update(TorchMiniBatch, step)` of d3rlpy;
`model.train(10)` of SB3 with a buffer that returns the prepared batch, counted as ten;
the target and `_update_with_batch` of tianshou. All networks are 256x256, batches are
256, with 11 observations, 3 actions, Adam at 3e-4, no gradient clipping except where
SB3 has it (then ours too, at 10). Ours moves the target networks in every update; the
peers' discrete learners copy them too rarely to matter. Our `setup` makes glibc retain
freed memory for the whole process, which speeds up the peers as well, d3rlpy by 5 to
25 % on one thread.
"""

import argparse
import copy
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from torch import nn

from curriculum.learning import engine
from curriculum.setting import plugins
from curriculum.types import Batch, Spec

OBS = 11  # numbers of an observation
ACTIONS = 3  # discrete actions, or numbers of a box action
ROWS = 256  # transitions of a batch
HIDDEN = (256, 256)
RATE = 3e-4  # Adam's step size
GAMMA = 0.99
FRAMES = (4, 84, 84)  # an image observation
PIXEL_ROWS = 32  # transitions of a batch of images
Update = Callable[[], object]


@dataclass
class Options:
    """The flags."""

    work: list[str]
    rounds: int
    seconds: float
    threads: int
    precision: str
    device: str
    engine: engine.Engine
    clock: str
    json: Path | None


class Contender(NamedTuple):
    """Something that is timed."""

    update: Update
    counts: int  # updates that one call counts as


Build = Callable[[Options], Contender]


class Row(NamedTuple):
    """One row of the table: our learner, and others that do the same."""

    ours: Build
    peers: dict[str, Build]
    flop: float  # of the matrix products in one of our updates


# --- matrix products of an update, counted ---


class Net(NamedTuple):
    """FLOP of the products in one network's passes over a row."""

    widths: tuple[int, ...]

    @property
    def forward(self) -> float:
        return 2 * sum(i * o for i, o in itertools.pairwise(self.widths))

    @property
    def through(self) -> float:
        """Forward, and the gradient with respect to the input."""
        return 2 * self.forward

    @property
    def train(self) -> float:
        """Forward, and the gradient with respect to all weights."""
        return 3 * self.forward - 2 * self.widths[0] * self.widths[1]


Q = Net((OBS, *HIDDEN, ACTIONS))
PI = Net((OBS, *HIDDEN, ACTIONS))
V = Net((OBS, *HIDDEN, 1))
CRITIC = Net((OBS + ACTIONS, *HIDDEN, 1))
GAUSSIAN = Net((OBS, *HIDDEN, 2 * ACTIONS))
ENCODER = Net((OBS + ACTIONS, *HIDDEN, 4 * ACTIONS))
DECODER = Net((OBS + 2 * ACTIONS, *HIDDEN, ACTIONS))
SMALL = Net((OBS, 64, 64, ACTIONS))
BC_BOX = ROWS * GAUSSIAN.train
IQL = ROWS * (
    2 * CRITIC.train + 2 * CRITIC.forward + V.train + V.forward + GAUSSIAN.train
)
AWAC = ROWS * (
    2 * CRITIC.train + 6 * CRITIC.forward + GAUSSIAN.train + GAUSSIAN.forward
)
TD3BC = ROWS * (
    2 * CRITIC.train + 2 * CRITIC.forward + PI.forward + (PI.train + CRITIC.through) / 2
)
# the three convolutions of the Nature network, for one image
CONVOLUTION = 2 * (400 * 32 * 256 + 81 * 64 * 512 + 49 * 64 * 576)
PIXELS = CONVOLUTION + 2 * (3136 * 512 + 512 * ACTIONS)
# the gradient with respect to the image is not needed
PIXELS_TRAIN = 3 * PIXELS - 2 * 400 * 32 * 256


def cql_flop(samples: int) -> float:
    """FLOP of box CQL with so many uniform actions, and as many of the policy, for each
    state."""
    values = 2 * (1 + 2 * samples) * CRITIC.train
    return ROWS * (
        values
        + 2 * GAUSSIAN.forward
        + 2 * CRITIC.forward
        + GAUSSIAN.train
        + 2 * CRITIC.through
    )


def bcq_flop(samples: int) -> float:
    """FLOP of box BCQ with so many generated actions for each next state."""
    vae = ENCODER.train + DECODER.train + 2 * DECODER.widths[0] * DECODER.widths[1]
    # the perturbation has the inputs of the critic
    perturbation = CRITIC.forward
    target = samples * (DECODER.forward + perturbation + 2 * CRITIC.forward)
    return ROWS * (
        vae
        + target
        + 2 * CRITIC.train
        + DECODER.forward
        + CRITIC.train
        + CRITIC.through
    )


def edac_flop(critics: int) -> float:
    """FLOP of EDAC with action gradients written out: a product for each layer, and two
    more for their derivative."""
    slopes = 3 * critics * 2 * HIDDEN[0] * (HIDDEN[1] + ACTIONS)
    actors = GAUSSIAN.train + GAUSSIAN.forward + critics * CRITIC.through
    return ROWS * (critics * (CRITIC.train + CRITIC.forward) + slopes + actors)


# --- one batch for all contenders ---


class Columns(NamedTuple):
    """A batch of one seed, in the form that peers take."""

    obs: torch.Tensor
    action: torch.Tensor  # [B] int64 or [B, A]
    reward: torch.Tensor
    terminal: torch.Tensor
    next_obs: torch.Tensor


def columns(
    device: str, box: bool, rows: int = ROWS, pixels: bool = False, seed: int = 0
) -> Columns:
    """Draw random transitions, a tenth of which end their episode."""
    rng = np.random.default_rng(seed)
    if pixels:
        obs, next_obs = rng.integers(256, size=(2, rows, *FRAMES), dtype=np.uint8)
    else:
        obs, next_obs = rng.normal(size=(2, rows, OBS)).astype(np.float32)
    if box:
        action = rng.uniform(-1, 1, (rows, ACTIONS)).astype(np.float32)
    else:
        action = rng.integers(ACTIONS, size=rows)
    reward = rng.normal(size=rows).astype(np.float32)
    terminal = (rng.random(rows) < 0.1).astype(np.float32)
    arrays = (obs, action, reward, terminal, next_obs)
    return Columns(*(torch.as_tensor(array, device=device) for array in arrays))


# --- ours ---


def spec_of(box: bool, pixels: bool) -> Spec:
    """The world that a learner is set up for."""
    actions = 0 if box else ACTIONS
    action_size = ACTIONS if box else 0
    if pixels:
        low = np.zeros(FRAMES)
        high = np.full(FRAMES, 255.0)
        return Spec(FRAMES, "uint8", low, high, actions, action_size, FRAMES[0])
    high = np.full(OBS, np.inf)
    return Spec((OBS,), "float32", -high, high, actions, action_size)


def batch_of(options: Options, box: bool, seeds: int, rows: int, pixels: bool) -> Batch:
    """A batch of all seeds."""
    each = [columns(options.device, box, rows, pixels, seed) for seed in range(seeds)]
    stacked = Columns(*(torch.stack(column) for column in zip(*each, strict=True)))
    return Batch(
        obs=stacked.obs,
        action=stacked.action,
        reward=stacked.reward,
        discount=GAMMA * (1 - stacked.terminal),
        next_obs=stacked.next_obs,
    )


def learner(
    options: Options,
    name: str,
    box: bool,
    seeds: int,
    rows: int,
    pixels: bool,
    settings: dict[str, Any],
    stacking: bool = False,
) -> Update:
    """An update of our learner, of all seeds at once.

    Only updates of one seed in full precision are compiled: the other rows compare
    stacking or precision, not compilers."""
    fields = {
        "hidden": (512,) if pixels else HIDDEN,
        "learning_rate": RATE,
        "batch_size": rows,
        "grad_clip": 0.0,
        "discount": GAMMA,
        **settings,
    }
    precision = fields.pop("precision", options.precision)
    made = plugins.make("learner", name, **fields)
    made.setup(spec_of(box, pixels), tuple(range(seeds)), options.device, precision)
    compiles = seeds == 1 and precision == "fp32" and not stacking
    chosen = options.engine if compiles else "torch"
    mode, _ = engine.choose(chosen, options.device, precision, 0)
    update = engine.updater(made, mode)
    batch = batch_of(options, box, seeds, rows, pixels)
    return lambda: update(batch, None)


def ours(
    name: str,
    box: bool = False,
    seeds: int = 1,
    rows: int = ROWS,
    pixels: bool = False,
    **settings: Any,
):
    """Our learner `name`; an update of several seeds counts as that many updates."""

    def build(options: Options) -> Contender:
        update = learner(options, name, box, seeds, rows, pixels, settings)
        return Contender(update, seeds)

    return build


def one_after_another(
    name: str, seeds: int, box: bool = False, rows: int = ROWS, **settings: Any
):
    """Our learner with its seeds in separate learners."""

    def build(options: Options) -> Contender:
        updates = [
            learner(options, name, box, 1, rows, False, settings, stacking=True)
            for _ in range(seeds)
        ]

        def update_all() -> None:
            for update in updates:
                update()

        return Contender(update_all, seeds)

    return build


# --- peers ---


def d3rlpy(name: str, box: bool = False, pixels: bool = False, **settings: Any):
    """An algorithm of d3rlpy; its defaults are our networks."""

    def build(options: Options) -> Contender:
        import d3rlpy
        from d3rlpy.torch_utility import TorchMiniBatch

        gpu = options.device == "cuda"
        config = getattr(d3rlpy.algos, f"{name}Config")(
            compile_graph=gpu and options.engine != "torch", **settings
        )
        algorithm = config.create(device="cuda:0" if gpu else "cpu:0")
        algorithm.create_impl(FRAMES if pixels else (OBS,), ACTIONS)
        rows = PIXEL_ROWS if pixels else ROWS
        data = columns(options.device, box, rows, pixels)
        action = data.action if box else data.action.unsqueeze(-1)
        reward = data.reward.unsqueeze(-1)
        terminal = data.terminal.unsqueeze(-1)
        returns = torch.zeros_like(reward)
        intervals = torch.ones_like(reward)
        steps = itertools.count()

        def scaled(obs: torch.Tensor) -> torch.Tensor:
            # d3rlpy gets scaled images; ours and SB3 scale them in the update
            return obs.float() / 255 if pixels else obs

        def update() -> None:
            batch = TorchMiniBatch(
                scaled(data.obs),
                action,
                reward,
                scaled(data.next_obs),
                action,
                returns,
                terminal,
                intervals,
                algorithm.impl.device,
            )
            algorithm.impl.update(batch, next(steps))

        return Contender(update, 1)

    return build


def sb3(options: Options, pixels: bool = False) -> Contender:
    """DQN of Stable-Baselines3, which has no double Q."""
    from stable_baselines3 import DQN
    from stable_baselines3.common.buffers import ReplayBufferSamples
    from stable_baselines3.common.logger import Logger

    class World(gym.Env):
        observation_space: Any = gym.spaces.Box(-np.inf, np.inf, (OBS,), np.float32)
        action_space = gym.spaces.Discrete(ACTIONS)

    if pixels:
        World.observation_space = gym.spaces.Box(0, 255, FRAMES, np.uint8)
    architecture = [] if pixels else list(HIDDEN)
    model: Any = DQN(
        "CnnPolicy" if pixels else "MlpPolicy",
        World(),
        learning_rate=RATE,
        buffer_size=1,
        max_grad_norm=10,
        policy_kwargs={"net_arch": architecture},
        device=options.device,
    )
    model.set_logger(Logger(None, []))
    data = columns(options.device, False, PIXEL_ROWS if pixels else ROWS, pixels)
    reward = data.reward.unsqueeze(-1)
    samples = ReplayBufferSamples(
        data.obs,
        data.action.unsqueeze(-1),
        data.next_obs,
        data.terminal.unsqueeze(-1),
        reward,
    )
    model.replay_buffer.sample = lambda *args, **settings: samples
    return Contender(lambda: model.train(10, len(reward)), 10)


def tianshou(options: Options, box: bool) -> Contender:
    """Double DQN of tianshou, or its TD3+BC."""
    from tianshou.algorithm.imitation.td3_bc import TD3BC
    from tianshou.algorithm.modelfree.ddpg import ContinuousDeterministicPolicy
    from tianshou.algorithm.modelfree.dqn import DQN, DiscreteQLearningPolicy
    from tianshou.algorithm.optim import AdamOptimizerFactory
    from tianshou.data import Batch as Theirs
    from tianshou.utils.net.common import Net as Body
    from tianshou.utils.net.continuous import (
        ContinuousActorDeterministic,
        ContinuousCritic,
    )

    adam = AdamOptimizerFactory(lr=RATE)
    sizes = list(HIDDEN)
    data = columns(options.device, box)
    if box:
        space = gym.spaces.Box(-1, 1, (ACTIONS,), np.float32)
        body = Body(state_shape=OBS, hidden_sizes=sizes)
        actor = ContinuousActorDeterministic(
            preprocess_net=body, action_shape=ACTIONS, max_action=1
        )
        bodies = [
            Body(
                state_shape=OBS,
                action_shape=ACTIONS,
                hidden_sizes=sizes,
                concat=True,
                activation=nn.ReLU,
            )
            for _ in range(2)
        ]
        critics = [
            ContinuousCritic(preprocess_net=b).to(options.device) for b in bodies
        ]
        policy: Any = ContinuousDeterministicPolicy(
            actor=actor.to(options.device), action_space=space
        )
        algorithm: Any = TD3BC(
            policy=policy,
            policy_optim=adam,
            critic=critics[0],
            critic2=critics[1],
            critic_optim=adam,
        )
    else:
        net = Body(state_shape=OBS, action_shape=ACTIONS, hidden_sizes=sizes).to(
            options.device
        )
        policy = DiscreteQLearningPolicy(
            model=net, action_space=gym.spaces.Discrete(ACTIONS)
        )
        algorithm = DQN(
            policy=policy,
            optim=adam,
            target_update_freq=8000,
            is_double=True,
            huber_loss_delta=1.0,
        )
    algorithm.to(options.device).train()
    action = data.action if box else data.action.cpu().numpy()
    batch = Theirs(obs=data.obs, act=action, info=[None] * ROWS)
    following = Theirs(obs_next=data.next_obs)
    discount = GAMMA * (1 - data.terminal)
    indices = np.arange(ROWS)
    buffer: Any = type("Prepared", (), {"__getitem__": lambda self, index: following})()

    def update() -> None:
        with torch.no_grad():
            next_q = algorithm._target_q(buffer, indices).flatten()
            batch.returns = data.reward + discount * next_q
        batch.pop("weight", None)
        algorithm._update_with_batch(batch)

    return Contender(update, 1)


class PlainEDAC:
    """EDAC with separate critics; autograd differentiates twice for the diversity."""

    def __init__(self, options: Options, critics: int, diversity: float = 1.0):
        def net(inputs: int, outputs: int) -> nn.Sequential:
            layers: list[nn.Module] = []
            for before, after in itertools.pairwise((inputs, *HIDDEN)):
                layers += [nn.Linear(before, after), nn.ReLU()]
            layers.append(nn.Linear(HIDDEN[-1], outputs))
            return nn.Sequential(*layers).to(options.device)

        self.data = columns(options.device, box=True)
        self.diversity = diversity
        self.policy = net(OBS, 2 * ACTIONS)
        self.critics = nn.ModuleList(net(OBS + ACTIONS, 1) for _ in range(critics))
        self.targets = copy.deepcopy(self.critics)
        self.log_temperature = torch.zeros(
            (), device=options.device, requires_grad=True
        )
        self.policy_adam = torch.optim.Adam(self.policy.parameters(), RATE)
        self.critic_adam = torch.optim.Adam(self.critics.parameters(), RATE)
        self.temperature_adam = torch.optim.Adam([self.log_temperature], RATE)

    def act(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """An action [B, A] and its log-probability [B, 1]."""
        mean, log_std = self.policy(obs).chunk(2, -1)
        normal = torch.distributions.Normal(mean, log_std.clamp(-5, 2).exp())
        raw = normal.rsample()
        squash = 2 * (np.log(2) - raw - nn.functional.softplus(-2 * raw))
        return raw.tanh(), (normal.log_prob(raw) - squash).sum(-1, keepdim=True)

    def values(
        self, critics: nn.ModuleList, obs: torch.Tensor, action: torch.Tensor
    ) -> torch.Tensor:
        """[K, B, 1]."""
        return torch.stack([critic(torch.cat([obs, action], -1)) for critic in critics])

    def similarity(self) -> torch.Tensor:
        """Mean cosine between the critics' gradients with respect to the data's
        actions."""
        action = self.data.action.clone().requires_grad_()
        values = self.values(self.critics, self.data.obs, action)
        gradients = []
        for value in values:
            (own,) = torch.autograd.grad(value.sum(), action, create_graph=True)
            gradients.append(own)
        stacked = torch.stack(gradients, 1)  # [B, K, A]
        unit = stacked / (stacked.norm(dim=-1, keepdim=True) + 1e-10)
        cosines = unit @ unit.transpose(1, 2)  # [B, K, K]
        others = 1 - torch.eye(len(values), device=unit.device)
        return (cosines * others).sum((1, 2)).mean() / (len(values) - 1)

    def __call__(self) -> None:
        """One update."""
        self.update_temperature_and_policy()
        self.update_critics()
        with torch.no_grad():
            pairs = zip(
                self.targets.parameters(), self.critics.parameters(), strict=True
            )
            for slow, fast in pairs:
                slow.lerp_(fast, 0.005)

    def update_temperature_and_policy(self) -> None:
        """Against the lowest critic."""
        temperature = self.log_temperature.exp().detach()
        sampled, log_prob = self.act(self.data.obs)
        spare = -(log_prob.detach() - ACTIONS)
        self.temperature_adam.zero_grad()
        (self.log_temperature.exp() * spare).mean().backward()
        self.temperature_adam.step()
        value = self.values(self.critics, self.data.obs, sampled).amin(0)
        self.policy_adam.zero_grad()
        (temperature * log_prob - value).mean().backward()
        self.policy_adam.step()

    def update_critics(self) -> None:
        """The target has no entropy, as in ours."""
        data = self.data
        reward = data.reward.unsqueeze(-1)
        discount = GAMMA * (1 - data.terminal.unsqueeze(-1))
        with torch.no_grad():
            next_action, _ = self.act(data.next_obs)
            next_value = self.values(self.targets, data.next_obs, next_action).amin(0)
            target = reward + discount * next_value
        q = self.values(self.critics, data.obs, data.action)
        error = (q - target).square().mean(1).sum()
        self.critic_adam.zero_grad()
        (error + self.diversity * self.similarity()).backward()
        self.critic_adam.step()


def plain_edac(options: Options) -> Contender:
    """The reference for ten critics."""
    return Contender(PlainEDAC(options, critics=10), 1)


# --- rows ---

ADAM: dict[str, Any] = {"learning_rate": RATE}
BOTH: dict[str, Any] = {"actor_learning_rate": RATE, "critic_learning_rate": RATE}
DQN = ROWS * (Q.train + Q.forward)
TARGET = ROWS * Q.forward
# d3rlpy's CQL adds actions that the policy takes at the next state: with 10 samples its
# critics see 30 actions for each state, ours 20 (as in appendix F of the paper); the
# second row gives both 30. Alpha is fixed on both sides.
CQL = d3rlpy(
    "CQL",
    box=True,
    n_action_samples=10,
    alpha_learning_rate=0.0,
    temp_learning_rate=RATE,
    **BOTH,
)
WORK: dict[str, Row] = {
    "bc": Row(ours("bc"), {"d3rlpy": d3rlpy("DiscreteBC", **ADAM)}, ROWS * PI.train),
    "dqn": Row(ours("dqn", double=False), {"d3rlpy": d3rlpy("DQN", **ADAM)}, DQN),
    "dqn, clipped": Row(ours("dqn", double=False, grad_clip=10.0), {"SB3": sb3}, DQN),
    "double dqn": Row(
        ours("dqn"),
        {
            "d3rlpy": d3rlpy("DoubleDQN", **ADAM),
            "tianshou": partial(tianshou, box=False),
        },
        DQN + TARGET,
    ),
    "cql": Row(ours("cql"), {"d3rlpy": d3rlpy("DiscreteCQL", **ADAM)}, DQN + TARGET),
    # ours maximises the likelihood, d3rlpy minimises the error of a sampled action
    "bc, box": Row(
        ours("bc", box=True),
        {"d3rlpy": d3rlpy("BC", box=True, policy_type="stochastic", **ADAM)},
        BC_BOX,
    ),
    "iql, box": Row(
        ours("iql", box=True), {"d3rlpy": d3rlpy("IQL", box=True, **BOTH)}, IQL
    ),
    "awac, box": Row(
        ours("awac", box=True), {"d3rlpy": d3rlpy("AWAC", box=True, **BOTH)}, AWAC
    ),
    "td3bc, box": Row(
        ours("td3bc", box=True),
        {
            "d3rlpy": d3rlpy("TD3PlusBC", box=True, **BOTH),
            "tianshou": partial(tianshou, box=True),
        },
        TD3BC,
    ),
    "cql, box": Row(ours("cql", box=True, samples=10), {"d3rlpy": CQL}, cql_flop(10)),
    "cql, box, 30 rows a state": Row(
        ours("cql", box=True, samples=15), {"d3rlpy": CQL}, cql_flop(15)
    ),
    "bcq, box": Row(
        ours("bcq", box=True, samples=100),
        {
            "d3rlpy": d3rlpy(
                "BCQ",
                box=True,
                n_action_samples=100,
                imitator_learning_rate=RATE,
                **BOTH,
            )
        },
        bcq_flop(100),
    ),
    "edac, box, 10 critics": Row(
        ours("edac", box=True, critics=10),
        {"separate critics": plain_edac},
        edac_flop(10),
    ),
    "dqn, pixels": Row(
        ours("dqn", pixels=True, rows=PIXEL_ROWS, double=False, grad_clip=10.0),
        {"SB3": partial(sb3, pixels=True)},
        PIXEL_ROWS * (PIXELS_TRAIN + PIXELS),
    ),
    "cql, pixels": Row(
        ours("cql", pixels=True, rows=PIXEL_ROWS),
        {"d3rlpy": d3rlpy("DiscreteCQL", pixels=True, **ADAM)},
        PIXEL_ROWS * (PIXELS_TRAIN + 2 * PIXELS),
    ),
    "dqn, 16 seeds of 64x64": Row(
        ours("dqn", seeds=16, rows=64, hidden=(64, 64)),
        {
            "one after another": one_after_another(
                "dqn", seeds=16, rows=64, hidden=(64, 64)
            )
        },
        64 * (SMALL.train + 2 * SMALL.forward),
    ),
    "iql, box, 5 seeds": Row(
        ours("iql", box=True, seeds=5),
        {"one after another": one_after_another("iql", seeds=5, box=True)},
        IQL,
    ),
    "iql, box, 5 seeds, bf32": Row(
        ours("iql", box=True, seeds=5, precision="bf32"),
        {
            "one after another": one_after_another(
                "iql", seeds=5, box=True, precision="bf32"
            )
        },
        IQL,
    ),
}


# --- measuring ---


def rate(contender: Contender, options: Options) -> float:
    """Updates per second over `options.seconds`."""
    gpu = options.device == "cuda"
    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    if gpu:
        torch.cuda.synchronize()
    done = 0
    start = clock()
    while clock() - start < options.seconds:
        contender.update()
        done += contender.counts
        # the queue must not run ahead of the clock
        if gpu and done % 50 == 0:
            torch.cuda.synchronize()
    if gpu:
        torch.cuda.synchronize()
    return done / (clock() - start)


def peak(size: int, precision: str, options: Options) -> float:
    """GFLOP/s of square matrix products of this size."""
    left, right = torch.randn(2, size, size, device=options.device)
    out = torch.empty_like(left)
    multiply = Contender(lambda: torch.mm(left, right, out=out), 1)
    previous = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if precision == "bf32" else "highest")
    try:
        rates = [rate(multiply, options) for _ in range(3)]
    finally:
        torch.set_float32_matmul_precision(previous)
    return 2e-9 * size**3 * max(rates)


def contenders_of(name: str, row: Row, options: Options) -> dict[str, Contender]:
    """Ours, and the peers that are installed."""
    found = {}
    for label, build in {"ours": row.ours, **row.peers}.items():
        try:
            found[label] = build(options)
        except ImportError as missing:
            print(f"{name}: no {label}: {missing}", file=sys.stderr)
    return found


def measure(name: str, row: Row, options: Options) -> list[dict[str, Any]]:
    """A dictionary for each peer that is there; one without a peer where none is."""
    contenders = contenders_of(name, row, options)
    rates: dict[str, list[float]] = {label: [] for label in contenders}
    for contender in contenders.values():
        # twice: what is compiled or captured may differ from update to update
        contender.update()
        contender.update()
    for number in range(options.rounds + 1):
        for label, contender in contenders.items():
            measured = rate(contender, options)
            if number > 0:  # the first round warms up
                rates[label].append(measured)
    mine = rates.pop("ours")
    gflops = statistics.median(mine) * row.flop * 1e-9
    result = {"work": name, "ours": mine, "gflops": gflops}
    if not rates:
        return [result]
    return [
        {**result, "peer": label, "theirs": theirs} for label, theirs in rates.items()
    ]


def line(measured: dict[str, Any], peaks: dict[str, float], options: Options) -> str:
    """A line of the table."""
    precision = "bf32" if "bf32" in measured["work"] else options.precision
    best = peaks.get(precision, peaks["bf32"])
    share = measured["gflops"] / best
    cells = [measured["work"], f"{statistics.median(measured['ours']):.0f}"]
    if "theirs" in measured:
        cells += compared(measured)
    else:
        cells += ["-", "-", "-"]
    cells += [f"{measured['gflops']:.0f}", f"{share:.0%}"]
    return f"| {' | '.join(cells)} |"


def compared(measured: dict[str, Any]) -> list[str]:
    """The peer, its updates per second, and ours relative to it."""
    pairs = zip(measured["ours"], measured["theirs"], strict=True)
    ratios = [mine / theirs for mine, theirs in pairs]
    middle = statistics.median(ratios)
    ratio = f"{middle:.2f} ({min(ratios):.2f}..{max(ratios):.2f})"
    return [measured["peer"], f"{statistics.median(measured['theirs']):.0f}", ratio]


def parse() -> Options:
    """Read the flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work",
        nargs="+",
        default=list(WORK),
        choices=list(WORK),
        metavar="NAME",
        help="; ".join(WORK),
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--seconds", type=float, default=0.5, help="of every contender in every round"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--precision", default="fp32", choices=["fp32", "bf32", "bf16"], help="of ours"
    )
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument(
        "--engine",
        default="auto",
        choices=["auto", "torch", "compile"],
        help="as curriculum.train's",
    )
    parser.add_argument(
        "--clock",
        default="wall",
        choices=["wall", "cpu"],
        help="cpu: for a machine that others use too",
    )
    parser.add_argument("--json", type=Path, help="a file for all rounds' numbers")
    options = Options(**vars(parser.parse_args()))
    if options.clock == "cpu" and (options.threads > 1 or options.device != "cpu"):
        parser.error(
            "--clock cpu adds up the time of all threads, also of waiting ones; "
            "give --threads 1 and --device cpu with it"
        )
    return options


def main() -> None:
    """Measure and print a markdown table."""
    options = parse()
    torch.set_num_threads(options.threads)
    peaks = {}
    for precision in ("fp32", "bf32"):
        small = peak(256, precision, options)
        large = peak(2048, precision, options)
        peaks[precision] = max(small, large)
        print(
            f"peak of {precision} products, GFLOP/s: "
            f"{small:.0f} at 256, {large:.0f} at 2048"
        )
    print(
        f"\n{options.threads} threads, {options.device}, ours in {options.precision}, "
        f"torch {torch.__version__}\n"
    )
    print("| work | ours | peer | updates/s | ratio | GFLOP/s | of peak |")
    print("|:--|--:|:--|--:|--:|--:|--:|", flush=True)
    everything = []
    for name in options.work:
        for measured in measure(name, WORK[name], options):
            everything.append(measured)
            print(line(measured, peaks, options), flush=True)
    if options.json:
        settings = {key: str(value) for key, value in vars(options).items()}
        options.json.write_text(
            json.dumps(
                {"options": settings, "peaks": peaks, "rows": everything}, indent=1
            )
        )


if __name__ == "__main__":
    main()

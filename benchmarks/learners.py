"""Updates per second of our learners beside those of d3rlpy, Stable-Baselines3 and
tianshou, in one process.

    python benchmarks/learners.py --rounds 7 --seconds 0.5
    python benchmarks/learners.py --work dqn "iql, box" --threads 1 --precision bf32

d3rlpy and tianshou need to be installed beside our pins, without their own (see `peers`
in setup.cfg); a peer that is missing is left out. Every round times ours and then each
peer for `--seconds`; a ratio is that of one round, the table gives the median over
rounds and in brackets the least and the largest. A share of peak is what our update's
matrix products, counted by hand, come to beside the best product of large matrices that
this very run measured.

What is timed is an update on a batch that is there already, since `buffer.py` times
sampling: `learner.update(Batch)`; `algo.impl.update(TorchMiniBatch, step)` of d3rlpy;
`model.train(10)` of SB3 with a buffer that returns one prepared batch, counted as ten;
the target and `_update_with_batch` of tianshou. Everywhere networks of 256x256, batches
of 256, 11 observations, 3 actions, Adam at 3e-4, no gradient clipping except where SB3
has it (then ours too, at 10). Ours moves the target networks in every update; the
peers' discrete learners copy them too rarely to count. Our `setup` has glibc keep freed
memory for the whole process, which speeds the peers up too, d3rlpy's by 5 to 25 % on
one thread.
"""

import argparse
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

OBS, ACTIONS, ROWS, HIDDEN, RATE, GAMMA = 11, 3, 256, (256, 256), 3e-4, 0.99
FRAMES, PIXEL_ROWS = (4, 84, 84), 32
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
    compile: str
    clock: str
    json: Path | None


class Row(NamedTuple):
    """One line of work: ours, and others that do the same; all give an update and how
    many it counts as."""

    ours: Callable[[Options], tuple[Update, int]]
    peers: dict[str, Callable[[Options], tuple[Update, int]]]
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


Q, PI, V = (
    Net((OBS, *HIDDEN, ACTIONS)),
    Net((OBS, *HIDDEN, ACTIONS)),
    Net((OBS, *HIDDEN, 1)),
)
CRITIC, GAUSSIAN = Net((OBS + ACTIONS, *HIDDEN, 1)), Net((OBS, *HIDDEN, 2 * ACTIONS))
ENCODER, DECODER = (
    Net((OBS + ACTIONS, *HIDDEN, 4 * ACTIONS)),
    Net((OBS + 2 * ACTIONS, *HIDDEN, ACTIONS)),
)
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
# Nature's three, a picture
CONVOLUTION = 2 * (400 * 32 * 256 + 81 * 64 * 512 + 49 * 64 * 576)
PIXELS = CONVOLUTION + 2 * (3136 * 512 + 512 * ACTIONS)
# nobody asks for the gradient of the pictures
PIXELS_TRAIN = 3 * PIXELS - 2 * 400 * 32 * 256


def cql_flop(samples: int) -> float:
    """Of box CQL with so many uniform, and as many of the policy's, actions a state."""
    values = 2 * (1 + 2 * samples) * CRITIC.train
    return ROWS * (
        values
        + 2 * GAUSSIAN.forward
        + 2 * CRITIC.forward
        + GAUSSIAN.train
        + 2 * CRITIC.through
    )


def bcq_flop(samples: int) -> float:
    """Of box BCQ with so many generated actions at every next state."""
    vae = ENCODER.train + DECODER.train + 2 * DECODER.widths[0] * DECODER.widths[1]
    target = samples * (
        DECODER.forward + CRITIC.forward + 2 * CRITIC.forward
    )  # the perturbation takes the critic's input
    return ROWS * (
        vae
        + target
        + 2 * CRITIC.train
        + DECODER.forward
        + CRITIC.train
        + CRITIC.through
    )


def edac_flop(critics: int) -> float:
    """Of EDAC with the slopes written out: a product for each layer, and two more when
    they are differentiated."""
    slopes = 3 * critics * 2 * HIDDEN[0] * (HIDDEN[1] + ACTIONS)
    actors = GAUSSIAN.train + GAUSSIAN.forward + critics * CRITIC.through
    return ROWS * (critics * (CRITIC.train + CRITIC.forward) + slopes + actors)


# --- the batch, once for all ---


class Columns(NamedTuple):
    """A batch of one seed, as peers take it."""

    obs: torch.Tensor
    action: torch.Tensor  # [B] int64 or [B, A]
    reward: torch.Tensor
    terminal: torch.Tensor
    next_obs: torch.Tensor


def columns(
    device: str, box: bool, rows: int = ROWS, pixels: bool = False, seed: int = 0
) -> Columns:
    """Random rows, a tenth of which end their episode."""
    rng = np.random.default_rng(seed)
    if pixels:
        obs, next_obs = rng.integers(256, size=(2, rows, *FRAMES), dtype=np.uint8)
    else:
        obs, next_obs = rng.normal(size=(2, rows, OBS)).astype(np.float32)
    action = (
        rng.uniform(-1, 1, (rows, ACTIONS)).astype(np.float32)
        if box
        else rng.integers(ACTIONS, size=rows)
    )
    reward, terminal = (
        rng.normal(size=rows).astype(np.float32),
        (rng.random(rows) < 0.1).astype(np.float32),
    )
    return Columns(
        *(
            torch.as_tensor(x, device=device)
            for x in (obs, action, reward, terminal, next_obs)
        )
    )


# --- ours ---


def learner(
    options: Options,
    name: str,
    box: bool,
    seeds: int,
    rows: int,
    pixels: bool,
    settings: dict,
    stacking: bool = False,
) -> Update:
    """An update of our learner, of all seeds at once."""
    shape, bound = (FRAMES, 255) if pixels else ((OBS,), np.inf)
    low, high = np.full(shape, 0 if pixels else -np.inf), np.full(shape, bound)
    sizes = (0, ACTIONS) if box else (ACTIONS, 0)
    spec = Spec(
        shape,
        "uint8" if pixels else "float32",
        low,
        high,
        *sizes,
        frames=FRAMES[0] if pixels else 0,
    )
    fields = {
        "hidden": (512,) if pixels else HIDDEN,
        "learning_rate": RATE,
        "batch_size": rows,
        "grad_clip": 0.0,
    }
    precision = settings.get("precision", options.precision)
    fields |= {"discount": GAMMA} | {
        key: value for key, value in settings.items() if key != "precision"
    }
    made = plugins.make("learner", name, **fields).setup(
        spec, tuple(range(seeds)), options.device, precision
    )
    each = [columns(options.device, box, rows, pixels, seed) for seed in range(seeds)]
    obs, action, reward, terminal, next_obs = (
        torch.stack(column) for column in zip(*each, strict=True)
    )
    batch = Batch(obs, action, reward, GAMMA * (1 - terminal), next_obs)
    # what is compiled is one seed's update in full precision: else stacking and
    # precision are what is compared
    compile = (
        options.compile
        if seeds == 1 and precision == "fp32" and not stacking
        else "off"
    )
    update = engine.updater(
        made, engine.choose(compile, options.device, precision, 0)[0]
    )
    return lambda: update(batch, None)


def ours(
    name: str,
    box: bool = False,
    seeds: int = 1,
    rows: int = ROWS,
    pixels: bool = False,
    **settings: Any,
):
    """Our learner `name`; an update of several seeds counts as that many."""
    return lambda options: (
        learner(options, name, box, seeds, rows, pixels, settings),
        seeds,
    )


def one_after_another(
    name: str, seeds: int, box: bool = False, rows: int = ROWS, **settings: Any
):
    """Our learner again, its seeds on their own."""

    def build(options: Options) -> tuple[Update, int]:
        updates = [
            learner(options, name, box, 1, rows, False, settings, stacking=True)
            for _ in range(seeds)
        ]
        return lambda: [update() for update in updates], seeds

    return build


# --- peers ---


def d3rlpy(name: str, box: bool = False, pixels: bool = False, **settings: Any):
    """An algorithm of d3rlpy; its defaults are our networks."""

    def build(options: Options) -> tuple[Update, int]:
        import d3rlpy
        from d3rlpy.torch_utility import TorchMiniBatch

        gpu = options.device == "cuda"
        config = getattr(d3rlpy.algos, f"{name}Config")(
            compile_graph=gpu and options.compile != "off", **settings
        )
        algorithm = config.create(device="cuda:0" if gpu else "cpu:0")
        algorithm.create_impl(FRAMES if pixels else (OBS,), ACTIONS)
        obs, action, reward, terminal, next_obs = columns(
            options.device, box, PIXEL_ROWS if pixels else ROWS, pixels
        )
        action, reward, terminal = (
            x if x.dim() == 2 else x.unsqueeze(-1) for x in (action, reward, terminal)
        )
        rest = (
            torch.zeros_like(reward),
            terminal,
            torch.ones_like(reward),
            algorithm.impl.device,
        )
        steps = itertools.count()

        def update() -> None:
            # pictures come scaled here, as ours and SB3's updates scale them
            seen, then = (x.float() / 255 if pixels else x for x in (obs, next_obs))
            algorithm.impl.update(
                TorchMiniBatch(seen, action, reward, then, action, *rest), next(steps)
            )

        return update, 1

    return build


def sb3(options: Options, pixels: bool = False) -> tuple[Update, int]:
    """DQN of Stable-Baselines3, which has no double Q."""
    from stable_baselines3 import DQN
    from stable_baselines3.common.buffers import ReplayBufferSamples
    from stable_baselines3.common.logger import Logger

    class World(gym.Env):
        observation_space: Any = gym.spaces.Box(-np.inf, np.inf, (OBS,), np.float32)
        action_space = gym.spaces.Discrete(ACTIONS)

    if pixels:
        World.observation_space = gym.spaces.Box(0, 255, FRAMES, np.uint8)
    kind, architecture = ("CnnPolicy", []) if pixels else ("MlpPolicy", list(HIDDEN))
    model: Any = DQN(
        kind,
        World(),
        learning_rate=RATE,
        buffer_size=1,
        max_grad_norm=10,
        policy_kwargs={"net_arch": architecture},
        device=options.device,
    )
    model.set_logger(Logger(None, []))
    data = columns(options.device, False, PIXEL_ROWS if pixels else ROWS, pixels)
    action, reward, terminal = (x.unsqueeze(-1) for x in data[1:4])
    samples = ReplayBufferSamples(data.obs, action, data.next_obs, terminal, reward)
    model.replay_buffer.sample = lambda *args, **settings: samples
    return lambda: model.train(10, len(reward)), 10


def tianshou(options: Options, box: bool) -> tuple[Update, int]:
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

    adam, sizes = AdamOptimizerFactory(lr=RATE), list(HIDDEN)
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
    batch, following = (
        Theirs(obs=data.obs, act=action, info=[None] * ROWS),
        Theirs(obs_next=data.next_obs),
    )
    discount, indices = GAMMA * (1 - data.terminal), np.arange(ROWS)
    buffer: Any = type("Prepared", (), {"__getitem__": lambda self, index: following})()

    def update() -> None:
        with torch.no_grad():
            batch.returns = (
                data.reward + discount * algorithm._target_q(buffer, indices).flatten()
            )
        batch.pop("weight", None)
        algorithm._update_with_batch(batch)

    return update, 1


class PlainEDAC:
    """EDAC as one would write it first: separate critics, and the diversity's gradient
    through autograd twice."""

    def __init__(self, options: Options, critics: int, diversity: float = 1.0):
        def net(inputs: int, outputs: int) -> nn.Sequential:
            pairs = itertools.pairwise((inputs, *HIDDEN))
            layers = [layer for i, o in pairs for layer in (nn.Linear(i, o), nn.ReLU())]
            return nn.Sequential(*layers, nn.Linear(HIDDEN[-1], outputs)).to(
                options.device
            )

        self.data, self.diversity = columns(options.device, box=True), diversity
        self.policy = net(OBS, 2 * ACTIONS)
        self.critics, self.targets = (
            nn.ModuleList(net(OBS + ACTIONS, 1) for _ in range(critics))
            for _ in range(2)
        )
        self.targets.load_state_dict(self.critics.state_dict())
        self.log_temperature = torch.zeros(
            (), device=options.device, requires_grad=True
        )
        moved = (
            self.policy.parameters(),
            self.critics.parameters(),
            [self.log_temperature],
        )
        self.policy_adam, self.critic_adam, self.temperature_adam = (
            torch.optim.Adam(each, RATE) for each in moved
        )

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
        """Mean cosine between the critics' slopes in the data's actions."""
        action = self.data.action.clone().requires_grad_()
        values = [
            critic(torch.cat([self.data.obs, action], -1)) for critic in self.critics
        ]
        slopes = torch.stack(
            [
                torch.autograd.grad(v.sum(), action, create_graph=True)[0]
                for v in values
            ],
            1,
        )
        slopes = slopes / (slopes.norm(dim=-1, keepdim=True) + 1e-10)  # [B, K, A]
        off_diagonal = (
            slopes
            @ slopes.transpose(1, 2)
            * (1 - torch.eye(len(values), device=slopes.device))
        )
        return off_diagonal.sum((1, 2)).mean() / (len(values) - 1)

    def __call__(self) -> None:
        """One update."""
        obs, _, reward, terminal, next_obs = self.data
        temperature = self.log_temperature.exp().detach()
        sampled, log_prob = self.act(obs)
        self.temperature_adam.zero_grad()
        (-self.log_temperature.exp() * (log_prob.detach() - ACTIONS)).mean().backward()
        self.temperature_adam.step()
        self.policy_adam.zero_grad()
        (
            temperature * log_prob - self.values(self.critics, obs, sampled).amin(0)
        ).mean().backward()
        self.policy_adam.step()
        with torch.no_grad():
            # no entropy, as in ours
            worth = self.values(self.targets, next_obs, self.act(next_obs)[0]).amin(0)
            target = reward.unsqueeze(-1) + GAMMA * (1 - terminal.unsqueeze(-1)) * worth
        q = self.values(self.critics, obs, self.data.action)
        self.critic_adam.zero_grad()
        (
            (q - target).square().mean(1).sum() + self.diversity * self.similarity()
        ).backward()
        self.critic_adam.step()
        with torch.no_grad():
            for mine, theirs in zip(
                self.targets.parameters(), self.critics.parameters(), strict=True
            ):
                mine.lerp_(theirs, 0.005)


def plain_edac(options: Options) -> tuple[Update, int]:
    """The reference for ten critics."""
    return PlainEDAC(options, critics=10), 1


# --- rows ---

ADAM: dict[str, Any] = {"learning_rate": RATE}
BOTH: dict[str, Any] = {"actor_learning_rate": RATE, "critic_learning_rate": RATE}
DQN, TARGET = ROWS * (Q.train + Q.forward), ROWS * Q.forward
# d3rlpy's CQL adds actions that the policy takes at the next state: 30 rows of critics
# a state where ours has 20 (as in the paper's appendix F) of the same 10 samples; the
# second row gives both 30. Its alpha is held, as ours is.
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
    # ours maximises the likelihood, d3rlpy's error is that of a sampled action
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


def rate(update: Update, counts: int, options: Options) -> float:
    """Updates per second over `options.seconds`."""
    finish = torch.cuda.synchronize if options.device == "cuda" else lambda: None
    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    finish()
    began, done = clock(), 0
    while clock() - began < options.seconds:
        update()
        done += counts
        # the queue must not run ahead of the clock
        if options.device == "cuda" and done % 50 == 0:
            finish()
    finish()
    return done / (clock() - began)


def peak(size: int, precision: str, options: Options) -> float:
    """GFLOP/s of square matrix products, each as large as `size`."""
    a, b = torch.randn(2, size, size, device=options.device)
    out = torch.empty_like(a)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if precision == "bf32" else "highest")
    try:
        rates = [rate(lambda: torch.mm(a, b, out=out), 1, options) for _ in range(3)]
    finally:
        torch.set_float32_matmul_precision(before)
    return 2e-9 * size**3 * max(rates)


def measure(name: str, row: Row, options: Options) -> list[dict[str, Any]]:
    """A dictionary for each peer that is there; one without a peer where none is."""
    contenders: dict[str, tuple[Update, int]] = {}
    for label, build in {"ours": row.ours, **row.peers}.items():
        try:
            contenders[label] = build(options)
        except ImportError as missing:
            print(f"{name}: no {label}: {missing}", file=sys.stderr)
    rates: dict[str, list[float]] = {label: [] for label in contenders}
    # twice: what is compiled or captured may differ from update to update
    for update, _ in contenders.values():
        update(), update()
    for number in range(options.rounds + 1):
        for label, (update, counts) in contenders.items():
            measured = rate(update, counts, options)
            if number > 0:  # the first round warms up
                rates[label].append(measured)
    mine = rates.pop("ours")
    result = {
        "work": name,
        "ours": mine,
        "gflops": statistics.median(mine) * row.flop * 1e-9,
    }
    return [
        result | {"peer": label, "theirs": theirs} for label, theirs in rates.items()
    ] or [result]


def line(measured: dict[str, Any], peaks: dict[str, float], options: Options) -> str:
    """A line of the table."""
    mine, theirs = measured["ours"], measured.get("theirs")
    best = peaks[
        "bf32"
        if "bf32" in measured["work"]
        else options.precision
        if options.precision in peaks
        else "bf32"
    ]
    beside = "- | - | -"
    if theirs:
        ratios = [m / t for m, t in zip(mine, theirs, strict=True)]
        ratio = (
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})"
        )
        beside = f"{measured['peer']} | {statistics.median(theirs):.0f} | {ratio}"
    share = measured["gflops"] / best
    return f"| {measured['work']} | {statistics.median(mine):.0f} | {beside} | {measured['gflops']:.0f} | {share:.0%} |"


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
        "--compile",
        default="auto",
        choices=["auto", "on", "off"],
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
            "--clock cpu adds up the time of all threads, waiting ones too: it goes with --threads 1 on the cpu"
        )
    return options


def main() -> None:
    """Measure and print a markdown table."""
    options = parse()
    torch.set_num_threads(options.threads)
    peaks = {}
    for precision in ("fp32", "bf32"):
        small, large = (peak(size, precision, options) for size in (256, 2048))
        peaks[precision] = max(small, large)
        print(
            f"peak of {precision} products, GFLOP/s: {small:.0f} at 256, {large:.0f} at 2048"
        )
    print(
        f"\n{options.threads} threads, {options.device}, ours in {options.precision}, torch {torch.__version__}\n"
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

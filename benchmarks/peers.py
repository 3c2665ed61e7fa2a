"""The peers that `learners.py` times: d3rlpy, Stable-Baselines3, tianshou, and EDAC
with separate critics."""

import copy
import dataclasses
import itertools
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from work import (
    ACTIONS,
    FRAMES,
    GAMMA,
    OBS,
    PIXEL_ROWS,
    SIZES,
    Build,
    Contender,
    Options,
    Sizes,
    columns,
)


def d3rlpy(
    name: str, box: bool = False, pixels: bool = False, **settings: Any
) -> Build:
    """An algorithm of d3rlpy, which compiles it on a GPU only."""

    def build(options: Options) -> Contender:
        import d3rlpy
        from d3rlpy.torch_utility import TorchMiniBatch

        gpu = options.device == "cuda"
        sizes = SIZES[options.sizes]
        kind = getattr(d3rlpy.algos, f"{name}Config")
        fields = d3rlpy_fields(kind, sizes, pixels) | settings
        compiles = gpu and options.engine != ["torch"]
        config = kind(compile_graph=compiles, **fields)
        algorithm = config.create(device="cuda:0" if gpu else "cpu:0")
        algorithm.create_impl(FRAMES if pixels else (OBS,), ACTIONS)
        rows = PIXEL_ROWS if pixels else sizes.rows
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


def d3rlpy_fields(kind: Any, sizes: Sizes, pixels: bool) -> dict[str, Any]:
    """Settings of every network and optimiser that an algorithm has."""
    from d3rlpy.models import VectorEncoderFactory
    from d3rlpy.optimizers import AdamFactory

    found: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if field.name.endswith("learning_rate"):
            found[field.name] = sizes.learning_rate
        elif field.name.endswith("optim_factory"):
            found[field.name] = AdamFactory(clip_grad_norm=sizes.grad_clip or None)
        elif field.name.endswith("encoder_factory") and not pixels:
            found[field.name] = VectorEncoderFactory(list(sizes.hidden))
    return found


def sb3(options: Options, pixels: bool = False) -> Contender:
    """DQN of Stable-Baselines3, which has no double Q and always clips."""
    from stable_baselines3 import DQN
    from stable_baselines3.common.buffers import ReplayBufferSamples
    from stable_baselines3.common.logger import Logger

    class World(gym.Env):
        observation_space: Any = gym.spaces.Box(-np.inf, np.inf, (OBS,), np.float32)
        action_space = gym.spaces.Discrete(ACTIONS)

    if pixels:
        World.observation_space = gym.spaces.Box(0, 255, FRAMES, np.uint8)
    sizes = SIZES[options.sizes]
    architecture = [] if pixels else list(sizes.hidden)
    model: Any = DQN(
        "CnnPolicy" if pixels else "MlpPolicy",
        World(),
        learning_rate=sizes.learning_rate,
        buffer_size=1,
        max_grad_norm=10,
        policy_kwargs={"net_arch": architecture},
        device=options.device,
    )
    model.set_logger(Logger(None, []))
    rows = PIXEL_ROWS if pixels else sizes.rows
    data = columns(options.device, False, rows, pixels)
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

    sizes = SIZES[options.sizes]
    hidden = list(sizes.hidden)
    adam = AdamOptimizerFactory(lr=sizes.learning_rate)
    data = columns(options.device, box, sizes.rows)
    if box:
        space = gym.spaces.Box(-1, 1, (ACTIONS,), np.float32)
        body = Body(state_shape=OBS, hidden_sizes=hidden)
        actor = ContinuousActorDeterministic(
            preprocess_net=body, action_shape=ACTIONS, max_action=1
        )
        bodies = [
            Body(
                state_shape=OBS,
                action_shape=ACTIONS,
                hidden_sizes=hidden,
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
        net = Body(state_shape=OBS, action_shape=ACTIONS, hidden_sizes=hidden).to(
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
    for optimizer in algorithm._optimizers:
        optimizer._max_grad_norm = sizes.grad_clip or None
    algorithm.to(options.device).train()
    action = data.action if box else data.action.cpu().numpy()
    batch = Theirs(obs=data.obs, act=action, info=[None] * sizes.rows)
    following = Theirs(obs_next=data.next_obs)
    discount = GAMMA * (1 - data.terminal)
    indices = np.arange(sizes.rows)
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
        sizes = SIZES[options.sizes]

        def net(inputs: int, outputs: int) -> nn.Sequential:
            layers: list[nn.Module] = []
            for before, after in itertools.pairwise((inputs, *sizes.hidden)):
                layers += [nn.Linear(before, after), nn.ReLU()]
            layers.append(nn.Linear(sizes.hidden[-1], outputs))
            return nn.Sequential(*layers).to(options.device)

        self.data = columns(options.device, True, sizes.rows)
        self.diversity = diversity
        self.policy = net(OBS, 2 * ACTIONS)
        self.critics = nn.ModuleList(net(OBS + ACTIONS, 1) for _ in range(critics))
        self.targets = copy.deepcopy(self.critics)
        self.log_temperature = torch.zeros(
            (), device=options.device, requires_grad=True
        )
        rate = sizes.learning_rate
        self.policy_adam = torch.optim.Adam(self.policy.parameters(), rate)
        self.critic_adam = torch.optim.Adam(self.critics.parameters(), rate)
        self.temperature_adam = torch.optim.Adam([self.log_temperature], rate)

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

"""Heads: everything that differs between discrete and box actions.

A learner asks its head for networks (`critic`, `state_value`, `actor`), for the values
of a critic and for the policy of an actor, and never asks which kind of action it has.

Letters: P seeds, K critics, B batch, n observations to act on, A numbers of a box
action.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from curriculum.learning.modules import FirstColumns, MeanOfQuantiles
from curriculum.learning.networks import MLP, Network, ObsNetwork, Scalar
from curriculum.learning.noise import Noise
from curriculum.learning.pixels import Encoder, Initialization, Pixels
from curriculum.learning.policies import (
    ActionDistribution,
    Categorical,
    Deterministic,
    Gaussian,
    TanhNormal,
)
from curriculum.learning.values import (
    BoxValues,
    DiscreteValues,
    Values,
    quantile_huber,
)
from curriculum.types import Batch, Spec


@dataclass(frozen=True)
class Body:
    """Settings that all networks of a learner share."""

    hidden: tuple[int, ...] = (128, 128)
    actor_hidden: tuple[int, ...] = ()  # of policies; nothing: as hidden
    layer_norm: bool = False  # in critics and state values
    encoder: Encoder = "nature"  # of images
    initialization: Initialization = "torch"  # of networks of images
    pixel_center: float = 0.0  # subtracted from pixels in [0, 1]
    huber: bool = True  # temporal-difference loss of discrete actions


class Pass(NamedTuple):
    """One pass of a network."""

    network: ObsNetwork
    obs: Tensor
    with_gradient: bool
    outputs: Tensor


class Head:
    """Networks, values and policies for one kind of action."""

    default_critics: ClassVar[int]  # for learners whose paper does not fix the number
    critic_acts: ClassVar[bool]  # without a policy that maximises it

    def __init__(
        self, spec: Spec, body: Body, seeds: Sequence[int] = (0,), device: str = "cpu"
    ):
        self.obs_shape = spec.obs_shape
        self.pixels = bool(spec.frames)
        self.actions = spec.actions  # number of discrete actions, 0 for box actions
        self.action_size = spec.action_size  # A, 0 for discrete actions
        self.body = body
        self.noise = Noise(seeds, device)
        # what networks returned in this update; None: nothing is kept
        self.passes: list[Pass] | None = None

    @contextmanager
    def sharing_passes(self) -> Iterator[None]:
        """Run no network twice on the same observations: for losses that ask for the
        same values."""
        self.passes = []
        try:
            yield
        finally:
            self.passes = None

    def outputs(self, network: ObsNetwork, obs: Tensor) -> Tensor:
        """What a network returns at observations."""
        if self.passes is None:
            return network(obs)
        with_gradient = torch.is_grad_enabled()
        for past in self.passes:
            is_same = past.network is network and past.obs is obs
            if is_same and past.with_gradient == with_gradient:
                return past.outputs
        found = network(obs)
        self.passes.append(Pass(network, obs, with_gradient, found))
        return found

    @property
    def target_entropy(self) -> float:
        """Entropy that soft actor-critic keeps a policy at."""
        raise NotImplementedError

    # --- networks ---

    def network(
        self,
        outputs: int,
        members: int = 1,
        extra: int = 0,
        layer_norm: bool = False,
        hidden: tuple[int, ...] = (),
    ) -> MLP:
        """A network of an observation and `extra` more inputs."""
        hidden = hidden or self.body.hidden
        if self.pixels:
            return Pixels(
                self.obs_shape,
                outputs,
                hidden,
                members,
                extra,
                layer_norm,
                self.body.encoder,
                self.body.initialization,
                self.body.pixel_center,
            )
        inputs = math.prod(self.obs_shape) + extra
        return MLP(inputs, outputs, hidden, members, layer_norm)

    def state_value(self) -> MLP:
        """A network for V(s)."""
        return self.network(1, layer_norm=self.body.layer_norm)

    def critic(self, members: int = 1, quantiles: int = 1) -> MLP:
        """`members` networks for Q(s, a)."""
        raise NotImplementedError

    def window_critic(self, steps: int, members: int = 1) -> MLP:
        """`members` networks for Q(s, c), c the actions of up to `steps` steps."""
        width = steps * self.step_width
        return self.network(1, members, width, self.body.layer_norm)

    @property
    def step_width(self) -> int:
        """Numbers by which a critic of windows is told the action of one step."""
        raise NotImplementedError

    def actor(self) -> MLP:
        """A network for a stochastic policy."""
        raise NotImplementedError

    def deterministic_actor(self) -> MLP:
        """A network for `deterministic_policy`."""
        raise NotImplementedError

    # --- values and policies, at normalised observations [P, B, O] ---

    def values(self, critic: ObsNetwork, obs: Tensor) -> Values:
        """Q(s, .) of every critic."""
        raise NotImplementedError

    def window_values(
        self, critic: ObsNetwork, obs: Tensor, window: Tensor, taken: Tensor
    ) -> Tensor:
        """Q(s, c) [P, K, B] of windows of actions [P, B, n] or [P, B, n, A], of which
        those `taken` [P, B, n] count."""
        numbers = self.step_numbers(window) * taken.unsqueeze(-1)
        inputs = torch.cat([critic.encode(obs), numbers.flatten(-2)], -1)
        return critic.body(inputs).squeeze(-1)

    def step_numbers(self, window: Tensor) -> Tensor:
        """Actions of windows as numbers [P, B, n, step_width], never all of them 0:
        that is a step that was not taken."""
        raise NotImplementedError

    def policy(self, actor: ObsNetwork, obs: Tensor) -> ActionDistribution:
        """The policy that imitates: box actions are normal around tanh."""
        raise NotImplementedError

    def squashed_policy(self, actor: ObsNetwork, obs: Tensor) -> ActionDistribution:
        """The policy of soft actor-critic: box actions are tanh of a normal."""
        raise NotImplementedError

    def deterministic_policy(
        self, actor: ObsNetwork, obs: Tensor
    ) -> ActionDistribution:
        """The policy of TD3; discrete actions keep their probabilities."""
        raise NotImplementedError

    def mode(self, actor: ObsNetwork, obs: Tensor) -> Tensor:
        """The action without noise, [P, B] or [P, B, A]."""
        raise NotImplementedError

    def td_loss(self, q: Tensor, target: Tensor) -> Tensor:
        """Temporal-difference loss [P, K, B] of quantiles [P, K or 1, B, quantiles]."""
        raise NotImplementedError

    def action_error(self, action: Tensor, other: Tensor) -> Tensor:
        """How far actions are from others, [P, B]."""
        raise NotImplementedError

    def random_critics(self, q: Tensor, count: int) -> Tensor:
        """Values of `count` of the K critics [P, K, B], each seed's own random choice,
        [P, count, B]."""
        chosen = self.noise.uniform(q.shape[1]).topk(count).indices  # [P, count]
        index = chosen.unsqueeze(-1).expand(-1, -1, q.shape[-1])
        return q.gather(1, index)

    # --- the maximising action of a critic `net.q` ---

    def maximizer(self) -> dict[str, Network]:
        """Networks that learn to find the maximising action, if they are needed."""
        raise NotImplementedError

    def maximizer_losses(
        self,
        net: SimpleNamespace,
        batch: Batch,
        bc_weight: float | Tensor = 0.0,
    ) -> dict[str, Tensor]:
        """Losses [P] of the networks of `maximizer`; `bc_weight`, a number or [P], is
        that of cloning the data's actions."""
        raise NotImplementedError

    def maximizer_diagnostics(
        self, net: SimpleNamespace, batch: Batch
    ) -> dict[str, Tensor]:
        """What to log of the networks of `maximizer`, [P] or [P, B] each."""
        raise NotImplementedError

    def best_action(self, net: SimpleNamespace, obs: Tensor) -> Tensor:
        """The maximising action, [P, B] or [P, B, A]."""
        raise NotImplementedError

    def proposal(self, net: SimpleNamespace, obs: Tensor) -> ActionDistribution | None:
        """A policy to sample actions from, None where all actions can be listed."""
        raise NotImplementedError

    # --- acting ---

    def greedy(self, outputs: np.ndarray) -> np.ndarray:
        """Actions [P, n] or [P, n, A] without noise from outputs [P, K, n, outputs] of
        the network that acts, without torch: `mode` of an actor, the best action of a
        critic."""
        raise NotImplementedError

    def export(self, network: ObsNetwork, seed: int) -> list[nn.Module]:
        """Plain modules of an actor, or for discrete actions of a single critic: scores
        [n, actions], the largest of which acts, or box actions [n, A]."""
        raise NotImplementedError

    def explore(
        self,
        action: np.ndarray,
        exploration: float | np.ndarray,
        generators: Sequence[np.random.Generator],
    ) -> np.ndarray:
        """Randomise `action` [P, n] or [P, n, A] by a number, or one for each seed [P];
        every seed draws from its own generator."""
        raise NotImplementedError

    def policy_noise(
        self, generators: Sequence[np.random.Generator], count: int
    ) -> np.ndarray:
        """The noise that `sampled_action` needs for `count` observations."""
        raise NotImplementedError

    def sampled_action(
        self, actor: ObsNetwork, obs: Tensor, noise: np.ndarray
    ) -> Tensor:
        """A sample of `squashed_policy`, [P, n] or [P, n, A]."""
        raise NotImplementedError


class DiscreteHead(Head):
    """Actions 0 .. n-1."""

    default_critics = 1
    critic_acts = True

    @property
    def target_entropy(self) -> float:
        """Entropy of n^0.3 equally likely actions."""
        return 0.3 * math.log(self.actions)

    def critic(self, members: int = 1, quantiles: int = 1) -> MLP:
        outputs = self.actions * quantiles
        return self.network(outputs, members, layer_norm=self.body.layer_norm)

    @property
    def step_width(self) -> int:
        return self.actions

    def step_numbers(self, window: Tensor) -> Tensor:
        choices = torch.arange(self.actions, device=window.device)
        return (choices == window.unsqueeze(-1)).float()

    def actor(self) -> MLP:
        return self.network(self.actions, hidden=self.body.actor_hidden)

    deterministic_actor = actor

    def values(self, critic: ObsNetwork, obs: Tensor) -> DiscreteValues:
        return DiscreteValues(
            self.outputs(critic, obs).unflatten(-1, (self.actions, -1))
        )

    def policy(self, actor: ObsNetwork, obs: Tensor) -> Categorical:
        return Categorical(self.outputs(actor, obs).squeeze(1))

    squashed_policy = policy
    deterministic_policy = policy

    def mode(self, actor: ObsNetwork, obs: Tensor) -> Tensor:
        return self.outputs(actor, obs).squeeze(1).argmax(-1)

    def td_loss(self, q: Tensor, target: Tensor) -> Tensor:
        """Huber loss (Mnih et al. 2015 clip the error term), or squared error; quantile
        regression for more than one quantile."""
        if q.shape[-1] > 1:
            return quantile_huber(q, target)
        if not self.body.huber:
            return (q - target).square().squeeze(-1)
        loss = functional.huber_loss(q, target.expand_as(q), reduction="none")
        return loss.squeeze(-1)

    def action_error(self, action: Tensor, other: Tensor) -> Tensor:
        """1 where they differ, else 0."""
        return (action != other).float()

    def maximizer(self) -> dict[str, Network]:
        return {}

    def maximizer_losses(
        self,
        net: SimpleNamespace,
        batch: Batch,
        bc_weight: float | Tensor = 0.0,
    ) -> dict[str, Tensor]:
        return {}

    def maximizer_diagnostics(
        self, net: SimpleNamespace, batch: Batch
    ) -> dict[str, Tensor]:
        return {}

    def best_action(self, net: SimpleNamespace, obs: Tensor) -> Tensor:
        return self.values(net.q, obs).best_action()

    def proposal(self, net: SimpleNamespace, obs: Tensor) -> None:
        return None

    def greedy(self, outputs: np.ndarray) -> np.ndarray:
        _, members, _, width = outputs.shape
        scores = outputs
        if width > self.actions:
            scores = scores.reshape(*scores.shape[:3], self.actions, -1).mean(-1)
        if members > 1:
            scores = scores.mean(1, keepdims=True)
        return scores[:, 0].argmax(-1)

    def export(self, network: ObsNetwork, seed: int) -> list[nn.Module]:
        *layers, last = network.export(seed)
        if not isinstance(last, nn.Linear):
            return [*layers, last, MeanOfQuantiles(self.actions)]
        # the mean of a critic's quantiles is linear, too
        quantiles = last.out_features // self.actions
        mean = nn.Linear(last.in_features, self.actions)
        mean.weight.data = last.weight.data.unflatten(0, (-1, quantiles)).mean(1)
        mean.bias.data = last.bias.data.unflatten(0, (-1, quantiles)).mean(1)
        return [*layers, mean]

    def explore(
        self,
        action: np.ndarray,
        exploration: float | np.ndarray,
        generators: Sequence[np.random.Generator],
    ) -> np.ndarray:
        """Replace a share `exploration` of the actions by uniformly random ones."""
        seeds, count = action.shape
        draws = np.empty((seeds, 2, count))
        for own_draws, generator in zip(draws, generators, strict=True):
            generator.random(out=own_draws)
        coin = draws[:, 0]
        choice = draws[:, 1]
        random_action = (choice * self.actions).astype(action.dtype)
        share = np.reshape(exploration, (-1, 1))
        return np.where(coin < share, random_action, action)

    def policy_noise(
        self, generators: Sequence[np.random.Generator], count: int
    ) -> np.ndarray:
        """Gumbel noise [P, n, actions]."""
        shape = (count, self.actions)
        return np.stack([generator.gumbel(size=shape) for generator in generators])

    def sampled_action(
        self, actor: ObsNetwork, obs: Tensor, noise: np.ndarray
    ) -> Tensor:
        """The Gumbel-max trick."""
        logits = self.outputs(actor, obs).squeeze(1)
        return (logits + torch.as_tensor(noise, device=obs.device)).argmax(-1)


class BoxHead(Head):
    """Actions of A numbers in [-1, 1]."""

    default_critics = 2
    critic_acts = False

    @property
    def target_entropy(self) -> float:
        """-1 for each number of an action (Haarnoja et al. 2018, arXiv 1812.05905)."""
        return -float(self.action_size)

    def critic(self, members: int = 1, quantiles: int = 1) -> MLP:
        return self.network(quantiles, members, self.action_size, self.body.layer_norm)

    @property
    def step_width(self) -> int:
        return self.action_size + 1

    def step_numbers(self, window: Tensor) -> Tensor:
        """The action and a 1."""
        return torch.cat([window, torch.ones_like(window[..., :1])], -1)

    def actor(self) -> MLP:
        return self.network(2 * self.action_size, hidden=self.body.actor_hidden)

    def deterministic_actor(self) -> MLP:
        return self.network(self.action_size, hidden=self.body.actor_hidden)

    def values(self, critic: ObsNetwork, obs: Tensor) -> BoxValues:
        return BoxValues(critic, obs, self.noise)

    def policy(self, actor: ObsNetwork, obs: Tensor) -> Gaussian:
        return Gaussian(self.outputs(actor, obs).squeeze(1), self.noise)

    def squashed_policy(self, actor: ObsNetwork, obs: Tensor) -> TanhNormal:
        return TanhNormal(self.outputs(actor, obs).squeeze(1), self.noise)

    def deterministic_policy(self, actor: ObsNetwork, obs: Tensor) -> Deterministic:
        return Deterministic(self.outputs(actor, obs).squeeze(1).tanh(), self.noise)

    def mode(self, actor: ObsNetwork, obs: Tensor) -> Tensor:
        location = self.outputs(actor, obs).squeeze(1)[..., : self.action_size]
        return location.tanh()

    def td_loss(self, q: Tensor, target: Tensor) -> Tensor:
        """Squared error; quantile regression for more than one quantile."""
        if q.shape[-1] > 1:
            return quantile_huber(q, target)
        return (q - target).square().squeeze(-1)

    def action_error(self, action: Tensor, other: Tensor) -> Tensor:
        """Mean squared error of the numbers of an action."""
        return (action - other).square().mean(-1)

    def maximizer(self) -> dict[str, Network]:
        """The policy and the temperature of soft actor-critic (arXiv 1812.05905)."""
        return {"policy": self.actor(), "temperature": Scalar(0.0)}

    def maximizer_losses(
        self,
        net: SimpleNamespace,
        batch: Batch,
        bc_weight: float | Tensor = 0.0,
    ) -> dict[str, Tensor]:
        """The policy climbs the lowest of the critics."""
        policy = self.squashed_policy(net.policy, batch.obs)
        temperature = net.temperature().exp()  # [P]
        entropy = policy.entropy()  # [P, B]
        q = self.values(net.q, batch.obs).expected(policy).amin(-2)  # [P, B]
        soft_value = q + temperature.detach().unsqueeze(-1) * entropy
        spare_entropy = (entropy - self.target_entropy).mean(-1).detach()
        policy_loss = -soft_value.mean(-1)
        if isinstance(bc_weight, Tensor) or bc_weight:
            log_prob = policy.log_prob(batch.action)  # [P, B]
            policy_loss = policy_loss - bc_weight * log_prob.mean(-1)
        return {
            "policy": policy_loss,
            "temperature": temperature * spare_entropy,
        }

    def maximizer_diagnostics(
        self, net: SimpleNamespace, batch: Batch
    ) -> dict[str, Tensor]:
        policy = self.squashed_policy(net.policy, batch.obs)
        return {
            **policy.diagnostics(batch.action),
            "temperature": net.temperature().exp(),
        }

    def best_action(self, net: SimpleNamespace, obs: Tensor) -> Tensor:
        """A sample of the policy that climbs the critics."""
        return self.squashed_policy(net.policy, obs).action

    def proposal(self, net: SimpleNamespace, obs: Tensor) -> TanhNormal:
        return self.squashed_policy(net.policy, obs)

    def greedy(self, outputs: np.ndarray) -> np.ndarray:
        return np.tanh(outputs[:, 0, :, : self.action_size])

    def export(self, network: ObsNetwork, seed: int) -> list[nn.Module]:
        *layers, last = network.export(seed)
        if not isinstance(last, nn.Linear):
            return [*layers, last, FirstColumns(self.action_size), nn.Tanh()]
        mean = nn.Linear(last.in_features, self.action_size)
        mean.weight.data = last.weight.data[: self.action_size].clone()
        mean.bias.data = last.bias.data[: self.action_size].clone()
        return [*layers, mean, nn.Tanh()]

    def explore(
        self,
        action: np.ndarray,
        exploration: float | np.ndarray,
        generators: Sequence[np.random.Generator],
    ) -> np.ndarray:
        """Add normal noise of standard deviation `exploration`."""
        shape = action.shape[1:]
        draws = [generator.standard_normal(shape) for generator in generators]
        deviation = np.reshape(exploration, (-1, 1, 1))
        noisy = action + deviation * np.stack(draws)
        return np.clip(noisy, -1, 1).astype(np.float32)

    def policy_noise(
        self, generators: Sequence[np.random.Generator], count: int
    ) -> np.ndarray:
        """Standard normal numbers [P, n, A]."""
        shape = (count, self.action_size)
        draws = [g.standard_normal(shape, np.float32) for g in generators]
        return np.stack(draws)

    def sampled_action(
        self, actor: ObsNetwork, obs: Tensor, noise: np.ndarray
    ) -> Tensor:
        policy = self.squashed_policy(actor, obs)
        deviation = policy.log_std.exp()
        offset = deviation * torch.as_tensor(noise, device=obs.device)
        return (policy.location + offset).tanh()


def make_head(
    spec: Spec, body: Body, seeds: Sequence[int] = (0,), device: str = "cpu"
) -> Head:
    """Make the head for a world's actions."""
    if spec.actions:
        return DiscreteHead(spec, body, seeds, device)
    return BoxHead(spec, body, seeds, device)

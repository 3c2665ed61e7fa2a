"""All that differs between discrete and box actions. A learner calls these and never
asks which kind it has.

Both heads offer the same methods: networks (`critic`, `state_value`, `actor`),
questions to critics (`values`), policies (`policy`, `squashed`, `deterministic`); what
only one kind needs comes back empty from the other. Letters: P seeds, K critics, B
batch, A length of a box action.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from curriculum.learning.modules import FirstColumns, MeanOfQuantiles
from curriculum.learning.networks import MLP, Network, Scalar
from curriculum.learning.pixels import Encoder, Pixels
from curriculum.learning.policies import (
    Categorical,
    Deterministic,
    Gaussian,
    TanhNormal,
)
from curriculum.learning.values import BoxValues, DiscreteValues, quantile_huber
from curriculum.types import Spec, State, stream


@dataclass(frozen=True)
class Body:
    """What all networks of a learner have in common."""

    hidden: tuple[int, ...] = (128, 128)
    layer_norm: bool = False  # in critics and state values
    encoder: Encoder = "nature"  # of pictures


class Head:
    """What both kinds share: sizes, networks, and noise that every seed draws from a
    generator of its own."""

    actions = 0  # how many discrete actions there are
    size = 0  # length of a box action

    def __init__(
        self, spec: Spec, body: Body, seeds: Sequence[int] = (0,), device: str = "cpu"
    ):
        self.shape, self.pixels = spec.obs_shape, bool(spec.frames)
        self.actions, self.size = spec.actions, spec.action_size
        self.body, self.device = body, device
        # where a list: what noise losses ask for
        self.asked: list[tuple[str, tuple[int, ...]]] | None = None
        # noise drawn ahead, for compiled losses that cannot draw
        self.drawn: list[Tensor] = []
        self.generators = [
            torch.Generator(device).manual_seed(
                int(stream(seed, "noise").integers(2**62))
            )
            for seed in seeds
        ]

    def network(
        self, outputs: int, members: int = 1, extra: int = 0, layer_norm: bool = False
    ) -> MLP:
        """A network over observations, with `extra` inputs beside them."""
        hidden = self.body.hidden
        if self.pixels:
            return Pixels(
                self.shape,
                outputs,
                hidden,
                members,
                extra,
                layer_norm,
                self.body.encoder,
            )
        return MLP(math.prod(self.shape) + extra, outputs, hidden, members, layer_norm)

    def state_value(self) -> MLP:
        """A network for V(obs)."""
        return self.network(1, layer_norm=self.body.layer_norm)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers [P, *shape]."""
        return self._noise("normal_", shape)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform numbers [P, *shape] in [0, 1)."""
        return self._noise("uniform_", shape)

    def _noise(self, kind: str, shape: tuple[int, ...]) -> Tensor:
        return self.drawn.pop(0) if self.drawn else self.draw(kind, shape)

    def draw(self, kind: str, shape: tuple[int, ...]) -> Tensor:
        """Noise of this kind, each seed's from its own generator."""
        noise = torch.empty(len(self.generators), *shape, device=self.device)
        for row, generator in zip(noise, self.generators, strict=True):
            getattr(row, kind)(generator=generator)
        if self.asked is not None:
            self.asked.append((kind, shape))
        return noise

    def subset(self, values: Tensor, size: int) -> Tensor:
        """`size` of the K critics [P, K, B], each seed's own random choice, [P, size,
        B]."""
        chosen = self.uniform(values.shape[1]).topk(size).indices  # [P, size]
        return values.gather(1, chosen.unsqueeze(-1).expand(-1, -1, values.shape[-1]))

    def state(self) -> State:
        """Where the noise stands."""
        return {"noise": torch.stack([g.get_state() for g in self.generators])}

    def load(self, state: State) -> None:
        """Go back to what `state` returned."""
        for generator, saved in zip(
            self.generators, torch.as_tensor(state["noise"]), strict=True
        ):
            # it reads from the start of the memory, whatever a view begins at
            generator.set_state(saved.clone())


class Discrete(Head):
    """Actions 0 .. n-1."""

    critics = 1  # that learners with a free choice use

    @property
    def target_entropy(self) -> float:
        """What an entropy-regularised policy shall keep: that of n^0.3 equally likely
        actions."""
        return 0.3 * math.log(self.actions)

    def critic(self, members: int = 1, quantiles: int = 1) -> MLP:
        """A network for Q(obs, action)."""
        return self.network(
            self.actions * quantiles, members, layer_norm=self.body.layer_norm
        )

    def actor(self) -> MLP:
        """A network for a policy."""
        return self.network(self.actions)

    deterministic_actor = actor

    def values(self, critic: MLP, obs: Tensor) -> DiscreteValues:
        """Ask `critic` about `obs` [P, B, O]."""
        return DiscreteValues(critic(obs).unflatten(-1, (self.actions, -1)))

    def policy(self, actor: MLP, obs: Tensor) -> Categorical:
        """Ask `actor` about `obs` [P, B, O]."""
        return Categorical(actor(obs).squeeze(1))

    squashed = deterministic = policy

    def mode(self, actor: MLP, obs: Tensor) -> Tensor:
        """The likeliest action, [P, B]."""
        return actor(obs).squeeze(1).argmax(-1)

    def td_error(self, q: Tensor, target: Tensor) -> Tensor:
        """Huber loss [P, K, B] of atoms [P, K, B, quantiles] (Mnih et al. 2015: the
        clipped error term)."""
        if q.shape[-1] > 1:
            return quantile_huber(q, target)
        return functional.huber_loss(q, target.expand_as(q), reduction="none").squeeze(
            -1
        )

    def maximizer(self) -> dict[str, Network]:
        """Networks that find the best action: none, a critic's argmax does."""
        return {}

    def maximizer_losses(self, net: SimpleNamespace, obs: Tensor) -> dict[str, Tensor]:
        """Losses of `maximizer`'s networks."""
        return {}

    def best(self, net: SimpleNamespace, obs: Tensor) -> Tensor:
        """The action the critic `net.q` values highest, [P, B]."""
        return self.values(net.q, obs).best()

    def proposal(self, net: SimpleNamespace, obs: Tensor) -> None:
        """A policy to sample actions from: not needed, all can be listed."""

    def export(self, network: MLP, seed: int) -> list[nn.Module]:
        """Plain modules of an actor or a single critic: scores [n, actions], the
        largest acts."""
        *layers, last = network.export(seed)
        if not isinstance(last, nn.Linear):
            return [*layers, last, MeanOfQuantiles(self.actions)]
        # a mean of linear outputs is one linear output
        quantiles = last.out_features // self.actions
        mean = nn.Linear(last.in_features, self.actions)
        mean.weight.data = last.weight.data.unflatten(0, (-1, quantiles)).mean(1)
        mean.bias.data = last.bias.data.unflatten(0, (-1, quantiles)).mean(1)
        return [*layers, mean]

    def explore(
        self,
        action: np.ndarray,
        share: float,
        generators: Sequence[np.random.Generator],
    ) -> np.ndarray:
        """Replace a share of `action` [P, n] by uniformly random ones; every seed draws
        for itself."""
        # [2, P, n]
        drawn = np.stack([g.random((2, action.shape[1])) for g in generators], axis=1)
        return np.where(
            drawn[0] < share, (drawn[1] * self.actions).astype(action.dtype), action
        )

    def numpy_noise(
        self, generators: Sequence[np.random.Generator], rows: int
    ) -> np.ndarray:
        """What `drawn_by` needs to draw [P, rows] actions."""
        return np.stack([g.gumbel(size=(rows, self.actions)) for g in generators])

    def drawn_by(self, actor: MLP, obs: Tensor, noise: np.ndarray) -> Tensor:
        """A draw of the policy, [P, B] (the Gumbel-max trick)."""
        return (
            actor(obs).squeeze(1) + torch.as_tensor(noise, device=obs.device)
        ).argmax(-1)


class Box(Head):
    """Actions of `size` numbers in [-1, 1]."""

    critics = 2  # that learners with a free choice use

    @property
    def target_entropy(self) -> float:
        """What an entropy-regularised policy shall keep (Haarnoja et al. 2018): -1 a
        number."""
        return -float(self.size)

    def critic(self, members: int = 1, quantiles: int = 1) -> MLP:
        """A network for Q(obs, action)."""
        return self.network(quantiles, members, self.size, self.body.layer_norm)

    def actor(self) -> MLP:
        """A network for a policy with a spread."""
        return self.network(2 * self.size)

    def deterministic_actor(self) -> MLP:
        """A network for a policy without one."""
        return self.network(self.size)

    def values(self, critic: MLP, obs: Tensor) -> BoxValues:
        """Ask `critic` about `obs` [P, B, O]."""
        return BoxValues(critic, obs)

    def policy(self, actor: MLP, obs: Tensor) -> Gaussian:
        """Ask `actor` about `obs` [P, B, O]: a policy that is fitted to given
        actions."""
        return Gaussian(actor(obs).squeeze(1), self)

    def squashed(self, actor: MLP, obs: Tensor) -> TanhNormal:
        """Ask `actor` about `obs` [P, B, O]: a policy that draws its own actions."""
        return TanhNormal(actor(obs).squeeze(1), self)

    def deterministic(self, actor: MLP, obs: Tensor) -> Deterministic:
        """Ask `actor` about `obs` [P, B, O]: one action a state."""
        return Deterministic(actor(obs).squeeze(1).tanh(), self)

    def mode(self, actor: MLP, obs: Tensor) -> Tensor:
        """The action without noise, [P, B, A]."""
        return actor(obs).squeeze(1)[..., : self.size].tanh()

    def td_error(self, q: Tensor, target: Tensor) -> Tensor:
        """Squared error [P, K, B] of atoms [P, K, B, quantiles]; quantile regression
        where there are many."""
        return (
            quantile_huber(q, target)
            if q.shape[-1] > 1
            else (q - target).square().squeeze(-1)
        )

    def maximizer(self) -> dict[str, Network]:
        """Networks that find the best action: soft actor-critic's policy and
        temperature (arXiv 1812.05905)."""
        return {"policy": self.actor(), "temperature": Scalar(0.0)}

    def maximizer_losses(self, net: SimpleNamespace, obs: Tensor) -> dict[str, Tensor]:
        """Losses of `maximizer`'s networks: the policy climbs the least of the critics
        `net.q`."""
        # [P]
        policy, temperature = self.squashed(net.policy, obs), net.temperature().exp()
        # [P, B]
        entropy, q = policy.entropy(), self.values(net.q, obs).expected(policy).amin(-2)
        spare = (entropy - self.target_entropy).mean(-1).detach()
        return {
            "policy": -(q + temperature.detach().unsqueeze(-1) * entropy).mean(-1),
            "temperature": temperature * spare,
        }

    def best(self, net: SimpleNamespace, obs: Tensor) -> Tensor:
        """An action of the policy that climbs the critic, [P, B, A]."""
        return self.squashed(net.policy, obs).drawn

    def proposal(self, net: SimpleNamespace, obs: Tensor) -> TanhNormal:
        """A policy to sample actions from."""
        return self.squashed(net.policy, obs)

    def export(self, network: MLP, seed: int) -> list[nn.Module]:
        """Plain modules of an actor: the action itself, [n, A]."""
        *layers, last = network.export(seed)
        if not isinstance(last, nn.Linear):
            return [*layers, last, FirstColumns(self.size), nn.Tanh()]
        mean = nn.Linear(last.in_features, self.size)
        mean.weight.data, mean.bias.data = (
            last.weight.data[: self.size].clone(),
            last.bias.data[: self.size].clone(),
        )
        return [*layers, mean, nn.Tanh()]

    def explore(
        self,
        action: np.ndarray,
        share: float,
        generators: Sequence[np.random.Generator],
    ) -> np.ndarray:
        """Add normal noise of standard deviation `share` to `action` [P, n, A]; every
        seed draws for itself."""
        noise = np.stack([g.standard_normal(action.shape[1:]) for g in generators])
        return np.clip(action + share * noise, -1, 1).astype(np.float32)

    def numpy_noise(
        self, generators: Sequence[np.random.Generator], rows: int
    ) -> np.ndarray:
        """What `drawn_by` needs to draw [P, rows, A] actions."""
        return np.stack(
            [g.standard_normal((rows, self.size), np.float32) for g in generators]
        )

    def drawn_by(self, actor: MLP, obs: Tensor, noise: np.ndarray) -> Tensor:
        """A draw of the squashed policy, [P, B, A]."""
        policy = self.squashed(actor, obs)
        return (
            policy.location
            + policy.log_std.exp() * torch.as_tensor(noise, device=obs.device)
        ).tanh()


def head(
    spec: Spec, body: Body, seeds: Sequence[int] = (0,), device: str = "cpu"
) -> Discrete | Box:
    """The head for a world's actions."""
    return (Discrete if spec.actions else Box)(spec, body, seeds, device)

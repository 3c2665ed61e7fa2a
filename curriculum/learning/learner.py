"""What all learners share: setup, update, act, export and state. The only place that
touches an optimiser."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from curriculum.learning.heads import Body, head
from curriculum.learning.networks import Network, Precision, Stack, keep_freed_memory
from curriculum.types import Batch, Spec, State, stream, within


@dataclass(kw_only=True)
class Learner:
    """A learner is the networks it has and one loss for each; its fields are its
    hyperparameters.

    Each loss moves only the network of its own name, so it may run through other
    networks without detaching them. A network without a loss in some update rests."""

    kinds: ClassVar[tuple[str, ...]] = ("discrete", "box")  # of actions that it takes
    # networks that keep a slow copy in `self.target`
    targets: ClassVar[tuple[str, ...]] = ()
    # optional columns of `Batch` that its losses use, such as "mc_return"
    needs: ClassVar[tuple[str, ...]] = ()

    hidden: tuple[int, ...] = (128, 128)  # widths of the hidden layers of every network
    layer_norm: bool = False  # normalise the hidden layers of critics and state values
    # of pictures: that of DQN (2015), or IMPALA's deeper one (2018)
    encoder: Literal["nature", "impala"] = "nature"
    learning_rate: float = 1e-3  # Adam's step size
    # how the step size falls to 0
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    schedule_updates: int = 0  # updates until it has fallen; only constant goes without
    batch_size: int = 128  # transitions per update and seed
    discount: float = 0.99  # 0 sees one step ahead, towards 1 the whole future counts
    # rewards summed before bootstrapping: more carry reward faster, and the behaviour's
    # mistakes
    n_step: int = 1
    # how far target networks move per update: 1 is no target network, towards 0 a
    # frozen one
    polyak: float = 0.01
    # updates between hard copies of target networks; 0: they follow by polyak
    target_every: int = 0
    # largest gradient norm of a network of one seed, 0 for no limit
    grad_clip: float = 10.0
    # map observations to [-1, 1] by their bounds, or standardise by the first ones
    normalize_obs: bool = True
    reward_scale: float = 1.0  # rewards count so many times
    # also scale rewards so that the start's returns span 1000 (IQL's rule for
    # locomotion)
    return_range: bool = False
    # while collecting: share of random actions, for box actions deviation of added
    # noise
    exploration: float = 0.05

    def __post_init__(self) -> None:
        within(self, 0, 1, "discount", "polyak", "exploration")
        within(
            self,
            0,
            float("inf"),
            "learning_rate",
            "grad_clip",
            "schedule_updates",
            "target_every",
        )
        within(self, 1e-9, float("inf"), "reward_scale")
        within(self, 1, float("inf"), "batch_size", "n_step")
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(
                f"hidden must name at least one positive layer width, got {self.hidden}"
            )
        if self.schedule not in ("constant", "linear", "cosine"):
            raise ValueError(
                f"no schedule {self.schedule!r}; there are: constant, linear, cosine"
            )
        if (self.schedule == "constant") != (self.schedule_updates == 0):
            raise ValueError(
                "schedule and schedule_updates go together: --learner.schedule cosine with the updates"
            )

    def build(self) -> dict[str, Network]:
        """The networks of one seed, by name."""
        raise NotImplementedError

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Network name -> loss [P]; observations come normalised."""
        raise NotImplementedError

    def diagnose(self, batch: Batch) -> dict[str, Tensor]:
        """Values worth logging, name -> [P], on a batch with normalised observations.

        Called only when a record is due, through `diagnostics`."""
        return {}

    @property
    def cycle(self) -> int:
        """After how many updates the same networks have a loss again; `phase` counts up
        to it."""
        return 1

    def choose(self, obs: Tensor) -> Tensor:
        """The best action known, [P, B] or [P, B, A], at normalised observations."""
        if "policy" in self.nets:
            return self.head.mode(self.net.policy, obs)
        return self.head.values(self.net.q, obs).best()

    def setup(
        self,
        spec: Spec,
        seeds: tuple[int, ...],
        device: str = "cpu",
        precision: Precision = "fp32",
    ) -> Self:
        """Make the networks of all seeds, each drawn from its own seed's stream."""
        kind = "discrete" if spec.actions else "box"
        if kind not in self.kinds:
            name = type(self).__name__
            raise ValueError(
                f"{name} takes {self.kinds[0]} actions, this world's are {kind}; choose another --learner"
            )
        keep_freed_memory()
        self.seeds, self.device, self.updates, self.phase = seeds, device, 0, 0
        self.head: Any = head(
            spec, Body(tuple(self.hidden), self.layer_norm, self.encoder), seeds, device
        )
        self._setup_normalizer(spec)
        self.nets = self.build()
        for name, net in self.nets.items():
            net.precision = precision
            net.setup([stream(seed, f"init {name}") for seed in seeds], device)
        self.net = SimpleNamespace(**self.nets)
        self.target = SimpleNamespace(
            **{
                name: net.twin()
                for name, net in self.nets.items()
                if name in self.targets
            }
        )
        # slow copies where there are some
        self.slow = SimpleNamespace(**self.nets | vars(self.target))
        layouts = {name: net.weights.shapes for name, net in self.nets.items()}
        self.moments = {
            name: [Stack(shapes, device) for _ in range(2)]
            for name, shapes in layouts.items()
        }
        # Adam's steps, which it counts
        self.counts = {name: torch.zeros((), device=device) for name in self.nets}
        self.explorers = [stream(seed, "exploration") for seed in seeds]
        self.ones = torch.ones(len(seeds), device=device)
        self.last_losses = {
            name: torch.full((len(seeds),), torch.nan, device=device)
            for name in self.nets
        }
        return self

    # --- observations and rewards ---

    def _setup_normalizer(self, spec: Spec) -> None:
        self.pixels = self.head.pixels  # pictures are scaled where they are encoded
        shape = (len(self.seeds), 1, 1 if self.pixels else math.prod(spec.obs_shape))
        self.mean, self.scale = (
            torch.zeros(shape, device=self.device),
            torch.ones(shape, device=self.device),
        )
        self.reward_factor = torch.full(
            (len(self.seeds), 1), self.reward_scale, device=self.device
        )
        known = bool(
            np.isfinite(spec.obs_low).all() and np.isfinite(spec.obs_high).all()
        )
        self.reads_data = self.normalize_obs and not known and not self.pixels
        if self.normalize_obs and known and not self.pixels:
            low, high = (
                torch.as_tensor(b, dtype=torch.float32).flatten()
                for b in (spec.obs_low, spec.obs_high)
            )
            self.mean[:], self.scale[:] = (
                (high + low) / 2,
                2 / (high - low).clamp(min=1e-6),
            )

    def fit_normalizer(self, obs: list[np.ndarray]) -> None:
        """Where the world states no bounds: standardise by the first observations, [n,
        *O] for every seed."""
        if self.reads_data:
            for p, seen in enumerate(obs):
                if len(seen) < 2:  # nothing to standardise by
                    continue
                flat = torch.as_tensor(seen, dtype=torch.float32).flatten(1)
                self.mean[p, 0], self.scale[p, 0] = (
                    flat.mean(0),
                    1 / flat.std(0).clamp(min=1e-3),
                )

    def fit_rewards(self, returns: list[np.ndarray]) -> None:
        """For `return_range`: scale rewards by the range of these whole episodes'
        returns, one array a seed."""
        if self.return_range:
            for p, seen in enumerate(returns):
                if len(seen) > 1 and np.ptp(seen) > 0:
                    self.reward_factor[p] = (
                        self.reward_scale * 1000 / float(np.ptp(seen))
                    )

    def normalize(self, obs: Tensor) -> Tensor:
        """Observations [P, B, *O] as the networks take them: [P, B, O], pictures as
        they are."""
        if self.pixels:
            return obs
        if obs.dtype != torch.float32 or obs.dim() > 3:
            obs = obs.float().flatten(2)
        return (obs - self.mean).mul_(self.scale)

    def prepare(self, batch: Batch) -> Batch:
        """The batch as losses take it: observations normalised, rewards scaled."""
        batch = batch._replace(
            obs=self.normalize(batch.obs), next_obs=self.normalize(batch.next_obs)
        )
        if self.reward_scale == 1 and not self.return_range:
            return batch
        mc_return = (
            None if batch.mc_return is None else batch.mc_return * self.reward_factor
        )
        return batch._replace(
            reward=batch.reward * self.reward_factor, mc_return=mc_return
        )

    # --- learning ---

    def update(self, batch: Batch, has_data: np.ndarray | None = None) -> None:
        """Take one gradient step in every network that has a loss; `last_losses` holds
        the losses, [P] each.

        Seeds outside the mask `has_data` [P] have not begun to learn, and stay as they
        are: their rows mean nothing, but must be finite."""
        self.phase = self.updates % self.cycle
        share = None
        if has_data is not None and not has_data.all():
            share = torch.as_tensor(has_data, dtype=torch.float32, device=self.device)
        self.count_update(self.step(batch, self.rate(), share))

    def count_update(self, losses: dict[str, Tensor]) -> None:
        """Take note that `step` has run and of its losses; hard copies of targets
        happen here."""
        self.updates += 1
        self.last_losses |= losses
        if self.target_every and self.updates % self.target_every == 0:
            self.follow(1.0)

    def rate(self) -> float:
        """Adam's step size now."""
        if self.schedule == "constant":
            return self.learning_rate
        done = min(self.updates / self.schedule_updates, 1.0)
        return self.learning_rate * (
            1 - done
            if self.schedule == "linear"
            else 0.5 * (1 + math.cos(math.pi * done))
        )

    def step(
        self, batch: Batch, rate: float | Tensor, share: Tensor | None = None
    ) -> dict[str, Tensor]:
        """One update, without a look back at the host: all gradients first, then all
        steps, then the targets.

        Returns the losses, [P] each. Seeds count with weight `share` [P]."""
        losses = self.losses(self.prepare(batch))
        weight = self.ones if share is None else share
        if torch.compiler.is_compiling():
            self._descend_compiled(losses, weight, rate)
        else:
            gradients = {
                name: self.gradient(name, loss, weight) for name, loss in losses.items()
            }
            with torch.no_grad():
                for name, gradient in gradients.items():
                    self._descend(name, gradient, rate)
                if not self.target_every:
                    self.follow(self.polyak)
        return {name: loss.detach() for name, loss in losses.items()}

    @torch.no_grad()
    def follow(self, share: float) -> None:
        """Move the target networks by a share of their distance."""
        for name, slow in vars(self.target).items():
            for own, leaf in zip(slow.leaves, self.nets[name].leaves, strict=True):
                own.lerp_(leaf, share)

    def gradient(self, name: str, loss: Tensor, weight: Tensor | None = None) -> Tensor:
        """Gradient of `loss` [P] with respect to the network `name`, laid out as its
        weights' vector.

        It lies in memory of the network's, which the next call fills anew."""
        net, weight = self.nets[name], self.ones if weight is None else weight
        Network.mover, net.taken = net, False
        try:
            found = torch.autograd.grad(
                loss, net.leaves, weight, retain_graph=len(self.nets) > 1
            )
        finally:
            Network.mover = None
        return found[0] if len(found) == 1 else torch.cat(found)

    def _descend(self, name: str, gradient: Tensor, rate: float | Tensor) -> None:
        """Adam (Kingma & Ba 2015, arXiv 1412.6980)."""
        net, count = self.nets[name], self.counts[name]
        self._clip(net.weights.split(gradient))
        count += 1
        sizes = [leaf.numel() for leaf in net.leaves]
        first, second = (m.vector for m in self.moments[name])
        parts = [net.leaves, *(list(v.split(sizes)) for v in (gradient, first, second))]
        settings = {
            "beta1": 0.9,
            "beta2": 0.999,
            "eps": 1e-8,
            "weight_decay": 0.0,
            "amsgrad": False,
            "maximize": False,
        }
        adam: Any = torch._fused_adam_  # what torch.optim.Adam(fused=True) calls
        adam(*parts, [], [count] * len(sizes), lr=rate, **settings)

    def _descend_compiled(
        self, losses: dict[str, Tensor], weight: Tensor, rate: float | Tensor
    ) -> None:
        """The same gradients, Adam and targets block by block, as a compiler can fuse
        them."""
        weights = {name: self.nets[name].pieces for name in losses}
        found = {
            name: list(
                torch.autograd.grad(loss, weights[name], weight, retain_graph=True)
            )
            for name, loss in losses.items()
        }
        with torch.no_grad():
            for name, gradients in found.items():
                self._clip(gradients)
                count = self.counts[name]
                count += 1
                moments = (m.blocks for m in self.moments[name])
                for piece, slope, mean, square in zip(
                    weights[name], gradients, *moments, strict=True
                ):
                    mean.lerp_(slope, 0.1)
                    square.mul_(0.999).addcmul_(slope, slope, value=0.001)
                    piece.sub_(
                        rate
                        / (1 - 0.9**count)
                        * mean
                        / ((square / (1 - 0.999**count)).sqrt() + 1e-8)
                    )
            for name, slow in (
                vars(self.target).items() if not self.target_every else ()
            ):
                for own, piece in zip(slow.pieces, self.nets[name].pieces, strict=True):
                    own.lerp_(piece, self.polyak)

    def _clip(self, blocks: list[Tensor]) -> None:
        """Shorten the gradient [P, ...] of every seed whose norm over all blocks is
        beyond `grad_clip`."""
        if not self.grad_clip:
            return
        norms = torch.stack(
            [torch.linalg.vector_norm(b.reshape(len(b), -1), dim=1) for b in blocks], -1
        )
        # [P]
        share = (
            self.grad_clip / torch.linalg.vector_norm(norms, dim=-1).clamp(min=1e-12)
        ).clamp(max=1)
        for block in blocks:
            block.mul_(share.view(-1, *[1] * (block.dim() - 1)))

    @torch.no_grad()
    def diagnostics(self, batch: Batch) -> dict[str, Tensor]:
        """Values to log, name -> [P], on a batch as the buffer gives it.

        Training is not affected: noise that `diagnose` draws is drawn again later."""
        noise = self.head.state()
        values = self.diagnose(self.prepare(batch))
        self.head.load(noise)
        return values

    # --- acting ---

    def act(self, obs: np.ndarray, explore: bool = False) -> np.ndarray:
        """Actions [P, n] or [P, n, A] for observations [P, n, *O]: the best known, with
        noise where it explores."""
        action = self._ask(self.choose, obs)
        return (
            self.head.explore(action, self.exploration, self.explorers)
            if explore
            else action
        )

    def value(self, obs: np.ndarray) -> np.ndarray:
        """What states are worth to the learner, [P, n]: V, or the Q of its action, or
        where it has neither its likelihood."""
        return self._ask(self._value, obs)

    def _ask(self, question: Callable[[Tensor], Tensor], obs: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return (
                question(self.normalize(torch.as_tensor(obs, device=self.device)))
                .cpu()
                .numpy()
            )

    def _value(self, obs: Tensor) -> Tensor:
        if "value" in self.nets:
            return self.net.value(obs)[:, 0, :, 0]
        action = self.choose(obs)
        if "q" in self.nets:
            return self.head.values(self.net.q, obs).of(action).mean(1)
        return self.head.policy(self.net.policy, obs).log_prob(action).exp()

    def export(self, seed: int) -> nn.Sequential:
        """The policy of the seed at this index as plain modules on the CPU, with its
        normaliser: [n, *O] -> scores, the largest of which acts, or for box actions [n,
        A] the action itself."""
        acts = self.net.policy if "policy" in self.nets else self.net.q
        return nn.Sequential(self.normalizer(seed), *self.head.export(acts, seed))

    def normalizer(self, seed: int) -> nn.Module:
        """The first layer of an exported policy."""
        return self.head.normalizer(self.mean[seed, 0], self.scale[seed, 0])

    # --- state ---

    def stacks(self) -> dict[str, Stack]:
        """All that training moves: weights, target weights and Adam's moments."""
        weights = {f"net/{name}": net.weights for name, net in self.nets.items()}
        targets = {
            f"target/{name}": net.weights for name, net in vars(self.target).items()
        }
        moments = {
            f"adam{i}/{name}": m
            for name, pair in self.moments.items()
            for i, m in enumerate(pair)
        }
        return weights | targets | moments

    def snapshot(self) -> dict[str, Tensor]:
        """A copy of everything training moves."""
        return {name: stack.vector.clone() for name, stack in self.stacks().items()}

    def restore(self, snapshot: dict[str, Tensor], seeds: np.ndarray) -> None:
        """Bring back a snapshot's weights for the seeds in mask [P]."""
        for name, stack in self.stacks().items():
            stack.copy_seeds(snapshot[name], torch.as_tensor(seeds, device=self.device))

    def keep(self, snapshot: dict[str, Tensor], seeds: np.ndarray) -> None:
        """Overwrite a snapshot's part of the seeds in mask [P] by their present
        weights."""
        mask = torch.as_tensor(seeds, device=self.device)
        for name, stack in self.stacks().items():
            for kept, block in zip(
                stack.split(snapshot[name]), stack.blocks, strict=True
            ):
                kept[mask] = block[mask]

    def state(self) -> State:
        """Everything needed to go on exactly from here."""
        scales = {"mean": self.mean, "scale": self.scale, "reward": self.reward_factor}
        return {
            "updates": self.updates,
            "stacks": self.snapshot(),
            "adam_steps": {name: count.clone() for name, count in self.counts.items()},
            "normalizer": {name: scale.clone() for name, scale in scales.items()},
            "exploration": [g.bit_generator.state for g in self.explorers],
            "head": self.head.state(),
            "last_losses": {
                name: loss.clone() for name, loss in self.last_losses.items()
            },
        }

    def load(self, state: State) -> None:
        """Go back to what `state` returned."""
        self.updates = state["updates"]
        for mine, name in (
            (self.mean, "mean"),
            (self.scale, "scale"),
            (self.reward_factor, "reward"),
        ):
            mine[:] = state["normalizer"][name]
        stacks = {
            name: vector.to(self.device) for name, vector in state["stacks"].items()
        }
        self.restore(stacks, np.ones(len(self.seeds), bool))
        for name, count in state["adam_steps"].items():
            self.counts[name].copy_(count)
        self.head.load(state["head"])
        self.last_losses = {
            name: loss.to(self.device) for name, loss in state["last_losses"].items()
        }
        for generator, saved in zip(self.explorers, state["exploration"], strict=True):
            generator.bit_generator.state = saved

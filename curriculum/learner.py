"""What all learners share: setup, update, act, export and state. The only place that touches an optimiser."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from curriculum.heads import head
from curriculum.nets import MLP, Normalize, Stack
from curriculum.types import Batch, Spec, State, stream, within


@dataclass(kw_only=True)
class Learner:
    """A learner is the networks it has and one loss for each; its fields are its hyperparameters.

    Each loss moves only the network of its own name, so it may run through other networks without detaching them."""

    targets: ClassVar[tuple[str, ...]] = ()  # networks that keep a slow copy in `self.target`
    acts_by: ClassVar[str] = "policy"  # the network whose outputs rank actions

    hidden: tuple[int, ...] = (128, 128)  # widths of the hidden layers of every network
    learning_rate: float = 1e-3  # Adam's step size
    batch_size: int = 128  # transitions per update and seed
    discount: float = 0.99  # 0 sees one step ahead, towards 1 the whole future counts
    n_step: int = 1  # rewards summed before bootstrapping: more carry reward faster, and the behaviour's mistakes
    polyak: float = 0.01  # how far target networks move per update: 1 is no target network, towards 0 a frozen one
    grad_clip: float = 10.0  # largest gradient norm of a network of one seed, 0 for no limit
    exploration: float = 0.05  # share of uniformly random actions while the learner collects

    def __post_init__(self) -> None:
        within(self, 0, 1, "discount", "polyak", "exploration")
        within(self, 0, float("inf"), "learning_rate", "grad_clip")
        within(self, 1, float("inf"), "batch_size", "n_step")
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"hidden must name at least one positive layer width, got {self.hidden}")

    def build(self) -> dict[str, MLP]:
        """The networks of one seed, by name."""
        raise NotImplementedError

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Network name -> loss [P]; observations come normalised."""
        raise NotImplementedError

    def setup(self, spec: Spec, seeds: tuple[int, ...], device: str = "cpu") -> Self:
        """Make the networks of all seeds, each drawn from its own seed's stream."""
        self.seeds, self.device, self.updates = seeds, device, 0
        self.head = head(spec)
        shape = (len(seeds), self.head.inputs)
        self.mean, self.scale = torch.zeros(shape, device=device), torch.ones(shape, device=device)
        self.from_bounds = bool(np.isfinite(spec.obs_low).all() and np.isfinite(spec.obs_high).all())
        if self.from_bounds:  # known bounds are mapped to [-1, 1]; unknown ones are read off the first data
            low, high = (torch.as_tensor(b, dtype=torch.float32).flatten() for b in (spec.obs_low, spec.obs_high))
            self.mean[:], self.scale[:] = (high + low) / 2, 2 / (high - low).clamp(min=1e-6)
        nets = self.build()
        for name, net in nets.items():
            net.setup([stream(seed, f"init {name}") for seed in seeds], device)
        self.nets, self.net = nets, SimpleNamespace(**nets)
        self.target = SimpleNamespace(**{name: nets[name].twin() for name in self.targets})
        self.gradients = {name: Stack(net.weights.shapes, device) for name, net in nets.items()}
        self.moments = {name: [Stack(net.weights.shapes, device) for _ in range(2)] for name, net in nets.items()}
        self.counts = {name: torch.zeros((), device=device) for name in nets}  # Adam's steps, which it counts itself
        self.explorers = [stream(seed, "exploration") for seed in seeds]
        self.last_losses = {name: torch.full((len(seeds),), torch.nan, device=device) for name in nets}
        return self

    def fit_normalizer(self, obs: list[np.ndarray]) -> None:
        """Where the world states no bounds: standardise by the first observations, [n, *O] for every seed."""
        if not self.from_bounds:
            for p, seen in enumerate(obs):
                if len(seen) < 2:  # nothing to standardise by
                    continue
                flat = torch.as_tensor(seen, dtype=torch.float32).flatten(1)
                self.mean[p], self.scale[p] = flat.mean(0), 1 / flat.std(0).clamp(min=1e-3)

    def normalize(self, obs: Tensor) -> Tensor:
        """Observations [P, B, *O] as the networks take them, [P, B, O]."""
        return (obs.float().flatten(2) - self.mean.unsqueeze(1)) * self.scale.unsqueeze(1)

    def update(self, batch: Batch, has_data: np.ndarray | None = None) -> None:
        """Take one gradient step in every network that has a loss; `last_losses` holds the losses, [P] each.

        Seeds outside the mask `has_data` [P] stay as they are: their rows of the batch mean nothing."""
        batch = batch._replace(obs=self.normalize(batch.obs), next_obs=self.normalize(batch.next_obs))
        losses = self.losses(batch)
        if has_data is not None and not has_data.all():
            learns = torch.as_tensor(has_data, device=self.device)
            losses = {name: loss * learns for name, loss in losses.items()}
        gradients = {}
        for name, loss in losses.items():
            gradients[name] = torch.autograd.grad(loss.sum(), self.nets[name].parameters, retain_graph=len(losses) > 1)
        self.updates += 1
        with torch.no_grad():
            for name, blocks in gradients.items():
                self._step(name, blocks)
            for name in self.targets:
                getattr(self.target, name).weights.vector.lerp_(self.nets[name].weights.vector, self.polyak)
        self.last_losses |= {name: loss.detach() for name, loss in losses.items()}

    def _step(self, name: str, blocks: tuple[Tensor, ...]) -> None:
        gradient = self.gradients[name]
        for mine, block in zip(gradient.blocks, blocks, strict=True):
            mine.copy_(block)
        if self.grad_clip:  # each seed's network has a norm of its own
            norms = torch.stack([torch.linalg.vector_norm(b.flatten(1), dim=1) for b in gradient.blocks], -1)
            share = (self.grad_clip / norms.norm(dim=-1).clamp(min=1e-12)).clamp(max=1)  # [P]
            for block in gradient.blocks:
                block.mul_(share[:, None, None, None])
        first, second = (m.vector for m in self.moments[name])
        weights, counts = self.nets[name].weights.vector, self.counts[name]
        step = {"params": [weights], "grads": [gradient.vector], "state_steps": [counts]}
        moments = {"exp_avgs": [first], "exp_avg_sqs": [second], "max_exp_avg_sqs": []}
        betas = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
        adam(**step, **moments, **betas, lr=self.learning_rate, amsgrad=False, maximize=False, fused=True)  # type: ignore[arg-type]

    def act(self, obs: np.ndarray, explore: bool = False) -> np.ndarray:
        """Actions [P, n] for observations [P, n, *O]: the best known, or a share of random ones where it explores."""
        with torch.inference_mode():
            seen = self.normalize(torch.as_tensor(obs, device=self.device))
            action = self.head.act(self.nets[self.acts_by], seen).cpu().numpy()
        return self.head.explore(action, self.exploration, self.explorers) if explore else action

    def value(self, obs: np.ndarray) -> np.ndarray:
        """What states are worth to the learner, [P, n]: V, or the best Q, or where it has neither its certainty."""
        with torch.inference_mode():
            seen = self.normalize(torch.as_tensor(obs, device=self.device))
            if "value" in self.nets:
                return self.nets["value"](seen)[:, 0, :, 0].cpu().numpy()
            ranks = self.nets[self.acts_by](seen).mean(1)
            return (ranks.softmax(-1) if self.acts_by == "policy" else ranks).amax(-1).cpu().numpy()

    def export(self, seed: int) -> nn.Sequential:
        """The policy of the seed at this index as plain modules on the CPU, with its normaliser: [n, *O] -> scores."""
        normalize = Normalize(self.mean[seed].cpu().clone(), self.scale[seed].cpu().clone())
        return nn.Sequential(normalize, *self.nets[self.acts_by].export(seed))

    def stacks(self) -> dict[str, Stack]:
        """All that training moves: weights, target weights and Adam's moments."""
        weights = {f"net/{name}": net.weights for name, net in self.nets.items()}
        targets = {f"target/{name}": getattr(self.target, name).weights for name in self.targets}
        moments = {f"adam{i}/{name}": m for name, pair in self.moments.items() for i, m in enumerate(pair)}
        return weights | targets | moments

    def snapshot(self) -> dict[str, Tensor]:
        """A copy of everything training moves."""
        return {name: stack.vector.clone() for name, stack in self.stacks().items()}

    def restore(self, snapshot: dict[str, Tensor], seeds: np.ndarray) -> None:
        """Bring back a snapshot's weights for the seeds in mask [P]."""
        for name, stack in self.stacks().items():
            stack.copy_seeds(snapshot[name], torch.as_tensor(seeds, device=self.device))

    def keep(self, snapshot: dict[str, Tensor], seeds: np.ndarray) -> None:
        """Overwrite a snapshot's part of the seeds in mask [P] by their present weights."""
        mask = torch.as_tensor(seeds, device=self.device)
        for name, stack in self.stacks().items():
            for kept, block in zip(stack.split(snapshot[name]), stack.blocks, strict=True):
                kept[mask] = block[mask]

    def state(self) -> State:
        """Everything needed to go on exactly from here."""
        generators = [g.bit_generator.state for g in self.explorers]
        normalizer = {"mean": self.mean.clone(), "scale": self.scale.clone()}
        return {
            "updates": self.updates,
            "stacks": self.snapshot(),
            "adam_steps": {name: count.clone() for name, count in self.counts.items()},
            "normalizer": normalizer,
            "exploration": generators,
            "last_losses": dict(self.last_losses),
        }

    def load(self, state: State) -> None:
        """Go back to what `state` returned."""
        self.updates = state["updates"]
        self.mean[:], self.scale[:] = state["normalizer"]["mean"], state["normalizer"]["scale"]
        stacks = {name: vector.to(self.device) for name, vector in state["stacks"].items()}
        self.restore(stacks, np.ones(len(self.seeds), bool))
        for name, count in state["adam_steps"].items():
            self.counts[name].copy_(count)
        self.last_losses = {name: loss.to(self.device) for name, loss in state["last_losses"].items()}
        for generator, saved in zip(self.explorers, state["exploration"], strict=True):
            generator.bit_generator.state = saved

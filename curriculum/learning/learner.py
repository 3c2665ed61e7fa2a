"""What all learners share: networks and their losses, acting, exporting, and state."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar, Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from curriculum.learning.acting import FewRows, few_rows
from curriculum.learning.heads import Body, Head, make_head
from curriculum.learning.hyperparameters import Hyperparameters
from curriculum.learning.kernels import Precision, retain_freed_memory
from curriculum.learning.modules import adapt, build_for_seeds
from curriculum.learning.networks import Network, ObsNetwork
from curriculum.learning.normalizer import Normalizer
from curriculum.learning.optimizer import Optimizer, Targets
from curriculum.learning.policies import ActionDistribution
from curriculum.learning.shifts import shifted
from curriculum.learning.values import Values
from curriculum.learning.weights import Snapshot, WeightCollection, Weights
from curriculum.types import Batch, Spec, State, stream

# diagnostics that are averaged over parts of a batch, too
GROUPED = ("td_error", "q_data", "q_gap", "advantage", "cloning_error", "log_prob_data")

SMALLEST_STAKE = 1e-30  # of a batch in which anything is decided


@dataclass(kw_only=True)
class Learner(Hyperparameters):
    """Networks, and a loss for each; the fields are the hyperparameters.

    A loss moves only the network of its own name, so it may use other networks without
    detaching them. A network without a loss in some update does not move."""

    kinds: ClassVar[tuple[str, ...]] = ("discrete", "box")  # actions that it can learn
    # networks with a slow copy in `self.target`
    targets: ClassVar[tuple[str, ...]] = ()
    # optional columns of `Batch` that its losses use, such as "mc_return"
    needs: ClassVar[tuple[str, ...]] = ()
    # which of the networks that `build` returns act and value states. Where there is no
    # actor, the best action of the critic is taken. Where there is no state value, a
    # state is worth what its action is. "" as critic: nothing values actions
    actor: ClassVar[str] = "policy"
    critic: ClassVar[str] = "q"
    state_value: ClassVar[str] = "value"
    # whether its losses have a term that keeps it close to the data, times
    # `regularizer_scale`
    regularized: ClassVar[bool] = False
    # largest absolute value of a normalised observation
    obs_limit: ClassVar[float] = 10.0

    # --- what a learner defines ---

    def build(self) -> Mapping[str, Network | nn.Module]:
        """Networks by name: from `self.head`, or modules of torch.

        Modules [B, inputs] -> [B, outputs] are drawn for each seed by calling `build`
        once for each; a `nn.ModuleList` holds several critics."""
        raise NotImplementedError

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Losses [P] by name of the network they move; observations are normalised."""
        raise NotImplementedError

    def diagnose(self, batch: Batch) -> dict[str, Tensor]:
        """Values worth logging, name -> [P, B] or [P], on a batch with normalised
        observations.

        Called only when a record is due, through `diagnostics`, which averages over the
        batch. Losses may be computed here: noise that is drawn is drawn again later."""
        return {}

    def policy_at(self, obs: Tensor) -> ActionDistribution:
        """The policy of the actor at normalised observations, as its losses see it."""
        return self.head.policy(self._network(self.actor), obs)

    def label_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Cloning losses [P] of the planner's labels, by name of the network that they
        move: that of the policy, or a margin for the critic that acts."""
        assert batch.label is not None
        if self.actor in self.nets:
            distance = self.label_distance(self.policy_at(batch.obs), batch)  # [P, B]
            return {self.actor: self.cloning_loss(distance, batch)}
        values = self.head.values(self._network(self.critic), batch.obs)
        shortfall = values.margin_loss(batch.label, self.label_margin)  # [P, K, B]
        return {self.critic: self.cloning_loss(shortfall.sum(-2), batch)}

    def label_distance(self, policy: ActionDistribution, batch: Batch) -> Tensor:
        """Cloning loss [P, B] of what the planner decided: its weights of all actions
        with `soft_labels`, else its action."""
        if self.soft_labels:
            assert batch.soft_label is not None
            return policy.cross_entropy(batch.soft_label)
        assert batch.label is not None
        return policy.distance(batch.label)

    def cloning_loss(self, distance: Tensor, batch: Batch) -> Tensor:
        """Mean [P] of cloning losses [P, B] over the transitions with a label, each
        weighted by its stake with `stake_power`; 0 where all weights are."""
        return weighted_mean(distance, self.label_importance(batch))

    def label_importance(self, batch: Batch) -> Tensor:
        """How much each label counts, [P, B] in [0, 1]: the highest stake of a batch 1,
        and nothing without a label."""
        assert batch.has_label is not None
        if not self.stake_power:
            return batch.has_label
        assert batch.label_stake is not None
        stake = batch.has_label * batch.label_stake
        share = stake / stake.amax(-1, keepdim=True).clamp(min=SMALLEST_STAKE)
        # share^power, written as native code can compute it
        return (self.stake_power * share.log()).exp()

    def bound_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Losses [P] of critics that value the planner's actions below its values, by
        name of the critic's network."""
        assert batch.label is not None
        assert batch.label_value is not None
        assert batch.has_label is not None
        values = self.head.values(self._network(self.critic), batch.obs)
        bound = batch.label_value.unsqueeze(1)  # [P, 1, B]
        shortfall = (bound - values.of(batch.label)).clamp(min=0)  # [P, K, B]
        loss = 0.5 * shortfall.square().sum(-2)
        return {self.critic: weighted_mean(loss, batch.has_label)}

    @property
    def clones_labels(self) -> bool:
        """Whether a loss clones the planner's labels."""
        return bool(self.label_weight) or "label" in self.needs

    @property
    def columns(self) -> tuple[str, ...]:
        """The optional columns of `Batch` that its updates use."""
        wanted = list(self.needs)
        if self.clones_labels or self.bound_weight:
            wanted += ["label", "has_label"]
        if self.soft_labels:
            wanted.append("soft_label")
        if self.bound_weight:
            wanted.append("label_value")
        if self.stake_power:
            wanted.append("label_stake")
        return tuple(dict.fromkeys(wanted))

    @property
    def cycle(self) -> int:
        """Updates after which the same networks have a loss again."""
        return 1

    @property
    def phase(self) -> int:
        """Position of the next update in the cycle, from 0."""
        return self.updates % self.cycle

    def choose(self, obs: Tensor) -> Tensor:
        """Best known actions [P, B] or [P, B, A] at normalised observations."""
        if self.actor in self.nets:
            return self.head.mode(self._network(self.actor), obs)
        return self.head.values(self._network(self.critic), obs).best_action()

    def estimate(self, obs: Tensor) -> Tensor:
        """Values [P, B] of normalised observations.

        They come from the state value or from the critic; a learner without either
        returns the probability (density) of its own action."""
        if self.state_value in self.nets:
            value = self._network(self.state_value)(obs)  # [P, 1, B, 1]
            return value[:, 0, :, 0]
        action = self.choose(obs)
        if self.critic in self.nets:
            values = self.head.values(self._network(self.critic), obs)
            return values.of(action).mean(1)
        policy = self.head.policy(self._network(self.actor), obs)
        return policy.log_prob(action).exp()

    def export(self, seed: int) -> nn.Sequential:
        """Copy the policy of the seed with this index, with its normaliser, into
        modules of torch on the CPU.

        Observations [n, *O] -> scores [n, actions], of which the largest acts, or box
        actions [n, A]."""
        acting = self.actor if self.actor in self.nets else self.critic
        layers = self.head.export(self._network(acting), seed)
        return nn.Sequential(self.normalizer.export(seed), *layers)

    def _network(self, name: str) -> ObsNetwork:
        return cast(ObsNetwork, self.nets[name])

    # --- setup ---

    def check_actions(self, spec: Spec) -> None:
        """Raise ValueError where this learner cannot learn actions of this kind."""
        kind = "discrete" if spec.actions else "box"
        if kind not in self.kinds:
            raise ValueError(
                f"{type(self).__name__} takes {self.kinds[0]} actions, this world's "
                f"are {kind}; choose another --learner"
            )
        if self.selection == "boltzmann":
            self._require_scores(kind)
        self._check_decisions(kind, spec)
        if self.actor_hidden and not self._has_actor(spec):
            raise ValueError(
                f"{type(self).__name__} has no policy network for {kind} actions, its "
                "critic acts; leave out --learner.actor-hidden"
            )

    def _check_decisions(self, kind: str, spec: Spec) -> None:
        """Raise ValueError where it cannot learn what the planner's decisions tell."""
        name = type(self).__name__
        if (self.soft_labels or self.stake_power) and not self.clones_labels:
            flag = "soft-labels" if self.soft_labels else "stake-power"
            raise ValueError(
                f"--learner.{flag} says how labels are cloned, and {name} clones none; "
                "give --learner.label-weight too, or choose --learner dagger or bc"
            )
        if self.soft_labels and kind == "box":
            raise ValueError(
                "soft labels weigh discrete actions, and this world's are box; leave "
                "out --learner.soft-labels"
            )
        if self.soft_labels and not self._has_actor(spec):
            raise ValueError(
                f"soft labels are for policies, and {name} has none for {kind} "
                "actions, its critic acts; leave out --learner.soft-labels"
            )
        if self.bound_weight and not self.critic:
            raise ValueError(
                f"--learner.bound-weight moves a critic, and {name} has none; leave it "
                "out"
            )
        if self.bound_weight and self.reward_shift:
            raise ValueError(
                "the planner's values know no --learner.reward-shift; leave out one of "
                "the two, that or --learner.bound-weight"
            )

    def _has_actor(self, spec: Spec) -> bool:
        probe = copy.copy(self)
        probe.head = make_head(spec, Body())
        return self.actor in probe.build()

    def _require_scores(self, kind: str) -> None:
        """Raise ValueError where there is nothing to draw actions in proportion to."""
        name = type(self).__name__
        reason = ""
        if kind == "box":
            reason = "this world's are box"
        elif type(self).choose is not Learner.choose:
            reason = f"{name} leaves out those unlike the data"
        elif type(self).act is not Learner.act:
            reason = f"{name} draws them from its policy anyway"
        if reason:
            raise ValueError(
                f"boltzmann draws among all discrete actions, and {reason}; leave out "
                "--learner.selection"
            )

    def setup(
        self,
        spec: Spec,
        seeds: tuple[int, ...],
        device: str = "cpu",
        precision: Precision = "fp32",
    ) -> Self:
        """Draw the networks of every seed from its own streams and return self."""
        self.check_actions(spec)
        retain_freed_memory()
        self.seeds = seeds
        self.device = device
        self.precision: Precision = precision
        self.updates = 0
        # factors on two weights of losses, [P]: of the regularizer and of labels; 1.0
        # where they stay
        self.regularizer_scale: float | Tensor = 1.0
        self.label_scale: float | Tensor = 1.0
        body = Body(
            tuple(self.hidden),
            tuple(self.actor_hidden),
            self.layer_norm,
            self.encoder,
            self.initialization,
            self.pixel_center,
            self.huber,
        )
        self.head: Head = make_head(spec, body, seeds, device)
        self.normalizer = Normalizer(
            normalize_obs=self.normalize_obs,
            pixel_center=self.pixel_center,
            limit=self.obs_limit,
            reward_scale=self.reward_scale,
            scale_returns=self.return_range,
        )
        self.normalizer.setup(spec, len(seeds), device)
        self._setup_networks(precision)
        self.explorers = [stream(seed, "exploration") for seed in seeds]
        self.exploration_now = np.full(len(seeds), float(self.exploration))  # [P]
        self.last_losses = {
            name: torch.full((len(seeds),), torch.nan, device=device)
            for name in self.nets
        }
        return self

    def _setup_networks(self, precision: Precision) -> None:
        noise = self.head.noise.state()

        def build() -> Mapping[str, Network | nn.Module]:
            self.head.noise.load(noise)  # so that every call draws the same numbers
            return self.build()

        self.nets = adapt(build_for_seeds(build, self.seeds), self.pixel_center)
        for name, network in self.nets.items():
            generators = [stream(seed, f"init {name}") for seed in self.seeds]
            network.setup(generators, self.device, precision)
        self.target_networks = Targets(self.nets, self.targets)
        self.optimizer = Optimizer(self.nets, self.grad_clip, self.adam_epsilon)
        self.all_seeds = torch.ones(len(self.seeds), device=self.device)
        copies = self.target_networks.copies
        self.net = SimpleNamespace(**self.nets)
        self.target = SimpleNamespace(**copies)
        # the slow copy of every network that has one, the network itself elsewhere
        self.slow = SimpleNamespace(**(self.nets | copies))
        self.weights = WeightCollection(self._weights())
        self.few_rows = self._few_rows()

    def _few_rows(self) -> FewRows | None:
        """What acts for few observations; None where `choose` alone can."""
        if type(self).choose is not Learner.choose:
            return None
        if self.actor in self.nets:
            acting = self.nets[self.actor]
        elif self.critic in self.nets and self.head.critic_acts:
            acting = self.nets[self.critic]
        else:
            return None
        return few_rows(acting, self.normalizer, self.head)

    def _weights(self) -> dict[str, Weights]:
        """Everything that training moves."""
        found = {f"net/{name}": net.weights for name, net in self.nets.items()}
        found |= self.target_networks.weights()
        found |= self.optimizer.weights()
        found["normalizer"] = self.normalizer.weights
        return found

    # --- learning ---

    def update(self, batch: Batch, has_data: np.ndarray | None = None) -> None:
        """Take one gradient step in every network that has a loss; `last_losses` holds
        the losses, [P] each.

        Seeds outside the mask `has_data` [P] stay as they are; their part of the batch
        means nothing, but must be finite."""
        seed_weights = None
        if has_data is not None and not has_data.all():
            mask = torch.as_tensor(has_data, dtype=torch.float32, device=self.device)
            seed_weights = mask
        learning_rate = self.learning_rate_at(self.updates)
        self.finish_update(self.step(batch, learning_rate, seed_weights))

    def step(
        self,
        batch: Batch,
        learning_rate: float | Tensor,
        seed_weights: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Compute losses [P], move the networks, then their targets.

        Nothing here waits for the device, so that the step can be compiled or captured.
        The losses of seeds count `seed_weights` [P] times."""
        batch = self.normalizer.prepare(batch)
        if self.random_shift and self.head.pixels:
            batch = shifted(batch, self.random_shift, self.head.noise)
        if self.label_weight or self.bound_weight:
            losses = self._losses_with_labels(batch)
        else:
            losses = self.losses(batch)
        if seed_weights is None:
            seed_weights = self.all_seeds
        self.optimizer.step(losses, seed_weights, learning_rate)
        if not self.target_every:
            self.target_networks.update(self.polyak)
        return {name: loss.detach() for name, loss in losses.items()}

    def _losses_with_labels(self, batch: Batch) -> dict[str, Tensor]:
        with self.head.sharing_passes():
            losses = self.losses(batch)
            if self.label_weight:
                weight = self.label_weight * self.label_scale
                _add(losses, self.label_losses(batch), weight)
            if self.bound_weight:
                _add(losses, self.bound_losses(batch), self.bound_weight)
        return losses

    def finish_update(self, losses: Mapping[str, Tensor]) -> None:
        """Count the update, record its losses, and copy targets where that is due."""
        self.updates += 1
        self.last_losses |= losses
        if self.target_every and self.updates % self.target_every == 0:
            self.target_networks.update(1.0)

    @torch.no_grad()
    def diagnostics(
        self, batch: Batch, groups: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Values to log, name -> [P], on a batch as the buffer gives it.

        `groups` holds masks [P, B] of transitions by name, such as those of a source:
        for these, the values in `GROUPED` are averaged apart, nan where there are none.
        Training is not affected."""
        noise = self.head.noise.state()
        prepared = self.normalizer.prepare(batch)
        found = self.diagnose(prepared)
        self.head.noise.load(noise)
        values = {}
        for name, value in found.items():
            values[name] = value.mean(-1) if value.dim() > 1 else value
        if batch.label is not None and batch.has_label is not None:
            wrong = self.head.action_error(self.choose(prepared.obs), batch.label)
            known = batch.has_label.sum(-1) > 0
            error = weighted_mean(wrong, batch.has_label)
            values["label_error"] = error.where(known, torch.nan)
        for group, mask in (groups or {}).items():
            for name in GROUPED:
                if name in found:
                    total = (found[name] * mask).sum(-1)
                    values[f"{name}_{group}"] = total / mask.sum(-1)
        return values

    def problems(self) -> dict[int, str]:
        """Which seeds, by index, have an infinite loss or weights that are not finite,
        and what it is."""
        found = {}
        for name, loss in self.last_losses.items():
            for index in torch.nonzero(loss.isinf()).flatten().tolist():
                found[index] = f"its loss {name!r} is infinite"
        for name, weights in self.weights.members.items():
            sums = [block.reshape(len(block), -1).sum(-1) for block in weights.blocks]
            total = torch.stack(sums).sum(0)  # [P]
            for index in torch.nonzero(~total.isfinite()).flatten().tolist():
                found.setdefault(index, f"numbers of {name!r} are not finite")
        return found

    # --- acting ---

    def act(self, obs: np.ndarray, explore: bool = False) -> np.ndarray:
        """Actions [P, n] or [P, n, A] for observations [P, n, *O]: the best known ones,
        randomised by `selection` if `explore`."""
        if explore and self.selection == "boltzmann":
            return self._boltzmann(obs)
        if self.few_rows and self.few_rows.suits(obs):
            action = self.few_rows.act(obs)
        else:
            action = self.infer(self.choose, obs)
        if explore:
            return self.head.explore(action, self.exploration_now, self.explorers)
        return action

    def _boltzmann(self, obs: np.ndarray) -> np.ndarray:
        """Actions [P, n] for observations [P, n, *O], drawn in proportion to
        exp(score / temperature) by the Gumbel-max trick."""
        scores = self.infer(self._scores, obs)  # [P, n, actions]
        noise = self.head.policy_noise(self.explorers, obs.shape[1])
        # times the temperature instead of scores divided by it, so that 0 is greedy
        return (scores + self.exploration_now[:, None, None] * noise).argmax(-1)

    def _scores(self, obs: Tensor) -> Tensor:
        """What discrete actions are drawn by, [P, n, actions] at normalised
        observations: log-probabilities of the actor, else values of the critic."""
        if self.actor in self.nets:
            return self.policy_at(obs).probs.log()
        return self._values(obs).means()

    def value(self, obs: np.ndarray) -> np.ndarray:
        """Values [P, n] of observations [P, n, *O]."""
        return self.infer(self.estimate, obs)

    def action_value(self, obs: np.ndarray, action: np.ndarray) -> np.ndarray:
        """Values [P, n] of actions [P, n] or [P, n, A] at observations [P, n, *O], by
        the lowest of the critics."""
        given = torch.as_tensor(action, device=self.device)
        return self.infer(lambda inputs: self._values(inputs).of(given).amin(1), obs)

    def margin(self, obs: np.ndarray) -> np.ndarray:
        """By how much the value of the best discrete action exceeds that of the second
        best, [P, n], at observations [P, n, *O]."""
        return self.infer(lambda inputs: self._values(inputs).margin(), obs)

    def disagreement(self, obs: np.ndarray) -> np.ndarray:
        """Standard deviation [P, n] among the critics' values of the best known action
        at observations [P, n, *O]; 0 for a single critic."""

        def deviation(inputs: Tensor) -> Tensor:
            values = self._values(inputs).of(self.choose(inputs))  # [P, K, n]
            return values.std(1, correction=0)

        return self.infer(deviation, obs)

    def _values(self, obs: Tensor) -> Values:
        """What the critic says of normalised observations."""
        return self.head.values(self._network(self.critic), obs)

    def infer(
        self, function: Callable[[Tensor], Tensor], obs: np.ndarray
    ) -> np.ndarray:
        """Apply a function to normalised observations, without gradients."""
        with torch.inference_mode():
            tensor = torch.as_tensor(obs, device=self.device)
            return function(self.normalizer.normalize(tensor)).cpu().numpy()

    # --- state ---

    def snapshot(self) -> Snapshot:
        """Copy everything that training moves."""
        return self.weights.snapshot()

    def restore(self, snapshot: Snapshot, seeds: np.ndarray) -> None:
        """Return the seeds in mask [P] to a snapshot."""
        self.weights.restore(snapshot, torch.as_tensor(seeds, device=self.device))

    def update_snapshot(self, snapshot: Snapshot, seeds: np.ndarray) -> None:
        """Overwrite the seeds in mask [P] of a snapshot by their current weights."""
        mask = torch.as_tensor(seeds, device=self.device)
        self.weights.update_snapshot(snapshot, mask)

    def schedule_weights(
        self, regularizer: np.ndarray | None, label: np.ndarray | None
    ) -> None:
        """Set the factors [P] on the weights of regularizer and labels; None: it
        stays."""
        if regularizer is not None:
            self.regularizer_scale = self._filled(self.regularizer_scale, regularizer)
        if label is not None:
            self.label_scale = self._filled(self.label_scale, label)

    def schedule_exploration(self, factor: np.ndarray) -> None:
        """Set the present exploration of every seed, by factors [P] on what exceeds
        `exploration_floor`."""
        self.exploration_now[:] = self.exploration_at(factor)

    def exploration_at(self, factor: np.ndarray) -> np.ndarray:
        """The exploration at factors [P] on what exceeds `exploration_floor`, [P]."""
        floor = self.exploration_floor
        return floor + (self.exploration - floor) * factor

    def _filled(self, scale: float | Tensor, values: np.ndarray) -> Tensor:
        """Values [P] as a tensor, which stays the same one: native and captured code
        reads it where it lies."""
        given = torch.as_tensor(values, dtype=torch.float32)
        if isinstance(scale, float):
            return given.to(self.device, copy=True)
        return scale.copy_(given)

    def state(self) -> State:
        """Return everything `load` needs to continue exactly from here."""
        losses = {name: loss.clone() for name, loss in self.last_losses.items()}
        return {
            "updates": self.updates,
            "weights": self.snapshot(),
            "adam_steps": self.optimizer.state(),
            "normalizer": self.normalizer.state(),
            "exploration": [g.bit_generator.state for g in self.explorers],
            "noise": self.head.noise.state(),
            "last_losses": losses,
        }

    def load(self, state: State) -> None:
        """Restore what `state` returned."""
        self.updates = state["updates"]
        snapshot = {
            name: vector.to(self.device) for name, vector in state["weights"].items()
        }
        self.restore(snapshot, np.ones(len(self.seeds), bool))
        self.optimizer.load(state["adam_steps"])
        self.normalizer.load(state["normalizer"])
        self.head.noise.load(state["noise"])
        self.last_losses = {
            name: loss.to(self.device) for name, loss in state["last_losses"].items()
        }
        for generator, saved in zip(self.explorers, state["exploration"], strict=True):
            generator.bit_generator.state = saved


def weighted_mean(value: Tensor, weight: Tensor) -> Tensor:
    """Mean [P] of `value` [P, B] by weights [P, B] in [0, 1]; 0 where they are all 0,
    otherwise one of them is 1."""
    total = weight.sum(-1).clamp(min=1)
    return (value * weight).sum(-1) / total


def _add(
    losses: dict[str, Tensor], others: Mapping[str, Tensor], weight: float | Tensor
) -> None:
    """Add `weight` times other losses to those of networks that move anyway."""
    for name, loss in others.items():
        if name in losses:
            losses[name] = losses[name] + weight * loss

"""The state of a model that trains, without pickles: networks, optimisers, counters and
random generators. With its replay buffer it continues training exactly from there."""

import random
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.save_util import recursive_getattr

from curriculum.types import State

# attributes of a model that change while it trains, where its algorithm has them
COUNTERS = (
    "num_timesteps",
    "exploration_rate",
    "_n_calls",
    "_n_updates",
    "_episode_num",
    "_current_progress_remaining",
)


def state_of(model: OffPolicyAlgorithm) -> State:
    """Everything but the replay buffer and the environments that `restore` needs."""
    modules, variables = model._get_torch_save_params()
    states = {name: recursive_getattr(model, name).state_dict() for name in modules}
    optimizers = {
        name: _moments(state) for name, state in states.items() if "optimizer" in name
    }
    return {
        "policy": arrays_of(states["policy"]),
        "optimizers": optimizers,
        "variables": {name: _array(getattr(model, name)) for name in variables},
        "counters": {
            name: getattr(model, name) for name in COUNTERS if hasattr(model, name)
        },
        "actions": model.action_space.np_random.bit_generator.state,
        "generators": _global_generators(),
    }


def restore(model: OffPolicyAlgorithm, state: State) -> None:
    """Bring a new model of the same settings to the state that `state_of` returned."""
    model.policy.load_state_dict(tensors_of(state["policy"]))
    for name, moments in state["optimizers"].items():
        optimizer = recursive_getattr(model, name)
        groups = optimizer.state_dict()["param_groups"]
        own = {int(index): tensors_of(entry) for index, entry in moments.items()}
        optimizer.load_state_dict({"state": own, "param_groups": groups})
    with torch.no_grad():
        for name, value in state["variables"].items():
            getattr(model, name).copy_(torch.from_numpy(value))
    for name, value in state["counters"].items():
        setattr(model, name, value)
    model.action_space.np_random.bit_generator.state = state["actions"]
    _restore_global_generators(state["generators"])


def arrays_of(tensors: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Copies of tensors as arrays."""
    return {name: _array(tensor) for name, tensor in tensors.items()}


def tensors_of(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Copies of arrays as tensors."""
    return {name: torch.tensor(array) for name, array in arrays.items()}


def _array(tensor: torch.Tensor) -> np.ndarray:
    return np.array(tensor.detach().cpu().numpy())


def _moments(state: dict[str, Any]) -> dict[str, dict[str, np.ndarray]]:
    """The state of Adam for each parameter, by the parameter's index."""
    return {str(index): arrays_of(entry) for index, entry in state["state"].items()}


def _global_generators() -> State:
    """The generators that Stable-Baselines3 seeds."""
    version, numbers, gauss = random.getstate()
    return {
        "python": [version, list(numbers), gauss],
        "numpy": list(np.random.get_state()),  # noqa: NPY002
        "torch": torch.get_rng_state().numpy(),
    }


def _restore_global_generators(state: State) -> None:
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    np.random.set_state(tuple(state["numpy"]))  # noqa: NPY002
    torch.set_rng_state(torch.tensor(state["torch"]))

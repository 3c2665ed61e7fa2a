"""Dense and convolutional layers whose weights a file stores in fewer bits."""

import copy
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from curriculum.shipping.standalone import LARGEST, restored

Layer = nn.Linear | nn.Conv2d
CHUNK = 256  # observations that are computed at once: 4,096 images fill the memory


class Compact(nn.Module):
    """A layer with the weights that its file restores.

    `stored` is float16, or int8 with one float32 `scale` [out]. Inputs are rounded to
    int8 as well unless `step` is None: to multiples of it, or, where it is 0, of a step
    that each observation has of its own."""

    def __init__(
        self,
        layer: Layer,
        stored: np.ndarray,
        scale: np.ndarray | None = None,
        step: float | None = None,
    ):
        super().__init__()
        self.layer = copy.deepcopy(layer)
        self.stored = stored
        self.scale = scale
        self.step = step
        weight = stored if scale is None else restored(stored, scale)
        self.layer.weight.data = torch.tensor(weight.astype(np.float32))

    def forward(self, x: Tensor) -> Tensor:
        """What the layer computes."""
        if self.step is not None:
            x = rounded(x, self.step)
        return self.layer(x)


def rounded(x: Tensor, step: float) -> Tensor:
    """Round inputs [n, ...] to what int8 can hold; see
    `curriculum.shipping.standalone.rounded`."""
    size = torch.tensor(step)
    if not step:
        size = x.abs().amax(tuple(range(1, x.dim())), keepdim=True) / LARGEST
        size = torch.where(size == 0, 1.0, size)
    return (x / size).round().clamp(-LARGEST - 1, LARGEST) * size


def half(layer: Layer) -> Compact:
    """The layer with weights of float16."""
    return Compact(layer, _weight(layer).astype(np.float16))


def int8(layer: Layer, step: float | None = None) -> Compact:
    """The layer with weights of int8; the scale of an output is its largest absolute
    weight / 127."""
    weight = _weight(layer)
    largest = np.abs(weight).reshape(len(weight), -1).max(-1)  # [out]
    scale = (largest / LARGEST).astype(np.float32)
    scale[scale == 0] = 1  # an output without weights stays so
    broadcast = scale.reshape(-1, *[1] * (weight.ndim - 1))
    stored = np.rint(weight / broadcast).astype(np.int8)
    return Compact(layer, stored, scale, step)


def replaced(policy: nn.Module, make: Callable[[str, Layer], nn.Module]) -> nn.Module:
    """A copy of a policy in which `make(name, layer)` replaces every layer."""
    changed = copy.deepcopy(policy)
    for name, layer in list(layers(policy)):
        new = make(name, layer)
        if not name:
            return new
        parent, _, own = name.rpartition(".")
        setattr(changed.get_submodule(parent), own, new)
    return changed


def layers(policy: nn.Module) -> Iterator[tuple[str, Layer]]:
    """All dense and convolutional layers by name; one that is used twice has two."""
    compact: set[str] = set()
    for name, module in policy.named_modules(remove_duplicate=False):
        if isinstance(module, Compact):
            compact.add(name)
            yield name, module.layer
        is_inner = name.rpartition(".")[0] in compact
        if isinstance(module, nn.Linear | nn.Conv2d) and not is_inner:
            yield name, module


def largest_inputs(policy: nn.Module, obs: Tensor) -> dict[str, float]:
    """The largest absolute input of every layer, by name, on observations [n, *O]."""
    found = {name: 0.0 for name, _ in layers(policy)}
    handles = []
    for name, layer in layers(policy):

        def note(_: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
            found[name] = max(found[name], float(inputs[0].abs().max()))

        handles.append(layer.register_forward_pre_hook(note))
    with torch.inference_mode():
        for chunk in obs.split(CHUNK):
            policy(chunk)
    for handle in handles:
        handle.remove()
    return found


def _weight(layer: Layer) -> np.ndarray:
    return layer.weight.detach().cpu().numpy().astype(np.float32)

"""Acting for few observations without torch, whose operations take longer to start than
the arithmetic of some rows takes."""

import numpy as np

from curriculum.learning.heads import Head
from curriculum.learning.networks import MLP, Network
from curriculum.learning.normalizer import Normalizer
from curriculum.learning.parts import Dense, ReLU

# multiplications in one product up to which the BLAS of numpy takes a single thread,
# whatever the number of threads that torch may take
SINGLE_THREADED = 1 << 18
# observations are taken in so many blocks, of at least so many rows; otherwise torch
# is faster
MOST_BLOCKS = 8
LEAST_BLOCK = 8
ZERO = np.float32(0)


class FewRows:
    """The greedy policy of a dense network, for few observations of every seed.

    It reads the weights where training moves them, so it holds no state. The result for
    a seed does not depend on the others."""

    def __init__(self, network: MLP, normalizer: Normalizer, head: Head):
        self.network = network
        self.normalizer = normalizer
        self.head = head
        widest = max(block[0, 0].numel() for block in network.body_blocks)
        self.block = SINGLE_THREADED // widest  # rows of one product
        blocks = MOST_BLOCKS if self.block >= LEAST_BLOCK else 1
        self.most_rows = blocks * self.block

    def suits(self, obs: np.ndarray) -> bool:
        """Whether there are few enough observations [P, n, *O]."""
        return obs.shape[1] <= self.most_rows

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Actions [P, n] or [P, n, A] for observations [P, n, *O]."""
        with np.errstate(over="ignore", invalid="ignore"):  # as torch
            return self.head.greedy(self._outputs(obs))

    def _outputs(self, obs: np.ndarray) -> np.ndarray:
        """Outputs of the network, [P, K, n, outputs]."""
        count = obs.shape[1]
        x = self.normalizer.normalize_array(obs)  # [P, n, features]
        arrays = self.network.weights.arrays
        if count <= self.block:
            return _forward(x[:, None], arrays)
        blocks = -(-count // self.block)
        padded = np.zeros((len(x), blocks * self.block, x.shape[-1]), np.float32)
        padded[:, :count] = x
        x = padded.reshape(len(x), 1, blocks, self.block, -1)
        out = _forward(x, [array[:, :, None] for array in arrays])
        return out.reshape(*out.shape[:2], blocks * self.block, -1)[:, :, :count]


def _forward(x: np.ndarray, arrays: list[np.ndarray]) -> np.ndarray:
    """Apply dense layers with rectifiers between them."""
    *hidden, weight, bias = arrays
    for i in range(0, len(hidden), 2):
        x = np.matmul(x, hidden[i])
        x += hidden[i + 1]
        np.maximum(x, ZERO, out=x)
    x = np.matmul(x, weight)
    x += bias
    return x


def few_rows(network: Network, normalizer: Normalizer, head: Head) -> FewRows | None:
    """Make the policy; None for networks that are not dense, not on the CPU or not in
    full precision."""
    if network.precision != "fp32" or network.weights.vector.device.type != "cpu":
        return None
    # not a subclass, which may encode observations
    if isinstance(network, MLP) and type(network) is MLP and _is_dense(network):
        return FewRows(network, normalizer, head)
    return None


def _is_dense(network: MLP) -> bool:
    """Whether dense layers alternate with rectifiers."""
    dense = network.chain.parts[::2]
    rectifiers = network.chain.parts[1::2]
    return all(type(part) is Dense for part in dense) and all(
        type(part) is ReLU for part in rectifiers
    )

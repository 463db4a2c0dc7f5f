"""What units of a network answer to: the shape of filters, what a response tells of the class, what it survives."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from jaxtyping import Float, Int

SPACES = ("constant", "edge", "bar")  # the degree of each is its place
BINS = 4

Responses = Float[np.ndarray, "unit example"]


def spaces(kernel: Sequence[int]) -> dict[str, Float[np.ndarray, "dimension tap"]]:
    """Orthonormal filters of each kind on a kernel of this shape, flattened: constants, edges and bars.

    A constant weighs all taps alike. An edge is a slope, the first difference: (-1, 0, 1) on three taps, (-2, -1, 0, 1,
    2) on five, and on an image a slope along rows or columns, constant across. A bar is the second difference, (1, -2,
    1), across a line of any direction. They are the polynomials of degree 0, 1 and 2 that are orthogonal on the taps:
    1, 1 and 1 of the dimensions of a signal's kernel, 1, 2 and 3 of an image's. A filter whose taps are independent and
    symmetric about zero has on average the share dimension / taps of its energy in each.

    Not to be confused with a step between two neighbouring taps, which is of all degrees: a quarter of (-1, 1, 0) is an
    edge, and a twentieth of (0, -1, 1, 0, 0).

    >>> {name: len(basis) for name, basis in spaces((3, 3)).items()}
    {'constant': 1, 'edge': 2, 'bar': 3}
    """
    along = [np.linalg.qr(np.vander(np.arange(size) - (size - 1) / 2, 3, increasing=True))[0].T for size in kernel]
    found: dict[str, list[np.ndarray]] = {name: [] for name in SPACES}
    for degrees in product(range(len(SPACES)), repeat=len(along)):
        if sum(degrees) < len(SPACES):
            basis = np.ones(())
            for degree, polynomials in zip(degrees, along, strict=True):
                basis = np.multiply.outer(basis, polynomials[degree])
            found[SPACES[sum(degrees)]].append(basis.ravel())
    return {name: np.array(rows) for name, rows in found.items()}


def shares(filters: Float[np.ndarray, "filter *kernel"]) -> dict[str, Float[np.ndarray, " filter"]]:
    """Which part of each filter's energy (its sum of squares) is constant, edge and bar; 0 for a filter of zeros."""
    flat = np.asarray(filters, np.float64).reshape(len(filters), -1)
    energy = (flat**2).sum(1)
    return {
        name: np.divide(((flat @ basis.T) ** 2).sum(1), energy, out=np.zeros_like(energy), where=energy > 0)
        for name, basis in spaces(filters.shape[1:]).items()
    }


def information(responses: Responses, labels: Int[np.ndarray, " example"], bins: int = BINS) -> np.ndarray:
    """Mutual information of each unit's response with the class, in bits, from the response's place among quantiles.

    A response is only known to lie in one of `bins` parts of equal size (fewer where many are equal: after a ReLU all
    zeros are one part), so it is a lower bound on what the response itself says. The bias of the plain estimate is
    taken off to first order (Miller 1955; Paninski 2003, Neural Computation 15:1191, section 4): without it, noise on
    900 examples and ten classes would seem to tell 0.02 bits. So an estimate may lie a little below 0. A unit that
    always says the same tells nothing.
    """
    examples = len(labels)
    edges = np.quantile(responses, np.arange(1, bins) / bins, axis=1)
    place = sum((responses > edge[:, None]).astype(np.int64) for edge in edges)
    classes = int(labels.max()) + 1
    cells = (np.arange(len(responses))[:, None] * bins + place) * classes + labels
    counts = np.bincount(cells.ravel(), minlength=len(responses) * bins * classes)
    joint = counts.reshape(len(responses), bins, classes)
    sizes = [joint.reshape(len(joint), -1), joint.sum(2), joint.sum(1)]
    both, response, label = (_entropy(one, examples) for one in sizes)
    return response + label - both


def _entropy(counts: Int[np.ndarray, "unit cell"], total: int) -> Float[np.ndarray, " unit"]:
    """In bits, with Miller's and Madow's correction: (occupied cells - 1) / (2 n) nats are added."""
    p = counts / total
    plain = -np.sum(p * np.log2(p, out=np.zeros_like(p), where=p > 0), axis=1)
    return plain + ((counts > 0).sum(1) - 1) / (2 * total * np.log(2))


def tolerance(responses: Responses, moved: Sequence[Responses]) -> float:
    """How alike a unit answers to an example and to the same example moved: the correlation over examples, averaged.

    Averaged over ways to move and over units; those that answer the same to every example have none and are left out.
    0 where all do.
    """
    found = []
    for other in moved:
        a, b = (one - one.mean(1, keepdims=True) for one in (responses, other))
        scale = np.sqrt((a**2).sum(1) * (b**2).sum(1))
        alive = scale > 0
        found.append(((a * b).sum(1)[alive] / scale[alive]).tolist())
    values = [value for one in found for value in one]
    return float(np.mean(values)) if values else 0.0


def shifted(x: Float[np.ndarray, "example *space"], axis: int, by: int) -> Float[np.ndarray, "example *space"]:
    """All examples moved along an axis of space by so many positions; what comes in is zero, what leaves is lost."""
    moved = np.roll(x, by, axis + 1)
    along = np.moveaxis(moved, axis + 1, 0)
    along[slice(0, by) if by > 0 else slice(by, None)] = 0
    return moved


def strongest(
    responses: Float[np.ndarray, "channel *place example"],
    x: Float[np.ndarray, "example *space"],
    field: tuple[int, int, int],
    count: int,
) -> Float[np.ndarray, "channel *patch"]:
    """The mean stimulus of each channel: what it sees where it answers most, in the `count` examples of most response.

    `field` is (size, jump, start): unit i sees `size` positions from `start + i * jump` on, along every axis; beyond
    the border it sees zeros.
    """
    size, jump, start = field
    space = x.ndim - 1
    padded = np.pad(x, [(0, 0), *[(size, 2 * size)] * space])
    found = []
    for channel in responses:
        places = channel.reshape(-1, channel.shape[-1])
        best = places.argmax(0)
        chosen = np.argsort(-places.max(0), kind="stable")[:count]
        patches = []
        for example in chosen:
            corner = [size + start + jump * int(i) for i in np.unravel_index(best[example], channel.shape[:-1])]
            patches.append(padded[(example, *(slice(first, first + size) for first in corner))])
        found.append(np.mean(patches, axis=0))
    return np.array(found)

"""A Dataset as other libraries want it. Neither library is imported before it is asked for."""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float, Int, Shaped

from flyroom.records import Dataset

if TYPE_CHECKING:
    from torch.utils.data import TensorDataset

Part = Literal["train", "test"]


def to_sklearn(
    dataset: Dataset, part: Part = "train"
) -> tuple[Float[np.ndarray, "example feature"], Int[np.ndarray, " example"]]:
    """(X, y) as every estimator of scikit-learn takes them: examples flattened, floating point.

    **Raises** ValueError for a part that is neither "train" nor "test".

    >>> from flyroom.data import load
    >>> to_sklearn(load("digits"), "test")[0].shape
    (359, 64)
    """
    x, y = _part(dataset, part)
    flat = x.reshape(len(x), int(np.prod(x.shape[1:])))
    return (flat if flat.dtype.kind == "f" else flat.astype(np.float64)), y


def to_torch(dataset: Dataset, part: Part = "train") -> "TensorDataset":
    """A `torch.utils.data.Dataset` of (x, y): x in float32, which is what PyTorch's modules hold; y in int64.

    The tensors are copies. **Raises** ImportError where PyTorch is not installed, ValueError for an unknown part.
    """
    x, y = _part(dataset, part)
    try:
        import torch
        from torch.utils.data import TensorDataset
    except ImportError as error:
        raise ImportError("to_torch needs PyTorch, which is not installed; pip install 'flyroom[torch]'") from error
    return TensorDataset(
        torch.tensor(np.ascontiguousarray(x), dtype=torch.float32), torch.tensor(np.asarray(y), dtype=torch.int64)
    )


def _part(dataset: Dataset, part: Any) -> tuple[Shaped[np.ndarray, "example *shape"], Int[np.ndarray, " example"]]:
    if part not in ("train", "test"):
        raise ValueError(f"part={part!r} is not a part of a dataset; use 'train' or 'test'")
    return (dataset.x_train, dataset.y_train) if part == "train" else (dataset.x_test, dataset.y_test)

"""The benchmark networks against PyTorch itself, with weights that are new each time the seed is changed."""

import jax
import numpy as np
import pytest
from breadth import breadth
from pytorch_layout import BATCH, EXAMPLES, GOLDEN, NAMES, RATE, examples, load, outputs_and_gradient, unload, weights

from flyroom.losses import cross_entropy
from flyroom.train import Protocol, contiguous, train_many

torch = pytest.importorskip("torch")

PROTOCOL = Protocol(cross_entropy)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("label", breadth(["first", "second"], "first"))
@pytest.mark.parametrize("name", NAMES)
def test_float32_outputs_gradients_and_ten_losses(name, label):
    from golden import make

    x, y = examples()
    state = weights(name, label)
    theirs, ours = make.network(name, state, torch.float32), load(name, state)
    signals, labels = torch.tensor(x), torch.tensor(y, dtype=torch.int64)
    outputs = theirs(signals[:BATCH]).detach().numpy()
    found, gradients = outputs_and_gradient(ours, x[:BATCH], y[:BATCH])
    np.testing.assert_allclose(found, outputs, rtol=1e-5, atol=1e-5)
    gradients = unload(name, gradients)
    for key, expected in make.gradient(theirs, signals[:BATCH], labels[:BATCH]).items():
        np.testing.assert_allclose(gradients[key], expected, rtol=1e-5, atol=1e-5, err_msg=key)
    (trained,) = train_many([ours], x, y, contiguous(EXAMPLES, BATCH, 10), PROTOCOL, learning_rate=RATE)
    np.testing.assert_allclose(trained.losses, make.train(theirs, signals, labels, 10), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", breadth(NAMES, "mnist1d-cnn"))
def test_two_hundred_steps_in_float64(name):
    from golden import make

    x, y = examples()
    state = weights(name, "live")
    theirs = make.network(name, state, torch.float64)
    losses = make.train(theirs, torch.tensor(x, dtype=torch.float64), torch.tensor(y, dtype=torch.int64), 200)
    with jax.enable_x64(True):
        order = contiguous(EXAMPLES, BATCH, 200)
        x = x.astype(np.float64)
        (trained,) = train_many([load(name, state, np.float64)], x, y, order, PROTOCOL, learning_rate=RATE)
    np.testing.assert_allclose(trained.losses, losses, rtol=0, atol=1e-10)
    for key, weight in unload(name, trained.net).items():
        np.testing.assert_allclose(weight, theirs.state_dict()[key].numpy(), rtol=0, atol=1e-9, err_msg=key)


def test_first_weights_have_pytorchs_bounds():
    from golden import make

    for name, shapes in NAMES.items():
        for key, array in make.CLASSES[name]().state_dict().items():
            shape, fan_in = shapes[key]
            assert tuple(array.shape) == shape, key
            assert float(array.abs().max()) <= fan_in**-0.5, key
            assert array.numel() < 1000 or float(array.abs().max()) > 0.98 * fan_in**-0.5, key


def test_the_script_makes_the_golden_file():
    from golden import make

    fresh = {"torch": np.array(torch.__version__)} | make.of_functions()
    for name in ("mnist1d-linear", "mnist1d-mlp"):  # the others take seconds, and are compared with above
        fresh |= make.of_network(name)
    with np.load(GOLDEN) as stored:
        assert set(fresh) == {key for key in stored.files if not key.startswith(("mnist1d-gru", "mnist1d-cnn"))}
        for key in set(fresh) - {"torch"}:
            loose = key.endswith("32") or "gradient32" in key
            np.testing.assert_allclose(fresh[key], stored[key], atol=1e-5 if loose else 1e-9, err_msg=key)

"""Training: against closed forms, against itself in other company, and against PyTorch's golden curve."""

import hashlib
import inspect
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import norms_layout
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_layout import BATCH, EXAMPLES, GOLDEN, RATE, examples, load, weights

from flyroom import train
from flyroom.losses import cross_entropy
from flyroom.nets import quadratic
from flyroom.nets.mlp import MLP
from flyroom.nets.spec import parse
from flyroom.train import Protocol, contiguous, diverged, shuffled, train_many

ROOT = Path(__file__).resolve().parents[1]
STEPS, WIDTHS = 8, (4, 6, 3)


def accuracy(net, x, y):
    return jnp.mean(jnp.argmax(net(x), axis=1) == y)


def _evaluate(net, held):
    return {"accuracy": accuracy(net, *held), "weight": net.layers[0].weight}


def _sgd_loss(net, x, y):
    return quadratic.loss(net, x[0], y[0])


PLAIN = Protocol(cross_entropy)
FULL = PLAIN._replace(evaluate=_evaluate, evaluate_after=(0, 3, STEPS), keep=jax.tree.leaves)


def networks(count, widths=WIDTHS, first=0):
    return [MLP.init(jax.random.key(first + i), widths, jnp.tanh) for i in range(count)]


def signals():
    random = np.random.default_rng(0)
    return random.normal(size=(30, 4)).astype(np.float32), random.integers(0, 3, 30).astype(np.int32)


X, Y = signals()
ORDER = contiguous(30, 5, STEPS)


def trained(nets, protocol=FULL, order: Any = ORDER, rate: float | list[float] = 1e-2, **more):
    return train_many(nets, X, Y, order, protocol, learning_rate=rate, held=(jnp.asarray(X), jnp.asarray(Y)), **more)


def digest(result):
    """Of every bit that a training left."""
    found = hashlib.sha256()
    for leaf in jax.tree.leaves((result.net, result.memory, result.losses, result.evaluated, result.kept)):
        found.update(np.asarray(leaf).tobytes())
    return found.hexdigest()


def digests(results):
    return [digest(result) for result in results]


@pytest.fixture(scope="module")
def five():
    return trained(networks(5))


def test_gradient_descent_on_a_quadratic_is_the_closed_form():
    random = np.random.default_rng(1)
    root = random.normal(size=(3, 3))
    hessian, target, start, rate, steps = root @ root.T, random.normal(size=3), random.normal(size=3), 0.05, 50
    with jax.enable_x64(True):
        net = quadratic.Quadratic(jnp.asarray(start))
        protocol = Protocol(_sgd_loss, optax.sgd, keep=lambda net: net.point)
        order = np.zeros((steps, 1), np.int32)
        (found,) = train_many([net], hessian[None], target[None], order, protocol, learning_rate=rate)
    away = np.array(
        [np.linalg.matrix_power(np.eye(3) - rate * hessian, t) @ (start - target) for t in range(steps + 1)]
    )
    np.testing.assert_allclose(found.kept, target + away, atol=1e-13)
    np.testing.assert_allclose(found.net.point, target + away[-1], atol=1e-13)
    np.testing.assert_allclose(found.losses, np.einsum("ti,ij,tj->t", away, hessian, away)[:-1] / 2, atol=1e-13)


def test_adam_is_adam():
    # Kingma and Ba, algorithm 1, in NumPy, on a gradient that changes sign and size.
    gradients = np.random.default_rng(0).normal(size=(30, 4)) * np.logspace(-6, 1, 30)[:, None]
    point, m, v = np.ones(4), np.zeros(4), np.zeros(4)
    with jax.enable_x64(True):
        adam = train.adam(0.1)
        ours = jnp.ones(4)
        memory = adam.init(ours)
        for t, gradient in enumerate(gradients, 1):
            m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
            point = point - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
            change, memory = adam.update(jnp.asarray(gradient), memory, ours)
            ours = jnp.asarray(optax.apply_updates(ours, change))
            np.testing.assert_allclose(ours, point, rtol=1e-12)


def test_adams_first_step_in_float32_is_the_rate_itself():
    adam = train.adam(jnp.float32(1.0))
    parameters = jnp.zeros(3)
    change, _ = adam.update(jnp.array([1.0, -2.0, 0.5]), adam.init(parameters), parameters)
    np.testing.assert_allclose(np.asarray(change), [-1, 1, -1], rtol=3e-7)  # optax.adam is out by 6e-6 here


def test_a_member_is_the_network_trained_alone_bit_for_bit(five):
    assert digests(trained(networks(1))) == digests(five[:1])
    assert digests(trained(networks(5)[3:4])) == digests(five[3:4])
    assert digests(trained(networks(5)[::-1])) == digests(five)[::-1]
    assert digests(trained(networks(2) + networks(3, first=90)))[:2] == digests(five)[:2]


def test_members_differ(five):
    assert len(set(digests(five))) == 5
    assert len({one.losses[-1] for one in five}) == 5
    assert not np.array_equal(five[0].net.layers[0].weight, five[1].net.layers[0].weight)


def test_the_number_of_devices_changes_no_bit(five):
    if not hasattr(os, "sched_setaffinity") or len(train.devices()) < 2:
        pytest.skip("needs two cores and a system that can hide one")
    script = (
        "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); sys.path.insert(0, 'tests')\n"
        "import test_train as t; from flyroom.train import devices\n"
        "assert len(devices()) == 1, devices()\n"
        "print(*t.digests(t.trained(t.networks(5))))"
    )
    alone = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert alone.returncode == 0, alone.stderr
    assert alone.stdout.split() == digests(five)


def test_every_core_is_a_device():
    if jax.default_backend() == "cpu" and hasattr(os, "sched_getaffinity"):
        assert len(train.devices()) == len(os.sched_getaffinity(0))


def test_kept_is_the_network_before_each_update(five):
    for start, one in zip(networks(5), five, strict=True):
        assert one.losses.shape == (STEPS,)
        for leaf, first, path, last in zip(
            jax.tree.leaves(start), one.kept, one.kept, jax.tree.leaves(one.net), strict=True
        ):
            assert len(path) == STEPS + 1
            np.testing.assert_array_equal(first[0], leaf)
            np.testing.assert_array_equal(path[-1], last)
    tree = jax.tree.structure(networks(1)[0])
    for t in range(STEPS):  # the loss of batch t belongs to the network before update t
        before = tree.unflatten([jnp.asarray(path[t]) for path in five[0].kept])
        loss = cross_entropy(before, jnp.asarray(X[ORDER[t]]), jnp.asarray(Y[ORDER[t]]))
        np.testing.assert_allclose(five[0].losses[t], loss, rtol=1e-5)


def test_evaluations_are_of_the_network_after_so_many_updates(five):
    short = trained(networks(2), FULL._replace(evaluate_after=()), ORDER[:3])
    for start, one, three in zip(networks(2), five[:2], short, strict=True):
        for i, net in enumerate((start, three.net, one.net)):
            np.testing.assert_array_equal(one.evaluated["weight"][i], net.layers[0].weight)
            net = jax.tree.map(jnp.asarray, net)
            np.testing.assert_allclose(one.evaluated["accuracy"][i], accuracy(net, jnp.asarray(X), jnp.asarray(Y)))
        assert set(one.evaluated) == {"accuracy", "weight"} and len(one.evaluated["accuracy"]) == 3
        assert three.evaluated["accuracy"].shape == (0,)


def test_a_resumed_run_is_an_uninterrupted_one_bit_for_bit(five):
    first = trained(networks(2), PLAIN, ORDER[:3])
    nets, memories = [one.net for one in first], [one.memory for one in first]
    second = trained(nets, PLAIN, ORDER[3:], memories=memories)
    for whole, a, b in zip(five, first, second, strict=False):
        np.testing.assert_array_equal(np.concatenate([a.losses, b.losses]), whole.losses)
        for x, y in zip(jax.tree.leaves((b.net, b.memory)), jax.tree.leaves((whole.net, whole.memory)), strict=True):
            np.testing.assert_array_equal(x, y)


def test_pruned_weights_stay_at_zero_and_the_others_train_as_if_they_were_not_there(five):
    nets = networks(2)
    random = np.random.default_rng(0)
    pruned = jax.tree.map(lambda leaf: jnp.asarray(random.random(leaf.shape) < 0.5, leaf.dtype), nets[0])
    all_kept = jax.tree.map(jnp.ones_like, nets[1])
    masked, unmasked = trained(nets, masks=[pruned, all_kept])
    assert digest(unmasked) == digest(five[1])
    for mask, path in zip(jax.tree.leaves(pruned), masked.kept, strict=True):
        mask = np.asarray(mask, bool)
        assert (path[:, ~mask] == 0).all() and (path[1:, mask] != path[:-1, mask]).any()

    def loss(net, x, y):  # the same, by another way: masked in the forward pass
        return cross_entropy(jax.tree.map(jnp.multiply, net, pruned), x, y)

    (other,) = trained(nets[:1], Protocol(loss))
    np.testing.assert_allclose(masked.losses, other.losses, rtol=1e-5)


def _evaluate_normed(model, held):
    return {"accuracy": accuracy(model, *held), "mean": model.running.mean[0]}


def _decaying(rate):
    return optax.adamw(rate, weight_decay=0.5)


def _with_momentum(rate):
    return optax.sgd(rate, momentum=0.9)


NORMED = norms_layout.PROTOCOL._replace(
    optimiser=train.adam, evaluate=_evaluate_normed, evaluate_after=(0, 3, 10), keep=jax.tree.leaves
)
NORMED_ORDER = contiguous(norms_layout.EXAMPLES, norms_layout.BATCH, 10)


def with_batch_norm(count):
    return [norms_layout.load(norms_layout.weights(f"network {i}")) for i in range(count)]


def trained_with_batch_norm(models, protocol=NORMED, order: Any = NORMED_ORDER, **more):
    x, y = norms_layout.examples()
    held = (jnp.asarray(x), jnp.asarray(y))
    return train_many(models, x, y, order, protocol, learning_rate=0.05, held=held, **more)


def follows_the_batches(found):
    """Whether each point of the path has the running statistics that the batch before it left."""
    x, _ = norms_layout.examples()
    weight, bias, *_, mean, variance = found.kept
    for t, taken in enumerate(NORMED_ORDER):
        hidden = weight[t].astype(np.float64) @ x[taken].T + bias[t][:, None]
        np.testing.assert_allclose(mean[t + 1], 0.9 * mean[t] + 0.1 * hidden.mean(1), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(variance[t + 1], 0.9 * variance[t] + 0.1 * hidden.var(1, ddof=1), rtol=1e-5)
    np.testing.assert_array_equal(found.net.running.mean, mean[-1])
    return np.abs(mean[-1]).max() > 0.1


def test_running_statistics_are_those_of_a_plain_loop():
    x, y = map(jnp.asarray, norms_layout.examples())
    # Not Adam: the bias before a norm has a gradient of rounding only, and Adam would divide it by its size.
    (found,) = trained_with_batch_norm(with_batch_norm(1), NORMED._replace(optimiser=_with_momentum))
    net, running = with_batch_norm(1)[0].net, with_batch_norm(1)[0].running
    descent = _with_momentum(0.05)
    memory = descent.init(net)  # the statistics are no parameters here

    @partial(jax.value_and_grad, has_aux=True)
    def value(net, running, x, y):
        logits, following = net.train(x, running)
        return cross_entropy(lambda _: logits, x, y), following

    value = jax.jit(value)

    for t, taken in enumerate(NORMED_ORDER):
        (loss, following), gradient = value(net, running, x[taken], y[taken])
        np.testing.assert_allclose(found.losses[t], loss, rtol=1e-5)
        change, memory = descent.update(gradient, memory, net)
        net, running = optax.apply_updates(net, change), following
        for path, leaf in zip(found.kept, jax.tree.leaves((net, running)), strict=True):
            np.testing.assert_allclose(path[t + 1], leaf, rtol=1e-4, atol=1e-5)
    assert follows_the_batches(found)
    model = jax.tree.map(jnp.asarray, found.net)
    assert found.evaluated["accuracy"][-1] == pytest.approx(float(accuracy(model, x, y)))
    np.testing.assert_array_equal(found.evaluated["mean"], found.kept[-2][[0, 3, 10], 0])


def test_running_statistics_have_the_same_bits_in_any_company_and_when_resumed():
    together = trained_with_batch_norm(with_batch_norm(3))
    assert len(set(digests(together))) == 3
    assert digests(trained_with_batch_norm(with_batch_norm(1))) == digests(together[:1])
    assert digests(trained_with_batch_norm(with_batch_norm(3)[::-1])) == digests(together)[::-1]
    plain = NORMED._replace(evaluate_after=())
    first = trained_with_batch_norm(with_batch_norm(2), plain, NORMED_ORDER[:4])
    memories = [one.memory for one in first]
    second = trained_with_batch_norm([one.net for one in first], plain, NORMED_ORDER[4:], memories=memories)
    for whole, a, b in zip(together, first, second, strict=False):
        np.testing.assert_array_equal(np.concatenate([a.losses, b.losses]), whole.losses)
        for x, y in zip(jax.tree.leaves((b.net, b.memory)), jax.tree.leaves((whole.net, whole.memory)), strict=True):
            np.testing.assert_array_equal(x, y)


def test_weight_decay_does_not_reach_running_statistics():
    decayed, plain = (
        trained_with_batch_norm(with_batch_norm(1), NORMED._replace(optimiser=optimiser))[0]
        for optimiser in (_decaying, train.adam)
    )
    assert follows_the_batches(decayed)
    assert np.abs(decayed.net.net.before.weight).sum() < 0.95 * np.abs(plain.net.net.before.weight).sum()


def test_what_comes_after_an_update_cannot_move_what_a_mask_holds():
    (model,) = with_batch_norm(1)
    random = np.random.default_rng(0)
    pruned = jax.tree.map(lambda leaf: jnp.asarray(random.random(leaf.shape) < 0.5, leaf.dtype), model.net)
    mask = type(model)(pruned, jax.tree.map(jnp.ones_like, model.running))
    (found,) = trained_with_batch_norm([model], masks=[mask])
    assert follows_the_batches(found)
    lifted = NORMED._replace(after=lambda model, _: jax.tree.map(lambda leaf: leaf + 1, model))
    (other,) = trained_with_batch_norm([model], lifted, masks=[mask])
    for one in (found, other):
        for kept, path in zip(jax.tree.leaves(pruned), one.kept, strict=False):
            kept = np.asarray(kept, bool)
            assert (path[:, ~kept] == 0).all() and (path[1:, kept] != path[:-1, kept]).any()
    assert (other.kept[0][1][np.asarray(jax.tree.leaves(pruned)[0], bool)] > 0.5).all()  # and it did come after


def test_a_network_that_comes_after_as_it_was_changes_no_bit(five):
    same = FULL._replace(loss=lambda net, x, y: (cross_entropy(net, x, y), None), after=lambda net, _: net)
    assert digests(trained(networks(2), same)) == digests(five[:2])


def test_own_rates_and_own_orders_and_unequal_shapes(five):
    wide = networks(2, (4, 7, 3))
    nets = [networks(2)[0], wide[0], networks(2)[1], wide[1]]
    finished = []
    mixed = trained(nets, rate=[1e-2, 3e-2, 1e-2, 1e-3], progress=finished.append)
    assert [digest(mixed[0]), digest(mixed[2])] == digests(five[:2])
    assert [one.net.layers[0].weight.shape[0] for one in mixed] == [6, 7, 6, 7]
    assert sum(finished) == 4
    assert digests(trained(wide[:1], rate=3e-2)) == [digest(mixed[1])]
    assert digests(trained(wide[1:], rate=1e-3)) == [digest(mixed[3])]
    orders = [ORDER, shuffled(30, 5, STEPS, 1), ORDER[:5]]
    own = trained(networks(3), PLAIN, orders)
    assert [len(one.losses) for one in own] == [STEPS, STEPS, 5]
    np.testing.assert_array_equal(own[0].losses, five[0].losses)
    assert not np.array_equal(own[1].losses, five[1].losses)
    np.testing.assert_array_equal(own[2].losses, five[2].losses[:5])


def test_a_diverging_member_is_found_and_disturbs_nobody(five):
    mixed = trained(networks(5), rate=[1e-2, 1e-2, 1e38, 1e-2, 1e-2])
    assert [diverged(one) for one in mixed[:2] + mixed[3:]] == [None] * 4
    step = diverged(mixed[2])
    assert step is not None and 0 < step < STEPS
    assert np.isfinite(mixed[2].losses[:step]).all() and not np.isfinite(mixed[2].losses[step])
    assert digests(mixed[:2] + mixed[3:]) == digests(five[:2] + five[3:])


def test_no_steps_at_all():
    start = networks(1)
    (none,) = trained(start, FULL._replace(evaluate_after=(0,)), ORDER[:0])
    np.testing.assert_array_equal(none.net.layers[0].weight, start[0].layers[0].weight)
    assert none.losses.shape == (0,) and len(none.kept[0]) == 1 and none.evaluated["accuracy"].shape == (1,)


def test_the_way_of_a_gpu_agrees(five, monkeypatch):
    lift = train._lift
    monkeypatch.setattr(train, "_lift", lambda platform: lift("gpu"))
    # A loss of its own, so that the program is compiled anew.
    vectorised = trained(networks(3), FULL._replace(loss=lambda net, x, y: cross_entropy(net, x, y)))
    for a, b in zip(vectorised, five[:3], strict=True):
        for x, y in zip(jax.tree.leaves((a.losses, a.kept)), jax.tree.leaves((b.losses, b.kept)), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)


def test_pytorchs_golden_curve():
    x, y = examples()
    order = contiguous(EXAMPLES, BATCH, 200)
    net = load("mnist1d-linear", weights("mnist1d-linear"))
    (found,) = train_many([net], x, y, order, PLAIN, learning_rate=RATE)
    with np.load(GOLDEN) as golden:
        np.testing.assert_allclose(found.losses[:10], golden["mnist1d-linear/losses32"], rtol=1e-6)
        np.testing.assert_allclose(found.losses, golden["mnist1d-linear/losses64"], rtol=1e-5)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 40), st.data())
def test_orders_of_batches(examples, data):
    batch = data.draw(st.integers(1, examples))
    steps, seed = data.draw(st.integers(0, 60)), data.draw(st.integers(0, 9))
    per_epoch = examples // batch
    order = shuffled(examples, batch, steps, seed)
    assert order.shape == (steps, batch) and order.dtype == np.int32
    np.testing.assert_array_equal(order, shuffled(examples, batch, steps + per_epoch + 1, seed)[:steps])
    for epoch in np.array_split(order, range(per_epoch, steps, per_epoch)):
        assert len(np.unique(epoch)) == epoch.size
        assert not epoch.size or 0 <= epoch.min() <= epoch.max() < examples
    if steps >= per_epoch and examples % batch == 0:
        np.testing.assert_array_equal(np.sort(order[:per_epoch].ravel()), np.arange(examples))
    round_and_round = contiguous(examples, batch, steps)
    assert round_and_round.shape == (steps, batch) and round_and_round.dtype == np.int32
    for t, taken in enumerate(round_and_round):
        np.testing.assert_array_equal(taken, np.arange(batch) + t % per_epoch * batch)
    np.testing.assert_array_equal(contiguous(examples, batch, max(0, steps - 3), 3), round_and_round[3:])


def test_seeds_and_epochs_shuffle_anew():
    order = shuffled(100, 50, 4, 0)
    assert not np.array_equal(order[:2], order[2:])
    assert not np.array_equal(order, shuffled(100, 50, 4, 1))


@pytest.mark.parametrize("orders", [contiguous, partial(shuffled, seed=0)])
def test_orders_that_are_none(orders):
    for batch in (0, 11):
        with pytest.raises(ValueError, match=f"a batch of {batch} cannot be taken from 10 examples; choose 1 to 10"):
            orders(10, batch, 3)
    with pytest.raises(ValueError, match="-1 steps is less than none; choose 0 or more"):
        orders(10, 2, -1)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"nets": []}, "no networks were given; train_many needs at least one"),
        ({"y": Y[:-1]}, "30 inputs and 29 targets were given; both must be equally many, at least one"),
        ({"x": X[:0], "y": Y[:0]}, "0 inputs and 0 targets were given"),
        ({"x": np.full_like(X, np.nan)}, r"the inputs hold values that are not finite \(NaN or infinity\); clean"),
        ({"order": [ORDER] * 3}, "2 networks were given, but 3 orders; give one a network"),
        ({"masks": [None]}, "2 networks were given, but 1 masks; give one a network"),
        ({"memories": [None]}, "2 networks were given, but 1 memories; give one a network"),
        ({"learning_rate": [0.1, 0.1, 0.1]}, "2 networks were given, but 3 learning rates; give one a network"),
        ({"learning_rate": [0.1]}, "2 networks were given, but 1 learning rates; give one a network"),
        ({"order": ORDER.astype(float)}, r"must be whole numbers \(step, batch\); got float64 \(8, 5\)"),
        ({"order": [ORDER[0], ORDER[1]]}, r"must be whole numbers \(step, batch\); got int32 \(5,\)"),
        ({"order": ORDER + 6}, "batches name examples 6 to 35, but there are 0 to 29"),
        ({"order": ORDER - 1}, "batches name examples -1 to 28, but there are 0 to 29"),
        ({"learning_rate": 0.0}, r"learning rates \[0.0, 0.0\] must be finite and above 0"),
        ({"learning_rate": [0.1, float("nan")]}, r"learning rates \[0.1, nan\] must be finite and above 0"),
        ({"protocol": FULL._replace(evaluate_after=(3, 0))}, r"evaluate_after \(3, 0\) must rise from 0 or more"),
        ({"protocol": FULL._replace(evaluate_after=(3, 9))}, r"evaluate_after \(3, 9\) must .* to at most 8 updates"),
    ],
)
def test_errors_name_what_was_given_and_what_is_allowed(change, match):
    given = {"nets": networks(2), "x": X, "y": Y, "order": ORDER, "protocol": PLAIN, "learning_rate": 0.1} | change
    unchecked = inspect.unwrap(train_many)  # what a user calls: without the tests' own check of the types
    with pytest.raises(ValueError, match=match):
        unchecked(**given)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist1d-linear", "mnist1d-mlp", "mnist1d-cnn", "mnist1d-gru"])
def test_a_benchmark_network_has_the_same_bits_in_any_company(name):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(300, 40)).astype(np.float32), random.integers(0, 10, 300).astype(np.int32)
    nets = [parse(name).init(jax.random.key(seed)) for seed in range(3)]
    order, protocol = contiguous(300, 100, 30), Protocol(cross_entropy)
    together = train_many(nets, x, y, order, protocol, learning_rate=1e-2)
    for chosen in ([2], [2, 0], [1, 2, 0, 1]):
        others = train_many([nets[i] for i in chosen], x, y, order, protocol, learning_rate=1e-2)
        for i, found in zip(chosen, others, strict=True):
            for ours, theirs in zip(jax.tree.leaves(together[i]), jax.tree.leaves(found), strict=True):
                if isinstance(ours, np.ndarray):
                    assert ours.tobytes() == np.asarray(theirs).tobytes()

"""Names of activations, and how they are read and handed around; their values are compared in test_golden.py."""

import importlib.util
import pickle
import re
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flyroom.nets import activations
from flyroom.nets._named import reading
from flyroom.nets.activations import ACTIVATIONS, activation, gelu, leaky_relu
from flyroom.nets.mlp import MLP
from flyroom.nets.prelu import PReLU

PLAIN = {
    "elu": jax.nn.elu,
    "erf": jax.lax.erf,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "hard_tanh": lambda x: jnp.clip(x, -1, 1),
    "identity": lambda x: x,
    "leaky_relu": lambda x: jnp.where(x >= 0, x, 0.01 * x),
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "sin": jnp.sin,
    "softplus": jax.nn.softplus,
    "square": lambda x: x * x,
    "swish": jax.nn.silu,
    "tanh": jnp.tanh,
}


def test_names_and_near_matches():
    assert all(activation(name) is function for name, function in ACTIVATIONS.items())
    with pytest.raises(ValueError, match="there is no activation 'rellu'; did you mean relu"):
        activation("rellu")
    with pytest.raises(ValueError, match=r"did you mean elu or erf or gelu or hard_tanh or .* or tanh"):
        activation("@")


def test_gelu_is_the_exact_one():
    x = jnp.linspace(-4, 4, 81)
    assert abs(gelu(x) - jax.nn.gelu(x, approximate=True)).max() > 1e-4


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_having_a_name_costs_nothing(name):
    """The same program as without, and the same bits."""
    x = jnp.linspace(-5, 5, 101)
    named, plain = (str(jax.make_jaxpr(function)(x)) for function in (ACTIVATIONS[name], PLAIN[name]))
    assert re.sub("0x[0-9a-f]+", "", named) == re.sub("0x[0-9a-f]+", "", plain)
    both = jax.jit(lambda f, x: (f(x), jax.grad(lambda x: f(x).sum())(x)), static_argnums=0)
    for ours, theirs in zip(both(ACTIVATIONS[name], x), both(PLAIN[name], x), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_while_a_network_is_read_an_activation_is_one_step(name):
    with reading(True):
        steps = jax.make_jaxpr(ACTIVATIONS[name])(jnp.ones((3, 2))).eqns
    (step,) = steps
    attributes = dict(step.params["attributes"])
    assert step.params["kind"] == "activation" and ACTIVATIONS[attributes["name"]] is ACTIVATIONS[name]
    assert set(attributes) == ({"name", "slope"} if name == "leaky_relu" else {"name"})


def test_a_parametric_relu_is_one_step_with_its_slopes():
    net = PReLU.init(3)
    with reading(True):
        (step,) = jax.make_jaxpr(net)(jnp.ones((3, 4, 2))).eqns
    assert step.params["kind"] == "prelu" and step.params["names"] == ("slope",)


def test_the_slope_of_a_leaky_relu():
    np.testing.assert_allclose(leaky_relu(jnp.asarray([-2.0, 0.0, 3.0]), slope=0.2), [-0.4, 0, 3], rtol=1e-6)
    with reading(True):
        (step,) = jax.make_jaxpr(lambda x: leaky_relu(x, slope=0.2))(jnp.ones(3)).eqns
    assert dict(step.params["attributes"]) == {"name": "leaky_relu", "slope": 0.2}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_network_travels_with_its_activation(name):
    """To another process: functions go by name, so that what arrives is the very same activation."""
    assert pickle.loads(pickle.dumps(ACTIVATIONS[name])) is ACTIVATIONS[name]
    net = MLP.init(jax.random.key(0), (2, 3, 1), ACTIVATIONS[name])
    again = MLP.init(jax.random.key(0), (2, 3, 1), activation(name))
    assert jax.tree.structure(net) == jax.tree.structure(again)  # the key of every compiled program


def test_networks_use_these_activations_unless_told_otherwise():
    assert MLP.init(jax.random.key(0), (2, 3, 1)).activation is activations.relu


# The picture of docs/parts/activations.md. ---------------------------------------------------------------------------

DOCS = Path(__file__).parents[2] / "docs"


def pictures():
    spec = importlib.util.spec_from_file_location("docs_pictures", DOCS / "pictures.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_activation_is_drawn_with_its_derivative():
    module = pictures()
    assert {name for name, _ in module.PANELS.values()} == set(ACTIVATIONS) - {"swish"}
    for panel, (name, slope) in module.PANELS.items():
        function = ACTIVATIONS[name] if slope is None else partial(leaky_relu, slope=slope)
        rows = module.rows(panel)
        # On a joint a derivative is drawn on either side, and neither is what is asked for here.
        inside = [row for row in rows if row["x"] not in (-1, 0, 1)]
        assert len(inside) > 100 and {row["curve"] for row in rows} == {module.FUNCTION, module.DERIVATIVE}
        for what, drawn in ((module.FUNCTION, function), (module.DERIVATIVE, jax.vmap(jax.grad(function)))):
            x, y = np.array([(row["x"], row["y"]) for row in inside if row["curve"] == what]).T
            np.testing.assert_allclose(y, jax.jit(drawn)(jnp.asarray(x, jnp.float32)), atol=2e-4)


def test_the_picture_in_the_docs_is_the_scripts(tmp_path):
    module = pictures()
    (tmp_path / "docs").mkdir()
    assert module.main(tmp_path) == 0
    fresh, kept = ((root / "docs" / "activations.svg").read_text("utf-8") for root in (tmp_path, DOCS.parent))
    assert all(f">{panel}<" in kept for panel in module.PANELS)
    # The curves, digit for digit; where words stand depends on the machine's fonts.
    curves, expected = (re.findall(r' d="(M[^"]*)"[^>]* stroke-width="2"', one) for one in (kept, fresh))
    assert curves == expected and len(curves) > 2 * len(module.PANELS)

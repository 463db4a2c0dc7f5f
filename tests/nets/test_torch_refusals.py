"""What cannot be converted from PyTorch is refused by name and place, and a wrong conversion would be seen."""

import copy
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flyroom.nets.torch import TOLERANCE, Unconverted, _export, convert

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional

from torch_modules import As, Recurrent, drawn  # noqa: E402


def changed_through_a_view(m, x):
    hidden = torch.sin(x)
    hidden.flatten(1).relu_()
    return hidden + 1


def assigned(m, x):
    hidden = torch.sin(x)
    hidden[:, 0] = 0
    return hidden


def copied_into(m, x):
    hidden = torch.sin(x)
    hidden[:, 0] = x[:, 1]
    return hidden


def without_gradient(m, x):
    with torch.no_grad():
        return torch.sin(x)


def with_a_first_state(m, x):
    return m.gru(x, m.first.expand(1, len(x), 4).contiguous())[0]


gru = nn.GRU(3, 4, batch_first=True)
whole, parts = "one axis of it must be the batch itself", "axis 0 is the batch, and examples of a batch must not be"

OPERATIONS = {
    "an unknown operation": (
        nn.Sequential(nn.Linear(3, 3), nn.Hardswish()),
        (3,),
        r"^1 \(Hardswish\): aten\.hardswish\.default: it cannot be converted; convolutions, dense",
    ),
    "LSTM": (Recurrent(nn.LSTM(3, 4, batch_first=True)), (5, 3), r"layer \(LSTM\).*nn\.RNN and nn\.GRU can be"),
    "two layers": (Recurrent(nn.GRU(3, 4, 2, batch_first=True)), (5, 3), r"layer \(GRU\).*gru\.input: 2 layers in"),
    "the batch as positions": (
        As(lambda m, x: m.gru(x)[0], gru=nn.GRU(3, 4)),
        (5, 3),
        r"gru \(GRU\).*with batch_first=False it takes \(position, batch, feature\), but the batch is axis 0 of 3",
    ),
    "a first state": (As(with_a_first_state, gru=gru, first=torch.ones(1, 1, 4)), (5, 3), "first state is not zero"),
    "attention": (As(lambda m, x: F.scaled_dot_product_attention(x, x, x)), (4, 3), "attention has no step"),
    "two values": (As(lambda m, x: x @ x.transpose(1, 2)), (4, 3), r"matmul.*both depend on the input"),
    "tanh GELU": (nn.GELU("tanh"), (3,), r"GELU.*gelu\.default: approximate = 'tanh'; only 'none'"),
    "ReLU6": (nn.ReLU6(), (3,), r"between 0(\.0)? and 6(\.0)?; between -1 and 1 it is hard_tanh"),
    "clamp": (As(lambda m, x: x.clamp(-2, 2)), (3,), "between -2 and 2; -1 and 1 is hard_tanh"),
    "ELU of another alpha": (nn.ELU(2.0), (3,), r"elu\.default: alpha = 2\.0; only 1"),
    "softplus of another beta": (nn.Softplus(2.0), (3,), r"softplus\.default: beta = 2\.0; only 1"),
    "power": (As(lambda m, x: x**3), (3,), "the power 3 has no step"),
    "L3 pooling": (nn.LPPool1d(3, 2), (3, 8), r"LPPool1d.*the power 3\.0 has no step"),
    "dilated pooling": (nn.MaxPool1d(2, dilation=2), (3, 8), r"dilation \[2\]: the windows of a pooling"),
    "mean beyond the input": (nn.AvgPool1d(2, ceil_mode=True), (3, 7), "ceil_mode, where it adds a window"),
    "maximum beyond the input": (
        nn.MaxPool1d(3, stride=3, ceil_mode=True),
        (3, 7),
        "ceil_mode with a window of 3 that is to reach 2 places beyond",
    ),
    "divisor": (nn.AvgPool2d(2, divisor_override=3), (3, 8, 8), "divisor_override: a mean here is divided"),
    "unequal windows": (nn.AdaptiveAvgPool1d(3), (3, 7), r"from \(7,\) places to \(3,\), with windows of unequal size"),
    "maximum to two": (nn.AdaptiveMaxPool1d(2), (3, 8), "windows of unequal size"),
    "transposed convolution": (nn.ConvTranspose1d(3, 2, 3), (3, 8), "transposed convolutions have no step"),
    "volumes": (nn.Conv3d(3, 2, 3), (3, 4, 4, 4), "volumes cannot"),
    "log softmax": (nn.LogSoftmax(1), (3,), "log_softmax.*leave it out: losses here take logits"),
    "rounding": (As(lambda m, x: torch.div(x, 2, rounding_mode="floor")), (3,), "a quotient that is rounded"),
    "padding with ones": (As(lambda m, x: F.pad(x, (1, 1), value=1.0)), (3,), "a padding with 1"),
    "padding that cuts": (As(lambda m, x: F.pad(x, (-1, 1))), (3,), "which cuts off; slice instead"),
    "places in order": (As(lambda m, x: x.gather(1, x.argsort(1))), (3,), "argsort.*it cannot be converted"),
    "places along two axes": (As(lambda m, x: x[:, [0, 1], [1, 0]]), (2, 3), "places along several axes"),
    "table of places": (As(lambda m, x: x[:, torch.eye(2).long()]), (3,), r"an index of shape \(2, 2\)"),
    "another type": (As(lambda m, x: x.float()), (3,), "changes the type of numbers to torch.float32"),
    "changed through a view": (As(changed_through_a_view), (2, 3), r"relu_.*is used afterwards through another view"),
    "assignment": (As(assigned), (3,), r"fill_.*a part of a tensor is assigned to"),
    "copy": (As(copied_into), (3,), r"copy_.*a part of a tensor is assigned to"),
    "no_grad": (As(without_gradient), (3,), r"take torch\.no_grad\(\) out of forward"),
    "a branch on values": (As(lambda m, x: x if x.sum() > 0 else -x), (3,), "torch.export cannot follow As"),
    "not finite": (As(lambda m, x: x / 0), (3,), "not finite"),
}
BATCHES = {
    "a reshape that takes it apart": (As(lambda m, x: x.reshape(-1, 2)), (4,), r"shape \(2\*batch, 2\), and " + whole),
    "a reshape across it": (
        As(lambda m, x: x.transpose(0, 1).reshape(len(x), 6)),
        (2, 3),
        r"from \(2, batch, 3\) to \(batch, 6\): it mixes the batch with the axes of an example",
    ),
    "its mean": (As(lambda m, x: x - x.mean(0)), (3,), r"mean\.dim: " + parts),
    "a mean over everything": (As(lambda m, x: x - x.mean()), (3,), r"mean\.default: " + parts),
    "a softmax over it": (nn.Softmax(0), (3,), parts),
    "turned round": (As(lambda m, x: x.flip(0)), (3,), parts),
    "a part of it": (As(lambda m, x: x[1:]), (3,), r"shape \(batch - 1, 3\), and " + whole),
    "every other example": (As(lambda m, x: x[::2]), (3,), whole),
    "one example": (As(lambda m, x: x[0]), (3,), parts),
    "twice": (As(lambda m, x: torch.cat([x, x])), (3,), r"shape \(2\*batch, 3\), and " + whole),
    "a convolution over it": (
        As(lambda m, x: F.conv1d(x.T, m.w).T, w=drawn(3, 3, 1)),
        (3,),
        "the batch is axis 1 of its input",
    ),
    "channels in its place": (
        As(lambda m, x: F.relu(m.c(x.transpose(0, 1))), c=nn.Conv1d(2, 3, 1)),
        (3, 4),
        r"torch\.export cannot follow As for a batch of any size: Given groups=1, weight of size \[3, 2, 1\]",
    ),
    "a pooling beside it": (
        As(lambda m, x: F.max_pool1d(x, 2)),
        (4,),
        r"its input has the shape \(batch, 4\); with the",
    ),
    "features in its place": (
        As(lambda m, x: F.linear(x.T, m.w), w=drawn(2, 2)),
        (3,),
        "torch.export cannot follow As",
    ),
    "as the last axis": (As(lambda m, x: x.T * 2), (3,), "returns its batch as axis 1"),
    "an axis of padding": (As(lambda m, x: F.pad(x, (0, 0, 1, 0))), (3,), r"\(batch \+ 1, 3\)|padding of the batch"),
    "a branch by its size": (As(lambda m, x: x + 1 if len(x) == 2 else x * 2), (3,), "differ from the module's by"),
    "with its statistics": (nn.BatchNorm1d(3, track_running_stats=False), (3,), "it normalises by the batch"),
}
OUTPUTS = {
    "two": (As(lambda m, x: (x, x)), (3,), "returns tuple, and one tensor can be converted"),
    "maxima and their places": (nn.MaxPool1d(2, return_indices=True), (3, 8), "returns tuple, and one tensor"),
    "places of maxima": (As(lambda m, x: x.max(1).indices), (3,), "returns the places of the maxima"),
    "without the input": (As(lambda m, x: torch.ones(len(x), 2)), (3,), "does not depend on its input"),
    "fixed": (As(lambda m, x: m.w, w=drawn(2, 2)), (3,), "does not depend on its input"),
}


@pytest.mark.parametrize(
    ("module", "shape", "sentence"),
    [
        pytest.param(*case, id=f"{what}: {name}")
        for what, cases in (("operation", OPERATIONS), ("batch", BATCHES), ("output", OUTPUTS))
        for name, case in cases.items()
    ],
)
def test_what_has_no_step_is_refused_by_name_and_place(module, shape, sentence):
    with pytest.raises(Unconverted, match=sentence):
        convert(module.eval().double(), drawn(2, *shape))


class Unsupported(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])

    def forward(self, x):
        for block in self.blocks:
            x = F.mish(block(x))  # the line that is named
        return x


def test_the_line_of_an_operation_is_named():
    line = Path(__file__).read_text("utf-8").split("# the line that is named")[0].count("\n") + 1
    with pytest.raises(Unconverted) as refused:
        convert(nn.Sequential(nn.Identity(), Unsupported()).eval(), drawn(2, 3))
    said = str(refused.value)
    assert said.startswith(f"1 (Unsupported), {__file__} line {line}: x = F.mish(block(x))")
    assert ": aten.mish.default: it cannot be converted; " in said


EVAL = r"; call module\.eval\(\) before converting$"
NORMALISES, RANDOM = "in which it normalises by the batch" + EVAL, "in which it has a random output" + EVAL
TRAIN = {
    "batch norm": (
        nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)),
        (3,),
        r"^1 \(BatchNorm1d\) is in train mode, " + NORMALISES,
    ),
    "batch norm alone": (nn.BatchNorm2d(3), (3, 4, 4), "^BatchNorm2d is in train mode, " + NORMALISES),
    "dropout": (nn.Sequential(nn.Tanh(), nn.Dropout()), (3,), r"^1 \(Dropout\) is in train mode, " + RANDOM),
    "instance norm": (nn.InstanceNorm1d(3, track_running_stats=True), (3, 4), "^InstanceNorm1d is in train mode"),
    "random slopes": (nn.RReLU(), (3,), "^RReLU is in train mode, " + RANDOM),
    "recurrent": (
        Recurrent(nn.GRU(3, 4, 2, batch_first=True, dropout=0.5)),
        (5, 3),
        r"^layer \(GRU\) is in train mode, in which it drops states at random" + EVAL,
    ),
    "a function": (
        As(lambda m, x: F.dropout(x, 0.5, True)),
        (3,),
        r"aten\.dropout\.default: its output is random" + EVAL,
    ),
    "a norm by a function": (
        As(lambda m, x: F.batch_norm(x, None, None, training=True)),
        (3,),
        r"aten\.batch_norm\.default: it normalises by the batch .*" + EVAL,
    ),
    "a count": (
        As(lambda m, x: x + m.count.add_(1), {"count": torch.zeros(1)}),
        (3,),
        "running the module changes count; a network here is a function of its input: call module",
    ),
    "no weights yet": (nn.LazyLinear(2), (3,), "^LazyLinear has no weights yet; call the module on a batch once"),
}


@pytest.mark.parametrize("name", TRAIN)
def test_train_mode_is_refused(name):
    module, shape, sentence = TRAIN[name]
    module = copy.deepcopy(module)
    before = {name: (tensor, tensor.clone()) for name, tensor in module.named_buffers()}
    with pytest.raises(Unconverted, match=sentence):
        convert(module, drawn(2, *shape).float())
    for name, tensor in module.named_buffers():
        assert tensor is before[name][0] and torch.equal(tensor, before[name][1])


def test_a_buffer_that_is_set_anew_is_set_back():
    def counting(m, x):
        m.count = m.count + 1
        return x * 2

    module = As(counting, {"count": torch.zeros(1)})
    count: Any = module.count
    with pytest.raises(Unconverted, match=r"running the module changes count"):
        convert(module, drawn(2, 3))
    assert module.count is count and float(count) == 0


def test_train_mode_of_layers_that_have_none_is_no_reason():
    module = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Dropout(0.0)).train()
    assert [node.op for node in convert(module, drawn(2, 3)).nodes] == ["input", "dense", "activation"]
    assert module.training


@pytest.mark.parametrize(
    ("module", "example", "error", "sentence"),
    [
        (lambda x: x, np.ones((2, 3)), TypeError, "takes a torch.nn.Module, not function; wrap a function in a module"),
        (nn.Linear(3, 2), np.ones((2, 3), int), ValueError, "holds torch.int64; a network here takes floating point"),
        (nn.Linear(3, 2), np.ones(3), ValueError, r"has the shape \(3,\); it is a batch"),
        (nn.Linear(3, 2), np.ones((0, 3)), ValueError, "at least one example"),
        (nn.Linear(3, 2).half(), np.ones((2, 3)), ValueError, "weights are torch.float16 on cpu; float32 and float64"),
        (nn.Linear(3, 2, device="meta"), np.ones((2, 3)), ValueError, "on meta"),
        (nn.Linear(3, 2), np.ones((2, 4)), RuntimeError, "shapes cannot be multiplied"),  # PyTorch's own
    ],
)
def test_what_is_no_module_or_no_batch_is_refused(module, example, error, sentence):
    with pytest.raises(error, match=sentence):
        convert(module, example)


def test_a_wrong_conversion_is_seen_and_says_by_how_much(monkeypatch):
    wrong = {**_export.HANDLERS, "aten.tanh.default": _export.HANDLERS["aten.sigmoid.default"]}
    monkeypatch.setattr(_export, "HANDLERS", wrong)
    with pytest.raises(Unconverted, match="differ from the module's by") as seen:
        convert(nn.Tanh(), np.ones((2, 3)))
    tanh, sigmoid = np.tanh(1.0), 1 / (1 + np.exp(-1.0))
    apart = re.search(r"by ([\d.]+), which is ([\d.]+) of the largest, ([\d.]+); at most 1e-05", str(seen.value))
    assert apart is not None
    numbers = [float(number) for number in apart.groups()]
    np.testing.assert_allclose(numbers, [abs(tanh - sigmoid), abs(tanh - sigmoid) / tanh, tanh], rtol=0.01)


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_the_tolerance_is_relative_to_the_largest_output(monkeypatch, size):
    module, x = As(lambda m, x: x.abs()), size * np.asarray([[1.0], [1e-3]])
    for error in (0.5 * TOLERANCE, 2 * TOLERANCE):
        wrong = lambda call, error=error: call.add("scale", [call.value("self")], value=1 + error)  # noqa: E731
        monkeypatch.setattr(_export, "HANDLERS", {"aten.abs.default": wrong})
        if error < TOLERANCE:
            assert [node.op for node in convert(module, x).nodes] == ["input", "scale"]
        else:
            with pytest.raises(Unconverted, match="differ"):
                convert(module, x)


def test_without_pytorch_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"convert needs PyTorch.*pip install 'flyroom\[torch\]'"):
        convert(object(), np.ones((2, 3)))  # pyright: ignore[reportArgumentType]

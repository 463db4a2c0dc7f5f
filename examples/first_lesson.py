# %% [markdown]
# # First lesson: what does a network know before it has learnt anything?
#
# A lesson of one hour. Open it as a notebook (VS Code and Jupyter with Jupytext read the `# %%` cells), or run it as
# a script: `python examples/first_lesson.py`. It needs no network and no GPU, and takes under a minute.
#
# The rule of the house: **predict before you run.** A guess that turns out wrong is where something is learnt.

# %%
import flyroom.train as train  # before JAX is used, so that every core trains networks  # noqa: I001
import altair as alt
import jax
import numpy as np

from flyroom import plot, stats
from flyroom.data import mnist1d
from flyroom.losses import both_parts, cross_entropy
from flyroom.nets.spec import parameters, parse

SEEDS = range(3)
STEPS = 600

# %% [markdown]
# ## 1. A digit is built
#
# MNIST-1D is MNIST with one dimension: ten digits, drawn as curves of twelve points. Each is padded, stretched,
# scaled, moved, given noise, sheared, and read at forty places. Run the cell, then change `INDEX`.

# %%
INDEX = 3
signals = mnist1d.stream("train", seed=42)
stages = signals.build(INDEX)
points = [
    {"stage": name, "position": position, "value": float(value)}
    for name, values in stages.items()
    for position, value in enumerate(values)
]
building = (
    alt.Chart(alt.InlineData(values=points))
    .mark_line()
    .encode(x=alt.X("position:Q", title=None), y=alt.Y("value:Q", title=None))
    .properties(width=130, height=70)
    .facet(alt.Facet("stage:N", sort=list(stages), title=f"a {signals[INDEX].y}"), columns=3)
)
building  # noqa: B018 (a notebook shows it)

# %% [markdown]
# **Question.** In which step does the digit become hard to read? In which does the *position* stop telling you
# anything? (Which network would care?)

# %%
data, shuffled = mnist1d.make(), mnist1d.make(shuffle_seq=True)
print(f"{data.x_train.shape[0]} signals to learn from, {data.x_test.shape[0]} to be tested on, 10 classes")
print("shuffled: one permutation of the 40 positions, the same for every signal")

# %% [markdown]
# ## 2. Predict
#
# Four networks. The *linear* classifier weighs each position. The *MLP* mixes all positions and knows nothing of
# their order. The *CNN* looks at neighbours. The *GRU* reads from left to right and from right to left.
#
# Write your guess of the test accuracy in per cent, before you run anything further. Chance is 10.

# %%
NETS = {"linear": "mnist1d-linear", "MLP": "mnist1d-mlp", "CNN": "mnist1d-cnn", "GRU": "mnist1d-gru"}
MY_GUESS = {  # (plain, shuffled)
    "linear": (50, 50),
    "MLP": (50, 50),
    "CNN": (50, 50),
    "GRU": (50, 50),
}
for name, text in NETS.items():
    print(f"{name:7} {parameters(parse(text).init(jax.random.key(0))):6,} parameters")

# %% [markdown]
# ## 3. Train
#
# Three seeds of each, 600 updates (the published figures took 6000). All that differs between the seeds is where the
# weights begin.

# %%
protocol = train.Protocol(cross_entropy, evaluate=both_parts, evaluate_after=(0, 150, 300, 450, STEPS))


def accuracies(text, dataset):
    """Final test accuracy of one network for each seed."""
    x, y = train.examples(dataset)
    nets = [parse(text).init(jax.random.key(seed)) for seed in SEEDS]
    order = train.contiguous(len(x), 100, STEPS)
    held = train.both_parts(dataset)
    trained = train.train_many(nets, x, y, order, protocol, learning_rate=1e-2, held=held)
    return [train.accuracies(one, dataset)["test_accuracy"][-1] for one in trained]


found = {
    (name, kind): accuracies(text, dataset)
    for name, text in NETS.items()
    for kind, dataset in (("plain", data), ("shuffled", shuffled))
}

# %% [markdown]
# ## 4. Look
#
# First every seed, then the mean with its 95 % interval, then your guess.

# %%
print(f"{'':18} {'seeds':20} {'mean':>6}  {'95 % interval':16} {'your guess':>10}")
for (name, kind), values in found.items():
    low, high = stats.mean_interval(values).interval or (np.nan, np.nan)
    seeds = " ".join(f"{value:.1%}" for value in values)
    guess = MY_GUESS[name][kind == "shuffled"]
    print(f"{name:8} {kind:9} {seeds:20} {np.mean(values):6.1%}  {low:6.1%} to {high:6.1%} {guess:9} %")

# %%
dots = [
    {"net": name, "data": kind, "value": value, "seed": seed}
    for (name, kind), values in found.items()
    for seed, value in enumerate(values)
]
guesses = [
    {"net": name, "data": kind, "value": guess / 100, "plus_minus": 0.0}
    for name, both in MY_GUESS.items()
    for kind, guess in zip(("plain", "shuffled"), both, strict=True)
]
picture = plot.finals(dots, [], guesses, title="Your guess is the diamond")
alt.Chart.from_dict(picture)

# %% [markdown]
# **Question.** The MLP was given other positions and does about as well as before. Why? The CNN lost a third. What
# exactly did it lose? The weights had not been trained when the difference came into being: where was it?
#
# ## 5. What three seeds can tell
#
# The CNN is above the MLP for every seed. Is that a result?

# %%
three = stats.judge_order(found["MLP", "plain"], found["CNN", "plain"])
print(f"three seeds: {three.verdict}. {three.reason}")
pretended = stats.judge_order(found["MLP", "plain"] * 3, found["CNN", "plain"] * 3)
print(f"the same three, counted three times: {pretended.verdict}. That is cheating: nothing new was observed.")

# %% [markdown]
# With three pairs there are eight ways to choose the signs, and two of them are as extreme as what was seen: p cannot
# be below 0.25. *Undecided* does not say that there is no difference. It says that three seeds are three seeds. Two
# intervals answer two questions:

# %%
values = found["CNN", "plain"]
mean, one = stats.mean_interval(values).interval, stats.prediction_interval(values)
assert mean is not None
print(f"the mean over all seeds lies in {mean[0]:.1%} to {mean[1]:.1%}")
print(f"one further run falls into {max(0, one[0]):.1%} to {min(1, one[1]):.1%}")

# %% [markdown]
# ## Exercises
#
# 1. Set `SEEDS = range(8)`. Predict the verdict on CNN against MLP, and whether each interval becomes narrower.
# 2. `accuracies("mlp:40-15-10", data)` has about as many parameters as two linear classifiers. Is it nearer to the
#    linear classifier or to the MLP? What do you conclude about depth?
# 3. Make signals that are not moved: `mnist1d.make(max_translation=1)`. Which networks gain? Predict the order first.
# 4. Train the MLP on `mnist1d.make_indexed(40_000)`. How much of the CNN's prior is worth how much data?
# 5. Flip all test signals (`-x`). Accuracy falls below chance. Why? (Look at the templates of 0 and 6.)
# 6. `flyroom run` does this lesson with ten seeds and 6000 updates and gives a verdict. Predict it, then run it.

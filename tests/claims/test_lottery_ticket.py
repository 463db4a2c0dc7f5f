"""Lottery tickets: masks and rounds against independent arithmetic, how they are judged, a small run of everything."""

from dataclasses import replace
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flyroom import engine, machine, plot
from flyroom.claims import _lottery as lottery
from flyroom.claims import lottery_ticket as claim
from flyroom.claims.lottery_ticket import Settings
from flyroom.data import mnist1d
from flyroom.measure.sparsity import keep_largest, sparsity
from flyroom.records import Cell, Result, Run, Verdict
from flyroom.store import key, open_store

SMALL = Settings(runs=2, hidden=12, steps=6, rank_after=6, transfer_steps=4)
RECIPE = lottery.Recipe(6, 100, 0.02, (6,))  # the rounds of SMALL, so that tests share one compiled program
TRUE = {
    "dense": 0.64,
    "ticket": 0.745,
    "deep": 0.70,
    "random": 0.61,
    "dense_new": 0.64,
    "dense_redrawn": 0.64,
    "ticket_new": 0.71,
    "ticket_redrawn": 0.67,
    "ticket_flipped": 0.66,
    "ticket_shuffled": 0.62,
    "ticket_chunks": 0.62,
}
COUNTS = {"ticket_adjacent_2": 200.0, "ticket_adjacent_3": 40.0, "ticket_adjacent_4": 8.0, "random_adjacent_2": 100.0}
CHANCE = {"ticket_expected_2": 110.0, "ticket_expected_3": 12.0, "ticket_expected_4": 1.5, "random_expected_2": 100.0}
CHANCE |= {"ticket_expected_both_2": 130.0, "random_expected_both_2": 101.0}
CHANCE |= {"ticket_expected_both_3": 15.0, "ticket_expected_both_4": 2.0}
HEADLINES = {
    "ticket-above-dense",
    "ticket-above-random",
    "deep-above-dense",
    "new-data",
    "mask-alone",
    "flipped",
    "shuffled",
    "ticket-adjacent-both-2",
}


def results(changed=None, runs=10, spread=0.003, without=()) -> list[Result]:
    """Stored results as they would be, with numbers made by hand."""
    draw, made = np.random.default_rng(0), []
    for seed in range(runs):
        numbers = {**TRUE, **(changed or {})}
        values = {name: value + spread * draw.standard_normal() for name, value in numbers.items()}
        counts = {**COUNTS, **{name: value for name, value in (changed or {}).items() if "adjacent" in name}}
        values |= {name: value * (1 + 0.02 * draw.standard_normal()) for name, value in counts.items()} | CHANCE
        values |= {"ticket_share_2": 0.009 + 0.0004 * draw.standard_normal(), "diverged": 0.0}
        curves = {
            "sparsity": [0.0, 0.92, 0.95],
            "magnitude": [values["dense"], values["ticket"], values["deep"]],
            "random_sparsity": [0.92],
            "random": [values["random"]],
            "step": [0.0, 501.0],
            **{name: [0.1, value] for name, value in values.items() if name.split("_")[-1] in lottery.CONDITIONS},
        }
        kept = {name: value for name, value in values.items() if name not in without}
        if "ticket_new" in without:
            curves = {name: curve for name, curve in curves.items() if "magnitude" in name or name == "sparsity"}
        made.append(Result(Run("lottery-ticket", 1, {}, seed, {}), kept, curves))
    return made


def judged(made: list[Result]):
    judgement = claim.judge(made, Settings())
    return judgement, {one.id: one for one in judgement.statements}


# What is run


def test_the_default_run():
    (cell,) = claim.cells(Settings())
    assert [run.seed for run in cell.runs] == list(range(20))
    assert cell.ahead  # `run` begins with `train_many`
    assert all(run.settings == {} and run.data["seed"] == 42 for run in cell.runs)
    for number in ("64 +- 2", "74.5 +- 2", "61 +- 2.5", "70 +- 2", "71 +- 2", "67 +- 2", "63.5 +- 2", "2 +- 3"):
        assert number in claim.ABOUT.prediction


def test_a_key_holds_what_decides_the_numbers_and_nothing_else():
    def keys(settings):
        return {key(run) for cell in claim.cells(settings) for run in cell.runs}

    default = keys(Settings())
    assert keys(Settings(runs=5)) < default < keys(Settings(runs=30))
    for changed in (
        {"hidden": 100},
        {"rounds": 100},
        {"steps": 1501},
        {"rank_after": 500},
        {"random": False},
        {"transfer_steps": 0},
        {"new_data_seed": 44},
        {"all_controls": True},
    ):
        assert not keys(replace(Settings(), **changed)) & default


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"runs": 0}, "runs 0"),
        ({"steps": 0}, "steps 0"),
        ({"rounds": 20}, "choose 41 or more"),
        ({"rounds": -1}, "choose 41 or more"),
        ({"rank_after": 1002}, "cannot be ranked after 1002 of 1001"),
        ({"transfer_steps": -1}, "less than none"),
        ({"learning_rate": 0.0}, "learning_rate 0.0 must be finite and above 0"),
        ({"learning_rate": float("inf")}, "learning_rate inf must be finite"),
        ({"learning_rate": float("nan")}, "learning_rate nan must be finite"),
        ({"batch": 4001}, "^batch 4001 cannot be taken from 4000"),
        ({"transfer_batch": 4001}, "^transfer_batch 4001 cannot be taken from 4000"),
        ({"new_data_seed": -1}, "new_data_seed -1 must be from 0 to 4294967295"),
        ({"new_data_seed": 2**32}, "new_data_seed 4294967296 must be from 0"),
        ({"new_data_seed": 42}, "not 42, which makes the data that the tickets are found on"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(replace(Settings(), **wrong))


def test_the_schedules():
    short, random = claim.levels(Settings())
    assert short[0] == 0 and {0.92, 0.95} <= set(short) and set(random) <= set(short)
    spaced, everywhere = claim.levels(Settings(rounds=100))
    assert spaced == tuple(np.linspace(0, 1, 100).tolist()) and len(everywhere) == 99
    assert claim._nearest(spaced, 0.92) == spaced[91]  # the notebook's ticket
    assert claim.levels(Settings(random=False))[1] == ()


def test_quick_is_part_of_the_settings_and_never_longer():
    quick = replace(Settings(), **claim.quick(Settings()))
    faithful = replace(Settings(), **claim.faithful(Settings()))
    costs = [claim.cost(claim.cells(one)[0].runs[0]) for one in (quick, Settings(), faithful)]
    assert costs[0] < 1 < costs[1] < 120 < costs[2]
    assert claim.quick(Settings(runs=1, steps=5, rank_after=5)) | {"runs": 1, "steps": 5} == claim.quick(
        Settings(runs=1, steps=5, rank_after=5)
    )


@pytest.mark.parametrize(
    "by_hand",
    [{}, {"steps": 30}, {"steps": 500}, {"rank_after": 20}, {"rank_after": 100}, {"steps": 300, "rank_after": 200}],
)
def test_quick_fits_what_was_set_by_hand(by_hand):
    """As the command does it: what was set stays, and the short form changes the rest."""
    settings = replace(Settings(), **by_hand)
    short = replace(settings, **{name: v for name, v in claim.quick(settings).items() if name not in by_hand})
    assert claim.cells(short) and short.rank_after <= short.steps
    assert {name: getattr(short, name) for name in by_hand} == by_hand
    assert short.steps <= max(60, *by_hand.values(), 0) and short.rank_after <= max(60, by_hand.get("rank_after", 0))


def test_the_dense_network_is_trained_where_it_is_another_one():
    every = [(kind, at) for kind in ("dense", "random", "ticket") for at in lottery.CONDITIONS]
    wanted = claim._wanted(Settings())
    assert [pair for pair in every if wanted(*pair) and pair[0] != "ticket"] == [("dense", "new")]
    assert sum(wanted(*pair) for pair in every) == 5
    assert all(claim._wanted(Settings(all_controls=True))(*pair) for pair in every)


# Masks, and training under them


def test_each_layer_is_cut_by_itself_and_biases_with_its_weights():
    net = lottery.first_weights(0, 12)
    mask = lottery.mask_from(net, lottery.magnitudes(net), 0.75)
    for layer, kept in zip(lottery.layers(net), lottery.layers(mask), strict=True):
        assert (kept.weight.shape, kept.bias.shape) == (layer.weight.shape, layer.bias.shape)
        count = layer.weight.size + layer.bias.size
        assert kept.weight.sum() + kept.bias.sum() == count - int(0.75 * count)
        size = np.abs(np.concatenate([np.ravel(layer.weight), layer.bias]))
        assert size[keep_largest(size, 0.75) == 1].min() == min(
            np.abs(layer.weight)[kept.weight == 1].min(), np.abs(layer.bias)[kept.bias == 1].min(initial=np.inf)
        )


def test_random_masks_are_as_sparse_and_fresh_at_each_sparsity():
    net = lottery.first_weights(0, 30)
    one, two = (lottery.random_mask(net, level, 0) for level in (0.9, 0.92))
    assert sparsity([one.second.weight, one.second.bias]) == pytest.approx(0.9, abs=0.001)
    assert (two.second.weight > one.second.weight).any()  # not a further cut of the other
    again, other = lottery.random_mask(net, 0.9, 0), lottery.random_mask(net, 0.9, 1)
    assert (again.second.weight == one.second.weight).all() and (other.second.weight != one.second.weight).any()


def test_a_wide_network_has_the_published_number_of_parameters():
    assert sum(scores.size for scores in lottery.magnitudes(lottery.first_weights(0, 500))) == 276_010


def test_the_positions():
    legacy = np.random.RandomState(0)  # the notebook's generator
    assert tuple(legacy.permutation(40).tolist()) == lottery.SHUFFLED
    data = mnist1d.make(num_samples=10)
    x, seen = data.x_train, {at: lottery.on_positions(data, order).x_train for at, order in lottery.POSITIONS.items()}
    assert (seen["flipped"] == x[..., ::-1]).all() and (seen["new"] == x).all()
    pieces = [slice(20, 30), slice(30, 40), slice(0, 10), slice(10, 20)]
    assert (seen["chunks"] == np.concatenate([x[:, piece] for piece in pieces], axis=1)).all()


def as_the_notebook_trains(net, mask, x, y, steps, batch, rate):
    """The parameters after these steps: masks in the forward pass, and Adam moves every parameter (float64)."""
    flat = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(net)]
    keep = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(mask)]
    first, second = ([np.zeros_like(leaf) for leaf in flat] for _ in range(2))
    for t in range(steps):
        xb, yb = x[t * batch : (t + 1) * batch], y[t * batch : (t + 1) * batch]
        flat = [leaf * kept for leaf, kept in zip(flat, keep, strict=True)]
        w1, b1, w2, b2, w3, b3 = flat
        a1 = xb @ w1.T + b1
        h1 = np.maximum(a1, 0)
        a2 = h1 @ w2.T + b2
        h = h1 + np.maximum(a2, 0)
        logits = h @ w3.T + b3
        back = np.exp(logits - logits.max(1, keepdims=True))
        back /= back.sum(1, keepdims=True)
        back[np.arange(batch), yb] -= 1
        back /= batch
        dh = back @ w3
        d2 = dh * (a2 > 0)
        d1 = (dh + d2 @ w2) * (a1 > 0)
        gradients = [d1.T @ xb, d1.sum(0), d2.T @ h1, d2.sum(0), back.T @ h, back.sum(0)]
        for i, gradient in enumerate(gradients):
            first[i] = 0.9 * first[i] + 0.1 * gradient
            second[i] = 0.999 * second[i] + 0.001 * gradient**2
            mean, square = first[i] / (1 - 0.9 ** (t + 1)), second[i] / (1 - 0.999 ** (t + 1))
            flat[i] = flat[i] - rate * mean / (np.sqrt(square) + 1e-8)
    return flat


def test_masks_in_the_forward_pass_only_give_the_same_network():
    """Adam moves what is cut, and the notebook cuts it again: kept weights are those of masked gradients."""
    data = claim._data(None)
    nets = [lottery.first_weights(seed, 12) for seed in (3, 4)]
    masks = [lottery.mask_from(net, lottery.magnitudes(net), 0.6) for net in nets]
    for net, mask, ours in zip(nets, masks, lottery.trained(nets, masks, data, RECIPE), strict=True):
        moved = as_the_notebook_trains(net, mask, data.x_train, data.y_train, 6, 100, 0.02)
        for mine, theirs, kept in zip(jax.tree.leaves(ours.ranked), moved, jax.tree.leaves(mask), strict=True):
            assert mine == pytest.approx(theirs * kept, abs=2e-4)
            assert (kept == 1).all() or (theirs * (1 - kept)).any()  # it does move between the steps


def test_a_dense_network_cannot_tell_positions_apart():
    """On permuted signals it is the network of plain ones with its first layer's columns permuted: one law for both."""
    data = mnist1d.make(num_samples=100)
    net, order = lottery.first_weights(0, 12), list(lottery.SHUFFLED)
    moved = jnp.asarray(np.asarray(net.first.weight)[:, order])
    x = jnp.asarray(data.x_train, jnp.float32)
    other = replace_first(net, moved)
    assert other(x[:, jnp.asarray(order)]) == pytest.approx(np.asarray(net(x)), abs=1e-6)
    weights = np.asarray(net.first.weight)
    assert sorted(weights.ravel()) == sorted(np.asarray(moved).ravel())


def replace_first(net, weight):
    return type(net)(type(net.first)(weight, net.first.bias), net.second, net.last)


def test_rounds_rewind_and_what_is_cut_stays_cut(monkeypatch):
    seen = []
    real = lottery.trained

    def spy(nets, masks, *rest):
        seen.append((nets, masks))
        return real(nets, masks, *rest)

    monkeypatch.setattr(lottery, "trained", spy)
    (found, _) = lottery.prune_and_rewind(
        [4, 5], 12, claim._data(None), RECIPE, levels=(0.0, 0.5, 0.8), random_levels=(0.8,), rank_after=6, ticket=0.8
    )
    masks = [round_masks[0] for _, round_masks in seen[:3]]
    for before, after in pairwise(masks):
        for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
            assert (new <= old).all()
    assert all(float(np.mean(leaf)) == 1 for leaf in jax.tree.leaves(masks[0]))
    begin = lottery.first_weights(4, 12)
    for nets, _ in seen:
        assert (np.asarray(nets[0].second.weight) == np.asarray(begin.second.weight)).all()
    assert found.ticket is masks[2] and list(found.magnitude) == [0.0, 0.5, 0.8] and list(found.random) == [0.8]
    assert (found.random_mask.second.weight == seen[3][1][0].second.weight).all()
    assert found.diverged == 0


@pytest.mark.slow
def test_ranking_on_the_way_changes_nothing_but_the_ranked_weights():
    small = mnist1d.make(num_samples=1000)
    nets = [lottery.first_weights(seed, 12) for seed in (0, 1)]
    ones = [lottery.nothing_cut(net) for net in nets]
    recipe = lottery.Recipe(9, 100, 0.02, (9,))
    whole, halves = lottery.trained(nets, ones, small, recipe), lottery.trained(nets, ones, small, recipe, 5)
    short = lottery.trained(nets, ones, small, recipe._replace(steps=5, evaluate_after=(5,)))
    for at_once, parts, stopped in zip(whole, halves, short, strict=True):
        assert at_once.test_accuracy == parts.test_accuracy
        for ranked, wanted in zip(lottery.magnitudes(parts.ranked), lottery.magnitudes(stopped.ranked), strict=True):
            assert ranked == pytest.approx(wanted, abs=1e-6)
        assert not np.allclose(lottery.magnitudes(parts.ranked)[1], lottery.magnitudes(at_once.ranked)[1])


# How it is judged


def test_supported():
    judgement, statements = judged(results())
    assert {name for name, one in statements.items() if one.headline} == HEADLINES
    assert {statements[name].verdict for name in HEADLINES} == {Verdict.supported}
    assert judgement.verdict == Verdict.supported and "locally connected" in judgement.sentence
    assert "worse than it on shuffled signals" in judgement.sentence  # the headline is "below dense"
    assert "is worse than it on shuffled ones" in claim.ABOUT.sentence
    assert statements["ticket-above-dense"].value == pytest.approx(0.105, abs=0.004)
    assert statements["ticket-above-dense"].p == pytest.approx(3 * 2 / 2**10)  # exact, Holm over three
    assert statements["new-data"].p == pytest.approx(5 * 2 / 2**10)  # over five
    assert statements["shuffled"].value == pytest.approx(0.02, abs=0.004)  # dense above the ticket
    assert statements["ticket-adjacent-both-2"].value == pytest.approx(200 / 130, rel=0.02)
    assert statements["ticket-adjacent-2"].value == pytest.approx(200 / 110, rel=0.02)
    assert statements["ticket-adjacent-both-2"].unit == statements["ticket-adjacent-2"].unit == "times"
    assert statements["random-adjacent-2"].verdict == Verdict.undecided  # one time chance
    assert statements["first-weights"].value == pytest.approx(0.04, abs=0.006)
    assert statements["own-data"].value == pytest.approx(0.035, abs=0.006)
    assert statements["own-data"].published == "10.0, 4.7 %"  # 11.7 less those of new data, 1.7 and 7.0
    assert statements["published-ticket"].verdict == Verdict.compatible
    assert statements["ticket-share-2"].value == pytest.approx(0.009, abs=0.0004)
    assert statements["ticket-share-2"].verdict == Verdict.supported and not statements["ticket-share-2"].headline


def test_a_share_that_was_not_predicted_is_refuted_and_decides_nothing():
    made = [replace(one, values={**one.values, "ticket_share_2": 0.012 + 1e-5 * one.run.seed}) for one in results()]
    judgement, statements = judged(made)
    assert statements["ticket-share-2"].verdict == Verdict.refuted and judgement.verdict == Verdict.supported


def test_uneven_positions_alone_are_not_called_local():
    """More pairs than the units' counts give, and no more than those of units and positions together."""
    judgement, statements = judged(results({"ticket_adjacent_2": 130.0}))
    assert statements["ticket-adjacent-2"].verdict == Verdict.supported
    assert statements["ticket-adjacent-both-2"].verdict == Verdict.undecided
    assert judgement.verdict == Verdict.undecided


def test_runs_stored_without_the_stricter_chance_leave_the_headline_open():
    some = results()
    some[3] = replace(some[3], values={n: v for n, v in some[3].values.items() if "both" not in n})
    for made in (results(without=[name for name in CHANCE if "both" in name]), some):
        judgement, statements = judged(made)
        headline = statements["ticket-adjacent-both-2"]
        assert headline.headline and headline.sentence.endswith("(not run)") and headline.value is None
        assert statements["ticket-adjacent-2"].verdict == Verdict.supported
        assert judgement.verdict == Verdict.undecided
    assert "given how many each unit keeps" in list(claim.figure(made, judgement))[-1]


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        ({"ticket": 0.60, "random": 0.5}, "ticket-above-dense"),
        ({"random": 0.78}, "ticket-above-random"),
        ({"deep": 0.60}, "deep-above-dense"),
        ({"ticket_new": 0.60}, "new-data"),
        ({"ticket_redrawn": 0.60}, "mask-alone"),
        ({"ticket_flipped": 0.60}, "flipped"),
        ({"ticket_shuffled": 0.68}, "shuffled"),
        ({"ticket_adjacent_2": 120.0}, "ticket-adjacent-both-2"),  # above the chance of the units alone, 110
    ],
)
def test_one_refuted_headline_refutes_the_claim(changed, refuted):
    judgement, statements = judged(results(changed))
    assert judgement.verdict == Verdict.refuted
    assert [n for n in HEADLINES if statements[n].verdict == Verdict.refuted] == [refuted]
    assert statements[refuted].sentence in judgement.sentence


@pytest.mark.parametrize("name", ["flipped", "shuffled"])
def test_no_difference_is_undecided(name):
    made = []
    for i, one in enumerate(results()):
        gone = one.values["dense_new"] + 0.01 * (-1) ** i
        made.append(replace(one, values={**one.values, f"ticket_{name}": gone}))
    judgement, statements = judged(made)
    assert statements[name].verdict == Verdict.undecided and judgement.verdict == Verdict.undecided


@pytest.mark.parametrize("runs", [1, 2, 5])
def test_few_seeds_decide_nothing(runs):
    judgement, statements = judged(results(runs=runs))
    assert {statements[name].verdict for name in HEADLINES} == {Verdict.undecided}
    assert judgement.verdict == Verdict.undecided


def test_a_control_of_its_own_is_taken_where_it_was_trained():
    assert judged(results({"dense_flipped": 0.70}))[1]["flipped"].verdict == Verdict.refuted


def test_what_was_not_run_is_undecided_and_says_so():
    without = [name for name in TRUE if "_" in name or name == "random"]
    without += ["random_adjacent_2", "random_expected_2", "random_expected_both_2"]
    made = results(without=without)
    judgement, statements = judged(made)
    assert statements["ticket-above-dense"].verdict == Verdict.supported
    for name in ("ticket-above-random", "new-data", "mask-alone", "flipped", "shuffled"):
        assert statements[name].headline and statements[name].sentence.endswith("(not run)")
    assert judgement.verdict == Verdict.undecided
    assert [row[0] for row in judgement.table[1:]] == ["own data"]
    assert len(claim.figure(made, judgement)) == 3


# What is shown


def test_the_table_fits_and_has_the_published_figures():
    judgement, statements = judged(results())
    assert [row[0] for row in judgement.table[1:]] == [
        "own data",
        "new data",
        "re-drawn",
        "flipped",
        "shuffled",
        "swapped",
    ]
    assert judgement.table[1][4] == "75.6, 74.4" and judgement.table[4][4] == "62.8, 68.8"
    widths = [max(len(row[i]) for row in judgement.table) for i in range(5)]
    assert sum(widths) + 2 * 4 <= 80
    assert all(len(one.sentence) <= 50 for one in statements.values())


def test_the_table_counts_the_networks_that_diverged():
    made = results()
    made[1] = replace(made[1], values={**made[1].values, "diverged": 3.0})
    made[4] = replace(made[4], values={**made[4].values, "diverged": 1.0})
    with_them, without = judged(made)[0].table, judged(results())[0].table
    assert with_them[-1] == ("4 diverged", "", "", "", "") and with_them[:-1] == without


def run_all(settings, folder):
    with open_store(folder) as store:
        cells = claim.cells(settings)
        left = engine.pending(cells, store.missing, 2)
        account = engine.conduct(claim, settings, cells, left, store, machine.provenance("flyroom run"))
        return store.results([run for cell in cells for run in cell.runs]), account


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    return run_all(SMALL, tmp_path_factory.mktemp("store"))


def test_a_small_run_of_everything(ran):
    found, account = ran
    assert len(found) == 2 and account.judgement.verdict == Verdict.undecided
    for one in found:
        assert one.run.settings["hidden"] == 12
        assert one.curves["sparsity"] == list(claim.SHORT_ROUNDS)
        assert one.values["ticket"] == one.curves["magnitude"][5] and one.values["deep"] == one.curves["magnitude"][6]
        assert one.values["random"] == one.curves["random"][0]
        assert one.curves["step"] == [0.0, 4.0] and one.values["ticket_new"] == one.curves["ticket_new"][-1]
        assert {name for name in one.values if name in TRUE} == set(TRUE) - {"dense_redrawn", "ticket_chunks"}
        assert one.values["random_density"] == pytest.approx(0.08, abs=0.03)
        assert one.values["diverged"] == 0
        for kind in ("ticket", "random"):
            assert 0 < one.values[f"{kind}_expected_both_2"] < 3 * one.values[f"{kind}_expected_2"]
            assert f"{kind}_expected_both_4" in one.values
    assert found[0].values != found[1].values


def test_a_seed_does_not_depend_on_its_company(ran):
    """Beside another seed, and on another core; that one alone gives the same bits is `train_many`'s to keep."""
    cell = claim.cells(replace(SMALL, runs=3))[0]
    (again, _) = claim.run(Cell((cell.runs[1], cell.runs[2])), SMALL)
    assert dict(again.values) == dict(ran[0][1].values) and dict(again.curves) == dict(ran[0][1].curves)


def test_the_figures_are_valid_and_can_be_drawn(ran):
    shown = claim.figure(results(), judged(results())[0])
    assert len(shown) == 4
    assert list(shown) == list(ran[1].figures)
    for spec in ran[1].figures.values():
        assert plot.render(spec, "svg").startswith(b"<svg")
    assert "each unit and each position keeps" in list(shown)[-1]
    assert str(next(one for one in results() if one.run.seed == 0).values["ticket_adjacent_2"] / 130) in str(
        list(shown.values())[-1]
    )
    first, second, *_ = (str(spec) for spec in shown.values())
    assert "random mask" in first and "0.756" in first and "positions shuffled" in second and "0.688" in second


def test_networks_that_diverge_are_counted_and_judged(tmp_path):
    settings = replace(SMALL, learning_rate=1e38)
    found, account = run_all(settings, tmp_path)
    assert found[0].values["diverged"] > 0
    assert account.judgement.table[-1][0] == f"{sum(int(one.values['diverged']) for one in found)} diverged"
    assert account.judgement.verdict == Verdict.undecided

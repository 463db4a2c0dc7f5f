"""The index of all claims that were judged."""

from collections.abc import Sequence

from flyroom.records import Account, Evidence, Judgement, Statement, Verdict
from flyroom.report._figures import thumbnail
from flyroom.report._files import address
from flyroom.report._html import SIGNS, badge, document, duration, in_units, interval_text, part, text

LINES = 3  # headline statements on a card; the others are counted


def gallery(accounts: Sequence[Account]) -> str:
    """An index of judged claims, each linking to its page under the name that `filename` gives.

    A card shows the claim's title and sentence, its verdict with the weakest evidence among its headline statements,
    its first figure, what was found beside what was published, and what it cost. All of it is there without
    JavaScript; with it cards are filtered by verdict, searched, and walked through with the arrow keys.
    """
    main = f"""
<p class="eyebrow">Flyroom</p>
<h1>Claims put to the test</h1>
<p class="claim">{_summary(accounts)}</p>
{_controls(accounts)}
<ul class="cards">{"".join(map(_card, accounts))}</ul>"""
    code = f'<script type="module">{part("gallery.js")}</script>\n'
    return document("Flyroom: claims put to the test", main, code=code if accounts else "", wide=True)


def _counts(accounts: Sequence[Account]) -> dict[Verdict, int]:
    counts = {verdict: sum(one.judgement.verdict == verdict for one in accounts) for verdict in Verdict}
    return {verdict: count for verdict, count in counts.items() if count}


def _summary(accounts: Sequence[Account]) -> str:
    if not accounts:
        return "No claim has been judged yet: <code>flyroom run</code> judges the first."
    counts = ", ".join(f"{count} {verdict.value}" for verdict, count in _counts(accounts).items())
    runs, seconds = sum(one.judgement.runs for one in accounts), sum(one.judgement.cpu_s for one in accounts)
    claims = "1 claim" if len(accounts) == 1 else f"{len(accounts)} claims"
    return f"{claims}: {counts}. {runs:,} networks, {duration(seconds)} of processor time."


def _controls(accounts: Sequence[Account]) -> str:
    """Shown by the script, since nothing happens without it."""
    choices = [
        ("", f"All {len(accounts)}"),
        *((v.value, f"{SIGNS[v]} {n} {v.value}") for v, n in _counts(accounts).items()),
    ]
    buttons = "".join(
        f'<label><input type="radio" name="verdict" value="{value}"{"" if value else " checked"}>'
        f"<span>{text(label)}</span></label>"
        for value, label in choices
    )
    return f"""<form class="controls" role="search" hidden>
<fieldset><legend>Verdict</legend>{buttons}</fieldset>
<label class="find">Search <input type="search" name="words" autocomplete="off" spellcheck="false"></label>
<output aria-live="polite"></output>
</form>"""


def _card(account: Account) -> str:
    about, judgement = account.about, account.judgement
    link = address(about.id)
    picture = ""
    for caption, spec in list(account.figures.items())[:1]:
        picture = f'<a class="thumbnail" href="{link}" tabindex="-1" aria-hidden="true">{thumbnail(caption, spec)}</a>'
    return f"""
<li data-verdict="{judgement.verdict.value}">
<p class="judged">{badge(judgement.verdict)} {_evidence(judgement.statements)}</p>
<h2><a href="{link}">{text(about.title)}</a></h2>
<p>{text(about.sentence)}</p>
{picture}
{_found(judgement.statements)}
<p class="cost"><span>{text(about.source)}</span> <span>{judgement.runs:,} runs, {_cost(judgement)}</span></p>
</li>"""


def _cost(judgement: Judgement) -> str:
    return f"{duration(judgement.wall_s)} by the clock, {duration(judgement.cpu_s)} of processor time"


def _evidence(statements: Sequence[Statement]) -> str:
    """Evidence combines by minimum over what decides the claim."""
    found = [one.evidence for one in statements if one.headline]
    return f'<span class="evidence">evidence: {Evidence(min(found)).name}</span>' if found else ""


def _found(statements: Sequence[Statement]) -> str:
    """What was found beside what was published, of the first headline statements that have either."""
    shown = [one for one in statements if one.headline and (one.value is not None or one.published)]
    lines = "".join(
        f"<div><dt>{_sign(one.verdict)} {text(one.sentence)}</dt><dd>{_value(one)}</dd></div>" for one in shown[:LINES]
    )
    more = len([one for one in statements if one.headline]) - len(shown[:LINES])
    counted = f'<p class="more">and {more} more headline statement{"" if more == 1 else "s"}</p>' if more else ""
    return (f'<dl class="found">{lines}</dl>' if lines else "") + counted


def _sign(verdict: Verdict) -> str:
    return f'<span class="sign {verdict.value}" role="img" aria-label="{verdict.value}">{SIGNS[verdict]}</span>'


def _value(one: Statement) -> str:
    ours = "" if one.value is None else f"<b>{in_units(one.value, one.unit)}</b>"
    if one.value is not None and one.interval:
        ours += f' <span class="interval">({interval_text(one.interval, one.unit)})</span>'
    theirs = f' <span class="published">published: {text(one.published)}</span>' if one.published else ""
    return f"{ours or 'not measured'}{theirs}"

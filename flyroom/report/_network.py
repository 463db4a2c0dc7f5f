"""The page of one network: its layers, and what a unit of each sees."""

from collections.abc import Mapping, Sequence

from flyroom.records import Json
from flyroom.report._figures import figure, scripts
from flyroom.report._html import document, facts_list, part, section, table, text


def network(name: str, facts: Mapping[str, str], layers: Sequence[Sequence[str]], fields: Json) -> str:
    """A self-contained page; `layers` is a table with its head first, `fields` the figure of receptive fields."""
    picture = figure("fields", "The middle unit of each layer, on the input", fields) if fields else ""
    main = f"""
<p class="eyebrow">Network</p>
<h1>{text(name)}</h1>
{facts_list(facts)}
{section("What one unit sees", picture)}
{section("Layers", table(layers[0], layers[1:]))}"""
    code = (scripts() if fields else "") + f'<script type="module">{part("page.js")}</script>\n'
    return document(name, main, code=code, expressions=bool(fields), wide=True)

"""The page of a path's images: a walk along it, the ladder of bounds, lengths and pictures layer by layer."""

from collections.abc import Mapping, Sequence

from flyroom.records import Json
from flyroom.report._figures import figure, scripts
from flyroom.report._html import document, facts_list, part, section, table, text

# The slider stands above its figure, where the eye is.
STYLE = """<style>
.drawn .live.vega-embed { display: flex; flex-direction: column; align-items: flex-start; padding: 0; }
.vega-bindings { order: -1; display: flex; flex-wrap: wrap; gap: 0.4rem 1.75rem; padding: 0.5rem 0.4rem 0.9rem; }
.vega-bind { display: flex; align-items: center; gap: 0.5rem; font: 0.9rem/1.3 var(--sans); }
.vega-bind label { display: flex; align-items: center; gap: 0.5rem; }
.vega-bind input[type="range"] { width: min(60vw, 24rem); accent-color: var(--link); }
.vega-bind select { font: inherit; color: var(--ink); background: var(--card); border: 1px solid var(--line);
  border-radius: 6px; padding: 0.3em 0.5em; }
</style>"""


def trajectory(
    name: str,
    facts: Mapping[str, str],
    figures: Mapping[str, tuple[str, Mapping[str, Json]]],
    tables: Mapping[str, Sequence[Sequence[str]]],
    latex: str = "",
) -> str:
    """A self-contained page; `figures` are captions and specifications, and `tables` (head first) are rows of text.

    There may be the figures "walk", "ladder" and "layers", and the tables "ladder" and "layers"; what is not given has
    no place on the page. `latex` can be opened at the end.
    """
    drawn = {key: figure(key, *both) for key, both in figures.items()}
    told = {key: table(rows[0], rows[1:]) for key, rows in tables.items()}
    source = f"<details><summary>Open the LaTeX</summary><pre><code>{text(latex)}</code></pre></details>"
    main = f"""{STYLE}
<p class="eyebrow">Length of the images of a path</p>
<h1>{text(name)}</h1>
{facts_list(facts)}
{section("A walk along the path", drawn.get("walk", ""))}
{section("The bounds around the length", drawn.get("ladder", "") + told.get("ladder", ""))}
{section("Lengths, layer by layer", drawn.get("layers", "") + told.get("layers", ""))}
{section("For a paper", source if latex else "")}"""
    code = (scripts() if figures else "") + f'<script type="module">{part("page.js")}</script>\n'
    return document(name, main, code=code, expressions=bool(figures), wide=True)

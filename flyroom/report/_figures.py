"""Figures as pages show them: a picture first, in light and dark, which a script may bring to life."""

import json
from functools import cache, lru_cache

from flyroom import plot
from flyroom.records import Json
from flyroom.report._html import data_uri, script_json, text

# Bytes. A figure of thousands of points is smaller as PNG than as SVG, and larger than all else on its page as PDF.
THUMBNAIL, PICTURE, PDF = 60_000, 500_000, 1_000_000


def moves(spec: Json) -> bool:
    """Whether a figure is an animated SVG and not a specification. ValueError for text that is neither."""
    if isinstance(spec, str) and not spec.lstrip().startswith("<svg"):
        raise ValueError(f"a figure is a Vega-Lite specification or an SVG that begins with <svg; got {spec[:40]!r}")
    return isinstance(spec, str)


def figure(name: str, caption: str, spec: Json) -> str:
    """A figure with its caption and what it is saved as. A specification stands beside its picture, for the script."""
    if moves(spec):
        kind, living, script = ' class="moving"', "", ""
        picture = _moving(spec, caption)
        link = _download(f"{name}.svg", _svg(spec))
    else:
        kind, living = f' data-name="{text(name)}"', '<div class="live"></div>\n'
        script = f'<script type="application/json">{script_json(spec)}</script>\n'
        picture = _picture(spec, spec.get("description") or caption, PICTURE)
        pdf = _rendered(json.dumps(spec), "pdf", False)
        link = _download(f"{name}.pdf", data_uri("application/pdf", pdf)) if len(pdf) <= PDF else ""
    return f"""
<figure{kind}>
<div class="box" tabindex="0" role="group" aria-label="{text(caption)}">
{living}{picture}</div>
<figcaption>{text(caption)}</figcaption>
<div class="save">{link}</div>
{script}</figure>"""


def _download(name: str, address: str) -> str:
    return f'<a download="{text(name)}" href="{address}">Save {name.rpartition(".")[2].upper()}</a>'


def thumbnail(caption: str, spec: Json) -> str:
    """The picture of a figure alone, small enough for many of them on a page."""
    return _moving(spec, caption) if moves(spec) else _picture(spec, spec.get("description") or caption, THUMBNAIL)


@cache
def scripts() -> str:
    """What brings specifications to life: the themes and Vega. Making the bundle takes seconds, and is done once."""
    themes = {"light": plot.theme(), "dark": plot.theme(dark=True)}
    bundle = plot.bundle().replace("</script", "<\\/script").replace("<!--", "<\\!--")
    return (
        f'<script type="application/json" id="themes">{script_json(themes)}</script>\n'
        f'<script type="module">{bundle}</script>\n'
    )


def _moving(svg: str, caption: str) -> str:
    """An animation; its last frame for paper and for a reader who asked for less motion, since browsers do not tell a
    picture of that."""
    body, _, end = svg.rpartition("</svg>")
    still = f"{body}<style>.moving{{display:none}}.still{{display:inline}}</style></svg>{end}"
    return (
        f'<picture><source media="print, (prefers-reduced-motion: reduce)" srcset="{_svg(still)}">'
        f'<img alt="{text(caption)}" src="{_svg(svg)}"></picture>'
    )


def _svg(content: str) -> str:
    return data_uri("image/svg+xml", content.encode())


def _picture(spec: Json, described: str, limit: int) -> str:
    written = json.dumps(spec)
    light, dark = (_smaller(written, dark, limit) for dark in (False, True))
    return (
        f'<picture><source media="screen and (prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img alt="{text(described)}" src="{light}"></picture>'
    )


def _smaller(written: str, dark: bool, limit: int) -> str:
    svg = _rendered(written, "svg", dark)
    if len(svg) > limit:
        png = _rendered(written, "png", dark)
        if len(png) < len(svg):
            return data_uri("image/png", png)
    return data_uri("image/svg+xml", svg)


@lru_cache(maxsize=128)  # the gallery shows what the pages have just shown
def _rendered(written: str, form: str, dark: bool) -> bytes:
    return plot.render(json.loads(written), form, dark=dark)

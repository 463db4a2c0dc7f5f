"""A specification becomes bytes and files, without a browser and without a network."""

import json
from collections.abc import Mapping
from pathlib import Path

from flyroom.plot._style import theme
from flyroom.records import Json

SUFFIXES = (".svg", ".pdf", ".png", ".json")


def save(spec: Mapping[str, Json], path: str | Path) -> Path:
    """Write a specification as .svg, .pdf, .png (two pixels a point) or .json, without a browser.

    Raises ValueError for another suffix. The file takes its name only when it is complete.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path.name!r} has no suffix that a figure is saved as: use one of {', '.join(SUFFIXES)}")
    rendered = render(spec, path.suffix.lower()[1:])
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(rendered)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def render(spec: Mapping[str, Json], form: str, *, dark: bool = False) -> bytes:
    """The bytes of a figure as svg, pdf, png or json; the house theme stands in place of the specification's.

    Nothing is fetched: ValueError for a specification whose data lie elsewhere.
    """
    import vl_convert

    themed = {**spec, "config": theme(dark=dark)}
    match form:
        case "json":
            return json.dumps(themed, indent=1, allow_nan=False).encode()
        case "svg":
            return vl_convert.vegalite_to_svg(themed, allowed_base_urls=[]).encode()
        case "pdf":
            return vl_convert.vegalite_to_pdf(themed, allowed_base_urls=[])
        case "png":
            return vl_convert.vegalite_to_png(themed, scale=2, allowed_base_urls=[])
    raise ValueError(f"{form!r} is not a form of figure: use one of svg, pdf, png, json")


def bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one piece of JavaScript that needs no network.

    It declares names at its top level, and so belongs in a `<script type="module">`; it leaves `vegaEmbed` on the
    window, and nothing else.
    """
    import vl_convert

    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")

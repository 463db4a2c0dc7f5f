"""Figures in one house style, as plain Vega-Lite specifications; the only room that imports Altair.

A specification holds its data and the light theme; a page may put `theme(dark=True)` in its place. Rows are plain
dictionaries, already summarised: nothing here draws random numbers, so a figure is the same each time. Groups and
panels stand in the order of their first appearance.

    curves      means against x, with intervals, published points and named lines across
    fields      what one unit of each layer sees of the input
    finals      every run, the mean with its interval, the published figure
    scatter     points in the plane, in up to ten classes
    tiles       a value over a grid
    trajectory  what a network makes of a path: bounds, lengths, images, and a walk along it
    signals     many small one-dimensional signals
    animation   signals that change from stage to stage, as SVG that moves without a script
"""

from flyroom.plot._files import SUFFIXES, bundle, render, save
from flyroom.plot._rows import Row
from flyroom.plot._style import DARK, LIGHT, theme
from flyroom.plot.animation import animation
from flyroom.plot.curves import curves
from flyroom.plot.fields import fields
from flyroom.plot.finals import finals
from flyroom.plot.scatter import scatter
from flyroom.plot.signals import signals
from flyroom.plot.tiles import tiles
from flyroom.plot.trajectory import images, ladder, layer_lengths, motion, stacked

__all__ = [
    "DARK",
    "LIGHT",
    "SUFFIXES",
    "Row",
    "animation",
    "bundle",
    "curves",
    "fields",
    "finals",
    "images",
    "ladder",
    "layer_lengths",
    "motion",
    "render",
    "save",
    "scatter",
    "signals",
    "stacked",
    "theme",
    "tiles",
]

"""Which steps of a network are reported."""

from collections.abc import Sequence

from flyroom.nets.graph import Graph


def chosen(graph: Graph, layers: str | Sequence[str]) -> list[int]:
    """The steps that are reported; ValueError where there are none of a name."""
    last = len(graph.nodes) - 1
    if layers == "last":
        return [last]
    if layers == "all":
        shown = [
            i for i, node in enumerate(graph.nodes) if i and (node.weights or node.op in ("activation", "max_pool"))
        ]
        return sorted({*shown, last})
    names = [layers] if isinstance(layers, str) else list(layers)
    places = {node.place: i for i, node in enumerate(graph.nodes)}
    for name in names:
        if name not in places:
            raise ValueError(f"there is no layer {name!r}; there are {', '.join(places)}, or say all or last")
    return sorted({places[name] for name in names})

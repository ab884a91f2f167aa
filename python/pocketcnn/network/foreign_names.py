"""How the names of somebody else's weights map onto the layers of a network.

A name is looked for as it is. All that are not found so are read in one of a few ways, the first
that finds the most of them:

- without a beginning that all have in common: "module." of DataParallel, "sequential/" of Keras;
- with "_" for every dot and slash, so that "layer1.0.conv1.weight" is layer "layer1_0_conv1";
- within a `Residual`, without "body", and "downsample.0" for the first layer of the shortcut;
- by the place of a layer in the network, "3.weight", as in torch.nn.Sequential;
- by the place before and after the `Flatten`, "features.3.weight" and "classifier.0.weight".

Places mean something in a network of the same structure only: they count where they find all of
the names, or all that the network has. Keras' words for parameters ("kernel", "gamma",
"moving_mean") are known everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from pocketcnn.layers import Flatten, Layer, Residual

_WORDS = {
    "weight": ("kernel", "depthwise_kernel", "gamma"),
    "bias": ("beta",),
    "running_mean": ("moving_mean",),
    "running_var": ("moving_variance",),
}

_UNUSED = {"num_batches_tracked", "seed_generator_state"}
"""What others save of batch norm and of dropout, and nothing here needs."""

_DEEPEST_PREFIX = 3


def is_unused(name: str) -> bool:
    """Whether a name belongs to a count or a seed that no layer here has."""
    return _components(name)[-1] in _UNUSED


def is_kernel(name: str) -> bool:
    """Whether Keras alone calls a weight so."""
    return _components(name)[-1] in ("kernel", "depthwise_kernel")


def match_names(layers: Mapping[str, Layer], names: Collection[str]) -> dict[str, str]:
    """Find the parameter or buffer, "conv1.weight", that each of some foreign names means.

    Returns
    -------
    dict of str to str
        Names of the network by foreign names, of those that are found.
    """
    own = {f"{name}.{key}" for name, layer in layers.items() for key in layer.state_shapes()}
    exact = {name: name for name in names if name in own}
    rest = [name for name in names if name not in own]
    best: dict[str, str] = {}
    for shorter in _without_prefixes(rest):
        for by_name, outer in _outer_names(layers, shorter.values()):
            known = _known_names(layers, outer)
            plain = ((name, _plain(short)) for name, short in shorter.items())
            found = {name: known[key] for name, key in plain if key in known}
            whole = len(found) == len(rest) or own == {*found.values(), *exact}
            if len(found) > len(best) and (by_name or whole):
                best = found
    return exact | best


def _components(name: str) -> list[str]:
    return re.split(r"[./]", name.removesuffix(":0"))


def _plain(name: str) -> str:
    return "_".join(_components(name))


def _without_prefixes(names: Collection[str]) -> Iterator[dict[str, str]]:
    """The names as they are, and without one, two, three first components that all share."""
    parts = {name: _components(name) for name in names}
    for depth in range(_DEEPEST_PREFIX + 1):
        yield {name: ".".join(part[depth:]) for name, part in parts.items()}
        shared = {part[depth] for part in parts.values()}
        if len(shared) > 1 or any(len(part) < depth + 3 for part in parts.values()):
            return


def _outer_names(
    layers: Mapping[str, Layer], names: Collection[str]
) -> Iterator[tuple[bool, dict[str, str]]]:
    """What the layers may be called, and whether that is a name and no place."""
    yield True, {name: name for name in layers}
    yield False, {name: str(place) for place, name in enumerate(layers)}
    parts = (name.split(".") for name in names)
    groups = list(dict.fromkeys(part[0] for part in parts if len(part) > 2 and part[1].isdecimal()))
    flatten = [place for place, it in enumerate(layers.values()) if isinstance(it, Flatten)]
    if not flatten or not 1 <= len(groups) <= 2:
        return
    for start in (flatten[0] + 1, flatten[0]):  # the Flatten itself may count
        yield (
            False,
            {
                name: f"{groups[0]}.{place}" if place < start else f"{groups[-1]}.{place - start}"
                for place, name in enumerate(layers)
            },
        )


def _known_names(layers: Mapping[str, Layer], outer: Mapping[str, str]) -> dict[str, str]:
    """Parameters by every name that they may have; what could be two is left out."""
    known: dict[str, str] = {}
    twice: set[str] = set()
    for name, layer in layers.items():
        for inner, key in _inner_names(layer):
            plain, found = _plain(f"{outer[name]}.{inner}"), f"{name}.{key}"
            if known.setdefault(plain, found) != found:
                twice.add(plain)
    return {plain: found for plain, found in known.items() if plain not in twice}


def _inner_names(layer: Layer) -> Iterator[tuple[str, str]]:
    """Every name that may be used within a layer, with the one that is."""
    inside = tuple(f"{child}." for child in layer.children)
    for key in layer.state_shapes():
        if not key.startswith(inside):
            for word in (key, *_WORDS.get(key, ())):
                yield word, key
    for child, names in _child_names(layer).items():
        for inner, key in _inner_names(layer.children[child]):
            for name in names:
                yield f"{name}.{inner}", f"{child}.{key}"


def _child_names(layer: Layer) -> dict[str, tuple[str, ...]]:
    if not isinstance(layer, Residual):
        return {child: (child,) for child in layer.children}
    names: dict[str, tuple[str, ...]] = {}
    for place, name in enumerate(layer.body):
        names[f"body.{name}"] = (f"body.{name}", f"body.{place}", name)
    for place, name in enumerate(layer.shortcut):
        child = f"shortcut.{name}"
        names[child] = (child, f"shortcut.{place}", f"downsample.{place}")
    return names

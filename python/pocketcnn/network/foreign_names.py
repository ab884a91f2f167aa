"""How names of weights from other libraries map to the layers of a network.

A name of the network is matched first. The rest are matched by one scheme, with and without a
prefix that all of them share, such as DataParallel's "module." or Keras' "sequential/", and without
the underscores with which names of private modules begin, "_blocks.0._bn1.weight":

- the layer's name, with "_" for dots and slashes: "layer1.0.conv1.weight" is that of
  "layer1_0_conv1". Within a `Residual` "body" may be missing, and "downsample.0" is the first layer
  of the shortcut.
- the layer's index in the network, as in torch.nn.Sequential: "3.weight".
- its index before or after the `Flatten`: "features.3.weight", "classifier.0.weight".

The first scheme that matches the most names is used. Indices are used only if they match all of the
names, or all arrays of the network: other networks have layers with an index too. Keras' names of
parameters ("kernel", "gamma", "moving_mean") are known in all schemes.
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
"""State of batch norm and dropout in other libraries."""

_DEEPEST_PREFIX = 3


def is_unused(name: str) -> bool:
    """Whether no layer here has such a state."""
    return _components(name)[-1] in _UNUSED


def is_kernel(name: str) -> bool:
    """Whether only Keras uses such a name."""
    return _components(name)[-1] in ("kernel", "depthwise_kernel")


def match_names(layers: Mapping[str, Layer], names: Collection[str]) -> dict[str, str]:
    """Find the name in the network, "conv1.weight", for each of the given names.

    Returns
    -------
    dict of str to str
        Only of those that are found.
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
    """The names, then without the first one, two, three components if all share them.

    If one of their components begins with underscores, also without these.
    """
    parts = {name: _components(name) for name in names}
    for depth in range(_DEEPEST_PREFIX + 1):
        shorter = {name: ".".join(part[depth:]) for name, part in parts.items()}
        yield shorter
        public = {name: re.sub(r"\b_+", "", short) for name, short in shorter.items()}
        if public != shorter:
            yield public
        shared = {part[depth] for part in parts.values()}
        if len(shared) > 1 or any(len(part) < depth + 3 for part in parts.values()):
            return


def _outer_names(
    layers: Mapping[str, Layer], names: Collection[str]
) -> Iterator[tuple[bool, dict[str, str]]]:
    """Names that the layers may have, with False if these are indices."""
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
    """Parameters by every name that they may have, without ambiguous ones."""
    known: dict[str, str] = {}
    twice: set[str] = set()
    for name, layer in layers.items():
        for inner, key in _inner_names(layer):
            plain, found = _plain(f"{outer[name]}.{inner}"), f"{name}.{key}"
            if known.setdefault(plain, found) != found:
                twice.add(plain)
    return {plain: found for plain, found in known.items() if plain not in twice}


def _inner_names(layer: Layer) -> Iterator[tuple[str, str]]:
    """Names that may be used within a layer, each with its own name there."""
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

"""Call every function with arguments drawn at random; run as a program by test_bad_input.py.

Each call must return, or raise ValueError, TypeError or MemoryError. A crash of the process
is what the caller looks for; the last line on standard output is then the call that did it.
Memory is limited, so that a huge but possible size fails instead of swapping.
"""

from __future__ import annotations

import resource
import sys
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import pocketcnn.functional as F
from operations import OPERATIONS

LIMIT = 6 * 2**30
EXTREMES = [-(2**63), -(2**31), 2**31 - 1, 2**31, 2**32, 2**40, 2**62, 2**63 - 1, 2**64]

integers = st.one_of(st.integers(-2, 9), st.sampled_from(EXTREMES), st.integers(-(2**65), 2**65))
counts = st.one_of(
    integers,
    st.tuples(integers, integers),
    st.tuples(st.tuples(integers, integers), st.tuples(integers, integers)),
    st.sampled_from(["same", "valid", "", None, 1.5, (), (1,), [1, 2], True]),
)
dtypes = st.sampled_from([np.float32, np.float64, np.float16, np.int8, np.bool_, np.int64])
arrays: st.SearchStrategy[Any] = dtypes.flatmap(
    lambda dtype: hnp.arrays(
        dtype, hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=6)
    )
)
shapes = st.one_of(st.tuples(*[integers] * 4), st.lists(integers, max_size=6).map(tuple), st.none())
anything = st.one_of(counts, arrays, shapes, st.text(max_size=3), st.floats())


def _strategy(name: str, value: Any) -> st.SearchStrategy[Any]:
    """Mostly values of the argument's own kind, near to valid ones; sometimes anything."""
    if name == "argmax":
        extreme = st.sampled_from([-(2**63), -1, 0, 41, 42, 2**31, 2**40, 2**63 - 1])
        own: st.SearchStrategy[Any] = hnp.arrays(np.int64, value.shape, elements=extreme)
    elif name == "input_shape":
        own = shapes
    elif isinstance(value, np.ndarray):
        own = arrays
    elif isinstance(value, float):
        own = st.floats()
    else:
        own = counts
    return st.one_of(own, own, own, anything)


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """Draw a valid call with one to three arguments changed."""
    operation = OPERATIONS[draw(st.sampled_from(sorted(OPERATIONS)))]
    arguments = operation.arguments(draw(st.sampled_from([np.float32, np.float64])))
    for name in draw(
        st.lists(st.sampled_from(sorted(arguments)), min_size=1, max_size=3, unique=True)
    ):
        if name != "rng":
            arguments[name] = draw(_strategy(name, arguments[name]))
    return operation.name, arguments


def _finite(results: Any) -> None:
    """Read every byte of the results: memory that is not ours would fault."""
    for result in results if isinstance(results, tuple) else (results,):
        if isinstance(result, np.ndarray):
            result.tobytes()


def main(examples: int, start: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    np.set_printoptions(threshold=60)

    @seed(start)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(calls())
    def fuzz(call: tuple[str, dict[str, Any]]) -> None:
        name, arguments = call
        print(f"{name}(**{arguments!r})".replace("\n", " "), flush=True)
        with np.errstate(all="ignore"):
            try:
                _finite(getattr(F, name)(**arguments))
            except (ValueError, TypeError) as error:
                if not str(error).strip():
                    raise AssertionError("an error without a message") from error
            except MemoryError:
                pass

    fuzz()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

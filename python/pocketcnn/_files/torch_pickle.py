"""PyTorch's pickles: tensors by name, whose numbers are stored outside of the pickle.

Nothing of PyTorch is used: its names stand for functions of this file, which only record where the
numbers of a tensor are. Any other name is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import numpy as np

from pocketcnn._files.element_types import BFLOAT16
from pocketcnn._files.pickle_machine import Name, PickleMachine, Source
from pocketcnn._text import excerpt

# Five times as many as a checkpoint with a thousand tensors and their optimiser's state has.
_MOST_INSTRUCTIONS = 1_000_000

_MOST_AXES = 32  # of an array in NumPy 1

ADVICE = "torch.save(model.state_dict(), path) writes the tensors alone"


class ElementType(NamedTuple):
    """An element type by PyTorch's name, with its size and NumPy's type, if there is one."""

    name: str
    size: int
    dtype: np.dtype[Any] | None


class Storage(NamedTuple):
    """The memory of one or more tensors: all of its `total` elements, or a part of them."""

    key: str
    kind: ElementType
    begin: int
    length: int
    total: int


class Tensor(NamedTuple):
    """Where the numbers of a tensor are; `offset` and `strides` count elements of its type."""

    storage: Storage
    kind: ElementType
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Unreadable(NamedTuple):
    """A tensor that NumPy cannot represent."""

    reason: str


def _element_types() -> dict[str, ElementType]:
    known: dict[str, Any] = {
        **{f"float{8 * size}": f"<f{size}" for size in (2, 4, 8)},
        **{f"int{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)},
        **{f"uint{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)},
        "bool": "?",
        "bfloat16": BFLOAT16,
    }
    unknown = {
        "complex32": 4, "complex64": 8, "complex128": 16, "qint8": 1, "quint8": 1, "qint32": 4,
        "quint4x2": 1, "quint2x4": 1, "float8_e4m3fn": 1, "float8_e5m2": 1, "float8_e4m3fnuz": 1,
        "float8_e5m2fnuz": 1, "float8_e8m0fnu": 1,
    }  # fmt: skip
    types = {name: ElementType(name, size, None) for name, size in unknown.items()}
    for name, dtype in known.items():
        types[name] = ElementType(name, np.dtype(dtype).itemsize, np.dtype(dtype))
    return types


_TYPES = _element_types()
_STORAGES = {
    "FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16", "LongStorage": "int64", "IntStorage": "int32",
    "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8", "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64", "ComplexDoubleStorage": "complex128",
    "QInt8Storage": "qint8", "QUInt8Storage": "quint8", "QInt32Storage": "qint32",
    "QUInt4x2Storage": "quint4x2", "QUInt2x4Storage": "quint2x4",
}  # fmt: skip


class _Type(Name):
    """Stands for an element type, or for the class of storages of it."""

    def __init__(self, kind: ElementType) -> None:
        super().__init__(_refuse_call)
        self.kind = kind


class TorchMachine(PickleMachine):
    """Runs one of the pickles in a file of PyTorch.

    Attributes
    ----------
    storages : dict of str to Storage
        The storages of the tensors, by their keys.
    """

    int_keys = True  # an optimiser's parameters have numbers

    def __init__(self, file: Source, size: int) -> None:
        names = {**_NAMES, "collections OrderedDict": Name(self._ordered_dict)}
        super().__init__(file, names, room=size, most_instructions=_MOST_INSTRUCTIONS)
        self.storages: dict[str, Storage] = {}

    def refuse_name(self, name: str) -> NoReturn:
        """Refuse a module, or whatever else is no tensor."""
        name = excerpt(name.replace(" ", "."), 80)
        raise ValueError(f"it asks for {name}, and only tensors are read: {ADVICE}")

    def build(self, made: Any, state: Any) -> None:
        """Ignore the attributes of a dict, such as the versions of its modules."""
        if type(made) is not dict:
            raise ValueError("it changes an object that is no tensor")

    def load_persistent(self, identity: Any) -> Storage:
        """Return the storage with this identity."""
        if type(identity) is not tuple or len(identity) not in (5, 6) or identity[0] != "storage":
            raise ValueError(f"it has parts that are no storage of a tensor: {ADVICE}")
        _, kind, key, _, count, *view = identity
        if not isinstance(kind, _Type) or type(key) is not str:
            raise ValueError("it has a storage without type or name")
        total = _count(count)
        storage = Storage(key, kind.kind, 0, total, total)
        # Tensors that share a storage repeat it; with two types it would be converted twice.
        if self.storages.setdefault(key, storage) != storage:
            raise ValueError(f"it has two storages named {key!r}")
        if view and view[0] is not None:  # of PyTorch before 0.4
            _, begin, length = view[0]
            if _count(begin) + _count(length) > total:
                raise ValueError(f"it has a view beyond the storage {key!r}")
            return storage._replace(begin=begin, length=length)
        return storage

    def _ordered_dict(self, pairs: Any = ()) -> dict[str, Any]:
        """An empty one, or Python 2's, which wrote the entries into the call."""
        self.take(len(pairs))
        return {self._key(name): value for name, value in pairs}


def _count(number: object) -> int:
    if type(number) is not int or not 0 <= number < 2**63:
        raise ValueError("it has a size that counts nothing")
    return number


def _counts(numbers: object) -> tuple[int, ...]:
    if not isinstance(numbers, (tuple, list)) or len(numbers) > _MOST_AXES:
        raise ValueError("it has a tensor without shape or strides")
    return tuple(map(_count, numbers))


def _refuse_call(*_: object) -> NoReturn:
    raise ValueError("it calls what is no function")


def _tensor(storage: object, offset: object, shape: object, strides: object) -> Tensor:
    if not isinstance(storage, Storage):
        raise ValueError("it has a tensor without a storage")
    shape, strides = _counts(shape), _counts(strides)
    if len(shape) != len(strides):
        raise ValueError("it has a tensor with more sizes than strides, or fewer")
    return Tensor(storage, storage.kind, _count(offset), shape, strides)


def _tensor_v2(*given: Any) -> Tensor | Unreadable:
    *where, _, _ = given[:6]
    if any(given[6:]):
        return Unreadable("is the negative or the conjugate of what is stored")
    return _tensor(*where)


def _tensor_v3(*given: Any) -> Tensor | Unreadable:
    kind = given[6]
    if not isinstance(kind, _Type):
        raise ValueError("it has a tensor without a type")
    made = _tensor_v2(*given[:6], *given[7:])
    return made._replace(kind=kind.kind) if isinstance(made, Tensor) else made


def _parameter(data: Any, *_: object) -> Any:
    return data


def _tensor_of_class(function: object, _: object, given: object, *__: object) -> Any:
    if not isinstance(function, Name) or type(given) is not tuple:
        raise ValueError("it has a tensor that nothing makes")
    return function.call(*given)


def _unreadable(reason: str) -> Callable[..., Unreadable]:
    return lambda *_: Unreadable(reason)


def _nothing(*_: object) -> None:
    """Ignore where or how a tensor was stored."""


_CALLS: dict[str, Callable[..., Any]] = {
    "torch._utils _rebuild_tensor": _tensor,
    "torch._utils _rebuild_tensor_v2": _tensor_v2,
    "torch._utils _rebuild_tensor_v3": _tensor_v3,
    "torch._utils _rebuild_parameter": _parameter,
    "torch._utils _rebuild_parameter_with_state": _parameter,
    "torch._tensor _rebuild_from_type_v2": _tensor_of_class,
    "torch._utils _rebuild_qtensor": _unreadable("is quantised"),
    "torch._utils _rebuild_sparse_tensor": _unreadable("is sparse"),
    "torch._utils _rebuild_sparse_csr_tensor": _unreadable("is sparse"),
    "torch._utils _rebuild_nested_tensor": _unreadable("is a nested tensor"),
    "torch._utils _rebuild_meta_tensor_no_storage": _unreadable("has no numbers"),
    "torch.serialization _get_layout": _nothing,
    "torch Size": _counts,
    "torch device": _nothing,
}
_CONSTANTS = (
    "torch Tensor", "torch.nn.parameter Parameter", "torch per_tensor_affine",
    "torch per_tensor_symmetric", "torch per_channel_affine", "torch per_channel_symmetric",
    "torch per_channel_affine_float_qparams",
)  # fmt: skip

_NAMES = {
    **{name: Name(call) for name, call in _CALLS.items()},
    **{name: Name(_refuse_call) for name in _CONSTANTS},
    **{f"torch {name}": _Type(kind) for name, kind in _TYPES.items()},
    **{f"torch {name}": _Type(_TYPES[kind]) for name, kind in _STORAGES.items()},
    # PyTorch stores types without a storage class of their own as bytes.
    "torch.storage UntypedStorage": _Type(_TYPES["uint8"]),
    "torch.storage _UntypedStorage": _Type(_TYPES["uint8"]),
}

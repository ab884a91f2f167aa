"""What all optimisers share: hyper-parameters, state per parameter, and how they are saved.

The arithmetic of a step is one native call (`functional.*_update`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from fnmatch import fnmatchcase
from math import prod
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pocketcnn import _arguments
from pocketcnn._sharing import Sharing, changes
from pocketcnn.functional._linear import Grad

Array = NDArray[np.floating]
Grads: TypeAlias = Mapping[str, Grad]


class Optimizer(ABC):
    """What all optimisers share: a learning rate, weight decay, and state by parameter name.

    `rates`, such as ``{"head.*": 10.0}``, multiplies the learning rate of the parameters whose
    names match a pattern (as `fnmatch.fnmatchcase` has it); where several match, all of them do.

    Attributes
    ----------
    lr : float
        The learning rate; may be changed between updates.
    weight_decay : float
        Coefficient of the L2 penalty.
    rates : dict of str to float
        Factors of the learning rate by patterns of names.
    state : dict of str to dict of str to ndarray
        For each slot (`"velocity"`, `"m"`, ...) the array of each parameter, made at its first
        update with the parameter's shape and dtype.
    steps : int
        How many updates were made.
    sharing : Sharing
        Guards the optimiser: a second thread that updates at the same time gets a RuntimeError.
    """

    hyperparameters: ClassVar[tuple[str, ...]] = ("lr", "weight_decay")

    def __init__(
        self, lr: float, weight_decay: float, rates: Mapping[str, float] | None = None
    ) -> None:
        self.lr = _arguments.non_negative("lr", lr)
        self.weight_decay = _arguments.non_negative("weight_decay", weight_decay)
        self.rates = _checked_rates({} if rates is None else rates)
        self.steps = 0
        self.state: dict[str, dict[str, Array]] = {}
        self.sharing = Sharing("the optimiser", "each thread needs an optimiser of its own")

    @property
    @abstractmethod
    def slots(self) -> tuple[str, ...]:
        """The names of the state arrays that a parameter has."""

    @changes("an update")
    def update(self, params: Mapping[str, Array], grads: Mapping[str, Array]) -> None:
        """Make one step: change every array of `params` in place.

        Parameters
        ----------
        params : mapping of str to ndarray
            C-contiguous float32 or float64 arrays.
        grads : mapping of str to ndarray
            The gradient of the loss, with the keys, shapes and dtypes of `params`.

        Raises
        ------
        ValueError
            The keys differ, or a gradient or the state kept for a parameter has another shape; or
            a pattern of `rates` matches no parameter.
        TypeError
            A gradient has another dtype.
        """
        _require_same_keys(params, grads)  # a refused update does not count as a step
        self.begin(params)
        self.apply(params, grads)

    def begin(self, names: Iterable[str] = ()) -> None:
        """Count a step; `apply` then makes its changes, all at once or parameter by parameter.

        Parameters
        ----------
        names : iterable of str
            Of all parameters of the step.

        Raises
        ------
        ValueError
            A pattern of `rates` matches none of them.
        """
        if self.rates and (known := [*names]):
            for pattern in self.rates:
                if not any(fnmatchcase(name, pattern) for name in known):
                    raise ValueError(
                        f"rates has {pattern!r}, which matches none of the parameters "
                        f"{', '.join(known)}"
                    )
        self.steps += 1

    def apply(self, params: Mapping[str, Array], grads: Grads) -> None:
        """Make the current step's change to some parameters.

        Parameters
        ----------
        params : mapping of str to ndarray
            As in `update`.
        grads : mapping of str to ndarray or LinearWeightGrad
            As in `update`, or not computed yet.

        Raises
        ------
        ValueError
            As in `update`.
        """
        _require_same_keys(params, grads)
        if not self.rates:
            self._apply(params, grads)
            return
        groups: dict[float, dict[str, Array]] = {}
        for name, param in params.items():
            groups.setdefault(self.factor(name), {})[name] = param
        rate = self.lr
        try:
            for factor, group in groups.items():
                self.lr = rate * factor
                self._apply(group, {name: grads[name] for name in group})
        finally:
            self.lr = rate

    def factor(self, name: str) -> float:
        """Return the factor of the learning rate of a parameter."""
        return prod(rate for pattern, rate in self.rates.items() if fnmatchcase(name, pattern))

    def _apply(self, params: Mapping[str, Array], grads: Grads) -> None:
        slots = [self._arrays_of(slot, params) for slot in self.slots]
        try:
            self._update(list(params.values()), [grads[name] for name in params], slots)
        except (TypeError, ValueError) as error:
            raise _named(error, params, grads) from error

    def _arrays_of(self, slot: str, params: Mapping[str, Array]) -> list[Array]:
        """The state arrays of one slot in the order of `params`; missing ones are made."""
        arrays = self.state.setdefault(slot, {})
        for name, param in params.items():
            if name not in arrays:
                arrays[name] = np.zeros_like(param, order="C")
        return [arrays[name] for name in params]

    def _knows(self, slot: str) -> bool:
        """Whether a state dict may have arrays of that slot."""
        return slot in self.slots

    @abstractmethod
    def _update(self, params: list[Array], grads: list[Grad], slots: list[list[Array]]) -> None:
        """Change `params` and their `slots` (in the order of `self.slots`) in place."""

    def state_dict(self) -> dict[str, object]:
        """Return everything a later run needs to continue to the same bits.

        Returns
        -------
        dict
            `"steps"` and each hyper-parameter as a number, `"rates"` if there are some, and
            `"<slot>/<parameter>"` for each state array (the arrays themselves, not copies).
        """
        values: dict[str, object] = {}
        for name in (*self.hyperparameters, "steps"):
            value = getattr(self, name)
            values[name] = value.item() if isinstance(value, np.generic) else value
        if self.rates:
            values["rates"] = dict(self.rates)
        for slot, arrays in self.state.items():
            values.update({f"{slot}/{name}": array for name, array in arrays.items()})
        return values

    def load_state_dict(self, values: Mapping[str, object]) -> None:
        """Restore what `state_dict` returned, including hyper-parameters, or change nothing.

        Parameters
        ----------
        values : mapping
            From an optimiser of the same class.

        Raises
        ------
        TypeError, ValueError
            `values` comes from another kind of optimiser, or has something that is not one of its
            settings.
        """
        kind = type(self).__name__
        scalars = {*self.hyperparameters, "steps"}
        if missing := scalars - values.keys():
            raise ValueError(f"values lacks {sorted(missing)} of {kind}")
        twin = copy(self)
        for scalar in scalars:
            setattr(twin, scalar, _checked_scalar(scalar, values[scalar]))
        twin.rates = _checked_rates(values.get("rates", {}))
        state: dict[str, dict[str, Array]] = {}
        for key in values.keys() - scalars - {"rates"}:
            slot, _, name = key.partition("/")
            array = values[key]
            if not name or not twin._knows(slot) or not isinstance(array, np.ndarray):
                raise ValueError(f"values has {key!r}, which {kind} does not know")
            state.setdefault(slot, {})[name] = array.copy()
        twin.state = state
        self.__dict__.update(twin.__dict__)

    def __repr__(self) -> str:
        names = (*self.hyperparameters, *(["rates"] if self.rates else []))
        values = (f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__name__}({', '.join(values)})"


def _checked_rates(rates: object) -> dict[str, float]:
    """Return factors of the learning rate by patterns, each finite and at least 0."""
    if not isinstance(rates, Mapping) or not all(isinstance(key, str) for key in rates):
        raise TypeError(f"rates is {rates!r}, but must map patterns of names to factors")
    return {
        pattern: _arguments.non_negative(f"rates[{pattern!r}]", rate)
        for pattern, rate in rates.items()
    }


def _require_same_keys(params: Mapping[str, Array], grads: Grads) -> None:
    if params.keys() != grads.keys():
        odd = sorted(set(params) ^ set(grads))
        raise ValueError(f"params and grads must have the same keys; only one has {odd}")


def _named(error: Exception, params: Mapping[str, Array], grads: Grads) -> Exception:
    """Return an error that says which parameter's gradient does not fit, if that is why."""
    for name, param in params.items():
        grad = grads[name]
        for kind in ("dtype", "shape"):
            came, wanted = getattr(grad, kind, None), getattr(param, kind, None)
            if came != wanted and came is not None:
                return type(error)(
                    f"the gradient of {name!r} has {kind} {came}, but the parameter has {wanted}"
                )
    return error


_CHECKS: Mapping[str, Callable[[str, float], float]] = {
    "lr": _arguments.non_negative,
    "weight_decay": _arguments.non_negative,
    "eps": _arguments.non_negative,
    "momentum": _arguments.share,
    "alpha": _arguments.share,
    "beta1": _arguments.share,
    "beta2": _arguments.share,
}
"""Checks of the hyper-parameters of the package's optimisers."""


def _checked_scalar(name: str, value: object) -> object:
    """Return a hyper-parameter, or the number of steps, from a state dict."""
    if name == "steps":
        return _arguments.integer(name, value, 0)  # type: ignore[arg-type]  # it checks that
    if name == "nesterov" and not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"nesterov is {value!r}, but must be a bool")
    if name not in _CHECKS:
        return value  # a user's own
    if isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}, but must be a number")
    return _CHECKS[name](name, value)  # type: ignore[arg-type]  # it checks that

"""``adapt``: somebody's gradient function in the call convention of the checks."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from bptt_verify.errors import UsageError
from bptt_verify.language import Recurrence
from bptt_verify.verify.returned import Returned, differentiated, gradients_by_name, plain

Layout = Literal["time", "batch", "sequence"]
OverBatch = Literal["sum", "mean"]

SERIES = ("x", "y", "weights", "mask")
ZERO = "0*"


class AdaptedFunction:
    """What ``adapt`` returns: ``loss, grads = f(**arrays)`` by declared name.

    It can be pickled if ``fn`` can.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        layout: Layout,
        names: Mapping[str, tuple[str, ...]],
        gradients: Returned,
        order: tuple[str | None, ...],
        series: frozenset[str],
        over_batch: OverBatch = "sum",
        columns: frozenset[str] = frozenset(),
    ) -> None:
        self.fn, self.layout, self.names = fn, layout, dict(names)
        self.gradients, self.order, self.series = gradients, order, series
        self.over_batch, self.columns = over_batch, columns
        self.initial: frozenset[str] | None = None
        self.__name__ = getattr(fn, "__name__", type(fn).__name__)
        self.__qualname__ = getattr(fn, "__qualname__", type(fn).__name__)
        self.__doc__ = getattr(fn, "__doc__", None)
        self.__signature__ = self._signed()

    def __call__(self, **arrays: Any) -> tuple[Any, dict[str, Any]]:
        """The loss, and the gradients by declared name."""
        given = {k: np.asarray(v) for k, v in arrays.items()}
        return self._by_sequence(given) if self.layout == "sequence" else self._called(given)

    def bound(self, rec: Recurrence) -> AdaptedFunction:
        """The same function, that knows which arrays of a recurrence are series, and which are initial."""
        known = copy.copy(self)
        known.series, known.initial = self.series | _series(rec), frozenset(rec.initial)
        return known

    def _starts(self, name: str) -> bool:
        """Whether an array is an initial state; by its name, ``h0``, where no recurrence is known."""
        if self.initial is not None:
            return name in self.initial
        return name.endswith("0") and name[:-1].isidentifier() and not name.endswith("_0")

    def _by_sequence(self, arrays: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """One call for each sequence of the batch: losses and gradients of parameters are summed."""
        axes = {k: 1 if k in self.series else 0 for k in arrays if k in self.series or self._starts(k)}
        batch = next(arrays[k].shape[axis] for k, axis in axes.items())
        results = [
            self._called({k: np.take(v, b, axes[k]) if k in axes else v for k, v in arrays.items()})
            for b in range(batch)
        ]
        scale = 1 / batch if self.over_batch == "mean" else 1
        grads = {}
        for name in results[0][1]:
            values = [found[name] * scale for _, found in results]
            grads[name] = np.stack(values, axes[name]) if name in axes else np.sum(values, axis=0)
        return np.sum([loss for loss, _ in results]) * scale, grads

    def _called(self, arrays: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        sent = self._sent({k: self._turned(k, self._column(k, v)) for k, v in arrays.items()})
        if self.gradients in ("torch", "jax"):
            loss, found = differentiated(self.gradients, self.fn, sent, self.order)
        else:
            loss, found = gradients_by_name(self.fn(**sent), self.gradients, self.order, sent)
        grads: dict[str, Any] = {}
        for theirs, value in found.items():
            for name, part in self._parts(theirs, plain(value), arrays):
                made = part.reshape(arrays[name].shape) if self._is_column(name, part, arrays) else part
                grads[name] = self._turned(name, made)
        return plain(loss), grads

    def _column(self, name: str, array: Any) -> Any:
        return array[..., None] if name in self.columns else array

    def _is_column(self, name: str, part: Any, arrays: Mapping[str, Any]) -> bool:
        """Whether a gradient has the shape of the column that was sent."""
        return name in self.columns and name in arrays and part.shape == (*arrays[name].shape, 1)

    def _turned(self, name: str, array: Any) -> Any:
        """Time and batch exchanged, where the layout says so and the array has both."""
        if self.layout != "batch" or name not in self.series or array.ndim < 2:
            return array
        return np.ascontiguousarray(np.swapaxes(array, 0, 1))

    def _sent(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """The arrays by the names of the function; several declared arrays stacked along their first axis."""
        taken = {part.removeprefix(ZERO) for parts in self.names.values() for part in parts}
        sent = {k: v for k, v in arrays.items() if k not in taken}
        for theirs, parts in self.names.items():
            values = [self._one(part, arrays) for part in parts if part.removeprefix(ZERO) in arrays]
            if len(values) < len(parts):
                continue  # an array that was left out, such as h0
            sent[theirs] = values[0] if len(values) == 1 else np.concatenate(values)
        return sent

    @staticmethod
    def _one(part: str, arrays: Mapping[str, Any]) -> Any:
        array = arrays[part.removeprefix(ZERO)]
        return np.zeros_like(array) if part.startswith(ZERO) else array

    def _parts(self, theirs: str, value: Any, arrays: Mapping[str, Any]) -> list[tuple[str, Any]]:
        """A gradient under a name of the function, as gradients of the declared arrays it is made of."""
        parts = self.names.get(theirs)
        if parts is None:
            return [(theirs, value)]
        if len(parts) == 1:
            return [(parts[0], value)] if not parts[0].startswith(ZERO) else []
        lengths = [np.shape(arrays[part.removeprefix(ZERO)])[0] for part in parts]
        if np.ndim(value) == 0 or np.shape(value)[0] != sum(lengths):
            raise UsageError(
                f"adapt: the gradient of {theirs} has shape {np.shape(value)}; expected {sum(lengths)} rows, "
                f"for {', '.join(parts)}."
            )
        cut = np.split(value, np.cumsum(lengths)[:-1])
        return [(p, v.copy()) for p, v in zip(parts, cut, strict=True) if not p.startswith(ZERO)]

    def _signed(self) -> inspect.Signature:
        """The declared names as keyword arguments, so that a check knows what may be sent."""
        try:
            signature = inspect.signature(self.fn)
        except (TypeError, ValueError):  # some compiled functions do not say what they take
            signature = inspect.Signature([inspect.Parameter("others", inspect.Parameter.VAR_KEYWORD)])
        keyword = {}
        kinds = inspect.Parameter
        anything = any(p.kind is kinds.VAR_KEYWORD for p in signature.parameters.values())
        for theirs in dict.fromkeys([*signature.parameters, *self.names]):
            given = signature.parameters.get(theirs)
            if given is None and not anything:
                listed = ", ".join(signature.parameters)
                raise UsageError(f"names: {self.__name__} takes no argument {theirs!r}; it takes {listed}.")
            if given is not None and given.kind in (kinds.VAR_KEYWORD, kinds.VAR_POSITIONAL):
                continue
            if given is not None and given.kind is kinds.POSITIONAL_ONLY:
                raise UsageError(
                    f"fn={self.__name__}: the argument {theirs!r} is positional-only; expected arguments "
                    "that can be sent by name. Wrap it in a lambda with named arguments."
                )
            default = kinds.empty if given is None else given.default
            for part in self.names.get(theirs, (theirs,)):
                keyword[part.removeprefix(ZERO)] = default
        listed_parameters = [kinds(k, kinds.KEYWORD_ONLY, default=d) for k, d in keyword.items()]
        if anything and not set(self.names) - set(signature.parameters):
            listed_parameters.append(kinds("others", kinds.VAR_KEYWORD))
        return inspect.Signature(listed_parameters)


def adapt(
    fn: Callable[..., Any],
    *,
    layout: Layout = "time",
    names: Mapping[str, str | Sequence[str]] | None = None,
    gradients: Returned = "dict",
    order: Sequence[str | None] | None = None,
    series: Recurrence | Sequence[str] = SERIES,
    over_batch: OverBatch = "sum",
    columns: Sequence[str] = (),
) -> AdaptedFunction:
    """A gradient function of another convention, as ``check_gradient`` calls it.

    Parameters
    ----------
    fn : callable
        Takes arrays by keyword, under names and in a layout of its own; returns the loss and the gradients.
    layout : {"time", "batch", "sequence"}
        Whether its series are (T, B, …) or (B, T, …); the gradients of series are turned back. Or, as in many
        tutorials, one sequence (T, …), with states (n,): it is then called for each sequence of the batch.
    names : mapping, optional
        ``{argument of fn: declared name}``. Several declared names are stacked along their first axis, as
        PyTorch stacks its gates; ``"0*b_h"`` stands for zeros of the shape of ``b_h``, for the second of two
        biases (its gradient is then not looked at). Arguments that are not listed keep their name; a function
        with ``**others`` takes as those what is listed here, or anything where nothing is.
    gradients : {"dict", "tuple", "flat", "torch", "jax"}
        What is returned: ``(loss, {argument: array})``; ``(loss, (array, …))`` or ``(loss, array, …)`` in the
        order of ``order``; ``(loss, vector)``, all gradients flattened in that order. With ``"torch"`` or
        ``"jax"`` the function takes tensors, returns the loss alone, and that framework differentiates it:
        with respect to ``order``, or to every floating-point array that it takes.
    order : sequence of str, optional
        Arguments of ``fn``, for ``"tuple"`` and ``"flat"``; in a tuple, None stands for something that is
        returned besides, such as a final state.
    series : Recurrence, or sequence of str
        The arrays with a time axis, by declared name; needed for ``"batch"`` and ``"sequence"`` where an
        input or a target has another name than ``x`` and ``y``.
    over_batch : {"sum", "mean"}
        With ``layout="sequence"``, what becomes of the losses of the sequences.
    columns : sequence of str
        Declared names of vectors that the function wants as columns (n, 1): biases, states.

    Returns
    -------
    AdaptedFunction
        ``loss, grads = f(**arrays)``, for every check of this library.

    Raises
    ------
    UsageError
        If an argument is not as described. What the function returns is looked at when it is called.
    """
    if not callable(fn):
        raise UsageError(f"fn={fn!r:.60}; expected a function of arrays by keyword.")
    for what, value, known in (
        ("layout", layout, Layout),
        ("gradients", gradients, Returned),
        ("over_batch", over_batch, OverBatch),
    ):
        if value not in get_args(known):
            raise UsageError(f"{what}={value!r:.40}; expected one of {', '.join(get_args(known))}.")
    if over_batch != "sum" and layout != "sequence":
        raise UsageError(f"over_batch={over_batch!r} with layout={layout!r}; expected layout='sequence'.")
    if isinstance(columns, str) or not all(isinstance(n, str) for n in columns):
        raise UsageError(f"columns={columns!r:.60}; expected a sequence of declared names, such as ('b_h',).")
    given_order = _ordered(order, gradients)
    stacks, named = _stacks(names or {}), frozenset(columns)
    made = AdaptedFunction(fn, layout, stacks, gradients, given_order, _series(series), over_batch, named)
    return made.bound(series) if isinstance(series, Recurrence) else made


def _stacks(names: Mapping[str, str | Sequence[str]]) -> dict[str, tuple[str, ...]]:
    if not isinstance(names, Mapping):
        raise UsageError(f"names={names!r:.60}; expected a mapping from arguments of fn to declared names.")
    stacks = {k: (v,) if isinstance(v, str) else tuple(v) for k, v in names.items()}
    for theirs, parts in stacks.items():
        if not parts or not all(isinstance(p, str) and p.removeprefix(ZERO) for p in parts):
            raise UsageError(f"names: {theirs!r}: {parts!r:.60}; expected a declared name, or several.")
    sent = [p for parts in stacks.values() for p in parts if not p.startswith(ZERO)]
    twice = sorted({p for p in sent if sent.count(p) > 1})
    if twice:
        raise UsageError(f"names: {twice[0]!r} is sent twice; expected every declared name once.")
    return stacks


def _ordered(order: Sequence[str | None] | None, gradients: str) -> tuple[str | None, ...]:
    if order is None:
        if gradients in ("tuple", "flat"):
            raise UsageError(f"order=None with gradients={gradients!r}; expected the arguments in order.")
        return ()
    if isinstance(order, str) or not all(isinstance(n, str) or n is None for n in order):
        raise UsageError(f"order={order!r:.60}; expected a sequence of arguments of fn.")
    if gradients == "dict":
        raise UsageError("order= with gradients='dict'; expected it with 'tuple' and 'flat' (gradients=).")
    if gradients != "tuple" and None in order:
        raise UsageError(f"order: None in it with gradients={gradients!r}; expected names only.")
    return tuple(order)


def _series(series: Recurrence | Sequence[str]) -> frozenset[str]:
    if isinstance(series, Recurrence):
        return frozenset({*series.inputs, *series.targets, "weights", "mask"})
    if isinstance(series, str):
        raise UsageError(f"series={series!r:.40}; expected a Recurrence or a sequence of names.")
    return frozenset(series)

"""From the trace to a Program: single assignment, the author's names, matrix products apart.

Contractions become equations of their own. Elementwise parts without a name of the author's are
inlined where they are used. Then every function call is split off, so that a Pointwise equation is
either rational or one function of one name: each saved output and each slope is then one thing.
"""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sympy as sp

from bptt_verify.language.declarations import CARRIED, Declaration, Sizes, Step
from bptt_verify.language.feedback import MASK, MASK_NEXT, fed_values, own_values
from bptt_verify.language.values import Value, count_uses, reachable
from bptt_verify.program import (
    BATCH,
    TIME,
    Array,
    Carry,
    Contract,
    Equation,
    Peak,
    Pointwise,
    Program,
    Ref,
    symbol,
)
from bptt_verify.program.functions import FUNCTIONS
from bptt_verify.program.names import free_name

_ROLES = {"input": "input", "target": "target", "param": "param"}


@dataclass(frozen=True)
class Traced:
    """What the author's function made of its arguments.

    Attributes
    ----------
    declarations : mapping of str to Declaration
    leaves : mapping of str to Value
        The arguments.
    names : mapping of str to Value
        The author's variables when the Step was made.
    step : Step
    """

    declarations: Mapping[str, Declaration]
    leaves: Mapping[str, Value]
    names: Mapping[str, Value]
    step: Step


def lower(name: str, traced: Traced, mode: str = "free") -> Program:
    """The Program of the forward pass: states, output, loss of each step and the weighted total.

    Parameters
    ----------
    name : str
    traced : Traced
    mode : {"free", "teacher", "scheduled"}
        What a Feedback is fed.
    """
    return _Lowering(name, traced, mode).program()


def labels_of(sizes: Sizes, dynamic: bool) -> tuple[str, ...]:
    """Canonical labels: time and batch first, a repeated size primed."""
    labels: list[str] = [TIME, BATCH] if dynamic else []
    for word in sizes:
        while word in labels:
            word += "'"
        labels.append(word)
    return tuple(labels)


class _Lowering:
    def __init__(self, name: str, traced: Traced, mode: str) -> None:
        declarations, leaves, step = traced.declarations, traced.leaves, traced.step
        self.title, self.declarations, self.step, self.mode = name, declarations, step, mode
        mask = Value("leaf", (), (), dynamic=True)
        fed = fed_values(own_values(step, declarations), declarations, leaves, mode, mask)
        self.states = {n: v for n, v in step.states.items() if n not in fed}
        self.carried = {**self.states, **fed}
        self.wanted = [*self.carried.values(), step.output, step.loss]
        self.equations: dict[str, Equation] = {}
        self.taken = set(declarations) | {f"{n}0" for n, d in declarations.items() if d.role in CARRIED}
        self.taken |= {"weights", MASK, MASK_NEXT}
        self.refs: dict[int, Ref] = {id(mask): Ref(MASK_NEXT, (TIME, BATCH))}
        self.split: dict[tuple[Any, ...], Ref] = {}
        self.given = self._given_names(traced.names, leaves)
        self.uses = count_uses(self.wanted)
        self.state_value = self._state_values(leaves)
        for n, leaf in leaves.items():
            self.refs[id(leaf)] = self._leaf(n, leaf)

    def _given_names(self, names: Mapping[str, Value], leaves: Mapping[str, Value]) -> dict[int, str]:
        declared = {id(v) for v in leaves.values()}
        given: dict[int, str] = {}
        states = {n: v for n, v in self.states.items() if id(v) not in declared}
        for n, v in [*names.items(), *states.items()]:
            if id(v) not in declared and id(v) not in given and _usable(n):
                given[id(v)] = n if n in states and states[n] is v else self.unique(n)
        return given

    def _state_values(self, leaves: Mapping[str, Value]) -> dict[str, str]:
        """The name of each state's new value: the author's, unless that value serves two states."""
        chosen: dict[str, str] = {}
        self.copies: dict[str, Value] = {}
        for state, value in self.carried.items():
            name = self.given.get(id(value))
            plain = value.kind in ("leaf", "transpose") or not value.dynamic
            if plain or name is None or name in chosen.values():
                own = not plain and name is None and state not in self.states  # made for the next step only
                stem = "o" if own and value is self.step.output else f"{state}_next"
                name = self.unique(f"{state}_new" if state in self.states else stem)
                if own:
                    self.given[id(value)] = name
                else:
                    self.copies[name] = value
            chosen[state] = name
        return chosen

    def unique(self, name: str) -> str:
        """``name``, or the first numbered variant that is free; remembered as taken."""
        free = free_name(name, self.taken)
        self.taken.add(free)
        return free

    def _leaf(self, name: str, leaf: Value) -> Ref:
        d = self.declarations[name]
        labels = labels_of(d.sizes, d.role != "param")
        return Ref(self.state_value[name], labels, -1) if d.role in CARRIED else Ref(name, labels)

    def program(self) -> Program:
        for value in self._in_order():
            self.ref(value)
        for name, value in self.copies.items():
            self._copy(name, value, dynamic=True)
        output = self._result(self.step.output, "o") if self.step.output is not None else None
        loss = self._result(self.step.loss, "step_loss")
        total = self.unique("total_loss")
        operands = (Ref("weights", (TIME, BATCH)), Ref(loss, (TIME, BATCH)))
        self.equations[total] = Contract(total, (), operands)
        results = [("loss", total)]
        results += [("output", output)] if output else []
        results += [(s, v) for s, v in self.state_value.items()]
        carries = tuple(
            Carry(v, f"{s}0", -1, self.unique(f"{s}_last"), s not in self.states)
            for s, v in self.state_value.items()
        )
        return Program(self.title, self._arrays(), tuple(self.equations.values()), carries, tuple(results))

    def _arrays(self) -> tuple[Array, ...]:
        arrays = [
            Array(n, d.role, labels_of(d.sizes, d.role != "param"), d.onehot)  # type: ignore[arg-type]
            for n, d in self.declarations.items()
            if d.role in _ROLES
        ]
        arrays += [
            Array(f"{n}0", "initial", labels_of(d.sizes, True)[1:])
            for n, d in self.declarations.items()
            if d.role in CARRIED
        ]
        mask = [Array(MASK_NEXT, "mask", (TIME, BATCH))] if self.mode == "scheduled" else []
        return (*arrays, *mask, Array("weights", "weights", (TIME, BATCH)))

    def _in_order(self) -> list[Value]:
        """The author's named values that matter, in the order they were computed."""
        named = (v for v in reachable(self.wanted) if id(v) in self.given)
        return sorted(named, key=lambda v: v.serial)

    def _result(self, value: Value, hint: str) -> str:
        if value.dynamic and value.kind not in ("leaf", "transpose"):
            if id(value) not in self.given:
                value.hint = hint
            return self.ref(value, own=True).name
        name = self.unique(hint)
        self._copy(name, value, dynamic=True)
        return name

    def _copy(self, name: str, value: Value, dynamic: bool) -> None:
        ref = self.ref(value)
        self.equations[name] = Pointwise(name, labels_of(value.sizes, dynamic), symbol(ref), (ref,))

    def ref(self, value: Value, own: bool = False) -> Ref:
        """The array that holds a value, with its canonical labels; makes its equation if needed."""
        if id(value) in self.refs:
            return self.refs[id(value)]
        if value.kind == "transpose":
            inner = self.ref(value.args[0])
            labels = dict(zip(inner.labels[-2:], labels_of(value.sizes, False)[::-1], strict=True))
            ref = Ref(inner.name, tuple(labels.get(x, x) for x in inner.labels), inner.shift)
        else:
            name = self.given.get(id(value)) or self.unique(self._hint(value))
            ref = Ref(name, labels_of(value.sizes, value.dynamic))
            self.equations[name] = self._equation(name, ref.labels, value)
        self.refs[id(value)] = ref
        return ref

    def _hint(self, value: Value) -> str:
        if value.hint and value.hint != "onehot":
            return value.hint
        parts = [
            self.given.get(id(a)) or self._leaf_name(a) or a.hint for a in value.args if isinstance(a, Value)
        ]
        if value.kind == "matmul" and all(parts):
            return "_".join(p for p in parts if p)
        stem = value.name if value.kind == "pointwise" else value.kind
        return f"{stem}_{parts[0]}" if parts and parts[0] else stem

    def _leaf_name(self, value: Value) -> str:
        if value.kind == "transpose":
            return self._leaf_name(value.args[0])
        return next((r.name for i, r in self.refs.items() if i == id(value)), "")

    def _equation(self, name: str, labels: tuple[str, ...], value: Value) -> Equation:
        match value.kind:
            case "matmul":
                return Contract(name, labels, self._matmul_operands(value, labels))
            case "sum":
                return Contract(name, labels, (self.ref(value.args[0]),))
            case "peak":
                return Peak(name, labels, (self.ref(value.args[0]),))
        operands: dict[sp.Symbol, Ref] = {}
        expr = self._expression(value, operands, top=True)
        return self._pointwise(name, labels, expr, operands, value.sizes)

    def _matmul_operands(self, value: Value, labels: tuple[str, ...]) -> tuple[Ref, ...]:
        left, right = (self.ref(a) for a in value.args)
        a, b = value.args
        inner = a.sizes[-1]
        while inner in labels:
            inner += "'"
        outs = [x for x in labels if x not in (TIME, BATCH)]
        rows, columns = outs[: len(a.sizes) - 1], outs[len(a.sizes) - 1 :]
        return (_relabel(left, a, (*rows, inner)), _relabel(right, b, (inner, *columns)))

    def _expression(self, value: Any, operands: dict[sp.Symbol, Ref], top: bool = False) -> sp.Expr:
        if not isinstance(value, Value):
            return _constant(value)
        named = id(value) in self.given or id(value) in self.refs
        shared = self.uses[id(value)] > 1 or bool(value.hint)
        if not top and (value.kind != "pointwise" or named or shared):
            ref = self.ref(value)
            operands[symbol(ref)] = ref
            return symbol(ref)
        assert value.build is not None  # pointwise nodes always have one
        return value.build(*(self._expression(a, operands) for a in value.args))

    def _pointwise(
        self, name: str, labels: tuple[str, ...], expr: sp.Expr, operands: dict[sp.Symbol, Ref], sizes: Sizes
    ) -> Pointwise:
        if _splits(expr, operands):
            if expr.is_Pow and not expr.args[1].is_number:  # u**v = exp(v log(u))
                exponent = self._own(
                    self.unique(f"{name}_pre"), expr.args[1] * sp.log(expr.args[0]), operands, sizes
                )
                return _pointwise(name, labels, sp.exp(symbol(exponent)), {symbol(exponent): exponent})
            argument = expr.args[0]
            if not argument.is_Symbol:
                inner = self._own(self.unique(f"{name}_pre"), argument, operands, sizes)
                expr, operands = expr.func(symbol(inner), *expr.args[1:]), {symbol(inner): inner}
            return _pointwise(name, labels, expr, operands)
        expr = self._split(name, expr, operands, sizes)
        return _pointwise(name, labels, expr, operands)

    def _split(self, name: str, expr: sp.Expr, operands: dict[sp.Symbol, Ref], sizes: Sizes) -> sp.Expr:
        """Replace each function call by an equation of its own."""
        if expr.is_Atom or not expr.args or isinstance(expr, sp.Piecewise):
            return expr
        if _splits(expr, operands):
            argument = expr.args[0]
            stem = operands[argument].name if argument.is_Symbol else name
            key = (expr, tuple(sorted((s.name, operands[s]) for s in expr.free_symbols if s in operands)))
            if key not in self.split:
                function = _function_word(expr)
                self.split[key] = self._own(self.unique(f"{function}_{stem}"), expr, operands, sizes)
            ref = self.split[key]
            operands[symbol(ref)] = ref
            return symbol(ref)
        return expr.func(*(self._split(name, a, operands, sizes) for a in expr.args))

    def _own(self, name: str, expr: sp.Expr, operands: dict[sp.Symbol, Ref], sizes: Sizes) -> Ref:
        used = {s: r for s, r in operands.items() if s in expr.free_symbols}
        dynamic = any(TIME in r.labels for r in used.values())
        shape = next((sizes for r in used.values() if [x for x in r.labels if x not in (TIME, BATCH)]), ())
        labels = labels_of(shape, dynamic)
        self.equations[name] = self._pointwise(name, labels, expr, dict(used), shape)
        return Ref(name, labels)


def _usable(name: str) -> bool:
    """Whether a name of the author's may appear in generated code."""
    return re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) is not None and not keyword.iskeyword(name)


def _splits(expr: sp.Expr, operands: Mapping[sp.Symbol, Ref]) -> bool:
    """Whether this is a function call or a root (not of sizes and numbers alone)."""
    root = expr.is_Pow and not expr.args[1].is_Integer
    return (expr.func in FUNCTIONS or bool(root)) and not expr.free_symbols.isdisjoint(operands)


def _function_word(expr: sp.Expr) -> str:
    if expr.is_Pow:
        return "sqrt" if expr.args[1] == sp.Rational(1, 2) else "power"
    return str(expr.func.__name__.lower())


def _pointwise(
    name: str, labels: tuple[str, ...], expr: sp.Expr, operands: dict[sp.Symbol, Ref]
) -> Pointwise:
    free = expr.free_symbols
    return Pointwise(name, labels, expr, tuple(r for s, r in operands.items() if s in free))


def _relabel(ref: Ref, value: Value, wanted: tuple[str, ...]) -> Ref:
    """The ref under the labels that a contraction wants for the axes of ``value``."""
    change = dict(zip(labels_of(value.sizes, False), wanted, strict=True))
    return Ref(ref.name, tuple(change.get(x, x) for x in ref.labels), ref.shift)


def _constant(number: Any) -> sp.Expr:
    if isinstance(number, int) or float(number).is_integer():
        return sp.Integer(int(number))
    exact = sp.Rational(repr(float(number))).limit_denominator(10**12)
    return exact if math.isclose(float(exact), float(number), rel_tol=0) else sp.Float(float(number))

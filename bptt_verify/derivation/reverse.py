"""Reverse differentiation: from the equations of a step to the recursion of their cotangents (T2).

Each value v gets a cotangent ``v_bar = (∂L/∂v)ᵀ``. A contraction passes it on with its operands
swapped; a pointwise equation passes it on times its slope. What reads the previous step sends its
share there, which gives the recursion λ_t = c_t + J_{t+1}ᵀ λ_{t+1}; after the last backward step the
carried share is the gradient of the initial state.

With a gate ξ_t on its Jacobian the recursion is λ_t = c_t + ξ_{t+1} J_{t+1}ᵀ λ_{t+1} (T6, T7). What a loss
says of the previous state without passing a new one is part of c and is not gated; where a value within the
step sends back both, it has two cotangents.
"""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from bptt_verify.derivation.equations import Names, Operands, inline, pointwise
from bptt_verify.derivation.shares import Share
from bptt_verify.program import (
    BATCH,
    TIME,
    Array,
    Carry,
    Contract,
    Equation,
    Pack,
    Peak,
    Pointwise,
    Program,
    Ref,
    Select,
    symbol,
)
from bptt_verify.program.functions import derivative
from bptt_verify.program.surgery import prune

DIFFERENTIABLE = ("param", "input", "initial")


def adjoint(program: Program) -> Program:
    """Loss and gradient of every parameter, real input and initial state.

    Parameters
    ----------
    program : Program
        A forward program with the result ``"loss"``.

    Returns
    -------
    Program
        Forward and reverse equations. Results: ``"loss"``, and one gradient under the name of each
        differentiable array.
    """
    return _loss_adjoint(program, gated=False)


def gated_adjoint(program: Program) -> Program:
    """The same with gates (T, B), an array of the role ``"gates"``: ξ_t multiplies J_tᵀ λ_t (T6, T7)."""
    return _loss_adjoint(program, gated=True)


def _loss_adjoint(program: Program, gated: bool) -> Program:
    total = program.equation[dict(program.results)["loss"]]
    weights, loss = total.operands
    return _Reverse(program, keep=("loss",), final="zero", gated=gated).run({loss.name: Share.of(weights)})


def cotangent_adjoint(program: Program, gated: bool = False) -> Program:
    """Gradients from given cotangents of the output and of the final states.

    The given arrays are named ``output_cotangent`` and ``<state>_cotangent`` and have the role
    ``"cotangent"``; where ``gated``, there is one of the role ``"gates"`` too.
    """
    results = dict(program.results)
    seeds = {}
    reverse = _Reverse(program, keep=(), final="cotangent", gated=gated)
    if "output" in results:
        labels = program.labels(results["output"])
        name = reverse.names.unique("output_cotangent")
        reverse.arrays.append(Array(name, "cotangent", labels))
        seeds[results["output"]] = Share.of(Ref(name, labels))
    return reverse.run(seeds)


Key = tuple[str, bool]  # a value, and whether its cotangent is kept apart from what passed a new state


class _Reverse:
    def __init__(self, program: Program, keep: tuple[str, ...], final: str, gated: bool) -> None:
        self.program, self.keep, self.final = program, keep, final
        self.names = Names(program)
        self.arrays = list(program.arrays)
        self.equations: list[Equation] = list(program.equations)
        self.carries: list[Carry] = list(program.carries)
        self.shares: dict[Key, list[Share]] = {}
        self.back: dict[Key, list[Share]] = {}  # shares for the previous step's value
        self.slices: dict[Key, list[tuple[int, int, Ref]]] = {}
        self.back_name: dict[Key, str] = {}
        self.active = self._active()
        self.gate = self._gates() if gated else None
        self.reach = {c.value: self._reaching(c.value) for c in program.carries} if gated else {}

    def _gates(self) -> Ref:
        self.arrays.append(Array(self.names.unique("xi"), "gates", (TIME, BATCH)))
        return Ref(self.arrays[-1].name, (TIME, BATCH))

    def _reaching(self, value: str) -> set[str]:
        """Values that read a state of the step before, but not through a new state."""
        states = {c.value for c in self.program.carries}
        found: set[str] = set()
        for e in self.program.equations:
            if e.name not in states and any(
                r.name == value if r.shift else r.name in found for r in e.operands
            ):
                found.add(e.name)
        return found

    def _key(self, name: str, apart: bool) -> Key:
        return name, apart and any(name in found for found in self.reach.values())

    def _active(self) -> set[str]:
        """Values that depend on something differentiable."""
        active = {a.name for a in self.program.arrays if a.role in DIFFERENTIABLE and not a.index}
        active |= {c.value for c in self.program.carries}
        for e in self.program.equations:
            if not isinstance(e, Peak) and any(r.name in active for r in e.operands):
                active.add(e.name)
        return active

    def run(self, seeds: dict[str, Share]) -> Program:
        for name, share in seeds.items():
            self.shares.setdefault(self._key(name, True), []).append(share)
        for c in self.program.carries:
            explicit = not self.reach.get(c.value, set()).isdisjoint(seeds)
            self._expect_carry(c, False, "_gated" if explicit else "")
            if explicit:
                self._expect_carry(c, True, "_explicit")
        for e in reversed(self.program.equations):
            for key in ((e.name, False), (e.name, True)):
                if e.name in self.active and (self.shares.get(key) or key in self.slices):
                    self._push(e, self._cotangent(e, key), key[1])
        for c in self.program.carries:
            self._close_carry(c)
        results = [(k, dict(self.program.results)[k]) for k in self.keep]
        results += [(a.name, self._gradient(a)) for a in self.program.arrays if self._wanted(a)]
        whole = replace(
            self.program,
            name=f"{self.program.name}_adjoint",
            arrays=tuple(self.arrays),
            equations=tuple(self.equations),
            carries=tuple(self.carries),
            results=tuple(results),
        )
        return prune(inline(prune(whole), {e.name for e in self.program.equations}))

    def _wanted(self, a: Array) -> bool:
        return a.role in DIFFERENTIABLE and not a.index

    def _expect_carry(self, c: Carry, apart: bool, kind: str) -> None:
        """The share that the next step will send back to this value."""
        labels, state = self.program.labels(c.value), c.boundary.removesuffix("0")
        name = self.names.unique(f"{c.value}_prev_bar{'_explicit' if apart else ''}")
        self.back_name[c.value, apart] = name
        given = self.final == "cotangent" and not apart
        boundary = self.names.unique(f"{state}_cotangent" if given else f"{state}_beyond")
        self.arrays.append(Array(boundary, "cotangent" if given else "zero", labels[1:]))
        end = self.names.unique(f"{c.boundary}_bar{kind}")
        self.carries.append(Carry(name, boundary, 1, end, c.fed))
        self.shares.setdefault((c.value, False), []).append(Share.of(Ref(name, labels, 1)))

    def _close_carry(self, c: Carry) -> None:
        labels, name = self.program.labels(c.value), self.back_name[c.value, False]
        shares = self.back.get((c.value, False), [])
        if self.gate is None:
            self._combine(name, labels, shares)
            return
        whole = self._combine(self.names.unique(f"{name}_open"), labels, shares)
        operands = {symbol(self.gate): self.gate, symbol(whole): whole}
        self.equations.append(pointwise(name, labels, symbol(self.gate) * symbol(whole), operands))
        if (c.value, True) in self.back_name:
            self._combine(self.back_name[c.value, True], labels, self.back.get((c.value, True), []))

    def _gradient(self, a: Array) -> str:
        if a.role == "initial":
            value = next(c.value for c in self.program.carries if c.boundary == a.name)
            return self._initial_gradient(a, value)
        name = self.names.unique(f"{a.name}_bar")
        found = self._combine(name, a.labels, self.shares.get((a.name, False), []), alias=True)
        if any(
            given.name == found.name for given in self.arrays
        ):  # a gradient is never an array that was given
            self.equations.append(pointwise(name, a.labels, symbol(found), {symbol(found): found}))
            return name
        return found.name

    def _initial_gradient(self, a: Array, value: str) -> str:
        """What step 1 sends back: gated, and explicitly."""
        names = [self.back_name[key] for key in ((value, False), (value, True)) if key in self.back_name]
        ends = [Ref(next(c.end for c in self.carries if c.value == name), a.labels) for name in names]
        if len(ends) == 1:
            return ends[0].name
        total = sp.Add(*map(symbol, ends))
        self.equations.append(
            pointwise(self.names.unique(f"{a.name}_bar"), a.labels, total, {symbol(r): r for r in ends})
        )
        return self.equations[-1].name

    def _cotangent(self, e: Equation, key: Key) -> Ref:
        shares = list(self.shares.get(key, []))
        if key in self.slices:
            shares += self._packed(e, self.slices[key])
        name = self.names.unique(f"{e.name}_bar{'_explicit' if key[1] else ''}")
        return self._combine(name, e.labels, shares, alias=True)

    def _combine(self, name: str, labels: tuple[str, ...], shares: list[Share], alias: bool = False) -> Ref:
        """One equation for the sum of all shares; none where the sum is another array as it stands."""
        if len(shares) == 1 and shares[0].expr is None:
            share = shares[0].relabelled(labels)
            self.equations.append(Contract(name, labels, tuple(share.operands.values())))
            return Ref(name, labels)
        terms: list[sp.Expr] = []
        operands: Operands = {}
        for share in (s.relabelled(labels) for s in shares):
            if share.expr is None:
                part = Ref(self.names.unique(f"{name}_{share.source}"), labels)
                self.equations.append(Contract(part.name, labels, tuple(share.operands.values())))
                share = Share.of(part)
            assert share.expr is not None
            terms.append(share.expr)
            operands.update(share.operands)
        total = sp.Add(*terms)
        if alias and total.is_Symbol and self._stands_for(operands[total], labels):
            return operands[total]
        self.equations.append(pointwise(name, labels, total, operands))
        return Ref(name, labels)

    def _stands_for(self, ref: Ref, labels: tuple[str, ...]) -> bool:
        """Whether an array can be used for a cotangent as it is: of this step, with these axes."""
        return ref.labels == labels and not ref.shift and ref.name not in self.program.array

    def _packed(self, e: Equation, slices: list[tuple[int, int, Ref]]) -> list[Share]:
        """The cotangent of a pack from those of its slots: packs of slots that do not overlap."""
        layers: list[list[tuple[int, int, Ref]]] = []
        for part in sorted(slices, key=lambda s: s[:2]):
            layer = next((x for x in layers if x[-1][1] <= part[0]), None)
            if layer is None:
                layers.append(layer := [])
            layer.append(part)
        return [self._layer(e, layer) for layer in layers]

    def _layer(self, e: Equation, slices: list[tuple[int, int, Ref]]) -> Share:
        """One pack of cotangents, zero in the slots that have none."""
        axis = _pack_axis(e)
        at, members = 0, []
        slots = int(e.labels[axis].rstrip("'"))
        for low, high, ref in [*slices, (slots, slots, None)]:
            members += [self._zero((*e.labels[:axis], *e.labels[axis + 1 :])) for _ in range(at, low)]
            members += [ref] if ref is not None else []
            at = high
        name = self.names.unique(f"{e.name}_bar")
        self.equations.append(Pack(name, e.labels, tuple(members), axis))
        return Share.of(Ref(name, e.labels))

    def _zero(self, labels: tuple[str, ...]) -> Ref:
        name = self.names.unique("nothing")
        self.equations.append(Pointwise(name, labels, sp.Integer(0), ()))
        return Ref(name, labels)

    def _push(self, e: Equation, bar: Ref, apart: bool) -> None:
        match e:
            case Pointwise():
                self._push_pointwise(e, bar, apart)
            case Contract():
                self._push_contract(e, bar, apart)
            case Pack():
                low = 0
                for r, slots in zip(e.operands, e.slots, strict=True):
                    part = Select(
                        self.names.unique(f"{r.name}_bar"), r.labels, (bar,), e.axis, low, low + slots
                    )
                    self.equations.append(part)
                    self._send(r, Share.of(Ref(part.name, r.labels)), apart)
                    low += slots
            case Select(operands=(source,)):
                self.slices.setdefault(self._key(source.name, apart), []).append((e.low, e.high, bar))

    def _send(self, to: Ref, share: Share, apart: bool) -> None:
        if to.shift:
            self.back.setdefault((to.name, apart), []).append(share)
        else:
            self.shares.setdefault(self._key(to.name, apart), []).append(share)

    def _push_pointwise(self, e: Pointwise, bar: Ref, apart: bool) -> None:
        own = symbol(Ref(e.name, e.labels))
        known: Operands = {symbol(r): r for r in e.operands} | {own: Ref(e.name, e.labels), symbol(bar): bar}
        for r in e.operands:
            if r.name not in self.active:
                continue
            slope = derivative(e.expr, symbol(r), own)
            if slope == 0:
                continue
            if set(r.labels) == set(e.labels):
                expr = symbol(bar) * slope
                used: Operands = {s: known[s] for s in (symbol(bar), *known) if expr.has(s)}
                self._send(r, Share(r.labels, used, expr, e.name), apart)
            else:
                self._send(r, self._summed(e, bar, slope, known, r), apart)

    def _summed(self, e: Pointwise, bar: Ref, slope: sp.Expr, known: Operands, r: Ref) -> Share:
        """A broadcast operand: its share is summed over the labels it lacks."""
        if slope == 1:
            return Share(r.labels, {symbol(bar): bar}, None, e.name)
        if slope in known and slope != symbol(bar):
            return Share(r.labels, {symbol(bar): bar, slope: known[slope]}, None, e.name)
        labels = tuple(x for x in e.labels)
        name = self.names.unique(f"{r.name}_bar_{e.name}_terms")
        self.equations.append(pointwise(name, labels, symbol(bar) * slope, known))
        part = Ref(name, labels)
        return Share(r.labels, {symbol(part): part}, None, e.name)

    def _push_contract(self, e: Contract, bar: Ref, apart: bool) -> None:
        for i, r in enumerate(e.operands):
            if r.name not in self.active:
                continue
            others = [bar, *(o for j, o in enumerate(e.operands) if j != i)]
            missing = set(r.labels) - {x for o in others for x in o.labels}
            summed = {x for o in others for x in o.labels} - set(r.labels)
            if not missing:
                elementwise = any(set(o.labels) == set(r.labels) for o in others) and not summed
                expr = sp.Mul(*map(symbol, others)) if elementwise else None
                self._send(r, Share(r.labels, {symbol(o): o for o in others}, expr, e.name), apart)
                continue
            if len(others) == 1:  # a sum: every entry gets the same cotangent
                self._send(r, Share(r.labels, {symbol(bar): bar}, symbol(bar), e.name), apart)
            else:
                kept = tuple(x for x in r.labels if x not in missing)
                part = Ref(self.names.unique(f"{r.name}_bar_{e.name}_part"), kept)
                self.equations.append(Contract(part.name, kept, tuple(others)))
                self._send(r, Share(r.labels, {symbol(part): part}, symbol(part), e.name), apart)


def _pack_axis(e: Equation) -> int:
    return next(i for i, x in enumerate(e.labels) if x.rstrip("'").isdigit())

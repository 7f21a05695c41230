"""A Program as the body of a Python function: loops over t where the program recurs, whole arrays elsewhere.

Two styles print the same program. ``plain`` writes each equation as one expression. ``fast`` writes
into buffers that are allocated once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import sympy as sp

from bptt_verify.codegen.calls import OUT, Call, Calls, in_place
from bptt_verify.codegen.gating import gated_carries, product_part
from bptt_verify.codegen.products import matrix_product
from bptt_verify.codegen.scope import Scope
from bptt_verify.codegen.storage import Store, takeovers
from bptt_verify.codegen.values import needs_rows, one_hot, operand_codes, value
from bptt_verify.program import (
    TIME,
    Component,
    Contract,
    Equation,
    Pack,
    Pointwise,
    Program,
    Ref,
    Select,
    formula,
    symbol,
)
from bptt_verify.program.spelling import negative, ordered

INDENT = "    "
BACKWARD = "# Backward in time. T2: λ_t = c_t + J_{t+1}ᵀ λ_{t+1}"
GATED = "# Backward in time, where λ_t is not zero. T6, T7: λ_t = c_t + ξ_{t+1} J_{t+1}ᵀ λ_{t+1}"
FORWARD = "# Forward in time."


class Body:
    """Writes the statements of one program.

    Parameters
    ----------
    program : Program
    size : callable
        The code of a size word.
    style : {"plain", "fast"}
    """

    def __init__(self, program: Program, size: Callable[[str], str], style: str) -> None:
        self.program, self.fast = program, style == "fast"
        self.scope = Scope(program, size, self.fast)
        self.scope.dense = needs_rows(program, self.scope.size)

    def write(self) -> list[str]:
        """The statements, without indentation of the function."""
        classes = {n: self.scope.size(self.program.array[n].labels[-1]) for n in sorted(self.scope.dense)}
        lines = [f"{n}_onehot = np.eye({count}, dtype=dtype)[{n}]" for n, count in classes.items()]
        units = {a.name: a.labels[0] for a in self.program.arrays if a.role == "identity"}
        lines += [
            f"{self.scope.codes[n]} = np.eye({self.scope.size(x)}, dtype=dtype)" for n, x in units.items()
        ]
        for part in self.scope.parts:
            lines += self._loop(part) if part.direction else self._whole(part)
        return lines

    def result(self, name: str) -> str:
        """The code of a result after all statements."""
        return self.scope.result(name)

    # ---- whole arrays ----

    def _whole(self, part: Component) -> list[str]:
        lines = []
        for e in part.equations:
            if not (isinstance(e, Select) and self.scope.stores[e.name].kind == "slot"):
                only = ", at the first step only" if self.scope.stores[e.name].kind == "rolling" else ""
                lines += [f"# {formula(e)}{only}", *self._carried(e), *self._statement(e)]
        return lines

    def _first_step(self, e: Equation) -> list[str]:
        """A value that is wanted of step 1 only."""
        self.scope.enter_loop()
        self.scope.row = "0"
        before, line = self.scope.bind([f"{self.scope.codes[e.name]} = {value(e, self.scope)}"])
        self.scope.leave_loop()
        return [*before, *line]

    def _statement(self, e: Equation) -> list[str]:
        if self.scope.stores[e.name].kind == "rolling":
            return self._first_step(e)
        if isinstance(e, Pack) and TIME in e.labels:
            return [*self._allocated(e.name), *self._copied_members(e)]
        host = self.scope.used_up(e)
        if host is not None and isinstance(e, Pointwise):
            return self._added(e, host)
        if self.fast and self.scope.stores[e.name].kind == "series" and (made := self._made_in_place(e)):
            return made
        return self._assigned(e, value(e, self.scope))

    def _made_in_place(self, e: Equation) -> list[str]:
        """A whole series computed into its buffer; empty where that needs an expression."""
        scope, code = self.scope, self.scope.codes[e.name]
        start = f"{code} = {scope.empty(e.name, e.labels)}"
        if isinstance(e, Pointwise) and in_place(e.expr):
            scope.temporaries = {}
            calls = self._calls(e, code)
            return [start, *(f"{name} = {text}" for name, text in scope.temporaries.items()), *calls]
        looked_up = isinstance(e, Contract) and one_hot(e, self.program, scope.read, scope.size) is not None
        dot = self._dot(e, code) if isinstance(e, Contract) and not looked_up else []
        return [start, *dot] if dot else []

    def _dot(self, e: Contract, target: str) -> list[str]:
        """The contraction as ``np.dot`` into ``target``; empty where it is no matrix product."""
        if len(e.operands) != 2:
            return []
        scope = self.scope
        a, b = (scope.read(r) for r in e.operands)
        product = matrix_product(a, b, scope.own(e.labels), scope.size)
        if product is None:
            return []
        into = f"{target}.reshape({', '.join(product.shape)})" if product.reshaped else target
        parts = (product.left, product.right, into)
        left, right, into = (scope.fixed_view(x) for x in parts) if scope.row else parts
        return [f"np.dot({left}, {right}, out={into})"]

    def _added(self, e: Pointwise, host: Ref) -> list[str]:
        """``host`` under its new name, the other terms added in place."""
        code = self.scope.codes[e.name]
        lines = [f"{code} = {self.scope.codes[host.name]}"]
        rank = {symbol(r): k for k, r in enumerate(e.operands)}
        for term in ordered(e.expr, rank):
            if term != symbol(host):
                part = replace(e, expr=-term if negative(term) else term)
                lines.append(f"{code} {'-' if negative(term) else '+'}= {value(part, self.scope)}")
        return lines

    def _carried(self, e: Equation) -> list[str]:
        """The series of a carried value, with its boundary filled in."""
        scope = self.scope
        if scope.stores[e.name].kind != "carried":
            return []
        carry, code = self.program.carry[e.name], scope.codes[e.name]
        edge = "0" if self.program.array[carry.boundary].role == "zero" else carry.boundary
        start = f"{code} = {scope.empty(e.name, e.labels, extra=True)}"
        return [start, f"{code}[{0 if carry.shift < 0 else -1}] = {edge}"]

    def _assigned(self, e: Equation, text: str) -> list[str]:
        """``text`` as the value of a whole array or of a part of one."""
        scope, code = self.scope, self.scope.codes[e.name]
        store = scope.stores[e.name]
        if store.kind not in ("series", "static"):
            before = self._allocated(store.source) if store.kind == "slot" else []
            return [*before, self._into(scope.read(Ref(e.name, e.labels)).code, text)]
        if isinstance(e, Pointwise) and e.expr.is_Symbol and e.name in dict(self.program.results).values():
            text = f"{text}.copy()"  # what is returned is never the caller's own array
        if isinstance(e, Pointwise) and not e.operands:  # a constant still has a shape and a dtype
            shape = ", ".join(map(scope.size, e.labels))
            return [f"{code} = np.full([{shape}], {text}, dtype)"]
        if _leaves_out_an_axis(e):
            return [f"{code} = {scope.empty(e.name, e.labels)}", f"{code}[...] = {text}"]
        return [f"{code} = {text}"]

    def _allocated(self, name: str) -> list[str]:
        """The statement that makes a pack's buffer, the first time it is needed."""
        if name in self.scope.allocated:
            return []
        self.scope.allocated.add(name)
        return [f"{self.scope.codes[name]} = {self.scope.empty(name, self.program.labels(name))}"]

    def _into(self, target: str, text: str) -> str:
        return f"{target} = {text}" if target.endswith("]") else f"{target}[...] = {text}"

    def _copied_members(self, e: Pack) -> list[str]:
        """Members of a pack that lie elsewhere are copied in; the others were computed in place."""
        scope, lines, low = self.scope, [], 0
        for r, slots in zip(e.operands, e.slots, strict=True):
            own = scope.stores[r.name]
            if own.kind != "slot" or own.source != e.name:
                single = slots == 1 and len(r.labels) < len(e.labels)
                place = Store("slot", e.name, low, low + slots, e.axis)
                target = scope.slot(place, r if single else Ref(r.name, e.labels))
                lines.append(f"{target}[...] = {scope.read(r).code}")
            low += slots
        return lines

    # ---- loops ----

    def _loop(self, part: Component) -> list[str]:
        scope = self.scope
        late = product_part(self.program, part)
        part = replace(part, equations=tuple(sorted(part.equations, key=lambda e: e.name in late)))
        before = [line for e in part.equations for line in self._buffers(e)]
        before += self._zeros(part) if late else []
        scope.enter_loop()
        scope.taken = takeovers(part, scope.stores, _safe(part)) if self.fast else {}
        statements = [line for e in part.equations if e.name not in late for line in self._step(e)]
        if late:
            statements += self._closed(part)
            statements += [line for e in part.equations if e.name in late for line in self._step(e)]
        views, inside = scope.bind(statements)
        for e in part.equations:
            if self.fast and scope.stores[e.name].kind == "step" and e.name not in scope.taken:
                before.append(f"{scope.codes[e.name]} = {scope.empty(e.name, e.labels[1:])}")
        before += [f"{name} = {text}" for name, text in scope.temporaries.items()]
        before += [*views, *(f"{name} = {code}" for code, name in scope.views.items())]
        scope.leave_loop()
        span = "range(T)" if part.direction > 0 else "reversed(range(T))"
        title = FORWARD if part.direction > 0 else BACKWARD
        title, span = (GATED, "steps") if late else (title, span)
        return [*before, title, f"for t in {span}:", *(INDENT + line for line in inside)]

    def _zeros(self, part: Component) -> list[str]:
        """What the loop leaves out is zero: whole packs, where all their members are made in it."""
        scope, made = self.scope, {e.name for e in part.equations}
        wanted: dict[str, None] = {}
        for e in part.equations:
            store, name = scope.stores[e.name], e.name
            if store.kind == "slot" and scope.stores[store.source].kind == "series":
                pack = self.program.equation[store.source]
                name = pack.name if all(r.name in made for r in pack.operands) else name
            elif store.kind not in ("series", "carried"):
                continue
            wanted[scope.read(Ref(name, self.program.labels(name))).code] = None
        return [f"{code}[~live] = 0" for code in wanted]

    def _closed(self, part: Component) -> list[str]:
        """Where the gate is zero for the whole batch no product is made."""
        carried = (Ref(n, self.program.labels(n)) for n in gated_carries(self.program, part))
        zeros = (f"{INDENT}{self.scope.read(r).code}[...] = 0" for r in carried)
        return ["if not opens[t]:", *zeros, f"{INDENT}continue"]

    def _buffers(self, e: Equation) -> list[str]:
        """What must exist before the loop starts."""
        scope, code = self.scope, self.scope.codes[e.name]
        store = scope.stores[e.name]
        if store.kind == "carried":
            return self._carried(e)
        if store.kind == "rolling":
            boundary = self.program.carry[e.name].boundary
            if self.program.array[boundary].role == "zero":
                return [f"{code} = np.zeros([{', '.join(map(scope.size, e.labels[1:]))}], dtype)"]
            return [f"{code} = {boundary}.astype(dtype)"]
        if store.kind == "series":
            if e.name in scope.allocated:  # a pack, some of whose members were computed before the loop
                return []
            scope.allocated.add(e.name)
            return [f"{code} = {scope.empty(e.name, e.labels)}"]
        if store.kind == "slot" and not isinstance(e, Select) and scope.stores[store.source].kind == "series":
            looped = {x.name for p in scope.parts if p.direction for x in p.equations}
            return [] if store.source in looped else self._allocated(store.source)
        if not self.fast and isinstance(e, Pack) and store.kind == "step":
            return [f"{code} = {scope.empty(e.name, e.labels[1:])}"]
        return []

    def _step(self, e: Equation) -> list[str]:
        """The statements of one equation inside the loop."""
        scope = self.scope
        store = scope.stores[e.name]
        if isinstance(e, Select) and store.kind == "slot":
            return []
        note = f"# {formula(e)}"
        if isinstance(e, Pack):
            copied = self._copied_members(e)
            return [note, *copied] if copied else []
        target = scope.read(Ref(e.name, e.labels)).code
        if not self.fast and store.kind in ("step", "rolling"):
            return [note, f"{target} = {self._in_shape(e, value(e, scope))}"]
        if self.fast and isinstance(e, Pointwise) and in_place(e.expr):
            return [note, *self._calls(e, target)]
        if (
            self.fast
            and isinstance(e, Contract)
            and self._contiguous(e.name)
            and (dot := self._dot(e, target))
        ):
            return [note, *dot]
        return [note, f"{target}[...] = {value(e, scope)}"]

    def _in_shape(self, e: Equation, text: str) -> str:
        """The value in its own shape, where its operands leave out an axis (gates that cancel)."""
        sizes = ", ".join(self.scope.size(x) for x in e.labels if x != TIME)
        return f"np.broadcast_to({text}, ({sizes}))" if _leaves_out_an_axis(e) else text

    def _contiguous(self, name: str) -> bool:
        """Whether the value's row is contiguous, as ``np.dot`` wants its output."""
        while name in self.scope.taken:
            name = self.scope.taken[name]
        return self.scope.stores[name].kind != "slot"

    def _calls(self, e: Pointwise, target: str) -> list[str]:
        """A pointwise equation as calls that write into ``target``."""
        names, rank = operand_codes(e, self.scope)
        plan = Calls(e.expr, rank)
        labels = self.scope.own(e.labels)
        temporaries = [self.scope.temporary(labels, k) for k in range(plan.temporaries)]

        def text(a: object) -> str:
            if a is OUT:
                return target
            if isinstance(a, int):
                return temporaries[a]
            return names[a] if isinstance(a, sp.Symbol) else str(a)

        return [_call_text(c, text) for c in plan.calls]


def _safe(part: Component) -> dict[str, set[str]]:
    """For each pointwise equation, the operands not read after its first write."""
    safe = {}
    for e in part.equations:
        if isinstance(e, Pointwise) and in_place(e.expr):
            calls = Calls(e.expr, {symbol(r): i for i, r in enumerate(e.operands)}).calls
            first = next(k for k, c in enumerate(calls) if c.out is OUT)
            late = {a for c in calls[first + 1 :] for a in c.args}
            safe[e.name] = {r.name for r in e.operands if symbol(r) not in late and not r.shift}
    return safe


def _call_text(c: Call, text: Callable[[object], str]) -> str:
    if c.function == "np.copyto":
        return f"{text(c.out)}[...] = {text(c.args[0])}"
    return f"{c.function}({', '.join(map(text, c.args))}, out={text(c.out)})"


def _leaves_out_an_axis(e: Equation) -> bool:
    """Whether the operands have not all the axes of the value, so that it must be broadcast."""
    return isinstance(e, Pointwise) and {x for r in e.operands for x in r.labels} < set(e.labels)

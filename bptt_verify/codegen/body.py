"""A Program as the body of a Python function: loops over t where the program recurs, whole arrays elsewhere.

Two styles print the same program. ``plain`` writes each equation as one expression. ``fast`` writes
into buffers that are allocated once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import sympy as sp

from bptt_verify.codegen.calls import OUT, Call, Calls, expression, in_place
from bptt_verify.codegen.products import Operand, einsum, matrix_product
from bptt_verify.codegen.storage import Store, layout, takeovers
from bptt_verify.program import (
    BATCH,
    TIME,
    Component,
    Contract,
    Equation,
    Pack,
    Peak,
    Pointwise,
    Program,
    Ref,
    Select,
    components,
    formula,
    size_of,
    size_symbol,
    symbol,
)

INDENT = "    "
BACKWARD = "# Backward in time. T2: λ_t = c_t + J_{t+1}ᵀ λ_{t+1}"
FORWARD = "# Forward in time."
# What generated functions use besides the names of the program.
USED_NAMES = frozenset({"np", "scipy", "t", "dtype", "range", "reversed", "dict", "Trace", "buffer", "workspace"})


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
        self.size_text = lambda label: label.rstrip("'") if label.rstrip("'").isdigit() else size(size_of(label))
        self.parts = components(program)
        self.stores = layout(program, self.parts)
        self.row: str = ""  # the loop index while inside a loop
        self.taken: dict[str, str] = {}
        self.fixed: list[str] = []
        self.rows: list[str] = []
        self.row_names: list[str] = []
        self.views: dict[str, str] = {}
        self.temporaries: dict[str, str] = {}
        self.work: dict[str, tuple[str, ...]] = {}  # labels of the temporaries
        self.scratch: dict[str, str] = {}
        self.codes = _codes(program)
        sizes = {self.size_text(x) for name in program.names() for x in program.labels(name)}
        self.names = {*self.codes.values(), *sizes}  # not free for rows and temporaries
        self.returned = self._returned()
        self.dense = {
            r.name
            for e in program.equations
            for r in e.operands
            if r.name in program.array and program.array[r.name].index and not self._indexable(e)
        }

    def write(self) -> list[str]:
        """The statements, without indentation of the function."""
        lines = [
            f"{n}_onehot = np.eye({self.size_text(self.program.array[n].labels[-1])}, dtype=dtype)[{n}]"
            for n in sorted(self.dense)
        ]
        for part in self.parts:
            lines += self._loop(part) if part.direction else self._whole(part)
        return lines

    def _returned(self) -> set[str]:
        """Values whose memory is handed out: the results, and what they are views of or made in."""
        names = {n for _, n in self.program.results}
        names |= {self.program.end[n].value for n in names if n in self.program.end}
        for e in reversed(self.program.equations):
            if e.name in names:
                if isinstance(e, Select):
                    names.add(e.operands[0].name)
                host = self._used_up(e)
                names |= {host.name} if host else set()
            if self.stores[e.name].kind == "slot" and self.stores[e.name].source in names:
                names.add(e.name)
        return names

    def result(self, name: str) -> str:
        """The code of a result after all statements."""
        if name in self.program.end:
            carry = self.program.end[name]
            code = self.codes[carry.value]
            return code if self.stores[carry.value].kind == "rolling" else f"{code}[{-1 if carry.shift < 0 else 0}]"
        return self._read(Ref(name, self.program.labels(name))).code

    # ---- reading ----

    def _read(self, r: Ref) -> Operand:
        """The code that reads an array, in a loop the row of this step."""
        if r.name in self.program.end:
            return Operand(self.result(r.name), r.labels)
        store = self.stores[r.name]
        code, in_loop = self.codes[r.name], bool(self.row) and TIME in r.labels
        labels = r.labels[1:] if in_loop else r.labels
        if r.name in self.dense:
            code = f"{r.name}_onehot"
        if in_loop and r.name in self.taken:
            return replace(self._read(Ref(self.taken[r.name], r.labels)), labels=labels)
        if store.kind == "slot":
            return Operand(self._slot(store, r), labels)
        if TIME not in r.labels or store.kind in ("step", "rolling"):
            return Operand(code, labels)
        if store.kind == "carried":
            return Operand(self._carried(r, code), labels)
        if r.shift:
            raise ValueError(f"{r.name} is read across steps but not carried")
        return Operand(self._bound(f"{code}[{self.row}]", f"{code}_t") if in_loop else code, labels)

    def _carried(self, r: Ref, code: str) -> str:
        """A carried series: forward it starts with the boundary, backward it ends with it."""
        late = self.program.carry[r.name].shift < 0
        neighbour = bool(r.shift)
        if self.row:
            index = "t + 1" if late != neighbour else "t"
            return self._bound(f"{code}[{index}]", f"{code}_{('prev' if late else 'next') if neighbour else 't'}")
        return f"{code}[1:]" if late != neighbour else f"{code}[:-1]"

    def _slot(self, store: Store, r: Ref) -> str:
        labels = self.program.labels(store.source)
        source = self._read(Ref(store.source, labels))
        axis = source.labels.index(labels[store.axis])
        span = str(store.low) if store.high == store.low + 1 and len(r.labels) < len(labels) else f"{store.low}:{store.high}"
        index = ", ".join([*[":"] * axis, span])
        code = f"{source.code}[{index}]"
        return self._bound(code, f"{r.name}_t") if self.row and TIME in r.labels else code

    def _bound(self, code: str, name: str) -> str:
        """A marker for a row view, so that views used twice can be bound to a name."""
        if not self.row:
            return code
        if code not in self.rows:
            self.rows.append(code)
            self.row_names.append(name)
        return f"\x00{self.rows.index(code)}\x00"

    # ---- whole arrays ----

    def _whole(self, part: Component) -> list[str]:
        self.row, self.taken = "", {}
        lines = []
        for e in part.equations:
            if isinstance(e, Select) and self.stores[e.name].kind == "slot":
                continue
            lines.append(f"# {formula(e)}")
            lines += self._prepare_carried(e)
            if isinstance(e, Pack) and TIME in e.labels:
                lines += self._pack(e)
            elif (host := self._used_up(e)) is not None and isinstance(e, Pointwise):
                lines += self._added(e, host)
            elif self.fast and self.stores[e.name].kind == "series" and (made := self._made_in_place(e)):
                lines += made
            else:
                lines += self._assign(e, self._value(e))
        return lines

    def _made_in_place(self, e: Equation) -> list[str]:
        """A whole series computed into its buffer; empty where that needs an expression."""
        code = self.codes[e.name]
        start = f"{code} = {self._empty(e.name, e.labels)}"
        if isinstance(e, Pointwise) and in_place(e.expr):
            self.temporaries = {}
            calls = self._calls(e, code)
            return [start, *(f"{name} = {text}" for name, text in self.temporaries.items()), *calls]
        if isinstance(e, Contract) and len(e.operands) == 2 and self._one_hot(e, self._read) is None:
            product = matrix_product(*(self._read(r) for r in e.operands), e.labels, self.size_text)
            if product is not None:
                into = f"{code}.reshape({', '.join(product.shape)})" if product.reshaped else code
                return [start, f"np.dot({product.left}, {product.right}, out={into})"]
        return []

    def _used_up(self, e: Equation) -> Ref | None:
        """A product that only this sum reads, so that the sum can be made in its memory."""
        if not (self.fast and isinstance(e, Pointwise) and e.expr.is_Add and self.stores[e.name].kind == "series"):
            return None
        for r in e.operands:
            own = self.program.equation.get(r.name)
            plain = isinstance(own, Contract) and self.stores[r.name].kind == "series" and r.labels == e.labels
            alone = sum(r.name == o.name for x in self.program.equations for o in x.operands) == 1
            if plain and alone and symbol(r) in e.expr.args and r.name not in (n for _, n in self.program.results):
                return r
        return None

    def _added(self, e: Pointwise, host: Ref) -> list[str]:
        """``host`` under its new name, the other terms added in place."""
        rest = replace(e, expr=e.expr - symbol(host), operands=tuple(o for o in e.operands if o != host))
        code = self.codes[e.name]
        return [f"{code} = {self.codes[host.name]}", f"{code} += {self._expression(rest)}"]

    def _pack(self, e: Pack) -> list[str]:
        """A pack of whole series: members that were not computed in place are copied in."""
        lines = [] if self._allocated(e.name) else [self._allocate(e.name)]
        return lines + self._copied_members(e)

    def _prepare_carried(self, e: Equation) -> list[str]:
        if self.stores[e.name].kind != "carried":
            return []
        carry = self.program.carry[e.name]
        code = self.codes[e.name]
        lines = [f"{code} = {self._empty(e.name, e.labels, extra=True)}"]
        return [*lines, f"{code}[{0 if carry.shift < 0 else -1}] = {self._boundary(carry.boundary)}"]

    def _boundary(self, name: str) -> str:
        return "0" if self.program.array[name].role == "zero" else name

    def _empty(self, name: str, labels: tuple[str, ...], extra: bool = False) -> str:
        """An uninitialised array: from the workspace, unless it is returned."""
        sizes = [self.size_text(x) for x in labels]
        if extra:
            sizes[0] += " + 1"
        if self.fast and name not in self.returned:
            return f'buffer("{name}", {", ".join(sizes)})'
        return f"np.empty(({', '.join(sizes)}{',' if len(sizes) == 1 else ''}), dtype)"

    def _assign(self, e: Equation, value: str) -> list[str]:
        store, code = self.stores[e.name], self.codes[e.name]
        if store.kind in ("series", "static"):
            whole = isinstance(e, Pointwise) and {x for r in e.operands for x in r.labels} < set(e.labels)
            return [f"{code} = {self._empty(e.name, e.labels)}", f"{code}[...] = {value}"] if whole and e.labels else [f"{code} = {value}"]
        if store.kind == "slot" and not self.row and not self._allocated(store.source):
            return [self._allocate(store.source), f"{self._read(Ref(e.name, e.labels)).code} = {value}"]
        target = self._read(Ref(e.name, e.labels)).code
        return [f"{target} = {value}" if target.endswith("]") else f"{target}[...] = {value}"]

    def _allocated(self, name: str) -> bool:
        return name in self.scratch

    def _allocate(self, name: str) -> str:
        self.scratch[name] = self._empty(name, self.program.labels(name))
        return f"{self.codes[name]} = {self.scratch[name]}"

    # ---- values as expressions ----

    def _value(self, e: Equation) -> str:
        match e:
            case Pointwise():
                return self._expression(e)
            case Contract():
                return self._contraction(e)
            case Peak():
                operand = self._read(e.operands[0])
                own = e.labels[1:] if self.row else e.labels
                axes = [i for i, x in enumerate(operand.labels) if x not in own]
                return f"{operand.code}.real.max(axis={axes[0] if len(axes) == 1 else tuple(axes)})"
            case Pack():
                members = ", ".join(self._read(r).code for r in e.operands)
                return f"np.stack(({members}))"  # parameters; series are packed in place
            case Select():
                return self._slot(Store("slot", e.operands[0].name, e.low, e.high, e.axis), Ref(e.name, e.labels))

    def _operand_codes(self, e: Pointwise) -> tuple[dict[sp.Symbol, str], dict[sp.Symbol, int]]:
        out = e.labels[1:] if self.row else e.labels
        names = {symbol(r): aligned(self._read(r), out) for r in e.operands}
        names |= {s: self.size_text(s.name.strip("|")) for s in e.expr.free_symbols if s not in names and _is_size(s)}
        return names, {symbol(r): i for i, r in enumerate(e.operands)}

    def _expression(self, e: Pointwise) -> str:
        names, rank = self._operand_codes(e)
        text = expression(e.expr, names, rank)
        if not e.operands and e.labels:
            return f"{text}"
        return text

    def _indexable(self, e: Equation) -> bool:
        """Whether a class array is only looked up or scattered here, never needed as one-hot rows."""
        return isinstance(e, Contract) and self._one_hot(e, lambda r: Operand(r.name, r.labels)) is not None

    def _one_hot(self, e: Contract, read: Callable[[Ref], Operand]) -> str | None:
        """A contraction with a class array as a look-up or a scatter."""
        index = [r for r in e.operands if r.name in self.program.array and self.program.array[r.name].index]
        if len(index) != 1 or len(e.operands) != 2:
            return None
        (x,) = index
        other = next(r for r in e.operands if r is not x)
        classes, o = x.labels[-1], read(other)
        if TIME not in other.labels and len(other.labels) == 2 and classes in other.labels:
            table = f"{o.code}.T" if other.labels[1] == classes else o.code
            return f"{table}[{x.name}]" if e.labels[:2] == x.labels[:2] else None
        if other.labels == x.labels and e.labels == x.labels[:2]:
            return f"np.take_along_axis({o.code}, {x.name}[..., None], axis=-1)[..., 0]"
        if TIME not in e.labels and len(e.labels) == 2 and other.labels[:2] == x.labels[:2]:
            rows = f"_scatter({x.name}, {o.code}, {self.size_text(classes)})"
            return rows if e.labels[0] == classes else f"{rows}.T"
        return None

    def _contraction(self, e: Contract) -> str:
        if not self.row and (text := self._one_hot(e, self._read)) is not None:
            return text
        operands = [self._read(r) for r in e.operands]
        out = e.labels[1:] if self.row else e.labels
        if len(operands) == 1:
            return self._reduction(operands[0], out)
        product = matrix_product(operands[0], operands[1], out, self.size_text)
        if product is None:
            return self._total(operands, out) or einsum(operands, out)
        text = f"{product.left} @ {product.right}"
        if not product.reshaped:
            return text
        return f"({text}).reshape({', '.join(self.size_text(x) for x in out)})"

    def _total(self, operands: list[Operand], out: tuple[str, ...]) -> str | None:
        a, b = operands
        return f"np.sum({a.code} * {b.code})" if not out and a.labels == b.labels else None

    def _reduction(self, operand: Operand, out: tuple[str, ...]) -> str:
        axes = [i for i, x in enumerate(operand.labels) if x not in out]
        kept = tuple(x for x in operand.labels if x in out)
        if kept != out or not axes:
            return einsum([operand], out)
        return f"{operand.code}.sum(axis={axes[0] if len(axes) == 1 else tuple(axes)})"

    # ---- loops ----

    def _loop(self, part: Component) -> list[str]:
        self.row, self.rows, self.row_names, self.temporaries, self.views = "t", [], [], {}, {}
        self.taken = {}
        before = [line for e in part.equations for line in self._buffers(e)]
        self.taken = takeovers(part, self.stores, self._safe(part)) if self.fast else {}
        body: list[str] = []
        for e in part.equations:
            body += self._step(e)
        body = self._bind(body)
        before += [
            f"{self.codes[e.name]} = {self._empty(e.name, e.labels[1:])}"
            for e in part.equations
            if self.fast and self.stores[e.name].kind == "step" and e.name not in self.taken
        ]
        before += [f"{name} = {text}" for name, text in self.temporaries.items()]
        before += [*self.fixed, *(f"{name} = {code}" for code, name in self.views.items())]
        self.row, self.taken = "", {}
        span = "range(T)" if part.direction > 0 else "reversed(range(T))"
        title = FORWARD if part.direction > 0 else BACKWARD
        return [*before, title, f"for t in {span}:", *[INDENT + line for line in body]]

    def _buffers(self, e: Equation) -> list[str]:
        """What must exist before the loop starts."""
        store, code = self.stores[e.name], self.codes[e.name]
        row, self.row = self.row, ""
        try:
            if store.kind == "carried":
                return self._prepare_carried(e)
            if store.kind == "rolling":
                boundary = self.program.carry[e.name].boundary
                if self.program.array[boundary].role == "zero":
                    return [f"{code} = np.zeros([{', '.join(map(self.size_text, e.labels[1:]))}], dtype)"]
                return [f"{code} = {boundary}.astype(dtype)"]
            if store.kind == "series":
                return [f"{code} = {self._empty(e.name, e.labels)}"]
            if store.kind == "slot" and not isinstance(e, Select) and self.stores[store.source].kind == "series":
                outside = store.source not in {x.name for p in self.parts if p.direction for x in p.equations}
                return [self._allocate(store.source)] if outside and not self._allocated(store.source) else []
            if not self.fast and isinstance(e, Pack) and store.kind == "step":
                return [f"{code} = {self._empty(e.name, e.labels[1:])}"]
            return []
        finally:
            self.row = row

    def _bind(self, body: list[str]) -> list[str]:
        """Bind row views that are used more than once; write the others where they are used."""
        text = "\n".join(body)
        bound: dict[int, str] = {}
        for k in range(len(self.rows)):
            uses = text.count(f"\x00{k}\x00") + sum(f"\x00{k}\x00" in other for other in self.rows)
            if uses > 1 and self.fast:
                bound[k] = _free(self.row_names[k], set(bound.values()) | self.names)

        def fill(part: str) -> str:
            while "\x00" in part:
                part = re.sub("\x00(\\d+)\x00", lambda m: bound.get(int(m[1]), self.rows[int(m[1])]), part)
            return part

        # A view of a view comes after it; the slots of one step's buffer do not change with t.
        order = sorted(bound, key=lambda k: self.rows[k].count("\x00"))
        lines = {k: f"{bound[k]} = {fill(self.rows[k])}" for k in order}
        self.fixed = [line for k, line in lines.items() if not self._moves(self.rows[k])]
        return [line for line in lines.values() if line not in self.fixed] + [fill(line) for line in body]

    def _moves(self, row: str) -> bool:
        """Whether a view depends on t."""
        inner = (self.rows[int(k)] for k in re.findall("\x00(\\d+)\x00", row))
        return re.search(r"\[t\b", row) is not None or any(map(self._moves, inner))

    def _step(self, e: Equation) -> list[str]:
        """The statements of one equation inside the loop."""
        store = self.stores[e.name]
        if isinstance(e, Select) and store.kind == "slot":
            return []
        if isinstance(e, Pack):
            return self._pack_step(e)
        note = f"# {formula(e)}"
        target = self._read(Ref(e.name, e.labels)).code
        if not self.fast:
            plain = store.kind in ("step", "rolling")
            return [note, f"{target} = {self._value(e)}" if plain else self._into(target, self._value(e))]
        if isinstance(e, Pointwise) and in_place(e.expr):
            return [note, *self._calls(e, target)]
        if isinstance(e, Contract) and len(e.operands) == 2:
            out = e.labels[1:]
            product = matrix_product(*(self._read(r) for r in e.operands), out, self.size_text)
            if product is not None and self._contiguous(e.name):
                into = f"{target}.reshape({', '.join(product.shape)})" if product.reshaped else target
                left, right, into = (self._fixed(x) for x in (product.left, product.right, into))
                return [note, f"np.dot({left}, {right}, out={into})"]
        return [note, self._into(target, self._value(e))]

    def _fixed(self, code: str) -> str:
        """A view that does not change with t gets a name before the loop."""
        if "\x00" in code or not code.endswith((".T", ")")):
            return code
        name = re.match(r"\w+", code)[0] + ("_T" if code.endswith(".T") else "_rows")  # type: ignore[index]
        self.views.setdefault(code, _free(name, {*self.views.values(), *self.codes.values()}))
        return self.views[code]

    def _into(self, target: str, value: str) -> str:
        return f"{target}[...] = {value}"

    def _contiguous(self, name: str) -> bool:
        host = name
        while host in self.taken:
            host = self.taken[host]
        return self.stores[host].kind != "slot"

    def _pack_step(self, e: Pack) -> list[str]:
        """Members that lie elsewhere are copied in; the others were computed in place."""
        lines = self._copied_members(e)
        return [f"# {formula(e)}", *lines] if lines else []

    def _copied_members(self, e: Pack) -> list[str]:
        lines, low = [], 0
        for r, slots in zip(e.operands, e.slots, strict=True):
            own = self.stores[r.name]
            if own.kind != "slot" or own.source != e.name:
                single = slots == 1 and len(r.labels) < len(e.labels)
                place = Store("slot", e.name, low, low + slots, e.axis)
                target = self._slot(place, r if single else Ref(r.name, e.labels))
                lines.append(self._into(target, self._read(r).code))
            low += slots
        return lines

    def _safe(self, part: Component) -> dict[str, set[str]]:
        """For each pointwise equation, the operands not read after its first write."""
        safe = {}
        for e in part.equations:
            if isinstance(e, Pointwise) and in_place(e.expr):
                calls = Calls(e.expr, {symbol(r): i for i, r in enumerate(e.operands)}).calls
                first = next(k for k, c in enumerate(calls) if c.out is OUT)
                late = {a for c in calls[first + 1 :] for a in c.args}
                safe[e.name] = {r.name for r in e.operands if symbol(r) not in late and not r.shift}
        return safe

    def _calls(self, e: Pointwise, target: str) -> list[str]:
        names, rank = self._operand_codes(e)
        out = e.labels[1:] if self.row else e.labels
        plan = Calls(e.expr, rank)
        temporaries = [self._temporary(out, k) for k in range(plan.temporaries)]

        def text(a: object) -> str:
            if a is OUT:
                return target
            if isinstance(a, int):
                return temporaries[a]
            return names[a] if isinstance(a, sp.Symbol) else str(a)

        return [_call_text(c, text) for c in plan.calls]

    def _temporary(self, labels: tuple[str, ...], k: int) -> str:
        sizes = "".join(x.replace("'", "") for x in labels if x != BATCH)
        name = f"work_{sizes}".rstrip("_") + (f"_{k + 1}" if k else "")
        while name in self.names or self.work.setdefault(name, labels) != labels:
            name += "_"
        self.temporaries[name] = self._empty(name, labels)
        return name


def _call_text(c: Call, text: Callable[[object], str]) -> str:
    if c.function == "np.copyto":
        return f"{text(c.out)}[...] = {text(c.args[0])}"
    return f"{c.function}({', '.join(map(text, c.args))}, out={text(c.out)})"


def _is_size(s: sp.Symbol) -> bool:
    return s == size_symbol(s.name.strip("|"))


def aligned(operand: Operand, out: tuple[str, ...]) -> str:
    """The operand with its axes in the order of ``out``, new axes where it is broadcast from the left."""
    order = [operand.labels.index(x) for x in out if x in operand.labels]
    code = operand.code
    if order != sorted(order):
        code = f"{code}.transpose({', '.join(map(str, order))})"
    have = [x in operand.labels for x in out]
    while have and not have[0]:  # NumPy adds leading axes by itself
        have.pop(0)
    if all(have):
        return code
    return f"{code}[{', '.join(':' if h else 'None' for h in have)}]"


def _free(name: str, taken: set[str]) -> str:
    candidate, k = name, 2
    while candidate in taken:
        candidate, k = f"{name}_{k}", k + 1
    return candidate


def _codes(program: Program) -> dict[str, str]:
    """Python identifiers: the program's own names, moved aside where the generated code needs the name."""
    used = {*USED_NAMES, TIME, BATCH} | {f"{a.name}_onehot" for a in program.arrays if a.index}
    codes = {}
    for name in program.names():
        code = name
        while code in used:
            code += "_"
        used.add(code)
        codes[name] = code
    return codes

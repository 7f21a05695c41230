"""How the values of a program are read, and where memory for them comes from, as Python code.

A ``Scope`` knows the identifiers and the storage of all values. While a loop is written it also knows
the loop index, collects the row views that the statements mention, and gives a name to each view that
is used more than once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from bptt_verify.codegen.products import Operand
from bptt_verify.codegen.storage import Store, layout
from bptt_verify.program import (
    BATCH,
    TIME,
    Contract,
    Equation,
    Pointwise,
    Program,
    Ref,
    Select,
    components,
    size_of,
    symbol,
)
from bptt_verify.program.names import free_name

# What generated functions use besides the names of the program.
USED_NAMES = frozenset(
    {"np", "scipy", "t", "dtype", "range", "reversed", "dict", "Trace", "buffer", "workspace"}
    | {"Estimate", "rng", "drawn", "gates", "opens", "loss_at", "live", "steps", "products"}  # with gates
)


Labels = tuple[str, ...]


class Scope:
    """Names, storage and the current loop of one function body.

    Parameters
    ----------
    program : Program
    size : callable
        The code of a size word.
    fast : bool
        Whether statements write into buffers.
    """

    def __init__(self, program: Program, size: Callable[[str], str], fast: bool) -> None:
        self.program, self.fast, self._size = program, fast, size
        self.parts = components(program)
        self.stores = layout(program, self.parts)
        self.codes = python_names(program)
        sizes = {self.size(x) for name in program.names() for x in program.labels(name)}
        self.names = {*self.codes.values(), *sizes}  # not free for rows and temporaries
        self.returned = self._returned()
        self.dense: set[str] = set()  # class arrays that are needed as one-hot rows
        self.work: dict[str, Labels] = {}  # labels of the temporaries
        self.allocated: set[str] = set()
        self.leave_loop()

    def enter_loop(self) -> None:
        """Statements are now those of one step."""
        self.leave_loop()
        self.row = "t"

    def leave_loop(self) -> None:
        """Statements are now those of whole arrays."""
        self.row = ""
        self.taken: dict[str, str] = {}  # values made in the buffer of the value that uses them up
        self.rows: list[str] = []
        self.row_names: list[str] = []
        self.views: dict[str, str] = {}
        self.temporaries: dict[str, str] = {}

    def size(self, label: str) -> str:
        """The code of a label's length."""
        word = size_of(label)
        return word if word.isdigit() else self._size(word)

    def own(self, labels: Labels) -> Labels:
        """The labels that statements see: without time inside a loop."""
        return labels[1:] if self.row and TIME in labels else labels

    def _returned(self) -> set[str]:
        """Values whose memory is handed out: the results, and what they are views of or made in."""
        names = {n for _, n in self.program.results}
        names |= {self.program.end[n].value for n in names if n in self.program.end}
        for e in reversed(self.program.equations):
            if e.name in names:
                if isinstance(e, Select):
                    names.add(e.operands[0].name)
                host = self.used_up(e)
                names |= {host.name} if host else set()
            if self.stores[e.name].kind == "slot" and self.stores[e.name].source in names:
                names.add(e.name)
        return names

    def used_up(self, e: Equation) -> Ref | None:
        """A product that only this sum reads, so that the sum can be made in its memory."""
        if not (
            self.fast and isinstance(e, Pointwise) and e.expr.is_Add and self.stores[e.name].kind == "series"
        ):
            return None
        for r in e.operands:
            own = self.program.equation.get(r.name)
            plain = (
                isinstance(own, Contract) and self.stores[r.name].kind == "series" and r.labels == e.labels
            )
            alone = sum(r.name == o.name for x in self.program.equations for o in x.operands) == 1
            if (
                plain
                and alone
                and symbol(r) in e.expr.args
                and r.name not in (n for _, n in self.program.results)
            ):
                return r
        return None

    def result(self, name: str) -> str:
        """The code of a result after all statements."""
        if name in self.program.end:
            carry = self.program.end[name]
            code = self.codes[carry.value]
            return (
                code
                if self.stores[carry.value].kind == "rolling"
                else f"{code}[{-1 if carry.shift < 0 else 0}]"
            )
        return self.read(Ref(name, self.program.labels(name))).code

    def read(self, r: Ref) -> Operand:
        """The code that reads an array, in a loop the row of this step."""
        if r.name in self.program.end:
            return Operand(self.result(r.name), r.labels)
        store = self.stores[r.name]
        code, in_loop = self.codes[r.name], bool(self.row) and TIME in r.labels
        labels = r.labels[1:] if in_loop else r.labels
        if r.name in self.dense:
            code = f"{r.name}_onehot"
        if in_loop and r.name in self.taken:
            return replace(self.read(Ref(self.taken[r.name], r.labels)), labels=labels)
        if store.kind == "slot":
            return Operand(self.slot(store, r), labels)
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
            return self._bound(
                f"{code}[{index}]", f"{code}_{('prev' if late else 'next') if neighbour else 't'}"
            )
        return f"{code}[1:]" if late != neighbour else f"{code}[:-1]"

    def slot(self, store: Store, r: Ref) -> str:
        labels = self.program.labels(store.source)
        source = self.read(Ref(store.source, labels))
        axis = source.labels.index(labels[store.axis])
        span = (
            str(store.low)
            if store.high == store.low + 1 and len(r.labels) < len(labels)
            else f"{store.low}:{store.high}"
        )
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

    def bind(self, body: list[str]) -> tuple[list[str], list[str]]:
        """Name the row views used more than once; write the others where they are used.

        Returns
        -------
        before : list of str
            Views that do not change with t.
        inside : list of str
            The body, after the views that do.
        """
        text = "\n".join(body)
        bound: dict[int, str] = {}
        for k in range(len(self.rows)):
            uses = text.count(f"\x00{k}\x00") + sum(f"\x00{k}\x00" in other for other in self.rows)
            if uses > 1 and self.fast:
                bound[k] = free_name(self.row_names[k], set(bound.values()) | self.names)

        def fill(part: str) -> str:
            while "\x00" in part:
                part = re.sub("\x00(\\d+)\x00", lambda m: bound.get(int(m[1]), self.rows[int(m[1])]), part)
            return part

        # A view of a view comes after it; the slots of one step's buffer do not change with t.
        order = sorted(bound, key=lambda k: self.rows[k].count("\x00"))
        lines = {k: f"{bound[k]} = {fill(self.rows[k])}" for k in order}
        before = [line for k, line in lines.items() if not self._moves(self.rows[k])]
        inside = [line for line in lines.values() if line not in before]
        return before, inside + [fill(line) for line in body]

    def _moves(self, row: str) -> bool:
        """Whether a view depends on t."""
        inner = (self.rows[int(k)] for k in re.findall("\x00(\\d+)\x00", row))
        return re.search(r"\[t\b", row) is not None or any(map(self._moves, inner))

    def fixed_view(self, code: str) -> str:
        """A view that does not change with t gets a name before the loop."""
        if "\x00" in code or not code.endswith((".T", ")")):
            return code
        name = re.match(r"\w+", code)[0] + ("_T" if code.endswith(".T") else "_rows")  # type: ignore[index]
        self.views.setdefault(code, free_name(name, {*self.views.values(), *self.codes.values()}))
        return self.views[code]

    def empty(self, name: str, labels: tuple[str, ...], extra: bool = False) -> str:
        """An uninitialised array: from the workspace, unless it is returned."""
        sizes = [self.size(x) for x in labels]
        if extra:
            sizes[0] += " + 1"
        if self.fast and name not in self.returned:
            return f'buffer("{name}", {", ".join(sizes)})'
        return f"np.empty(({', '.join(sizes)}{',' if len(sizes) == 1 else ''}), dtype)"

    def temporary(self, labels: tuple[str, ...], k: int) -> str:
        sizes = "".join(x.replace("'", "") for x in labels if x != BATCH)
        name = f"work_{sizes}".rstrip("_") + (f"_{k + 1}" if k else "")
        while name in self.names or self.work.setdefault(name, labels) != labels:
            name += "_"
        self.temporaries[name] = self.empty(name, labels)
        return name


def python_names(program: Program) -> dict[str, str]:
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

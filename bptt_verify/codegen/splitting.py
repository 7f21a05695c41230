"""Cut a Program without recursion in two: what some of its arrays change, and what can be computed before.

In:  a Program without carries; the names of the arrays that will change from call to call.
Out: two Programs: the values that do not depend on these arrays, and the rest, which is given them.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, replace

from bptt_verify.program import Array, Program
from bptt_verify.program.surgery import prune


@dataclass(frozen=True)
class Parts:
    """The two parts.

    Attributes
    ----------
    before : Program
        Its results have the keys of ``given``.
    after : Program
        It is given them as arrays of the role ``"input"``.
    given : dict of str to Array
        These arrays, by a key such as ``"h@0"``: h of the step itself.
    """

    before: Program
    after: Program
    given: dict[str, Array]

    def programs(self) -> tuple[Program, Program]:
        """Both."""
        return self.before, self.after


def split(program: Program, moving: Set[str]) -> Parts:
    """Cut the program at the values that the moving arrays do not change."""
    changed = set(moving)
    for e in program.equations:
        if any(r.name in changed for r in e.operands):
            changed.add(e.name)
    late = tuple(e for e in program.equations if e.name in changed)
    read = {r.name for e in late for r in e.operands} | {v for _, v in program.results}
    crossing = [e.name for e in program.equations if e.name not in changed and e.name in read]
    given = {f"{name}@0": Array(name, "input", program.labels(name)) for name in crossing}
    return Parts(
        prune(replace(program, results=tuple((key, a.name) for key, a in given.items()))),
        prune(replace(program, arrays=(*program.arrays, *given.values()), equations=late)),
        given,
    )

"""What formulas leave unsaid: layouts, the order of ∏, the weight in L_t; tried one after the other."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import product

from bptt_verify.notation.tree import Arrangement, Derivative, Letter, OrderedProduct, Outer, Transpose, Tree
from bptt_verify.notation.walking import parts, walk

SCALARS = ("loss", "term", "ell")


@dataclass(frozen=True)
class Convention:
    """One way to fill in what a text does not say.

    Attributes
    ----------
    layout : str
        ``"column"``: ∂L/∂v is a column and ∂u/∂v has a row for each entry of u; ``"numerator"``: ∂L/∂v is a
        row; ``"denominator"``: columns, and ∂u/∂v has a column for each entry of u.
    parameter : str
        ∂L/∂W has the shape of W (``"own"``), is all its entries in a ``"row"`` or a ``"column"``, or is
        ``"transposed"``.
    order : str
        On which side a ∏ sign has its last factor: ``"left"`` or ``"right"``.
    term : str
        L_t is the ``"weighted"`` or the ``"plain"`` loss of a step.
    partial : str
        ∂h_t/∂w is the ``"total"`` derivative, or the ``"direct"`` one with h_{t-1} held fixed.
    letter : str
        ``W^T`` is a ``"transpose"``, or the ``"power"`` T.
    stacking : str
        All entries of a matrix are listed by ``"rows"`` or by ``"columns"`` (asked beside ⊗ only).
    """

    layout: str = "column"
    parameter: str = "own"
    order: str = "left"
    term: str = "weighted"
    partial: str = "total"
    letter: str = "transpose"
    stacking: str = "rows"

    def choices(self) -> list[tuple[str, str]]:
        """What was chosen, by name."""
        return [(f.name, getattr(self, f.name)) for f in fields(self)]

    def notes(self) -> tuple[str, ...]:
        """What has to be said about this convention."""
        return tuple(_SAID[c] for c in self.choices() if c in _SAID)


_SAID = {
    ("layout", "numerator"): "read in numerator layout: ∂L/∂v of a vector v is a row",
    ("layout", "denominator"): "read in denominator layout: ∂u/∂v has a column for each entry of u",
    ("parameter", "row"): "the gradient by a parameter is a row of all its entries, row by row",
    ("parameter", "column"): "the gradient by a parameter is a column of all its entries, row by row",
    ("parameter", "transposed"): "the gradient comes out transposed (numerator layout)",
    ("order", "right"): "the ∏ sign does not say the order; true with the last factor on the right",
    ("term", "plain"): "L_t is read as the loss of one step without its weight",
    ("partial", "direct"): (
        "∂h_t/∂w is read as the immediate derivative, with h_{t-1} held fixed (often written ∂⁺h_t/∂w); "
        "as the total derivative, which the same sign also means, the formula is wrong"
    ),
    ("stacking", "columns"): "the entries of a matrix are listed column by column",
    ("letter", "power"): "W^T is read as the power T, not as the transpose",
}
_COST = {  # how far from the usual meaning; the cheapest true one is reported
    ("layout", "numerator"): 1,
    ("layout", "denominator"): 2,
    ("parameter", "row"): 2,
    ("parameter", "column"): 2,
    ("parameter", "transposed"): 3,
    ("order", "right"): 1,
    ("term", "plain"): 2,
    ("partial", "direct"): 4,
    ("letter", "power"): 5,
    ("stacking", "columns"): 1,
}


def conventions(left: Tree, right: Tree, several: bool) -> list[Convention]:
    """The conventions that make a difference to a claim, the usual one first.

    Parameters
    ----------
    left, right : Tree
    several : bool
        Whether the recurrence has several states: ∂c_t/∂c_{t-1} may then hold the others fixed.
    """
    nodes = [t for tree in (left, right) for _, t in walk(tree)]
    choices = {
        "layout": _layouts(nodes),
        "parameter": _parameters(nodes),
        "order": ("left", "right") if any(_unordered(t) for t in nodes) else ("left",),
        "term": ("weighted", "plain") if any(_is(t, "term") for t in nodes) else ("weighted",),
        "partial": ("total", "direct") if _may_be_direct(nodes, several) else ("total",),
        "letter": ("transpose", "power") if any(_letter_t(t) for t in nodes) else ("transpose",),
        "stacking": ("rows", "columns") if any(isinstance(t, Outer) for t in nodes) else ("rows",),
    }
    found = [Convention(**dict(zip(choices, c, strict=True))) for c in product(*choices.values())]
    turned = _has_row(right)
    consistent = [c for c in found if c.parameter != "transposed" or (c.layout == "numerator" and turned)]
    return sorted(consistent, key=lambda c: sum(_COST.get(choice, 0) for choice in c.choices()))


def _layouts(nodes: list[Tree]) -> tuple[str, ...]:
    if any(isinstance(t, Arrangement) for t in nodes):
        return ("column",)  # prod(…) transposes as it needs
    open_ = [t.top.role in SCALARS for t in nodes if isinstance(t, Derivative) and t.layout == "open"]
    gradients, jacobians = any(open_), not all(open_)
    return ("column", *["numerator"] * gradients, *["denominator"] * jacobians)


def _parameters(nodes: list[Tree]) -> tuple[str, ...]:
    by_parameter = any(isinstance(t, Derivative) and t.bottom.role == "param" for t in nodes)
    return ("own", "row", "column", "transposed") if by_parameter else ("own",)


def _has_row(tree: Tree) -> bool:
    """Whether a row ∂L/∂v stands in a product: only then is a transposed result one of layout.

    Where all vectors are columns, or an outer product says which one is which, it is a swapped product.
    """
    if isinstance(tree, Derivative):
        return tree.layout == "open" and tree.top.role in SCALARS and tree.bottom.role == "value"
    inner = [p for _, p in parts(tree)]
    if isinstance(tree, Outer):
        inner = [p for p in inner if not isinstance(p, Derivative)]
    return any(map(_has_row, inner))


def _unordered(tree: Tree) -> bool:
    return isinstance(tree, OrderedProduct) and not tree.written


def _is(tree: Tree, role: str) -> bool:
    return isinstance(tree, Letter) and tree.role == role


def _letter_t(tree: Tree) -> bool:
    return isinstance(tree, Transpose) and tree.letter


def _may_be_direct(nodes: list[Tree], several: bool) -> bool:
    """Whether ∂h_t/∂w may mean the immediate derivative: not where the text has a sign of its own for it."""
    own_sign = any(_is(t, "theory") for t in nodes) or any(
        isinstance(t, Derivative) and t.direct for t in nodes
    )
    return not own_sign and any(_is_partial(t, several) for t in nodes)


def _is_partial(tree: Tree, several: bool) -> bool:
    """Whether a derivative may be read as immediate: of a value by a parameter (or one of several states)."""
    if not isinstance(tree, Derivative) or tree.direct or tree.top.role != "value":
        return False
    by_parameter = tree.bottom.role == "param" and tree.bottom.index is None
    return by_parameter or (several and tree.bottom.role == "value")

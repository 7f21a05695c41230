"""Sums and terms: factors with their operators, Σ and ∏ signs, dots."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from bptt_verify.notation.binders import Binders, Range
from bptt_verify.notation.cursor import CLOSE, OPEN
from bptt_verify.notation.ellipsis import Pattern, pattern
from bptt_verify.notation.tree import (
    Hadamard,
    Letter,
    OrderedProduct,
    Outer,
    Quotient,
    Sum,
    Tree,
    add,
    negative,
    product,
)
from bptt_verify.notation.walking import free_letters, walk

FRESH = ("j", "k", "s", "r", "m", "u", "v")
OPERATORS = ("·", "/", "⊙", "⊗")
WEAK = ("⊙", "⊗")
Item = tuple[str, Tree]  # the operator before a factor ("" for none), and the factor


class Terms(Binders):
    """Reads sums of terms."""

    def _is_condition(self) -> bool:
        """Whether a bracket holds a condition such as ``(t < T)``."""
        if not self.sign("("):
            return False
        inside = self.stream[self.place : self.closing(self.place)]
        return any(t.kind == "sign" and t.text in ("<", "≤", ">", "≥") for t in inside[1:]) and not any(
            t.kind == "sign" and t.text in ("Σ", "∏") for t in inside
        )

    def expression(self) -> Tree:
        """Terms with + and - between them."""
        self.enter()
        terms: list[Tree] = []
        dots: list[int] = []
        sign = self.accept("-") or (self.accept("+") and False)
        while True:
            if self.accept("…"):
                dots.append(len(terms))
            else:
                term = self.term()
                terms.append(negative(term) if sign else term)
            if not self.sign("+", "-"):
                break
            sign = self.take().text == "-"
        self.leave()
        return add(self._without_dots(terms, dots))

    def _without_dots(self, terms: list[Tree], dots: list[int]) -> list[Tree]:
        for k in reversed(dots):
            found = self._pattern(terms[:k], terms[k:])
            low, high = (found.last, found.first) if found.step < 0 else (found.first, found.last)
            variable = self._fresh(terms)
            total = Sum(variable, low, high, found.body[0], terms[k - 1].at)
            terms = [*terms[: k - found.used], total, *terms[k + found.width :]]
        return terms

    def _pattern(self, before: list[Tree], after: list[Tree]) -> Pattern:
        found = pattern(before, after, self._fresh([*before, *after])) if before and after else None
        if found is None:
            raise self.refused(
                "dots whose neighbours are not one pattern; expected the like of J_t J_{t-1} … J_1, "
                "or a Σ or ∏ sign. Reading stopped"
            )
        return found

    def _fresh(self, trees: list[Tree]) -> str:
        used = set(self.scope) | self.given | set().union(*map(_letters, trees))
        return next((x for x in FRESH if x not in used), "fresh")

    def term(self) -> Tree:
        """Factors with or without operators between them."""
        items = self._items()
        return self._built(items)

    def _items(self) -> list[Item]:
        """The factors of a term, each with the operator before it."""
        items: list[Item] = []
        dots: list[int] = []
        while True:
            operator = self.take().text if items and self.sign(*OPERATORS) else ""
            if self.accept("…"):
                dots.append(len(items))
                continue
            if self.sign("Σ"):
                items.append((operator, self._sum()))
                if self.stream[self.place - 1].text != ")" or self.options.wide:
                    break
            elif self.sign("∏") or self._listed_product():
                items += self._product(operator)
            elif operator and self.accept("-"):
                items.append((operator, negative(self.factor())))
            else:
                items.append((operator, self.factor()))
            if not (self.sign(*OPERATORS, "Σ", "∏", "…") or self.starts_factor()) or self._is_condition():
                break
        return self._items_without_dots(items, dots)

    def _items_without_dots(self, items: list[Item], dots: list[int]) -> list[Item]:
        for k in reversed(dots):
            before, after = [t for _, t in items[:k]], [t for _, t in items[k:]]
            found = self._pattern(before, after)
            variable = self._fresh([*before, *after])
            body = product(found.body)
            whole = OrderedProduct(variable, found.first, found.last, body, True, found.step, body.at)
            start = k - found.used
            items = [*items[:start], (items[start][0], whole), *items[k + found.width :]]
        return items

    def _built(self, items: list[Item]) -> Tree:
        """One tree of the factors, by what binds tighter."""
        if self.options.tie == "left" or all(op not in WEAK for op, _ in items):
            return _folded(items)
        if self.options.tie == "hadamard":
            return _folded(_grouped(items, lambda op: op in WEAK))
        return _folded(_grouped(items, lambda op: op not in WEAK))

    # ---- signs ----

    def _sum(self) -> Tree:
        at = self.take().at
        if not self.sign("_"):
            return self.after(self._listed(at, "Σ"))
        ranges = self.ranges()
        self.scope += [r.variable for r in ranges]
        body = self.expression() if self.options.wide else self.term()
        del self.scope[len(self.scope) - len(ranges) :]
        for r in reversed(ranges):
            body = Sum(r.variable, r.low, r.high, body, at)
        return body

    def _listed_product(self) -> bool:
        """Whether ``prod`` binds a letter here: ``prod_{j=1}^{t}``, ``prod(J[j] for j in 1..t)``."""
        if not self.sign("prod"):
            return False
        inside = (
            self.stream[self.place + 2 : self.closing(self.place + 1)] if self.ahead().text == "(" else []
        )
        ranged = [a for a, b in pairwise(inside) if (a.text, b.text) == (",", "(")]
        return self.ahead().text == "_" or bool(ranged) or any(t.text == "for" for t in inside)

    def _product(self, operator: str) -> list[Item]:
        """A ∏ and the factors after it that do not belong to it."""
        at = self.take().at
        if not self.sign("_"):
            return [(operator, self.after(self._listed(at, "∏")))]
        ranges = self.ranges()
        if len(ranges) != 1:
            raise self.refused("a ∏ sign that binds several letters; expected one", at)
        r = ranges[0]
        self.scope.append(r.variable)
        items = self._items()
        self.scope.pop()
        inside = [k for k, (_, tree) in enumerate(items) if r.variable in free_letters(tree)]
        cut = min(len(items), (inside[-1] + 1 if inside else 1) + self.options.extent)
        whole = OrderedProduct(r.variable, r.low, r.high, self._built(items[:cut]), at=at)
        return [(operator, whole), *items[cut:]]

    def _listed(self, at: int, sign: str) -> Tree:
        """``Sum(expr, (t, 1, T))``, ``sum(expr for t in 1..T)``."""
        if not self.sign("("):
            raise self.refused(f"a {sign} sign without its letter; expected {sign}_{{t=1}}^{{T}}")
        end = self.closing(self.place)
        r = self._range_within(end)
        self.take()
        self.scope.append(r.variable)
        body = self.expression()
        self.scope.pop()
        self.place = end + 1
        if sign == "Σ":
            return Sum(r.variable, r.low, r.high, body, at)
        return OrderedProduct(r.variable, r.low, r.high, body, at=at)

    def _range_within(self, end: int) -> Range:
        """The range of a listed sum, which stands after what is summed."""
        start, level, back = self.place, 0, self.place
        for place in range(start, end):
            token = self.stream[place]
            if token.kind == "sign":
                level += (token.text in OPEN) - (token.text in CLOSE)
                if level == 1 and token.text in (",", "for"):
                    break
        else:
            raise self.refused("a sum without a range; expected Sum(expression, (t, 1, T))")
        self.place = place + 1
        found = self.listed_range() if token.text == "," else self._assignment()
        if self.place != end:
            raise self.refused("expected the end of the range")
        self.place = back
        return found


def _grouped(items: list[Item], tight: Callable[[str], bool]) -> list[Item]:
    """Factors joined by tight operators as one factor each."""
    groups: list[list[Item]] = []
    for op, tree in items:
        if groups and tight(op):
            groups[-1].append((op, tree))
        else:
            groups.append([(op, tree)])
    return [(g[0][0], _folded([("", g[0][1]), *g[1:]])) for g in groups]


def _folded(items: list[Item]) -> Tree:
    """Factors combined from left to right."""
    result = items[0][1]
    for op, tree in items[1:]:
        if op == "⊙":
            left = result.factors if isinstance(result, Hadamard) else (result,)
            result = Hadamard((*left, tree), result.at)
        elif op == "⊗":
            result = Outer(result, tree, result.at)
        elif op == "/":
            result = Quotient(result, tree, result.at)
        else:
            result = product([result, tree])
    return result


def _letters(tree: Tree) -> set[str]:
    """Every index letter, bound or free."""
    nodes = [t for _, t in walk(tree)]
    bound = {t.variable for t in nodes if isinstance(t, Sum | OrderedProduct)}
    return bound | {t.name for t in nodes if isinstance(t, Letter) and t.role == "index"}

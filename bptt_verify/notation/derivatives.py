"""Derivatives in their spellings: ``\\frac{∂ a}{∂ b}``, ``∂a/∂b``, ``da/db``, ``∇_b a``, ``∂_b a``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from bptt_verify.notation.cursor import CLOSE, OPEN
from bptt_verify.notation.letters import CELL, STEPPED, Letters
from bptt_verify.notation.tokens import Token
from bptt_verify.notation.tree import (
    Call,
    Derivative,
    Layout,
    Letter,
    Quotient,
    Transpose,
    Tree,
    moved,
    product,
)
from bptt_verify.notation.vocabulary import ELL, GENERIC

Read = TypeVar("Read")
Span = tuple[int, int]  # the places of the first token and of the one after the last


class Derivatives(Letters):
    """Reads derivatives. What they share with other factors is given by the classes that extend this."""

    def factor(self) -> Tree:
        """A factor; see ``Factors``."""
        raise NotImplementedError

    def expression(self) -> Tree:
        """An expression; see ``Parser``."""
        raise NotImplementedError

    def after(self, tree: Tree) -> Tree:
        """A factor with its superscripts; see ``Factors``."""
        raise NotImplementedError

    # ---- fractions ----

    def fraction_part(self) -> Span:
        """The tokens of the top or the bottom of a fraction; go past them."""
        start = self.place
        if not self.sign("{"):
            self.take()
            return start, start + 1
        end = self.closing(start)
        self.place = end + 1
        return start + 1, end

    def inside(self, span: Span) -> Tree:
        """The expression that some tokens spell."""
        return self._within(span, self.expression)

    def _within(self, span: Span, read: Callable[[], Read]) -> Read:
        """What some tokens spell, all of them."""
        back, whole, end = self.place, self.stream, span[1]
        at = whole[min(end, len(whole) - 1)].at
        self.place = span[0]
        self.stream = [*whole[:end], Token("end", "the end", at)]
        tree = read()
        if self.token.kind != "end":
            raise self.refused("expected the end of this part")
        self.place, self.stream = back, whole
        return tree

    def fraction_derivative(self, top: Span, bottom: Span, at: int) -> Tree | None:
        """The derivative a fraction spells, or None; factors beside the ∂ stay factors."""
        above, below = self._nabla_place(top), self._nabla_place(bottom)
        if above is None or below is None:
            return None
        scale = self._beside(top, above)
        divisor = self._beside(bottom, below)
        by, layout = self._within((below + 1, bottom[1]), self._bottom)
        if above + 1 == top[1]:  # \frac{∂}{∂ w} of what follows
            tree = self._operator(by, layout, at)
        else:
            of, direct = self._within((above + 1, top[1]), self._top)
            tree = self._derivative(of, by, direct, layout, at)
        tree = tree if divisor is None else Quotient(tree, divisor, at)
        return tree if scale is None else product([scale, tree])

    def _nabla_place(self, span: Span) -> int | None:
        level = 0
        for place in range(*span):
            token = self.stream[place]
            if token.kind == "sign":
                level += (token.text in OPEN) - (token.text in CLOSE)
                if token.text == "∂" and level == 0:
                    return place
        return None

    def _beside(self, span: Span, place: int) -> Tree | None:
        """The factor before a ∂, as in ``\\frac{∂ ℓ}{T · ∂ o}``."""
        end = place - (self.stream[place - 1].text == "·")
        return self.inside((span[0], end)) if end > span[0] else None

    # ---- other spellings ----

    def inline(self) -> Tree:
        """``∂a/∂b``, or ``∂_b a``."""
        at = self.take().at
        if self.sign("_"):
            return self.gradient(at, layout="open")
        of, direct = self._top()
        if not self.sign("/") or self.ahead().text not in ("∂", "("):
            return self.of_loss(of, at)
        self.take()
        opened = self.accept("(")
        self.expect("∂")
        by, layout = self._bottom()
        if opened:
            self.expect(")")
        return self._derivative(of, by, direct, layout, at)

    def of_loss(self, by: Letter, at: int) -> Tree:
        """``dh_t`` alone and ``\\bar{h}_t``: the derivative of the loss."""
        if by.role not in ("param", "value", "alias"):
            raise self.refused("expected a derivative such as ∂L/∂h_t", at)
        return Derivative(Letter("L", "loss", None, at), by, at=at)

    def barred(self, at: int) -> Tree:
        """A name under a bar: the derivative of the loss by it."""
        if self.accept("{"):
            by = self.letter()
            self.expect("}")
            return self.of_loss(by, at)
        return self.of_loss(self.letter(), at)

    def gradient(self, at: int, layout: Layout = "column") -> Tree:
        """``∇_b a``: a column, whatever the layout of the rest."""
        self.expect("_")
        if self.sign("{"):
            end = self.closing(self.place)
            by, _ = self._within((self.place + 1, end), self._bottom)
            self.place = end + 1
        else:
            by = Letter(self.take().text, "alias", None, at)
            by = self._renamed(by)
        return self._operator(by, layout, at)

    def _renamed(self, by: Letter) -> Letter:
        """A single letter below ∇, in its role."""
        role = self.vocabulary.role(by.name)
        if role is None:
            raise self.refused(f"unknown name {by.name!r}; expected {self.vocabulary.listing()}", by.at)
        return Letter(by.name, role, None, by.at)

    def _operator(self, by: Letter, layout: Layout, at: int) -> Tree:
        """What follows an operator such as ``∇_h``: a name, in brackets or not."""
        of, direct = self._bracketed_top()
        return self._derivative(of, by, direct, layout, at)

    def _bracketed_top(self) -> tuple[Letter, bool]:
        if self.sign("(") and not self._has_comma():
            self.take()
            found = self._bracketed_top()
            self.expect(")")
            return found
        return self._top()

    # ---- top and bottom ----

    def _top(self) -> tuple[Letter, bool]:
        """What is differentiated, and whether the text says that only the direct dependence counts."""
        plus = self._plus()
        token = self.token
        if self.sign("{", "("):
            self.take()
            found, direct = self._top()
            self.expect(OPEN[token.text])
            return found, direct or plus
        if token.kind == "letter" and self.is_loss(token):
            return self.loss(), False  # Werbos: the ordered derivative of the loss is the total one
        if token.text in ELL and token.text not in self.vocabulary.own and not self._marked():
            return Letter("ℓ", "ell", None, self.take().at), plus
        if token.kind == "letter" and token.text in CELL and token.text not in self.vocabulary.own:
            return self._cell(), True
        if token.kind in ("letter", "word") and not self._plain_name():
            return self._applied(), plus
        return self.letter(), plus

    def _marked(self) -> bool:
        """Whether a step or arguments follow the name that is next."""
        return self.ahead().text in ("_", "^", "[", "(")

    def _plus(self) -> bool:
        """The mark of ``∂⁺``."""
        if not self.accept("^"):
            return False
        braced = self.accept("{")
        self.expect("+")
        if braced:
            self.expect("}")
        return True

    def _plain_name(self) -> bool:
        own = self.token.text in self.vocabulary.own
        return self.token.kind == "letter" and (own or self.token.text not in (*GENERIC, *CELL))

    def _cell(self) -> Letter:
        """``f(x_t, h_{t-1}, w)``, ``f_t``, ``f``, or ``φ(a_t)``."""
        name, at = self.token.text, self.token.at
        if self.ahead().text == "(":
            self.take()
            if self._has_comma():
                return self.cell_call(name, at)
            self.place -= 1
            return self._applied()
        if self.ahead().text in ("_", "^", "["):
            return self.letter()
        self.take()
        return Letter(
            "g" if name in ("g", "G") else "f", "output" if name in ("g", "G") else "cell", None, at
        )

    def _applied(self) -> Letter:
        """``tanh(a_t)``: a function of one name, which is a value of its own."""
        at = self.token.at
        tree = self.factor()
        if isinstance(tree, Call) and isinstance(tree.arguments[0], Letter) and not tree.primes:
            inner = tree.arguments[0]
            return Letter(f"{tree.function}({inner.name})", "value", inner.index, at)
        raise self.refused("expected a name on top of a derivative, such as L, h_t or f(x_t, h_{t-1}, w)", at)

    def _bottom(self) -> tuple[Letter, Layout]:
        """What it is differentiated by; a transpose there says that the derivative is a row."""
        if self.sign("{", "("):
            opened = self.take().text
            found = self._bottom()
            self.expect(OPEN[opened])
            return found
        token = self.token
        if token.kind != "letter":
            raise self.refused("expected a name below a derivative")
        self.below = True
        by = self.letter() if self._stepped(token.text) else self._stepless()
        self.below = False
        bare = self.after(by)
        if isinstance(bare, Transpose):
            return by, "row"
        if bare is not by:
            raise self.refused("expected a plain name below a derivative", token.at)
        return by, "open"

    def _stepped(self, name: str) -> bool:
        if self.vocabulary.role(name) not in STEPPED or name in self.vocabulary.initial:
            return True
        return self._marked()

    def _stepless(self) -> Letter:
        """``∂f(x_t, h_{t-1})/∂h``: the step follows from what is above the line."""
        token = self.take()
        return Letter(token.text, "value", None, token.at)

    def _derivative(self, of: Letter, by: Letter, direct: bool, layout: Layout, at: int) -> Tree:
        if by.role not in ("param", "value", "alias", "prediction"):
            raise self.refused(
                f"a derivative by {by.name}; expected a parameter or something with a step", by.at
            )
        if of.role not in ("loss", "term", "ell", "value", "cell", "output", "prediction"):
            raise self.refused(
                f"a derivative of {of.name}; expected the loss or something with a step", of.at
            )
        if by.role == "value" and by.index is None:
            by = self._with_step(of, by)
        if of.role in ("cell", "output", "ell") and of.index is None:
            of = self._with_step(by, of)
        return Derivative(of, by, direct, layout, at)

    def _with_step(self, known: Letter, open_: Letter) -> Letter:
        """A letter without a step, at the one that the other side of the derivative implies."""
        if known.index is None:
            raise self.refused(f"{open_.name} without a step; expected one, such as {open_.name}_t", open_.at)
        states = self.vocabulary.states
        shift = 0
        if known.role == "cell" and open_.name in states:
            shift = -1
        if open_.role == "cell" and known.role == "value" and known.name in states:
            shift = 1
        return Letter(open_.name, open_.role, moved(known.index, shift), open_.at)

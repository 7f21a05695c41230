"""One factor of a term: a number, a name, a bracket, a function, a derivative, with what follows it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from bptt_verify.notation.cursor import OPEN
from bptt_verify.notation.derivatives import Derivatives
from bptt_verify.notation.letters import CELL
from bptt_verify.notation.tree import (
    Arrangement,
    Call,
    Derivative,
    Hadamard,
    Letter,
    Number,
    Outer,
    Power,
    Quotient,
    Transpose,
    Tree,
)
from bptt_verify.notation.vocabulary import GENERIC

LARGEST_POWER = 64
MOST_ARRANGED = 4  # factors of prod(…)
STARTS = ("(", "[", "{", "∂", "∇", "frac", "prod", "bar")


class Factors(Derivatives):
    """Reads one factor."""

    def starts_factor(self) -> bool:
        """Whether a factor can begin here."""
        return self.token.kind in ("number", "letter", "word") or self.sign(*STARTS)

    def factor(self) -> Tree:
        """A factor with its superscripts."""
        self.enter()
        tree = self.after(self._plain())
        self.leave()
        return tree

    def _plain(self) -> Tree:
        token = self.token
        if token.kind == "number":
            return self.number()
        if token.kind == "word":
            return self._function(self.take().text, token.at)
        if token.text == "e" and self.ahead().text == "^" and "e" not in self.vocabulary.own:
            return self._exponential(token.at)
        if token.kind == "letter":
            return self._function(self.take().text, token.at) if self._is_function() else self._name()
        if self.sign("∂"):
            return self.inline()
        if self.accept("bar"):
            return self.barred(token.at)
        if self.accept("∇"):
            return self.gradient(token.at)
        if self.accept("frac"):
            return self.fraction(token.at)
        if self.accept("prod"):
            return self._arrangement(token.at)
        if self.sign(*OPEN):
            return self.bracket()
        raise self.refused("expected a factor")

    def _arrangement(self, at: int) -> Tree:
        """``prod(a, b)``, which leaves order and transposes to the sizes."""
        if not self.sign("("):
            raise self.refused("prod without brackets; expected prod(a, b), or a ∏ with a letter")
        factors = tuple(self.arguments())
        if not 2 <= len(factors) <= MOST_ARRANGED:
            raise self.refused(f"prod of {len(factors)}; expected 2 to {MOST_ARRANGED} factors", at)
        return Arrangement(factors, at)

    def _name(self) -> Letter:
        found = self.letter()
        if found.role in ("cell", "output"):
            raise self.refused(f"{found.name} as a term; expected it on top of a derivative only", found.at)
        return found

    def bracket(self) -> Tree:
        """An expression in brackets; braces may also hold a script of the letter before them."""
        self.closing(self.place)
        left = self.take().text
        inner = self.expression()
        self.expect(OPEN[left])
        return inner

    def fraction(self, at: int) -> Tree:
        """``\\frac{…}{…}``: a derivative if it has ∂ above the line, else a division."""
        top = self.fraction_part()
        bottom = self.fraction_part()
        derivative = self.fraction_derivative(top, bottom, at)
        if derivative is not None:
            return derivative
        return Quotient(self.inside(top), self.inside(bottom), at)

    # ---- functions ----

    def _exponential(self, at: int) -> Tree:
        """``e^{…}``."""
        self.place += 2
        inner = self.bracket() if self.sign("{") else self._plain()
        return Call("exp", (inner,), at=at)

    def _is_function(self) -> bool:
        """Whether a letter such as φ or f stands for the cell's elementwise function."""
        text, following = self.token.text, self.ahead()
        if text not in GENERIC or text in self.vocabulary.own:
            return False
        prime = following.text == "'" or (following.text == "^" and self._primed(self.place + 2))
        return prime or text in ("phi", "sigma", "psi") or following.text == "("

    def _primed(self, place: int) -> bool:
        token = self.stream[place]
        return token.text == "'" or (token.text == "{" and self.stream[place + 1].text == "'")

    def _function(self, name: str, at: int) -> Tree:
        """A function and its arguments: in brackets, or the next factor as in ``\\tanh a_t``."""
        primes, power = self._marks()
        if name in CELL and not primes and self.sign("(") and self._has_comma():
            raise self.refused(f"{name}(…) as a term; expected it on top of a derivative only", at)
        arguments = self.arguments() if self.sign("(", "[", "{") else [self.factor()]
        tree = self._called(name, arguments, primes, at)
        return tree if power is None else Power(tree, power, at)

    def _marks(self) -> tuple[int, Tree | None]:
        """Primes and a power between a function's name and its argument: ``tanh'``, ``tanh^2``."""
        primes, power = 0, None
        while self.sign("'", "^"):
            if self.accept("'"):
                primes += 1
            elif self._primed(self.place + 1):
                self.take()
                braced = self.accept("{")
                while self.accept("'"):
                    primes += 1
                if braced:
                    self.expect("}")
            else:
                self.take()
                power = self.exponent()
        if primes > 1:
            raise self.refused("a second derivative; expected at most one prime")
        return primes, power

    def arguments(self) -> list[Tree]:
        """Expressions between brackets, with commas between them."""
        self.closing(self.place)
        left = self.take().text
        found = [self.expression()]
        while self.accept(",", ";"):
            found.append(self.expression())
        self.expect(OPEN[left])
        return found

    def _called(self, name: str, arguments: list[Tree], primes: int, at: int) -> Tree:
        wanted = 2 if name in ("outer", "dot") else 1
        if len(arguments) != wanted:
            raise self.refused(f"{name} of {len(arguments)} arguments; expected {wanted}", at)
        if name == "outer":
            return Outer(arguments[0], arguments[1], at)
        if name == "transpose":
            return Transpose(arguments[0], at=at)
        if primes and name in ("diag", "dot", "softmax"):
            raise self.refused(f"{name}'; expected a prime on an elementwise function only", at)
        return Call(name, tuple(arguments), primes, at)

    # ---- what follows a factor ----

    def after(self, tree: Tree) -> Tree:
        """A factor with its superscripts and ``.T``."""
        while True:
            at = self.token.at
            if self.rest:
                self.rest = False
                tree = self._scripts(tree, at)
            elif self.accept("^"):
                tree = self._superscript(tree, at)
            elif self.sign(".") and self.ahead().text == "T" and self.ahead().at == at + 1:
                self.place += 2
                tree = Transpose(tree, at=at)
            elif self.sign("|") and isinstance(tree, Derivative) and self.ahead().text == "_":
                self.place += 2
                tree = self._at_copy(tree)
            elif self.sign("'"):
                raise self.refused("a prime; expected one on a function such as tanh'")
            else:
                return tree

    def _at_copy(self, tree: Derivative) -> Tree:
        """``∂L/∂W |_{(t)}``: by the copy of W that step t uses; ``|_{h_{t-1}}``: with that held fixed."""
        start, end = self.place, self.place + 1
        if self.sign("{"):
            start, end = self.place + 1, self.closing(self.place)
        first = self.stream[start]
        self.place = end + (end > start and self.stream[end].text == "}")
        if first.kind == "letter" and self.vocabulary.role(first.text) == "value":
            return replace(tree, direct=True)
        index = self._within((start, end), self.index)
        if tree.bottom.role not in ("param", "alias"):
            raise self.refused("a bar with a step; expected one after a derivative by a parameter", first.at)
        return replace(tree, bottom=replace(tree.bottom, index=index))

    def _superscript(self, tree: Tree, at: int) -> Tree:
        if self.accept("{"):
            return self._scripts(tree, at)
        if self.accept("⊤"):
            return Transpose(tree, at=at)
        if self.token.text == "T" and self.token.kind == "letter":
            self.take()
            return Transpose(tree, letter=True, at=at)
        return self._power(tree, self.exponent(), at)

    def _scripts(self, tree: Tree, at: int) -> Tree:
        """What stands in a braced superscript, up to its end: ``⊤``, ``T-i``, ``⊤(T-i)``, ``⊙2``."""
        while not self.accept("}"):
            self.accept("^")
            alone = self.ahead().text in ("}", "(")
            if self.accept("⊤"):
                tree = Transpose(tree, at=at)
            elif self.token.text == "T" and alone:
                self.take()
                tree = Transpose(tree, letter=True, at=at)
            elif self.accept("⊙"):
                tree = Hadamard((tree,) * self._repeats(), at)
            else:
                tree = self._power(tree, self.index(), at)
        return tree

    def _repeats(self) -> int:
        count = self.number()
        if count.value not in (1, 2, 3):
            raise self.refused("an elementwise power; expected 2 or 3", count.at)
        return int(count.value)

    def exponent(self) -> Tree:
        """An exponent: an integer, an index letter, or a group of them."""
        if self.accept("{"):
            return self._until("}")
        if self.accept("-"):
            return Number(-self.number().value)
        return self._index_atom()

    def _power(self, base: Tree, exponent: Tree, at: int) -> Tree:
        if isinstance(exponent, Number) and abs(exponent.value) > LARGEST_POWER:
            raise self.refused(f"power={exponent.value}; expected at most {LARGEST_POWER}", at)
        if isinstance(base, Number) and self.sign("^"):
            raise self.refused("a power of a power; expected one exponent")
        if isinstance(base, Number) and isinstance(exponent, Number):
            return self._number_power(base, exponent, at)
        return Power(base, exponent, at)

    def _number_power(self, base: Number, exponent: Number, at: int) -> Tree:
        if exponent.value.denominator != 1 or (base.value == 0 and exponent.value <= 0):
            raise self.refused("a power of a number; expected an integer exponent", at)
        if abs(base.value) > 100 or abs(exponent.value) > 8:
            raise self.refused("a large power of a number; expected a number", at)
        return replace(base, value=Fraction(base.value ** int(exponent.value)))

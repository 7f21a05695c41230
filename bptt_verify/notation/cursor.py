"""A place in a stream of tokens, what may be asked of it, and the refusals."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from bptt_verify.errors import FormulaError
from bptt_verify.notation.tokens import Token
from bptt_verify.notation.tree import Add, Letter, Number, Product, Tree, add, negative
from bptt_verify.notation.vocabulary import Vocabulary

DEPTH = 40
LARGEST = 10_000  # no number of a formula about a gradient is larger
OPEN, CLOSE = {"(": ")", "[": "]", "{": "}"}, (")", "]", "}")


@dataclass(frozen=True)
class Options:
    """How a text is read where it has more than one reading.

    Attributes
    ----------
    extent : int
        How many factors a ∏ takes beyond the last one that has its letter.
    tie : {"product", "left", "hadamard"}
        What binds tighter in ``a b ⊙ c``: the product, neither, or ⊙.
    wide : bool
        Whether a Σ takes the terms after a plus sign too.
    """

    extent: int = 0
    tie: str = "product"
    wide: bool = False


class Cursor:
    """Reads tokens from left to right.

    Parameters
    ----------
    text : str
        For messages.
    stream : list of Token
        Ends with a token of kind "end".
    """

    def __init__(self, text: str, stream: list[Token], vocabulary: Vocabulary, options: Options) -> None:
        self.text, self.stream, self.vocabulary, self.options = text, stream, vocabulary, options
        self.place = 0
        self.depth = 0
        self.scope: list[str] = []  # index letters that signs around this place bind
        self.given: set[str] = set()  # index letters of the left side

    @property
    def token(self) -> Token:
        """The next token."""
        return self.stream[self.place]

    def ahead(self, steps: int = 1) -> Token:
        """A later token."""
        return self.stream[min(self.place + steps, len(self.stream) - 1)]

    def sign(self, *texts: str) -> bool:
        """Whether the next token is one of these signs."""
        return self.token.kind == "sign" and self.token.text in texts

    def take(self) -> Token:
        """The next token, and go on."""
        token = self.token
        self.place += token.kind != "end"
        return token

    def accept(self, *texts: str) -> bool:
        """Go past one of these signs if it is next."""
        found = self.sign(*texts)
        self.place += found
        return found

    def expect(self, text: str) -> Token:
        """Go past a sign that must be next."""
        if not self.sign(text):
            raise self.refused(f"expected {text!r}")
        return self.take()

    def refused(self, what: str, at: int | None = None) -> FormulaError:
        """The error for what stands here."""
        found = "" if at is not None else f", found {self.token.text!r}"
        return FormulaError(f"formula: {what}{found}.", self.text, self.token.at if at is None else at)

    def enter(self) -> None:
        """One bracket deeper."""
        self.depth += 1
        if self.depth > DEPTH:
            raise self.refused(f"brackets nested more than {DEPTH} deep; expected a formula that can be read")

    def leave(self) -> None:
        """One bracket up."""
        self.depth -= 1

    def closing(self, start: int) -> int:
        """The place of the bracket that closes the one at ``start``."""
        level = 0
        for place in range(start, len(self.stream)):
            if self.stream[place].kind == "sign":
                level += (self.stream[place].text in OPEN) - (self.stream[place].text in CLOSE)
            if level == 0:
                return place
        at = self.stream[start].at
        raise self.refused(f"unbalanced {self.stream[start].text!r}; expected a bracket that closes it", at)

    # ---- indices: steps and limits ----

    def index(self) -> Tree:
        """A step or a limit: integers, index letters and T with + - and products by integers."""
        self.enter()
        terms = []
        sign = self.accept("-") or (self.accept("+") and False)
        while True:
            term = self._index_term()
            terms.append(negative(term) if sign else term)
            if not self.sign("+", "-"):
                break
            sign = self.take().text == "-"
        self.leave()
        return add(terms)

    def _index_term(self) -> Tree:
        factors = [self._index_atom()]
        while self.accept("·") or (self.token.kind == "letter" and isinstance(factors[-1], Number)):
            factors.append(self._index_atom())
        return factors[0] if len(factors) == 1 else Product(tuple(factors))

    def _index_atom(self) -> Tree:
        token = self.token
        if token.kind == "number":
            return self.number()
        if token.kind == "letter":
            self.take()
            if token.text == "T":
                return Letter("T", "count", None, token.at)
            if len(token.text) > 1 and token.text in self.vocabulary.own:
                raise self.refused(
                    f"a step must be made of letters such as t, found {token.text!r}", token.at
                )
            return Letter(token.text, "index", None, token.at)
        for left in ("(", "{"):
            if self.accept(left):
                inner = self.index()
                self.expect(OPEN[left])
                return inner
        raise self.refused("expected a step such as t, t-1, T or a number")

    def number(self) -> Number:
        """A number of reasonable size."""
        if self.token.kind != "number":
            raise self.refused("expected a number")
        token = self.take()
        value = Fraction(token.text)
        if value > LARGEST or len(token.text) > 12:
            raise self.refused(f"number={token.text}; expected one of at most {LARGEST}", token.at)
        return Number(value, token.at)


def linear(tree: Tree) -> dict[str, Fraction]:
    """An index as a linear form: letter -> coefficient, the constant under ``""``."""
    match tree:
        case Number():
            return {"": tree.value}
        case Letter():
            return {tree.name: Fraction(1)}
        case Add():
            return _combined([(Fraction(1), linear(t)) for t in tree.terms])
        case Product(factors=factors):
            total = {"": Fraction(1)}
            for f in factors:
                total = _multiplied(total, linear(f))
            return total
    raise TypeError(type(tree).__name__)


def _combined(forms: list[tuple[Fraction, dict[str, Fraction]]]) -> dict[str, Fraction]:
    total: dict[str, Fraction] = {}
    for scale, form in forms:
        for letter, c in form.items():
            total[letter] = total.get(letter, Fraction(0)) + scale * c
    return {k: c for k, c in total.items() if c}


def _multiplied(a: dict[str, Fraction], b: dict[str, Fraction]) -> dict[str, Fraction]:
    constant, form = (a, b) if set(a) <= {""} else (b, a)
    if not set(constant) <= {""}:
        raise ValueError("not linear")
    return _combined([(constant.get("", Fraction(0)), form)])


def difference(a: Tree, b: Tree) -> dict[str, Fraction]:
    """``a - b`` as a linear form."""
    return _combined([(Fraction(1), linear(a)), (Fraction(-1), linear(b))])

"""Names with their subscripts and steps: ``W_{hh}``, ``h_{t-1}``, ``h^{(t)}``, ``h[t]``, ``ℓ(o_t, y_t)``."""

from __future__ import annotations

import difflib
from dataclasses import replace

from bptt_verify.errors import FormulaError
from bptt_verify.notation.cursor import CLOSE, OPEN, Cursor
from bptt_verify.notation.tokens import Token
from bptt_verify.notation.tree import Letter, Role, Tree, moved, number
from bptt_verify.notation.vocabulary import LOSSES

STEPPED: tuple[Role, ...] = ("value", "theory", "prediction", "ell")  # what a formula needs a step for
INDEX_LETTERS = ("t", "s", "i", "j", "k", "r", "tau")  # that may stand alone in a term, as numbers
CELL = ("f", "F", "g", "G", "phi", "Phi")


class Letters(Cursor):
    """Reads one name."""

    component: Tree | None = None  # of the name that is being read
    below = False  # whether a name stands below a derivative, where W^(t) is the copy that step t uses
    rest = False  # whether a superscript that began with a step goes on, as in h^{(t)⊤}

    def letter(self) -> Letter:
        """A name with its step, as it stands in a term.

        Raises
        ------
        FormulaError
            If the name is unknown, or lacks its step.
        """
        token = self.take()
        self.component = None
        name, index = self._joined(token)
        role = self._role(name, token)
        if index is None:
            index = self._step(name, role)
        if role in ("param", "alias") and self.sign("_"):
            raise self._unknown(name, token)
        named = self._named(name, role, index, token)
        return replace(named, component=self.component) if self.component else named

    def loss(self) -> Letter:
        """A loss on top of a derivative, where J is one too."""
        token = self.take()
        return self._named("L", "loss", self._step("L", "loss"), token)

    def _named(self, name: str, role: Role, index: Tree | None, token: Token) -> Letter:
        if name in self.vocabulary.initial:
            name, index = self.vocabulary.initial[name], index or number(0)
        if role == "loss":
            called = self.sign("(") and self._has_comma()
            role = "ell" if called else "loss" if index is None else "term"
        if role in ("ell", "term") and self.sign("(") and (index is None or self._has_comma()):
            index = self._arguments_step() if index is None else self._past_arguments(index)
        if role in STEPPED and index is None:
            raise self.refused(f"{name} without a step; expected one, such as {name}_t", token.at)
        if role not in ("value", "param", "theory", "alias"):
            name = {"ell": "ℓ", "prediction": "ŷ", "loss": "L", "term": "L"}.get(role, name)
        return Letter(name, role, index, token.at)

    def _joined(self, token: Token) -> tuple[str, Tree | None]:
        """The name with a subscript that belongs to it, ``W_{hh}``; ``a_{h,t}`` gives the step too."""
        if not self.sign("_"):
            return token.text, None
        inside = self._group(self.place + 1)
        texts = [t.text for t in inside]
        cut = texts.index(",") if "," in texts else len(texts)
        name = f"{token.text}_{''.join(texts[:cut])}"
        if self.vocabulary.role(name) is None:
            return token.text, None
        braced = self.ahead().text == "{"
        self.place += 1 + cut + braced
        if self.accept(","):
            return name, self._until("}")
        self.place += braced
        return name, None

    def _group(self, start: int) -> list[Token]:
        """The tokens of the script that begins at a place: a braced group or one token."""
        if self.stream[start].text != "{":
            return [self.stream[start]]
        return self.stream[start + 1 : self.closing(start)]

    def _role(self, name: str, token: Token) -> Role:
        role = self.vocabulary.role(name)
        if name in self.scope and not (role and self._has_step()):
            return "index"
        if role is None and name in CELL and self.sign("_", "^", "["):
            return "output" if name in ("g", "G") else "cell"
        if role is None and name in INDEX_LETTERS and not self._has_step():
            return "index"
        if role is None:
            raise self._unknown(name, token)
        return role

    def _unknown(self, name: str, token: Token) -> FormulaError:
        if self.sign("_"):
            name += "_" + "".join(t.text for t in self._group(self.place + 1))
        known = sorted(self.vocabulary.own)
        turned = [n for n in known if len(n) > 1 and sorted(n) == sorted(name)]  # W_xh for W_hx
        near = turned or difflib.get_close_matches(name, known, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        return self.refused(
            f"unknown name {name!r}{hint}; expected one of: {self.vocabulary.listing()}", token.at
        )

    def _has_step(self) -> bool:
        return self.sign("_", "[") or (self.sign("^") and self._timelike())

    def _timelike(self) -> bool:
        """Whether a superscript is a step in parentheses, as in ``h^{(t)}``."""
        inside = self._group(self.place + 1)
        return bool(inside) and inside[0].text == "("

    def _step(self, name: str, role: Role) -> Tree | None:
        """The step after a name: a subscript, a superscript in parentheses, a bracket."""
        if role in ("index", "count", "identity"):
            return None
        timed = role not in ("param", "alias")
        if timed and self.accept("_"):
            return self._subscript()
        if self.sign("[") and not self._after_space():
            self.take()
            return self._until("]")
        if (timed or self.below) and self.sign("^") and self._timelike():
            self.take()
            return self._superscript_step()
        if role in ("value", "prediction") and name not in self.vocabulary.initial:
            return self._bare_step()
        if role == "loss" and self.sign("(") and not self._has_comma():
            self.take()
            return self._until(")")
        return None

    def _bare_step(self) -> Tree | None:
        """``h^{t-1}`` and ``h(t-1)``, where no subscript gives the step."""
        if self.sign("("):
            if self._has_comma():
                return None
            self.take()
            return self._until(")")
        if not self.sign("^"):
            return None
        inside = self._group(self.place + 1)
        if not inside or any(t.kind == "sign" and t.text not in ("+", "-") for t in inside):
            return None
        self.take()
        return self._script()

    def _after_space(self) -> bool:
        """Whether a space stands before this token: ``h[t]`` is not ``h [a + b]``."""
        return self.text[self.token.at - 1 : self.token.at].isspace()

    def _subscript(self) -> Tree:
        """``_{t-1}``; ``_{t,i}`` and ``_i^{(t)}`` name one entry too."""
        if not self.accept("{"):
            index = self._index_atom()
        else:
            index = self.index()
            if self.accept(","):
                self.component = self.index()
            self.expect("}")
        if self.component is None and self.sign("^") and self._timelike():
            self.take()
            self.component = index
            return self._superscript_step()
        return index

    def _script(self) -> Tree:
        """A subscript or superscript that is a step."""
        if self.accept("{"):
            return self._until("}")
        return self._index_atom()

    def _until(self, closing: str) -> Tree:
        inner = self.index()
        self.expect(closing)
        return inner

    def _superscript_step(self) -> Tree:
        """``{(t-1)}``, or ``{(t-1)⊤}``, of which the transpose is left for later."""
        braced = self.accept("{")
        self.expect("(")
        inner = self._until(")")
        self.rest = braced and not self.accept("}")
        return inner

    # ---- functions of names: losses and cells ----

    def _has_comma(self) -> bool:
        """Whether the bracket that follows has more than one argument."""
        level = 0
        for t in self.stream[self.place : self.closing(self.place)]:
            if t.kind == "sign":
                level += (t.text in OPEN) - (t.text in CLOSE)
            if level == 1 and t.text in (",", ";"):
                return True
        return False

    def _past_arguments(self, index: Tree) -> Tree:
        """The step of ``ℓ_t(o_t, y_t)``, past the arguments."""
        self._arguments()
        return index

    def _arguments_step(self) -> Tree:
        """The step of ``ℓ(o_t, y_t)``: that of its arguments."""
        at = self.token.at
        steps = [a.index for a in self._arguments() if a.index is not None]
        if not steps:
            raise self.refused("a loss of arguments without a step; expected ℓ(o_t, y_t)", at)
        return steps[0]

    def _arguments(self) -> list[Letter]:
        """The names between parentheses: ``(x_t, h_{t-1}, w)``; those in products are listed too."""
        end = self.closing(self.place)
        found: list[Letter] = []
        self.take()
        while self.place < end:
            if self.token.kind == "letter":
                found.append(self._argument())
            else:
                self.take()
        self.expect(")")
        return found

    def _argument(self) -> Letter:
        """A name as an argument; a parameter may have any name there, such as ``w_o``."""
        token, start = self.take(), self.place
        name, _ = self._joined(token)
        if self.vocabulary.role(name) is not None:
            self.place = start - 1
            return self.letter()
        if self.accept("_"):
            self.place += len(self._group(self.place)) + 2 * self.sign("{")
        return Letter(name, "alias", None, token.at)

    def cell_call(self, name: str, at: int) -> Letter:
        """``f(x_t, h_{t-1}, w)`` as the whole new state, ``g(h_t, w)`` as the output, with their step."""
        arguments = self._arguments()
        states = [a for a in arguments if a.role == "value" and a.name in self.vocabulary.states]
        inputs = [a for a in arguments if a.role == "value" and a.name in self.vocabulary.inputs]
        if not states or states[0].index is None:
            raise self.refused(f"{name}(…) without a state; expected f(x_t, h_{{t-1}}, w) or g(h_t, w)", at)
        if name in ("g", "G"):
            return Letter("g", "output", states[0].index, at)
        if inputs and inputs[0].index is not None:
            return Letter("f", "cell", inputs[0].index, at)
        return Letter("f", "cell", moved(states[0].index, 1), at)

    def is_loss(self, token: Token) -> bool:
        """Whether a letter on top of a derivative is a loss."""
        return token.text in LOSSES and token.text not in self.vocabulary.own

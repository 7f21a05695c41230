"""From a text to tokens: LaTeX, Unicode and Python spellings become one stream.

What is decoration (sizes of brackets, spaces, fonts) is dropped here. A run of letters is one name if
the vocabulary knows it as one (``W_hh``), and single letters otherwise, as in LaTeX.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from bptt_verify.errors import FormulaError
from bptt_verify.notation.spellings import (
    COMMANDS,
    FONTS,
    GREEK,
    LETTERS,
    PAIRS,
    SCRIPTS,
    SIGNS,
    SKIPPED,
    VARIANTS,
    WORDS,
)
from bptt_verify.notation.vocabulary import ALIASES, ELL, FUNCTIONS, LOSSES, SHAPING, Vocabulary

LENGTH = 5_000
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_RUN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_COMMAND = re.compile(r"\\([A-Za-z]+\*?|.)", re.DOTALL)
_GROUP = re.compile(r"\s*\{([^{}]*)\}")
_BOLD = r"\\(?:mathbf|boldsymbol|bm|vec)"
_HAT = re.compile(rf"\s*(?:([A-Za-z])|\{{\s*([A-Za-z])\s*\}}|\{{\s*{_BOLD}\s*\{{?\s*([A-Za-z])\s*\}}?\s*\}})")
_OLD_FONT = re.compile(r"\{\s*\\(?:rm|bf|it|sf)\s+(\w+)\s*\}")
_LIBRARIES = ("np", "numpy", "torch", "jnp", "sp", "math")
_ROMAN = ("mathsf", "mathrm", "textsf", "text", "textrm", "operatorname")
_ROMAN_T = re.compile(r"\s*(?:\{\s*T\s*\}|T\b)")
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


@dataclass(frozen=True)
class Token:
    """A token: ``kind`` is "number", "letter", "word" (a function) or "sign"."""

    kind: str
    text: str
    at: int


def tokens(text: str, vocabulary: Vocabulary) -> list[Token]:
    """The tokens of a text, with a last one of kind "end".

    Raises
    ------
    FormulaError
        If it is too long or has characters or commands that no formula has; with the position.
    """
    if len(text) > LENGTH:
        raise FormulaError(f"formula: {len(text)} characters; expected at most {LENGTH}. Check a part of it.")
    for at, c in enumerate(text):
        if unicodedata.category(c) in _HIDDEN and c not in "\n\t\r":
            raise FormulaError(
                f"formula: U+{ord(c):04X} is a control or formatting character; expected visible characters "
                "only. Remove it.",
                text,
                at,
            )
    return _Tokenizer(text, vocabulary).run()


class _Tokenizer:
    def __init__(self, text: str, vocabulary: Vocabulary) -> None:
        self.text, self.at = text, 0
        self.known = vocabulary.words | {*FUNCTIONS, *SHAPING, *WORDS, *VARIANTS, *GREEK}
        self.varied = {*vocabulary.own, *LOSSES, *ELL, *ALIASES, *GREEK}
        self.targets = vocabulary.targets
        self.own = vocabulary.own
        self.closing: set[int] = set()  # braces of fonts, to be dropped
        self.dropped: dict[int, int] = {}  # remarks on braces: start -> end
        self.angles = False
        self.found: list[Token] = []

    def run(self) -> list[Token]:
        while self.at < len(self.text):
            self.step(self.text[self.at])
        self.found.append(Token("end", "the end", len(self.text)))
        return self.found

    def emit(self, kind: str, text: str, length: int) -> None:
        self.found.append(Token(kind, text, self.at))
        self.at += length

    def refuse(self, what: str) -> FormulaError:
        return FormulaError(f"formula: {what}", self.text, self.at)

    def step(self, c: str) -> None:
        pair = self.text[self.at : self.at + 2]
        if self.at in self.dropped:
            self.at = self.dropped[self.at]
        elif c == "{" and (old := _OLD_FONT.match(self.text, self.at)):
            self.closing.add(old.end() - 1)
            self.at = old.start(1)
        elif c == "\n":
            self.emit("sign", "newline", 1)
        elif c.isspace() or c in "&~$":
            self.at += 1
        elif c == "\\":
            self.command()
        elif c.isascii() and c.isdigit():
            digits = _NUMBER.match(self.text, self.at)[0]  # type: ignore[index]
            self.emit("number", digits, len(digits))
        elif c.isascii() and c.isalpha():
            self.name()
        elif pair in PAIRS:
            self.emit("sign", PAIRS[pair], 2)
        elif self.text.startswith("...", self.at):
            self.emit("sign", "…", 3)
        elif c == "." and pair == "..":
            self.emit("sign", "…", 2)
        elif c in "<>" and self.angle(c):
            self.emit("sign", "(" if c == "<" else ")", 1)
        elif c == "}" and self.at in self.closing:
            self.at += 1
        elif c in SIGNS:
            self.emit("sign", SIGNS[c], 1)
        else:
            self.other(c)

    def angle(self, c: str) -> bool:
        """Whether an angle is a bracket around a step, as in ``a^{<t>}``."""
        if c == "<":
            self.angles = [t.text for t in self.found[-2:]] == ["^", "{"]
            return self.angles
        closes, self.angles = self.angles, False
        return closes

    def other(self, c: str) -> None:
        """A letter or script that is not ASCII."""
        for sign, table in SCRIPTS.items():
            if c in table:
                return self.script(sign, table)
        plain = unicodedata.normalize("NFKC", c)
        if c in LETTERS:
            self.emit("letter", LETTERS[c], 1)
        elif plain in LETTERS:
            self.emit("letter", LETTERS[plain], 1)
        elif len(plain) == 1 and plain.isascii() and plain.isalpha():
            self.emit("letter", plain, 1)
        elif plain in SIGNS:
            self.emit("sign", SIGNS[plain], 1)
        else:
            raise self.refuse(f"unexpected character {c!r}; expected a formula in LaTeX or plain text.")

    def script(self, sign: str, table: dict[str, str]) -> None:
        """A run of Unicode subscripts or superscripts, as a group."""
        start = self.at
        self.found += [Token("sign", sign, start), Token("sign", "{", start)]
        while self.at < len(self.text) and self.text[self.at] in table:
            c = table[self.text[self.at]]
            self.emit("number" if c.isdigit() else "letter" if c.isalpha() else "sign", c, 1)
        self.found.append(Token("sign", "}", self.at - 1))

    def name(self) -> None:
        """The longest known name that ends where letters and digits end; else one letter."""
        run = _RUN.match(self.text, self.at)[0]  # type: ignore[index]
        if self.plain_spelling(run):
            return None
        ends = [k for k in range(len(run), 0, -1) if k == len(run) or run[k] == "_"]
        for end in ends:
            word = run[:end]
            if word in self.known:
                return self.word(word, end)
            if end > 1 and word[0] == "d" and word[1:] in self.varied:
                return self.emit("sign", "∂", 1)
        lone = run[0] == "d" and "d" not in self.own and (ends[-1] == 1 or run == "d")
        if lone and re.match(r"\s*[\\A-Za-z{/}α-ω]", self.text[self.at + 1 :]):
            return self.emit("sign", "∂", 1)
        self.emit("letter", run[0], 1)

    def plain_spelling(self, run: str) -> bool:
        """Spellings of programs: ``np.tanh``, ``dL_dW_hh``, ``h_bar``."""
        if run in _LIBRARIES and self.text.startswith(".", self.at + len(run)):
            self.at += len(run) + 1
            return True
        name = run.removeprefix("dL_d")
        if name != run and self.known_prefix(name):
            self.found += [
                Token("sign", "∂", self.at),
                Token("letter", "L", self.at),
                Token("sign", "/", self.at),
            ]
            self.emit("sign", "∂", len("dL_d"))
            return True
        cut = run.find("_bar")
        if cut > 0 and run[:cut] in self.own and run[cut + 4 : cut + 5] in ("", "_"):
            self.found.append(Token("sign", "bar", self.at))
            self.emit("letter", run[:cut], cut + 4)
            return True
        return False

    def known_prefix(self, run: str) -> bool:
        """Whether a run of letters begins with one of the author's names."""
        return any(run == n or run.startswith(f"{n}_") for n in self.own)

    def word(self, word: str, length: int) -> None:
        """A known name: the author's own, a function, or a word for a sign."""
        if word in self.own:
            return self.emit("letter", word, length)
        text = VARIANTS.get(word) or WORDS.get(word, word)
        if text in (*FUNCTIONS, *SHAPING):
            return self.emit("word", text, length)
        is_letter = text in GREEK or word not in WORDS
        self.emit("letter" if is_letter else "sign", text, length)

    def command(self) -> None:
        match = _COMMAND.match(self.text, self.at)
        if match is None:
            raise self.refuse("a lone backslash; expected a LaTeX command.")
        name, length = match[1].removesuffix("*"), len(match[0])
        if name in SKIPPED:
            self.at += length
            if name in ("left", "right") and self.text[self.at :].lstrip()[:1] == ".":
                self.at = self.text.index(".", self.at) + 1
        elif name in FONTS:
            self.at += length
            self.font(roman=name in _ROMAN)
        elif name in ("bar", "overline"):
            self.emit("sign", "bar", length)
            self.font()
        elif name in ("begin", "end", "tag", "label"):
            self.at += length
            group = _GROUP.match(self.text, self.at)
            self.at += len(group[0]) if group else 0
        elif name in ("underbrace", "overbrace"):
            self.at += length
            self.brace()
        elif name in ("hat", "widehat"):
            self.hat(length)
        elif name in ("[", "]", "(", ")"):
            self.at += length
        else:
            self.sign(name, length)

    def sign(self, name: str, length: int) -> None:
        letter = VARIANTS.get(name, name)
        if name in COMMANDS:
            self.emit("sign", COMMANDS[name], length)
        elif letter in GREEK:
            self.emit("letter", letter, length)
        elif WORDS.get(name, name) in (*FUNCTIONS, *SHAPING):
            self.emit("word", WORDS.get(name, name), length)
        else:
            raise self.refuse(
                f"unknown LaTeX command \\{name}; expected letters, \\frac, \\partial, \\sum, \\prod, "
                "\\top, \\odot, \\cdot, functions such as \\tanh, fonts, brackets. Write it out."
            )

    def font(self, roman: bool = False) -> None:
        """Drop the braces of a font around one letter or word; keep them where they group.

        A roman T in a superscript is the sign of the transpose.
        """
        lone = _ROMAN_T.match(self.text, self.at)
        above = [t.text for t in self.found[-2:]]
        if roman and lone and (above[-1:] == ["^"] or above == ["^", "{"]):
            return self.emit("sign", "⊤", lone.end() - self.at)
        group = _GROUP.match(self.text, self.at)
        script = bool(self.found) and self.found[-1].text in ("_", "^")
        if group is None:
            return
        inner = group[1].strip()
        if not script or len(inner) == 1 or inner in self.known:
            start = self.text.index("{", self.at)
            self.closing.add(start + len(group[0].lstrip()) - 1)
            self.at = start + 1

    def brace(self) -> None:
        """Drop the remark below or above a brace: ``\\underbrace{…}_{…}``."""
        end = self.end_of_group(self.at)
        remark = re.compile(r"\s*[_^]\s*(?=\{)").match(self.text, end)
        if remark:
            self.dropped[end] = self.end_of_group(remark.end())

    def end_of_group(self, start: int) -> int:
        """Where a braced group ends; the start itself if there is none."""
        level = 0
        for at in range(start, len(self.text)):
            level += (self.text[at] == "{") - (self.text[at] == "}")
            if level == 0 and not self.text[at].isspace():
                return at + 1 if self.text[at] == "}" else start
        return start

    def hat(self, length: int) -> None:
        """The prediction ŷ."""
        match = _HAT.match(self.text, self.at + length)
        letter = next(filter(None, match.groups()), "") if match else ""
        if match is None or letter not in (*self.targets, "y"):
            raise self.refuse("a hat; expected one over the target only, for the prediction.")
        self.emit("letter", "yhat", length + len(match[0]))

"""Characters that are not ASCII, and characters with a meaning of their own, in LaTeX and in Markdown."""

from __future__ import annotations

import html
import re
import unicodedata
from itertools import chain, zip_longest

GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "varepsilon", "ζ": "zeta", "η": "eta",
    "θ": "theta", "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi",
    "ρ": "rho", "σ": "sigma", "ς": "varsigma", "τ": "tau", "υ": "upsilon", "φ": "varphi", "ϕ": "phi",
    "χ": "chi", "ψ": "psi", "ω": "omega", "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda",
    "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma", "Υ": "Upsilon", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip
_SIGNS = {
    "∂": "partial", "∇": "nabla", "∞": "infty", "ℓ": "ell", "∑": "sum", "∏": "prod", "∫": "int",
    "≤": "le", "≥": "ge", "≠": "ne", "≈": "approx", "≡": "equiv", "∼": "sim", "∝": "propto", "±": "pm",
    "×": "times", "÷": "div", "·": "cdot", "⋅": "cdot", "∘": "circ", "⊙": "odot", "⊗": "otimes",
    "⊕": "oplus", "∈": "in", "∉": "notin", "⊂": "subset", "⊆": "subseteq", "∪": "cup", "∩": "cap",
    "∀": "forall", "∃": "exists", "¬": "neg", "∧": "land", "∨": "lor", "→": "to", "←": "leftarrow",
    "↦": "mapsto", "⇒": "Rightarrow", "⇐": "Leftarrow", "⇔": "Leftrightarrow", "…": "ldots",
    "⋯": "cdots", "‖": "Vert", "∣": "mid", "⟨": "langle", "⟩": "rangle", "⌊": "lfloor", "⌋": "rfloor",
    "⌈": "lceil", "⌉": "rceil", "⊤": "top", "⊥": "bot", "′": "prime", "√": "surd",
}  # fmt: skip
_OTHER = {
    "−": "-", "ᵀ": r"^{\top}", "½": r"\tfrac{1}{2}", "ℝ": r"\mathbb{R}", "ℕ": r"\mathbb{N}",
    "ℤ": r"\mathbb{Z}", "𝔼": r"\mathbb{E}", "\u00a0": " ", "µ": r"\mu ",
}  # fmt: skip
_SCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ₀₁₂₃₄₅₆₇₈₉₊₋ₜᵢⱼₖₙ", "0123456789+-n0123456789+-tijkn")
_RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
_LOWERED = re.compile("[₀₁₂₃₄₅₆₇₈₉₊₋ₜᵢⱼₖₙ]+")
_SCRIPT = re.compile(f"({_RAISED.pattern}|{_LOWERED.pattern})")
MATH = {c: rf"\{word} " for c, word in (GREEK | _SIGNS).items()} | _OTHER

_PROSE = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%", "#": r"\#",
    "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "[": "{[}", "*": "{*}", '"': "''", "–": "--", "—": "---",
    "‘": "`", "’": "'", "“": "``", "”": "''", "«": "``", "»": "''", "…": r"\ldots{}",
    "\u00a0": "~", "\u2011": "-",
}  # fmt: skip
# What pdflatex knows as it stands, without another font encoding.
_LATIN = re.compile("(?![ÐÞðþĄąĐđĘęĦħĮįĸĿŀŉŊŋŦŧŲųſ])[\u00a1-\u017f]")
# In \text MathJax shows a backslash that stands before one of these; in math mode both read them alike.
_IN_FORMULA = {
    "\\": r"\backslash ", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%", "#": r"\#",
    "_": r"\_", "~": r"\sim ", "^": r"\wedge ", "<": r"\lt ", ">": r"\gt ", "|": "|",
}  # fmt: skip
_TYPED = str.maketrans("‘’“”–—`", "''\"\"--'")
_WORDS_AND_SIGN = re.compile(r"([^\\{}$&%#_~^<>|\u0080-\u00bf\u0100-\U0010ffff]*)(.?)", re.DOTALL)
_MARKDOWN = re.compile(r"([\\`*_\[\]$~|])")
_MARKDOWN_START = re.compile(r"^(\d*)([-+#=:.)])")
_SPACES = re.compile(r"[\s\x00-\x1f\x7f]+")
_ACCENTS = {"\u0304": "bar", "\u0307": "dot", "\u0302": "hat", "\u0303": "tilde"}
_ACCENTED = re.compile(rf"(\w)([{''.join(_ACCENTS)}])")


def on_one_line(text: str) -> str:
    """Without line breaks and control characters."""
    return _SPACES.sub(" ", text)


def in_math(latex: str) -> str:
    """LaTeX math in ASCII: Greek letters, signs, accents and raised digits become commands."""
    if latex.isascii():
        return latex
    latex = _ACCENTED.sub(lambda m: rf"\{_ACCENTS[m[2]]}{{{m[1]}}}", latex)
    latex = _RAISED.sub(lambda m: f"^{{{m[0].translate(_SCRIPTS)}}}", latex)
    latex = _LOWERED.sub(lambda m: f"_{{{m[0].translate(_SCRIPTS)}}}", latex)
    latex = "".join(c if c.isascii() else MATH.get(c) or _plain(c) for c in latex)
    return re.sub(" +", " ", latex)


def in_latex(text: str) -> str:
    """Plain words as LaTeX text that pdflatex compiles, whatever they are."""
    parts = _SCRIPT.split(unicodedata.normalize("NFC", on_one_line(text)))
    words = ("".join(map(_latex_character, part)) for part in parts[::2])
    scripts = (f"${in_math(part)}$" for part in parts[1::2])
    return "".join(chain.from_iterable(zip_longest(words, scripts, fillvalue="")))


def in_formula(text: str) -> str:
    r"""Plain words inside a formula for KaTeX and MathJax: ``\text{50}\%\text{ of it}``."""
    text, parts = on_one_line(text).translate(_TYPED), []
    for words, sign in _WORDS_AND_SIGN.findall(unicodedata.normalize("NFC", text)):
        parts += [rf"\text{{{words}}}"] if words else []
        parts += [_IN_FORMULA.get(sign) or in_math(sign)] if sign else []
    return "".join(parts)


def in_markdown(text: str) -> str:
    """Plain words as Markdown, on one line."""
    return _MARKDOWN.sub(r"\\\1", html.escape(on_one_line(text), quote=False))


def paragraph_in_markdown(text: str) -> str:
    """Markdown that is a paragraph, also where its first character would make it a list or a heading."""
    return _MARKDOWN_START.sub(r"\1\\\2", text.lstrip())


def _latex_character(c: str) -> str:
    if c in _PROSE:
        return _PROSE[c]
    if c.isascii() or _LATIN.match(c):
        return c
    return f"${MATH[c].strip()}$" if c in MATH else _plain(c)


def _plain(c: str) -> str:
    """The nearest ASCII, or the character's number."""
    near = unicodedata.normalize("NFKD", c).encode("ascii", "ignore").decode()
    return near or f"(U+{ord(c):04X})"

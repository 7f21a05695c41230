"""How LaTeX, Unicode and plain text spell the same things: tables for the tokenizer."""

from __future__ import annotations

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "eta": "η", "theta": "θ",
    "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ",
    "tau": "τ", "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Theta": "Θ", "Phi": "Φ", "ell": "ℓ",
}  # fmt: skip
LETTERS = {sign: name for name, sign in GREEK.items()} | {"ϕ": "phi", "ϑ": "theta", "ϵ": "epsilon"}
VARIANTS = {"varphi": "phi", "vartheta": "theta", "varepsilon": "epsilon", "varrho": "rho", "lam": "lambda"}

# What a token may be; several spellings of each.
SIGNS = {
    "∂": "∂", "𝜕": "∂", "∇": "∇", "∑": "Σ", "Σ": "Σ", "∏": "∏", "Π": "∏",
    "·": "·", "⋅": "·", "×": "·", "∗": "·", "@": "·", "⊙": "⊙", "∘": "⊙", "⊗": "⊗",
    "⊤": "⊤", "′": "'", "'": "'", "’": "'", "…": "…", "⋯": "…", "−": "-", "–": "-",
    "≤": "≤", "⩽": "≤", "≥": "≥", "⩾": "≥", "<": "<", ">": ">", "≡": "=", "≔": "=", "≜": "=",
    "∈": "∈", "(": "(", ")": ")", "[": "[", "]": "]", "{": "{", "}": "}", "_": "_", "^": "^",
    "+": "+", "-": "-", "/": "/", "=": "=", ",": ",", ";": ";", ".": ".", "*": "·", "|": "|", "∀": "for",
}  # fmt: skip
PAIRS = {"**": "^", ".*": "⊙", "<=": "≤", ">=": "≥", ":=": "=", "==": "="}

COMMANDS = {
    "partial": "∂", "nabla": "∇", "sum": "Σ", "prod": "∏", "cdot": "·", "times": "·", "ast": "·",
    "odot": "⊙", "circ": "⊙", "bullet": "⊙",  "otimes": "⊗", "top": "⊤", "intercal": "⊤", "prime": "'",
    "ldots": "…", "cdots": "…", "dots": "…", "dotsc": "…", "dotsb": "…", "dotsm": "…", "hdots": "…",
    "le": "≤", "leq": "≤", "leqslant": "≤", "ge": "≥", "geq": "≥", "geqslant": "≥", "lt": "<", "gt": ">",
    "equiv": "=", "triangleq": "=", "coloneqq": "=", "doteq": "=", "in": "∈",
    "frac": "frac", "dfrac": "frac", "tfrac": "frac", "cfrac": "frac",
    "lbrace": "(", "rbrace": ")", "{": "(", "}": ")", "lbrack": "[", "rbrack": "]",
    "langle": "(", "rangle": ")", "lparen": "(", "rparen": ")", "vert": "|", "mid": "|", "forall": "for",
    "\\": "newline", "newline": "newline",
}  # fmt: skip
_SKIPPED = """left right big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr bigm Bigm middle
displaystyle textstyle scriptstyle limits nolimits nonumber notag quad qquad , ; : ! thinspace
enspace hfill mathstrut strut allowbreak large Large normalsize it bf rm"""
_FONTS = """mathbf mathrm mathsf mathit mathcal mathscr boldsymbol bm vec mathbb text textrm textbf textit
textsf texttt mathtt pmb operatorname mathop mbox bold mathfrak symbf symbfit"""
SKIPPED = frozenset(_SKIPPED.split()) | {" ", "\n", "\t"}
FONTS = frozenset(_FONTS.split())
WORDS = {
    "Sum": "Σ", "sum": "Σ", "Prod": "∏", "Product": "∏", "product": "∏", "prod": "prod",
    "partial": "∂", "nabla": "∇", "grad": "∇", "odot": "⊙", "otimes": "⊗", "cdot": "·",
    "for": "for", "in": "in", "range": "range", "all": "all", "where": "for", "with": "for", "if": "for",
    "and": "and", "every": "all", "each": "all", "when": "for",
    "Diag": "diag", "Tanh": "tanh", "ln": "log", "logistic": "sigmoid", "ReLU": "relu", "Sigmoid": "sigmoid",
    "arctan": "atan",
}  # fmt: skip

_LOWER = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", "0123456789+-()aehijklmnoprstuvx", strict=True))
_UPPER = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁱⁿᵗᵏʲˢ", "0123456789+-()intkjs", strict=True)) | {"ᵀ": "⊤"}
SCRIPTS = {"_": _LOWER, "^": _UPPER}

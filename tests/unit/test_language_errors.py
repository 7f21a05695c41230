"""Every wrong recurrence gets an error: the line and the variable, what was expected, what to do."""

import math
import textwrap
import types

import numpy as np
import pytest
import sympy as sp

import bptt_verify.language as language
from bptt_verify.errors import NameRefusedError, RecurrenceError, SizeError, UnsupportedError
from bptt_verify.language import Input, Param, State, Step, Target, pointwise, recurrence, squared_error, tanh

HEAD = """
@recurrence
def cell(
    x=Input("d"), y=Target("q"), h=State("n"), W=Param("n d"), A=Param("n n"), b=Param("n"), R=Param("q n"),
):
"""
# Line numbers below count from the decorator, which is line 2 of the file; the body starts on line 6.
BODY = """
    a = W @ x + A @ h + b
    h = tanh(a)
    o = R @ h
    return Step(h=h, output=o, loss=squared_error(o, y))
"""


def define(tmp_path, text):
    """Run the text as a module of its own, with the language imported, and return what ``cell`` is."""
    path = tmp_path / "author.py"
    path.write_text(text, encoding="utf-8")
    names = {n: getattr(language, n) for n in language.__all__}
    scope = {**names, "np": np, "sp": sp, "math": math}
    exec(compile(text, str(path), "exec"), scope)
    return scope["cell"]


def body(old, new=""):
    """The right cell with one part of its body replaced."""
    assert BODY.count(old) == 1
    return HEAD + BODY.strip("\n").replace(old, new) + "\n"


def declared(**changes):
    """A small right cell with other declarations."""
    arguments = {"x": 'Input("n")', "h": 'State("n")', "p": 'Param("n")', **changes}
    listed = ", ".join(n if v is None else f"{n}={v}" for n, v in arguments.items() if v != "")
    used = " + ".join(n for n in arguments if n.isidentifier() and n != "h")
    return (
        f"\n@recurrence\ndef cell({listed}):\n    h = tanh({used} + h)\n    return Step(h=h, loss=sum(h))\n"
    )


def test_the_right_cell_has_no_error(tmp_path):
    assert define(tmp_path, body("a = ", "a = ")).name == "cell"
    assert define(tmp_path, declared()).name == "cell"


SIZES = {
    "d added to n": (body("W @ x", "x"), ["line 6", "add", "x [d]", "equal sizes"]),
    "missing @": (body("A @ h", "A * h"), ["line 6", "A [n n]", "h [n]", "matrix product", "@"]),
    "missing @, named line": (body("R @ h", "R * h"), ["line 8 (o = R * h)", "R [q n]", "@"]),
    "inner sizes differ": (body("W @ x", "A @ x"), ["line 6", "A [n n] @ x [d]", "'n' and 'd'"]),
    "missing transpose": (body("R @ h", "h @ R"), ["line 8", "h [n] @ R [q n]", ".T"]),
    "missing transpose on the left": (body("R @ h", "R.T @ h"), ["line 8", "'q' and 'n'", "same word"]),
    "transposed vector": (body("A @ h", "A @ h.T"), ["line 6", ".T of h [n]", "expected a matrix"]),
    "transposed scalar": (body("o = R @ h", "s = sum(h).T\n    o = R @ h"), ["line 8", "expected a matrix"]),
    "product with a number": (body("A @ h", "A @ 2"), ["line 6", "2", "Scale with *"]),
    "product with a scalar": (body("A @ h", "sum(h) @ A"), ["line 6", "not a vector or a matrix"]),
    "state of another size": (body("h=h", "h=o"), ["line 9", "Step(h=…)", "o [q]", "[n]"]),
    "loss is a vector": (body("loss=squared_error(o, y)", "loss=o"), ["line 9", "loss=o [q]", "scalar"]),
    "loss is a matrix": (body("loss=squared_error(o, y)", "loss=A"), ["line 9", "loss=A [n n]", "scalar"]),
    "loss is a number": (body("loss=squared_error(o, y)", "loss=0.0"), ["line 9", "loss=0.0", "scalar"]),
    "no loss": (body(", loss=squared_error(o, y)"), ["line 9", "no loss", "scalar"]),
    "loss of two sizes": (body("error(o, y)", "error(h, y)"), ["line 9", "h [n], y [q]", "same size"]),
    "loss of a number": (body("error(o, y)", "error(o, 1)"), ["line 9", "o [q], 1", "same size"]),
    "dot of two sizes": (
        body("o = ", "s = dot(h, x)\n    o = "),
        ["line 8", "dot(h [n], x [d])", "same size"],
    ),
    "dot of a matrix": (
        body("o = ", "s = dot(h, A)\n    o = "),
        ["line 8", "dot(h [n], A [n n])", "two vectors"],
    ),
    "softmax of a matrix": (body("o = ", "s = softmax(A)\n    o = "), ["line 8", "A [n n]", "vector"]),
    "two sizes in a user function": (
        body("tanh(a)", "pointwise(lambda u, v: u * v, 'gate')(a, x)"),
        ["line 7", "apply gate to", "a [n] and x [d]", "equal sizes"],
    ),
    "size is no word": (declared(p='Param("n-1")'), ["'n-1'", "plain word"]),
    "size is code": (declared(p='Param("x;import")'), ["'x;import'", "plain word"]),
    "size is a keyword": (declared(p='Param("lambda")'), ["'lambda'", "plain word"]),
    "size is LaTeX": (declared(p=r'Param("\\alpha")'), ["alpha", "plain word"]),
    "size is not ASCII": (declared(p='Param("ν")'), ["'ν'", "plain word"]),
    "size is T": (declared(p='Param("T")'), ["'T'", "number of steps", "another word"]),
    "size is a number": (declared(p="Param(3)"), ["sizes=3", "words in one string"]),
    "three sizes": (declared(p='Param("n n n")'), ["3 sizes", "at most 2"]),
    "one-hot matrix": (declared(x='Input("n n", onehot=True)'), ["exactly one size"]),
    "classes of no size": (
        declared(c='Input("v", onehot=True)', s='Target("v", onehot=True)'),
        ["line 3", "'c'", "'v'", "Param"],
    ),
}

NAMES = {
    "bound twice": (
        body("o = R @ h", "a = R @ h\n    o = a"),
        ["line 8", "'a'", "twice", "line 6", "new name"],
    ),
    "state bound twice": (body("o = ", "h = h * h\n    o = "), ["line 8", "'h'", "twice", "line 7"]),
    "parameter rebound": (body("a = W", "b = b * b\n    a = W"), ["line 6", "'b'", "twice"]),
    "input rebound to a number": (body("o = ", "b = 3\n    o = "), ["line 8", "'b'", "twice"]),
    "augmented": (body("h = tanh(a)", "a += b\n    h = tanh(a)"), ["line 7", "'a'", "twice"]),
    "in a tuple": (body("o = R @ h", "o, a = R @ h, b"), ["line 8", "'a'", "twice"]),
    "starred": (body("o = R @ h", "o, *A = R @ h, b"), ["line 8", "'A'", "twice"]),
    "in a loop": (
        body("h = tanh(a)", "for k in range(2):\n        g = tanh(a)\n    h = g"),
        ["line 8", "'g'", "loop", "list"],
    ),
    "state in a loop": (
        body("h = tanh(a)", "for k in range(2):\n        h = tanh(a)"),
        ["line 8", "'h'", "loop"],
    ),
    "loop runs through a declared name": (
        body("h = tanh(a)", "for b in [a]:\n        pass\n    h = tanh(a)"),
        ["line 7", "'b'", "twice"],
    ),
    "walrus": (body("h = tanh(a)", "h = tanh(a + (b := a))"), ["line 7", "'b'", "twice"]),
    "walrus in a comprehension": (
        body("h = tanh(a)", "g = [(z := a * k) for k in (1, 2)]\n    h = tanh(z)"),
        ["line 7", "'z'", "twice"],
    ),
    "with": (
        body(
            "h = tanh(a)", "import contextlib\n    with contextlib.nullcontext(a) as b:\n        h = tanh(a)"
        ),
        ["line 8", "'b'", "twice"],
    ),
    "in an if": (body("o = R @ h", "if True:\n        a = R @ h\n    o = a"), ["line 9", "'a'", "twice"]),
    "reserved": (declared(weights='Param("n")'), ["line 3", "'weights'", "reserved", "Rename"]),
    "reserved by generated code": (declared(np='Param("n")'), ["line 3", "'np'", "reserved", "Rename"]),
    "not ASCII": (declared(ω='Param("n")'), ["line 3", "'ω'", "ASCII", "Rename"]),
    "underscore": (declared(_p='Param("n")'), ["line 3", "'_p'", "starts with a letter"]),
    "initial state": (declared(h0='Param("n")'), ["line 3", "'h0'", "initial value", "'h'"]),
}

OTHERS = {
    "unused parameter": (body(" + b"), ["line 4", "'b'", "does not reach", "drop the declaration"]),
    "unused input": (body("W @ x + "), ["line 4", "'x'", "does not reach"]),
    "state not read": (body(" + A @ h"), ["line 4", "'h'", "previous value is never used"]),
    "state never updated": (body("h=h, "), ["line 9", "State 'h'", "never updated", "Param"]),
    "state returned as it was": (
        body("h = tanh(a)", "g = tanh(a)").replace("R @ h", "R @ g"),
        ["'h'", "never updated"],
    ),
    "unknown state": (body("h=h", "h=h, k=h"), ["line 9", "'k'", "not a declared State", "h"]),
    "parameter as state": (body("h=h", "h=h, b=h"), ["line 9", "'b'", "not a declared State"]),
    "state is a number": (body("h=h", "h=0"), ["line 9", "Step(h=0)", "traced value"]),
    "output is a number": (body("output=o", "output=1"), ["line 9", "output=1", "traced value"]),
    "output is a tuple": (body("output=o", "output=(o, o)"), ["line 9", "output=", "traced value"]),
    "positional Step": (body("Step(h=h", "Step(h"), ["line 9", "Step(h [n]", "expected names"]),
    "no Step": (body("return Step(h=h, output=o, loss=squared_error(o, y))", "return o"), ["Value", "Step"]),
    "no return": (body("return Step(h=h, output=o, loss=squared_error(o, y))"), ["NoneType", "Step"]),
    "if": (body("h = tanh(a)", "if a:\n        h = tanh(a)"), ["line 7", "truth of a [n]", "Piecewise"]),
    "while": (body("h = tanh(a)", "while a:\n        pass"), ["line 7", "truth of a [n]", "Piecewise"]),
    "and": (body("tanh(a)", "tanh(a and b)"), ["line 7", "truth of a [n]", "relu"]),
    "not": (body("tanh(a)", "tanh(not a)"), ["line 7", "truth of a [n]"]),
    "greater": (body("tanh(a)", "tanh(a) if sum(a) > 0 else a"), ["line 7", "compared with 0", "Piecewise"]),
    "equal": (body("tanh(a)", "tanh(a) if a == b else a"), ["line 7", "a [n] is compared with b [n]"]),
    "max": (body("tanh(a)", "max(a, b)"), ["line 7", "compared"]),
    "in": (body("tanh(a)", "tanh(a) if a in (b,) else a"), ["line 7", "compared"]),
    "index": (body("tanh(a)", "tanh(a[0])"), ["line 7", "indexing a [n] with 0", "arguments of their own"]),
    "slice": (body("tanh(a)", "tanh(a[:2])"), ["line 7", "indexing a [n]"]),
    "item assignment": (body("h = tanh(a)", "a[0] = 1"), ["line 7", "a [n]", "language"]),
    "iteration": (body("tanh(a)", "tanh([u for u in a][0])"), ["line 7", "indexing a [n]"]),
    "len": (body("tanh(a)", "tanh(a) * len(a)"), ["line 7", "len of a [n]", "mean"]),
    "float": (body("tanh(a)", "tanh(a) * float(sum(a))"), ["line 7", "turned into a number"]),
    "int": (body("tanh(a)", "tanh(a) * int(sum(a))"), ["line 7", "turned into a number"]),
    "round": (body("tanh(a)", "tanh(round(a))"), ["line 7", "turned into a number"]),
    "math": (
        body("tanh(a)", "math.tanh(a)"),
        ["line 7", "turned into a number", "functions of this library"],
    ),
    "SymPy": (body("tanh(a)", "sp.tanh(a)"), ["line 7", "a [n]", "functions of this library"]),
    "NumPy function": (body("tanh(a)", "np.tanh(a)"), ["line 7", "numpy.tanh", "bptt_verify.tanh"]),
    "NumPy sum": (body("tanh(a)", "tanh(a) * np.sum(a)"), ["line 7", "a [n]", "functions of this library"]),
    "NumPy dot": (body("A @ h", "np.dot(A, h)"), ["line 6", "functions of this library"]),
    "NumPy array from a value": (body("tanh(a)", "tanh(np.asarray(a))"), ["line 7", "NumPy"]),
    "array constant": (body("tanh(a)", "tanh(a + np.ones(3))"), ["line 7", "ndarray", "Param"]),
    "array constant first": (body("tanh(a)", "tanh(np.ones(3) * a)"), ["line 7", "numpy.multiply", "Param"]),
    "array constant in a product": (body("A @ h", "np.eye(3) @ h"), ["line 6", "numpy.matmul", "Param"]),
    "method": (body("tanh(a)", "tanh(a) * a.sum()"), ["line 7", "a [n] has no .sum", "sum(v)"]),
    "attribute": (body("tanh(a)", "tanh(a) * a.shape[0]"), ["line 7", "a [n] has no .shape"]),
    "call": (body("tanh(a)", "a(b)"), ["line 7", "a [n]"]),
    "floor division": (body("tanh(a)", "tanh(a // 2)"), ["line 7", "a [n]", "+ - * / **"]),
    "remainder": (body("tanh(a)", "tanh(a % 2)"), ["line 7", "a [n]", "+ - * / **"]),
    "bitwise": (body("tanh(a)", "tanh(a & b)"), ["line 7", "a [n]", "+ - * / **"]),
    "complex": (body("tanh(a)", "tanh(a * 1j)"), ["line 7", "complex", "finite real"]),
    "nan": (body("tanh(a)", "tanh(a * math.nan)"), ["line 7", "nan", "finite real"]),
    "inf": (body("tanh(a)", "tanh(a - math.inf)"), ["line 7", "inf", "finite real"]),
    "too large": (body("tanh(a)", "tanh(a * 10**400)"), ["line 7", "multiply", "finite real"]),
    "bool": (body("tanh(a)", "tanh(a * True)"), ["line 7", "bool", "finite real"]),
    "string": (body("tanh(a)", "tanh(a + 'b')"), ["line 7", "str", "finite real"]),
    "None": (body("tanh(a)", "tanh(a + None)"), ["line 7", "NoneType", "finite real"]),
    "list": (body("tanh(a)", "tanh(a + [1, 2])"), ["line 7", "list", "finite real"]),
    "SymPy number": (body("tanh(a)", "tanh(a * sp.pi)"), ["line 7", "Pi", "finite real"]),
    "two arguments for one": (body("tanh(a)", "tanh(a, b)"), ["line 7", "tanh", "2 arguments", "expected 1"]),
    "target in the state": (
        body("h = tanh(a)", "h = tanh(a + R.T @ y)"),
        ["line 9", "state 'h'", "target 'y'", "leaks", "Feedback"],
    ),
    "target in a second state": (
        declared(z='Target("n")', k='State("n")').replace("Step(h=h", "Step(h=x + p, k=k + h"),
        ["state 'k'", "target 'z'", "leaks", "Feedback"],
    ),
    "no declaration": (
        '\n@recurrence\ndef cell(p, x=Input("n"), h=State("n")):\n    pass\n',
        ["line 3", "argument p", "no default", "Param"],
    ),
    "wrong default": (declared(p="3"), ["line 3", "argument p", "default 3", "Param"]),
    "class as default": (declared(p="Param"), ["line 3", "argument p", "Param"]),
    "star": ("\n@recurrence\ndef cell(*p):\n    pass\n", ["line 3", "argument *p", "Param"]),
    "two stars": ("\n@recurrence\ndef cell(**p):\n    pass\n", ["line 3", "argument **p", "Param"]),
    "positional-only": (
        '\n@recurrence\ndef cell(p=Param("n"), /, x=Input("n")):\n    pass\n',
        ["line 3", "argument p", "positional-only"],
    ),
    "no arguments": ("\n@recurrence\ndef cell():\n    pass\n", ["cell", "no Input and no Target"]),
    "no state": ('\n@recurrence\ndef cell(x=Input("n")):\n    pass\n', ["cell", "no State"]),
    "no series": ('\n@recurrence\ndef cell(h=State("n")):\n    pass\n', ["cell", "no Input and no Target"]),
    "parentheses": ("\n@recurrence()\ndef cell():\n    pass\n", ["@recurrence without parentheses"]),
    "generator": (
        '\n@recurrence\ndef cell(x=Input("n")):\n    yield x\n',
        ["line 2", "generator", "plain function"],
    ),
    "async": (
        '\n@recurrence\nasync def cell(x=Input("n")):\n    pass\n',
        ["line 2", "asynchronous", "plain function"],
    ),
    "class": ("\n@recurrence\nclass cell:\n    pass\n", ["function=", "Python function"]),
    "method of a class": (
        '\nclass C:\n    @recurrence\n    def cell(self, x=Input("n")):\n        pass\n',
        ["line 4", "'self'", "reserved"],
    ),
    "recurrence of a recurrence": (
        "\n@recurrence\n" + declared().strip("\n"),
        ["function=", "Python function"],
    ),
    "recurrence inside": (
        declared() + "inner = cell\n" + body("tanh(a)", "inner(x=x)"),
        ["line 13", "recurrence 'cell' is called", "plain Python function"],
    ),
}


def cases(table):
    return [pytest.param(text, words, id=name) for name, (text, words) in table.items()]


def check(tmp_path, text, error, words):
    with pytest.raises(error) as caught:
        define(tmp_path, text)
    message = str(caught.value)
    assert [w for w in words if w not in message] == [], message
    advice = ("expected", "Write the choice", "Use ", "Declare", "Rename", "Leave it out")
    assert any(w in message for w in advice), message


@pytest.mark.parametrize(("text", "words"), cases(SIZES))
def test_sizes(tmp_path, text, words):
    check(tmp_path, text, SizeError, words)


@pytest.mark.parametrize(("text", "words"), cases(NAMES))
def test_names(tmp_path, text, words):
    check(tmp_path, text, NameRefusedError, words)


@pytest.mark.parametrize(("text", "words"), cases(OTHERS))
def test_others(tmp_path, text, words):
    check(tmp_path, text, RecurrenceError, words)


RIGHT = {
    "counter in a loop": (
        "h = tanh(a)",
        "k = 0\n    for i in range(3):\n        k = k + i\n    h = tanh(k * a)",
    ),
    "list in a loop": (
        "h = tanh(a)",
        "v = [a]\n    for i in range(2):\n        v.append(tanh(v[-1]))\n    h = v[2]",
    ),
    "loop through values": (
        "h = tanh(a)",
        "v = []\n    for u in (a, b):\n        v += [tanh(u)]\n    h = v[0] + v[1]",
    ),
    "unpacked": ("h = tanh(a)", "h, g = tanh(a), a"),
    "annotated": ("h = tanh(a)", "g: object\n    h: object = tanh(a)"),
    "own scope": ("h = tanh(a)", "f = lambda a: tanh(a)\n    h = sum([f(a) for b in (1,)][0]) * a"),
    "inner function": (
        "h = tanh(a)",
        "def f(u):\n        a = u\n        a = tanh(a)\n        return a\n    h = f(a)",
    ),
    "augmented state": ("h = tanh(a)", "h *= tanh(a)"),
}


@pytest.mark.parametrize(("old", "new"), RIGHT.values(), ids=RIGHT)
def test_plain_python_is_allowed(tmp_path, old, new):
    assert define(tmp_path, body(old, new)).states == {"h": ("n",)}


# ---- functions for pointwise ----

FUNCTIONS = {
    "text": (lambda: pointwise("u + 1"), RecurrenceError, ["'u + 1'", "never parsed"]),
    "number": (lambda: pointwise(3), RecurrenceError, ["3", "callable"]),
    "no argument": (lambda: pointwise(lambda: 1), RecurrenceError, ["one or more positional"]),
    "star": (lambda: pointwise(lambda *u: u), RecurrenceError, ["one or more positional"]),
    "foreign symbol": (
        lambda: pointwise(lambda u: u * sp.Symbol("c")),
        RecurrenceError,
        ["c", "arguments only"],
    ),
    "vector": (lambda: pointwise(lambda u: sp.Matrix([u])), RecurrenceError, ["scalar SymPy expression"]),
    "tuple": (lambda: pointwise(lambda u: (u, u)), RecurrenceError, ["scalar SymPy expression"]),
    "truth": (lambda: pointwise(lambda u: u > 0), RecurrenceError, ["scalar SymPy expression"]),
    "unknown function": (
        lambda: pointwise(lambda u: sp.zeta(u)),
        UnsupportedError,
        ["zeta", "tanh", "supported"],
    ),
    "unknown derivative": (
        lambda: pointwise(lambda u: sp.gamma(u)),
        UnsupportedError,
        ["gamma", "supported"],
    ),
    "undefined function": (
        lambda: pointwise(lambda u: sp.Function("f")(u)),
        UnsupportedError,
        ["f is not supported"],
    ),
    "imaginary": (lambda: pointwise(lambda u: sp.I * u), UnsupportedError, ["I", "finite real"]),
    "infinite": (lambda: pointwise(lambda u: u + sp.oo), UnsupportedError, ["oo", "finite real"]),
    "nan": (lambda: pointwise(lambda u: u * sp.nan), UnsupportedError, ["nan", "finite real"]),
    "no last branch": (
        lambda: pointwise(lambda u: sp.Piecewise((u, u > 0))),
        UnsupportedError,
        ["Piecewise", "(…, True)"],
    ),
    "odd condition": (
        lambda: pointwise(lambda u: sp.Piecewise((u, sp.Xor(u > 0, u < 1)), (0, True))),
        UnsupportedError,
        ["Xor", "relations"],
    ),
}


@pytest.mark.parametrize(("make", "error", "words"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_functions_for_pointwise(make, error, words):
    with pytest.raises(error) as caught:
        make()
    assert [w for w in words if w not in str(caught.value)] == [], str(caught.value)


# ---- functions that are not what their source says ----


def author(x=Input("n"), h=State("n"), A=Param("n n")):
    a = A @ h + x
    h = tanh(a)
    return Step(h=h, output=h, loss=squared_error(h, x))


HOSTILE = [
    "class",
    "x; import os",
    "a\nimport os",
    "\\alpha_{1}",
    "α",
    '"""',
    "{x}",
    "%s",
    "",
    "a b",
    "__import__('os')",
]


def renamed(function, *, name=None, names=None):
    """The function with another name, or with other names for its local variables."""
    code = function.__code__
    if names:
        code = code.replace(co_varnames=tuple(names.get(n, n) for n in code.co_varnames))
    new = types.FunctionType(code, globals(), name or function.__name__, function.__defaults__)
    new.__name__ = function.__name__ if name is None else name
    return new


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_function_name_reaches_no_text(name):
    from bptt_verify.codegen.kernel import generate
    from bptt_verify.program import listing

    rec = recurrence(renamed(author, name=name))
    assert rec.name == "anonymous"
    plain = recurrence(renamed(author, name="anonymous"))
    assert listing(rec.program) == listing(plain.program)
    assert generate(rec).source == generate(plain).source


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_variable_name_reaches_no_text(name):
    from bptt_verify.codegen.kernel import generate
    from bptt_verify.program import listing

    rec = recurrence(renamed(author, names={"a": name}))
    text = listing(rec.program) + generate(rec).source + generate(rec, style="plain").source
    unnamed = recurrence(renamed(author, names={"a": "_"}))
    assert (
        text == listing(unnamed.program) + generate(unnamed).source + generate(unnamed, style="plain").source
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_declared_name_is_refused(name):
    with pytest.raises(NameRefusedError, match="ASCII identifier"):
        recurrence(renamed(author, names={"A": name}))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_for_pointwise_reaches_no_text(name):
    from bptt_verify.codegen.kernel import generate

    def cell(x=Input("n"), h=State("n")):
        return Step(h=bend(bend(h) + x), loss=language.sum(bend(bend(x))))

    bend = pointwise(lambda u: u / (1 + u**2), name)
    source = generate(recurrence(cell)).source
    bend = pointwise(lambda u: u / (1 + u**2), "part")
    assert source == generate(recurrence(cell)).source


def test_without_source_the_names_are_still_the_authors():
    text = textwrap.dedent(body("a = ", "a = ").replace("@recurrence", ""))
    scope = {n: getattr(language, n) for n in language.__all__}
    exec(text, scope)
    rec = recurrence(scope["cell"])
    assert {"a", "h", "o"} <= set(rec.program.equation)
    with pytest.raises(SizeError, match=r"cell, line 6: cannot add .*x \[d\]"):
        exec(textwrap.dedent(body("W @ x", "x")), scope)


def test_a_lambda_is_a_function_without_names():
    rec = recurrence(lambda x=Input("n"), h=State("n"): Step(h=tanh(h + x), loss=language.dot(h, x)))
    assert rec.name == "anonymous"
    assert rec.inputs == {"x": ("n",)}


def test_tracing_leaves_nothing_behind_after_an_error(tmp_path):
    check(tmp_path, body("W @ x", "x"), SizeError, ["line 6"])
    assert recurrence(author).name == "author"
    with pytest.raises(RecurrenceError, match=r"^recurrence: tanh got 2 arguments"):
        tanh(1, 2)


def test_targets_may_reach_the_output(tmp_path):
    def cell(y=Target("n"), h=State("n"), A=Param("n n")):
        h = tanh(A @ h)
        return Step(h=h, output=h - y, loss=squared_error(h, y))

    assert recurrence(cell).targets == {"y": ("n",)}

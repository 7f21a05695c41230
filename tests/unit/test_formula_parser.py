"""The formula parser: one tree for many spellings, clear refusals, nothing ever run."""

import pytest

from bptt_verify.errors import FormulaError
from bptt_verify.notation import Vocabulary, readings
from bptt_verify.notation.printing import written
from bptt_verify.notation.tree import (
    Call,
    Derivative,
    Letter,
    OrderedProduct,
    Power,
    Sum,
    Transpose,
    number,
)
from bptt_verify.notation.walking import exchanged, free_letters, mapped, substituted, subtree, walk

V = Vocabulary(("W_hx", "W_hh", "b_h", "W_qh", "b_q"), ("h",), ("x",), ("y",), ("a", "o"))
GATES = Vocabulary(("W_ih",), ("h", "c"), ("x",), ("y",), ("i", "f", "o"))


def read(text, vocabulary=V):
    """The only side of the only equation, in the usual reading."""
    (equation,) = readings(text, vocabulary)[0]
    (side,) = equation.sides
    return side


def sides(text, vocabulary=V):
    (equation,) = readings(text, vocabulary)[0]
    return [written(s) for s in equation.sides]


T = Letter("t", "index")
H = Letter("h", "value", T)
LAMBDA_HT = r"\sum_{t=1}^{T} \lambda_t h_{t-1}^\top"

SAME = {
    "a step": [
        "h_{t-1}",
        "h[t-1]",
        "h(t-1)",
        r"h^{(t-1)}",
        r"\mathbf{h}_{t-1}",
        r"\mathbf h_{t-1}",
        "hₜ₋₁",
        r"{h_{t-1}}",
        "h^{t-1}",
    ],
    "the initial state": ["h_0", "h0", "h[0]", "h^{(0)}", "h₀"],
    "a parameter": [
        "W_{hh}",
        "W_hh",
        r"\mathbf{W}_{hh}",
        r"\mathbf{W_{hh}}",
        r"\mathbf{W}_\textrm{hh}",
        r"\bm W_{hh}",
    ],
    "a transpose": [
        r"W_{hh}^\top",
        r"W_{hh}^{\top}",
        r"W_{hh}^{\mathsf T}",
        r"W_{hh}^\mathsf{T}",
        r"W_{hh}^{\intercal}",
        "W_hh.T",
        "W_hhᵀ",
        "W_hh^⊤",
        "transpose(W_hh)",
    ],
    "a gradient": [
        r"\frac{\partial L}{\partial h_t}",
        r"\dfrac{\partial \mathcal{L}}{\partial \mathbf{h}_t}",
        r"\partial L / \partial h_t",
        "∂L/∂h_t",
        "dL/dh_t",
        "dL/dh[t]",
        r"\frac{dL}{dh_t}",
        r"\frac{\mathrm{d} L}{\mathrm{d} h_t}",
        r"\frac{\partial E}{\partial h_t}",
        r"\frac{\partial J}{\partial h_t}",
        "dL_dh[t]",
        "dh_t",
        r"\bar{h}_t",
        r"\overline{h_t}",
        "h_bar_t",
        r"\partial_{h_t} L",
    ],
    "a power of a transpose": [
        r"(W_{hh}^\top)^{T-i}",
        r"{W_{hh}^{\top}}^{T-i}",
        r"\left(W_{hh}^{\top}\right)^{T-i}",
        r"(W_hh.T)**(T-i)",
        r"(W_hhᵀ)^{T-i}",
        r"W_{hh}^{\top (T-i)}",
    ],
    "a sum": [
        LAMBDA_HT,
        r"\sum_{t=1}^T {\lambda_t} {h_{t-1}^\top}",
        r"\sum\limits_{t=1}^{T} \lambda_t \, h_{t-1}^{\top}",
        r"\sum_t \lambda_t h_{t-1}^\top",
        r"\sum_{1 \le t \le T} \lambda_t h_{t-1}^\top",
        r"\sum_{t=1,\ldots,T} \lambda_t h_{t-1}^\top",
        "Sum(lambda_t * h_{t-1}.T, (t, 1, T))",
        "sum(λ[t] @ h[t-1].T for t in 1..T)",
        "Σ_{t=1}^{T} λ_t h_{t-1}ᵀ",
        "sum_{t=1}^T lambda_t h_{t-1}^⊤",
    ],
    "a loss of one step": [
        r"\ell_t",
        r"\ell(o_t, y_t)",
        "l(o_t, y_t)",
        r"\ell(\mathbf{o}_t, y_t)",
        "ℓ_t",
        r"\ell^{(t)}",
    ],
    "a slope": [
        r"\tanh'(a_t)",
        r"\tanh^{\prime}(a_t)",
        r"\tanh^\prime\left(a_t\right)",
        "tanh'(a[t])",
        "tanh′(a_t)",
    ],
    "a diagonal": [
        r"\operatorname{diag}(1-h_t^2)",
        r"\mathrm{diag}\left(1 - h_t^{2}\right)",
        r"\text{diag}\bigl[1-h_t^2\bigr]",
        r"{\rm diag}(1-h_t^2)",
        "diag(1 - h_t**2)",
        "np.diag(1 - h[t]**2)",
        "diag(1 − h_t²)",
        r"\operatorname{diag}\left(1-\left(h^{(t)}\right)^2\right)",
    ],
    "a product with dots": [
        r"J_t J_{t-1} \cdots J_{i+1}",
        "J_t J_{t-1} … J_{i+1}",
        "J_t * J_{t-1} * ... * J_{i+1}",
    ],
    "the rest": [
        "2 h_t",
        "2*h_t",
        r"2 \cdot h_t",
        r"2\times h_t",
        "$2 h_t$",
        r"\[ 2 h_t \]",
        "2 h_t.",
        r"2 \, h_t,",
        "2 @ h_t",
    ],
}


@pytest.mark.parametrize("texts", SAME.values(), ids=SAME)
def test_spellings_of_one_thing_give_one_tree(texts):
    first = read(texts[0])
    for text in texts[1:]:
        assert read(text) == first, f"{text}: {written(read(text))}"


def test_letters_have_their_roles():
    assert read("h_t") == H
    assert read("W_hh") == Letter("W_hh", "param")
    assert read("T") == Letter("T", "count")
    assert read("λ_t") == Letter("lambda", "theory", T)
    assert read("w") == Letter("w", "alias")
    assert read(r"\hat{y}_t") == Letter("ŷ", "prediction", T)


def test_the_authors_names_come_first():
    assert read("c_t", GATES).role == "value"
    assert read("c_t").role == "theory"
    total = read(r"\sum_{i=1}^{t} i_i", GATES)
    assert isinstance(total, Sum) and total.body == Letter("i", "value", Letter("i", "index"))


def test_a_derivative_knows_what_the_text_says_of_it():
    plain = read("∂h_t/∂W_hh")
    assert plain == Derivative(H, Letter("W_hh", "param"))
    assert read(r"\frac{\partial^+ h_t}{\partial W_{hh}}") == Derivative(
        H, Letter("W_hh", "param"), direct=True
    )
    assert read(r"\nabla_{h_t} L").layout == "column"
    assert read(r"\frac{\partial L}{\partial h_t^\top}").layout == "row"
    copy = read(r"\frac{\partial h^{(t)}}{\partial W_{hh}^{(t)}}")
    assert copy.bottom == Letter("W_hh", "param", T)
    assert read(r"\left.\frac{\partial h_t}{\partial W_{hh}}\right|_{(t)}") == copy


def test_cell_functions_on_top_of_a_derivative_have_a_step():
    for text in (r"f(x_t, h_{t-1}, w_h)", "f_t", "f(h_{t-1}, x_t; w)", "f(h_{t-1}, w)"):
        assert read(rf"\frac{{\partial {text}}}{{\partial h_{{t-1}}}}").top.role == "cell"
    assert sides(r"\frac{\partial f(x_t, h_{t-1}, w_h)}{\partial w_h}") == ["∂⁺f_t/∂w_h"]
    assert sides(r"\frac{\partial g(h_t, w_o)}{\partial h_t}") == ["∂⁺g_t/∂h_t"]
    assert sides(r"\partial_h f(x_t, h_{t-1}, w)") == ["∂⁺f_t/∂h_{t-1}"]


def test_a_factor_beside_the_derivative_stays():
    assert sides(r"\frac{\partial l (o_t, y_t)}{T \cdot \partial o_t} \in \mathbb{R}^q.") == [
        "(∂ℓ_t/∂o_t) / T"
    ]


def test_products_written_out_keep_their_order():
    down = read(r"J_t J_{t-1} \cdots J_{i+1}")
    assert isinstance(down, OrderedProduct) and down.written and down.step == -1
    assert read(r"J_{i+1} J_{i+2} \cdots J_t").step == 1
    assert read(r"J_t \cdots J_{i+1}").step == 0
    pairs = read(r"W_{hh}^\top D_t W_{hh}^\top D_{t-1} \cdots W_{hh}^\top D_1")
    assert written(pairs.body) == "(W_hhᵀ) D_j"
    chain = read(r"\frac{\partial h_t}{\partial h_{t-1}} \cdots \frac{\partial h_1}{\partial h_0}")
    assert written(chain.body) == "∂h_j/∂h_{j-1}"
    assert not read(r"\prod_{j=i+1}^{t} J_j").written


def test_a_product_sign_takes_the_factors_with_its_letter():
    assert sides(r"\prod_{j=i+1}^{t} J_j A_i") == ["(∏_{j=i + 1 to t} (J_j)) A_i"]
    texts = [written(r[0].sides[0]) for r in readings(r"\prod_{j=i+1}^{t} D_j W_{hh} A_i", V)]
    assert texts[:2] == ["(∏_{j=i + 1 to t} (D_j)) W_hh A_i", "(∏_{j=i + 1 to t} (D_j W_hh)) A_i"]


def test_an_elementwise_product_beside_a_product_has_three_readings():
    texts = {written(r[0].sides[0]) for r in readings(r"W_{hh}^\top \lambda_t \odot x_t h_t^\top", V)}
    assert texts == {
        "((W_hhᵀ) λ_t) ⊙ (x_t (h_tᵀ))",
        "(W_hhᵀ) (λ_t ⊙ x_t) (h_tᵀ)",
        "(((W_hhᵀ) λ_t) ⊙ x_t) (h_tᵀ)",
    }


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        (r"\sum_{i<t} A_i", [("i", "1", "t - 1")]),
        (r"\sum_{i \le t} A_i", [("i", "1", "t")]),
        (r"\sum_{1 \le i < t} A_i", [("i", "1", "t - 1")]),
        (r"\sum_{s \ge t} c_s", [("s", "t", "T")]),
        (r"\sum_{s > t} c_s", [("s", "t + 1", "T")]),
        (r"\sum_{t < s \le T} c_s", [("s", "t + 1", "T")]),
        (r"\sum_{1 \le k \le t \le T} A_k", [("t", "1", "T"), ("k", "1", "t")]),
        (r"\sum_{i=t}^{T} c_i", [("i", "t", "T")]),
        (r"\sum_{\tau=1}^{T} c_\tau", [("tau", "1", "T")]),
        ("Sum(c_s, s, t, T)", [("s", "t", "T")]),
        ("sum(c[s] for s in range(t, T+1))", [("s", "t", "T")]),
        (r"\prod_{t \ge i > k} J_i", [("i", "k + 1", "t")]),
    ],
)
def test_ranges(text, ranges):
    tree, found = read(text), []
    while isinstance(tree, Sum | OrderedProduct):
        low, high = (tree.low, tree.high) if isinstance(tree, Sum) else (tree.first, tree.last)
        found.append((tree.variable, written(low), written(high)))
        tree = tree.body
    assert found == ranges


def test_the_left_side_says_which_letters_are_given():
    (equation,) = readings(r"\lambda_t = \sum_{t \le s} c_s", V)[0]
    assert equation.sides[1].variable == "s"


def test_chains_and_several_equations():
    (chain,) = readings("dL/dh_t = λ_t = c_t", V)[0]
    assert len(chain.sides) == 3
    text = (
        r"\begin{aligned} \lambda_t &= c_t \\ &+ J_{t+1}^\top \lambda_{t+1} \\ \lambda_T &= c_T \end{aligned}"
    )
    first, second = readings(text, V)[0]
    assert [written(s) for s in first.sides] == ["λ_t", "c_t + (J_{t+1}ᵀ) λ_{t+1}"]
    assert [written(s) for s in second.sides] == ["λ_T", "c_T"]


@pytest.mark.parametrize(
    "text",
    [
        "λ_t = c_t, t < T",
        "λ_t = c_t (t < T)",
        r"λ_t = c_t \quad (1 \le t < T)",
        r"λ_t = c_t, \quad t = T-1, \ldots, 1",
        r"λ_t = c_t \text{ for } 1 \le t \le T-1",
        "λ_t = c_t for all t < T.",
    ],
)
def test_conditions(text):
    (equation,) = readings(text, V)[0]
    (condition,) = equation.conditions
    assert (condition.variable, written(condition.low)) == ("t", "1")
    assert written(condition.high) == "T - 1"


def test_remarks_below_braces_are_dropped():
    assert read(r"\underbrace{\lambda_t}_{\text{adjoint}} h_{t-1}^\top") == read(r"\lambda_t h_{t-1}^\top")


def test_printing_shows_every_bracket_and_limit():
    text = r"\frac{1}{T}\sum_t \tanh'(a_t) \odot (W_{hh}^\top)^{T-t} \lambda_t - 2"
    assert sides(text) == ["(1 / T) (Σ_{t=1}^{T} (tanh'(a_t) ⊙ (((W_hhᵀ)^{T - t}) λ_t))) - 2"]


def test_what_is_printed_can_be_read_again():
    for text in (
        LAMBDA_HT,
        r"W_{hh}^\top (\lambda_t \odot (1 - h_t^2)) + c_t",
        r"\frac{\partial h_t}{\partial h_0}",
    ):
        tree = read(text)
        assert read(written(tree)) == tree


def test_walking_over_trees():
    tree = read(LAMBDA_HT)
    assert free_letters(tree) == set() and free_letters(tree.body) == {"t"}
    path = next(p for p, part in walk(tree) if part == Letter("lambda", "theory", T))
    changed = exchanged(tree, path, H)
    assert subtree(changed, path) == H and subtree(tree, path) != H
    assert mapped(tree, lambda part: part) == tree
    assert substituted(tree, "t", number(3)) == tree
    assert free_letters(substituted(tree.body, "t", Letter("s", "index"))) == {"s"}


def test_kinds_of_nodes():
    assert isinstance(read("h_t^2"), Power)
    assert isinstance(read("tanh(a_t)"), Call)
    assert read("W_hh^T") == Transpose(Letter("W_hh", "param"), letter=True)
    assert read(r"W_{hh}^\top") == Transpose(Letter("W_hh", "param"))


# ---- refusals ----

HOSTILE = [
    "__import__('os').system('true')",
    "().__class__.__bases__[0].__subclasses__()",
    "eval('1')",
    "exec(1)",
    "open('/etc/passwd').read()",
    "lambda: 0",
    "h_t if True else x_t",
    "[h for h in x]",
    "h_t.__class__",
    "W_hh.T.__init__",
    "globals()",
    "os.system(1)",
    'f"{h_t}"',
    "h_t; import os",
    "9**9**9",
    "9**9**9**9**9",
    "((9**9)**9)**9",
    "10^9 h_t",
    "h_t^{1000000}",
    "h_t^99999999999999999999",
    r"\sum_{t=1}^{10^9} h_t",
    r"\sum_{t=1}^{1000000000} h_t",
    "99999999999999999999999999 h_t",
    "h_{99999999999}",
    "(" * 500 + "h_t" + ")" * 500,
    "{" * 2000 + "}" * 2000,
    "-(" * 300 + "h_t" + ")" * 300,
    r"\frac{1}{" * 200 + "1" + "}" * 200,
    r"\sum_t " * 200 + "h_t",
    "h_t" + "^{2" * 300 + "}" * 300,
    "h_t + " * 2000 + "h_t",
    "(h_t",
    "h_t)",
    "{h_t",
    r"\frac{1}{T",
    r"\left( h_t \right",
    "h_{t",
    "h_[t}",
    "h_t\x00",
    "h_t\x1b[31m",
    "h_t\u202eT\u202c",
    "h_t\u200b",
    "\ufeffh_t",
    "h_t\u2066x\u2069",
    "\ud800",
    "h_t 🙂",
    r"\input{/etc/passwd}",
    r"\write18{ls}",
    r"\def\x{\x\x}\x",
    r"\csname h\endcsname",
    "\\",
    "%comment",
    "#",
    "h_t ? x_t : y_t",
    "h_t | x_t",
    "'h_t'",
    '"h_t"',
    "`ls`",
    "$(ls)$(",
    "",
    "   ",
    "$$",
    "=",
    "= h_t",
    "h_t =",
    "h_t = = x_t",
    "+",
    "* h_t",
    "h_t *",
    "∂",
    "∂L/",
    "∂L/∂",
    "d/dt",
    r"\frac{\partial L}{}",
    r"\frac{}{}",
    r"\sum",
    r"\sum_",
    r"\sum_{T=1}^{t} h_T",
    r"\sum_{t=1}^{T}",
    r"\sum_{1}^{2} h_t",
    r"\sum_{t=1}^T \sum_{t=1}^T h_t",
    r"\prod_{i=1}",
    r"h_t \cdots",
    r"W_{hh} \cdots W_{hh}",
    r"\cdots",
    "h",
    "J",
    "h_{h_t}",
    "h_{tk}",
    "Q_t",
    "W_{xh} x_t",
    "tanh''(a_t)",
    "diag'(a_t)",
    "diag(a_t, h_t)",
    "outer(a_t)",
    "f(x_t, h_{t-1}, w)",
    r"\frac{\partial \sin(h_t + x_t)}{\partial h_t}",
    r"\frac{\partial L}{\partial (h_t + x_t)}",
    r"\frac{\partial L}{\partial \ell_t}",
    r"\frac{\partial^2 L}{\partial h_t^2}",
    r"\hat{h}_t",
    "h_t x_t, h",
    "λ_t = c_t, t < i < T > s",
]


@pytest.mark.parametrize("text", HOSTILE, ids=[f"{k} {ascii(t)[:30]}" for k, t in enumerate(HOSTILE)])
def test_hostile_and_broken_texts_are_refused_with_a_position(text):
    with pytest.raises(FormulaError) as refusal:
        readings(text, V)
    message = str(refusal.value)
    assert message.startswith("formula: ")
    if len(text) <= 5_000:
        assert refusal.value.position is not None
        assert 0 <= refusal.value.position <= len(text)
        first, shown, caret = message.rsplit("\n", 2)
        assert caret.strip().startswith("^") and ("expected" in first or "found" in first)
        assert not any(ord(c) < 32 for c in shown)


def test_the_caret_stands_under_the_place():
    with pytest.raises(FormulaError) as refusal:
        readings("W_hh h_t + Q_t", V)
    *_, shown, caret = str(refusal.value).splitlines()
    assert shown[caret.index("^")] == "Q"
    assert "unknown name 'Q_t'" in str(refusal.value)


def test_an_unknown_name_is_answered_with_the_known_ones_and_the_nearest():
    with pytest.raises(FormulaError, match=r"did you mean W_hx\?.*parameters W_hx, W_hh, b_h") as refusal:
        readings("W_{xh} x_t", V)
    assert "with a step a, h, o, x, y" in str(refusal.value)

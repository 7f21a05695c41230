"""Documents as text, Markdown, LaTeX and HTML: nothing lost, nothing unescaped, readable everywhere."""

import dataclasses
import html
import re
from xml.etree import ElementTree

import pytest

import bptt_verify as bv
from bptt_verify.cells import CATALOGUE
from bptt_verify.program import Ref
from bptt_verify.render import (
    LATEX,
    Display,
    Document,
    Formula,
    Line,
    Prose,
    Section,
    Steps,
    Table,
    letters_of,
)
from bptt_verify.render.mathml import mathml
from bptt_verify.render.splitting import FACTORS, TERMS, pieces, relation, width

# What KaTeX and MathJax both read. `\lt` stands for `<` in Markdown, `\vert` for `|` in its tables.
SHARED = r"""
\alpha \approx \backslash \bar \begin \beta \cdot \cdots \cos \cosh \delta \dot \ell \end \epsilon \equiv
\eta \exp \frac \gamma \ge \geq \gt \hat \in \infty \lambda \ldots \le \left \leq \log \lt \lVert \mathbb
\mathit \mathrm \max \min \mu \neq \nu \odot \omega \operatorname \overline \partial \phi \pi \prod \psi \quad
\rho \right \rVert \sigma \sim \sin \sinh \sqrt \sum \tan \tanh \tau \text \tfrac \theta \times \top
\varepsilon \vert \Vert \xi \zeta \, \\ \_ \% \# \$ \& \{ \}
"""
HOSTILE = (
    "<script>alert('x')</script> & \"50%\" of $W_hh$ #1 ~ ^ \\ {a} `b` [c](d) *e* |f| "
    "λ_t ≤ ∞ h² ½ 中 é\n\n\x07– “q”"
)


def commands(latex):
    return set(re.findall(r"\\(?:[A-Za-z]+|.)", latex, re.DOTALL))


def formulas(derivation):
    """Every formula of every block of the derivation, those of the claims among them."""
    return [f for s in derivation.document.sections for b in s.blocks for f in within(b)]


def within(block):
    match block:
        case Formula():
            yield block
        case Display(lines=lines):
            yield from (line.formula for line in lines)
        case Prose(parts=parts):
            yield from (p for p in parts if isinstance(p, Formula))
        case Steps(blocks=blocks):
            yield from (f for b in blocks for f in within(b))
        case Table(rows=rows):
            yield from (f for row in rows for cell in row for f in within(cell))


def words(page):
    """What a reader sees, without space."""
    return re.sub(r"\s", "", html.unescape(re.sub(r"<style>.*?</style>|<[^>]*>", "", page, flags=re.DOTALL)))


def an_induction():
    """A document with every kind of block."""
    lines = (
        Line(Formula("∂h_t/∂w", r"\frac{\partial h_{t}}{\partial w}")),
        Line(
            Formula("= A_t + J_t ∂h_{t-1}/∂w", r"= A_{t} + J_{t}\, \frac{\partial h_{t-1}}{\partial w}"),
            "unfold",
        ),
        Line(
            Formula("≤ …", r"\le \sum_{i<t} \left( \prod_{k=i+1}^{t} J_{k} \right) A_{i}"),
            "peel & take 100% of a_b",
        ),
    )
    inner = Steps("A small case", (Display((Line(Formula("z_1 = A_1", "z_{1} = A_{1}")),)),))
    table = Table(
        ("claim", "how"), ((Prose.of("T1 | ", Formula("|x|", r"\left|x\right|")), Prose.of("proved")),)
    )
    proof = Steps(
        "Proof by <induction>",
        (Prose.of("Let ", Formula("T = 1", "T = 1"), "."), Display(lines), inner),
        True,
    )
    return Document("A title", (Section("One", (Prose.of("So:"), proof, table)),))


def hostile():
    wide = Formula("x", "x = " + " + ".join(["(1 - h[n]^{2})\\, W_{hh}[n,n']"] * 20))
    blocks = (
        Prose.of(HOSTILE, Formula("a < b", "a < b"), HOSTILE),
        Display((Line(wide, HOSTILE), Line(Formula("y = 1", "y = 1"), HOSTILE * 3))),
        Steps(HOSTILE, (Prose.of(HOSTILE),)),
        Table((HOSTILE, "b"), ((Prose.of(HOSTILE), Prose.of(Formula("c", "c"))),)),
    )
    return Document(HOSTILE, tuple(Section(HOSTILE, blocks) for _ in range(4)))


# Formulas


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_formula_is_in_the_latex_that_katex_and_mathjax_share(name):
    for f in formulas(bv.derive(CATALOGUE[name])):
        assert f.latex.isascii()
        assert commands(f.latex) <= set(SHARED.split()), f.latex


def test_the_list_of_shared_commands_can_refuse():
    assert not commands(r"\mathbf{x} = \shoveleft{y}") <= set(SHARED.split())


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_formula_is_well_formed_mathml(name):
    for f in formulas(bv.derive(CATALOGUE[name])):
        tree = ElementTree.fromstring(f.html)
        assert tree.tag == "{http://www.w3.org/1998/Math/MathML}math"
        assert len(list(tree.iter())) > 2


@pytest.mark.parametrize(
    "latex",
    [
        r"\nonsense x",
        r"\frac{a",
        "a^b^c",
        r"\left( x",
        "",
        r"\href{javascript:x}{y}",
        r"\style{color:red}{x}",
    ],
)
def test_latex_that_cannot_be_shown_is_refused(latex):
    with pytest.raises(bv.UsageError, match=r"latex=.*expected LaTeX that KaTeX and MathJax share"):
        _ = Formula("?", latex).html


def test_words_in_a_formula_cannot_become_tags():
    assert "<b>" not in Formula("?", r"\text{<b>&amp;lt;b&gt;} < 1").html


def test_signs_of_unicode_become_commands():
    assert (
        Formula("", "∂L/∂λ = J_tᵀ h² ≤ x̄").latex
        == r"\partial L/\partial \lambda = J_t^{\top} h^{2} \le \bar{x}"
    )
    assert Formula("", "中").latex == "(U+4E2D)"


@pytest.mark.parametrize(
    ("ref", "latex"),
    [
        (Ref("W_hh", ("n", "n'")), "W_{hh}"),
        (Ref("W_hh_bar", ("n", "n'")), r"\bar{W}_{hh}"),
        (Ref("h", ("T", "B", "n"), -1), "h_{t-1}"),
        (Ref("h_prev_bar", ("T", "B", "n"), 1), r"\bar{h}_{\mathrm{prev},t+1}"),
        (Ref("c", ("T", "B", "n")), "c_{t}"),
        (Ref("h0_bar", ("B", "n")), r"\bar{h}_{0}"),
        (Ref("error_bar", ("T", "B", "n")), r"\overline{\mathit{error}}_{t}"),
        (Ref("exp_shifted", ("T", "B", "n")), r"\mathit{exp\_shifted}_{t}"),
        (Ref("gamma", ("n",)), r"\gamma"),
        (Ref("omega", ("n",)), r"\mathit{omega}"),
        (Ref("weights", ("T", "B")), r"\omega_{t}"),
        (Ref("weights_bar", ("T", "B")), r"\bar{\omega}_{t}"),
        (Ref("h_", ("n",)), r"h_{\_}"),
    ],
)
def test_names_as_latex(ref, latex):
    assert LATEX.ref(ref) == latex
    ElementTree.fromstring(mathml(latex + LATEX.transpose))  # an index never stands where the transpose goes


def test_calls_powers_and_fractions_have_the_brackets_they_need():
    assert LATEX.call("sigmoid", ["(a + b)"]) == r"\sigma(a + b)"
    assert LATEX.call("softplus", [r"\frac{a}{2}"]) == r"\operatorname{softplus}\left(\frac{a}{2}\right)"
    assert LATEX.call("Abs", ["(a) (b)"]) == r"\left|(a) (b)\right|"
    assert LATEX.power(r"\frac{a}{b}", "2") == r"\left(\frac{a}{b}\right)^{2}"
    assert LATEX.power(r"x^{\top}", "2") == r"{x^{\top}}^{2}"
    assert LATEX.fraction("(a + b)", "(c) (d)") == r"\frac{a + b}{(c) (d)}"


def test_the_loss_has_letters():
    steps = [f.text for f in bv.derive(bv.cells.elman).steps]
    assert "L = Σ_{t,b} ω_t ℓ_t" in steps
    assert r"L = \sum_{t,b} \omega_{t} \ell_{t}" in [f.latex for f in bv.derive(bv.cells.elman).steps]


def test_an_authors_own_name_keeps_its_letters():
    @bv.recurrence
    def own(x=bv.Input("n"), y=bv.Target("n"), h=bv.State("n"), w=bv.Param("n")):
        step_loss = bv.sum(h * h)
        total_loss = step_loss + 1
        h = bv.tanh(w * h + x)
        return bv.Step(h=h, loss=bv.squared_error(h, y) + step_loss * total_loss)

    texts = [f.text for f in bv.derive(own).steps]
    assert any(t.startswith("step_loss_t = ") for t in texts)
    assert any(t.startswith("total_loss_t = ") for t in texts)
    assert any(t.startswith("L = Σ_{t,b} ω_t ") for t in texts)


def test_no_letter_where_the_author_has_it():
    @bv.recurrence
    def taken(y=bv.Target("n"), h=bv.State("n"), L=bv.Param("n")):
        h = bv.tanh(L * h)
        return bv.Step(h=h, loss=bv.squared_error(h, y))

    assert letters_of(taken.program) == {}
    assert letters_of(bv.cells.elman.program).keys() == {"step_loss", "total_loss"}


# Taking formulas apart


@pytest.mark.parametrize(
    ("latex", "parts"),
    [
        ("a = b = c", ("a", "=", "b = c")),
        ("= a + b", ("", "=", "a + b")),
        (r"\le \left( x \right)", ("", r"\le", r"\left( x \right)")),
        (r"\sum_{i = 1}^{t} a \leq b", (r"\sum_{i = 1}^{t} a", r"\leq", "b")),
        (r"f(a = b) + \{c = d\}", ("", "", r"f(a = b) + \{c = d\}")),
    ],
)
def test_the_relation_sign_is_the_first_outside_brackets(latex, parts):
    assert relation(latex) == parts


def test_a_formula_is_cut_at_signs_outside_brackets_and_nothing_is_lost():
    latex = r"(a + b)\, c + -d - \frac{e + f}{g} \odot h[n+1]"
    assert pieces(latex, TERMS) == [r"(a + b)\, c", "+ -d", r"- \frac{e + f}{g} \odot h[n+1]"]
    assert pieces(latex, FACTORS) == ["(a + b)", r"\, c + -d - \frac{e + f}{g}", r"\odot h[n+1]"]
    assert pieces("(a + b)", TERMS, 1) == ["(a", "+ b)"]


def test_indices_are_narrower_than_letters():
    assert width("abc") == 3
    assert 1 < width("a_{b}") < 2


# Documents


def test_plain_text_aligns_formulas_and_keeps_reasons():
    text = an_induction().to_text()
    assert "Proof by <induction>:\n    Let T = 1.\n        ∂h_t/∂w\n" in text
    assert re.search(r"\n +≤ … +\(peel & take 100% of a_b\)\n", text)
    lines = bv.derive(bv.cells.gru).to_text().split("One step")[0].splitlines()
    assert len({line.index("=") for line in lines if line.startswith("    ")}) == 1


def test_markdown_opens_details_after_a_blank_line():
    markdown = an_induction().to_markdown()
    assert "<details open>\n<summary>Proof by &lt;induction&gt;</summary>\n\nLet $T = 1$.\n\n$$\n" in markdown
    assert r"&\le \sum_{i\lt t}" in markdown
    assert r"&& \text{peel }\&\text{ take 100}\%\text{ of a}\_\text{b}" in markdown
    assert r"| T1 \| $\left\vert x\right\vert $ | proved |" in markdown
    assert markdown.count("<details") == markdown.count("\n\n</details>") == 2


def test_no_group_of_formulas_is_too_long_for_katex():
    line = Line(Formula("", r"a = b\, c"))
    groups = re.findall(
        r"\$\$\n(.*?)\$\$", Document("", (Section("", (Display((line,) * 500),)),)).to_markdown(), re.S
    )
    assert sum(g.count("&=") for g in groups) == 500
    assert max(g.count("&=") for g in groups) < 250


def test_markdown_holds_no_markup_of_the_users():
    markdown = hostile().to_markdown()
    outside = re.sub(r"(?s:\$\$\n.*?\n\$\$)|<summary>.*", "", markdown)
    assert "<script" not in markdown
    assert not re.search(r"(?<!\\)[`*\[]", outside)
    assert Document("", (Section("", (Prose.of("1. no list"),)),)).to_markdown().endswith("\n1\\. no list\n")


def test_latex_breaks_what_is_too_wide_and_loses_nothing():
    latex = hostile().to_latex()
    assert latex.count("W_{hh}") == 20 * 4
    rows = [r for body in re.findall(r"begin{align\*}(.*?)\\end", latex, re.S) for r in body.split(r"\\")]
    assert max(width(r) for r in rows if "W_{hh}" in r) < 100


def test_a_fragment_has_no_preamble():
    fragment = an_induction().to_latex(fragment=True)
    assert not commands(fragment) & {r"\documentclass", r"\usepackage", r"\title", r"\maketitle", r"\date"}
    assert r"\begin{document}" not in fragment
    assert fragment in an_induction().to_latex()
    assert r"\paragraph{Proof by \textless{}induction\textgreater{}}" in fragment
    assert r" && \text{\small peel \& take 100\% of a\_b}" in fragment


def test_all_latex_is_ascii_but_for_latin_letters():
    assert set(re.sub(r"[ -~\n]", "", hostile().to_latex())) == {"é", "½"}


def test_the_page_stands_alone():
    page = hostile().to_html()
    assert page.startswith("<!doctype html>") and '<html lang="en">' in page and 'name="viewport"' in page
    assert not re.search(r"<script|<link|<img|src=|@import|url\(|\bon\w+=", page)
    assert re.findall(r"https?://[^\"]*", page.replace("http://www.w3.org/1998/Math/MathML", "")) == []
    assert "prefers-color-scheme: dark" in page and "@media print" in page
    assert len(re.findall('<a href="#section-', page)) == len(re.findall('<section id="section-', page)) == 4
    assert "<nav" not in an_induction().to_html()


def test_the_page_is_well_formed_and_its_structure_is_that_of_the_document():
    page = an_induction().to_html().replace("<wbr>", "<wbr/>")
    page = page.replace("<details open>", '<details open="">').removeprefix("<!doctype html>\n")
    page = re.sub(r"<(meta [^>]*)>", r"<\1/>", page)
    root = ElementTree.fromstring(page)
    details = root.findall(".//details")
    assert [("open" in re.match("<[^>]*>", ElementTree.tostring(d, "unicode"))[0]) for d in details] == [
        True,
        False,
    ]
    assert [d[0].tag for d in details] == ["summary", "summary"]
    assert [e.text for e in root.iter("h2")] == ["One"]
    assert [e.text for e in root.iter("div") if e.get("class") == "reason"] == [
        "unfold",
        "peel & take 100% of a_b",
    ]


@pytest.mark.parametrize("name", CATALOGUE)
def test_no_part_of_a_formula_is_lost_on_the_page(name):
    derivation = bv.derive(CATALOGUE[name])
    seen = words(derivation.to_html())
    for f in formulas(derivation):
        assert words(f.html) in seen


def test_a_notebook_gets_a_fragment_that_leaves_the_rest_of_it_alone():
    shown = an_induction()._repr_html_()
    assert "<html" not in shown and "<body" not in shown and "id=" not in shown
    style = re.search("<style>(.*)</style>", shown, re.DOTALL)[1]
    for selectors in re.findall(r"([^{}]+)\{[^{}]*\}", re.sub(r"@container[^{]*\{|\([^)]*\)", "", style)):
        assert all(s.strip(" \n}").startswith(".bptt-document") for s in selectors.split(","))
    assert an_induction().sections[0].blocks[1].blocks[0].parts[1]._repr_latex_() == "$T = 1$"


def test_empty_displays_and_ragged_tables_are_refused():
    with pytest.raises(bv.UsageError, match="at least one Line"):
        Display(())
    with pytest.raises(bv.UsageError, match="row=0 has 1 cells; expected 2"):
        Table(("a", "b"), ((Prose.of("c"),),))


def test_blocks_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Formula("a", "a").latex = "b"

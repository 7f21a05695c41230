"""The proofs files: their form, their table, their links; and a false step or statement makes them fail."""

import re
import shutil
import sys
import tomllib
from pathlib import Path

import pytest

import bptt_verify
from bptt_verify.cli import pages
from bptt_verify.proof import CLAIMS

ROOT = Path(__file__).resolve().parents[2]
PROOFS = ROOT / "proofs"
FILES = {path.stem: path for path in sorted(PROOFS.glob("T*.md"))}
HEADINGS = [
    "Claim",
    "Assumptions",
    "Proof",
    "Symbolic check",
    "Numerical check",
    "Used by",
    "Not covered",
    "Sources",
]
OF_ONE_STEP = ("T8", "T9", "T10")  # claims that are not about T steps of a recurrence
LINK = re.compile(r"\]\(([^)#:]+)\)")


def text_of(path):
    return path.read_text(encoding="utf-8")


def sections(claim):
    """The text under each level-2 heading."""
    parts = re.split(r"^## (.+)\n", text_of(FILES[claim]), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows():
    """The cells of the table, by claim."""
    lines = [line for line in text_of(PROOFS / "README.md").splitlines() if re.match(r"\| \[?T\d", line)]
    cells = [[cell.strip() for cell in line.strip("|").split(" |")] for line in lines]
    return {re.search(r"T\d+", row[0])[0]: row for row in cells}


# ---- form ----


def test_there_is_a_file_for_every_claim_that_is_proved():
    assert FILES.keys() == CLAIMS.keys()


@pytest.mark.parametrize("claim", FILES)
def test_a_file_has_its_title_and_eight_headings(claim):
    assert f"\n# {claim} {CLAIMS[claim].title}\n" in text_of(FILES[claim])
    assert list(sections(claim)) == HEADINGS
    assert all(text.strip() for text in sections(claim).values())


@pytest.mark.parametrize("claim", FILES)
def test_the_proof_is_printed_and_not_typed(claim):
    (block,) = pages.blocks(sections(claim)["Proof"])
    assert f'theorem_document("{claim}")' in block[1]
    assert "$" not in sections(claim)["Proof"]


@pytest.mark.parametrize("path", sorted(PROOFS.glob("*.md")), ids=lambda path: path.name)
def test_all_code_is_in_cells_and_all_links_lead_somewhere(path):
    opened = re.findall(r"^```(.+)$", text_of(path), re.MULTILINE)
    assert set(opened) <= {pages.CELL}
    missing = [link for link in LINK.findall(text_of(path)) if not (PROOFS / link).is_file()]
    assert missing == []


@pytest.mark.parametrize("claim", FILES)
def test_what_uses_a_claim_and_what_tests_it_is_linked(claim):
    assert any(link.startswith("../bptt_verify/") for link in LINK.findall(sections(claim)["Used by"]))
    (test,) = (ROOT / "tests" / "properties").glob(f"test_{claim.lower()}_*.py")
    assert f"](../tests/properties/{test.name})" in sections(claim)["Numerical check"]


# ---- the table ----


def test_the_table_lists_all_claims_in_order():
    assert list(rows()) == [f"T{n}" for n in range(1, 13)]


@pytest.mark.parametrize("claim", [f"T{n}" for n in range(1, 13)])
def test_a_row_agrees_with_the_files_and_the_theorems(claim):
    name, statement, known, home, *_, test, missing = rows()[claim]
    if claim not in CLAIMS:
        assert (name, known, home, test, missing) == (claim, "not yet", "", "", "")
        return
    assert name == f"[{claim}]({claim}.md)"
    assert statement.startswith(f"{CLAIMS[claim].title}: ")
    most = CLAIMS[claim].most
    tested = "tested at random points" if claim in OF_ONE_STEP else "tested for T ≤ 8"
    assert re.match(rf"proved; checked for (T ≤|lags up to|steps up to) {most}; {tested}$", known)
    modules = dict.fromkeys(part.prove.__module__ for part in CLAIMS[claim].parts)
    assert [f"../{m.replace('.', '/')}.py" for m in modules] == LINK.findall(home)
    assert re.search(rf"tests/properties/test_{claim.lower()}_", test)
    assert missing


# ---- what is false fails ----

FALSE = {
    "T1": ("Ordered(J(k), k, i + 1, t) * A(i), i, 1, t - 1)", "Ordered(J(k), k, i, t) * A(i), i, 1, t - 1)"),
    "T2": ("Transpose(Ordered(J(k), k, t + 1, s)) * c(s)", "Ordered(J(k), k, t + 1, s) * c(s)"),
    "T3": ("* Transpose(W_qh()) * g(T + t - i), i, t, T)", "* Transpose(W_qh()) * g(i), i, t, T)"),
    "T4": ('"≤", power(ρ(), lag), later', '"≤", power(ρ(), lag - 1), later'),
    "T5": ("reached * A(i), i, 1, t - τ), t, τ + 1, T", "reached * A(i), i, 1, t - τ + 1), t, τ + 1, T"),
    "T6": ("Total((ξ(t) - 1) * passed, t, 2, T)", "Total(ξ(t) * passed, t, 2, T)"),
    "T7": ("equation(Mean(z(t)), by_w(t), at_least(t, 0))", "equation(Mean(z(t)), z(t), at_least(t, 0))"),
    "T8": (
        '(statement(square(clips), "≤", square(both)), of_clips)',
        '(statement(square(clips), "≤", 0), of_clips)',
    ),
    "T9": ('statement(change, "≤", K() * η() * θ(), later)', 'statement(change, "≤", K() * θ(), later)'),
    "T10": ('statement(N(), "≤", K()),', 'statement(N(), "≤", K(k)),'),
    "T11": (
        "equation(du(t), (1 - m(t)) * do(t - 1), twice)",
        "equation(du(t), m(t) * do(t - 1), twice)",
    ),
    "T12": ("paths = total(row(λu) * do_det(t - 1), 2)", "paths = total(row(λu) * do(t - 1), 2)"),
}


def spoilt(source, target, old, new):
    """A copy with the first place where a text stands changed."""
    text = text_of(source)
    assert old in text
    target.write_text(text.replace(old, new, 1), encoding="utf-8")
    return target


@pytest.mark.parametrize("claim", FILES)
def test_a_file_that_claims_something_else_fails(claim, tmp_path):
    failure = pages.run(spoilt(FILES[claim], tmp_path / f"{claim}.md", *FALSE[claim]))
    assert failure is not None and not failure.killed
    assert "AssertionError" in failure.error
    assert text_of(FILES[claim]).splitlines()[failure.line - 1].lstrip().startswith("assert same(")


@pytest.mark.parametrize("claim", FILES)
def test_a_misprint_that_were_true_would_fail(claim, tmp_path):
    """If the misprint is replaced by the claim itself, no counterexample is found."""
    old, new = FALSE[claim]
    source = text_of(FILES[claim])
    first, mark, last = source.partition("misprint = ")
    assert mark
    right = {
        "T1": (new, old),
        "T2": ("Total(Ordered(J(k), k, t + 1, s) * c(s)", f"Total({old}"),
        "T3": (new, old),
        "T4": ("lag - 1", "lag"),
        "T5": ("first + too_long + tail", "windowed + tail"),
        "T6": ("c(t) + ξ(t) * back", "c(t) + ξ(t + 1) * back"),
        "T7": ("Mean(shared(t))", "Mean(z(t))"),
        "T8": ("with_factor(max)", "with_factor(min)"),
        "T9": (new, old),
        "T10": (new.rstrip(","), old.rstrip(",")),
        "T11": ("(1 - m(t)) * through", "(1 - m(t + 1)) * through"),
        "T12": ("g_det + twice", "claimed['paths'].right"),
    }[claim]
    assert right[0] in last
    page = tmp_path / f"{claim}.md"
    page.write_text(first + mark + last.replace(*right, 1), encoding="utf-8")
    failure = pages.run(page)
    assert text_of(page).splitlines()[failure.line - 1] == "assert refuted is not None"


def test_a_false_step_fails(tmp_path, monkeypatch):
    """The induction hypothesis is used at t itself, in a copy of the package."""
    package = tmp_path / "bptt_verify"
    shutil.copytree(Path(bptt_verify.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    module = package / "proof" / "claims" / "unrolled.py"
    spoilt(module, module, "use(known, {u: t - 1})", "use(known, {u: t})")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    failure = pages.run(FILES["T1"])
    assert "ProofError" in failure.error
    assert 'theorem_document("T1")' in text_of(FILES["T1"]).splitlines()[failure.line - 1]


# ---- finding and running them ----


def test_the_wheel_has_the_files_where_they_are_looked_for():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    inside = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert inside == {"proofs": "bptt_verify/proofs", "pytest_bptt_verify.py": "pytest_bptt_verify.py"}
    assert {p.name: text_of(p) for p in pages.folder().glob("*.md")} == {
        p.name: text_of(p) for p in PROOFS.glob("*.md")
    }


def test_installed_files_are_found_within_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr(bptt_verify, "__file__", str(tmp_path / "bptt_verify" / "__init__.py"))
    with pytest.raises(bptt_verify.UsageError, match=r"no such files; expected .* Install it again"):
        pages.folder()
    for place in (tmp_path / "proofs", tmp_path / "bptt_verify" / "proofs"):
        place.mkdir(parents=True)
        (place / "README.md").touch()
        assert pages.folder() == place
    with pytest.raises(bptt_verify.UsageError, match=r"T1\.md: no such file; expected one for T1"):
        pages.page("T1")


PAGE = """# A page

```{code-cell} ipython3
number = 1
```

```python
not run
```

```{code-cell} ipython3
print(number)
number / 0
```
"""


def test_lines_are_those_of_the_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    assert [first for first, _ in pages.blocks(PAGE)] == [3, 11]
    failure = pages.run(page)
    assert (failure.line, failure.error) == (13, "ZeroDivisionError: division by zero")
    assert failure.output.startswith("1\nTraceback")
    assert f'File "{page}", line 13' in failure.output
    page.write_text(PAGE.replace("number / 0", "number +"), encoding="utf-8")
    assert (pages.run(page).line, pages.run(page).error) == (13, "SyntaxError: invalid syntax")


def test_a_page_imports_what_this_process_would(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "neighbour.py").write_text("", encoding="utf-8")
    page = tmp_path / "page.md"
    cell = f"import bptt_verify, neighbour\nassert bptt_verify.__file__ == {bptt_verify.__file__!r}\n"
    page.write_text(f"```{pages.CELL}\n{cell}```\n", encoding="utf-8")
    assert "ModuleNotFoundError" in pages.run(page).error
    monkeypatch.syspath_prepend(tmp_path / "here")
    assert pages.run(page) is None

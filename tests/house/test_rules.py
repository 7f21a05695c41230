"""Rules of the house that no linter knows."""

import ast
from pathlib import Path

import pytest

import bptt_verify
from bptt_verify.cells import CATALOGUE

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "bptt_verify"
FORBIDDEN = {"eval", "exec", "lambdify", "simplify", "parse_expr", "nsimplify"}
ALLOWED = {("codegen/kernel.py", "exec")}  # the one place where emitter output becomes code


def modules():
    return [p for p in sorted(PACKAGE.rglob("*.py")) if "kernels" not in p.parts]


def test_no_text_becomes_code_but_in_one_place():
    found = set()
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if name in FORBIDDEN:
                    found.add((path.relative_to(PACKAGE).as_posix(), name))
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert "pickle" not in ast.dump(node), path
    assert found == ALLOWED


def test_modules_stay_readable():
    long = {str(p): n for p in modules() if (n := len(p.read_text(encoding="utf-8").splitlines())) > 350}
    assert long == {}


def test_no_module_bears_the_name_of_a_public_function():
    stems = {p.stem for p in modules()} | {p.parent.name for p in modules()}
    public = {n for n in bptt_verify.__all__ if n[0].islower()} | {"adjoint", "tangent", "jacobian"}
    assert stems & public == {"cells"}  # the room is the public name


def test_every_public_name_can_be_loaded_and_is_documented():
    for name in bptt_verify.__all__:
        value = getattr(bptt_verify, name)
        assert name == "__version__" or getattr(value, "__doc__", None), name


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_reference_lists_every_name_of_every_cell(name):
    page = (ROOT / "docs" / "reference" / "catalogue.md").read_text(encoding="utf-8")
    section = page.split(f"## `{name}`\n")[1].split("\n## ")[0]
    for array, d in CATALOGUE[name].declarations.items():
        assert f"| `{array}` | {d.role}{', one-hot' * d.onehot} | {' '.join(d.sizes)} |" in section

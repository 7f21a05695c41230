"""The committed kernels are what the generator writes; they run without SymPy."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bptt_verify
from bptt_verify import generate
from bptt_verify.cells import CATALOGUE
from bptt_verify.codegen import generate_update
from bptt_verify.verify import recurrence_cases

ROOM = Path(bptt_verify.__file__).parent / "kernels"
UPDATE = "run `bptt-verify generate --update-kernels` and look at the difference before committing it"


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_committed_kernel_is_what_is_generated(name):
    committed = (ROOM / f"{name}.py").read_text(encoding="utf-8")
    assert generate(CATALOGUE[name]).source == committed, UPDATE


def test_the_committed_update_is_what_is_generated():
    committed = (ROOM / "clipping.py").read_text(encoding="utf-8")
    assert generate_update(convention="exact").source == committed, UPDATE


def test_every_committed_kernel_belongs_to_a_cell():
    assert {p.stem for p in ROOM.glob("*.py")} == {
        *CATALOGUE,
        "clipping",
        "updates",
        "translation",
        "__init__",
    }


def test_the_committed_update_runs_where_sympy_cannot_be_imported():
    code = (
        "import sys; sys.modules['sympy'] = None; sys.modules['scipy'] = None\n"
        "import numpy as np\n"
        "from bptt_verify.kernels.updates import clip_by_norm\n"
        "print(clip_by_norm({'w': np.array([3.0, 4.0])}, 1.0)['w'].round(9).tolist())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[0.6, 0.8]"


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_committed_kernel_imports_numpy_only(name):
    tree = ast.parse((ROOM / f"{name}.py").read_text(encoding="utf-8"))
    modules = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    modules |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert modules == {"__future__", "collections.abc", "typing", "numpy"}


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_committed_kernel_computes_what_a_fresh_plain_one_does(name):
    rec = CATALOGUE[name]
    module = importlib.import_module(f"bptt_verify.kernels.{name}")
    plain = generate(rec, style="plain")
    for case in recurrence_cases(rec, np.random.default_rng(5)):
        loss, grads = module.loss_and_grad(**case.arrays)
        expected_loss, expected = plain.loss_and_grad(**case.arrays)
        np.testing.assert_allclose(loss, expected_loss, rtol=1e-12)
        assert grads.keys() == expected.keys()
        for key, value in expected.items():
            np.testing.assert_allclose(grads[key], value, rtol=0, atol=1e-12 * np.abs(value).max())


def test_a_kernel_runs_where_sympy_cannot_be_imported():
    code = (
        "import sys; sys.modules['sympy'] = None; sys.modules['scipy'] = None\n"
        "import numpy as np\n"
        "from bptt_verify.kernels.linear import loss_and_grad\n"
        "ones = lambda *shape: np.ones(shape)\n"
        "params = {'W_hx': ones(5, 4), 'W_hh': ones(5, 5), 'W_qh': ones(1, 5)}\n"
        "loss, grads = loss_and_grad(x=ones(3, 2, 4), y=ones(3, 2, 1), **params)\n"
        "print(loss > 0, sorted(grads))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split(maxsplit=1) == ["True", "['W_hh', 'W_hx', 'W_qh', 'h0', 'x']\n"]

"""What holds for the package as a whole."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("numpy", "scipy", "sympy", "hypothesis", "matplotlib", "rich", "click")
NOT_OURS = {"build", "dist", "venv", "__pycache__"}
MACHINE_PATHS = tuple(f"/{folder}/" for folder in ("work", "tmp", "root"))


def product_files():
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        hidden = any(part.startswith(".") and part != ".ci" for part in parts[:-1])
        if path.is_file() and not hidden and not NOT_OURS.intersection(parts):
            yield path


def test_importing_the_library_imports_nothing_heavy(tmp_path):
    code = "import sys, bptt_verify; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], cwd=tmp_path, text=True).split()
    assert not set(HEAVY).intersection(loaded)


def test_the_package_is_typed():
    import bptt_verify

    assert Path(bptt_verify.__file__).with_name("py.typed").is_file()


def test_the_development_group_is_the_test_extra():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["dependency-groups"]["dev"] == settings["project"]["optional-dependencies"]["test"]


@pytest.mark.parametrize("needle", MACHINE_PATHS)
def test_no_file_names_a_path_of_one_machine(needle):
    found = [str(p.relative_to(ROOT)) for p in product_files() if needle in p.read_text("utf-8", "replace")]
    assert found == []

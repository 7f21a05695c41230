"""The command line: commands, formats, exit codes, and what goes to which stream."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

import bptt_verify as bv
from bptt_verify.certification.certificate import _digest, sha256
from bptt_verify.cli import app, work

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"

CELLS = r'''
"""Cells of a user's own."""
import subprocess
import sys

import sympy

import bptt_verify as bv

print("printed by the import")
subprocess.run([sys.executable, "-c", "print('printed by a child')"], check=True)


@bv.recurrence
def leaky(x=bv.Input("d"), y=bv.Target("n"), h=bv.State("n"), W=bv.Param("n d"), U=bv.Param("n n")):
    a = W @ x + U @ h
    h = 0.9 * h + 0.1 * bv.tanh(a)
    return bv.Step(h=h, output=h, loss=bv.squared_error(h, y))


@bv.recurrence
def normalised(
    x=bv.Input("d"), y=bv.Target("n"), h=bv.State("n"),
    W=bv.Param("n d"), U=bv.Param("n n"), g=bv.Param("n"), b=bv.Param("n"),
):
    a = W @ x + U @ h
    centred = a - bv.mean(a)
    spread = bv.sqrt(bv.mean(centred * centred) + 0.1)
    h = bv.tanh(g * centred / spread + b)
    return bv.Step(h=h, output=h, loss=bv.squared_error(h, y))


wave = bv.pointwise(lambda u: sympy.sin(u) * sympy.tanh(u) + sympy.erf(u / 2))


@bv.recurrence
def with_wave(x=bv.Input("d"), y=bv.Target("n"), h=bv.State("n"), W=bv.Param("n d"), U=bv.Param("n n")):
    h = wave(W @ x + U @ h)
    return bv.Step(h=h, output=h, loss=bv.squared_error(h, y))


kernel = bv.generate(leaky)
not_decorated = leaky.function
number = 3


def right(**arrays):
    print("printed by the call")
    return kernel.loss_and_grad(**arrays)


def halved(**arrays):
    loss, grads = kernel.loss_and_grad(**arrays)
    return loss, grads | {"U": grads["U"] / 2}


window = bv.generate(leaky, estimator=bv.Window(3))
random = bv.generate(leaky, estimator=bv.Randomized(0.5))


def truncated(**arrays):
    return window.loss_and_grad(**arrays)


def gated(x, y, W, U, h0, weights, xi):
    return random.loss_and_grad(x=x, y=y, W=W, U=U, h0=h0, weights=weights, xi=xi)


def unweighted(x, y, W, U, h0, weights, xi):
    return random.loss_and_grad(x=x, y=y, W=W, U=U, h0=h0, weights=weights, xi=xi > 0)


def failing(x, y, W, U):
    raise ValueError("no \x1b[31mway\x00")


def leaving(x, y, W, U):
    sys.exit(0)
'''

LOSSES = '''
"""A loss, its gradient, and inputs."""
import numpy as np


def loss(a, b):
    return np.sum(np.sin(a) * b)


def right(a, b):
    return loss(a, b), {"a": np.cos(a) * b, "b": np.sin(a)}


def wrong(a, b):
    return loss(a, b), {"a": np.sin(a) * b, "b": np.sin(a)}


def nowhere(a, b):
    return np.nan


def draw(rng):
    return {"a": rng.normal(size=3), "b": rng.normal(size=3)}


def failing(rng):
    return 1 / 0


def without_generator():
    return draw(np.random.default_rng(0))


GIVEN = {"a": np.ones(3), "b": np.arange(3.0)}
MISFITS = {"x": np.ones((3, 2, 4)), "y": np.ones((3, 2, 7)), "W": np.ones((5, 3)), "U": np.ones((1, 1))}
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my cells.py").write_text(CELLS, encoding="utf-8")
    Path("losses.py").write_text(LOSSES, encoding="utf-8")
    return tmp_path


def run(*args, code=0):
    result = CliRunner().invoke(app, [str(a) for a in args])
    assert result.exit_code == code, result.output
    return result


def refuse(constant):
    raise AssertionError(f"{constant} is not strict JSON")


def strict(text):
    return json.loads(text, parse_constant=refuse)


# ---- help, version, cells ----


@pytest.mark.parametrize("command", ["certify", "check", "recheck", "derive", "generate", "cells"])
def test_every_command_has_help_with_an_example(command):
    assert f"bptt-verify {command}" in run(command, "--help").stdout.split("Example")[1]


def test_help_and_version():
    assert "Exit codes: 0 verified" in " ".join(run("--help").stdout.split())
    assert bv.__version__ in run("--version").stdout


def test_help_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from bptt_verify.cli import app\n"
        "app(['certify', '--help'], standalone_mode=False)\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "scipy", "sympy", "rich", "hypothesis"}.intersection(done.stderr.split())


def test_cells_are_listed():
    text = run("cells").stdout
    listed = strict(run("cells", "--format", "json").stdout)["cells"]
    assert [c["name"] for c in listed] == list(bv.cells.CATALOGUE)
    assert all(c["name"] in text for c in listed)
    assert listed[0]["params"]["W_hx"] == "n d"


# ---- certify ----


def test_certify_writes_its_files_and_prints_the_table(folder):
    result = run("certify", "linear")
    assert "VERIFIED: the kernel of linear" in result.stdout
    assert "mutants" in result.stdout
    assert "\x1b" not in result.stdout
    assert result.stderr == ""
    out = folder / "build" / "linear"
    assert (out / "linear.py").read_text(encoding="utf-8") == bv.generate(bv.cells.linear).source
    assert bv.Certificate.read(out / "certificate.json").verdict == "verified"
    assert "<html" in (out / "derivation.html").read_text(encoding="utf-8")
    assert r"\documentclass" in (out / "derivation.tex").read_text(encoding="utf-8")


def test_certify_lstm(folder):
    result = run("certify", "lstm", "--out", "o u t", "--seed", 3)
    assert "VERIFIED" in result.stdout
    assert "seed: 3" in result.stdout
    assert (folder / "o u t" / "lstm.py").is_file()


@pytest.mark.parametrize("name", ["normalised", "with_wave"])
def test_certify_a_cell_of_ones_own_as_json(name, folder):
    result = run("certify", f"my cells.py:{name}", "--style", "plain", "--format", "json")
    data = strict(result.stdout)
    assert data["verdict"] == "verified"
    assert data["exit_code"] == 0
    assert "printed by the import" in result.stderr
    assert Path(data["files"]["kernel"]).read_text(encoding="utf-8").count("plain")
    assert {e["verdict"] for e in data["evidence"]} == {"verified"}


def doubled(rec, **options):
    """A kernel with a gradient that is twice too large."""
    kernel = bv.generate(rec, **options)

    def loss_and_grad(*args, **arrays):
        loss, grads = kernel.namespace["loss_and_grad"](*args, **arrays)
        return loss, grads | {"W_hh": 2 * grads["W_hh"]}

    return replace(kernel, namespace={**kernel.namespace, "loss_and_grad": loss_and_grad})


def test_a_wrong_kernel_is_refuted_in_every_format(folder, monkeypatch):
    monkeypatch.setattr(work, "generate", doubled)
    result = run("certify", "linear", code=1)
    assert "REFUTED: the kernel of linear" in result.stdout
    assert "where: dL/dW_hh is wrong" in result.stdout
    assert bv.Certificate.read("build/linear/certificate.json").verdict == "refuted"

    data = strict(run("certify", "linear", "--format", "json", code=1).stdout)
    assert any(f["block"] == "W_hh" for e in data["evidence"] for f in e.get("findings", ()))

    suites = ElementTree.fromstring(run("certify", "linear", "--format", "junit", code=1).stdout)
    failures = suites.findall(".//testcase/failure")
    assert int(suites.get("failures")) == len(failures) > 0
    assert any("dL/dW_hh" in f.text for f in failures)
    assert len(suites.findall(".//testcase")) == len(data["evidence"]) == int(suites.get("tests"))

    sarif = strict(run("certify", "linear", "--format", "sarif", code=1).stdout)
    results = sarif["runs"][0]["results"]
    assert any("dL/dW_hh is wrong" in r["message"]["text"] for r in results)
    file = results[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert file.endswith("cells/simple.py")


# ---- derive and generate ----


@pytest.mark.parametrize(
    ("form", "sign"),
    [("text", "tanh"), ("latex", r"\documentclass"), ("markdown", "# "), ("html", "<!doctype html>")],
)
def test_derive(form, sign, folder):
    result = run("derive", "elman", "--format", form)
    assert sign in result.stdout
    run("derive", "elman", "--format", form, "--out", "sub/derivation")
    assert Path("sub/derivation").read_text(encoding="utf-8") == result.stdout


def test_generate(folder):
    source = bv.generate(bv.cells.elman, style="plain").source
    assert run("generate", "elman", "--style", "plain").stdout == source
    assert run("generate", "elman", "--style", "plain", "--out", "k.py").stdout == ""
    assert Path("k.py").read_text(encoding="utf-8") == source


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("window:8", "K1, K2 = 1, 8"),
        ("chunks:4,6", "K1, K2 = 4, 6"),
        ("chunks:4,4", "xi[4::4] = 0"),
        ("randomized:1/4", "np.full(steps, 0.25)"),
        ("randomized:0.5,1", "pi = (0.5, 1.0)"),
        ("geometric:1,0.9,0.1", "np.clip(1.0 * 0.9 ** np.arange(steps), 0.1, 1.0)"),
    ],
)
def test_generate_an_estimator(words, line):
    assert line in run("generate", "linear", "--estimator", words).stdout
    assert line not in run("generate", "linear").stdout


def test_generate_leaves_what_the_import_prints_to_stderr(folder):
    result = run("generate", "my cells.py:leaky")
    compile(result.stdout, "leaky.py", "exec")
    assert "printed by the import" in result.stderr


def test_one_recurrence_in_a_file_needs_no_name(folder):
    source = """
        import bptt_verify as bv
        from bptt_verify.cells import lstm

        @bv.recurrence
        def own(x=bv.Input("n"), h=bv.State("n"), a=bv.Param("n")):
            h = a * h + x
            return bv.Step(h=h, loss=bv.dot(h, h))
    """
    Path("one.py").write_text(textwrap.dedent(source), "utf-8")
    assert run("generate", "one.py").stdout.startswith('"""own')
    assert run("generate", "one:own").stdout.startswith('"""own')


def test_update_kernels_writes_into_a_checkout(folder, monkeypatch):
    package = folder / "bptt_verify"
    (package / "kernels").mkdir(parents=True)
    monkeypatch.setattr(bv, "__file__", str(package / "__init__.py"))
    assert "expected a checkout" in run("generate", "--update-kernels", code=2).stderr
    (folder / "pyproject.toml").write_text('[project]\nname = "other"\n', "utf-8")
    assert "expected a checkout" in run("generate", "--update-kernels", code=2).stderr
    (folder / "pyproject.toml").write_text('[project]\nname = "bptt_verify"\n', "utf-8")
    run("generate", "--update-kernels")
    assert {p.stem for p in (package / "kernels").iterdir()} == {*bv.cells.CATALOGUE, "clipping"}
    for name, rec in bv.cells.CATALOGUE.items():
        assert (package / "kernels" / f"{name}.py").read_text(encoding="utf-8") == bv.generate(rec).source


# ---- check ----


def test_check_a_right_and_a_wrong_function(folder):
    result = run("check", "my cells.py:right", "--against", "my cells.py:leaky", "--seed", 1)
    assert "VERIFIED: right against the recurrence leaky" in result.stdout
    assert "repeat with --seed 1" in result.stdout
    assert "printed" not in result.stdout
    assert "printed by the call" in result.stderr
    result = run("check", "my cells.py:halved", "--against", "my cells.py:leaky", code=1)
    assert "where: dL/dU is wrong" in result.stdout


def test_check_a_truncated_and_a_random_function(folder):
    def checked(name, estimator, code=0):
        target, against = f"my cells.py:{name}", ("--against", "my cells.py:leaky", "--seed", 1)
        return run("check", target, *against, "--estimator", estimator, code=code).stdout

    assert "VERIFIED: truncated against Window(tau=3)" in checked("truncated", "window:3")
    assert "it equals Window(tau=3)" in checked("truncated", "chunks:3,3", code=1)
    assert "VERIFIED: the mean of gated" in checked("gated", "randomized:1/2")
    assert "REFUTED: the mean of unweighted" in checked("unweighted", "randomized:1/2", code=1)


def test_check_against_a_loss(folder):
    against = ("--against", "losses.py:loss", "--inputs")
    run("check", "losses.py:right", *against, "losses.py:draw")
    run("check", "losses:right", *against, "losses:GIVEN")
    run("check", "losses:wrong", *against, "losses.py:draw", code=1)
    result = run("check", "losses:right", "--against", "losses:nowhere", "--inputs", "losses:draw", code=4)
    assert "INCONCLUSIVE" in result.stdout


def test_the_formats_of_an_inconclusive_check(folder):
    args = ("check", "losses:right", "--against", "losses:nowhere", "--inputs", "losses:draw", "--format")
    data = strict(run(*args, "json", code=4).stdout)
    assert (data["verdict"], data["exit_code"]) == ("inconclusive", 4)
    assert any("not finite" in note for note in data["notes"])
    suites = ElementTree.fromstring(run(*args, "junit", code=4).stdout)
    assert suites.find(".//testcase/error").get("type") == "inconclusive"
    sarif = strict(run(*args, "sarif", code=4).stdout)
    assert {r["kind"] for r in sarif["runs"][0]["results"]} == {"open"}


def test_sarif_has_what_its_schema_requires(folder):
    args = ("check", "my cells.py:halved", "--against", "my cells.py:leaky", "--format", "sarif")
    sarif = strict(run(*args, code=1).stdout)
    assert sarif["version"] == "2.1.0"
    assert sarif["$schema"].endswith("sarif-2.1.0.json")
    (done,) = sarif["runs"]
    driver = done["tool"]["driver"]
    assert driver["name"] == "bptt-verify"
    rules = {rule["id"] for rule in driver["rules"]}
    assert len(rules) == len(driver["rules"])
    assert done["invocations"] == [{"executionSuccessful": True, "exitCode": 1}]
    line = CELLS.splitlines().index("def halved(**arrays):") + 1
    for result in done["results"]:
        assert result["ruleId"] in rules
        assert (result["kind"], result["level"]) == ("fail", "error")
        assert result["message"]["text"]
        (location,) = result["locations"]
        place = location["physicalLocation"]
        assert place["artifactLocation"] == {"uri": "my%20cells.py", "uriBaseId": "%SRCROOT%"}
        assert place["region"] == {"startLine": line}


def test_a_function_that_raises_is_refuted_and_its_text_is_made_harmless(folder):
    args = ("check", "my cells.py:failing", "--against", "my cells.py:leaky")
    text = run(*args, code=1).stdout
    assert "ValueError: no" in text
    assert "\x1b" not in text
    ElementTree.fromstring(run(*args, "--format", "junit", code=1).stdout)
    strict(run(*args, "--format", "json", code=1).stdout)


LIKELY = {
    "missing_dh_next": "missing dh_next",
    "h_t_for_h_prev": "h_t instead of h_{t-1}",
    "clipped_before_returning": "clipped to ±5",
}


@pytest.fixture
def license_inputs(folder):
    """The inputs of the example, with fewer steps."""
    text = "from char_rnn import license_inputs\ndef draw(rng):\n    return license_inputs(rng, steps=16)\n"
    Path("inputs.py").write_text(text, encoding="utf-8")
    return ("--against", "elman_charlm", "--inputs", "inputs.py:draw")


@pytest.mark.parametrize("name", LIKELY)
def test_the_broken_character_rnn_is_refuted_with_its_cause(name, license_inputs):
    target = f"{EXAMPLES}/char_rnn_broken.py:{name}"
    result = run("check", target, *license_inputs, "--reduction", "sum", code=1)
    (cause,) = [line for line in result.stdout.splitlines() if "likely cause" in line]
    assert LIKELY[name] in cause


def test_the_right_character_rnn_is_verified(license_inputs):
    args = ("check", f"{EXAMPLES}/char_rnn.py:loss_and_grad", *license_inputs)
    assert "reduction='sum'" in run(*args, "--reduction", "sum").stdout
    run(*args, code=1)  # the default is the mean


# ---- recheck ----


@pytest.fixture(scope="module")
def certified(tmp_path_factory):
    """A certified cell of the catalogue, and one of a file."""
    folder = tmp_path_factory.mktemp("certified")
    (folder / "cells.py").write_text(CELLS, encoding="utf-8")
    run("certify", "linear", "--out", folder / "linear")
    run("certify", f"{folder}/cells.py:leaky", "--out", folder / "leaky")
    return folder


@pytest.fixture
def linear(certified, tmp_path):
    return copied(certified / "linear", tmp_path)


@pytest.fixture
def leaky(certified, tmp_path):
    (tmp_path / "cells.py").write_text(CELLS, encoding="utf-8")
    (tmp_path / "leaky").mkdir()
    return copied(certified / "leaky", tmp_path / "leaky")


def copied(source, target):
    for file in source.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target / "certificate.json"


def edited(path, *place, forged=False):
    """Change one field; if forged, compute the digest anew."""
    data = json.loads(path.read_text(encoding="utf-8"))
    *keys, last, value = place
    inner = data
    for key in keys:
        inner = inner[key]
    inner[last] = value
    if forged:
        data["digest"] = _digest(data)
    path.write_text(json.dumps(data), encoding="utf-8")


def test_recheck_of_an_untouched_certificate(linear):
    result = run("recheck", linear)
    assert "VERIFIED: the certificate of linear" in result.stdout
    assert "note" not in result.stdout


def test_recheck_finds_the_file_also_where_both_were_moved(leaky):
    assert not Path(json.loads(leaky.read_text(encoding="utf-8"))["origin"]).is_absolute()
    run("recheck", leaky)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (("verdict", "inconclusive"), "its rungs say 'verified'"),
        (("rungs", 1, "evidence", 0, "numbers", "entries", 13.0), "digest does not fit"),
        (("hashes", "source", "0" * 64), "hash of the source"),
        (("seed", -1), "not run again"),
    ],
    ids=["verdict", "number", "hash", "seed"],
)
def test_recheck_refutes_an_edited_certificate(place, said, linear):
    edited(linear, *place)
    result = run("recheck", linear, code=1)
    assert "it was changed" in result.stdout
    assert said in result.stdout


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (("hashes", "recurrence", "0" * 64), "hash of the recurrence"),
        (("rungs", 1, "evidence", 0, "name", "other"), "other: verified in the certificate, missing now"),
    ],
    ids=["hash", "evidence"],
)
def test_recheck_refutes_a_forged_certificate(place, said, linear):
    edited(linear, *place, forged=True)
    result = run("recheck", linear, code=1)
    assert "it was changed" not in result.stdout
    assert said in result.stdout


def test_recheck_refutes_a_changed_kernel_in_every_format(linear):
    kernel = linear.with_name("linear.py")
    kernel.write_text(kernel.read_text(encoding="utf-8") + "raise SystemExit(0)\n", encoding="utf-8")
    assert "is not the one that was certified" in run("recheck", linear, code=1).stdout
    data = strict(run("recheck", linear, "--format", "json", code=1).stdout)
    assert len(data["differences"]) == 1
    suites = ElementTree.fromstring(run("recheck", linear, "--format", "junit", code=1).stdout)
    assert suites.find(".//testcase/failure") is not None
    sarif = strict(run("recheck", linear, "--format", "sarif", code=1).stdout)
    assert sarif["runs"][0]["results"][0]["ruleId"] == "certificate"


def test_recheck_notes_other_versions_and_a_missing_kernel(linear):
    edited(linear, "versions", "sympy", "1.0", forged=True)
    linear.with_name("linear.py").unlink()
    result = run("recheck", linear)
    assert "note: other version: sympy 1.0 then" in result.stdout
    assert "was not compared" in result.stdout


def test_recheck_refutes_a_changed_recurrence(leaky, tmp_path):
    (tmp_path / "cells.py").write_text(CELLS.replace("0.1 * bv.tanh", "0.2 * bv.tanh"), encoding="utf-8")
    assert "hash of the recurrence" in run("recheck", leaky, code=1).stdout


def test_recheck_of_a_moved_or_renamed_recurrence(leaky, tmp_path):
    (tmp_path / "cells.py").rename(tmp_path / "moved.py")
    assert "--against" in run("recheck", leaky, code=2).stderr
    run("recheck", leaky, "--against", tmp_path / "moved.py:leaky")
    renamed = CELLS.replace("leaky", "dripping")
    (tmp_path / "cells.py").write_text(renamed, encoding="utf-8")
    assert "renamed" in run("recheck", leaky, code=2).stderr


@pytest.mark.parametrize(
    "spoil", [lambda t: t[:-100], lambda t: t.replace('"seed": 20260101', '"seed": NaN')], ids=["cut", "NaN"]
)
def test_recheck_of_what_is_no_certificate(spoil, linear):
    linear.write_text(spoil(linear.read_text(encoding="utf-8")), encoding="utf-8")
    result = run("recheck", linear, code=2)
    assert "not strict JSON" in result.stderr
    assert result.stdout == ""


# ---- wrong input ----

WRONG = {
    "no such command": ("certfy lstm", "No such command"),
    "no target": ("certify", "Missing argument"),
    "no such option": ("certify lstm --fast", "No such option"),
    "no such format": ("certify lstm --format xml", "xml"),
    "no such style": ("generate lstm --style best", "best"),
    "negative seed": ("certify lstm --seed -1", "seed"),
    "no such cell": ("certify lstn", "Did you mean lstm?"),
    "a cell that is a file": ("certify losses", "the file losses.py"),
    "no such file": ("certify none.py:lstm", "no such file"),
    "no such file, no name": ("certify none.py", "no such file"),
    "a folder": ("certify ./", "it is a folder"),
    "no such name": ("certify 'my cells.py:leakey'", "Did you mean leaky"),
    "an empty name": ("certify 'my cells.py:'", "expected CELL"),
    "several recurrences": ("certify 'my cells.py'", "leaky, normalised, with_wave"),
    "no recurrence": ("certify losses.py", "no recurrence"),
    "a function, no recurrence": ("certify 'my cells.py:not_decorated'", "Decorate"),
    "a number, no recurrence": ("certify 'my cells.py:number'", "of type int"),
    "no such module": ("certify nothing.here:lstm", "no such module"),
    "a module without the name": ("certify losses:lstm", "has no 'lstm'"),
    "a syntax error": ("certify syntax.py:f", "SyntaxError: invalid syntax"),
    "an import that fails": ("certify fails.py:f", "ZeroDivisionError: division by zero"),
    "an import of nothing": ("certify missing.py:f", "no_such_module"),
    "an import that leaves": ("certify leaves.py:f", "SystemExit: 0"),
    "a malformed recurrence": ("certify malformed.py:f", "inner sizes 'n' and 'd' differ"),
    "a file for a folder": ("certify linear --out losses.py", "cannot be written"),
    "a folder for a file": ("generate linear --out .", "cannot be written"),
    "nothing to generate": ("generate", "expected TARGET"),
    "a target and all": ("generate linear --update-kernels", "without TARGET"),
    "all into a file": ("generate --update-kernels --out x", "takes none of --out"),
    "all of an estimator": ("generate --update-kernels --estimator window:2", "takes none of --out"),
    "no such estimator": ("generate linear --estimator windows:2", "expected full, window:TAU, chunks:K1,K2"),
    "an estimator without its number": ("generate linear --estimator window", "expected full, window:TAU"),
    "an estimator of a word": ("generate linear --estimator window:two", "'two' in 'window:two'"),
    "an estimator with one number too many": ("generate linear --estimator window:2,3", "window:TAU"),
    "a window of nothing": ("generate linear --estimator window:0", "tau=0"),
    "a gate that never opens": ("generate linear --estimator randomized:0", "0 < pi ≤ 1"),
    "a fraction that is none": ("generate linear --estimator randomized:1/0", "is no number"),
    "a double sum of a window": (
        "generate linear --estimator window:2 --method double_sum", "method='double_sum' with estimator",
    ),
    "a truncation of a loss": (
        "check losses:right --against losses:loss --estimator window:2", "expected a Recurrence",
    ),
    "nothing to check against": ("check losses.py:right", "--against"),
    "a cell to check": ("check linear --against linear", "no function is named"),
    "a recurrence to check": ("check 'my cells.py:leaky' --against linear", "it is a recurrence"),
    "a number to check": ("check 'my cells.py:number' --against linear", "of type int"),
    "a check against a number": ("check losses:right --against 'my cells.py:number'", "against=3"),
    "no inputs": ("check losses:right --against losses:loss", "inputs"),
    "inputs that are a number": ("check losses:right --against losses:loss --inputs os:sep", "of type str"),
    "inputs that fail": ("check losses:right --against losses:loss --inputs losses:failing", "line 27: Zero"),
    "inputs without rng": (
        "check losses:right --against losses:loss --inputs losses:without_generator", "one numpy.random",
    ),
    "inputs that do not fit": (
        "check 'my cells.py:right' --against 'my cells.py:leaky' --inputs losses:MISFITS", "shape=(5, 3)",
    ),
    "a function of other arrays": ("check losses:right --against linear", "the argument 'a'"),
    "a function that leaves": ("check 'my cells.py:leaving' --against 'my cells.py:leaky'", "SystemExit: 0"),
    "no such certificate": ("recheck none.json", "No such file"),
    "a certificate that is none": ("recheck losses.py", "not strict JSON"),
}  # fmt: skip


@pytest.mark.parametrize(("line", "said"), WRONG.values(), ids=WRONG)
def test_wrong_input_exits_with_2_and_says_what_is_wrong(line, said, folder):
    Path("syntax.py").write_text("def f(:\n", "utf-8")
    Path("fails.py").write_text("1 / 0\n", "utf-8")
    Path("missing.py").write_text("import no_such_module\n", "utf-8")
    Path("leaves.py").write_text("raise SystemExit(0)\n", "utf-8")
    Path("malformed.py").write_text(
        "import bptt_verify as bv\n@bv.recurrence\n"
        "def f(x=bv.Input('d'), h=bv.State('n'), W=bv.Param('n n')):\n"
        "    h = W @ x + h\n    return bv.Step(h=h, loss=bv.dot(h, h))\n",
        "utf-8",
    )
    before = list(sys.path)
    result = run(*split(line), code=2)
    assert said in " ".join(result.stderr.split())
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert sys.path == before


def split(line):
    """Words; those in quotes hold spaces."""
    parts = line.split("'")
    return [w for k, part in enumerate(parts) for w in ([part] if k % 2 else part.split())]


# ---- errors of our own, and the process ----


def explode(*args, **options):
    raise RuntimeError("something\nunforeseen")


def test_an_internal_error_is_one_line_and_3(monkeypatch):
    monkeypatch.setattr(work, "derive", explode)
    result = run("derive", "linear", code=3)
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert "RuntimeError: something unforeseen" in result.stderr
    assert "report" in result.stderr


def test_the_traceback_is_printed_on_demand(monkeypatch):
    monkeypatch.setattr(work, "derive", explode)
    assert "in explode" in run("derive", "linear", "--traceback", code=3).stderr
    monkeypatch.setenv("BPTT_VERIFY_TRACEBACK", "1")
    assert "in explode" in run("derive", "linear", code=3).stderr
    monkeypatch.setenv("BPTT_VERIFY_TRACEBACK", "0")
    assert "in explode" not in run("derive", "linear", code=3).stderr


def test_a_kernel_that_refuses_our_own_inputs_is_our_error(folder, monkeypatch):
    def refusing(rec, **options):
        def loss_and_grad(*args, **arrays):
            raise ValueError("x: shape (1,)")

        kernel = bv.generate(rec, **options)
        return replace(kernel, namespace={**kernel.namespace, "loss_and_grad": loss_and_grad})

    monkeypatch.setattr(work, "generate", refusing)
    assert "the generated kernel refuses its inputs" in run("certify", "linear", code=3).stderr


def process(*args, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "bptt_verify", *args],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", **options,
    )  # fmt: skip


def test_as_a_process_json_is_alone_on_stdout(folder):
    child = process("check", "my cells.py:right", "--against", "my cells.py:leaky", "--format", "json")
    out, err = child.communicate()
    assert child.returncode == 0
    assert strict(out)["verdict"] == "verified"
    assert {"printed by the import", "printed by a child", "printed by the call"} <= set(err.splitlines())


def test_as_a_process_a_usage_error_is_2(folder):
    child = process("certify", "lstn")
    out, err = child.communicate()
    assert (child.returncode, out) == (2, "")
    assert "Did you mean lstm" in err


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX pipes")
def test_a_reader_who_leaves_early_is_no_error():
    child = process("generate", "lstm_stack")
    child.stdout.close()
    assert child.wait() == 0
    assert child.stderr.read() == ""
    child.stderr.close()


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX pipes")
def test_a_closed_pipe_is_not_taken_for_a_verdict():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "bptt_verify", "--help"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_an_interrupt_is_said_and_is_not_a_verdict(folder):
    source = """
        import sys, time
        def waits(x, y, W_hx, W_hh, W_qh):
            print("waiting", flush=True)
            time.sleep(60)
    """
    Path("slow.py").write_text(textwrap.dedent(source), "utf-8")
    child = process("check", "slow.py:waits", "--against", "linear")
    for line in child.stderr:
        if "waiting" in line:
            break
    time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate()
    assert (child.returncode, out) == (130, "")
    assert "Interrupted." in err
    assert "Traceback" not in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_disk_is_said():
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "bptt_verify", "generate", "linear"],
            stdout=full, stderr=subprocess.PIPE, text=True, encoding="utf-8",
        )  # fmt: skip
    assert done.returncode == 2
    assert "standard output: it cannot be written" in done.stderr


def test_letters_that_the_terminal_has_not_are_replaced():
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    out, _ = process("derive", "elman", env=environment).communicate()
    assert "?" in out


def test_the_recurrence_hash_of_a_certificate_is_that_of_the_recurrence(certified):
    certificate = bv.Certificate.read(certified / "linear" / "certificate.json")
    assert certificate.hashes["recurrence"] == bv.cells.linear.digest
    assert certificate.hashes["source"] == sha256(bv.generate(bv.cells.linear).source)

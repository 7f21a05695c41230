"""Sphinx: the pages of docs/ and, copied in for the build, those of proofs/, whose cells are executed."""

import shutil
from pathlib import Path

from docutils import nodes

import bptt_verify
from bptt_verify.render.mathml import mathml

HERE = Path(__file__).resolve().parent
COPY = HERE / "proofs"

project = "bptt_verify"
author = "the bptt_verify contributors"
copyright = f"2026, {author}"
release = bptt_verify.__version__

extensions = ["myst_nb"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 2
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_execution_timeout = 120
nb_execution_show_tb = True

html_theme = "furo"
html_title = project
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["formulas.css"]


def copy_proofs(app):
    """Sphinx reads below docs/ only; links out of proofs/ are one folder further away from there."""
    shutil.rmtree(COPY, ignore_errors=True)
    COPY.mkdir()
    for page in sorted((HERE.parent / "proofs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        text = text.replace("](../docs/", "](//").replace("](../", "](../../").replace("](//", "](../")
        (COPY / page.name).write_text(text, encoding="utf-8")


def remove_proofs(app, error):
    """The copies are of no use outside of the build."""
    shutil.rmtree(COPY, ignore_errors=True)


def inline_formula(writer, node):
    """A formula in a line, as MathML: a page needs neither JavaScript nor a network."""
    writer.body.append(mathml(node.astext()))
    raise nodes.SkipNode


def displayed_formula(writer, node):
    """A formula on a line of its own."""
    writer.body.append(f'<div class="formula">{mathml(node.astext(), displayed=True)}</div>')
    raise nodes.SkipNode


def setup(app):
    """Connect all of this."""
    app.connect("builder-inited", copy_proofs)
    app.connect("build-finished", remove_proofs)
    app.add_html_math_renderer("mathml", (inline_formula, None), (displayed_formula, None))

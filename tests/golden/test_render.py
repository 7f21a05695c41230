"""Documents as other programs see them: pdflatex, a browser. Skipped where these are not installed."""

import json
import re
import shutil
import subprocess

import pytest

import bptt_verify as bv
from bptt_verify.cells import CATALOGUE
from bptt_verify.render import Display, Document, Formula, Line, Prose, Section, Steps, Table

EVERY_CHARACTER = "".join(map(chr, [*range(1, 0x250), *range(0x370, 0x400), *range(0x2000, 0x2300)]))
WIDE = Formula(
    "x", r"\frac{\partial L}{\partial W_{hh}[n,n']} = \frac{" + " + ".join(["a_{t}"] * 90) + "}{2}"
)


def installed(*names):
    return next(filter(None, map(shutil.which, names)), None)


needs_pdflatex = pytest.mark.skipif(not installed("pdflatex"), reason="needs pdflatex")
BROWSER = installed("chromium", "chromium-browser", "google-chrome")
needs_browser = pytest.mark.skipif(not BROWSER, reason="needs Chromium")


def awkward():
    reason = Line(Formula("", "= a + b"), "a reason that is too long to stand beside anything, " * 4)
    table = Table(("a", EVERY_CHARACTER), ((Prose.of("word " * 40), Prose.of(WIDE)),))
    steps = Steps(
        "Proof", (Display((reason,)), Steps("Inner", (table, Display((reason, Line(WIDE, "r")))), True)), True
    )
    prose = Prose.of("long" * 100, WIDE, Formula("", r"\le \max_{i} a_{i}"), EVERY_CHARACTER)
    return Document(EVERY_CHARACTER, (Section(EVERY_CHARACTER, (prose, steps, Display((Line(WIDE),)))),))


def compiled(latex, folder):
    """The log of pdflatex, and whether there is a PDF."""
    (folder / "a.tex").write_text(latex, encoding="utf-8")
    command = [installed("pdflatex"), "-interaction=nonstopmode", "-halt-on-error", "a.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, stdin=subprocess.DEVNULL, timeout=120)
    return done.stdout.decode("utf-8", "replace"), done.returncode == 0 and (folder / "a.pdf").is_file()


@needs_pdflatex
@pytest.mark.parametrize("name", CATALOGUE)
def test_pdflatex_compiles_every_derivation_within_its_margins(name, tmp_path):
    log, made = compiled(bv.derive(CATALOGUE[name]).to_latex(), tmp_path)
    assert made, log
    assert "Overfull" not in log


@needs_pdflatex
def test_pdflatex_compiles_whatever_is_written(tmp_path):
    log, made = compiled(awkward().to_latex(), tmp_path)
    assert made, log


@needs_pdflatex
def test_a_fragment_can_be_read_by_another_article(tmp_path):
    (tmp_path / "f.tex").write_text(awkward().to_latex(fragment=True), encoding="utf-8")
    around = r"\documentclass{book}\usepackage{amsmath,amssymb}\begin{document}\input{f}\end{document}"
    log, made = compiled(around, tmp_path)
    assert made, log


@needs_pdflatex
def test_pdflatex_can_refuse(tmp_path):
    broken = Document("", (Section("", (Prose.of(Formula("", r"\frac{a")),)),))
    assert not compiled(broken.to_latex(), tmp_path)[1]


def excess(pages, width, folder):
    """How much wider the content of each page is than its window of so many pixels."""
    frames = "".join(f'<iframe style="width:{width}px;height:900px;border:0"></iframe>' for _ in pages)
    script = f"""
    const pages = {json.dumps(pages).replace("<", chr(92) + "u003c")};
    const frames = [...document.querySelectorAll("iframe")];
    const loaded = (f, i) => new Promise(done => {{ f.onload = done; f.srcdoc = pages[i]; }});
    const excess = f => {{
      f.contentDocument.querySelectorAll("details").forEach(d => d.open = true);
      const page = f.contentDocument.documentElement;
      return page.scrollWidth - page.clientWidth;
    }};
    Promise.all(frames.map(loaded)).then(() => {{ document.title = frames.map(excess).join(" "); }});"""
    (folder / "a.html").write_text(
        f"<!doctype html><title></title>{frames}<script>{script}</script>", encoding="utf-8"
    )
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync --dump-dom"
    flags += " --disable-background-networking --disable-component-update --virtual-time-budget=20000"
    command = [
        BROWSER,
        *flags.split(),
        f"--user-data-dir={folder / 'profile'}",
        f"file://{folder / 'a.html'}",
    ]
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=120)
    found = re.search("<title>([0-9 ]+)</title>", done.stdout.decode("utf-8", "replace"))
    assert found, done.stderr.decode("utf-8", "replace")
    return [int(pixels) for pixels in found[1].split()]


@needs_browser
@pytest.mark.parametrize("width", [360, 1200])
def test_no_page_scrolls_sideways(width, tmp_path):
    pages = [
        awkward().to_html(),
        *(bv.derive(CATALOGUE[n]).to_html() for n in ("elman_charlm", "gru", "lstm_stack")),
    ]
    assert excess(pages, width, tmp_path) == [0] * len(pages)


@needs_browser
def test_a_page_that_scrolls_sideways_is_noticed(tmp_path):
    assert excess(['<p style="width:500px">x</p>'], 360, tmp_path)[0] > 100

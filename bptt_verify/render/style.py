"""The style of a document in HTML: its blocks, anywhere; and the page around them."""

BLOCKS = """\
.bptt-document { container-type: inline-size; line-height: 1.55; overflow-wrap: break-word; }
.bptt-document math {
  font-family: "Latin Modern Math", "STIX Two Math", "Cambria Math", math; font-size: 1.06em; text-indent: 0;
}
.bptt-document :is(p, h1, h2, summary, .scroll) { overflow: auto hidden; padding: 0.15em 0; min-width: 0; }
.bptt-document .lines {
  display: grid; grid-template-columns: fit-content(40%) minmax(0, 1fr); align-items: baseline;
  gap: 0.15rem 0; margin: 0.9rem 0 0.9rem 1.5rem;
}
.bptt-document .lines.reasoned { grid-template-columns: fit-content(35%) minmax(0, auto) minmax(13rem, 1fr); }
.bptt-document .line { display: contents; }
.bptt-document .left { grid-column: 1; justify-self: end; max-width: 100%; }
.bptt-document .right { grid-column: 2; padding-left: 0.3em; }
.bptt-document .term {
  display: inline-block; box-sizing: border-box; max-width: 100%; padding-left: 1.5em; text-indent: -1.5em;
}
.bptt-document .reason {
  grid-column: 3; padding-left: 1.5em; font-size: 0.88em; font-style: italic; opacity: 0.78;
}
.bptt-document details {
  margin: 0.9rem 0; border-left: 3px solid rgb(127 127 127 / 35%); padding-left: 0.9rem;
}
.bptt-document summary { cursor: pointer; font-weight: 600; }
.bptt-document table { border-collapse: collapse; }
.bptt-document th, .bptt-document td {
  text-align: left; vertical-align: baseline; padding: 0.25rem 1rem 0.25rem 0;
  border-bottom: 1px solid rgb(127 127 127 / 35%);
}
@container (max-width: 36rem) {
  .bptt-document .lines, .bptt-document .lines.reasoned {
    grid-template-columns: fit-content(40%) minmax(0, 1fr); margin-left: 0;
  }
  .bptt-document .reason { grid-column: 1 / -1; padding-left: 2em; margin-bottom: 0.35rem; }
}
@container (max-width: 30rem) {
  .bptt-document .lines.broad { display: block; }
  .bptt-document .broad .left { justify-self: start; }
}
"""

PAGE = """\
:root { color-scheme: light dark; --ground: #fdfdfb; --ink: #1d2125; --link: #0b57a4; }
@media (prefers-color-scheme: dark) { :root { --ground: #17191c; --ink: #e3e4e0; --link: #8ab8f0; } }
* { box-sizing: border-box; }
html { font-size: 105%; -webkit-text-size-adjust: 100%; }
body {
  max-width: 58rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; background: var(--ground); color: var(--ink);
  font-family: Charter, "Bitstream Charter", "Source Serif 4", Georgia, serif;
}
h1 { font-size: 1.75rem; line-height: 1.25; }
h2 {
  font-size: 1.3rem; line-height: 1.3; margin: 2.4rem 0 0.8rem; padding-bottom: 0.2rem;
  border-bottom: 1px solid rgb(127 127 127 / 35%);
}
h1, h2 { font-weight: 600; text-wrap: balance; }
a { color: var(--link); }
nav ol { padding-left: 1.4rem; }
summary:focus-visible, a:focus-visible, .scroll:focus-visible {
  outline: 2px solid var(--link); outline-offset: 2px;
}
@page { margin: 2cm; }
@media print {
  :root { color-scheme: light; --ground: #fff; --ink: #000; --link: #000; }
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  nav { display: none; }
  summary { list-style: none; }
  details::details-content { content-visibility: visible; block-size: auto; }
  h2, summary { break-after: avoid; }
  .scroll, tr { break-inside: avoid; }
}
"""

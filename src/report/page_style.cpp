#include "page_style.h"

namespace vmae::report {

// Texts have a contrast of 4.5 or more (WCAG 2.2 AA) in light and dark. Figures are dark on white cards in both.
std::string_view page_style() {
  return R"(:root {
  color-scheme: light dark;
  --paper: #fcfcfa; --card: #ffffff; --ink: #1d2329; --soft: #55606b; --line: #d9dee3; --accent: #0a5a8c; --shadow: #00000026;
  --serif: "Source Serif 4", "Iowan Old Style", "Palatino Linotype", Palatino, "Noto Serif", Georgia, serif;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, "Liberation Sans", "Noto Sans", sans-serif;
}
@media (prefers-color-scheme: dark) {
  :root { --paper: #14181c; --card: #1b2026; --ink: #e3e7ea; --soft: #a3afba; --line: #363e46; --accent: #7fc0ea;
    --shadow: #000000a0; }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body { margin: 0 auto; padding: 0 1.25rem 3rem; max-width: 68rem; background: var(--paper); color: var(--ink); font: 1.0625rem/1.6 var(--serif);
  overflow-wrap: anywhere; }
h1, h2 { line-height: 1.2; font-weight: 600; text-wrap: balance; }
h1 { margin: 0 0 .75rem; font-size: clamp(1.7rem, 1.2rem + 2vw, 2.5rem); letter-spacing: -.01em; }
h2 { margin: 0 0 1rem; font-size: 1.45rem; }
h2 .index { margin-right: .6em; color: var(--soft); font-weight: 400; }
p { margin: 0 0 1rem; max-width: 44rem; }
a { color: var(--accent); text-underline-offset: .15em; }
a:focus-visible, summary:focus-visible, .scroll:focus-visible, pre:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; border-radius: 3px; }
.skip { position: absolute; left: -100vw; padding: .5rem 1rem; background: var(--card); z-index: 2; }
.skip:focus { left: 1rem; top: 1rem; }
main:focus { outline: none; }

header { padding-top: clamp(1.75rem, 5vw, 4rem); }
.summary { font-size: 1.22rem; line-height: 1.5; max-width: 46rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 15rem), 1fr)); gap: .8rem 2rem; margin: 1.75rem 0 0; padding: 1rem 0;
  border-block: 1px solid var(--line); font-family: var(--sans); }
.facts dt { font-size: .8125rem; line-height: 1.4; color: var(--soft); }
.facts dd { margin: 0; font-size: .9375rem; line-height: 1.45; font-variant-numeric: tabular-nums; }
nav { margin: 1.75rem 0 0; font: .9375rem/1.6 var(--sans); }
nav h2 { margin: 0 0 .25rem; font: 600 .8125rem/1.4 var(--sans); color: var(--soft); }
nav ol { margin: 0; padding-left: 1.5em; columns: 18rem 3; column-gap: 2.5rem; }
nav li { padding: .2rem 0; break-inside: avoid; }
nav li::marker { color: var(--soft); font-variant-numeric: tabular-nums; }
nav a { text-decoration-color: color-mix(in srgb, currentColor 35%, transparent); }
section { margin-top: 3rem; padding-top: 1.75rem; border-top: 1px solid var(--line); }

.table { margin: 0 0 2rem; font-family: var(--sans); }
.scroll { overflow-x: auto;  /* with a shadow where there is more */
  background: linear-gradient(to left, var(--paper) 40%, transparent) right / 3rem 100% no-repeat local,
    linear-gradient(to left, var(--shadow), transparent) right / .9rem 100% no-repeat scroll; }
table { border-collapse: collapse; font-size: .875rem; line-height: 1.45; font-variant-numeric: tabular-nums lining-nums; }
caption, figcaption { text-align: left; font: .9375rem/1.5 var(--sans); color: var(--ink); }
caption { padding-bottom: .6rem; }
caption > span { display: block; position: sticky; left: 0; max-width: min(44rem, calc(100vw - 2.5rem)); }
.label { font-weight: 600; margin-right: .25em; white-space: nowrap; }
thead { border-block: 1.5px solid var(--ink); border-bottom-width: 1px; }
tbody { border-bottom: 1.5px solid var(--ink); }
tbody tr + tr { border-top: 1px solid var(--line); }
th, td { padding: .42rem .75rem; text-align: left; vertical-align: baseline; unicode-bidi: plaintext; }
th { font-weight: 600; }
thead th { vertical-align: bottom; line-height: 1.3; }
tbody th { font-weight: 500; }
table { overflow-wrap: normal; }
.long { min-width: 9rem; max-width: 22rem; overflow-wrap: anywhere; }
th:first-child, td:first-child { padding-left: .25rem; }
.number { text-align: right; white-space: nowrap; }
thead .number { white-space: normal; }
thead th:first-child, tbody th:first-child { position: sticky; left: 0; background: var(--paper); }
.note { margin: .5rem 0 0; font: .8125rem/1.5 var(--sans); color: var(--soft); }
.more { margin: .5rem 0 0; border: 0; background: none; }
.more summary { padding: .15rem 0; font-size: .8125rem; color: var(--soft); }

.figures, .pictures { display: grid; gap: 2rem 1.5rem; margin: 0 0 2rem; align-items: start; }
.figures { grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); }
.figures > :only-child, .figures .wide { grid-column: 1 / -1; }
.pictures { grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); }
figure { margin: 0; min-width: 0; }
.card { background: #ffffff; border: 1px solid var(--line); border-radius: 10px; overflow-x: auto; }
.card > svg { display: block; width: 100%; height: auto; }
.pictures img { display: block; width: 100%; height: auto; border-radius: 6px; background: #000000; }
figcaption { margin-top: .6rem; }
.pictures figcaption { font-size: .875rem; }
.legend { display: flex; flex-wrap: wrap; gap: .35rem 1.25rem; margin: 0 0 1.25rem; padding: 0; list-style: none; font: .9375rem/1.4 var(--sans); }
.legend li { display: flex; align-items: baseline; gap: .5em; }
.swatch { flex: none; width: .8em; height: .8em; border: .4em solid; outline: 1px solid var(--line); }
.row { margin-bottom: 1.75rem; }
.row > figcaption { margin: 0 0 .5rem; }
.row > div { display: grid; grid-template-columns: repeat(auto-fill, minmax(12rem, 1fr)); gap: .9rem .75rem; align-items: start; }
.row img { display: block; width: 100%; height: auto; border-radius: 6px; background: #000000; }
.row figure figcaption { margin-top: .3rem; font-size: .875rem; line-height: 1.4; }

details { margin: 0 0 .75rem; border: 1px solid var(--line); border-radius: 8px; background: var(--card); font-family: var(--sans); }
summary { padding: .65rem 1rem; font-size: .9375rem; font-weight: 500; cursor: pointer; }
summary span { color: var(--soft); font-weight: 400; }
pre { margin: 0; padding: 1rem; max-height: 34rem; overflow: auto; border-top: 1px solid var(--line); tab-size: 2; overflow-wrap: normal;
  font: .8125rem/1.5 ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "Liberation Mono", "DejaVu Sans Mono", monospace; }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line); font: .8125rem/1.5 var(--sans); color: var(--soft); }
@media (max-width: 40rem) {
  body { padding-inline: 1rem; font-size: 1rem; }
  .summary { font-size: 1.1rem; }
  .row > div { grid-template-columns: 1fr 1fr; }
  th, td { padding-inline: .6rem; }
  thead th:first-child, tbody th:first-child { max-width: 9.5rem; box-shadow: inset -1px 0 var(--line); }
}

@page { margin: 17mm 15mm 18mm; }
@media print {
  :root { color-scheme: light; --paper: #ffffff; --card: #ffffff; --ink: #000000; --soft: #444c54; --line: #c4cad0; --accent: #0a4a75; }
  body { max-width: none; padding: 0; font-size: 10pt; line-height: 1.45; }
  header { padding-top: 0; }
  h1 { font-size: 20pt; }
  h2 { font-size: 14pt; break-after: avoid; }
  p { orphans: 3; widows: 3; }
  h2 + p { break-after: avoid; }
  .summary { font-size: 12pt; }
  .skip { display: none; }
  a { color: inherit; text-decoration: none; }
  section { margin-top: 8mm; padding-top: 5mm; }
  .new-page { break-before: page; margin-top: 0; padding-top: 0; border-top: 0; }
  .scroll, .card { overflow: visible; background: none; }
  table { width: 100%; font-size: 8pt; }
  caption > span { position: static; max-width: none; }
  caption, figcaption { font-size: 9pt; }
  caption { break-after: avoid; }
  thead { display: table-header-group; }
  tr, p, figure, .facts, nav, .scroll, .row, .legend { break-inside: avoid; }
  .scroll:not(:last-child) { break-after: avoid; }
  .legend, .row > figcaption { break-after: avoid; }
  .row > div { grid-template-columns: repeat(5, 1fr); gap: 2mm; }
  .row figure figcaption, .legend { font-size: 8pt; }
  th, td { padding: 1mm 1.6mm; min-width: 0 !important; }
  .many-columns th, .many-columns td { padding-inline: 1mm; }
  .number { white-space: normal; }
  .number span { white-space: nowrap; }
  .many-columns { font-size: 6.5pt; }
  .too-many .number span { white-space: normal; }
  thead th:first-child, tbody th:first-child { position: static; box-shadow: none; max-width: none; }
  .figures { grid-template-columns: 1fr 1fr; gap: 5mm; }
  .pictures { grid-template-columns: minmax(0, 14cm); gap: 4mm; }
  pre { columns: 2; font-size: 6.5pt; }
  .medium .card { max-width: 130mm !important; }
  .card > svg { max-height: 215mm; min-width: 0 !important; }
  details { border: 0; margin-bottom: 4mm; }
  details::details-content { content-visibility: visible; block-size: auto; display: block; }
  summary { padding: 0 0 1.5mm; list-style: none; break-after: avoid; }
  pre { max-height: none; overflow: visible; white-space: pre-wrap; overflow-wrap: anywhere; padding: 2mm 0 0; font-size: 7.5pt; }
})";
}

}  // namespace vmae::report

"""The report's style sheet: two palettes (light, dark), one quiet column, and a version for paper."""
# SPDX-License-Identifier: Apache-2.0

STYLE = """
:root { color-scheme: light dark;
  --paper: #fcfbf9; --card: #ffffff; --ink: #23262b; --soft: #6c6f75; --line: #e6e3dd; --mark: #e9f1ea; --good: #256b45;
  --link: #2b5f8f; --series-1: #3a6ea5; --series-2: #c9722b; --series-3: #3f8a63; --series-4: #8a5aa8;
  --series-5: #b64a5c; --series-6: #6b7280;
  --prose: Charter, "Iowan Old Style", "Palatino Linotype", Georgia, serif;
  --plain: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif;
  --fixed: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #16181b; --card: #1c1f23; --ink: #e5e3de; --soft: #9b9ea4; --line: #30343a; --mark: #1e3328; --good: #8fd0a8;
  --link: #8fbce6; --series-1: #7fb0e0; --series-2: #e8a263; --series-3: #7cc79f; --series-4: #c39bdc;
  --series-5: #e88d9b; --series-6: #a3a8b1; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.6 var(--prose); }
main { max-width: 1180px; margin: 0 auto; padding: 56px 28px 72px; }
header { max-width: 46rem; }
.kicker { margin: 0 0 10px; color: var(--soft); font: 500 13px/1.4 var(--plain); letter-spacing: .02em; }
h1 { margin: 0 0 12px; font-size: 2.05rem; font-weight: 600; line-height: 1.22; letter-spacing: -.012em;
  text-wrap: balance; }
h2 { margin: 56px 0 10px; font-size: 1.35rem; font-weight: 600; line-height: 1.3; }
h2 small { margin-left: .5em; color: var(--soft); font: 400 13px var(--plain); }
p { margin: 0 0 12px; text-wrap: pretty; }
.lede, .facts { color: var(--soft); }
.facts { font: 14px/1.6 var(--plain); }
a { color: var(--link); text-decoration: none; } a:hover { text-decoration: underline; }
.scroll { margin: 32px 0 20px; overflow-x: auto; }
table { border-collapse: collapse; font: 14px/1.35 var(--plain); font-variant-numeric: tabular-nums; }
.figures { min-width: min(100%, 46rem); }
.figures th, .figures td { padding: 9px 6px; text-align: right; vertical-align: baseline; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
.figures thead th { color: var(--soft); font-size: 12.5px; font-weight: 500; white-space: normal;
  vertical-align: bottom; cursor: help; }
.figures caption { padding: 0 2px 4px; font: 600 1.05rem/1.4 var(--prose); text-align: left; }
.figures td { min-width: 4.6rem; }
.figures tr > :first-child { position: sticky; left: 0; padding-left: 2px; background: var(--paper); text-align: left;
  white-space: normal; }
.figures tbody th { min-width: 7.5rem; font-weight: 600; }
.figures small { display: block; color: var(--soft); font-size: 11.5px; font-weight: 400; overflow-wrap: break-word; }
.figures .way { color: var(--good); white-space: nowrap; }
.figures b { margin: -2px -6px; padding: 2px 6px; border-radius: 5px; background: var(--mark); color: var(--good);
  font-weight: 600; }
.figures .none { color: var(--soft); }
.references th, .references td { color: var(--soft); font-style: italic; }
.references tr:first-child > * { border-top: 2px solid var(--line); }
.references th { font-weight: 400 !important; }
.run { display: grid; grid-template-columns: minmax(0, 26rem) minmax(0, 1fr); gap: 24px 40px; align-items: start;
  margin-bottom: 18px; }
.run > .text, .run > .text + .charts { grid-column: 1 / -1; }
.tuned { margin: 30px 0 0; padding-top: 16px; border-top: 1px solid var(--line); }
h3 { margin: 0 0 4px; font-size: 1.05rem; font-weight: 600; line-height: 1.35; }
h3 small { margin-left: .5em; color: var(--soft); font: 400 13px var(--plain); }
.pair { display: grid; grid-template-columns: minmax(0, 26rem) minmax(0, 26rem) minmax(0, 1fr); gap: 20px 24px;
  align-items: start; margin-bottom: 12px; }
.pair > .text { grid-column: 1 / -1; } .pair svg text { font-size: 13px; } .pair svg .name { font-size: 12px; }
figure { margin: 0; break-inside: avoid; }
figcaption { margin-bottom: 6px; color: var(--soft); font: 13px/1.4 var(--plain); }
img { display: block; max-width: 100%; height: auto; image-rendering: pixelated; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 22px 28px; }
.charts.lone { grid-column: 1 / -1; }
svg.chart { display: block; width: 100%; max-width: 440px; height: auto; overflow: visible; color: var(--ink); }
svg text { fill: var(--soft); font: 11px var(--plain); } svg .name { fill: currentColor; font-size: 12px; }
svg .lost { fill: var(--series-5); } svg .empty { font-size: 13px; }
svg .grid { stroke: var(--line); } svg .axis { stroke: var(--soft); }
svg path { fill: none; stroke-linecap: round; stroke-linejoin: round; }
svg .often { stroke-width: 1.4; } svg .seldom { stroke-width: 1.2; stroke-opacity: .45; }
svg circle { stroke: var(--paper); stroke-width: 1; }
details { margin-top: 6px; font: 14px/1.5 var(--plain); }
.prose { font: 15.5px/1.6 var(--prose); } .prose summary { font: 14px/1.5 var(--plain); }
.prose div { columns: 2 24rem; column-gap: 40px; margin-top: 10px; } .prose p { break-inside: avoid; }
summary { width: fit-content; color: var(--link); cursor: pointer; }
.fields { width: 100%; margin: 8px 0 16px; font-size: 13px; }
.fields th, .fields td { padding: 4px 12px 4px 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; overflow-wrap: anywhere; }
.fields th { width: 22rem; max-width: 45%; color: var(--soft); font: 12.5px/1.5 var(--fixed); }
pre { margin: 0; padding: 14px 16px; overflow: auto; max-height: 28rem; border: 1px solid var(--line);
  border-radius: 6px; background: var(--card); font: 13px/1.5 var(--fixed); white-space: pre-wrap;
  overflow-wrap: anywhere; }
.played { display: grid; gap: 14px; margin: 0; padding: 0; list-style: none; }
.played li { display: grid; grid-template-columns: minmax(0, 20rem) minmax(0, 1fr); gap: 8px 20px;
  align-items: center; }
.played pre:only-child { grid-column: 1 / -1; } audio { width: 100%; max-width: 26rem; }
footer { margin-top: 64px; padding-top: 18px; border-top: 1px solid var(--line); color: var(--soft);
  font: 13px/1.5 var(--plain); }
@media screen and (max-width: 56rem) {
  .run, .pair, .played li { grid-template-columns: minmax(0, 1fr); }
  main { padding: 32px 18px 48px; } h1 { font-size: 1.65rem; } .fields th { width: 45%; } }
@media print { @page { size: A4 landscape; margin: 14mm; }
  :root { --paper: #fff; --card: #fff; --ink: #000; --soft: #555; --line: #ccc; --mark: #eee; --good: #000;
    --link: #000; --series-1: #3a6ea5; --series-2: #c9722b; --series-3: #3f8a63; --series-4: #8a5aa8;
    --series-5: #b64a5c; --series-6: #6b7280; }
  main { max-width: none; padding: 0; } .scroll { overflow: visible; } pre { max-height: none; }
  .run { grid-template-columns: 18rem minmax(0, 1fr); gap: 16px 24px; } section { break-inside: avoid; }
  .charts { grid-template-columns: 1fr 1fr; gap: 12px 20px; } .prose { font-size: 12px; } h1 { font-size: 1.6rem; }
  h2 { margin-top: 28px; break-after: avoid; } body { font-size: 12px; } table, .figures thead th { font-size: 10px; }
  .figures th, .figures td { padding: 5px 4px; } details:not([open]) { display: none; }
  .figures b { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""

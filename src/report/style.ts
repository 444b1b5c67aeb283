/** Colours of the series, in light and in dark; each at least 3 : 1 against its background. */
const palette = [
  ["#6b7280", "#9aa4b2"],
  ["#0b6bcb", "#5aa9f0"],
  ["#c2410c", "#fb923c"],
  ["#0f766e", "#2dd4bf"],
  ["#7c3aed", "#b79bff"],
  ["#a16207", "#facc15"],
  ["#be185d", "#f472b6"],
  ["#4d7c0f", "#a3e635"],
] as const;

export const paletteSize = palette.length;

const series = (mode: 0 | 1) => palette.map((pair, i) => `--series-${i}: ${pair[mode]};`).join(" ");

/** The page's style sheet: no network, light and dark, fit for a phone and for paper. */
export const style = `
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #1b1f24; --soft: #57606a; --line: #d8dee4; --grid: #e7ebef; --axis: #8c959f;
  ${series(0)}
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0e1116; --card: #161b22; --ink: #e6edf3; --soft: #9aa4b2; --line: #30363d; --grid: #262c34; --axis: #6e7681;
    ${series(1)}
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; padding: 2.5rem 1.25rem 4rem; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
body > * { max-width: 60rem; margin-inline: auto; }
h1 { margin: 0 0 .35rem; font-size: 1.85rem; line-height: 1.2; letter-spacing: -.01em; }
h2 { margin: 0 0 .5rem; font-size: 1.2rem; }
h3 { margin: 0 0 .25rem; font-size: .95rem; font-weight: 600; }
p { margin: 0 0 .75rem; max-width: 46rem; overflow-wrap: anywhere; }
header p, section > p { color: var(--soft); }
section { margin-top: 1.25rem; padding: 1.25rem 1.5rem 1.5rem; background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
dl.facts { display: flex; flex-wrap: wrap; gap: .5rem 1.75rem; margin: 1rem 0 0; }
dl.facts dt { color: var(--soft); font-size: .8rem; }
dl.facts dd { margin: 0; font-weight: 600; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
section > .scroll > table { width: 100%; }
th, td { padding: .45rem .9rem .45rem 0; text-align: left; border-bottom: 1px solid var(--line); }
thead th { color: var(--soft); font-size: .85rem; font-weight: 600; white-space: nowrap; }
tbody th { font-weight: 600; }
.number { padding-inline: .9rem 0; text-align: right; }
td.best { font-weight: 700; }
tbody tr:last-child > * { border-bottom: 0; }
figure { margin: 0; }
svg { display: block; width: 100%; height: auto; max-width: 100%; }
figure.scroll > svg { min-width: 34rem; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: 0 0 .75rem; padding: 0; list-style: none; font-size: .9rem; }
.legend span { display: inline-block; width: .8rem; height: .8rem; margin-right: .45rem; border-radius: 2px; vertical-align: -.05rem; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: 1.5rem; }
.panels svg { max-width: 15rem; }
.panels.lying { grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); }
.panels.lying svg { max-width: 28rem; }
.panels figcaption { font-size: .95rem; font-weight: 600; }
.panels small { color: var(--soft); font-weight: 400; }
details { margin-top: .75rem; font-size: .9rem; }
summary { color: var(--soft); cursor: pointer; }
.examples { display: grid; gap: 1rem; margin: 0; padding: 0; list-style: none; }
.examples li { padding-top: 1rem; border-top: 1px solid var(--line); }
.examples li:first-child { padding-top: 0; border-top: 0; }
.examples dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 0; }
.examples dt { color: var(--soft); font-size: .85rem; line-height: 1.7rem; }
.examples dd { margin: 0; overflow-wrap: anywhere; white-space: pre-wrap; }
footer { margin-top: 1.5rem; color: var(--soft); font-size: .85rem; }
@media (max-width: 34rem) {
  body { padding-inline: .75rem; }
  section { padding-inline: 1rem; }
  .examples dl { grid-template-columns: 1fr; }
}
@media print {
  body { background: none; padding: 0; }
  section { break-inside: avoid; }
}
`;

import { CraftError } from "../errors.js";
import type { Palette } from "./charts.js";
import { html, raw } from "./html.js";
import { paragraphs, renderSection, type ReportSection } from "./sections.js";
import { paletteSize, style } from "./style.js";
import type { Cell } from "./table.js";

export interface HtmlReport {
  readonly title: string;
  /** Paragraphs under the title: what was done and what came out. */
  readonly summary?: string | readonly string[];
  /** Settings and counts, shown in one line each under its name. */
  readonly facts?: Readonly<Record<string, Exclude<Cell, null>>>;
  readonly sections: readonly ReportSection[];
  /** Last line of the page. */
  readonly footer?: string;
}

/** The whole page as text: see {@link HtmlReport}. */
export function renderPage({ title, summary, facts, sections, footer }: HtmlReport): string {
  const palette = assignColours(sections);
  const entries = Object.entries(facts ?? {}).map(
    ([name, value]) =>
      html`<div>
        <dt>${name}</dt>
        <dd>${value}</dd>
      </div>`,
  );
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'" />
        <title>${title}</title>
        <style>
          ${raw(style)}
        </style>
      </head>
      <body>
        <header>
          <h1>${title}</h1>
          ${paragraphs(summary)} ${entries.length > 0 ? html`<dl class="facts">${entries}</dl>` : undefined}
        </header>
        <main>${sections.map((section, at) => renderSection(section, `section-${at + 1}`, palette))}</main>
        ${footer === undefined ? undefined : html`<footer>${footer}</footer>`}
      </body>
    </html>`;
  return `${page.html}\n`;
}

/** Series in order of first appearance take the colours in their order. */
function assignColours(sections: readonly ReportSection[]): Palette {
  const names = new Set<string>();
  for (const section of sections) {
    if (section.kind === "curves") for (const { name } of section.series) names.add(name);
    if (section.kind === "bars")
      for (const { values } of section.panels) for (const { name } of values) names.add(name);
  }
  if (names.size > paletteSize) {
    throw new CraftError({
      subject: "series",
      value: [...names],
      reason: `a page tells at most ${paletteSize} series apart by colour`,
      remedy: "Split the report, or name the same series alike",
    });
  }
  const order = [...names];
  return (name) => `var(--series-${order.indexOf(name)})`;
}

import { barsLie, drawPanel, type Bars } from "./bars.js";
import { drawCurves, showsPoints, type Curves, type Palette } from "./charts.js";
import { html, type Html } from "./html.js";
import { tableText, type Table } from "./table.js";

interface Titled {
  readonly heading: string;
  /** Paragraphs under the heading. */
  readonly text?: string | readonly string[];
}

export interface Examples {
  readonly examples: readonly {
    readonly title?: string;
    /** `lang` is the BCP 47 code of the text, when it is not the page's. */
    readonly rows: readonly { readonly label: string; readonly text: string; readonly lang?: string }[];
  }[];
}

/** A part of the page under its own heading. */
export type ReportSection = Titled &
  (
    | { readonly kind: "text" }
    | ({ readonly kind: "table" } & Table)
    | ({ readonly kind: "curves" } & Curves)
    | ({ readonly kind: "bars" } & Bars)
    | ({ readonly kind: "examples" } & Examples)
  );

/** @param id for the anchors within the page, unlike that of any other section. */
export function renderSection(section: ReportSection, id: string, palette: Palette): Html {
  return html`<section aria-labelledby="${id}">
    <h2 id="${id}">${section.heading}</h2>
    ${paragraphs(section.text)} ${renderBody(section, id, palette)}
  </section>`;
}

export function paragraphs(text: string | readonly string[] = []): Html[] {
  return (typeof text === "string" ? [text] : text).map((paragraph) => html`<p>${paragraph}</p>`);
}

function renderBody(section: ReportSection, id: string, palette: Palette): Html | undefined {
  switch (section.kind) {
    case "text":
      return undefined;
    case "table":
      return renderTable(section, id);
    case "curves":
      return renderCurves(section, id, palette);
    case "bars":
      return renderBars(section, id, palette);
    case "examples":
      return renderExamples(section);
  }
}

function renderTable(table: Table, id: string): Html {
  const { columns, rows } = tableText(table);
  if (rows.length === 0) return html`<p>No rows.</p>`;
  const numeric = (at: number) => (columns[at]!.numeric ? " number" : "");
  return html`<div class="scroll" tabindex="0" role="group" aria-labelledby="${id}">
    <table>
      <thead>
        <tr>
          ${columns.map(({ header }, at) => html`<th scope="col" class="${numeric(at)}">${header}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (cells) =>
            html`<tr>
              ${cells.map(({ text, best }, at) =>
                at === 0 && !columns[0]!.numeric
                  ? html`<th scope="row">${text}</th>`
                  : html`<td class="${best ? "best" : ""}${numeric(at)}">${text}</td>`,
              )}
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

function renderCurves(curves: Curves, id: string, palette: Palette): Html {
  const numbers = curves.series.flatMap(({ name, points }) => {
    const finite = points.filter(({ y }) => Number.isFinite(y));
    const [first, last] = [finite[0], finite.at(-1)];
    if (first === undefined || last === undefined) return [];
    const lowest = finite.reduce((least, point) => (point.y < least.y ? point : least));
    return [
      { series: name, first: first.y, lowest: lowest.y, [`at ${curves.xLabel}`]: lowest.x, last: last.y },
    ];
  });
  const smooth = curves.smooth ?? 1;
  const note: string[] = [];
  if (smooth > 1)
    note.push(
      showsPoints(curves)
        ? `Bold: mean of ${smooth} neighbouring points. Faint: each point.`
        : `Means of ${smooth} neighbouring points.`,
    );
  const broken = curves.series.filter(({ points }) => points.some(({ y }) => !Number.isFinite(y)));
  if (broken.length > 0)
    note.push(`Gaps: values that are not finite, in ${broken.map(({ name }) => name).join(", ")}.`);
  return html`${paragraphs(note)}
    ${legend(
      curves.series.map(({ name }) => name),
      palette,
    )}
    <figure class="scroll" tabindex="0" aria-labelledby="${id}">${drawCurves(curves, palette)}</figure>
    <details>
      <summary>Numbers</summary>
      ${renderTable({ rows: numbers }, id)}
    </details>`;
}

const directions = { higher: "higher is better", lower: "lower is better" } as const;

function renderBars({ panels }: Bars, id: string, palette: Palette): Html {
  const rows = panels.map(({ title, values }) => ({
    "": title,
    ...Object.fromEntries(values.map(({ name, value }) => [name, value])),
  }));
  return html`<div class="${panels.some(barsLie) ? "panels lying" : "panels"}">
      ${panels.map((panel) => {
        const better =
          panel.better === undefined ? undefined : html`<br /><small>${directions[panel.better]}</small>`;
        return html`<figure>
          <figcaption>${panel.title}${better}</figcaption>
          ${drawPanel(panel, palette)}
        </figure>`;
      })}
    </div>
    <details>
      <summary>Numbers</summary>
      ${renderTable({ rows }, id)}
    </details>`;
}

function renderExamples({ examples }: Examples): Html {
  return html`<ol class="examples">
    ${examples.map(
      ({ title, rows }) =>
        html`<li>
          ${title === undefined ? undefined : html`<h3>${title}</h3>`}
          <dl>
            ${rows.map(({ label, text, lang }) => {
              const code = lang === undefined ? undefined : html` lang="${lang}"`;
              return html`<dt>${label}</dt>
              <dd${code}>${text}</dd>`;
            })}
          </dl>
        </li>`,
    )}
  </ol>`;
}

/** For several series; a single one is named by the label at its line. */
function legend(names: readonly string[], palette: Palette): Html | undefined {
  if (names.length < 2) return undefined;
  return html`<ul class="legend">
    ${names.map((name) => html`<li><span style="background: ${palette(name)}"></span>${name}</li>`)}
  </ul>`;
}

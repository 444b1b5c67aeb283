import { plot, type PlotOptions } from "@observablehq/plot";
import { DOMParser } from "linkedom";
import { CraftError } from "../errors.js";
import { html, type Html } from "./html.js";

/**
 * Draws a chart without a browser.
 *
 * @param label what the chart shows, for those who cannot see it.
 * @returns one `<svg>` element with `role="img"` and that label.
 */
export function drawSvg(label: string, options: PlotOptions): Html {
  // Both packages describe documents by the types of a browser, which a program for Node does not have.
  const document: unknown = new DOMParser().parseFromString("<!doctype html><html></html>", "text/html");
  const drawn: unknown = plot(Object.assign({}, options, { document }));
  const start = "<svg ";
  if (!hasMarkup(drawn) || !drawn.outerHTML.startsWith(start)) {
    throw new CraftError({ subject: "chart", value: label, reason: "the drawing is not one SVG element" });
  }
  return html`<svg role="img" aria-label="${label}" ${{ html: drawn.outerHTML.slice(start.length) }}`;
}

function hasMarkup(value: unknown): value is { outerHTML: string } {
  return (
    typeof value === "object" && value !== null && "outerHTML" in value && typeof value.outerHTML === "string"
  );
}

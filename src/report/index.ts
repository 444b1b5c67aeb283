export type { HtmlReport } from "./page.js";
export { markdownTable, replaceMarked } from "./markdown.js";
export { writeHtmlReport } from "./report.js";
export type { Bars, Panel } from "./bars.js";
export type { Curves, Point } from "./charts.js";
export type { Examples, ReportSection } from "./sections.js";
export { formatTable, type Cell, type Table } from "./table.js";

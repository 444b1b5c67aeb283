export type { HtmlReport } from "./page.js";
export { writeHtmlReport } from "./report.js";
export type { Bars, Curves, Panel, Point } from "./charts.js";
export type { Examples, ReportSection } from "./sections.js";
export { formatTable, type Cell, type Table } from "./table.js";

/** @file Python's `datetime.strftime` in the C locale, for templates that print today's date. */

import { TemplateError } from "./values.js";

const days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const months = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];

const two = (value: number) => String(value).padStart(2, "0");

function dayOfYear(date: Date): number {
  const start = Date.UTC(date.getFullYear(), 0, 1);
  return Math.round((Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) - start) / 86_400_000) + 1;
}

const directives: Readonly<Record<string, (date: Date) => string>> = {
  Y: (d) => String(d.getFullYear()).padStart(4, "0"),
  y: (d) => two(d.getFullYear() % 100),
  m: (d) => two(d.getMonth() + 1),
  d: (d) => two(d.getDate()),
  e: (d) => String(d.getDate()).padStart(2),
  B: (d) => months[d.getMonth()] ?? "",
  b: (d) => (months[d.getMonth()] ?? "").slice(0, 3),
  h: (d) => (months[d.getMonth()] ?? "").slice(0, 3),
  A: (d) => days[d.getDay()] ?? "",
  a: (d) => (days[d.getDay()] ?? "").slice(0, 3),
  w: (d) => String(d.getDay()),
  u: (d) => String(d.getDay() || 7),
  j: (d) => String(dayOfYear(d)).padStart(3, "0"),
  H: (d) => two(d.getHours()),
  I: (d) => two(d.getHours() % 12 || 12),
  M: (d) => two(d.getMinutes()),
  S: (d) => two(d.getSeconds()),
  f: (d) => String(d.getMilliseconds() * 1000).padStart(6, "0"),
  p: (d) => (d.getHours() < 12 ? "AM" : "PM"),
  z: () => "",
  Z: () => "",
  n: () => "\n",
  t: () => "\t",
  "%": () => "%",
};
const composed: Readonly<Record<string, string>> = {
  D: "%m/%d/%y",
  x: "%m/%d/%y",
  F: "%Y-%m-%d",
  T: "%H:%M:%S",
  X: "%H:%M:%S",
  R: "%H:%M",
  c: "%a %b %e %H:%M:%S %Y",
};

/** Formats in local time; `%-d` and its like drop the leading zero. An unknown directive is an error. */
export function strftime(date: Date, format: string): string {
  return format.replace(/%(-?)([^])/g, (all, dash: string, letter: string) => {
    const longer = composed[letter];
    if (longer !== undefined) return strftime(date, longer);
    const directive = directives[letter];
    if (directive === undefined) throw new TemplateError(`strftime_now does not know '${all}'`);
    const text = directive(date);
    return dash === "" ? text : text.replace(/^[0 ](?=\d)/, "").replace(/^0(?=\d)/, "");
  });
}

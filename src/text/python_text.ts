/** @file Functions of Python that chat templates call. */

/** What Python's str.strip() takes off; JavaScript's trim() differs at these. */
const isWhiteSpace = (char: string): boolean =>
  (char.trim() === "" && char !== "\ufeff") || "\x1c\x1d\x1e\x1f\x85".includes(char);

/** `text.strip(chars)` and its like. */
export function stripped(method: "strip" | "lstrip" | "rstrip", text: unknown, chars: unknown): string {
  if (typeof text !== "string") throw new Error(`${method} is called on what is no text`);
  const given = typeof chars === "string" ? new Set(chars) : undefined;
  const isStripped = (char: string | undefined) =>
    char !== undefined && (given === undefined ? isWhiteSpace(char) : given.has(char));
  let start = 0;
  let end = text.length;
  // Whole characters, though they may be two units long.
  const first = () => (start < end ? String.fromCodePoint(text.codePointAt(start)!) : undefined);
  const last = () => {
    const pair = text.slice(Math.max(start, end - 2), end);
    return end > start ? (/^[\ud800-\udbff][\udc00-\udfff]$/.test(pair) ? pair : pair.slice(-1)) : undefined;
  };
  if (method !== "rstrip") while (isStripped(first())) start += first()!.length;
  if (method !== "lstrip") while (isStripped(last())) end -= last()!.length;
  return text.slice(start, end);
}

/** The date as Python's strftime writes it in the C locale. */
export function strftime(date: Date, format: string): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const english = (options: Intl.DateTimeFormatOptions) =>
    new Intl.DateTimeFormat("en-US", options).format(date);
  const dayOfYear = () =>
    Math.round(
      (Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) - Date.UTC(date.getFullYear(), 0, 0)) /
        86_400_000,
    );
  const directives: Record<string, () => string> = {
    Y: () => String(date.getFullYear()),
    y: () => two(date.getFullYear() % 100),
    m: () => two(date.getMonth() + 1),
    d: () => two(date.getDate()),
    "-d": () => String(date.getDate()),
    "-m": () => String(date.getMonth() + 1),
    "-H": () => String(date.getHours()),
    "-I": () => String(date.getHours() % 12 || 12),
    e: () => String(date.getDate()).padStart(2, " "),
    j: () => String(dayOfYear()).padStart(3, "0"),
    B: () => english({ month: "long" }),
    b: () => english({ month: "short" }),
    A: () => english({ weekday: "long" }),
    a: () => english({ weekday: "short" }),
    F: () => strftime(date, "%Y-%m-%d"),
    T: () => strftime(date, "%H:%M:%S"),
    H: () => two(date.getHours()),
    I: () => two(date.getHours() % 12 || 12),
    M: () => two(date.getMinutes()),
    S: () => two(date.getSeconds()),
    p: () => (date.getHours() < 12 ? "AM" : "PM"),
    "%": () => "%",
  };
  return format.replace(/%(-?.)/gs, (_, directive: string) => {
    const write = directives[directive];
    if (write === undefined) throw new Error(`strftime_now: %${directive} is not supported`);
    return write();
  });
}

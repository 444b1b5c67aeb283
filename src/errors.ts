/** What an error message must tell: which thing, what value it had, why that is wrong and what to do. */
export interface Complaint {
  /** The argument, option, column or file at fault, as the user knows it. */
  readonly subject: string;
  /** The offending value, if showing it helps. */
  readonly value?: unknown;
  /** Why the value cannot be used. */
  readonly reason: string;
  /** What the user can do about it. */
  readonly remedy?: string;
  readonly cause?: unknown;
}

/**
 * The error that every part of the library throws for something a user can mend.
 * The message reads `subject = value: reason. remedy`.
 */
export class CraftError extends Error {
  override readonly name: string = "CraftError";
  readonly subject: string;
  readonly value: unknown;
  readonly reason: string;
  readonly remedy: string | undefined;

  constructor(complaint: Complaint) {
    super(describe(complaint), complaint.cause === undefined ? undefined : { cause: complaint.cause });
    this.subject = complaint.subject;
    this.value = complaint.value;
    this.reason = complaint.reason;
    this.remedy = complaint.remedy;
  }
}

function describe({ subject, value, reason, remedy }: Complaint): string {
  const head = value === undefined ? subject : `${subject} = ${show(value)}`;
  const tail = remedy === undefined ? "" : ` ${sentence(remedy)}`;
  return `${head}: ${sentence(reason)}${tail}`;
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

function show(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

/** @file TRL's dataset formats: recognised by their columns, and turned into each other as TRL's data_utils does. */
import { CraftError } from "../errors.js";
import { Dataset } from "./dataset.js";
import type { Row } from "./source.js";
import { column, missingColumn } from "./tokens.js";

/** What rows are for, by their columns. */
export type DatasetType =
  | "tokenised"
  | "language_modeling"
  | "prompt_only"
  | "prompt_completion"
  | "preference"
  | "unpaired_preference";

export interface DatasetFormat {
  readonly type: DatasetType;
  /** Whether prompts, completions and the like are lists of messages, and not text. */
  readonly conversational: boolean;
  /** Whether the prompt is a part of `chosen` and `rejected`; see {@link extractPrompt}. */
  readonly implicitPrompt: boolean;
}

/**
 * The format of a row:
 *
 * | columns                              | type                  |
 * | ------------------------------------ | --------------------- |
 * | `input_ids`                          | `tokenised`           |
 * | `prompt` (may be implicit), `chosen`, `rejected` | `preference` |
 * | `prompt`, `completion`, `label`      | `unpaired_preference` |
 * | `prompt`, `completion`               | `prompt_completion`   |
 * | `messages`, `conversations` or text  | `language_modeling`   |
 * | `prompt`                             | `prompt_only`         |
 *
 * @param textField - the column of plain text. Default "text".
 * @throws {@link CraftError} naming the row's columns if it has none of the formats.
 */
export function datasetFormat(row: object, where = "row", textField = "text"): DatasetFormat {
  const has = (name: string): boolean => column(row, name) !== undefined && column(row, name) !== null;
  const conversational = isConversational(row) || isConversationalFromValue(row);
  const of = (type: DatasetType, implicitPrompt = false): DatasetFormat => ({
    type,
    conversational,
    implicitPrompt,
  });
  if (has("input_ids")) return of("tokenised");
  if (has("chosen") && has("rejected")) return of("preference", promptIsImplicit(row));
  if (has("completion") && has("label")) return of("unpaired_preference");
  if (has("prompt") && has("completion")) return of("prompt_completion");
  if (has("messages") || has("conversations") || has(textField)) return of("language_modeling");
  if (has("prompt")) return of("prompt_only");
  throw missingColumn(
    row,
    [textField],
    where,
    `Rows need ${textField}, messages, prompt and completion, prompt, chosen and rejected, or completion and label; rename theirs with renameColumns`,
  );
}

/** Whether the first of TRL's columns that the row has holds messages with roles. */
export function isConversational(row: object): boolean {
  const names = ["prompt", "chosen", "rejected", "completion", "messages"];
  return names.some((name) => {
    const first = firstMessage(column(row, name));
    return first !== undefined && "role" in first;
  });
}

/** Whether the row is a conversation as ShareGPT writes it: `conversations` with `from` and `value`. */
export function isConversationalFromValue(row: object): boolean {
  const first = firstMessage(column(row, "conversations"));
  return first !== undefined && "from" in first && "value" in first;
}

/**
 * ShareGPT to messages: `from` becomes `role`, `value` becomes `content`, and the column `conversations` becomes
 * `messages`. Names of roles stay as they are, as in TRL; `roles` gives those that are in it others, such as
 * `{ human: "user", gpt: "assistant" }`. Other rows are returned as they are.
 */
export function maybeConvertToChatml(row: object, roles: Readonly<Record<string, string>> = {}): Row {
  const lists = ["prompt", "completion", "chosen", "rejected", "messages", "conversations"];
  const converted = Object.entries(row).map(([name, value]: [string, unknown]) => [
    name === "conversations" ? "messages" : name,
    lists.includes(name) && Array.isArray(value)
      ? value.map((message) => chatmlMessage(message, roles))
      : value,
  ]);
  return Object.fromEntries(converted) as Row;
}

function chatmlMessage(message: unknown, roles: Readonly<Record<string, string>>): unknown {
  if (!isObject(message)) return message;
  const { from, value, ...rest } = message;
  return {
    ...rest,
    ...(from !== undefined && {
      role: typeof from === "string" && Object.hasOwn(roles, from) ? roles[from] : from,
    }),
    ...(value !== undefined && { content: value }),
  };
}

/** A preference with its prompt apart. */
export interface Preference {
  readonly prompt: unknown;
  readonly chosen: unknown;
  readonly rejected: unknown;
}

/**
 * Takes what `chosen` and `rejected` have in common at their beginning as the prompt: characters of texts (without a
 * space at its end), or whole messages. Something is always left for both.
 *
 * @throws {@link CraftError} naming the row if either is missing, empty, or of another kind than the other.
 */
export function extractPrompt(row: object, where = "row"): Preference {
  const [chosen, rejected] = [column(row, "chosen"), column(row, "rejected")];
  const missing = [
    ...(chosen === undefined ? ["chosen"] : []),
    ...(rejected === undefined ? ["rejected"] : []),
  ];
  if (missing.length > 0) throw missingColumn(row, missing, where);
  if (typeof chosen === "string" && typeof rejected === "string") {
    const [a, b] = [Array.from(chosen), Array.from(rejected)];
    const shared = sharedLength(a, b, where);
    // The space belongs to the completion, as tokenizers have it.
    const end = a[shared] !== b[shared] && a[shared - 1] === " " ? shared - 1 : shared;
    return {
      prompt: a.slice(0, end).join(""),
      chosen: a.slice(end).join(""),
      rejected: b.slice(end).join(""),
    };
  }
  if (Array.isArray(chosen) && Array.isArray(rejected)) {
    const end = sharedLength(chosen, rejected, where);
    return { prompt: chosen.slice(0, end), chosen: chosen.slice(end), rejected: rejected.slice(end) };
  }
  throw new CraftError({
    subject: where,
    reason: "chosen and rejected must be both text or both lists of messages",
  });
}

/** {@link extractPrompt} for preferences whose prompt is implicit, with their other columns; other rows as they are. */
export function maybeExtractPrompt(row: object, where = "row"): object {
  const isPreference = column(row, "chosen") !== undefined && column(row, "rejected") !== undefined;
  return isPreference && promptIsImplicit(row) ? { ...row, ...extractPrompt(row, where) } : row;
}

/** Some datasets have a prompt of text beside conversations that begin with it: that one does not count. */
function promptIsImplicit(row: object): boolean {
  const prompt = column(row, "prompt");
  if (prompt === undefined) return true;
  return isConversational({ prompt }) !== isConversational({ chosen: column(row, "chosen") });
}

/**
 * Preferences as single answers with `label`: of each 1000 rows first what was chosen (`true`), then what was rejected
 * (`false`), as TRL orders them. Other columns are kept.
 */
export function unpairPreferenceDataset(dataset: Dataset<object>): Dataset {
  const batch = 1000;
  const place = (index: number): { readonly row: number; readonly label: boolean } => {
    const start = Math.floor(index / (2 * batch)) * batch;
    const size = Math.min(batch, dataset.length - start);
    const offset = index - 2 * start;
    return { row: start + (offset % size), label: offset < size };
  };
  const { length, name } = dataset;
  return new Dataset<Row>({
    name,
    length: 2 * length,
    where: (index) => dataset.where(place(index).row),
    close: () => dataset.close(),
    read: async (index) => {
      const { row, label } = place(index);
      const { chosen, rejected, ...rest } = (await dataset.row(row)) as Record<string, unknown>;
      if (chosen === undefined || rejected === undefined)
        throw missingColumn(await dataset.row(row), ["chosen", "rejected"], dataset.where(row));
      return { ...rest, completion: label ? chosen : rejected, label };
    },
  });
}

/** {@link unpairPreferenceDataset} if the rows are preferences; else the dataset as it is. */
export async function maybeUnpairPreferenceDataset(dataset: Dataset<object>): Promise<Dataset<object>> {
  const columns = await dataset.columns();
  return columns.includes("chosen") && columns.includes("rejected")
    ? unpairPreferenceDataset(dataset)
    : dataset;
}

/** How many items are the same from the beginning on; at least one is left over on either side. */
function sharedLength(a: readonly unknown[], b: readonly unknown[], where: string): number {
  const most = Math.min(a.length, b.length) - 1;
  if (most < 0) throw new CraftError({ subject: where, reason: "chosen or rejected is empty" });
  let shared = 0;
  while (shared < most && same(a[shared], b[shared])) shared += 1;
  return shared;
}

/** Whether two JSON values are equal, whatever the order of keys is. */
function same(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((item, i) => same(item, b[i]));
  if (!isObject(a) || !isObject(b)) return a === b;
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && same(a[key], b[key]))
  );
}

function firstMessage(value: unknown): Readonly<Record<string, unknown>> | undefined {
  if (!Array.isArray(value)) return undefined;
  const first: unknown = value[0];
  return isObject(first) ? first : undefined;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

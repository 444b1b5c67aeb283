/** @file The tables of options in docs/trainers are those of the code. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { dpoFields, orpoFields, rewardFields } from "../../../src/trainers/index.js";
import { optionName } from "../../../src/training/index.js";
import { trainingFields } from "../../../src/training/arguments.js";

it.each(Object.entries({ dpo: dpoFields, orpo: orpoFields, reward: rewardFields }))(
  "docs/trainers/%s.md gives every option beside those of the run, and its default",
  (name, fields) => {
    const page = readFileSync(join(import.meta.dirname, `../../../docs/trainers/${name}.md`), "utf8");
    const rows = [...page.matchAll(/^\| `([a-z_]+)` +\| (none|`.*?`) +\| .*\|$/gm)];
    const expected = Object.entries(fields)
      .filter(([key]) => key === "learningRate" || !(key in trainingFields))
      .map(([key, field]): [string, string] => {
        const { data } = field.safeParse(undefined);
        return [optionName(key), data === undefined ? "none" : `\`${JSON.stringify(data)}\``];
      });
    expect(rows.map(([, option, value]) => [option, value])).toEqual(expected);
  },
);

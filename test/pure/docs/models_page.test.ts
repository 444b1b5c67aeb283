/** @file docs/models.md is what the architectures and their tests say. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { modelsPage } from "../../../scripts/models_page.js";

it("docs/models.md is up to date (npx tsx scripts/models_page.ts)", async () => {
  const page = readFileSync(join(import.meta.dirname, "../../../docs/models.md"), "utf8");
  expect(page).toBe(await modelsPage());
});

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = new URL("../../fixtures/text/", import.meta.url);

export function fixturePath(name: string): string {
  return fileURLToPath(new URL(name, root));
}

/** A JSON file that parity/text.py wrote; the caller states its shape. */
export function fixture<Shape>(name: string): Shape {
  return JSON.parse(readFileSync(fixturePath(name), "utf8")) as Shape;
}

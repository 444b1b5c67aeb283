import { createRequire } from "node:module";

/** Name and version of this package, which end the signature of a score. */
export function implementation(): string {
  const manifest: unknown = createRequire(import.meta.url)("../../package.json");
  const version =
    typeof manifest === "object" && manifest !== null && "version" in manifest && manifest.version;
  return `contrastive-ft-${typeof version === "string" ? version : "unknown"}`;
}

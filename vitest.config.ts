import { defineConfig } from "vitest/config";

// Tests are filed by what they need: nothing (pure), libtorch (engine), the built command (e2e).
const project = (name: string, timeout: number, env: Record<string, string> = {}) => ({
  test: {
    name,
    env,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout: timeout,
    hookTimeout: timeout,
    pool: "forks" as const,
  },
});

// The tensors of tests are small: more threads than one only get into each other's way, and sums depend on their number.
const engineEnvironment = { OMP_NUM_THREADS: process.env["OMP_NUM_THREADS"] ?? "1" };

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      project("pure", 20_000),
      project("engine", 120_000, engineEnvironment),
      project("e2e", 300_000),
    ],
  },
});

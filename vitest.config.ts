import { defineConfig } from "vitest/config";

// Tests are filed by what they need: nothing (pure), libtorch (engine), the built command (e2e).
const project = (name: string, timeout: number) => ({
  test: { name, include: [`test/${name}/**/*.test.ts`], testTimeout: timeout, hookTimeout: timeout, pool: "forks" as const },
});

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [project("pure", 20_000), project("engine", 120_000), project("e2e", 300_000)],
  },
});

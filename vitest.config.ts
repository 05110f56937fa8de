import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["**/*.test.ts"],
    exclude: ["node_modules/**", "dist/**", ".cache/**"],
    globalSetup: ["test/support/provision.ts"],
    pool: "forks",
    // Each file starts servers of its own: more at once only makes all of them slow on two cores.
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // What processes under test log is shown where a test fails.
    silent: "passed-only",
  },
});

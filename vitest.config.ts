import { defineConfig } from "vitest/config";

const limits = { testTimeout: 30_000, hookTimeout: 60_000 };

export default defineConfig({
  test: {
    // Files of the parts wait for servers of their own for most of their time: three keep two cores busy.
    maxWorkers: 3,
    // What processes under test log is shown where a test fails.
    silent: "passed-only",
    projects: [
      {
        test: {
          ...limits,
          name: "units",
          include: ["**/*.test.ts"],
          exclude: ["node_modules/**", "dist/**", ".cache/**", "test/**"],
          pool: "forks",
          // They start nothing and change nothing global: a process for each would be most of what they cost.
          isolate: false,
        },
      },
      {
        test: {
          ...limits,
          name: "parts",
          include: ["test/**/*.test.ts"],
          globalSetup: ["test/support/provision.ts"],
          pool: "forks",
        },
      },
    ],
  },
});

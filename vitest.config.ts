import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: {
    // The tests run the sources, so the package's own imports must not lead into dist/.
    alias: {
      "#platform": fileURLToPath(new URL("./src/platform/node.ts", import.meta.url)),
      "#threads": fileURLToPath(new URL("./src/platform/node-threads.ts", import.meta.url)),
    },
  },
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts", "explorer/src/**/*.test.ts"],
    // Real processes and long fuzzing: `npm run test:serving`.
    exclude: ["test/serving/**", "test/browser/**", "**/node_modules/**"],
    testTimeout: 300_000,
    hookTimeout: 300_000,
    // Quicker to start than processes, and there are a hundred files.
    pool: "threads",
    // Both cores of a small machine: by default one would be left idle.
    maxWorkers: "100%",
    reporters: process.env.CI ? ["default", "./test/closing-line-reporter.ts"] : ["default"],
  },
});

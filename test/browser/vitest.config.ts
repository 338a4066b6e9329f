/** The tests that need Chromium and a built explorer: `npm run test:browser`. */
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: {
    alias: {
      "#platform": fileURLToPath(new URL("../../src/platform/node.ts", import.meta.url)),
      "#threads": fileURLToPath(new URL("../../src/platform/node-threads.ts", import.meta.url)),
    },
  },
  test: {
    include: ["test/browser/**/*.test.ts"],
    testTimeout: 240_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 20_000, interval: 20 } },
    // One browser at a time: pages that compute would slow each other down.
    fileParallelism: false,
  },
});

/** The server's slower tests: as processes, under load, fuzzed, with a lost engine. */
import { defineConfig } from "vitest/config";
import common from "../../vitest.config.js";

export default defineConfig({
  ...common,
  test: {
    ...common.test,
    include: ["test/serving/*.test.ts"],
    exclude: [],
    // Each of them measures nothing, but fills the machine.
    fileParallelism: false,
  },
});

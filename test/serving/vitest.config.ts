/** The server's slower tests: as processes, and with all of its fuzzing. */
import { defineConfig } from "vitest/config";
import common from "../../vitest.config.js";

export default defineConfig({
  ...common,
  test: {
    ...common.test,
    include: ["test/serving/*.test.ts", "test/server/fuzz.test.ts"],
    exclude: [],
    // Each of them measures nothing, but fills the machine.
    fileParallelism: false,
  },
});

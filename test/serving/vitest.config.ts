/** The server's slower tests: as processes, under load, fuzzed, with a lost engine. */
import { defineConfig } from "vitest/config";
import common from "../../vitest.config.js";

// Its projects are the files of `npm test`.
const { projects: _, ...settings } = common.test ?? {};

export default defineConfig({
  ...common,
  test: {
    ...settings,
    include: ["test/serving/*.test.ts"],
    exclude: [],
    // Each of them measures nothing, but fills the machine.
    fileParallelism: false,
  },
});

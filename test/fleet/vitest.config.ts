/** The tests of a fleet: `lastrow serve` as several processes, with a real Redis and a real HAProxy: `npm run test:fleet`. */
import { defineConfig } from "vitest/config";
import common from "../../vitest.config.js";

// Its projects are the files of `npm test`.
const { projects: _, ...settings } = common.test ?? {};

export default defineConfig({
  ...common,
  test: {
    ...settings,
    include: ["test/fleet/*.test.ts"],
    exclude: [],
    // Each of them starts several servers.
    fileParallelism: false,
  },
});

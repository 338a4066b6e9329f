/** Loading with vectors of 256 bits, on the Node that it is started with: `npm run test:vectors` does so with several. */
import { defineConfig } from "vitest/config";
import common from "../../vitest.config.js";

// Its projects are the files of `npm test`.
const { projects: _, ...settings } = common.test ?? {};

export default defineConfig({
  ...common,
  test: { ...settings, include: ["test/vectors/*.test.ts"], exclude: [] },
});

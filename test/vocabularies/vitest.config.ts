/** Real vocabularies, which are too large for the package itself: `npm run test:vocabularies`. */
import { defineConfig } from "vitest/config";
import common from "../../vitest.config.js";

// Its projects are the files of `npm test`.
const { projects: _, ...settings } = common.test ?? {};

export default defineConfig({
  ...common,
  test: { ...settings, include: ["test/vocabularies/*.test.ts"], exclude: [] },
});

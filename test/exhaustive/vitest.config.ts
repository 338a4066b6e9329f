/** What `npm test` has no time for: more models, types and lengths of the same claims, and the package as it is published. */
import { defineConfig } from "vitest/config";
import common from "../../vitest.config.js";

// Its projects are the files of `npm test`.
const { projects: _, ...settings } = common.test ?? {};

export default defineConfig({
  ...common,
  test: { ...settings, include: ["test/{exhaustive,package}/*.test.ts"], exclude: [], isolate: false },
});

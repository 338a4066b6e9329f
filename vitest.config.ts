import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** They put other modules in the place of ours, or load ours anew; those must not be other files'. */
const withOwnModules = [
  "src/cli/commands/compare.test.ts",
  "src/cli/commands/generate.test.ts",
  "src/kernels/wasm/kernel-modules.test.ts",
];
// Real processes and long fuzzing: `npm run test:serving`; several of them: `npm run test:fleet`; large vocabularies:
// `npm run test:vocabularies`; several Nodes: `npm run test:vectors`; more of the same: `npm run test:exhaustive`.
const elsewhere = [
  "test/serving/**",
  "test/{exhaustive,fleet,package,vectors}/**",
  "test/browser/**",
  "test/vocabularies/**",
  "**/node_modules/**",
];

/**
 * Short files that compute for long. On a fresh clone vitest begins the largest files first and these last, where one core
 * would wait for the other.
 */
const longOnes = [
  "conformance/family-identity",
  "conformance/identity",
  "conformance/poison",
  "cli/process",
  "engine/generations",
  "engine/traffic",
].map((name) => fileURLToPath(new URL(`./test/${name}.test.ts`, import.meta.url)));

class LongOnesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ project, moduleId }: TestSpecification) =>
      // Those with modules of their own stay first: between others they would have a thread load all modules anew.
      project.config.isolate ? 0 : longOnes.includes(moduleId) ? 1 : 2;
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  resolve: {
    // The tests run the sources, so the package's own imports must not lead into dist/.
    alias: {
      "#platform": fileURLToPath(new URL("./src/platform/node.ts", import.meta.url)),
      "#threads": fileURLToPath(new URL("./test/one-thread.ts", import.meta.url)),
      // Bundlers take its modules; Node, in which the tests run, does not take them for such.
      "#jsonc-parser": "jsonc-parser",
    },
  },
  test: {
    projects: [
      {
        extends: true,
        test: {
          name: "lastrow",
          include: ["{src,scripts,test,bench,explorer/src}/**/*.test.ts"],
          exclude: [...elsewhere, ...withOwnModules],
          // The files of a thread share its modules: to load them anew for each would take half a minute.
          isolate: false,
        },
      },
      { extends: true, test: { name: "own modules", include: withOwnModules } },
    ],
    setupFiles: fileURLToPath(new URL("./test/same-cases.ts", import.meta.url)),
    testTimeout: 300_000,
    hookTimeout: 300_000,
    // What becomes so by itself may take its time on a busy machine.
    expect: { poll: { timeout: 20_000, interval: 5 } },
    // Quicker to start than processes, and there are a hundred files.
    pool: "threads",
    sequence: { sequencer: LongOnesFirst },
    // Both cores of a small machine: by default one would be left idle.
    maxWorkers: "100%",
    reporters: process.env.CI ? ["default", "./test/closing-line-reporter.ts"] : ["default"],
  },
});

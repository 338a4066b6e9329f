/**
 * First the traces of random decoders of all families' parts, held to arithmetic. Then cached is recomputed, for every family on both kernels, with one to three threads, with every type of weights and of K
 * and V, and for GGUF files with quantised weights: all combinations, of which `npm test` runs pairs. Ends at the first bit that differs.
 *
 *   npm run test:families
 */
import fc from "fast-check";
import { DIMENSIONS, expectIdentity, GGUF_DIMENSIONS } from "../conformance/family-identity.js";
import { checkDecoder, decoderPass } from "../conformance/traced-run.js";
import { product } from "../pairwise.js";

/** Random decoders whose traces are held to arithmetic; `npm test` takes 8. */
const TRACED = 400;

/** Milliseconds between two lines of progress. */
const PROGRESS_MS = 10_000;

await fc.assert(
  fc.asyncProperty(decoderPass, async (pass) => {
    await checkDecoder(pass);
  }),
  { seed: 1, numRuns: TRACED },
);
process.stdout.write(`${TRACED} random decoders: needed rows are needed, others are not\n`);

const cases = [...product(DIMENSIONS), ...product(GGUF_DIMENSIONS)];
const models = DIMENSIONS.model.length + GGUF_DIMENSIONS.model.length;
const start = performance.now();
let shown = start;
for (const [i, of] of cases.entries()) {
  try {
    await expectIdentity(of);
  } catch (cause) {
    throw new Error(`case ${i}, ${JSON.stringify(of)}`, { cause });
  }
  if (performance.now() - shown < PROGRESS_MS) continue;
  shown = performance.now();
  process.stdout.write(`${i + 1} of ${cases.length} cases\n`);
}
const seconds = Math.round((performance.now() - start) / 1000);
process.stdout.write(`${cases.length} cases of ${models} models, the same bits: ${seconds} s\n`);

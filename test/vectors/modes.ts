/**
 * Models of two families in every combination of instructions that the running Node has, each forced: cached is recomputed,
 * traffic gets the bits that a sequence alone has, and digests of the logits, to be compared with those of other
 * combinations and other Nodes. Prints one line for each case, as JSON. `npm run test:vectors` runs it on Nodes from npm.
 */
import fc from "fast-check";
import type { Vectors } from "../../src/kernels/kernels.js";
import { hasRelaxedSimd } from "../../src/kernels/wasm/kernel-modules.js";
import { wideVectors } from "../../src/platform/v8-flags.js";
import type { Instructions } from "../assembled-model.js";
import { digestOf, expectIdentity, QUICK } from "../conformance/family-identity.js";
import { newTally, ScenarioRun, scenarios, Truth, trafficModels } from "../engine/traffic.js";
import { arbitraryTokens } from "../fixture-models.js";
import { product } from "../pairwise.js";

/** Scenarios of traffic in each case. */
const SCENARIOS = 4;
const TOKENS = arbitraryTokens(50, 32);

const CASES = {
  /** The second has windows, and fewer heads of K and V than of queries. */
  model: ["gpt2", "gemma3"],
  dtype: ["f32", "int8", "int4"],
  kvDtype: ["f32", "int8"],
  threads: [1, 2],
} as const;

function modes() {
  const vectors: Vectors[] = typeof wideVectors(true) === "string" ? [128] : [128, 256];
  const dots: NonNullable<Instructions["dots"]>[] = hasRelaxedSimd()
    ? ["strict", "relaxed", "short"]
    : ["strict"];
  return [...product({ vectors, dots })];
}

for (const mode of modes()) {
  const wide = wideVectors(true);
  const whileWide = mode.vectors === 256 && typeof wide !== "string" ? wide : undefined;
  const instructions: Instructions = { ...mode, whileWide };
  for (const { model, dtype, kvDtype, threads } of product(CASES)) {
    // Only nibbles have sums of 16 bits.
    if (mode.dots === "short" && dtype !== "int4") continue;
    const way = { kernels: "wasm", threads, instructions } as const;
    const identity = await expectIdentity({ model, way, dtype, kvDtype }, QUICK);
    const traffic = await digestOfTraffic(model, dtype, kvDtype, way);
    const line = { mode: `${mode.vectors} ${mode.dots}`, model, dtype, kvDtype, threads, identity, traffic };
    process.stdout.write(`${JSON.stringify(line)}\n`);
  }
}

/** Holds traffic against a sequence alone; then a digest of what the kernels that it ran on give for some tokens. */
async function digestOfTraffic(
  ...[model, dtype, kvDtype, way]: [
    ...[model: (typeof CASES.model)[number], dtype: (typeof CASES.dtype)[number]],
    ...[kvDtype: (typeof CASES.kvDtype)[number], way: Parameters<typeof trafficModels>[3]],
  ]
): Promise<string> {
  const { engine, alone, dispose } = await trafficModels(kvDtype, model, dtype, way);
  try {
    const { vectors, dots, notices } = engine.kernels;
    const { instructions } = way ?? {};
    const isRelaxed = instructions?.dots !== "strict";
    if (vectors !== instructions?.vectors || (dots === "relaxed") !== isRelaxed || notices.length > 0) {
      throw new Error(`${vectors} ${dots} are in use: ${notices.join(" ")}`);
    }
    const truth = new Truth(alone);
    const tally = newTally();
    fc.assert(
      fc.property(scenarios, (scenario) => new ScenarioRun(engine, truth, scenario, tally).run()),
      { numRuns: SCENARIOS, seed: 1 },
    );
    if (tally.rows === 0 || tally.hits === 0) throw new Error("there was no traffic worth its name");
    return digestOf(new Truth(engine).of(TOKENS));
  } finally {
    await dispose();
  }
}

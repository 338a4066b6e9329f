/**
 * The random traffic of test/engine, for as long as one likes: a million steps of the engine by default, in batches of
 * scenarios, each batch from a seed of its own, f32 and int8 K and V by turns. Ends with what happened, or at the first
 * wrong bit with the smallest scenario that shows it.
 *
 *   npm run test:soak -- --steps 200000 --minutes 5 --from 120
 */
import { parseArgs } from "node:util";
import fc from "fast-check";
import { newTally, ScenarioRun, scenarios, type Tally, Truth, trafficModels } from "../engine/traffic.js";

const SCENARIOS_PER_BATCH = 100;
/** Milliseconds between two lines of progress. */
const PROGRESS_MS = 10_000;

const { values } = parseArgs({
  options: {
    steps: { type: "string", default: "1000000" },
    minutes: { type: "string", default: "Infinity" },
    from: { type: "string", default: "0" },
  },
});
const steps = Number(values.steps);
const minutes = Number(values.minutes);
const from = Number(values.from);
if (!(steps > 0 && minutes > 0 && Number.isInteger(from) && from >= 0)) {
  process.stderr.write("--steps and --minutes are positive numbers, --from is the number of a batch.\n");
  process.exit(2);
}

const models = [await trafficModels("f32"), await trafficModels("int8")] as const;
const truths = models.map(({ alone }) => new Truth(alone));
const tally = newTally();
const start = performance.now();
let shown = start;
let batch = from;
let failure: string | null = null;
while (failure === null && tally.steps < steps && performance.now() - start < minutes * 60_000) {
  const { engine } = models[batch % 2];
  const result = fc.check(
    fc.property(scenarios, (scenario) => new ScenarioRun(engine, truths[batch % 2], scenario, tally).run()),
    { seed: batch, numRuns: SCENARIOS_PER_BATCH },
  );
  if (result.failed) failure = fc.defaultReportMessage(result) ?? "failed";
  else batch += 1;
  if (performance.now() - shown > PROGRESS_MS) {
    shown = performance.now();
    process.stdout.write(`${summary(tally)}; next batch ${batch}\n`);
  }
}
for (const { dispose } of models) await dispose();
if (failure !== null) {
  process.stdout.write(`batch ${batch} (${batch % 2 === 0 ? "f32" : "int8"} K and V): ${failure}\n`);
  process.exitCode = 1;
} else {
  const scenariosRun = (batch - from) * SCENARIOS_PER_BATCH;
  process.stdout.write(
    `${scenariosRun.toLocaleString("en")} scenarios, nothing found: ${summary(tally)}; next batch ${batch}\n`,
  );
}

function summary(counts: Tally): string {
  const seconds = Math.round((performance.now() - start) / 1000);
  const counted = Object.entries(counts).map(([name, count]) => `${count.toLocaleString("en")} ${name}`);
  return `${seconds} s: ${counted.join(", ")}`;
}

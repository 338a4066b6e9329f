/**
 * The random traffic of test/engine, for as long as one likes: a million steps of the engine by default, in batches of
 * scenarios, each batch from a seed of its own. By turns: rows of logits against those recomputed alone, and generations
 * with all their options against their plain twins; every family, f32 and int8 K and V. Ends with what happened, or at the first wrong
 * bit with the smallest scenario that shows it.
 *
 *   npm run test:soak -- --steps 200000 --minutes 5 --from 120 --only generations
 */
import { parseArgs } from "node:util";
import fc from "fast-check";
import { KV_DTYPES } from "../../src/kernels/kv-types.js";
import { familySpecNames } from "../decoder-specs.js";
import { generationScenarios, newGenerationTally, runGenerations } from "../engine/generations.js";
import { newTally, ScenarioRun, scenarios, Truth, trafficModels } from "../engine/traffic.js";

/** Milliseconds between two lines of progress. */
const PROGRESS_MS = 10_000;

const USAGE = `npm run test:soak -- [options]

  --steps <count>      steps of the engine (default: 1000000)
  --minutes <minutes>  end after so many minutes, whatever --steps says
  --from <number>      begin with this batch (default: 0)
  --only <kind>        rows, or generations
  --help               show this help
`;

const { values } = parseArgs({
  options: {
    help: { type: "boolean", short: "h", default: false },
    steps: { type: "string", default: "1000000" },
    minutes: { type: "string", default: "Infinity" },
    from: { type: "string", default: "0" },
    only: { type: "string" },
  },
});
if (values.help) {
  process.stdout.write(USAGE);
  process.exit(0);
}
const steps = Number(values.steps);
const minutes = Number(values.minutes);
const from = Number(values.from);
const isKnown = values.only === undefined || values.only === "rows" || values.only === "generations";
if (!(steps > 0 && minutes > 0 && Number.isInteger(from) && from >= 0 && isKnown)) {
  process.stderr.write(
    "--steps and --minutes are positive numbers, --from is the number of a batch, --only is rows or generations.\n",
  );
  process.exit(2);
}

const rows = newTally();
const generations = newGenerationTally();
const models = await Promise.all(
  familySpecNames.flatMap((family) =>
    KV_DTYPES.map(async (kvDtype) => ({ family, kvDtype, ...(await trafficModels(kvDtype, family)) })),
  ),
);
/** What the batches are of, by turns. */
const kinds = models.flatMap(({ engine, alone, family, kvDtype }) => {
  const model = `${family}, ${kvDtype} K and V`;
  const truth = new Truth(alone);
  return [
    {
      ...{ name: `rows, ${model}`, of: "rows", numRuns: 100 },
      property: fc.property(scenarios, (scenario) => new ScenarioRun(engine, truth, scenario, rows).run()),
    },
    {
      ...{ name: `generations, ${model}`, of: "generations", numRuns: 20 },
      property: fc.property(generationScenarios, (scenario) =>
        runGenerations(engine, alone, scenario, generations),
      ),
    },
  ].filter(({ of }) => values.only === undefined || values.only === of);
});

const start = performance.now();
let shown = start;
let batch = from;
let scenariosRun = 0;
let failure: string | null = null;
while (
  failure === null &&
  rows.steps + generations.steps < steps &&
  performance.now() - start < minutes * 60_000
) {
  const { name, property, numRuns } = kinds[batch % kinds.length];
  const result = fc.check<unknown[]>(property as fc.IProperty<unknown[]>, { seed: batch, numRuns });
  if (result.failed) failure = `batch ${batch} (${name}): ${fc.defaultReportMessage(result) ?? "failed"}`;
  else batch += 1;
  scenariosRun += numRuns;
  if (performance.now() - shown > PROGRESS_MS) {
    shown = performance.now();
    process.stdout.write(`${summary()}; next batch ${batch}\n`);
  }
}
for (const { dispose } of models) await dispose();
if (failure !== null) {
  process.stdout.write(`${failure}\n`);
  process.exitCode = 1;
} else {
  process.stdout.write(
    `${scenariosRun.toLocaleString("en")} scenarios, nothing found: ${summary()}; next batch ${batch}\n`,
  );
}

function summary(): string {
  const seconds = Math.round((performance.now() - start) / 1000);
  const told = Object.entries({ rows, generations }).map(([name, tally]) => {
    const counts = Object.entries(tally).map(([what, count]) => `${count.toLocaleString("en")} ${what}`);
    return `${name}: ${counts.join(", ")}`;
  });
  return `${seconds} s; ${told.join("; ")}`;
}

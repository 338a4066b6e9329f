/**
 * The engine's random traffic with a real KV tier whose store does everything wrong, for as long as one likes: until a million
 * records were read, by default. Every row of logits is held against those recomputed alone, every damaged record must be rejected, no
 * load may hold a block in the end, no timer may be left, and memory must not grow. By turns every family, with K and V of each
 * type. Ends with what happened, or at the first thing that is wrong with the smallest scenario that shows it.
 *
 *   npm run test:tier-soak -- --records 100000 --minutes 5 --from 120
 */
import { parseArgs } from "node:util";
import fc from "fast-check";
import { KV_DTYPES } from "../../src/kernels/kv-types.js";
import { familySpecNames } from "../decoder-specs.js";
import { newTieredTally, TieredModel, tieredScenarios } from "../tier/tiered-traffic.js";

/** Milliseconds between two lines of progress. */
const PROGRESS_MS = 10_000;
const SCENARIOS = 50;
const MIB = 1024 * 1024;
/** Resident memory may be so much more than when all models had been loaded, and had run for a while. */
const GROWTH_MIB = 160;

const USAGE = `npm run test:tier-soak -- [options]

  --records <count>    records read (default: 1000000)
  --minutes <minutes>  end after so many minutes, whatever --records says
  --from <number>      begin with this batch (default: 0)
  --help               show this help
`;

const { values } = parseArgs({
  options: {
    help: { type: "boolean", short: "h", default: false },
    records: { type: "string", default: "1000000" },
    minutes: { type: "string", default: "Infinity" },
    from: { type: "string", default: "0" },
  },
});
if (values.help) {
  process.stdout.write(USAGE);
  process.exit(0);
}
const records = Number(values.records);
const minutes = Number(values.minutes);
const from = Number(values.from);
if (!(records > 0 && minutes > 0 && Number.isInteger(from) && from >= 0)) {
  process.stderr.write("--records and --minutes are positive numbers, --from is the number of a batch.\n");
  process.exit(2);
}

const tally = newTieredTally();
const models = await Promise.all(
  KV_DTYPES.flatMap((kvDtype) =>
    familySpecNames.map(async (family) => ({
      ...{ name: `${family}, ${kvDtype} K and V`, model: await TieredModel.of(family, kvDtype) },
    })),
  ),
);

const start = performance.now();
let shown = start;
let batch = from;
let failure: string | null = null;
/** Bytes after the first round of all models. */
let warm: number | null = null;
let most = 0;
while (failure === null && tally.records < records && performance.now() - start < minutes * 60_000) {
  const { name, model } = models[batch % models.length];
  const property = fc.asyncProperty(tieredScenarios, (scenario) => model.run(scenario, tally));
  const result = await fc.check(property, { seed: batch, numRuns: SCENARIOS });
  if (result.failed) failure = `batch ${batch} (${name}): ${fc.defaultReportMessage(result) ?? "failed"}`;
  else batch += 1;
  const { rss } = process.memoryUsage();
  if (batch - from === models.length) warm = rss;
  most = Math.max(most, rss);
  if (warm !== null && rss > warm + GROWTH_MIB * MIB) {
    failure ??= `memory grew from ${inMib(warm)} to ${inMib(rss)}, by more than ${GROWTH_MIB} MiB`;
  }
  if (performance.now() - shown > PROGRESS_MS) {
    shown = performance.now();
    process.stdout.write(`${summary()}; next batch ${batch}\n`);
  }
}
for (const { model } of models) await model.dispose();
if (failure !== null) {
  process.stdout.write(`${failure}\n`);
  process.exitCode = 1;
} else {
  process.stdout.write(`Nothing found: ${summary()}; next batch ${batch}\n`);
}

function summary(): string {
  const seconds = Math.round((performance.now() - start) / 1000);
  const counts = Object.entries(tally).map(([what, count]) => `${count.toLocaleString("en")} ${what}`);
  const memory = `${warm === null ? "" : `${inMib(warm)} after a round, `}${inMib(most)} at most`;
  return `${seconds} s; ${counts.join(", ")}; memory: ${memory}`;
}

function inMib(bytes: number): string {
  return `${Math.round(bytes / MIB)} MiB`;
}

/**
 * Times the WebAssembly kernels, operation by operation and shape by shape, and holds each against what the machine can
 * do: all cases take turns with measurements of the limits, several rounds. `npm run bench:kernels -- --help`.
 */
import { availableParallelism } from "node:os";
import { Command } from "commander";
import { type Limits, MachineLimits } from "../../src/bench/limits.js";
import { type Spread, spreadOf } from "../../src/bench/spread.js";
import { formatCount, formatDuration } from "../../src/cli/format.js";
import { atLeastOne } from "../../src/cli/options.js";
import { renderTable } from "../../src/cli/table.js";
import { coloursFor } from "../../src/cli/terminal.js";
import type { Kernels } from "../../src/kernels/kernels.js";
import { MemoryPlan } from "../../src/kernels/memory-plan.js";
import { wasmBackend } from "../../src/kernels/wasm/wasm-kernels.js";
import { threads as platformThreads } from "../../src/platform/node-threads.js";
import { type KernelCase, planCases } from "./cases.js";

/** Shortest time of a sample: shorter runs are repeated. */
const SAMPLE_MS = 8;
/** Bytes that the limit of reading streams. */
const READ_BYTES = 300e6;

interface Measured {
  readonly case: KernelCase;
  /** Milliseconds of a run, of each round. */
  readonly ms: number[];
}

const program = new Command("bench:kernels")
  .description("GPT-2 124M, one operation at a time. Limits and cases take turns; medians over the rounds.")
  .argument("[operations...]", 'only those whose names begin like this, such as "linear int8"')
  .option("--threads <count>", "threads that share the work", atLeastOne, availableParallelism())
  .option("--rounds <count>", "measured rounds, after one that warms up", atLeastOne, 7)
  .option("--json", "one JSON object")
  .addHelpText(
    "after",
    '\nExamples:\n  npm run bench:kernels\n  npm run bench:kernels -- "linear f32" attention --threads 1',
  )
  .parse();
const { threads, rounds, json } = program.opts<{ threads: number; rounds: number; json?: boolean }>();

const { startHelper } = platformThreads;
const backend = wasmBackend({ threads, startHelper });
const plan = new MemoryPlan(backend);
const cases = planCases(plan, backend, program.args);
const kernels = await backend.create(plan.bytes);
// Memory that was never written does not exist yet. A tenth is as good a number as any: sums of them stay small.
kernels
  .f32(0, plan.bytes / 4)
  .subarray(65536 / 4)
  .fill(0.1);
for (const { prepare } of cases) prepare?.(kernels);
const machine = await MachineLimits.create({ threads, readBytes: READ_BYTES, startHelper });

const measured = cases.map((one): Measured => ({ case: one, ms: [] }));
const limits: Limits[] = [];
for (let round = 0; round <= rounds; round++) {
  if (round > 0) limits.push(machine.measure());
  for (const { case: one, ms } of measured) {
    one.prepare?.(kernels);
    const time = timeOf(one, kernels);
    if (round > 0) ms.push(time);
  }
  process.stderr.write(round === 0 ? "warmed up\n" : `round ${round} of ${rounds}\n`);
}
await machine.dispose();
await kernels.dispose();
report();

/** Milliseconds of a run. */
function timeOf({ run }: KernelCase, kernels: Kernels): number {
  for (let runs = 1; ; runs *= 2) {
    const start = performance.now();
    for (let i = 0; i < runs; i++) run(kernels);
    const elapsed = performance.now() - start;
    if (elapsed >= SAMPLE_MS) return elapsed / runs;
  }
}

function report(): void {
  const limit: Record<KernelCase["limit"], number> = {
    read: medianOf("readGBs"),
    f32: medianOf("f32GFlops"),
    int8: medianOf("int8Gops"),
  };
  const rows = measured.map(({ case: { operation, shape, limit: kind, work }, ms }) => {
    const rate = spreadOf(ms.map((time) => work / time / 1e6));
    return { operation, shape, limit: kind, ms: spreadOf(ms), rate, share: rate.median / limit[kind] };
  });
  if (json === true) {
    process.stdout.write(
      `${JSON.stringify({ node: process.version, threads, rounds, limits: limit, rows })}\n`,
    );
    return;
  }
  const unit = { read: "GB/s", f32: "GFLOP/s", int8: "GOP/s" };
  const table = renderTable(coloursFor(process.stdout, process.env), {
    head: ["operation", "shape", "a run", "median", "min", "max", "", "of the limit"],
    rows: rows.map(({ operation, shape, limit: kind, ms, rate, share }) => [
      operation,
      shape,
      formatDuration(ms.median),
      ...spread(rate),
      unit[kind],
      `${(100 * share).toFixed(0)} %`,
    ]),
    rightAligned: [2, 3, 4, 5, 7],
  });
  process.stdout.write(
    `${table}\n\nlimits: ${limit.read.toFixed(1)} GB/s read, ${limit.f32.toFixed(1)} GFLOP/s f32, ${limit.int8.toFixed(1)} GOP/s int8\n` +
      `${threads} ${threads === 1 ? "thread" : "threads"} · Node ${process.version} · ${formatCount(rounds)} rounds\n`,
  );
}

function medianOf(figure: keyof Limits): number {
  return spreadOf(limits.map((one) => one[figure])).median;
}

function spread({ median, min, max }: Spread): string[] {
  return [median, min, max].map((value) => value.toFixed(1));
}

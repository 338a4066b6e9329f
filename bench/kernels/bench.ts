/**
 * Times the WebAssembly kernels, operation by operation and shape by shape, and holds each against what the machine can
 * do, and against those of another checkout: all take turns (measure.ts). `npm run bench:kernels -- --help`.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import type { Limits } from "../../src/bench/limits.js";
import { type Spread, spreadOf } from "../../src/bench/spread.js";
import { formatDuration } from "../../src/cli/format.js";
import { atLeastOne } from "../../src/cli/options.js";
import { renderTable } from "../../src/cli/table.js";
import { coloursFor } from "../../src/cli/terminal.js";
import type { Vectors } from "../../src/kernels/kernels.js";
import { vectorsOption } from "../command.js";
import type { KernelCase } from "./kernel-case.js";
import type { Measured, Task } from "./measure.js";

interface Options {
  readonly threads: number;
  readonly processes: number;
  readonly rounds: number;
  readonly rows?: readonly number[];
  readonly against?: string;
  readonly vectors: Vectors;
  readonly againstVectors?: Vectors;
  readonly processorTime?: true;
  readonly json?: true;
}

const program = new Command("bench:kernels")
  .description("One operation at a time. Limits and cases take turns; medians over all rounds.")
  .argument(
    "[operations...]",
    'only those that begin like this, such as "linear int8", or "linear bf16 Llama"; without any: GPT-2 124M',
  )
  .option("--threads <count>", "threads that share the work", atLeastOne, availableParallelism())
  .option(
    "--processes <count>",
    "processes, one after the other: memory lies elsewhere in each",
    atLeastOne,
    4,
  )
  .option("--rounds <count>", "measured rounds of each process, after one that warms up", atLeastOne, 3)
  .option("--rows <counts>", "rows of products: 1,2,3", (list) => list.split(",").map(atLeastOne))
  .option(
    "--against <folder>",
    "another checkout with its kernels built: each case takes turns with the same of that one",
  )
  .addOption(vectorsOption("vectors of this checkout's kernels").default(128))
  .addOption(vectorsOption("of the other's; default: the same", "--against-vectors"))
  .option(
    "--processor-time",
    "time of the processor instead of the clock: for one thread on a machine that others use",
  )
  .option("--json", "one JSON object")
  .addHelpText(
    "after",
    `
Examples:
  npm run bench:kernels
  npm run bench:kernels -- "linear f32" attention --threads 1
  npm run bench:kernels -- "linear f32 GPT-2" --rows 1,2,3,5,8 --against ../before --threads 1 --processor-time`,
  )
  .parse();
const {
  threads,
  processes,
  rounds,
  rows,
  against,
  vectors,
  againstVectors = vectors,
  processorTime,
  json,
} = program.opts<Options>();
if (processorTime === true && threads > 1) program.error("--processor-time takes --threads 1.");

const own = fileURLToPath(new URL("../../", import.meta.url));
const task = { threads, rounds, wanted: program.args, rows, processorTime: processorTime === true };
const all: Measured[] = [];
for (let i = 1; i <= processes; i++) {
  all.push(await measuredApart(i % 2 === 0));
  process.stderr.write(`process ${i} of ${processes}\n`);
}
report();

/** One process, the other checkout first or last. */
async function measuredApart(otherFirst: boolean): Promise<Measured> {
  const mine = { folder: own, vectors };
  const both = against === undefined ? [mine] : [mine, { folder: against, vectors: againstVectors }];
  const builds = otherFirst ? both.toReversed() : both;
  const child = fork(new URL("./measure.ts", import.meta.url), {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  child.send({ ...task, builds } satisfies Task);
  const answer = await Promise.race([
    once(child, "message"),
    once(child, "exit").then(([code, signal]) => `ended with ${signal ?? code}`),
  ]);
  if (typeof answer === "string") return program.error(`A process that measures ${answer}.`);
  child.kill();
  const measured = answer[0] as Measured;
  if (!otherFirst || against === undefined) return measured;
  return { ...measured, cases: measured.cases.map((one) => ({ ...one, ms: [...one.ms].reverse() })) };
}

/**
 * How many times as fast as the other checkout: the median of each process's ratios, and of these the geometric mean, so
 * that what the order of the two does cancels out.
 */
function timesAsFast(index: number): number | null {
  if (against === undefined) return null;
  const logarithms = all.map(({ cases }) => {
    const [mine, others] = cases[index].ms;
    return Math.log(spreadOf(mine.map((ms, round) => others[round] / ms)).median);
  });
  return Math.exp(logarithms.reduce((sum, value) => sum + value, 0) / logarithms.length);
}

function report(): void {
  const limit: Record<KernelCase["limit"], number> = {
    read: medianOf("readGBs"),
    f32: medianOf("f32GFlops"),
    int8: medianOf("int8Gops"),
  };
  const rows = all[0].cases.map(({ operation, shape, limit: kind, work }, index) => {
    const ms = all.flatMap(({ cases }) => cases[index].ms[0]);
    const rate = spreadOf(ms.map((time) => work / time / 1e6));
    const share = rate.median / limit[kind];
    return { operation, shape, limit: kind, ms: spreadOf(ms), rate, share, timesAsFast: timesAsFast(index) };
  });
  if (json === true) {
    process.stdout.write(
      `${JSON.stringify({ node: process.version, threads, vectors, processes, rounds, against, limits: limit, rows })}\n`,
    );
    return;
  }
  const unit = { read: "GB/s", f32: "GFLOP/s", int8: "GOP/s" };
  const table = renderTable(coloursFor(process.stdout, process.env), {
    head: [
      ...["operation", "shape", "a run", "median", "min", "max", "", "of the limit"],
      ...(against === undefined ? [] : ["times as fast"]),
    ],
    rows: rows.map(({ operation, shape, limit: kind, ms, rate, share, timesAsFast }) => [
      operation,
      shape,
      formatDuration(ms.median),
      ...spread(rate),
      unit[kind],
      `${(100 * share).toFixed(0)} %`,
      ...(timesAsFast === null ? [] : [timesAsFast.toFixed(2)]),
    ]),
    rightAligned: [2, 3, 4, 5, 7, 8],
  });
  process.stdout.write(
    `${table}\n\nlimits: ${limit.read.toFixed(1)} GB/s read, ${limit.f32.toFixed(1)} GFLOP/s f32, ${limit.int8.toFixed(1)} GOP/s int8\n` +
      `${threads} ${threads === 1 ? "thread" : "threads"} · vectors of ${vectors} bits, limits, too · Node ${process.version} · ${processes} × ${rounds} rounds\n`,
  );
  const ratios = rows.flatMap(({ timesAsFast }) => timesAsFast ?? []);
  if (ratios.length > 0)
    process.stdout.write(
      `against ${against}: ${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)} times as fast\n`,
    );
}

function medianOf(figure: keyof Limits): number {
  return spreadOf(all.flatMap(({ limits }) => limits.map((one) => one[figure]))).median;
}

function spread({ median, min, max }: Spread): string[] {
  return [median, min, max].map((value) => value.toFixed(1));
}

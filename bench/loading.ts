/**
 * `npm run bench:loading`: how long a model takes to load from files that the system has in its cache, against reading the
 * weights' file into a new buffer, in turns. Of a GGUF file in the types that it has, of a folder in two.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { load } from "lastrow";
import { spreadOf } from "../src/bench/spread.js";
import { formatDuration } from "../src/cli/format.js";
import { renderTable } from "../src/cli/table.js";
import { coloursFor } from "../src/cli/terminal.js";
import { benchCommand, type CommonOptions } from "./command.js";
import { randomGpt2 } from "./random-gpt2.js";

const { model, rounds, threads, json } = benchCommand(
  "bench:loading",
  "How long a model takes to load from files that the system has in its cache, in turns with reading its weights' file.",
  { rounds: 5, examples: ["--model FOLDER", "--model FILE.gguf"] },
)
  .parse()
  .opts<CommonOptions>();
const source = model ?? (await randomGpt2());
const isGguf = source.endsWith(".gguf");
const file = isGguf ? source : join(source, "model.safetensors");
const dtypes = isGguf ? (["auto"] as const) : (["f32", "int8"] as const);

const readMs: number[] = [];
const loadMs = { auto: [] as number[], f32: [] as number[], int8: [] as number[] };
for (let round = 0; round <= rounds; round++) {
  const read = await timed(() => readFile(file));
  if (round > 0) readMs.push(read);
  for (const dtype of dtypes) {
    const ms = await timed(async () => {
      const loaded = await load(source, { dtype, threads, worker: true });
      return () => loaded.dispose();
    });
    if (round > 0) loadMs[dtype].push(ms);
  }
}

const read = spreadOf(readMs);
const rows = dtypes.map((dtype) => {
  const spread = spreadOf(loadMs[dtype]);
  return { dtype, ...spread, timesReading: spread.median / read.median };
});
if (json) process.stdout.write(`${JSON.stringify({ node: process.version, rounds, read, load: rows })}\n`);
else {
  const table = renderTable(coloursFor(process.stdout, process.env), {
    head: ["", "median", "min", "max", "times reading"],
    rows: [
      ["reading the file", ...[read.median, read.min, read.max].map(formatDuration), ""],
      ...rows.map(({ dtype, median, min, max, timesReading }) => [
        `loading as ${dtype}`,
        ...[median, min, max].map(formatDuration),
        timesReading.toFixed(2),
      ]),
    ],
    rightAligned: [1, 2, 3, 4],
  });
  process.stdout.write(`${table}\n\n${rounds} rounds after one to warm up · Node ${process.version}\n`);
}

/** Milliseconds; what the work gives back is called afterwards, unless it is a buffer. */
async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  const result = await work();
  const ms = performance.now() - start;
  if (typeof result === "function") await result();
  return ms;
}

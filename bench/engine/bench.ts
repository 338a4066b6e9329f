/**
 * `npm run bench:engine`: what sharing and batching bring, and what they cost, on a GPT-2 of 124 million parameters with
 * random weights, which is made on the first run. Exit code 1 when a figure misses its target.
 *
 *   npm run bench:engine -- --dtype int8 --rounds 5 --json
 */
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import picocolors from "picocolors";
import { renderTable } from "../../src/cli/table.js";
import { startInProcess } from "../../src/engine/in-process.js";
import { loadParts } from "../../src/load.js";
import { randomGpt2 } from "../random-gpt2.js";
import { batching, cachedPrompt, type Figure, lateShortRequest, lookUp } from "./measures.js";

const { values } = parseArgs({
  options: {
    dtype: { type: "string", default: "f32" },
    "kv-dtype": { type: "string", default: "f32" },
    threads: { type: "string", default: "2" },
    rounds: { type: "string", default: "3" },
    model: { type: "string" },
    json: { type: "boolean", default: false },
  },
});
const rounds = Number(values.rounds);
if (!(Number.isInteger(rounds) && rounds > 0)) throw new Error("--rounds is a whole number from 1");

// The core is stepped by hand, so it is in this thread.
const { connection, host } = startInProcess();
const { info } = await loadParts(
  values.model ?? (await randomGpt2()),
  {
    dtype: values.dtype as "f32" | "int8",
    kvDtype: values["kv-dtype"] as "f32" | "int8",
    threads: Number(values.threads),
  },
  async () => connection,
);
const { core } = host;
// The first passes are slower: memory is touched for the first time, and code is compiled.
lateShortRequest(core, 1);
const figures: Figure[] = [];
for (const measure of [cachedPrompt, batching, lookUp, lateShortRequest])
  figures.push(...measure(core, rounds, info.dtype));
await core.kernels.dispose();

const machine = `${cpus()[0]?.model.trim() ?? "unknown processor"}, Node ${process.versions.node}`;
const run = `${info.dtype} weights, ${info.kv.dtype} K and V, ${info.threads} threads, medians of ${rounds} rounds; ${machine}`;
if (values.json) process.stdout.write(`${JSON.stringify({ run, figures }, null, 2)}\n`);
else process.stdout.write(`${table(figures)}\n${run}\n`);
if (figures.some((figure) => !meetsTarget(figure))) process.exitCode = 1;

function table(rows: readonly Figure[]): string {
  const colours = picocolors.createColors(process.stdout.isTTY && !process.env.NO_COLOR);
  return renderTable(colours, {
    head: ["", "measured", "", "target", ""],
    rows: rows.map((figure) => {
      const { name, value, unit, target } = figure;
      const shown = value >= 100 || Number.isInteger(value) ? value.toFixed(0) : value.toPrecision(3);
      if (target === null) return [name, shown, unit, "", ""];
      const wanted = "atLeast" in target ? `≥ ${target.atLeast}` : `≤ ${target.atMost}`;
      return [name, shown, unit, wanted, meetsTarget(figure) ? colours.green("✔") : colours.red("✘")];
    }),
    rightAligned: [1, 3],
  });
}

function meetsTarget({ value, target }: Figure): boolean {
  if (target === null) return true;
  return "atLeast" in target ? value >= target.atLeast : value <= target.atMost;
}

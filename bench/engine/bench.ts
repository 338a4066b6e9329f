/**
 * `npm run bench:engine`: what sharing and batching bring, and what they cost, on a GPT-2 of 124 million parameters with
 * random weights, which is made on the first run. Exit code 1 when a figure misses its target.
 */
import { renderTable } from "../../src/cli/table.js";
import { coloursFor } from "../../src/cli/terminal.js";
import { startInProcess } from "../../src/engine/in-process.js";
import { KV_DTYPES } from "../../src/kernels/kv-types.js";
import { CONVERTED_DTYPES, type ConvertedDtype } from "../../src/kernels/weight-types.js";
import { loadParts } from "../../src/library/load.js";
import { benchCommand, type CommonOptions, machine, typeOption } from "../command.js";
import { randomGpt2 } from "../random-gpt2.js";
import {
  batching,
  cachedPrompt,
  type Figure,
  LEAST_CONTEXT,
  lateShortRequest,
  lookUp,
  tierOverhead,
} from "./measures.js";

const { model, rounds, threads, dtype, kvDtype, json } = benchCommand(
  "bench:engine",
  "What sharing and batching bring, and what they cost. Exit code 1 when a figure misses its target.",
  { rounds: 3, examples: ["--dtype int8 --rounds 5"] },
)
  .addOption(typeOption("--dtype", "type of the weights", CONVERTED_DTYPES))
  .addOption(typeOption("--kv-dtype", "type of keys and values", KV_DTYPES))
  .parse()
  .opts<CommonOptions & { dtype: ConvertedDtype; kvDtype: "f32" | "int8" }>();

// The core is stepped by hand, so it is in this thread.
const { connection, host } = startInProcess();
const { info } = await loadParts(
  model ?? (await randomGpt2()),
  { dtype, kvDtype, threads },
  async () => connection,
);
const { core } = host;
if (info.contextLength < LEAST_CONTEXT) {
  throw new Error(
    `bench:engine needs a context of ${LEAST_CONTEXT} tokens, and the model has ${info.contextLength}.`,
  );
}
// The first passes are slower: memory is touched for the first time, and code is compiled.
lateShortRequest(core, 1);
const figures: Figure[] = [];
for (const measure of [cachedPrompt, batching, lookUp, lateShortRequest, tierOverhead])
  figures.push(...measure(core, rounds, dtype));
await core.kernels.dispose();

const run = `${info.dtype} weights, ${info.kv.dtype} K and V, ${info.threads} threads, medians of ${rounds} rounds; ${machine()}`;
if (json) process.stdout.write(`${JSON.stringify({ run, figures }, null, 2)}\n`);
else process.stdout.write(`${table(figures)}\n${run}\n`);
if (figures.some((figure) => !meetsTarget(figure))) process.exitCode = 1;

function table(rows: readonly Figure[]): string {
  const colours = coloursFor(process.stdout, process.env);
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

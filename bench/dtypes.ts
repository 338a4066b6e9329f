/**
 * `npm run bench:dtypes`: one model with its weights in several types, prompts and decoding in turns: how fast each is
 * beside the first, what its matrices take, and whether its logits have the first one's bits.
 */
import { type LanguageModel, load } from "lastrow";
import { spreadOf } from "../src/bench/spread.js";
import { renderTable } from "../src/cli/table.js";
import { coloursFor } from "../src/cli/terminal.js";
import { firstDifferentBits } from "../src/client/comparison.js";
import { formatMemorySize } from "../src/memory-size.js";
import type { AskedDtype } from "../src/model/weight-dtypes.js";
import { benchCommand, type CommonOptions, machine } from "./command.js";
import { randomGpt2 } from "./random-gpt2.js";

const PROMPT = 512;
const NEW_TOKENS = 64;

const { model, rounds, threads, json, dtypes } = benchCommand(
  "bench:dtypes",
  "How fast a model is with its weights in several types, in turns.",
  { rounds: 5, examples: ["--model FOLDER --dtypes f32 bf16"] },
)
  .option(
    "--dtypes <types...>",
    "the first is what the others are held against (auto: as the files have them)",
    ["f32", "bf16", "f16"],
  )
  .parse()
  .opts<CommonOptions & { dtypes: AskedDtype[] }>();
const folder = model ?? (await randomGpt2());

interface Measured {
  readonly dtype: AskedDtype;
  readonly lm: LanguageModel;
  readonly logits: Float32Array;
  readonly prefill: number[];
  readonly decode: number[];
}

const measured: Measured[] = [];
for (const dtype of dtypes) {
  const lm = await load(folder, { dtype, threads, contextLength: PROMPT + NEW_TOKENS, kvMemory: "96MiB" });
  const { logits } = await lm.logits(promptOf(lm, 0));
  measured.push({ dtype, lm, logits, prefill: [], decode: [] });
}
for (let round = 0; round <= rounds; round++) {
  // Each goes first in its turn.
  for (let i = 0; i < measured.length; i++) {
    const { lm, prefill, decode } = measured[(round + i) % measured.length];
    const times = await request(lm, promptOf(lm, round + 1));
    if (round === 0) continue;
    prefill.push(times.prefill);
    decode.push(times.decode);
  }
}
report();
await Promise.all(measured.map(({ lm }) => lm.dispose()));

/** Tokens a second of a prompt, and of what follows its first new token. */
async function request(lm: LanguageModel, prompt: number[]): Promise<{ prefill: number; decode: number }> {
  const start = performance.now();
  const generation = lm.generate(prompt, {
    ...{ maxTokens: NEW_TOKENS, temperature: 0, ignoreEos: true, cachePrompt: false },
  });
  let first = 0;
  let decoded = 0;
  let end = 0;
  for await (const { tokens } of generation) {
    if (tokens.length === 0) continue;
    end = performance.now();
    if (first === 0) first = end;
    else decoded += tokens.length;
  }
  return { prefill: (1000 * PROMPT) / (first - start), decode: (1000 * decoded) / (end - first) };
}

function promptOf({ info }: LanguageModel, seed: number): number[] {
  return Array.from(
    { length: PROMPT },
    (_, i) => (Math.imul(i + 1 + 1000 * seed, 0x9e3779b1) >>> 8) % info.config.vocabSize,
  );
}

function report(): void {
  const base = measured[0];
  const rows = measured.map(({ dtype, lm, logits, prefill, decode }) => ({
    dtype,
    kept: lm.info.dtype,
    matrixBytes: Object.values(lm.info.matrixBytes).reduce((sum, bytes) => sum + bytes, 0),
    prefill: spreadOf(prefill),
    decode: spreadOf(decode),
    // Of each round, then the median: what else the machine did slowed both.
    prefillRatio: spreadOf(prefill.map((rate, i) => rate / base.prefill[i])).median,
    decodeRatio: spreadOf(decode.map((rate, i) => rate / base.decode[i])).median,
    sameBits: firstDifferentBits(logits, base.logits) === null,
  }));
  if (json) {
    process.stdout.write(
      `${JSON.stringify({ node: process.version, threads: base.lm.info.threads, rounds, rows })}\n`,
    );
    return;
  }
  const table = renderTable(coloursFor(process.stdout, process.env), {
    head: ["weights", "matrices", "prefill", "", "decode", "", `bits of ${base.dtype}`],
    rows: rows.map((row) => [
      row.dtype === "auto" ? `auto (${row.kept})` : row.dtype,
      formatMemorySize(row.matrixBytes),
      `${row.prefill.median.toFixed(0)} tok/s`,
      `× ${row.prefillRatio.toFixed(2)}`,
      `${row.decode.median.toFixed(1)} tok/s`,
      `× ${row.decodeRatio.toFixed(2)}`,
      row.sameBits ? "yes" : "no",
    ]),
    rightAligned: [1, 2, 3, 4, 5],
  });
  const { threads: shared } = base.lm.info;
  process.stdout.write(
    `${table}\n\n${PROMPT} tokens and ${NEW_TOKENS} new ones, medians of ${rounds} rounds in turns; ${shared} ${shared === 1 ? "thread" : "threads"}; ${machine()}\n`,
  );
}

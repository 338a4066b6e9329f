/**
 * Shows that all engines compute the same GPT-2: the logits after random prompts, as log-probabilities, against
 * lastrow's in f32, and how many greedy tokens agree. Ends with status 1 when f32 deviates more than f16 keys and
 * values explain, or 8-bit weights more than their rounding does.
 */
import type { EngineName } from "./engines/engine.js";
import { EngineProcess } from "./engines/engine-process.js";
import { randomPrompt } from "./prompts.js";

type Checked = "f32" | "int8";

const PROMPT_LENGTHS = [1, 16, 512] as const;
const NEW_TOKENS = 64;
/** Largest difference of a log-probability that passes. */
const TOLERANCE: Readonly<Record<Checked, number>> = { f32: 0.005, int8: 0.25 };

const engines: readonly (readonly [EngineName, Checked])[] = [
  ["lastrow", "f32"],
  ["node-llama-cpp", "f32"],
  ["@huggingface/transformers", "f32"],
  ["lastrow", "int8"],
  ["node-llama-cpp", "int8"],
  ["@huggingface/transformers", "int8"],
];

const reference: { logprobs: Float64Array; tokens: readonly number[] }[] = [];
for (const [name, dtype] of engines) {
  const engine = await EngineProcess.start(name, { dtype, threads: 2, vectors: "auto" });
  for (const [i, length] of PROMPT_LENGTHS.entries()) {
    const prompt = randomPrompt(length, i);
    const logprobs = logSoftmax(await engine.logits(prompt));
    const { tokens } = (await engine.generate(prompt, NEW_TOKENS)).run;
    reference[i] ??= { logprobs, tokens };
    const difference = largestDifference(logprobs, reference[i].logprobs);
    const ok = difference <= TOLERANCE[dtype];
    if (!ok) process.exitCode = 1;
    const cells = [
      `${name} ${dtype}`.padEnd(34),
      `prompt ${length}`.padEnd(12),
      `largest difference of a log-probability ${difference.toExponential(1)}`,
      `${agreeing(tokens, reference[i].tokens)} of ${NEW_TOKENS} greedy tokens agree`,
      ok ? "ok" : "TOO FAR",
    ];
    process.stdout.write(`${cells.join("  ")}\n`);
  }
  await engine.stop();
}

function logSoftmax(logits: Float32Array): Float64Array {
  const largest = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - largest), 0);
  return Float64Array.from(logits, (logit) => logit - largest - Math.log(sum));
}

function largestDifference(a: Float64Array, b: Float64Array): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  return a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - b[i]!)), 0);
}

/** How many tokens from the start are equal. */
function agreeing(a: readonly number[], b: readonly number[]): number {
  const first = a.findIndex((token, i) => token !== b[i]);
  return first === -1 ? a.length : first;
}

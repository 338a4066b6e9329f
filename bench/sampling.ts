/**
 * `npm run bench:sampling`: what choosing a token from 50,257 logits costs, in turns with steps that decode one with f32
 * weights, of which it should be a small part.
 */
import { spreadOf } from "../src/bench/spread.js";
import { formatDuration } from "../src/cli/format.js";
import { renderTable } from "../src/cli/table.js";
import { coloursFor } from "../src/cli/terminal.js";
import { load } from "../src/library/load.js";
import { resolveSampling, type SamplingOptions } from "../src/sampling/options.js";
import { Sampler } from "../src/sampling/sampler.js";
import { SamplingScratch } from "../src/sampling/scratch.js";
import { benchCommand, type CommonOptions } from "./command.js";
import { randomGpt2 } from "./random-gpt2.js";

/** Position at which steps are measured, and tokens of a round. */
const PROMPT_TOKENS = 512;
const TOKENS = 32;

const WAYS: readonly (readonly [name: string, options: SamplingOptions])[] = [
  ["greedy", { temperature: 0 }],
  ["temperature, top-k 40", { temperature: 0.8, topK: 40, seed: 1 }],
  ["temperature, top-p 0.95", { temperature: 0.8, topP: 0.95, seed: 1 }],
  ["temperature alone", { temperature: 0.8, seed: 1 }],
  [
    "top-k 40, top-p 0.95, penalties",
    { temperature: 0.8, topK: 40, topP: 0.95, repetitionPenalty: 1.1, seed: 1 },
  ],
];

const {
  model: folder,
  rounds,
  threads,
  json,
} = benchCommand(
  "bench:sampling",
  "What choosing a token from all logits costs, in turns with steps that decode one with f32 weights.",
  { rounds: 7, examples: ["--threads 1"] },
)
  .parse()
  .opts<CommonOptions>();

await using model = await load(folder ?? (await randomGpt2()), { threads });
const { vocabSize } = model.info.config;
const prompt = Array.from({ length: PROMPT_TOKENS }, (_, i) => (i * i * 31 + 7) % vocabSize);
// Rows as a trained model gives them: a few tokens far ahead of all others.
const logits = Array.from({ length: TOKENS }, (_, row) => trainedLogits(row + 1));
const history = { prompt, generated: prompt.slice(0, TOKENS) };
const scratch = new SamplingScratch(vocabSize);
const samplers = WAYS.map(([, options]) => new Sampler(resolveSampling(options, {}, vocabSize), scratch));

const stepMs: number[] = [];
const chooseMs = WAYS.map((): number[] => []);
for (let round = 0; round <= rounds; round++) {
  const step = await decodeMs();
  if (round > 0) stepMs.push(step);
  samplers.forEach((sampler, way) => {
    const start = performance.now();
    for (const [i, row] of logits.entries()) sampler.sample(row, history, PROMPT_TOKENS + i);
    const ms = (performance.now() - start) / TOKENS;
    if (round > 0) chooseMs[way].push(ms);
  });
}

const step = spreadOf(stepMs);
const rows = WAYS.map(([name], way) => {
  const spread = spreadOf(chooseMs[way]);
  return { name, ...spread, share: spread.median / step.median };
});
if (json) process.stdout.write(`${JSON.stringify({ node: process.version, rounds, step, rows })}\n`);
else {
  const table = renderTable(coloursFor(process.stdout, process.env), {
    head: ["", "median", "min", "max", "of a step"],
    rows: [
      [
        `decoding a token at position ${PROMPT_TOKENS}, f32`,
        ...[step.median, step.min, step.max].map(formatDuration),
        "",
      ],
      ...rows.map(({ name, median, min, max, share }) => [
        name,
        ...[median, min, max].map(formatDuration),
        `${(100 * share).toFixed(2)} %`,
      ]),
    ],
    rightAligned: [1, 2, 3, 4],
  });
  process.stdout.write(
    `${table}\n\n${vocabSize} logits · ${model.info.threads} threads · ${rounds} rounds after one to warm up · Node ${process.version}\n`,
  );
}

/** Milliseconds of a token, greedy, from the first to the last of a request. */
async function decodeMs(): Promise<number> {
  let first = 0;
  let last = 0;
  let count = 0;
  const options = { maxTokens: TOKENS, temperature: 0, ignoreEos: true };
  for await (const { tokens } of model.generate(prompt, options)) {
    last = performance.now();
    if (count === 0) first = last;
    count += tokens.length;
  }
  return (last - first) / (count - 1);
}

/** Normal noise of width 2 and, on one token in a hundred, up to 10 more. */
function trainedLogits(seed: number): Float32Array {
  let state = seed;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  return Float32Array.from({ length: vocabSize }, () => {
    const normal = Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
    return 2 * normal + (uniform() < 0.01 ? 10 * uniform() : 0);
  });
}

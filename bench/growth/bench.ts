/**
 * `npm run bench:growth`: how time grows. A decoded token's with its position, which should be a straight line whose slope
 * is the reading of K and V; a prompt's with its length, which should be linear plus the square of attention.
 */
import { writeFile } from "node:fs/promises";
import { prefillOperations } from "../../src/bench/least-cost.js";
import { spreadOf } from "../../src/bench/spread.js";
import { renderSvg } from "../../src/explain/svg.js";
import { CONVERTED_DTYPES, type ConvertedDtype } from "../../src/kernels/weight-types.js";
import { load } from "../../src/library/load.js";
import { benchCommand, type CommonOptions, machine, typeOption } from "../command.js";
import { randomGpt2 } from "../random-gpt2.js";
import { leastSquares, type Point } from "./least-squares.js";
import { growthPlot } from "./plot.js";

/** Positions that make a point. */
const BUCKET = 32;
const SHORTEST_PROMPT = 16;
const PROMPTS = 12;
/** Positions whose tokens are held against each other. */
const [EARLY, LATE] = [20, 500];

const options = benchCommand(
  "bench:growth",
  "How time grows: a decoded token's with its position, a prompt's with its length.",
  { rounds: 3, examples: ["--dtype int8 --rounds 5 --svg growth.svg"] },
)
  .addOption(typeOption("--dtype", "type of the weights", CONVERTED_DTYPES))
  .option("--svg <file>", "draw the two curves")
  .parse()
  .opts<CommonOptions & { dtype: ConvertedDtype; svg?: string }>();
const { rounds } = options;

await using model = await load(options.model ?? (await randomGpt2()), {
  dtype: options.dtype,
  threads: options.threads,
  // In this thread: a worker gathers the tokens of several steps.
  worker: false,
});
const { config, dtype, threads, kv, parameters } = model.info;
const { contextLength, vocabSize } = config;

const decodeMs: number[][] = Array.from({ length: contextLength }, () => []);
const lengths = Array.from(
  { length: PROMPTS },
  (_, i) => Math.floor((contextLength * (i + 1)) / PROMPTS) - 1,
);
const prefillMs = new Map(lengths.map((length) => [length, [] as number[]]));
for (let round = 0; round <= rounds; round++) {
  const times = await tokenTimes(SHORTEST_PROMPT, contextLength - SHORTEST_PROMPT, round);
  times.slice(1).forEach((ms, i) => {
    if (round > 0) decodeMs[SHORTEST_PROMPT + i].push(ms);
  });
  for (const length of lengths) {
    const [first] = await tokenTimes(length, 1, round);
    if (round > 0) prefillMs.get(length)?.push(first);
  }
  process.stderr.write(round === 0 ? "warmed up\n" : `round ${round} of ${rounds}\n`);
}

const decodePoints: Point[] = [];
for (let from = SHORTEST_PROMPT; from + BUCKET < contextLength; from += BUCKET) {
  const all = decodeMs.slice(from, from + BUCKET).flat();
  decodePoints.push({ x: from + (BUCKET - 1) / 2, y: spreadOf(all).median });
}
const prefillPoints = lengths.map(
  (length): Point => ({ x: length, y: spreadOf(prefillMs.get(length) ?? []).median }),
);
/** A token's milliseconds around a position. */
const msAround = (position: number) => spreadOf(decodeMs.slice(position - 3, position + 4).flat()).median;
const lateOverEarly = msAround(LATE) / msAround(EARLY);
const decode = leastSquares(
  decodePoints,
  () => 1,
  (x) => x,
);
const prefill = leastSquares(
  prefillPoints,
  (x) => x,
  (x) => x * x,
);

// A position more is so many bytes of K and V more to read.
const kvGBs = kv.bytesPerToken / decode.factors[1] / 1e6;
const { attention } = prefillOperations(model.info, contextLength);
const attentionGFlops = attention / (prefill.factors[1] * contextLength ** 2) / 1e6;
const decodeFormula = `${decode.factors[0].toFixed(2)} ms + ${(1000 * decode.factors[1]).toFixed(2)} µs · position`;
const prefillFormula = `${prefill.factors[0].toFixed(3)} ms · length + ${(1e6 * prefill.factors[1]).toFixed(0)} ns · length²`;
const run = `${dtype} weights, ${threads} threads, medians of ${rounds} rounds; ${machine()}`;
if (options.svg !== undefined) {
  const scene = growthPlot(
    `How time grows, a GPT-2 of ${Math.round(parameters / 1e6)} million parameters`,
    run,
    [
      {
        title: "milliseconds of a decoded token",
        xName: "position",
        points: decodePoints,
        fitted: decode,
        formula: decodeFormula,
      },
      {
        title: "milliseconds of a prompt",
        xName: "tokens of the prompt",
        points: prefillPoints,
        fitted: prefill,
        formula: prefillFormula,
      },
    ],
  );
  await writeFile(options.svg, renderSvg(scene));
}
if (options.json) {
  const { r2 } = decode;
  process.stdout.write(
    `${JSON.stringify({
      run,
      decode: {
        points: decodePoints,
        msAtZero: decode.factors[0],
        msPerPosition: decode.factors[1],
        r2,
        kvGBs,
        lateOverEarly,
      },
      prefill: {
        points: prefillPoints,
        msPerToken: prefill.factors[0],
        msPerSquare: prefill.factors[1],
        r2: prefill.r2,
      },
    })}\n`,
  );
} else {
  process.stdout.write(
    `a decoded token: ${decodeFormula} (R² ${decode.r2.toFixed(3)}): K and V at ${kvGBs.toFixed(1)} GB/s\n` +
      `at position ${LATE}: ${lateOverEarly.toFixed(2)} times what it takes at position ${EARLY}\n` +
      `a prompt: ${prefillFormula} (R² ${prefill.r2.toFixed(5)}): attention at ${attentionGFlops.toFixed(1)} GFLOP/s\n${run}\n`,
  );
}

/** Milliseconds from the call to the first token, and from each to the next. */
async function tokenTimes(promptTokens: number, newTokens: number, seed: number): Promise<number[]> {
  const prompt = Array.from(
    { length: promptTokens },
    (_, i) => (i * i * 31 + seed * 977 + promptTokens) % vocabSize,
  );
  const times: number[] = [];
  let last = performance.now();
  const options = { maxTokens: newTokens, temperature: 0, ignoreEos: true, cachePrompt: false };
  for await (const { tokens } of model.generate(prompt, options)) {
    if (tokens.length === 0) continue;
    const now = performance.now();
    times.push(now - last);
    last = now;
  }
  return times;
}

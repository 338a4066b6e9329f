/**
 * `npm run bench:structured`: what it costs to hold answers to schemas: the vocabulary's tree, once a load; for each schema
 * and set of tools the time before the first token, and masks as a share of a step that decodes one, all states met for the
 * first time; and how much longer another sequence's steps take beside one that is held to a hostile schema. Tokens are
 * chosen at random among those that are allowed, so that more states are met than by any model.
 */
import { spreadOf } from "../src/bench/spread.js";
import { formatDuration } from "../src/cli/format.js";
import { renderTable } from "../src/cli/table.js";
import { coloursFor } from "../src/cli/terminal.js";
import { compileConstraint } from "../src/client/compile-constraint.js";
import type { ConstraintSpec } from "../src/client/constraint-spec.js";
import { TokenGrammar } from "../src/grammar/grammar-constraint.js";
import { packGrammar, unpackGrammar } from "../src/grammar/packed-grammar.js";
import { tokenBytes } from "../src/grammar/token-trie.js";
import { tokenVocabulary } from "../src/grammar/token-vocabulary.js";
import { load } from "../src/library/load.js";
import type { JsonSchema } from "../src/library/structured-output.js";
import type { Tokenizer } from "../src/tokenizer/tokenizer.js";
import { callFormat, likelyMarkers } from "../src/tools/call-format.js";
import { commonAutomata } from "../src/tools/common-automata.js";
import { benchCommand, type CommonOptions, machine } from "./command.js";
import { randomGpt2 } from "./random-gpt2.js";
import { HOSTILE, SCHEMAS, TOOLS } from "./structured-schemas.js";

const PROMPT_TOKENS = 128;
/** Tokens of an answer, and answers of a schema in one round. */
const TOKENS = 64;
const ANSWERS = 4;
/** The targets. */
const MOST_SHARE = 0.05;
const MOST_FIRST_MS = 50;
const MOST_LENGTHENED = 0.05;

const {
  model: folder,
  rounds,
  threads,
  json,
} = benchCommand(
  "bench:structured",
  "What it costs to hold answers to schemas, beside steps that decode a token with weights as the files have them.",
  { rounds: 5, examples: ["--model FOLDER --threads 2"] },
)
  .parse()
  .opts<CommonOptions>();

await using model = await load(folder ?? (await randomGpt2()), {
  threads,
  contextLength: 2 * PROMPT_TOKENS,
  kvMemory: "512MiB",
});
const { vocabSize } = model.info.config;
const { tokenizer } = model;
if (tokenizer === null) throw new Error("the model has no tokenizer; give one that has: --model FOLDER");
const texts = textsOf(tokenizer);
const prompt = Array.from({ length: PROMPT_TOKENS }, (_, i) => (i * i * 31 + 7) % tokenizer.vocabSize);
let seed = 1;

const treeMs: number[] = [];
let vocabulary = tokenVocabulary(tokenBytes(texts), commonAutomata(likelyMarkers(tokenizer)));
for (let round = 0; round < rounds; round++) {
  const start = performance.now();
  vocabulary = tokenVocabulary(tokenBytes(texts), commonAutomata(likelyMarkers(tokenizer)));
  treeMs.push(performance.now() - start);
}

const stepMs: number[] = [];
const specs: readonly (readonly [name: string, spec: ConstraintSpec])[] = [
  ...SCHEMAS.map(([name, schema]) => [name, { kind: "schema", schema: JSON.stringify(schema) }] as const),
  ...TOOLS.map(
    ([name, format, choice, tools]) =>
      [
        name,
        { kind: "tools", tools: { format: callFormat(format, tokenizer), tools, choice, parallel: true } },
      ] as const,
  ),
];
const measured = specs.map(([name, spec]) => ({
  name,
  spec,
  compileMs: [] as number[],
  firstMs: [] as number[],
  tokenMs: [] as number[],
  longestMs: 0,
}));
for (let round = 0; round <= rounds; round++) {
  const step = await decodeMs();
  if (round > 0) stepMs.push(...step);
  for (const one of measured) {
    const times = answers(one.spec);
    if (round === 0) continue;
    one.compileMs.push(times.compileMs);
    one.firstMs.push(times.firstMs);
    one.tokenMs.push(times.tokenMs);
    one.longestMs = Math.max(one.longestMs, times.longestMs);
  }
}

const lengthened: { name: string; free: number[]; held: number[] }[] = HOSTILE.map(([name]) => ({
  name,
  free: [],
  held: [],
}));
for (let round = 0; round <= rounds; round++) {
  for (const [i, [, schema]] of HOSTILE.entries()) {
    const free = await besideMs(undefined);
    const held = await besideMs(schema);
    if (round === 0) continue;
    lengthened[i].free.push(free);
    lengthened[i].held.push(held);
  }
}
report();

function textsOf(of: Tokenizer): readonly (Uint8Array | null)[] {
  const special = new Set(of.specialTokens.map(({ id }) => id));
  return Array.from({ length: vocabSize }, (_, token) =>
    token >= of.vocabSize || special.has(token) ? null : of.tokenBytes(token),
  );
}

/** Milliseconds of each step that decodes a token. */
async function decodeMs(): Promise<number[]> {
  const { timings } = await model
    .generate(prompt, { maxTokens: 17, temperature: 0, ignoreEos: true })
    .result();
  return [timings.decodeMs / 16];
}

/** Some answers of a grammar that was never met: masks are all made, at first. */
function answers(spec: ConstraintSpec) {
  const start = performance.now();
  const packed = packGrammar(compileConstraint(spec));
  const compileMs = performance.now() - start;
  const grammar = new TokenGrammar(unpackGrammar(packed), vocabulary);
  grammar.constraint([]).prepare(Number.POSITIVE_INFINITY);
  const firstMs = performance.now() - start;
  let longestMs = 0;
  let tokens = 0;
  const begin = performance.now();
  let choosing = 0;
  for (let answer = 0; answer < ANSWERS; answer++) {
    const constraint = grammar.constraint([]);
    for (let i = 0; i < TOKENS && !constraint.isOver; i++) {
      const before = performance.now();
      constraint.prepare(Number.POSITIVE_INFINITY);
      const ready = performance.now();
      const token = anyOf(constraint.allowed!.mask);
      const chosen = performance.now();
      choosing += chosen - ready;
      constraint.accept(token);
      longestMs = Math.max(longestMs, ready - before + performance.now() - chosen);
      tokens += 1;
    }
  }
  return {
    compileMs,
    firstMs,
    tokenMs: (performance.now() - begin - choosing) / Math.max(1, tokens),
    longestMs,
  };
}

/** A token that the mask allows, by a generator of its own. */
function anyOf(mask: Uint32Array): number {
  const allowed: number[] = [];
  for (let word = 0; word < mask.length; word++) {
    for (let bits = mask[word]; bits !== 0; bits &= bits - 1)
      allowed.push(word * 32 + 31 - Math.clz32(bits & -bits));
  }
  seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
  return allowed[(seed >>> 8) % allowed.length];
}

/** Milliseconds of a sequence's token beside another that is held to a schema, or to nothing. */
async function besideMs(schema: unknown): Promise<number> {
  const of = { maxTokens: 33, ignoreEos: true, temperature: 1.5, seed: 1 };
  const other = model.generate(
    prompt.slice(1),
    schema === undefined ? of : { ...of, schema: schema as JsonSchema },
  );
  const { timings } = await model.generate(prompt, of).result();
  await other.result().catch(() => undefined);
  return timings.decodeMs / 32;
}

function report(): void {
  const step = spreadOf(stepMs);
  const tree = spreadOf(treeMs);
  const rows = measured.map(({ name, compileMs, firstMs, tokenMs, longestMs }) => {
    const [compile, first, token] = [compileMs, firstMs, tokenMs].map((times) => spreadOf(times).median);
    return { name, compile, first, token, longest: longestMs, share: token / step.median };
  });
  const hostile = lengthened.map(({ name, free, held }) => {
    const share = spreadOf(held.map((ms, i) => ms / free[i])).median - 1;
    return { name, free: spreadOf(free).median, held: spreadOf(held).median, share };
  });
  const missed = [
    ...rows.filter(({ share, first }) => share > MOST_SHARE || first > MOST_FIRST_MS),
    ...hostile.filter(({ share }) => share > MOST_LENGTHENED),
  ].map(({ name }) => name);
  if (json) {
    process.stdout.write(
      `${JSON.stringify({ node: process.version, vocabSize, rounds, tree, step, rows, hostile, missed })}\n`,
    );
    return;
  }
  const colours = coloursFor(process.stdout, process.env);
  const percent = (share: number) => `${(share * 100).toFixed(1)} %`;
  const table = renderTable(colours, {
    head: ["", "compiling", "before the first token", "a token", "longest", "of a step"],
    rows: rows.map(({ name, compile, first, token, longest, share }) => [
      name,
      ...[compile, first, token, longest].map(formatDuration),
      percent(share),
    ]),
  });
  const beside = renderTable(colours, {
    head: ["beside", "a free sequence", "one that is held to it", "longer by"],
    rows: hostile.map(({ name, free, held, share }) => [
      name,
      formatDuration(free),
      formatDuration(held),
      percent(share),
    ]),
  });
  process.stdout.write(
    `${table}\n\n${beside}\n\nA step: ${formatDuration(step.median)}. The vocabulary's tree, ${vocabSize} tokens, once a load: ${formatDuration(tree.median)}.\n${missed.length === 0 ? "All within the targets" : `Not within the targets: ${missed.join(", ")}`} (${MOST_SHARE * 100} % of a step, ${MOST_FIRST_MS} ms before the first token, steps of others ${MOST_LENGTHENED * 100} % longer at most).\nMedians of ${rounds} rounds in turns. ${machine()}\n`,
  );
}

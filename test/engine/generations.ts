/**
 * Random generations in one engine: sampled, continued several times, ranked, searched by beams, with penalties,
 * log-probabilities, grammars, stop strings whose word comes late, guesses, cancels, with too little memory and small budgets. Each
 * is held against its plain twin: the same request alone, every row recomputed, nothing guessed, every word at once.
 */
import fc from "fast-check";
import { compileConstraint } from "../../src/client/compile-constraint.js";
import type { ConstraintSpec } from "../../src/client/constraint-spec.js";
import { GenerationText } from "../../src/client/generation-text.js";
import { BeamJob } from "../../src/engine/beam-job.js";
import { EngineCore } from "../../src/engine/engine-core.js";
import { GenerationJob } from "../../src/engine/generation-job.js";
import type { StepCosts } from "../../src/engine/step-costs.js";
import { LastrowError } from "../../src/errors.js";
import { TokenGrammar } from "../../src/grammar/grammar-constraint.js";
import { packGrammar } from "../../src/grammar/packed-grammar.js";
import { tokenBytes } from "../../src/grammar/token-trie.js";
import { tokenVocabulary } from "../../src/grammar/token-vocabulary.js";
import { violatedInvariants } from "../../src/kv-cache/invariants.js";
import { type GenerateOptions, resolveRequest } from "../../src/library/generate-options.js";
import type { GenerationSink } from "../../src/protocol/generation-outcome.js";
import type { GenerationRequest, GenerationResult } from "../../src/protocol/generation-request.js";
import type { ThoughtTokens } from "../../src/sampling/after-thoughts.js";
import { SamplingScratch } from "../../src/sampling/scratch.js";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.js";
import type { ModelParts } from "../fed-sequence.js";
import { firstBlocks } from "../first-blocks.js";

/** A letter for each id of the traffic's model: two ids share each, so that different tokens can make the same text. */
const LETTERS = "abcdefghijklmnop";
const END_TOKEN = 31;
const LETTER_TOKENIZER = {
  stream: () => ({ push: (id: number) => LETTERS[id % LETTERS.length], flush: () => "" }),
  continues: () => false,
} as unknown as Tokenizer;
const MODEL = {
  ...{ label: "random", vocabSize: 32, tokenizer: LETTER_TOKENIZER },
  ...{ defaults: {}, eosTokenIds: [END_TOKEN], loadMs: 0 },
};

/** What tokens are for grammars: pieces of JSON and of calls; their text, by which stop strings are found, is another. */
const PIECES = [
  ...['{"a": ', '{"a":', "[", "]", ",", ", ", "}", '"', '"x', "true", "1", "12", "0", "null", " ", "\n"],
  ...[
    "<tool_call>",
    "\n</tool_call>",
    '{"name": "',
    'f", "arguments": ',
    "{}",
    "x",
    "y",
    "xy",
    "</tool_call>",
    "a",
  ],
];
const VOCABULARY = tokenVocabulary(
  tokenBytes(Array.from({ length: MODEL.vocabSize }, (_, id) => new TextEncoder().encode(PIECES[id] ?? ""))),
);
const F = {
  name: "f",
  parameters: JSON.stringify({ type: "object", properties: { a: { type: "integer" } } }),
};
const HERMES = {
  ...{ name: "hermes" as const, begin: { text: "<tool_call>", token: null } },
  end: { text: "</tool_call>", token: null },
};
/** What answers are held to: schemas, patterns, tools that may be called and tools that must. */
const GRAMMARS = (
  [
    { kind: "schema", schema: '{"type":"array","items":{"type":["integer","null"]},"maxItems":6}' },
    {
      kind: "schema",
      schema: '{"type":"object","properties":{"a":{"type":"string","maxLength":9}},"required":["a"]}',
    },
    { kind: "regex", pattern: "x{2,5}(y|xy)*1?" },
    { kind: "tools", tools: { format: HERMES, tools: [F], choice: "auto", parallel: true } },
    { kind: "tools", tools: { format: HERMES, tools: [F], choice: "required", parallel: true } },
  ] satisfies ConstraintSpec[]
).map((spec) => {
  const grammar = compileConstraint(spec);
  return { packed: packGrammar(grammar), held: new TokenGrammar(grammar, VOCABULARY) };
});

/** One for all requests, as in an engine. */
const SCRATCH = new SamplingScratch(MODEL.vocabSize);

interface Request {
  /** Step before which it arrives. */
  readonly step: number;
  readonly prompt: readonly number[];
  readonly options: GenerateOptions;
  /** Steps until the word about a text arrives. */
  readonly wordDelay: number;
  /** Steps after its arrival at which it is cancelled; null: never. */
  readonly cancelAfter: number | null;
  /** Which grammar its answer is held to, and its thoughts before that; null: none. Not with a beam search. */
  readonly held: { readonly grammar: number; readonly thoughts: ThoughtTokens | null } | null;
}

export interface GenerationScenario {
  readonly numBlocks: number;
  readonly tokenBudget: number;
  readonly maxSequences: number;
  readonly requests: readonly Request[];
  /** What speculation is told that steps take: by it, as many tokens are proposed as may be, or some, or none. */
  readonly costs: { readonly row: number; readonly seed: number };
}

const token = fc.nat({ max: MODEL.vocabSize - 1 });
const letter = fc.constantFrom(...LETTERS);
const share = fc.double({ min: 0, max: 1, noNaN: true });
/** Left out as often as not. */
const sometimes = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });

const prompts = fc
  .tuple(fc.constantFrom(1, 2, 3), fc.nat({ max: 40 }), fc.array(token, { maxLength: 4 }))
  .map(([period, length, own]) => {
    // The same few words again and again: what comes next can be guessed, and others begin alike.
    const common = Array.from({ length }, (_, i) => 5 + (i % period));
    return common.length + own.length === 0 ? [1] : [...common, ...own];
  });

const shared = {
  maxTokens: fc.oneof(fc.constantFrom(0, 1), fc.integer({ min: 2, max: 40 })),
  seed: fc.nat(),
  ignoreEos: fc.boolean(),
  mode: fc.constantFrom("cached", "cached", "cached", "cached", "recompute" as const),
  salt: sometimes(fc.constantFrom("one", "two")),
  tenant: sometimes(fc.constantFrom("first", "second")),
  cachePrompt: fc.constantFrom(true, true, true, false),
  repetitionPenalty: sometimes(fc.double({ min: 0.5, max: 2, noNaN: true })),
  frequencyPenalty: sometimes(fc.double({ min: -2, max: 2, noNaN: true })),
  presencePenalty: sometimes(fc.double({ min: -2, max: 2, noNaN: true })),
  logitBias: sometimes(fc.dictionary(token.map(String), fc.constantFrom(-100, 3, 8, 8), { maxKeys: 3 })),
  stop: sometimes(
    fc.array(
      fc.tuple(letter, fc.integer({ min: 1, max: 3 })).map(([a, n]) => a.repeat(n)),
      { minLength: 1, maxLength: 4 },
    ),
  ),
};
const sampled = fc
  .record({
    ...shared,
    temperature: fc.constantFrom(0, 0, 0.5, 1, 1.5),
    topK: sometimes(fc.nat({ max: 32 })),
    topP: sometimes(share),
    minP: sometimes(share),
    logprobs: sometimes(fc.nat({ max: 3 })),
    n: fc.constantFrom(1, 1, 1, 2, 4),
    more: fc.constantFrom(0, 0, 0, 1, 3),
    speculate: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 15 })),
  })
  .map(({ more, ...options }) => ({ ...options, bestOf: options.n + more }));
const searched = fc
  .record({
    ...shared,
    numBeams: fc.integer({ min: 2, max: 4 }),
    lengthPenalty: fc.constantFrom(1, 0, -1, 2),
  })
  .chain((options) => fc.record({ ...constants(options), n: fc.integer({ min: 1, max: options.numBeams }) }));

function constants<T extends object>(values: T): { [K in keyof T]: fc.Arbitrary<T[K]> } {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, fc.constant(value)])) as {
    [K in keyof T]: fc.Arbitrary<T[K]>;
  };
}

const held = fc.record({
  grammar: fc.nat({ max: GRAMMARS.length - 1 }),
  thoughts: fc.option(fc.record({ begin: fc.constant(26), end: fc.constant(27), isOpen: fc.boolean() })),
});

const requests = fc.record({
  held: fc.option(held, { freq: 2 }),
  step: fc.oneof(fc.constant(0), fc.nat({ max: 30 })),
  prompt: prompts,
  options: fc.oneof({ arbitrary: sampled, weight: 6 }, { arbitrary: searched, weight: 1 }),
  wordDelay: fc.oneof(fc.constant(0), fc.nat({ max: 6 })),
  cancelAfter: fc.oneof(
    { arbitrary: fc.constant(null), weight: 6 },
    { arbitrary: fc.nat({ max: 40 }), weight: 1 },
  ),
});

const FREE_ROWS = fc.constant({ row: 0, seed: 0 });
const costs = fc.oneof(
  FREE_ROWS,
  fc.record({ row: fc.constantFrom(0.05, 0.2, 1, 4), seed: fc.nat({ max: 2 ** 20 }) }),
);

/** In which memory and budgets are mostly less than what is asked for at once. */
const shortOfEverything: fc.Arbitrary<GenerationScenario> = fc.record({
  numBlocks: fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 13, max: 96 })),
  tokenBudget: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 21, max: 128 })),
  maxSequences: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.constant(64)),
  requests: fc.array(requests, { minLength: 1, maxLength: 12, size: "max" }),
  costs,
});

/** In which so many guess at once that a step has no room for the logits of all guesses. */
const manyGuesses: fc.Arbitrary<GenerationScenario> = fc.record({
  numBlocks: fc.integer({ min: 48, max: 96 }),
  tokenBudget: fc.integer({ min: 50, max: 128 }),
  maxSequences: fc.constant(64),
  requests: fc.array(
    requests.map((request) => {
      const maxTokens = 12 + (request.options.maxTokens % 12);
      const options = {
        ...request.options,
        maxTokens,
        ...("bestOf" in request.options && { speculate: 15 }),
      };
      return { ...request, step: request.step % 4, options };
    }),
    { minLength: 6, maxLength: 12, size: "max" },
  ),
  costs: FREE_ROWS,
});

/** In which texts that are ranked mostly end among tokens that were guessed. */
export const rankedStops: fc.Arbitrary<GenerationScenario> = fc.record({
  numBlocks: fc.constant(96),
  tokenBudget: fc.constant(128),
  maxSequences: fc.constant(64),
  requests: fc.array(
    fc
      .record({
        prompt: prompts,
        seed: fc.nat(),
        run: fc.integer({ min: 2, max: 6 }),
        wordDelay: fc.nat({ max: 2 }),
      })
      .map(({ prompt, seed, run, wordDelay }) => {
        // One letter comes again and again, now and then another one; so many in a row end the text.
        const stop = LETTERS[5].repeat(run);
        const options = { seed, stop, logitBias: { 5: 60, 6: 56 }, maxTokens: 30, ignoreEos: true };
        return {
          ...{ prompt, wordDelay, step: 0, cancelAfter: null, held: null },
          options: { ...options, temperature: 4, n: 2, bestOf: 4, speculate: 8 },
        };
      }),
    { minLength: 1, maxLength: 3 },
  ),
  costs: FREE_ROWS,
});

export const generationScenarios = fc.oneof(
  { arbitrary: shortOfEverything, weight: 4 },
  { arbitrary: manyGuesses, weight: 1 },
);

/** What happened, so that a test can tell that it has met what it is for. */
export interface GenerationTally {
  steps: number;
  generations: number;
  tokens: number;
  /** Steps that are full: of rows, of rows of logits. */
  fullBudgets: number;
  fullLogits: number;
  preemptions: number;
  /** Tokens that were guessed. */
  guessed: number;
  /** Steps while the word about a text was out. */
  wordsAwaited: number;
  stoppedByText: number;
  /** Texts that ended before the last token of a step. */
  stoppedWithin: number;
  ranked: number;
  beams: number;
  /** Texts that were held to a grammar, and those of them that ended where they were whole. */
  held: number;
  heldWhole: number;
  cancelled: number;
  refused: number;
}

export function newGenerationTally(): GenerationTally {
  return {
    ...{ steps: 0, generations: 0, tokens: 0, fullBudgets: 0, fullLogits: 0, preemptions: 0, guessed: 0 },
    ...{
      wordsAwaited: 0,
      stoppedByText: 0,
      stoppedWithin: 0,
      ranked: 0,
      beams: 0,
      held: 0,
      heldWhole: 0,
      cancelled: 0,
      refused: 0,
    },
  };
}

/** One request on its way, with what a client makes of its tokens. */
class Asked {
  readonly request: Request;
  readonly #text: GenerationText;
  readonly #job: GenerationJob | BeamJob;
  readonly #words: { readonly due: number; readonly index: number; readonly kept: number | null }[] = [];
  #now: number;
  result: GenerationResult | null = null;
  /** It was cancelled before its end. */
  wasCancelled = false;

  /** @throws LastrowError `kv_memory_exhausted` */
  constructor(core: EngineCore, request: Request, { now, tally }: { now: number; tally: GenerationTally }) {
    this.request = request;
    this.#now = now;
    const resolved = resolveRequest(request.prompt, request.options, MODEL, 0);
    const { endsByText, beams } = resolved.request;
    const grammar = request.held === null || beams !== null ? null : GRAMMARS[request.held.grammar];
    const asked: GenerationRequest = {
      ...resolved.request,
      constraint:
        grammar === null
          ? null
          : { key: "", grammar: grammar.packed, endTokenIds: [END_TOKEN], thoughts: request.held!.thoughts },
    };
    this.#text = new GenerationText(asked, resolved.text, () => undefined);
    const sink: GenerationSink = {
      tokens: (index, chosen) => {
        if (this.#words.some((word) => word.index === index)) {
          throw new Error("tokens came while the word about the last ones was out");
        }
        const kept = this.#text.take(index, chosen);
        if (beams === null) tally.guessed += chosen.length - 1;
        if (!endsByText) return;
        if (kept !== null) tally.stoppedByText += 1;
        if (kept !== null && kept < chosen.length) tally.stoppedWithin += 1;
        this.#words.push({ due: this.#now + request.wordDelay, index, kept });
      },
      finished: (index) => this.#text.finished(index),
      end: (outcome) => {
        this.result = this.#text.result(outcome);
      },
      fail: (error) => {
        throw error;
      },
    };
    this.#job =
      beams === null
        ? new GenerationJob(core, SCRATCH, asked, sink, { grammar: grammar?.held ?? null })
        : new BeamJob(core, SCRATCH, asked, beams, sink);
    this.#job.begin();
  }

  get waitsForWords(): boolean {
    return this.result === null && this.#words.length > 0;
  }

  /** Says what is due before a step. */
  tell(now: number, isCancelled: boolean): void {
    this.#now = now;
    const due = this.#words.filter((word) => word.due <= now);
    for (const word of due) {
      this.#words.splice(this.#words.indexOf(word), 1);
      if (this.#job instanceof GenerationJob) this.#job.resume(word.index, word.kept);
    }
    if (!isCancelled || this.result !== null) return;
    this.wasCancelled = true;
    this.#job.cancel();
  }
}

function engineOver(
  parts: ModelParts,
  limits: { numBlocks: number; tokenBudget?: number; maxSequences: number },
  stepCosts?: StepCosts,
) {
  const { kernels, model } = parts;
  return new EngineCore({
    model,
    kernels,
    kvCache: firstBlocks(parts, limits.numBlocks),
    stepCosts,
    ...limits,
  });
}

/** As if measured on a machine that is often disturbed; from the numbers alone. */
function disturbedCosts({ row, seed }: GenerationScenario["costs"]): StepCosts {
  const disturbance = (sequences: number, more: number) =>
    (Math.imul(seed + 101 * sequences + more, 0x9e3779b1) >>> 0) / 2 ** 32;
  return {
    of(sequences, more) {
      const share = row === 0 ? 0 : disturbance(sequences, more);
      if (more === 0 && share > 0.9) return null;
      return (1 + row * (sequences + more)) * (1 + share);
    },
    observe: () => undefined,
  };
}

/** The answer to a request that is alone, with nothing cached and nothing guessed. */
function plainAnswer(parts: ModelParts, request: Request): GenerationResult {
  const core = engineOver(parts, { numBlocks: parts.kvCache.layout.numBlocks, maxSequences: 64 });
  const { speculate, ...options } = request.options;
  const plain: Request = {
    ...request,
    options: { ...options, mode: "recompute" },
    wordDelay: 0,
  };
  const asked = new Asked(core, plain, { now: 0, tally: newGenerationTally() });
  while (asked.result === null) {
    asked.tell(0, false);
    core.step();
  }
  return asked.result;
}

/** Runs a scenario to its end; throws what is wrong. */
export function runGenerations(
  engine: ModelParts,
  alone: ModelParts,
  scenario: GenerationScenario,
  tally: GenerationTally,
): void {
  const core = engineOver(engine, scenario, disturbedCosts(scenario.costs));
  const { model } = core;
  const budget = Math.min(scenario.tokenBudget, model.maxRows);
  const arriving = [...scenario.requests].sort((a, b) => a.step - b.step);
  const all: { readonly asked: Asked; readonly since: number }[] = [];
  for (let now = 0; arriving.length > 0 || all.some(({ asked }) => asked.result === null); now++) {
    while (arriving.length > 0 && arriving[0].step <= now) {
      const request = arriving.shift()!;
      const rows = request.prompt.length + Math.max(0, request.options.maxTokens! - 1);
      try {
        all.push({ asked: new Asked(core, request, { now, tally }), since: now });
      } catch (error) {
        if (!(error instanceof LastrowError && error.code === "kv_memory_exhausted")) throw error;
        if (rows <= core.capacity.rows) throw error;
        tally.refused += 1;
      }
    }
    for (const { asked, since } of all) asked.tell(now, now - since === asked.request.cancelAfter);
    const before = { rows: model.rowsComputed, logits: model.logitsRowsComputed };
    const hadWork = core.hasWork;
    const stepped = core.step();
    if (hadWork && !stepped) throw new Error("a sequence waits, and nothing was computed");
    const waitsForWords = all.some(({ asked }) => asked.waitsForWords);
    if (
      !stepped &&
      !waitsForWords &&
      arriving.length === 0 &&
      all.some(({ asked }) => asked.result === null)
    ) {
      throw new Error("a generation has not ended, and nothing waits");
    }
    if (waitsForWords) tally.wordsAwaited += 1;
    if (model.rowsComputed - before.rows === budget) tally.fullBudgets += 1;
    if (model.logitsRowsComputed - before.logits === model.maxLogitsRows) tally.fullLogits += 1;
    const violated = violatedInvariants(core.kvCache);
    if (violated.length > 0) throw new Error(violated.join("; "));
  }
  const { blocks, sequences, steps } = core.stats;
  if (blocks.referenced + sequences.running + sequences.waiting + sequences.idle > 0) {
    throw new Error(`left behind: ${JSON.stringify({ blocks, sequences })}`);
  }
  tally.steps += steps;
  tally.preemptions += sequences.preemptions;
  for (const { asked } of all) check(asked, plainAnswer(alone, asked.request), tally);
}

function check(
  { request, result, wasCancelled }: Asked,
  plain: GenerationResult,
  tally: GenerationTally,
): void {
  if (result === null) throw new Error("a generation has not ended");
  const { options } = request;
  tally.generations += 1;
  tally.tokens += result.choices.reduce((sum, { tokens }) => sum + tokens.length, 0);
  if (options.bestOf !== undefined && options.bestOf > options.n!) tally.ranked += 1;
  if (options.numBeams !== undefined) tally.beams += 1;
  else if (request.held !== null) {
    tally.held += 1;
    if (result.choices.some(({ finishReason, tokens }) => finishReason === "stop" && tokens.length > 1)) {
      tally.heldWhole += 1;
    }
  }
  if (wasCancelled) {
    tally.cancelled += 1;
    // How far it came is not promised; which choices those are only where nothing ranks them.
    if (options.numBeams !== undefined || options.bestOf !== options.n) return;
    for (const [i, choice] of result.choices.entries()) {
      const whole = plain.choices[i];
      if (choice.finishReason === "abort") {
        expectSame("beginning", choice.tokens, whole.tokens.slice(0, choice.tokens.length));
        expectSame("log-probabilities", choice.logprobs, whole.logprobs?.slice(0, choice.tokens.length));
      } else expectSame("choice", choice, whole);
    }
    return;
  }
  expectSame("choices", result.choices, plain.choices);
  expectSame("inferences", result.inferences, plain.inferences);
  if (options.numBeams !== undefined || options.bestOf !== 1) return;
  expectSame("inferences by passes", result.passes + result.accepted, result.inferences);
  if (result.accepted > result.proposed) throw new Error(`${result.accepted} of ${result.proposed} accepted`);
}

function expectSame(what: string, got: unknown, plain: unknown): void {
  const [a, b] = [JSON.stringify(got), JSON.stringify(plain)];
  if (a !== b) throw new Error(`other ${what} than alone: ${a}, alone ${b}`);
}

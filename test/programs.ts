/**
 * Random programs over one loaded model: many calls of every kind at once, read at any pace, left and aborted at any moment,
 * while the model goes on, is disposed of, or loses its engine. Whatever was answered is held against the same call alone,
 * recomputed, nothing guessed; whatever was not must have ended with a code that says why. Nothing may hang, and nothing is left.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import fc from "fast-check";
import { firstDifferentBits } from "../src/client/comparison.js";
import type { Generation } from "../src/client/generation.js";
import type { Sequence } from "../src/client/sequence.js";
import { LastrowError } from "../src/errors.js";
import type { KvDtype } from "../src/kernels/kv-types.js";
import type { GenerateOptions } from "../src/library/generate-options.js";
import type { LanguageModel } from "../src/library/language-model.js";
import type { GenerationChoice, GenerationPiece } from "../src/protocol/generation-request.js";
import { chatModelFiles } from "./chat-model.js";

const CHAT = {
  template:
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}",
  specials: [],
  contextLength: 128,
};
/** Layers with windows of two blocks, and one that sees everything. */
const WINDOWS = {
  ...{ model_type: "gemma3_text", num_hidden_layers: 3, hidden_size: 24, intermediate_size: 40 },
  ...{ num_attention_heads: 4, num_key_value_heads: 1, head_dim: 8, query_pre_attn_scalar: 8 },
  ...{ hidden_activation: "gelu_pytorch_tanh", rms_norm_eps: 1e-6, rope_theta: 1e6 },
  ...{ rope_local_base_freq: 1e4, sliding_window: 32, tie_word_embeddings: true },
  layer_types: ["sliding_attention", "full_attention", "sliding_attention"],
};
/** Models with random weights and the embedded model's tokenizer; a chat's messages one a line. */
export const PROGRAM_MODELS = {
  gpt2: chatModelFiles(CHAT).files,
  windows: chatModelFiles({ ...CHAT, config: WINDOWS }).files,
};

/** How far a call's reader goes. */
type Reading =
  | { readonly kind: "result" }
  | { readonly kind: "pieces" }
  /** It leaves after so many pieces. */
  | { readonly kind: "some"; readonly pieces: number }
  /** Two readers at once, and the result. */
  | { readonly kind: "two" }
  | { readonly kind: "each" }
  /** What takes the pieces throws at this one. */
  | { readonly kind: "throws"; readonly at: number };

const readings: fc.Arbitrary<Reading> = fc.oneof(
  fc.constant<Reading>({ kind: "result" }),
  fc.constant<Reading>({ kind: "pieces" }),
  fc.nat(6).map((pieces): Reading => ({ kind: "some", pieces })),
  fc.constant<Reading>({ kind: "two" }),
  fc.constant<Reading>({ kind: "each" }),
  fc.nat(4).map((at): Reading => ({ kind: "throws", at })),
);

/** What is done with a sequence, in this order and without waiting in between. */
type SequenceStep =
  | { readonly kind: "append"; readonly tokens: readonly number[] }
  /** To this part of its length. */
  | { readonly kind: "truncate"; readonly share: number }
  | { readonly kind: "fork" }
  /** Of what it saves, perhaps in another engine, with other kernels. */
  | {
      readonly kind: "restore";
      readonly salt: string;
      readonly abortAfter: number | null;
      readonly elsewhere: boolean;
    }
  | { readonly kind: "dispose" };

const token = fc.integer({ min: 1, max: 40 });
const tokens = fc.oneof(
  fc.array(token, { minLength: 1, maxLength: 6 }),
  // Many begin alike, and end about where blocks do.
  fc
    .tuple(fc.constantFrom(15, 16, 17, 31, 32, 33, 48, 64), fc.nat(2))
    .map(([length, last]) => [...Array.from({ length: length - 1 }, (_, i) => 1 + (i % 7)), 40 + last]),
);
const sequenceSteps: fc.Arbitrary<SequenceStep> = fc.oneof(
  fc.record({ kind: fc.constant("append" as const), tokens }),
  fc.record({ kind: fc.constant("truncate" as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
  fc.constant({ kind: "fork" as const }),
  fc.record({
    ...{ kind: fc.constant("restore" as const), salt: fc.constantFrom("", "other") },
    ...{ abortAfter: fc.option(fc.nat(8), { freq: 2 }), elsewhere: fc.boolean() },
  }),
  fc.constant({ kind: "dispose" as const }),
);

const sometimes = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const prompt = fc.oneof(
  tokens,
  fc.constantFrom("Once upon a time", "x", "", "\u0000 \ud83d", "Tom’s café 🙂"),
);
const structure = fc.oneof(
  fc.constant({
    schema: { type: "array", items: { type: "integer", maximum: 99, minimum: 0 }, maxItems: 3 },
  }),
  fc.constant({ regex: "(ab|cd){1,4}é?" }),
  fc.constant({ grammar: 'root ::= "a" root "b" | "ab"' }),
);
const shared = {
  maxTokens: fc.nat(24),
  seed: fc.nat(3),
  ignoreEos: sometimes(fc.boolean()),
  salt: sometimes(fc.constantFrom("other")),
  tenant: sometimes(fc.constantFrom("a", "b")),
  cachePrompt: sometimes(fc.boolean()),
};
const generateOptions: fc.Arbitrary<GenerateOptions> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      ...shared,
      temperature: fc.constantFrom(0, 0.7, 1, 1e-30, 1e30),
      topP: sometimes(fc.constantFrom(0, 0.5, 1)),
      topK: sometimes(fc.constantFrom(0, 1, 5, 5000)),
      stop: sometimes(fc.constantFrom<string | string[]>("e", ["a ", "the"], "\ufffd", [" "])),
      n: sometimes(fc.integer({ min: 1, max: 3 })),
      logprobs: sometimes(fc.nat(2)),
      speculate: sometimes(fc.nat(15)),
      mode: sometimes(fc.constantFrom("cached" as const, "recompute" as const)),
    }),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(
        fc.record({ ...shared, temperature: fc.constantFrom(0, 1), speculate: sometimes(fc.nat(15)) }),
        structure,
      )
      .map(([options, held]) => ({ ...options, ...held })),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      ...shared,
      n: sometimes(fc.constant(2)),
      numBeams: fc.integer({ min: 2, max: 4 }),
      stop: sometimes(fc.constant("e")),
    }),
  },
);

type Call =
  | {
      readonly kind: "generate";
      readonly prompt: string | readonly number[];
      readonly options: GenerateOptions;
      readonly reading: Reading;
      readonly abortAfter: number | null;
    }
  | {
      readonly kind: "sequence";
      readonly tokens: readonly number[];
      readonly salt: string;
      readonly steps: readonly SequenceStep[];
    }
  | {
      readonly kind: "logits";
      readonly tokens: readonly number[];
      readonly rows: "last" | "all";
      readonly abortAfter: number | null;
    }
  | { readonly kind: "rows"; readonly tokens: readonly number[]; readonly read: number }
  | {
      readonly kind: "embed";
      readonly texts: readonly (readonly number[])[];
      readonly abortAfter: number | null;
    }
  | {
      readonly kind: "chat";
      readonly replies: readonly { readonly text: string; readonly read: number | null }[];
    }
  | { readonly kind: "events"; readonly read: number; readonly readers: number }
  | { readonly kind: "stats" };

const abortAfter = fc.option(fc.nat(12), { freq: 2 });
const calls: fc.Arbitrary<Call> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      ...{
        kind: fc.constant("generate" as const),
        prompt,
        options: generateOptions,
        reading: readings,
        abortAfter,
      },
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      ...{ kind: fc.constant("sequence" as const), tokens, salt: fc.constantFrom("", "other") },
      steps: fc.array(sequenceSteps, { maxLength: 6 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("logits" as const),
      tokens,
      rows: fc.constantFrom("last" as const, "all" as const),
      abortAfter,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("rows" as const), tokens, read: fc.nat(70) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("embed" as const),
      texts: fc.array(tokens, { minLength: 1, maxLength: 3 }),
      abortAfter,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("chat" as const),
      replies: fc.array(fc.record({ text: fc.constantFrom("hello", "x"), read: fc.option(fc.nat(4)) }), {
        minLength: 1,
        maxLength: 3,
      }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("events" as const),
      read: fc.nat(40),
      readers: fc.integer({ min: 1, max: 3 }),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "stats" as const }) },
);

export interface Program {
  readonly model: keyof typeof PROGRAM_MODELS;
  readonly kvDtype: KvDtype;
  /** KV blocks that the model has. */
  readonly numBlocks: number;
  readonly tokenBudget: number;
  /** With the turns of the event loop before each. */
  readonly calls: readonly { readonly after: number; readonly call: Call }[];
  /** Turns until the model ends; null: it outlives its calls. */
  readonly endsAfter: number | null;
}

/** @param ends whether the model may end before its calls */
export function programs(ends: boolean): fc.Arbitrary<Program> {
  return fc.record({
    model: fc.constantFrom("gpt2" as const, "windows" as const),
    kvDtype: fc.constantFrom("f32" as const, "f16" as const, "int8" as const),
    numBlocks: fc.constantFrom(8, 9, 12, 40),
    tokenBudget: fc.constantFrom(1, 3, 16, 17, 512),
    calls: fc.array(fc.record({ after: fc.oneof(fc.constant(0), fc.nat(10)), call: calls }), {
      minLength: 1,
      maxLength: 7,
    }),
    endsAfter: ends ? fc.nat(60) : fc.constant(null),
  });
}

export interface ProgramTally {
  answered: number;
  aborted: number;
  ended: number;
  refused: number;
}

export const newProgramTally = (): ProgramTally => ({ answered: 0, aborted: 0, ended: 0, refused: 0 });

/** Codes of calls that an aborted signal ends, and of those whose model has gone. */
const GONE: ReadonlySet<string> = new Set(["disposed", "engine_lost"]);

class Thrown extends Error {}

/** Answers of calls that are alone, recomputed, nothing guessed; each is asked for once. */
export class Alone {
  readonly #lm: LanguageModel;
  /** The same model, with other kernels. */
  readonly other: LanguageModel;
  readonly #known = new Map<string, Promise<unknown>>();

  constructor(lm: LanguageModel, other: LanguageModel) {
    this.#lm = lm;
    this.other = other;
  }

  generate(
    asked: string | readonly number[],
    options: GenerateOptions,
  ): Promise<readonly GenerationChoice[]> {
    const { salt, tenant, cachePrompt, speculate, mode, signal, ...rest } = options;
    return this.#once(["generate", asked, rest], async () => {
      const plain = { ...rest, ...(rest.numBeams === undefined && { mode: "recompute" as const }) };
      return (await this.#lm.generate(asked, { ...plain, cachePrompt: false }).result()).choices;
    });
  }

  /** All rows. */
  logits(of: readonly number[]): Promise<Float32Array> {
    return this.#once(["logits", of], async () => (await this.#lm.logits(of, { rows: "all" })).logits);
  }

  embed(text: readonly number[]): Promise<Float32Array> {
    return this.#once(["embed", text], async () => {
      const { embeddings } = await this.#lm.embed([text], { pooling: "mean", cachePrompt: false });
      return embeddings[0];
    });
  }

  #once<T>(key: unknown, make: () => Promise<T>): Promise<T> {
    const text = JSON.stringify(key);
    let made = this.#known.get(text) as Promise<T> | undefined;
    if (made === undefined) {
      made = make();
      this.#known.set(text, made);
      made.catch(() => undefined);
    }
    return made;
  }
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await nextTurn();
}

/** A signal that aborts after so many turns. */
function abortsAfter(count: number | null): AbortSignal | undefined {
  if (count === null) return undefined;
  const aborter = new AbortController();
  void turns(count).then(() => aborter.abort());
  return aborter.signal;
}

function expectBits(what: string, got: Float32Array, alone: Float32Array): void {
  if (got.length !== alone.length) throw new Error(`${what}: ${got.length} values, alone ${alone.length}`);
  const index = firstDifferentBits(got, alone);
  if (index !== null) throw new Error(`${what}: value ${index} has other bits than alone`);
}

/** Milliseconds after which something hangs: far more than any of it takes. */
const HANG_MS = 60_000;

/** Runs a program to its end; throws what is wrong. @param end ends the model, as the program's user or as a fault would */
export async function runProgram(
  lm: LanguageModel,
  alone: Alone,
  { calls: made, endsAfter }: Program,
  end: () => Promise<unknown>,
  tally: ProgramTally,
): Promise<void> {
  let hasEnded = false;
  const all = made.map(async ({ after, call }) => {
    await turns(after);
    try {
      await run(lm, alone, call, tally);
      tally.answered += 1;
    } catch (error) {
      if (error instanceof Thrown) return;
      const code = error instanceof LastrowError ? error.code : null;
      if (code === "kv_memory_exhausted") tally.refused += 1;
      else if (code === "context_length_exceeded") tally.refused += 1;
      else if (code === "aborted" && "abortAfter" in call) tally.aborted += 1;
      else if (code === "aborted" && call.kind === "sequence") tally.aborted += 1;
      else if (hasEnded && code !== null && GONE.has(code)) tally.ended += 1;
      else throw new Error(`${JSON.stringify(call)} failed`, { cause: error });
    }
  });
  if (endsAfter !== null) {
    all.push(
      turns(endsAfter).then(async () => {
        hasEnded = true;
        await end();
      }),
    );
  }
  let timer: ReturnType<typeof setTimeout> | undefined;
  const hangs = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("it hangs")), HANG_MS);
  });
  try {
    await Promise.race([Promise.all(all), hangs]);
  } finally {
    clearTimeout(timer);
    await Promise.race([Promise.allSettled(all), turns(1000)]);
  }
}

async function run(lm: LanguageModel, alone: Alone, call: Call, tally: ProgramTally): Promise<void> {
  switch (call.kind) {
    case "generate": {
      const signal = abortsAfter(call.abortAfter);
      const generation = lm.generate(call.prompt, { ...call.options, signal });
      const pieces = await readPieces(generation, call.reading);
      const { choices } = await generation.result();
      // What a search has found when it is aborted may end with a stop string, and then says so.
      const mayBeCut = call.options.numBeams !== undefined && signal?.aborted === true;
      const expected = await alone.generate(call.prompt, call.options);
      const isWhole = !mayBeCut && choices.every(({ finishReason }) => finishReason !== "abort");
      if (isWhole) {
        const [got, wanted] = [JSON.stringify(choices), JSON.stringify(expected)];
        if (got !== wanted) throw new Error(`other choices than alone:\n${got}\n${wanted}`);
      } else {
        tally.aborted += 1;
        if (signal?.aborted !== true && call.reading.kind !== "some") throw new Error("aborted by nothing");
        if (call.options.numBeams === undefined) {
          for (const [i, { tokens: some }] of choices.entries()) {
            const whole = expected[i].tokens.slice(0, some.length);
            if (some.join() !== whole.join())
              throw new Error(`[${some}] is no beginning of [${expected[i].tokens}]`);
          }
        }
      }
      if (pieces === null) return;
      for (const [i, { text, tokens: ids, logprobs }] of choices.entries()) {
        const own = pieces.filter(({ index }) => index === i);
        const joined = own.map((piece) => piece.text).join("");
        if (joined !== text)
          throw new Error(`pieces say ${JSON.stringify(joined)}, the whole ${JSON.stringify(text)}`);
        if (own.flatMap((piece) => piece.tokens).join() !== ids.join())
          throw new Error("pieces have other tokens");
        const entries = own.flatMap((piece) => piece.logprobs ?? []);
        if (JSON.stringify(entries) !== JSON.stringify(logprobs ?? []))
          throw new Error("pieces have other log-probabilities");
      }
      return;
    }
    case "sequence":
      return useSequence(lm, alone, call);
    case "logits": {
      const signal = abortsAfter(call.abortAfter);
      const { logits } = await lm.logits(call.tokens, { rows: call.rows, ...(signal && { signal }) });
      const all = await alone.logits(call.tokens);
      expectBits("logits", logits, call.rows === "all" ? all : all.slice(-logits.length));
      return;
    }
    case "rows": {
      const all = await alone.logits(call.tokens);
      const width = all.length / call.tokens.length;
      let read = 0;
      for await (const { position, logits } of lm.logitsRows(call.tokens)) {
        if (position !== read) throw new Error(`row ${position} in place of ${read}`);
        expectBits("a row", logits, all.slice(position * width, (position + 1) * width));
        read += 1;
        if (read > call.read) break;
      }
      return;
    }
    case "embed": {
      const { embeddings } = await lm.embed(call.texts, {
        pooling: "mean",
        signal: abortsAfter(call.abortAfter),
      });
      for (const [i, vector] of embeddings.entries())
        expectBits("a vector", vector, await alone.embed(call.texts[i]));
      return;
    }
    case "chat": {
      const chat = await lm.chat();
      try {
        for (const { text, read } of call.replies) {
          const reply = chat.reply(text, { maxTokens: 8, temperature: 0 });
          let count = 0;
          for await (const _ of reply) if (read !== null && count++ >= read) break;
          const { tokens: said, promptTokens } = await reply.result();
          if (said.length > 8 || promptTokens === 0) throw new Error("no reply");
        }
      } finally {
        await chat.dispose();
      }
      return;
    }
    case "events": {
      const events = lm.events();
      const readers = Array.from({ length: call.readers }, async () => {
        for (let i = 0; i < call.read; i++) if ((await events.next()).done === true) return;
      });
      // Nothing else may be going on: it is left from outside.
      await Promise.race([Promise.all(readers), turns(40)]);
      await events.return?.();
      await Promise.all(readers);
      return;
    }
    case "stats":
      await lm.stats();
  }
}

/** @returns all pieces; null where not all were read */
async function readPieces(
  generation: Generation,
  reading: Reading,
): Promise<readonly GenerationPiece[] | null> {
  const pieces: GenerationPiece[] = [];
  const readAll = async () => {
    for await (const piece of generation) pieces.push(piece);
  };
  switch (reading.kind) {
    case "result":
      return null;
    case "pieces":
      await readAll();
      return pieces;
    case "some":
      for await (const _ of generation) if (pieces.push(_) > reading.pieces) break;
      return null;
    case "two":
      await Promise.all([readAll(), generation.result(), readAll()]);
      return null;
    case "each":
      await generation.each((piece) => pieces.push(piece));
      return pieces;
    case "throws": {
      let count = 0;
      await generation.each(() => {
        if (count++ === reading.at) throw new Thrown();
      });
      return null;
    }
  }
}

async function useSequence(
  lm: LanguageModel,
  alone: Alone,
  { tokens: begun, salt, steps }: Extract<Call, { readonly kind: "sequence" }>,
): Promise<void> {
  const own: Sequence[] = [];
  const expect = async (sequence: Sequence, history: readonly number[]) => {
    if (sequence.tokens.join() !== history.join())
      throw new Error(`it has [${sequence.tokens}], not [${history}]`);
    const all = await alone.logits(history);
    expectBits("a sequence", sequence.logits, all.slice(-sequence.logits.length));
  };
  try {
    let sequence = await lm.sequence(begun, { salt });
    own.push(sequence);
    let history = begun;
    for (const step of steps) {
      switch (step.kind) {
        case "append": {
          // What does not fit leaves it as it was.
          const isDone = await sequence.append(step.tokens).then(
            () => true,
            (error) => {
              if (error.code === "kv_memory_exhausted" || error.code === "context_length_exceeded")
                return false;
              throw error;
            },
          );
          if (isDone) history = [...history, ...step.tokens];
          break;
        }
        case "truncate": {
          const length = Math.max(1, Math.floor(history.length * step.share));
          await sequence.truncate(length);
          history = history.slice(0, length);
          break;
        }
        case "fork": {
          const forked = await sequence.fork();
          own.push(forked);
          // The first goes on meanwhile.
          const [kept, before] = [sequence, history];
          sequence = forked;
          await expect(kept, before);
          break;
        }
        case "restore": {
          const signal = abortsAfter(step.abortAfter);
          const saved = await sequence.save();
          const by = step.elsewhere ? alone.other : lm;
          sequence = await by.restore(saved, { salt: step.salt, ...(signal && { signal }) });
          own.push(sequence);
          break;
        }
        case "dispose":
          await sequence.dispose();
          return;
      }
      await expect(sequence, history);
    }
  } finally {
    await Promise.all(own.map((one) => one.dispose()));
  }
}

/** Random texts of tools' grammars, read and validated by ajv: shared by the quick and the exhaustive tests. */
import type { ValidateFunction } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { expect } from "vitest";
import { GrammarStates } from "../../src/grammar/grammar-state.js";
import { SCHEMA_LIMITS } from "../../src/grammar/json-schema/schema-limits.js";
import { TokenMasks } from "../../src/grammar/token-mask.js";
import { specialTokenBytes, type TokenTrie, tokenBytes, tokenTrie } from "../../src/grammar/token-trie.js";
import { type AnswerTools, readTools, toolsSpec } from "../../src/tools/answer-tools.js";
import type { CallFormat, CallFormatName } from "../../src/tools/call-format.js";
import { callGrammar } from "../../src/tools/call-grammar.js";
import { CallSplit } from "../../src/tools/call-split.js";
import type { ToolCall, ToolDefinition } from "../../src/tools/tool.js";
import { seededRandom } from "../seeded-random.js";

type Parameters = ToolDefinition["parameters"];

const string = { type: "string", maxLength: 6 };
const orNull = (schema: object) => ({ anyOf: [schema, { type: "null" }] });
const object = (properties: object, more: object = {}) => ({
  type: "object",
  properties,
  required: Object.keys(properties),
  ...more,
});

/** Arguments of every kind. */
export const PARAMETERS: readonly (readonly [string, Parameters])[] = [
  ["none", undefined],
  ["an empty list", { type: "object", properties: {} }],
  [
    "a few",
    { ...object({ city: string, days: { type: "integer", minimum: 0, maximum: 30 } }), required: ["city"] },
  ],
  ["texts of any length", object({ code: { type: "string" }, more: { type: "string", minLength: 1 } })],
  ["texts of great length", object({ text: { type: "string", maxLength: 500 } })],
  [
    "texts that may be null",
    object({ a: orNull({ type: "string" }), b: orNull({ ...string, minLength: 1 }) }),
  ],
  ["texts that may be anything", object({ a: {}, b: true, c: { type: ["string", "number", "object"] } })],
  ["numbers or texts", object({ a: { anyOf: [{ type: "integer", minimum: 10, maximum: 20 }, string] } })],
  ["lists or texts", object({ a: { type: ["array", "string"], items: { type: "boolean" }, maxLength: 4 } })],
  [
    "texts by pattern",
    object({ a: { type: "string", pattern: "^[a-z<>/]{0,5}\\n?$" }, b: { type: "string", format: "date" } }),
  ],
  [
    "a pattern that may be a number",
    object({ a: { type: ["string", "boolean"], pattern: "^(True|true|x)$" } }),
  ],
  [
    "listed",
    object({ a: { enum: ["x", "\n</parameter>\n", 1, true, null, "null", ["<"]] }, b: { const: "None" } }),
  ],
  ["truths and nothing", object({ a: { type: "boolean" }, b: { type: "null" }, c: { const: false } })],
  [
    "objects and lists",
    object({
      a: object({ b: string }),
      c: { type: "array", items: { type: "number", minimum: 0, maximum: 9 }, maxItems: 2 },
    }),
  ],
  [
    "others by name",
    { type: "object", properties: { a: { const: 1 } }, additionalProperties: string, maxProperties: 3 },
  ],
  ["any", { type: "object", maxProperties: 2 }],
  [
    "names by pattern",
    {
      type: "object",
      propertyNames: { pattern: "^[a-d]{1,2}$" },
      additionalProperties: { type: "boolean" },
      maxProperties: 3,
    },
  ],
  [
    "one of two kinds",
    {
      anyOf: [
        object({ kind: { const: "a" }, x: { type: "integer", minimum: 0, maximum: 9 } }),
        object(
          { kind: { const: "b" } },
          { additionalProperties: { type: "string", maxLength: 2 }, maxProperties: 3 },
        ),
      ],
    },
  ],
  [
    "by reference",
    {
      $ref: "#/$defs/all",
      $defs: { all: object({ unit: { $ref: "#/$defs/unit" } }), unit: { enum: ["c", "f"] } },
    },
  ],
];

/** Those whose texts have an end: a model that knows nothing would not find it. */
export const BOUNDED: readonly Parameters[] = PARAMETERS.filter(
  ([what]) => !/^(any|texts of|texts that)/.test(what),
).map(([, parameters]) => parameters);

/** What checks arguments. */
export function argumentsValidator(): (parameters: Parameters) => ValidateFunction {
  const ajv = new Ajv2020({ strict: false, validateFormats: true });
  addFormats.default(ajv);
  return (parameters) => ajv.compile((parameters ?? { type: "object", maxProperties: 0 }) as object);
}

const MARKERS: Readonly<Record<CallFormatName, readonly [string | null, string | null]>> = {
  hermes: ["<tool_call>", "</tool_call>"],
  "qwen3-coder": ["<tool_call>", "</tool_call>"],
  smollm3: ["<tool_call>", "</tool_call>"],
  granite: ["<|tool_call|>", null],
  mistral: ["[TOOL_CALLS]", null],
  llama3: [null, null],
};
/** Ids of the markers where they are special tokens. */
const [BEGIN, END] = [256, 257];

/** A format whose markers are special tokens, or texts. */
export function formatWith(name: CallFormatName, special: boolean): CallFormat {
  const [begin, end] = MARKERS[name].map((text, i) =>
    text === null ? null : { text, token: special ? [BEGIN, END][i] : null },
  );
  return { name, begin, end };
}

/** Every byte, the markers as special tokens, and tokens without which a random text would never end. */
const TEXTS = [
  "\n</parameter>\n",
  "</function>",
  "</tool_call>",
  "<tool_call>",
  "[TOOL_CALLS]",
  "<|tool_call|>",
];
const TOKENS: readonly Uint8Array[] = [
  ...Array.from({ length: 256 }, (_, byte) => (byte === 255 ? new Uint8Array(0) : Uint8Array.of(byte))),
  ...[BEGIN, END].map(specialTokenBytes),
  ...TEXTS.map((text) => new TextEncoder().encode(text)),
];
const TRIE: TokenTrie = tokenTrie(tokenBytes(TOKENS));
const FIRST_TEXT = END + 1;

/** Makes random answers of one grammar, as tokens; null: one has become too long. */
function answersOf(asked: AnswerTools): (random: () => number, maxTokens: number) => number[] | null {
  const states = new GrammarStates(callGrammar(toolsSpec(asked), SCHEMA_LIMITS));
  const masks = new TokenMasks(states, TRIE);
  return (random, maxTokens) => randomTokens(states, masks, random, maxTokens);
}

function randomTokens(states: GrammarStates, masks: TokenMasks, random: () => number, maxTokens: number) {
  const tokens: number[] = [];
  let state = states.first;
  while (tokens.length < maxTokens) {
    const { mayEnd, ways } = states.open(state);
    if (mayEnd && (ways.length === 0 || random() < 0.3)) return tokens;
    const mask = masks.mask(state) ?? new Uint32Array(0);
    const allowed = TOKENS.map((_, token) => token).filter(
      (token) => ((mask[token >>> 5] >>> (token & 31)) & 1) === 1,
    );
    const closing = allowed.filter((token) => token >= BEGIN || '"]}'.includes(String.fromCharCode(token)));
    const from = closing.length > 0 && random() < 0.3 ? closing : allowed;
    const token = from[Math.floor(random() * from.length)];
    const next = states.advance(state, TOKENS[token]);
    if (next === null) throw new Error("an allowed token does not go on");
    tokens.push(token);
    state = next;
  }
  return null;
}

/** Text and special tokens of an answer. */
function partsOf(tokens: readonly number[]): (string | number)[] {
  const parts: (string | number)[] = [];
  let bytes: number[] = [];
  const flush = () => {
    if (bytes.length > 0) parts.push(new TextDecoder().decode(Uint8Array.from(bytes)));
    bytes = [];
  };
  for (const token of tokens) {
    if (token >= FIRST_TEXT || token < BEGIN) bytes.push(...TOKENS[token]);
    else {
      flush();
      parts.push(token);
    }
  }
  flush();
  return parts;
}

/** Reads an answer in pieces of random length. Ids are numbered. */
function readCalls(
  { format, ...asked }: AnswerTools,
  parts: readonly (string | number)[],
  random: () => number,
): { text: string; calls: readonly ToolCall[] } {
  let ids = 0;
  const split = new CallSplit(format, readTools(toolsSpec({ format, ...asked })), () => `id${ids++}`);
  let text = "";
  const told: ToolCall[] = [];
  const take = (piece: ReturnType<CallSplit["push"]>) => {
    text += piece.text;
    for (const { index, id, name, arguments: more } of piece.calls) {
      if (id !== undefined) told[index] = { id, name: name!, arguments: "" };
      told[index] = { ...told[index], arguments: told[index].arguments + more };
    }
  };
  for (const part of parts) {
    if (typeof part === "number") {
      expect(split.isMarker(part)).toBe(true);
      take(split.passMarker(part));
      continue;
    }
    const characters = [...part];
    while (characters.length > 0)
      take(split.push(characters.splice(0, 1 + Math.floor(random() * 9)).join("")));
  }
  take(split.flush());
  // What was told piece by piece is what there is.
  expect(told).toEqual(split.calls);
  return { text, calls: told };
}

/** Of so many random answers that must call, those that are whole hold nothing but calls whose arguments fit. */
export function expectFittingCalls(
  name: CallFormatName,
  parameters: readonly Parameters[],
  answers: number,
  seed: number,
): void {
  const validator = argumentsValidator();
  const tools = parameters.map((one, i) => ({ name: `tool-${i}`, parameters: one }));
  const validators = new Map(tools.map((tool) => [tool.name, validator(tool.parameters)]));
  const random = seededRandom(seed);
  let whole = 0;
  let several = 0;
  for (const special of [true, false]) {
    const asked: AnswerTools = {
      ...{ format: formatWith(name, special), tools, choice: "required", parallel: true },
    };
    const answer = answersOf(asked);
    for (let i = 0; i < answers; i++) {
      const tokens = answer(random, 500);
      if (tokens === null) continue;
      whole += 1;
      const parts = partsOf(tokens);
      const { text, calls } = readCalls(asked, parts, random);
      const where = JSON.stringify(parts);
      expect([where, text]).toEqual([where, ""]);
      expect(calls.length).toBeGreaterThan(0);
      if (calls.length > 1) several += 1;
      for (const call of calls) {
        const validate = validators.get(call.name)!;
        expect([where, validate(JSON.parse(call.arguments)), validate.errors]).toEqual([where, true, null]);
      }
    }
  }
  expect(whole).toBeGreaterThan(answers / 2);
  expect(several > 0).toBe(name !== "llama3");
}

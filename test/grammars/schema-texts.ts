/** Random texts of schemas' grammars, validated by ajv: shared by the quick and the exhaustive tests. */
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { expect } from "vitest";
import type { Grammar } from "../../src/grammar/grammar.js";
import { type GrammarState, GrammarStates } from "../../src/grammar/grammar-state.js";
import { schemaGrammar } from "../../src/grammar/json-schema/schema-grammar.js";
import { TokenMasks } from "../../src/grammar/token-mask.js";
import { tokenBytes, tokenTrie } from "../../src/grammar/token-trie.js";
import { seededRandom } from "../seeded-random.js";

const string = { type: "string", maxLength: 6 };
/** Schemas of every keyword, each with a name. */
export const SCHEMAS: readonly (readonly [string, unknown])[] = [
  ["plain values", { enum: [null, true, 1.5, 'a\n"é', [1, { b: 2 }], { a: [] }] }],
  ["a const beside a type", { type: ["string", "null"], const: "x" }],
  [
    "an enum that other keywords narrow",
    { type: "integer", enum: [1, 2, 3, 40, "5"], minimum: 2, maximum: 39 },
  ],
  ["any of two types", { type: ["boolean", "integer"], maximum: 12 }],
  ["integers within bounds", { type: "integer", minimum: -13, exclusiveMaximum: 205 }],
  ["multiples", { type: "integer", multipleOf: 6, allOf: [{ multipleOf: 4 }], minimum: -50, maximum: 2000 }],
  ["numbers within bounds", { type: "number", exclusiveMinimum: -0.35, maximum: 12.0625 }],
  ["numbers above a small one", { type: "number", exclusiveMinimum: 1e-7, exclusiveMaximum: 2e-5 }],
  ["strings by length", { type: "string", minLength: 2, maxLength: 4 }],
  ["strings by pattern and length", { type: "string", pattern: "^[a-c]+-\\d*$", minLength: 3, maxLength: 9 }],
  ["strings by two patterns", { type: "string", allOf: [{ pattern: "a.b" }, { pattern: "^[ab]{1,5}$" }] }],
  ...["date", "time", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "uri", "uuid"].map(
    (format) => [format, { type: "string", format, maxLength: 60 }] as const,
  ),
  ["a list", { type: "array", items: string, minItems: 1, maxItems: 3 }],
  [
    "a tuple, and more",
    { type: "array", prefixItems: [string, { type: "null" }], items: { type: "boolean" }, maxItems: 4 },
  ],
  ["a tuple and no more", { type: "array", prefixItems: [string, { const: 1 }], items: false }],
  [
    "an object",
    {
      type: "object",
      properties: { a: string, b: { type: "boolean" }, c: { type: "null" }, d: { const: "d" } },
      required: ["b"],
      additionalProperties: false,
    },
  ],
  [
    "an object by count",
    {
      type: "object",
      properties: { a: { const: 1 }, b: { const: 2 }, c: { const: 3 } },
      minProperties: 2,
      maxProperties: 2,
    },
  ],
  [
    "an object with other names",
    {
      type: "object",
      properties: { a: { const: 1 } },
      propertyNames: { pattern: "^[a-d]{1,2}$" },
      additionalProperties: { type: "boolean" },
      maxProperties: 4,
    },
  ],
  [
    "a record",
    {
      type: "object",
      propertyNames: { enum: ["x", "y"] },
      additionalProperties: { const: 0 },
      maxProperties: 2,
    },
  ],
  [
    "a list in a list",
    {
      $ref: "#/$defs/node",
      $defs: {
        node: {
          type: "object",
          properties: {
            v: { type: "integer", minimum: 0, maximum: 9 },
            next: { anyOf: [{ $ref: "#/$defs/node" }, { type: "null" }] },
          },
          required: ["v", "next"],
          additionalProperties: false,
        },
      },
    },
  ],
  [
    "one of two kinds",
    {
      oneOf: [
        {
          type: "object",
          properties: { kind: { const: "a" }, x: string },
          required: ["kind", "x"],
          additionalProperties: false,
        },
        {
          type: "object",
          properties: { kind: { const: "b" } },
          required: ["kind"],
          additionalProperties: false,
        },
      ],
    },
  ],
  [
    "schemas that hold together",
    {
      allOf: [
        { type: "object", properties: { a: { type: "integer", minimum: 3 }, b: string }, required: ["a"] },
        {
          type: "object",
          properties: { a: { maximum: 5 } },
          required: ["b"],
          additionalProperties: { maxLength: 2 },
        },
      ],
    },
  ],
  [
    "names that JSON escapes",
    {
      type: "object",
      properties: { 'a"\\b': string, é: string },
      required: ["é"],
      additionalProperties: false,
    },
  ],
];

const BYTES = tokenTrie(tokenBytes(Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte))));

/** A random text of the grammar; it ends where it can, one time in two. Null: it has become too long. */
function randomText(states: GrammarStates, masks: TokenMasks, random: () => number): string | null {
  const bytes: number[] = [];
  let state: GrammarState = states.first;
  while (bytes.length < 400) {
    const { mayEnd, ways } = states.open(state);
    if (mayEnd && (ways.length === 0 || random() < 0.5))
      return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(bytes));
    const mask = masks.mask(state) ?? new Uint32Array(8);
    const allowed = [...BYTES.alike.keys()].filter((byte) => ((mask[byte >>> 5] >>> (byte & 31)) & 1) === 1);
    // Quotes and brackets twice as often, so that texts end.
    const closing = allowed.filter((byte) => '"]}'.includes(String.fromCharCode(byte)));
    const from = closing.length > 0 && random() < 0.3 ? closing : allowed;
    const byte = from[Math.floor(random() * from.length)];
    const next = states.advance(state, [byte]);
    if (next === null) throw new Error("an allowed byte does not go on");
    bytes.push(byte);
    state = next;
  }
  return null;
}

/** Random texts of a grammar that are whole, of so many that were begun. */
export function randomTexts(grammar: Grammar, begun: number, random: () => number): readonly string[] {
  const states = new GrammarStates(grammar);
  const masks = new TokenMasks(states, BYTES);
  return Array.from({ length: begun }, () => randomText(states, masks, random)).filter(
    (text) => text !== null,
  );
}

/** Of so many random texts of a schema's grammar those that are whole fit the schema. */
export function expectFittingTexts(schema: unknown, texts: number, seed: number): void {
  const ajv = new Ajv2020({ strict: false, validateFormats: true });
  addFormats.default(ajv);
  const validate = ajv.compile(schema as object);
  const whole = randomTexts(schemaGrammar(schema), texts, seededRandom(seed));
  for (const text of whole) {
    expect([text, validate(JSON.parse(text)), validate.errors]).toEqual([text, true, null]);
  }
  expect(whole.length).toBeGreaterThan(texts / 4);
}

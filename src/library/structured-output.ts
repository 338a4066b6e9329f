/**
 * What an answer is held to, as callers give it: a JSON Schema, a schema of a validation library that carries one (Standard
 * Schema), a regular expression or a grammar. And what is made of the answer: its value, parsed and validated.
 */
import type { AnswerThoughts } from "../chat/thoughts.js";
import type { ConstraintSpec } from "../client/constraint-spec.js";
import type { HeldAnswer } from "../client/structured-generation.js";
import { invalidArgument, LastrowError } from "../errors.js";
import {
  MAX_GRAMMAR_LENGTH,
  MAX_PATTERN_LENGTH,
  SCHEMA_LIMITS,
} from "../grammar/json-schema/schema-limits.js";
import { shown } from "../option-checks.js";

/** A JSON Schema, draft 2020-12; docs/structured-output.md lists the keywords that are honoured. */
export type JsonSchema = boolean | { readonly [keyword: string]: unknown };

/**
 * A schema of a validation library, by the Standard Schema specification with its part for JSON Schema: Zod from 4.2 on,
 * ArkType from 2.1.28 on; Valibot through `@valibot/to-json-schema`.
 */
export interface StandardSchema<Output = unknown> {
  /** What the specification asks for. */
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => ValidationResult<Output> | Promise<ValidationResult<Output>>;
    readonly types?: { readonly input: unknown; readonly output: Output } | undefined;
    readonly jsonSchema?:
      | { readonly input: (options: { readonly target: "draft-2020-12" }) => Record<string, unknown> }
      | undefined;
  };
}

type ValidationResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | {
      readonly issues: readonly {
        readonly message: string;
        readonly path?: readonly unknown[] | undefined;
      }[];
    };

/** What `schema` may be. */
export type AnySchema = JsonSchema | StandardSchema;

/** The type of a value that fits a schema, where the schema says it. */
export type ValueOf<Schema> = Schema extends {
  readonly "~standard": { readonly types?: { readonly output: infer Output } | undefined };
}
  ? Output
  : unknown;

/** What an answer is held to. */
export interface StructureOptions {
  /**
   * The answer is JSON that fits this schema, and its `value` is what was parsed: docs/structured-output.md. A schema of a
   * validation library also checks and types it. Not with `regex`, `grammar`, `stop` or `numBeams`.
   */
  readonly schema?: AnySchema | undefined;
  /** The answer matches this ECMAScript pattern as a whole. Not with `schema`, `grammar`, `stop` or `numBeams`. */
  readonly regex?: string | RegExp | undefined;
  /** The answer is of this grammar in GBNF, llama.cpp's form. Not with `schema`, `regex`, `stop` or `numBeams`. */
  readonly grammar?: string | undefined;
}

/** What an answer is held to, and how its value is read. */
export interface Structure {
  readonly spec: ConstraintSpec;
  /** The value of an answer that is whole; null: it has none but its text. */
  readonly readValue: ((text: string) => Promise<unknown>) | null;
}

/**
 * @returns null where nothing is asked for
 * @throws LastrowError `invalid_argument`
 */
export function resolveStructure({ schema, regex, grammar }: StructureOptions): Structure | null {
  const [first, second] = Object.entries({ schema, regex, grammar }).filter(
    ([, value]) => value !== undefined,
  );
  if (second !== undefined) {
    throw invalidArgument(
      `${first[0]} and ${second[0]} cannot be combined: an answer is held to one of them.`,
    );
  }
  if (regex !== undefined) {
    const pattern = patternOf(regex);
    checkLength("regex", pattern.length, MAX_PATTERN_LENGTH);
    return { spec: { kind: "regex", pattern }, readValue: null };
  }
  if (grammar !== undefined) {
    if (typeof grammar !== "string")
      throw invalidArgument(`grammar is a text in GBNF, not ${shown(grammar)}.`);
    checkLength("grammar", grammar.length, MAX_GRAMMAR_LENGTH);
    return { spec: { kind: "grammar", text: grammar }, readValue: null };
  }
  if (schema === undefined) return null;
  return {
    spec: { kind: "schema", schema: jsonSchemaText(schema, "schema") },
    readValue: async (text) => {
      const result = await validated(schema, JSON.parse(text));
      if (result.issues === undefined) return result.value;
      throw new RefusedValueError(text, result.issues);
    },
  };
}

/**
 * The JSON Schema of a schema, as text, so that it cannot change while it is compiled.
 * @param name what the error calls it
 * @throws LastrowError `invalid_argument` for what is no schema, carries none, or is too long
 */
export function jsonSchemaText(schema: AnySchema, name: string): string {
  const standard = standardOf(schema, name);
  return jsonOf(standard === null ? schema : jsonSchemaOf(standard, name), name);
}

/** What the schema of a validation library makes of a value, or why it refuses it; a JSON Schema leaves it as it is. */
export async function validated(
  schema: AnySchema,
  value: unknown,
): Promise<
  { readonly value: unknown; readonly issues?: undefined } | { readonly issues: readonly string[] }
> {
  const standard = standardOf(schema, "schema");
  if (standard === null) return { value };
  const result = await standard.validate(value);
  if (result.issues === undefined) return { value: result.value };
  return {
    issues: result.issues.map(({ message, path = [] }) => [...path.map(keyOf), message].join(": ")),
  };
}

/**
 * What an answer is held to that may think first: thoughts are free, and behind them it begins. Thoughts whose end is no token are
 * part of the grammar, if the prompt has begun them; an answer never begins such by itself.
 */
export function heldAnswer(spec: ConstraintSpec, thoughts: AnswerThoughts | null): HeldAnswer {
  if (thoughts === null) return { spec, thoughts: null };
  const { begin, end, isOpen } = thoughts;
  if (end.token !== null) return { spec, thoughts: { begin: begin.token, end: end.token, isOpen } };
  if (!isOpen) return { spec, thoughts: null };
  return { spec: { kind: "thoughts", end: end.text, answer: spec }, thoughts: null };
}

/** An answer that fits its schema and that a refinement of the schema refuses all the same. */
export class RefusedValueError extends LastrowError {
  /** The answer. */
  readonly text: string;
  /** What was wrong with it, each in words. */
  readonly issues: readonly string[];

  constructor(text: string, issues: readonly string[]) {
    super("value_refused", `The answer fits the schema, but its validation refuses it: ${issues.join("; ")}`);
    this.text = text;
    this.issues = issues;
  }
}

function standardOf(schema: AnySchema, name: string): StandardSchema["~standard"] | null {
  const isHolder = (typeof schema === "object" && schema !== null) || typeof schema === "function";
  if (!isHolder) {
    if (typeof schema === "boolean") return null;
    throw invalidArgument(`${name} is a JSON Schema or a Standard Schema, not ${shown(schema)}.`);
  }
  return "~standard" in schema ? (schema as StandardSchema)["~standard"] : null;
}

function jsonSchemaOf({ vendor, jsonSchema }: StandardSchema["~standard"], name: string): unknown {
  if (jsonSchema === undefined) {
    throw invalidArgument(
      `${name}: this schema of ${vendor} carries no JSON Schema; use Zod 4.2 or ArkType 2.1.28 or newer, toStandardJsonSchema of @valibot/to-json-schema, or give a JSON Schema.`,
    );
  }
  try {
    return jsonSchema.input({ target: "draft-2020-12" });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new LastrowError(
      "invalid_argument",
      `${name}: this schema of ${vendor} has no JSON Schema: ${reason}`,
      {
        cause,
      },
    );
  }
}

/** Before anything is made of it: what is handed on between threads holds none of them. */
function checkLength(name: string, length: number, most: number): void {
  if (length > most) throw invalidArgument(`${name} has over ${most} characters, which are the most.`);
}

function jsonOf(schema: unknown, name: string): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(schema);
  } catch (cause) {
    throw new LastrowError(
      "invalid_argument",
      `${name} cannot be written as JSON: it refers to itself, or is no data.`,
      { cause },
    );
  }
  if (text === undefined)
    throw invalidArgument(`${name} is a JSON Schema or a Standard Schema, not ${shown(schema)}.`);
  checkLength(`${name}, as JSON,`, text.length, SCHEMA_LIMITS.maxLength);
  return text;
}

function patternOf(regex: unknown): string {
  if (typeof regex === "string") return regex;
  if (!(regex instanceof RegExp))
    throw invalidArgument(`regex is a pattern or a RegExp, not ${shown(regex)}.`);
  const flags = regex.flags.replace(/[dgu]/g, "");
  if (flags === "") return regex.source;
  throw invalidArgument(
    `regex has the flags ${JSON.stringify(flags)}, which are not supported; only d, g and u are.`,
  );
}

/** A step of a path: a key, or an object that holds one. */
function keyOf(step: unknown): string {
  return typeof step === "object" && step !== null && "key" in step ? String(step.key) : String(step);
}

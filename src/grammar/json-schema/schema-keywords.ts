/**
 * The keywords of a JSON Schema (draft 2020-12) that are honoured, and a check of each schema object before anything is
 * made of it: a keyword that is not honoured is refused by its name, never ignored.
 */
import { invalidArgument } from "../../errors.js";
import { quoteValue } from "../../quote-value.js";
import { checkDivisor } from "./number-dfa.js";
import type { SchemaLimits } from "./schema-limits.js";
import { isObject, type Schema, type SchemaObject, TYPES } from "./schema-types.js";
import { checkFormat } from "./strings.js";

/** They say nothing of what fits. */
export const ANNOTATIONS: readonly string[] = [
  ...[
    "$schema",
    "$id",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
  ],
  ...["contentEncoding", "contentMediaType"],
];

type Check = (value: unknown, where: string, schema: SchemaObject) => void;

const count: Check = (value, where) => {
  if (typeof value === "number" && Number.isInteger(value) && value >= 0) return;
  throw invalidArgument(`${where} must be a whole number, at least 0.`);
};
const number: Check = (value, where) => {
  if (typeof value !== "number") throw invalidArgument(`${where} must be a number.`);
};
const object: Check = (value, where) => {
  if (!isObject(value)) throw invalidArgument(`${where} must be an object.`);
};
const list: Check = (value, where) => {
  if (!Array.isArray(value) || value.length === 0)
    throw invalidArgument(`${where} must be a list with at least one entry.`);
};
const texts: Check = (value, where) => {
  if (Array.isArray(value) && value.every((text) => typeof text === "string")) return;
  throw invalidArgument(`${where} must be a list of texts.`);
};
const text: Check = (value, where) => {
  if (typeof value !== "string") throw invalidArgument(`${where} must be a text.`);
};
const anything: Check = () => undefined;
/** A schema; it is checked when it is met. */
const schema: Check = (value, where) => {
  if (typeof value !== "boolean" && !isObject(value)) {
    throw invalidArgument(`${where} must be a schema: an object, true or false.`);
  }
};
const schemas: Check = (value, where) => {
  list(value, where, {});
  (value as readonly unknown[]).forEach((one, i) => {
    schema(one, `${where}/${i}`, {});
  });
};
const namedSchemas: Check = (value, where) => {
  object(value, where, {});
  for (const [name, one] of Object.entries(value as object)) schema(one, `${where}/${name}`, {});
};
const type: Check = (value, where) => {
  const named = Array.isArray(value) ? value : [value];
  if (named.length > 0 && named.every((one) => (TYPES as readonly unknown[]).includes(one))) return;
  throw invalidArgument(`${where} must be one of ${TYPES.join(", ")}, or a list of them.`);
};

const KEYWORDS: Readonly<Record<string, Check>> = {
  ...Object.fromEntries(ANNOTATIONS.map((name) => [name, anything])),
  ...{ type, enum: list, const: anything },
  ...{ $ref: text, $defs: namedSchemas, definitions: namedSchemas },
  ...{ allOf: schemas, anyOf: schemas, oneOf: schemas },
  not: (value, where) => {
    if (value === true || (isObject(value) && Object.keys(value).length === 0)) return;
    throw invalidArgument(`${where} is not supported, but for "not": {}, which nothing fits.`);
  },
  ...{ properties: namedSchemas, required: texts, additionalProperties: schema, propertyNames: schema },
  ...{ minProperties: count, maxProperties: count },
  ...{ prefixItems: schemas, items: schema, minItems: count, maxItems: count },
  uniqueItems: (value, where) => {
    if (value !== false)
      throw invalidArgument(`${where} is not supported; leave it out, and check the answer for it.`);
  },
  ...{ minLength: count, maxLength: count, pattern: text },
  format: (value, where, { pattern }) => {
    checkFormat(value, typeof pattern === "string", where);
  },
  ...{ minimum: number, maximum: number, exclusiveMinimum: number, exclusiveMaximum: number },
  multipleOf: (value, where) => checkDivisor(value as number, where),
};

/** The names of all that are honoured. */
export const HONOURED_KEYWORDS: readonly string[] = Object.keys(KEYWORDS);

/** @throws LastrowError `invalid_argument`, naming the place, when a keyword is not honoured or has a wrong value */
export function checkKeywords(found: SchemaObject, where: string): void {
  for (const [keyword, value] of Object.entries(found)) {
    if (!Object.hasOwn(KEYWORDS, keyword)) {
      // A long one is only named shortened.
      const at = keyword.length > 64 ? where : `${where}/${keyword}`;
      throw invalidArgument(`${at}: the keyword ${quoteValue(keyword)} of the schema is not supported.`);
    }
    KEYWORDS[keyword](value, `${where}/${keyword}`, found);
  }
}

/** Whether it is an object as JSON has it. */
/**
 * A schema as plain JSON, which cannot change meanwhile.
 * @throws LastrowError `invalid_argument` when it is none, or larger or deeper than the limits
 */
export function schemaJson(given: unknown, limits: SchemaLimits): Schema {
  let text: string | undefined;
  try {
    checkDepth(given, limits.maxDepth);
    text = JSON.stringify(given);
  } catch (cause) {
    if (cause instanceof Error && cause.name === "LastrowError") throw cause;
    throw invalidArgument("the schema must be JSON: an object, true or false.");
  }
  if (text === undefined) throw invalidArgument("the schema must be JSON: an object, true or false.");
  if (text.length > limits.maxLength) {
    throw invalidArgument(`the schema has ${text.length} characters; ${limits.maxLength} are the most.`);
  }
  const parsed: unknown = JSON.parse(text);
  if (typeof parsed === "boolean" || isObject(parsed)) return parsed;
  throw invalidArgument("the schema must be an object, true or false.");
}

function checkDepth(value: unknown, left: number): void {
  if (typeof value !== "object" || value === null) return;
  if (left === 0) throw invalidArgument("the schema has too many objects and lists within each other.");
  for (const one of Object.values(value)) checkDepth(one, left - 1);
}

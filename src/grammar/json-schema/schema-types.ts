/**
 * What a JSON Schema is, and the types of JSON values that it names. Apart from what checks and compiles schemas, so that a page
 * that only generates text does not load that.
 */

/** A schema object whose keywords were checked. */
export type SchemaObject = { readonly [keyword: string]: unknown };
export type Schema = SchemaObject | boolean;

export const TYPES = ["object", "array", "string", "number", "integer", "boolean", "null"] as const;
export type JsonType = (typeof TYPES)[number];

export function isObject(value: unknown): value is SchemaObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

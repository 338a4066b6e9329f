/**
 * JSON from untrusted files. Stricter than `JSON.parse`, which takes the last of two equal keys in silence: here a
 * key that comes twice, or one that JavaScript gives a meaning of its own, is an error. The result has no prototype
 * at any level, so that a key is there only if the file has it.
 */
import { fetchedCode } from "../fetched-code.js";

const FORBIDDEN_KEYS: ReadonlySet<string> = new Set(["__proto__", "constructor", "prototype"]);

/** A JSON object without a prototype. */
export type JsonObject = Record<string, unknown>;

/** A text that may hold JSON, bounded (`json-file.ts`). */
export interface JsonText {
  readonly text: string;
  /** Members of all its objects, keys that come twice counted twice, if it is JSON. */
  readonly members: number;
}

/**
 * Parses a file that must hold one JSON object (RFC 8259; no comments, no trailing commas).
 *
 * @param fileName what messages call it
 * @returns the object; it and every object in it has a null prototype. A number too large for a double is Infinity.
 * @throws LastrowError `model_file_invalid`, with line and column (both from 1), on a syntax error, another value than
 *   an object at the top, a key that comes twice in one object, or a key `__proto__`, `constructor` or `prototype`;
 *   `code_unavailable` where what says that cannot be fetched
 */
export async function parseJsonObject(file: JsonText, fileName: string): Promise<JsonObject> {
  return (await parse(file, fileName, "object")) as JsonObject;
}

/** The same of a file that must hold one JSON list. */
export async function parseJsonList(file: JsonText, fileName: string): Promise<unknown[]> {
  return (await parse(file, fileName, "list")) as unknown[];
}

async function parse(
  { text, members }: JsonText,
  fileName: string,
  kind: "object" | "list",
): Promise<JsonObject | unknown[]> {
  const value = soundValue(text, members);
  if (typeof value === "object" && value !== null && Array.isArray(value) === (kind === "list")) {
    return value as JsonObject | unknown[];
  }
  const { refuseJson } = await fetchedCode(import("./json-faults.js"));
  return refuseJson(text, fileName, kind, FORBIDDEN_KEYS);
}

/** The value of a text; undefined where it is not JSON, has a key twice, or one that is forbidden. */
function soundValue(text: string, members: number): unknown {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  let found = 0;
  let isForbidden = false;
  const withoutPrototypes = (value: unknown): unknown => {
    if (typeof value !== "object" || value === null) return value;
    if (Array.isArray(value)) return value.map(withoutPrototypes);
    const object: JsonObject = Object.create(null);
    for (const [key, member] of Object.entries(value)) {
      isForbidden ||= FORBIDDEN_KEYS.has(key);
      object[key] = withoutPrototypes(member);
      found += 1;
    }
    return object;
  };
  const sound = withoutPrototypes(parsed);
  return isForbidden || found !== members ? undefined : sound;
}

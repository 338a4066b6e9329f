/**
 * The arguments of calls, as messages carry them: JSON texts. A template is handed what they say, with numbers printed as
 * they were written: `21.0` stays a float, and the digits of a large whole number stay what they are.
 */
import { LastrowError } from "../errors.js";
import { Float } from "./jinja/values.js";

/** Deepest nesting of what a template is handed. */
export const MAX_DEPTH = 32;

/**
 * Checks that a text is JSON of an object; an empty one counts as one without arguments, as clients send it.
 * @param where names the call in the error
 * @throws LastrowError `invalid_argument`
 */
export function checkArguments(text: string, where: string): void {
  let value: unknown;
  try {
    value = JSON.parse(text === "" ? "{}" : text);
  } catch (cause) {
    throw refused(where, `: ${(cause as Error).message}`, cause);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw refused(where, "", null);
  if (!isShallow(value, MAX_DEPTH)) throw refused(where, ` of at most ${MAX_DEPTH} levels`, null);
}

/** What a checked text says. */
export function readArguments(text: string): object {
  const json = text === "" ? "{}" : text;
  const plain = JSON.stringify(JSON.parse(json));
  // No text in it begins so. Looked for once, not at each length: a text may be of nothing else.
  let longest = 0;
  for (const [run] of plain.matchAll(/#+/g)) longest = Math.max(longest, run.length);
  const mark = "#".repeat(longest + 1);
  const marked = json.replace(/"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g, (literal) =>
    literal.startsWith('"') || isWhole(literal) ? literal : `"${mark}${literal}"`,
  );
  return JSON.parse(marked, (_, value) => {
    if (typeof value !== "string" || !value.startsWith(mark)) return value;
    const literal = value.slice(mark.length);
    return new Float(Number(literal), /^-?\d+$/.test(literal) ? literal : null);
  });
}

/** Whether a number of JavaScript's says the same, and is printed the same. */
function isWhole(literal: string): boolean {
  return /^(0|-?[1-9]\d*)$/.test(literal) && Number.isSafeInteger(Number(literal));
}

function isShallow(value: unknown, depth: number): boolean {
  if (typeof value !== "object" || value === null) return true;
  return depth > 0 && Object.values(value).every((item) => isShallow(item, depth - 1));
}

function refused(where: string, why: string, cause: unknown): LastrowError {
  return new LastrowError("invalid_argument", `${where} has arguments that are not a JSON object${why}.`, {
    cause,
  });
}

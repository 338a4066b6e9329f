/**
 * What a caller hands over, checked: the words of a refusal are made here, so that all of them are alike. JavaScript's
 * callers have no types to stop them: whatever they give is either used or refused with `invalid_argument`.
 */
import { invalidArgument } from "./errors.js";
import { type OptionNames, unknownOption, wrongOption } from "./option-names.js";
import { quoteValue } from "./quote-value.js";

/** A value as a refusal shows it: one line, of bounded length. */
export function shown(value: unknown): string {
  return typeof value === "function" ? "a function" : quoteValue(value);
}

interface Kind {
  readonly allows: (value: unknown) => boolean;
  readonly inWords: string;
}

const FLAG: Kind = { allows: (value) => typeof value === "boolean", inWords: "true or false" };
const FUNCTION: Kind = { allows: (value) => typeof value === "function", inWords: "a function" };
const TEXT: Kind = { allows: (value) => typeof value === "string", inWords: "a text" };
const SIGNAL: Kind = { allows: isSignal, inWords: "an AbortSignal" };

/** Options that are the same wherever they may be given. */
const KINDS: ReadonlyMap<string, Kind> = new Map([
  ["signal", SIGNAL],
  ["onProgress", FUNCTION],
  ["onPiece", FUNCTION],
  ["onRecomputed", FUNCTION],
  ["parseSpecial", FLAG],
  ["addSpecialTokens", FLAG],
  ["skipSpecialTokens", FLAG],
  ["ignoreEos", FLAG],
  ["cachePrompt", FLAG],
  ["dropOldest", FLAG],
  ["keepSystem", FLAG],
  ["worker", FLAG],
  ["salt", TEXT],
  ["tenant", TEXT],
  ["template", TEXT],
]);

/**
 * Checks a function's options: that they are an object, that the function has all of them, and those of them that mean
 * the same everywhere. What belongs to one function alone is checked there.
 * @throws LastrowError `invalid_argument`
 */
export function checkOptions(options: unknown, known: OptionNames): void {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw invalidArgument(`The options of ${known.of} are an object, not ${shown(options)}.`);
  }
  const unknown = unknownOption(options, known);
  if (unknown !== null) throw invalidArgument(wrongOption(unknown, known));
  for (const [name, { allows, inWords }] of KINDS) {
    const value: unknown = Reflect.get(options, name);
    if (value !== undefined && !allows(value))
      throw invalidArgument(`${name} is ${inWords}, not ${shown(value)}.`);
  }
}

/** @throws LastrowError `invalid_argument` for anything but a whole number in the range, its ends included */
export function wholeNumber<T>(
  name: string,
  value: number | undefined,
  fallback: T,
  { from, to }: { readonly from: number; readonly to: number },
): number | T {
  if (value === undefined) return fallback;
  if (Number.isInteger(value) && value >= from && value <= to) return value;
  throw invalidArgument(`${name} is a whole number from ${from} to ${to}, not ${shown(value)}.`);
}

/** @throws LastrowError `invalid_argument` for anything but one of some words or numbers */
export function oneOf<T extends string | number>(name: string, value: unknown, words: readonly T[]): T {
  if (words.includes(value as T)) return value as T;
  throw invalidArgument(`${name} is ${words.map(shown).join(" or ")}, not ${shown(value)}.`);
}

/** An array or a typed array of numbers; which ids there are is checked against the model. */
export function isListOfIds(ids: unknown): ids is Iterable<number> {
  return Array.isArray(ids) || (ArrayBuffer.isView(ids) && !(ids instanceof DataView));
}

/** One of this realm or another's, such as a polyfill: what matters is what it can do. */
function isSignal(value: unknown): boolean {
  return (
    typeof value === "object" &&
    value !== null &&
    typeof Reflect.get(value, "aborted") === "boolean" &&
    typeof Reflect.get(value, "addEventListener") === "function" &&
    typeof Reflect.get(value, "removeEventListener") === "function"
  );
}

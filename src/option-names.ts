/** Which options a function has, and which of them a wrong name was meant to be. */
import { closestMatch } from "leven";
import { quoteValue } from "./quote-value.js";

/** The options of one function. */
export interface OptionNames {
  /** What messages call it: `generate`. */
  readonly of: string;
  readonly names: readonly string[];
}

/** The names of a type's options, as keys; one too many is an error to TypeScript, and so is one that is missing. */
type Names<Options, Given> = { readonly [Name in keyof Required<Options>]: unknown } & {
  readonly [Name in Exclude<keyof Given, keyof Options>]: never;
};

/** Makes the list of a function's options, which TypeScript holds to their type. */
export function optionNames<Options>() {
  return <Given>(of: string, names: Given & Names<Options, Given>): OptionNames => ({
    of,
    names: Object.keys(names),
  });
}

/** The first name that has a value and that the function does not have; null when it has them all. */
export function unknownOption(options: object, { names }: OptionNames): string | null {
  const given = Object.entries(options).find(([name, value]) => value !== undefined && !names.includes(name));
  return given?.[0] ?? null;
}

/** Those of some options that a function has. */
export function withoutOthers<Options extends object>(options: Options, { names }: OptionNames): Options {
  return Object.fromEntries(Object.entries(options).filter(([name]) => names.includes(name))) as Options;
}

/** What a refusal says of a wrong name: which one was meant, or which there are. */
export function wrongOption(name: string, { of, names }: OptionNames): string {
  const meant = nearestName(name, names);
  const advice =
    meant !== null
      ? ` Did you mean ${meant}?`
      : names.length === 0
        ? ""
        : ` It has ${names.slice(0, -1).join(", ")}${names.length > 1 ? " and " : ""}${names.at(-1)}.`;
  return `${of} has no option ${/^\w+$/.test(name) ? name.slice(0, 64) : quoteValue(name)}.${advice}`;
}

/** How much of a name may be other letters. */
const OTHER_SHARE = 0.4;
/** A name within another says something from so many letters on. */
const TELLING_LENGTH = 4;

/** `max_tokens`, `MaxTokens`, `maxTokns`, `maxNewTokens` → `maxTokens`; null when none is near. */
export function nearestName(name: string, names: readonly string[]): string | null {
  const plain = (text: string) => text.toLowerCase().replace(/[^a-z0-9]/g, "");
  const wanted = plain(name).slice(0, 64);
  const within = names.find(
    (candidate) => candidate.length >= TELLING_LENGTH && wanted.includes(plain(candidate)),
  );
  if (within !== undefined) return within;
  const nearest = closestMatch(wanted, names.map(plain), {
    maxDistance: Math.floor(wanted.length * OTHER_SHARE),
  });
  return names.find((candidate) => plain(candidate) === nearest) ?? null;
}

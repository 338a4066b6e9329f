/**
 * Strings of a JSON Schema as automata, quotes and all. A character is written as `JSON.stringify` writes it, and counted
 * as a code point.
 */
import { invalidArgument } from "../../errors.js";
import { quoteValue } from "../../quote-value.js";
import { ANY_CODE_POINT, jsonString } from "../code-points.js";
import type { Dfa } from "../dfa.js";
import { textsDfa } from "../listed-texts.js";
import { dfaOf, intersection } from "../make-dfa.js";
import { someMatch, wholeMatch } from "../regex.js";
import { RegexTerms, type Term, UNBOUNDED } from "../regex-terms.js";
import type { Work } from "../work.js";
import type { SchemaLimits } from "./schema-limits.js";

export interface StringRules {
  readonly minLength: number;
  /** Infinity: no end. */
  readonly maxLength: number;
  readonly patterns: readonly string[];
  readonly formats: readonly string[];
  /** Texts that it must not be. */
  readonly except: readonly string[];
}

export const ANY_STRING: StringRules = {
  minLength: 0,
  maxLength: UNBOUNDED,
  patterns: [],
  formats: [],
  except: [],
};

/** The host of a URI or an e-mail address. */
const LABEL = "[a-z0-9](?:[a-z0-9\\-]*[a-z0-9])?";
const HOST = `${LABEL}(?:\\.${LABEL})*`;
const OCTET = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const LONG_MONTHS = "(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])";
const DATE = `(?:\\d{4}-(?:${LONG_MONTHS}|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8]))|(?:\\d\\d(?:[2468][048]|0[48]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)`;
const TIME = "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,9})?(?:Z|[+\\-](?:[01]\\d|2[0-3]):[0-5]\\d)";

/**
 * Formats that are honoured: what is written is of the format, in a plain form (a host in small letters, an IPv6 address in
 * eight groups); not everything that is of it is written. RFC 3339 for times, RFC 4122 for UUIDs.
 */
const FORMATS: Readonly<Record<string, string>> = {
  date: DATE,
  time: TIME,
  "date-time": `${DATE}T${TIME}`,
  duration:
    "P(?:\\d{1,4}W|\\d{1,4}Y(?:\\d{1,2}M(?:\\d{1,3}D)?)?|\\d{1,2}M(?:\\d{1,3}D)?|\\d{1,3}D|T(?:\\d{1,3}H(?:\\d{1,3}M(?:\\d{1,3}S)?)?|\\d{1,3}M(?:\\d{1,3}S)?|\\d{1,3}S))",
  email: `[A-Za-z0-9_+\\-]+(?:\\.[A-Za-z0-9_+\\-]+)*@(?:${LABEL}\\.)+[a-z]{2,}`,
  hostname: "[a-z0-9](?:[a-z0-9\\-]{0,20}[a-z0-9])?(?:\\.[a-z0-9](?:[a-z0-9\\-]{0,20}[a-z0-9])?){0,3}",
  ipv4: `${OCTET}(?:\\.${OCTET}){3}`,
  ipv6: "[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){7}",
  uri: `https?:\\/\\/${HOST}(?::[1-9]\\d{0,3})?(?:\\/[A-Za-z0-9._~\\-]*)*(?:\\?[A-Za-z0-9._~=&\\-]*)?(?:#[A-Za-z0-9._~\\-]*)?`,
  uuid: "[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
};

/** The names of the formats that are honoured by themselves. */
export const HONOURED_FORMATS: readonly string[] = Object.keys(FORMATS);

/** What a format that is honoured means, as an ECMAScript pattern of the whole; null for one that is honoured by its pattern. */
export function formatPattern(format: string): string | null {
  return Object.hasOwn(FORMATS, format) ? FORMATS[format] : null;
}

/** Formats that zod writes along with a pattern that says the same. */
const FORMATS_WITH_PATTERN: ReadonlySet<string> = new Set([
  ...[
    "base64",
    "base64url",
    "cidrv4",
    "cidrv6",
    "cuid",
    "cuid2",
    "e164",
    "guid",
    "jwt",
    "ksuid",
    "nanoid",
    "ulid",
    "xid",
  ],
]);

/** Automata of strings, each made once. */
export class SchemaStrings {
  readonly #limits: SchemaLimits;
  readonly #work: Work;
  readonly #known = new Map<string, Dfa | null>();

  constructor(limits: SchemaLimits, work: Work) {
    this.#limits = limits;
    this.#work = work;
  }

  /** One character of a string. */
  character(): Dfa {
    return this.#remembered("character", (terms) => jsonString(terms, ANY_CODE_POINT)) as Dfa;
  }

  /** A whole string; null where none fits the rules. */
  string({ minLength, maxLength, patterns, formats, except }: StringRules): Dfa | null {
    const isCounted = minLength > 0 || maxLength < UNBOUNDED;
    const parts = [
      ...patterns.map((pattern) =>
        this.#quoted(`~${pattern}`, (terms) => someMatch(terms, jsonString, pattern)),
      ),
      ...formats
        .filter((format) => Object.hasOwn(FORMATS, format))
        .map((format) =>
          this.#quoted(`@${format}`, (terms) => wholeMatch(terms, jsonString, FORMATS[format])),
        ),
      ...(except.length === 0
        ? []
        : [this.#quoted(`!${JSON.stringify(except)}`, (terms) => allBut(terms, except))]),
    ];
    if (isCounted || parts.length === 0) {
      const count = (terms: RegexTerms) =>
        terms.repeat(jsonString(terms, ANY_CODE_POINT), minLength, maxLength);
      parts.push(this.#quoted(`#${minLength},${maxLength}`, count));
    }
    const found = parts.filter((dfa) => dfa !== null);
    return found.length < parts.length ? null : intersection(found, this.#limits.maxStates, this.#work);
  }

  /** One of some JSON texts. */
  oneOf(texts: readonly string[]): Dfa | null {
    const encoder = new TextEncoder();
    const bytes = [...new Set(texts)].map((text) => encoder.encode(text));
    return textsDfa(bytes, this.#limits.maxStates, this.#work);
  }

  #quoted(key: string, content: (terms: RegexTerms) => Term): Dfa | null {
    return this.#remembered(key, (terms) => {
      const quote = terms.literal([0x22]);
      return terms.seq([quote, content(terms), quote]);
    });
  }

  #remembered(key: string, language: (terms: RegexTerms) => Term): Dfa | null {
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const terms = new RegexTerms(this.#limits.maxPatternWork, this.#work);
    const dfa = dfaOf(terms, language(terms), this.#limits.maxStates);
    this.#known.set(key, dfa);
    return dfa;
  }
}

function allBut(terms: RegexTerms, texts: readonly string[]): Term {
  const encoder = new TextEncoder();
  const written = texts.map((text) => terms.literal(encoder.encode(JSON.stringify(text).slice(1, -1))));
  const anyText = terms.repeat(jsonString(terms, ANY_CODE_POINT), 0, UNBOUNDED);
  return terms.allOf([anyText, terms.not(terms.anyOf(written))]);
}

/** @throws LastrowError `invalid_argument` when a format is not honoured */
export function checkFormat(format: unknown, hasPattern: boolean, where: string): string {
  if (typeof format === "string" && Object.hasOwn(FORMATS, format)) return format;
  if (typeof format === "string" && FORMATS_WITH_PATTERN.has(format) && hasPattern) return format;
  throw invalidArgument(
    `${where}: the format ${quoteValue(format)} is not supported; supported are ${Object.keys(FORMATS).join(", ")}. A pattern can say it instead.`,
  );
}

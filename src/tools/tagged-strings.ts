/**
 * Texts between tags as automata: as they are, without quotes and escapes, up to the end of the value, which they do not hold.
 * Where the value may also be something else, a text that would be read as that is left out.
 */
import { ANY_CODE_POINT, complement, utf8 } from "../grammar/code-points.js";
import type { Dfa } from "../grammar/dfa.js";
import type { GrammarBuilder } from "../grammar/grammar.js";
import type { SchemaLimits } from "../grammar/json-schema/schema-limits.js";
import type { JsonType } from "../grammar/json-schema/schema-types.js";
import { formatPattern, type StringRules } from "../grammar/json-schema/strings.js";
import { dfaOf, intersection } from "../grammar/make-dfa.js";
import { someMatch, wholeMatch } from "../grammar/regex.js";
import { RegexTerms, type Term, UNBOUNDED } from "../grammar/regex-terms.js";
import { VALUE_END, VALUE_TAG } from "./call-arguments.js";

/**
 * Longest text, by its bounds, that may hold line breaks: its automaton has states for each length and each place in the end
 * of the value, which begins with one.
 */
const MAX_WITH_BREAKS = 64;
/** Longest name that is not declared. */
const MAX_NAME = 64;

const SPACE = "[ \\t\\n\\r]*";
const NUMBER = "-?(?:0|[1-9]\\d*)(?:\\.\\d+)?(?:[eE][+\\-]?\\d+)?";
const LINE_BREAK = 0x0a;
const OPENS_TAG = 0x3c;
const CLOSES_TAG = 0x3e;

type Language = (terms: RegexTerms) => Term;

/** Makes nodes of such texts, each once. */
export class TaggedStrings {
  readonly #builder: GrammarBuilder;
  readonly #limits: SchemaLimits;
  readonly #known = new Map<string, number>();
  readonly #automata = new Map<string, Dfa | null>();

  constructor(builder: GrammarBuilder, limits: SchemaLimits) {
    this.#builder = builder;
    this.#limits = limits;
  }

  /** A value that is a text, and the end of the value. @param types what the value may be */
  value(rules: StringRules, types: ReadonlySet<JsonType>): number {
    const key = JSON.stringify([rules, [...types].sort()]);
    return this.#remembered(key, () => this.#value(rules, types));
  }

  /** A name that is not declared. */
  name(rules: StringRules): number {
    return this.#remembered(`name ${JSON.stringify(rules)}`, () => {
      const plain = this.#automaton("name", (terms) => {
        const inside = complement([
          [LINE_BREAK, LINE_BREAK],
          [CLOSES_TAG, CLOSES_TAG],
        ]);
        // White space in front of a name is not read.
        const first = utf8(
          terms,
          complement([
            [0x09, 0x0a],
            [0x0d, 0x0d],
            [0x20, 0x20],
            [CLOSES_TAG, CLOSES_TAG],
          ]),
        );
        return terms.seq([first, terms.repeat(utf8(terms, inside), 0, MAX_NAME - 1)]);
      });
      return this.#all([plain, ...ruled(rules).map(([key, language]) => this.#automaton(key, language))]);
    });
  }

  #value(rules: StringRules, types: ReadonlySet<JsonType>): number {
    const { minLength, maxLength, patterns, formats, except } = rules;
    const isText = types.size === 1;
    const isBounded = maxLength < UNBOUNDED || minLength > 1;
    const isLong =
      isBounded && Math.max(minLength, maxLength === UNBOUNDED ? 0 : maxLength) > MAX_WITH_BREAKS;
    const characters = isLong ? complement([[LINE_BREAK, LINE_BREAK]]) : ANY_CODE_POINT;
    if (isText && isLong && patterns.length + formats.length + except.length === 0) {
      return this.#longText(minLength, maxLength);
    }
    // Each rule with the end of the value behind it is an automaton: all rules as one term are far more work.
    const withEnd = (key: string, language: Language) =>
      this.#automaton(`${key} and the end`, (terms) =>
        terms.seq([language(terms), literal(terms, VALUE_END)]),
      );
    const parts = [
      this.#automaton(`text of ${isLong ? "one line" : "any lines"} and the end`, (terms) => {
        // The tag stands once, with the line break behind it.
        const more = terms.repeat(terms.bytes([[0, 0xff]]), 2, UNBOUNDED);
        const endsBefore = terms.seq([terms.all, literal(terms, VALUE_TAG), more]);
        const any = terms.repeat(utf8(terms, characters), 0, UNBOUNDED);
        return terms.allOf([terms.seq([any, literal(terms, VALUE_END)]), terms.not(endsBefore)]);
      }),
      ...ruled(rules).map(([key, language]) => withEnd(key, language)),
    ];
    if (!isText) {
      const read = [...types].sort().join();
      parts.push(withEnd(`no ${read}`, (terms) => terms.not(otherwiseRead(terms, types))));
    }
    return this.#all(parts);
  }

  /** Counted by the grammar, not by an automaton: without line breaks, no tag within it ends it. */
  #longText(minLength: number, maxLength: number): number {
    const builder = this.#builder;
    const characters = (without: readonly number[]) => {
      const terms = new RegexTerms(this.#limits.maxPatternWork, this.#builder.work);
      const set = complement(without.map((code) => [code, code] as const));
      const dfa = dfaOf(terms, utf8(terms, set), this.#limits.maxStates);
      if (dfa === null) throw new Error("there are characters");
      return dfa;
    };
    const first = builder.dfa(characters([LINE_BREAK, OPENS_TAG]));
    const more = builder.characters(characters([LINE_BREAK]), Math.max(0, minLength - 1), maxLength - 1);
    const text = builder.repeat(builder.seq([first, more]), minLength === 0 ? 0 : 1, 1);
    return builder.seq([text, builder.literal(VALUE_END)]);
  }

  /** What all of some automata accept. */
  #all(parts: readonly (Dfa | null)[]): number {
    const found = parts.filter((dfa) => dfa !== null);
    if (found.length < parts.length) return this.#builder.anyOf([]);
    const dfa = intersection(found, this.#limits.maxStates, this.#builder.work);
    return dfa === null ? this.#builder.anyOf([]) : this.#builder.dfa(dfa);
  }

  /** Made once for its key; null: no text is of it. */
  #automaton(key: string, language: Language): Dfa | null {
    let dfa = this.#automata.get(key);
    if (dfa === undefined) {
      const terms = new RegexTerms(this.#limits.maxPatternWork, this.#builder.work);
      dfa = dfaOf(terms, language(terms), this.#limits.maxStates);
      this.#automata.set(key, dfa);
    }
    return dfa;
  }

  #remembered(key: string, make: () => number): number {
    const node = this.#known.get(key) ?? make();
    this.#known.set(key, node);
    return node;
  }
}

/** Whether a text would be read as something else. */
export function isOtherwiseRead(text: string, types: ReadonlySet<JsonType>): boolean {
  return (
    types.size > 1 && otherwisePatterns(types).some((pattern) => new RegExp(`^(?:${pattern})$`).test(text))
  );
}

/** Texts that are read as something else than a text, by what the value may be. */
function otherwisePatterns(types: ReadonlySet<JsonType>): readonly string[] {
  const json = (value: string) => `${SPACE}(?:${value})${SPACE}`;
  return [
    ...(types.has("null") ? [json("null"), "None"] : []),
    ...(types.has("boolean") ? [json("true|false"), "True|False"] : []),
    ...(types.has("number") || types.has("integer") ? [json(NUMBER)] : []),
    ...(types.has("object") ? [`${SPACE}\\{[^]*`] : []),
    ...(types.has("array") ? [`${SPACE}\\[[^]*`] : []),
  ];
}

function otherwiseRead(terms: RegexTerms, types: ReadonlySet<JsonType>): Term {
  return terms.anyOf(otherwisePatterns(types).map((pattern) => wholeMatch(terms, utf8, pattern)));
}

/** Texts that each rule allows, and what tells it from other rules. */
function ruled({ minLength, maxLength, patterns, formats, except }: StringRules): [string, Language][] {
  const isCounted = minLength > 0 || maxLength < UNBOUNDED;
  return [
    ...patterns.map((pattern): [string, Language] => [
      `pattern ${pattern}`,
      (terms) => someMatch(terms, utf8, pattern),
    ]),
    ...formats.flatMap((format): [string, Language][] => {
      const pattern = formatPattern(format);
      return pattern === null ? [] : [[`format ${format}`, (terms) => wholeMatch(terms, utf8, pattern)]];
    }),
    ...(except.length === 0
      ? []
      : [
          [
            `none of ${JSON.stringify(except)}`,
            (terms) => terms.not(terms.anyOf(except.map((text) => literal(terms, text)))),
          ] satisfies [string, Language],
        ]),
    ...(isCounted
      ? [
          [
            `${minLength} to ${maxLength}`,
            (terms) => terms.repeat(utf8(terms, ANY_CODE_POINT), minLength, maxLength),
          ] satisfies [string, Language],
        ]
      : []),
  ];
}

function literal(terms: RegexTerms, text: string): Term {
  return terms.literal(new TextEncoder().encode(text));
}

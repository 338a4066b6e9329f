/**
 * The language of a regular expression, as a term. Anchors and look-aheads are no languages by themselves: what they say
 * is said of all that follows, so a pattern is compiled from its end to its begin, each part with the language behind it.
 */
import { invalidArgument } from "../errors.js";
import { ANY_CODE_POINT, type Encoding } from "./code-points.js";
import { type Pattern, parsePattern } from "./regex-pattern.js";
import { type RegexTerms, type Term, UNBOUNDED } from "./regex-terms.js";

/** Most repetitions that are written out because an anchor or a look-ahead is within them. */
const MAX_WRITTEN_OUT = 16;

/** Texts that match as a whole: what `^(?:…)$` finds. */
export function wholeMatch(terms: RegexTerms, encoding: Encoding, source: string): Term {
  return new PatternTerms(terms, encoding).behind(parsePattern(source), terms.empty, true);
}

/** Texts in which it is found somewhere, as JSON Schema's `pattern` means it. */
export function someMatch(terms: RegexTerms, encoding: Encoding, source: string): Term {
  const pattern = parsePattern(source);
  const compiler = new PatternTerms(terms, encoding);
  const character = encoding(terms, ANY_CODE_POINT);
  const anyText = terms.repeat(character, 0, UNBOUNDED);
  const later = compiler.behind(pattern, anyText, false);
  return terms.anyOf([
    compiler.behind(pattern, anyText, true),
    terms.seq([terms.repeat(character, 1, UNBOUNDED), later]),
  ]);
}

class PatternTerms {
  readonly #terms: RegexTerms;
  readonly #encoding: Encoding;
  readonly #anyText: Term;

  constructor(terms: RegexTerms, encoding: Encoding) {
    this.#terms = terms;
    this.#encoding = encoding;
    this.#anyText = terms.repeat(encoding(terms, ANY_CODE_POINT), 0, UNBOUNDED);
  }

  /**
   * The pattern, followed by `rest`.
   * @param atStart whether nothing is before it
   */
  behind(pattern: Pattern, rest: Term, atStart: boolean): Term {
    const terms = this.#terms;
    // What is written out within what is written out is soon more than there are terms.
    terms.spend();
    if (!saysOfOthers(pattern)) return terms.seq([this.#plain(pattern), rest]);
    switch (pattern.kind) {
      case "start":
        return atStart ? rest : terms.none;
      case "end":
        return terms.isNullable(rest) ? terms.empty : terms.none;
      case "look-ahead": {
        const seen = this.behind(pattern.item, this.#anyText, atStart);
        return terms.allOf([rest, pattern.negative ? terms.not(seen) : seen]);
      }
      case "alternatives":
        return terms.anyOf(pattern.items.map((item) => this.behind(item, rest, atStart)));
      case "seq":
        return this.#sequence(pattern.items, rest, atStart);
      case "repeat":
        return this.#repeat(pattern, rest, atStart);
      case "set":
        return terms.seq([this.#plain(pattern), rest]);
    }
  }

  #sequence(items: readonly Pattern[], rest: Term, atStart: boolean): Term {
    const starts: boolean[] = [];
    let start = atStart;
    items.forEach((item, i) => {
      starts.push(start);
      if (!start || isEmptyOnly(item)) return;
      const mayBeEmpty = canBeEmpty(item);
      if (mayBeEmpty && items.slice(i + 1).some(hasStart)) {
        throw invalidArgument("a pattern with `^` behind something that may be empty is not supported.");
      }
      start = false;
    });
    return items.reduceRight((behind, item, i) => this.behind(item, behind, starts[i]), rest);
  }

  #repeat({ item, min, max }: Extract<Pattern, { kind: "repeat" }>, rest: Term, atStart: boolean): Term {
    if (max > MAX_WRITTEN_OUT) {
      throw invalidArgument("a pattern that repeats an anchor or a look-ahead without end is not supported.");
    }
    let behind = rest;
    for (let i = max; i > 0; i--) {
      const again = this.behind(item, behind, atStart && i === 1);
      behind = i > min ? this.#terms.anyOf([rest, again]) : again;
    }
    return behind;
  }

  #plain(pattern: Pattern): Term {
    const terms = this.#terms;
    switch (pattern.kind) {
      case "set":
        return this.#encoding(terms, pattern.set);
      case "seq":
        return terms.seq(pattern.items.map((item) => this.#plain(item)));
      case "alternatives":
        return terms.anyOf(pattern.items.map((item) => this.#plain(item)));
      case "repeat":
        return terms.repeat(this.#plain(pattern.item), pattern.min, pattern.max);
      default:
        throw new Error(`${pattern.kind} is no language`);
    }
  }
}

/** Whether an anchor or a look-ahead is in it. */
function saysOfOthers(pattern: Pattern): boolean {
  switch (pattern.kind) {
    case "set":
      return false;
    case "repeat":
      return saysOfOthers(pattern.item);
    case "seq":
    case "alternatives":
      return pattern.items.some(saysOfOthers);
    default:
      return true;
  }
}

function hasStart(pattern: Pattern): boolean {
  if (pattern.kind === "start") return true;
  if (pattern.kind === "repeat" || pattern.kind === "look-ahead") return hasStart(pattern.item);
  return "items" in pattern && pattern.items.some(hasStart);
}

/** Whether it never takes a character. */
function isEmptyOnly(pattern: Pattern): boolean {
  if (pattern.kind === "set") return false;
  if (pattern.kind === "repeat") return pattern.max === 0 || isEmptyOnly(pattern.item);
  return "items" in pattern ? pattern.items.every(isEmptyOnly) : true;
}

/** Whether it may take none. */
function canBeEmpty(pattern: Pattern): boolean {
  switch (pattern.kind) {
    case "set":
      return false;
    case "repeat":
      return pattern.min === 0 || canBeEmpty(pattern.item);
    case "seq":
      return pattern.items.every(canBeEmpty);
    case "alternatives":
      return pattern.items.some(canBeEmpty);
    default:
      return true;
  }
}

/**
 * Regular languages of bytes as terms: each language that is written the same way is one term, so that terms are compared
 * by their numbers. A term's derivative by a byte is the language of what may follow that byte (J. A. Brzozowski,
 * "Derivatives of Regular Expressions", 1964); with intersection and complement among the operations, as in S. Owens,
 * J. Reppy, A. Turon, "Regular-expression derivatives re-examined", 2009.
 *
 * Owns all terms of one language, and counts the work: where it passes a limit, the same on every machine, making terms
 * ends with an error.
 */
import { invalidArgument } from "../errors.js";
import { Work } from "./work.js";

/** A term's number in its `RegexTerms`. */
export type Term = number;

/** Inclusive ranges of bytes, ascending, none touching the next. */
export type ByteRanges = readonly (readonly [number, number])[];

type Shape = ShortShape | LongShape;

/** Of no text, or of texts of at most one byte. */
type ShortShape =
  | { readonly kind: "none" }
  | { readonly kind: "empty" }
  | { readonly kind: "bytes"; readonly ranges: ByteRanges };

type LongShape =
  | { readonly kind: "seq"; readonly first: Term; readonly rest: Term }
  | { readonly kind: "any-of" | "all-of"; readonly terms: readonly Term[] }
  | { readonly kind: "not"; readonly term: Term }
  | { readonly kind: "repeat"; readonly term: Term; readonly min: number; readonly max: number };

/** No upper bound of a repetition. */
export const UNBOUNDED = Number.POSITIVE_INFINITY;

export class RegexTerms {
  /** The language without any text. */
  readonly none: Term;
  /** The language of the empty text. */
  readonly empty: Term;
  /** All texts. */
  readonly all: Term;
  readonly #shapes: Shape[] = [];
  readonly #nullable: boolean[] = [];
  readonly #byKey = new Map<string, Term>();
  readonly #derivatives = new Map<number, Term>();
  readonly #startsOf: (readonly number[])[] = [];
  readonly #starts = new Set<number>();
  /** The work of all that is compiled along with it. */
  readonly work: Work;
  readonly #maxWork: number;
  #count = 0;

  /** @param maxWork most terms and derivatives that are made before it is given up */
  constructor(maxWork: number, work = new Work()) {
    this.work = work;
    this.#maxWork = maxWork;
    this.none = this.#make("0", { kind: "none" }, false);
    this.empty = this.#make("1", { kind: "empty" }, true);
    this.all = this.not(this.none);
  }

  /** Bytes at which some set of this compilation begins: between two of them all bytes are alike. Ascending, 0 first. */
  get classStarts(): readonly number[] {
    return [...this.#starts.add(0)].sort((a, b) => a - b);
  }

  /** Bytes between which a term treats all alike: what may follow one may follow the next. Ascending, 0 first. */
  startsOf(term: Term): readonly number[] {
    const known = this.#startsOf[term];
    if (known !== undefined) return known;
    const parts = this.#beginsOf(term);
    const [only] = parts;
    const starts = parts.length === 1 && typeof only === "number" ? this.startsOf(only) : this.#united(parts);
    this.#startsOf[term] = starts;
    return starts;
  }

  /** Terms, or ranges of bytes, that say what it begins with. */
  #beginsOf(term: Term): readonly (Term | ByteRanges)[] {
    const shape = this.#shapes[term];
    switch (shape.kind) {
      case "none":
      case "empty":
        return [];
      case "bytes":
        return [shape.ranges];
      case "any-of":
      case "all-of":
        return shape.terms;
      case "not":
      case "repeat":
        return [shape.term];
      case "seq": {
        // Part by part: there may be thousands that may all be empty.
        const parts: Term[] = [];
        let behind: Shape = shape;
        for (; behind.kind === "seq"; behind = this.#shapes[behind.rest]) {
          parts.push(behind.first);
          if (!this.isNullable(behind.first)) return parts;
          if (this.#shapes[behind.rest].kind !== "seq") parts.push(behind.rest);
        }
        return parts;
      }
    }
  }

  #united(parts: readonly (Term | ByteRanges)[]): readonly number[] {
    this.spend(parts.length);
    const isStart = new Uint8Array(256);
    isStart[0] = 1;
    for (const part of parts) {
      if (typeof part === "number") for (const byte of this.startsOf(part)) isStart[byte] = 1;
      else
        for (const [low, high] of part) {
          isStart[low] = 1;
          if (high < 255) isStart[high + 1] = 1;
        }
    }
    const starts: number[] = [];
    for (let byte = 0; byte < 256; byte++) if (isStart[byte] === 1) starts.push(byte);
    return starts;
  }

  isNullable(term: Term): boolean {
    return this.#nullable[term];
  }

  /** One byte of these ranges. */
  bytes(ranges: ByteRanges): Term {
    if (ranges.length === 0) return this.none;
    for (const [low, high] of ranges) {
      this.#starts.add(low);
      if (high < 255) this.#starts.add(high + 1);
    }
    return this.#make(`b${ranges.join(";")}`, { kind: "bytes", ranges }, false);
  }

  literal(bytes: Iterable<number>): Term {
    return this.seq([...bytes].map((byte) => this.bytes([[byte, byte]])));
  }

  seq(terms: readonly Term[]): Term {
    return terms.reduceRight((rest, first) => this.#pair(first, rest), this.empty);
  }

  anyOf(terms: readonly Term[]): Term {
    // Most of a derivative's ways lead nowhere.
    const some = terms.filter((term) => term !== this.none);
    if (some.length < 2) return some[0] ?? this.none;
    const all = this.#flat("any-of", some);
    if (all.has(this.all)) return this.all;
    return this.#group("any-of", all, this.none);
  }

  allOf(terms: readonly Term[]): Term {
    if (terms.includes(this.none)) return this.none;
    const all = this.#flat("all-of", terms);
    all.delete(this.all);
    if (all.has(this.empty)) return [...all].every((term) => this.isNullable(term)) ? this.empty : this.none;
    return this.#group("all-of", all, this.all);
  }

  /** All texts that are not of the term. */
  not(term: Term): Term {
    const shape = this.#shapes[term];
    if (shape.kind === "not") return shape.term;
    return this.#make(`!${term}`, { kind: "not", term }, !this.isNullable(term));
  }

  /** The term `min` to `max` times; `max` may be `UNBOUNDED`. */
  repeat(term: Term, min: number, max: number): Term {
    if (max === 0 || term === this.empty) return this.empty;
    if (term === this.none) return min === 0 ? this.empty : this.none;
    if (term === this.all) return this.all;
    const least = this.isNullable(term) ? 0 : min;
    if (least === 1 && max === 1) return term;
    const shape = this.#shapes[term];
    if (
      shape.kind === "repeat" &&
      least <= 1 &&
      shape.min <= 1 &&
      shape.max === UNBOUNDED &&
      max === UNBOUNDED
    ) {
      return this.repeat(shape.term, least === 0 ? 0 : shape.min, UNBOUNDED);
    }
    return this.#make(`r${term},${least},${max}`, { kind: "repeat", term, min: least, max }, least === 0);
  }

  /** The language of what may follow `byte`. */
  derivative(term: Term, byte: number): Term {
    const shape = this.#shapes[term];
    // Seen at once, and not worth to be kept.
    if (shape.kind === "bytes") return holds(shape.ranges, byte) ? this.empty : this.none;
    if (shape.kind === "none" || shape.kind === "empty") return this.none;
    const key = term * 256 + byte;
    const known = this.#derivatives.get(key);
    if (known !== undefined) return known;
    this.spend();
    const result = this.#derive(term, shape, byte);
    this.#derivatives.set(key, result);
    return result;
  }

  #derive(term: Term, shape: LongShape, byte: number): Term {
    switch (shape.kind) {
      case "seq":
        return this.#deriveSequence(term, byte);
      case "any-of":
        return this.anyOf(shape.terms.map((one) => this.derivative(one, byte)));
      case "all-of":
        return this.allOf(shape.terms.map((one) => this.derivative(one, byte)));
      case "not":
        return this.not(this.derivative(shape.term, byte));
      case "repeat": {
        const { min, max } = shape;
        const rest = this.repeat(shape.term, Math.max(0, min - 1), max - 1);
        return this.#pair(this.derivative(shape.term, byte), rest);
      }
    }
  }

  /** Part by part, for as long as the parts may be empty: there may be thousands, too many to go down into each other. */
  #deriveSequence(term: Term, byte: number): Term {
    const ways: Term[] = [];
    let behind = term;
    for (let shape = this.#shapes[behind]; shape.kind === "seq"; shape = this.#shapes[behind]) {
      this.spend();
      ways.push(this.#pair(this.derivative(shape.first, byte), shape.rest));
      if (!this.isNullable(shape.first)) return this.anyOf(ways);
      behind = shape.rest;
    }
    return this.anyOf([...ways, this.derivative(behind, byte)]);
  }

  #pair(first: Term, rest: Term): Term {
    // To the right, so that one language is written one way.
    const parts: Term[] = [];
    let last = first;
    for (let shape = this.#shapes[last]; shape.kind === "seq"; shape = this.#shapes[last]) {
      parts.push(shape.first);
      last = shape.rest;
    }
    this.work.spend(parts.length);
    return parts.reduceRight((behind, part) => this.#simplePair(part, behind), this.#simplePair(last, rest));
  }

  /** `first` is no sequence. */
  #simplePair(first: Term, rest: Term): Term {
    if (first === this.none || rest === this.none) return this.none;
    if (first === this.empty) return rest;
    if (rest === this.empty) return first;
    const nullable = this.isNullable(first) && this.isNullable(rest);
    return this.#make(`.${first},${rest}`, { kind: "seq", first, rest }, nullable);
  }

  #flat(kind: "any-of" | "all-of", terms: readonly Term[]): Set<Term> {
    const all = new Set<Term>();
    for (const term of terms) {
      const shape = this.#shapes[term];
      if (shape.kind === kind) for (const one of shape.terms) all.add(one);
      else all.add(term);
    }
    return all;
  }

  #group(kind: "any-of" | "all-of", all: ReadonlySet<Term>, none: Term): Term {
    if (all.size === 0) return none;
    const terms = [...all].sort((a, b) => a - b);
    if (terms.length === 1) return terms[0];
    this.spend(terms.length);
    const some = kind === "any-of";
    const nullable = some
      ? terms.some((term) => this.isNullable(term))
      : terms.every((term) => this.isNullable(term));
    return this.#make(`${some ? "|" : "&"}${terms.join(",")}`, { kind, terms }, nullable);
  }

  #make(key: string, shape: Shape, nullable: boolean): Term {
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    this.spend();
    const term = this.#shapes.push(shape) - 1;
    this.#nullable.push(nullable);
    this.#byKey.set(key, term);
    return term;
  }

  /** @throws LastrowError `invalid_argument` when it was too much work */
  spend(work = 1): void {
    this.work.spend(work);
    this.#count += work;
    if (this.#count > this.#maxWork) {
      throw invalidArgument(
        "this pattern takes too much work to compile; make it shorter or give it smaller counts.",
      );
    }
  }
}

function holds(ranges: ByteRanges, byte: number): boolean {
  for (const [low, high] of ranges) if (byte <= high) return low <= byte;
  return false;
}

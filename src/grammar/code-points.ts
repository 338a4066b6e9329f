/**
 * Sets of Unicode code points, and how they are written as bytes: in UTF-8, and within a JSON string as `JSON.stringify`
 * writes them. No set holds surrogates (U+D800 to U+DFFF): no UTF-8 text has them.
 */
import type { RegexTerms, Term } from "./regex-terms.js";

/** Inclusive ranges, ascending, none touching the next. */
export type CodePoints = readonly (readonly [number, number])[];

const LAST = 0x10ffff;

/** All of them. */
export const ANY_CODE_POINT: CodePoints = [
  [0, 0xd7ff],
  [0xe000, LAST],
];

/** The set of these ranges, in whatever order, overlapping or not. */
export function codePoints(ranges: CodePoints): CodePoints {
  const out: [number, number][] = [];
  for (const [low, high] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const last = out.at(-1);
    if (last !== undefined && low <= last[1] + 1) last[1] = Math.max(last[1], high);
    else out.push([low, high]);
  }
  return intersection(out, ANY_CODE_POINT);
}

/** All others. */
export function complement(set: CodePoints): CodePoints {
  const out: [number, number][] = [];
  let from = 0;
  for (const [low, high] of set) {
    if (from < low) out.push([from, low - 1]);
    from = high + 1;
  }
  if (from <= LAST) out.push([from, LAST]);
  return intersection(out, ANY_CODE_POINT);
}

function intersection(a: CodePoints, b: CodePoints): CodePoints {
  const out: (readonly [number, number])[] = [];
  for (const [low, high] of a) {
    for (const [from, to] of b) {
      if (Math.max(low, from) <= Math.min(high, to)) out.push([Math.max(low, from), Math.min(high, to)]);
    }
  }
  return out;
}

/** How characters are written as bytes. */
export type Encoding = (terms: RegexTerms, set: CodePoints) => Term;

/** Ends of the ranges of code points that UTF-8 writes in one, two, three and four bytes. */
const UTF8_ENDS = [0x7f, 0x7ff, 0xffff, LAST];

/** In UTF-8. */
export const utf8: Encoding = (terms, set) => {
  const options: Term[] = [];
  for (const [low, high] of set) {
    let from = low;
    for (const end of UTF8_ENDS) {
      if (from > Math.min(high, end)) continue;
      const to = Math.min(high, end);
      options.push(...utf8Sequences(terms, encoded(from), encoded(to)));
      from = to + 1;
    }
  }
  return terms.anyOf(options);
};

/** Within a JSON string, as `JSON.stringify` writes them: each character in one way only. */
export const jsonString: Encoding = (terms, set) => {
  const plain = intersection(set, PLAIN);
  const escaped = intersection(set, complement(PLAIN)).flatMap(([low, high]) =>
    Array.from({ length: high - low + 1 }, (_, i) =>
      JSON.stringify(String.fromCodePoint(low + i)).slice(1, -1),
    ),
  );
  const escapes = escaped.map((text) => terms.literal(new TextEncoder().encode(text)));
  return terms.anyOf([utf8(terms, plain), ...escapes]);
};

/** Characters that stand for themselves in a JSON string: all but control characters, `"` and `\`. */
const PLAIN: CodePoints = [
  [0x20, 0x21],
  [0x23, 0x5b],
  [0x5d, 0xd7ff],
  [0xe000, LAST],
];

function encoded(codePoint: number): readonly number[] {
  return [...new TextEncoder().encode(String.fromCodePoint(codePoint))];
}

/** All byte sequences from `low` to `high`, both of one length, whose later bytes go from 80 to BF. */
function utf8Sequences(terms: RegexTerms, low: readonly number[], high: readonly number[]): Term[] {
  const [first, ...lows] = low;
  const [last, ...highs] = high;
  if (lows.length === 0) return [terms.bytes([[first, last]])];
  const lowest = lows.map(() => 0x80);
  const highest = highs.map(() => 0xbf);
  const behind = (byte: readonly [number, number], from: readonly number[], to: readonly number[]) =>
    utf8Sequences(terms, from, to).map((rest) => terms.seq([terms.bytes([byte]), rest]));
  if (first === last) return behind([first, first], lows, highs);
  const [from, out]: [number, Term[]] = lows.some((byte) => byte !== 0x80)
    ? [first + 1, behind([first, first], lows, highest)]
    : [first, []];
  const endsInside = highs.some((byte) => byte !== 0xbf);
  const to = endsInside ? last - 1 : last;
  if (from <= to) out.push(...behind([from, to], lowest, highest));
  if (endsInside) out.push(...behind([last, last], lowest, highs));
  return out;
}

/** Free text of an answer that may call tools, as automata: up to the marker of its first call, or without any. */
import type { Dfa } from "../grammar/dfa.js";
import type { SchemaLimits } from "../grammar/json-schema/schema-limits.js";
import { dfaOf } from "../grammar/make-dfa.js";
import { RegexTerms, type Term, UNBOUNDED } from "../grammar/regex-terms.js";
import { NO_TEXT, specialTokenBytes } from "../grammar/token-trie.js";
import type { Work } from "../grammar/work.js";
import type { CallMarker } from "./call-format.js";

/** Text, and the marker that ends it; the whole may end before that. */
export function textUpTo(marker: CallMarker, limits: SchemaLimits, work: Work): Dfa {
  return freeText(limits, work, (terms) => {
    const ending = terms.literal(markerBytes(marker));
    return { ending, without: marker.token === null ? ending : null, notFirst: null };
  });
}

/**
 * Text to the end, which holds no call.
 * @param begin what calls begin with; null: they are the whole answer, and begin as JSON
 * @param names what may be called, which only matters for those
 */
export function textWithout(
  begin: CallMarker | null,
  names: readonly string[],
  limits: SchemaLimits,
  work: Work,
): Dfa {
  return freeText(limits, work, (terms) => ({
    // No token goes on with this, so that the automaton accepts nowhere: the text is whole wherever it ends.
    ending: terms.literal([NO_TEXT, NO_TEXT]),
    without: begin === null || begin.token !== null ? null : terms.literal(markerBytes(begin)),
    notFirst: begin === null ? callBeginning(terms, names) : null,
  }));
}

/** The bytes that a marker is in a grammar. */
export function markerBytes({ text, token }: CallMarker): Uint8Array {
  return token === null ? new TextEncoder().encode(text) : specialTokenBytes(token);
}

/** How free text ends; what is nowhere in it, but as its end; what it does not begin with. */
interface FreeText {
  readonly ending: Term;
  readonly without: Term | null;
  readonly notFirst: Term | null;
}

function freeText(limits: SchemaLimits, work: Work, language: (terms: RegexTerms) => FreeText): Dfa {
  const terms = new RegexTerms(limits.maxPatternWork, work);
  const { ending, without, notFirst } = language(terms);
  const any = terms.repeat(terms.bytes([[0, NO_TEXT - 1]]), 0, UNBOUNDED);
  const some = terms.repeat(terms.bytes([[0, NO_TEXT]]), 1, UNBOUNDED);
  const none = [
    ...(without === null ? [] : [terms.seq([any, without, some])]),
    ...(notFirst === null ? [] : [terms.seq([notFirst, some])]),
  ];
  const whole = terms.allOf([terms.seq([any, ending]), ...none.map((one) => terms.not(one))]);
  const dfa = dfaOf(terms, whole, limits.maxStates);
  if (dfa === null) throw new Error("there is free text");
  return dfa;
}

/** What an answer begins with that is a call by itself, as its reader sees it. */
function callBeginning(terms: RegexTerms, names: readonly string[]): Term {
  const encoder = new TextEncoder();
  const literal = (text: string) => terms.literal(encoder.encode(text));
  const space = terms.repeat(
    terms.bytes([
      [0x09, 0x0a],
      [0x0d, 0x0d],
      [0x20, 0x20],
    ]),
    0,
    UNBOUNDED,
  );
  const spaced = (parts: readonly string[]) => parts.flatMap((part) => [space, literal(part)]);
  const type = terms.seq(spaced(['"type"', ":", '"function"', ","]));
  return terms.seq([
    ...spaced(["{"]),
    terms.repeat(type, 0, 1),
    ...spaced(['"name"', ":"]),
    ...[space, terms.anyOf(names.map((name) => literal(`"${name}"`)))],
  ]);
}

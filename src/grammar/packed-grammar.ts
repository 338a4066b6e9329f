/**
 * A grammar on its way between threads: its nodes, of which there may be a hundred thousand, and its automata in two arrays of
 * shared memory. Whoever only passes it on is not held up by it, and a node is an object again when it is first asked for.
 */
import type { Dfa } from "./dfa.js";
import type { Grammar, GrammarNode, Indexed, WholeGrammar } from "./grammar.js";
import { sharedBytes } from "./shared-memory.js";

export interface PackedGrammar {
  /**
   * Where each node begins, and behind the last of them each automaton, and where the last ends; then nodes and automata.
   */
  readonly words: Int32Array;
  /** Bytes of literals; of automata, the classes of all bytes, and which states accept. */
  readonly bytes: Uint8Array;
  readonly nodes: number;
  readonly dfas: number;
  readonly root: number;
}

const KINDS = ["literal", "dfa", "characters", "seq", "any-of", "repeat"] as const;
/** No upper bound. */
const UNBOUNDED = -1;
/** A count that no text has. */
const MOST = 0x7fffffff;

export function packGrammar({ nodes, dfas, root }: WholeGrammar): PackedGrammar {
  const texts: Uint8Array[] = [];
  let numBytes = 0;
  const place = (text: Uint8Array) => {
    texts.push(text);
    numBytes += text.length;
    return numBytes - text.length;
  };
  const rows = nodes.map((node) => [KINDS.indexOf(node.kind), ...wordsOf(node, place)]);
  const heads = dfas.map(({ classOf, accepting, numClasses }) => [
    ...[numClasses, accepting.length],
    ...[place(classOf), place(accepting)],
  ]);
  // Where each begins, and where the last ends; then all of them.
  const sizes = [
    ...rows.map(({ length }) => length),
    ...heads.map(({ length }, i) => length + dfas[i].next.length),
  ];
  const begin = sizes.length + 1;
  const size = sizes.reduce((sum, length) => sum + length, begin);
  const words = new Int32Array(sharedBytes(size * Int32Array.BYTES_PER_ELEMENT));
  let at = begin;
  sizes.forEach((length, i) => {
    words[i] = at;
    if (i < rows.length) words.set(rows[i], at);
    else {
      const head = heads[i - rows.length];
      words.set(head, at);
      words.set(dfas[i - rows.length].next, at + head.length);
    }
    at += length;
  });
  words[sizes.length] = at;
  const bytes = new Uint8Array(sharedBytes(numBytes));
  let filled = 0;
  for (const text of texts) {
    bytes.set(text, filled);
    filled += text.length;
  }
  return { words, bytes, nodes: nodes.length, dfas: dfas.length, root };
}

function wordsOf(node: GrammarNode, place: (bytes: Uint8Array) => number): readonly number[] {
  const bounds = ({ min, max }: { readonly min: number; readonly max: number }) => [
    Math.min(min, MOST),
    max === Number.POSITIVE_INFINITY ? UNBOUNDED : Math.min(max, MOST),
  ];
  switch (node.kind) {
    case "literal":
      return [place(node.bytes), node.bytes.length];
    case "dfa":
      return [node.dfa, node.mayStop ? 1 : 0];
    case "characters":
      return [node.dfa, ...bounds(node)];
    case "seq":
    case "any-of":
      return node.items;
    case "repeat":
      return [node.item, ...bounds(node)];
  }
}

/** The grammar again; its nodes and automata are made when they are asked for. */
export function unpackGrammar(packed: PackedGrammar): Grammar {
  const { words, bytes, root } = packed;
  const row = (index: number) => words.subarray(words[index], words[index + 1]);
  return {
    nodes: made(packed.nodes, (i) => nodeOf(row(i), bytes)),
    dfas: made(packed.dfas, (i) => dfaOf(row(packed.nodes + i), bytes)),
    root,
  };
}

function made<T>(length: number, make: (index: number) => T): Indexed<T> {
  const known = new Array<T | undefined>(length);
  return {
    at(index) {
      known[index] ??= make(index);
      return known[index];
    },
  };
}

function nodeOf(row: Int32Array, bytes: Uint8Array): GrammarNode {
  const [number, a, b, c] = row;
  const kind = KINDS[number];
  const max = (count: number) => (count === UNBOUNDED ? Number.POSITIVE_INFINITY : count);
  switch (kind) {
    case "literal":
      return { kind, bytes: bytes.subarray(a, a + b) };
    case "dfa":
      return { kind, dfa: a, mayStop: b === 1 };
    case "characters":
      return { kind, dfa: a, min: b, max: max(c) };
    case "seq":
    case "any-of":
      return { kind, items: [...row.subarray(1)] };
    case "repeat":
      return { kind, item: a, min: b, max: max(c) };
  }
}

function dfaOf(row: Int32Array, bytes: Uint8Array): Dfa {
  const [numClasses, states, classOf, accepting] = row;
  return {
    numClasses,
    classOf: bytes.subarray(classOf, classOf + 256),
    accepting: bytes.subarray(accepting, accepting + states),
    next: row.subarray(4),
  };
}

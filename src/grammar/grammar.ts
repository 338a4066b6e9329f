/**
 * A grammar as plain data that crosses threads: nodes that refer to each other by their index, and to automata for what is
 * regular. A node may be within itself (a list in a list), unless it would then begin with itself.
 */
import { invalidArgument } from "../errors.js";
import type { Dfa } from "./dfa.js";
import { Work } from "./work.js";

export type GrammarNode =
  /** These bytes. */
  | { readonly kind: "literal"; readonly bytes: Uint8Array }
  /** A text that the automaton accepts; with `mayStop` the whole text may also end where it does not accept yet. */
  | { readonly kind: "dfa"; readonly dfa: number; readonly mayStop: boolean }
  /**
   * `min` to `max` texts that the automaton accepts: characters of a string. None of them is empty or the beginning of
   * another, and what follows the node begins with a byte that none of them begins with. `max` may be Infinity.
   */
  | { readonly kind: "characters"; readonly dfa: number; readonly min: number; readonly max: number }
  | { readonly kind: "seq" | "any-of"; readonly items: readonly number[] }
  /** `max` may be Infinity. */
  | { readonly kind: "repeat"; readonly item: number; readonly min: number; readonly max: number };

type LeafNode = Extract<GrammarNode, { readonly kind: "literal" | "dfa" | "characters" }>;

/** A list, or what makes its entries when they are asked for. */
export interface Indexed<T> {
  at(index: number): T | undefined;
}

export interface Grammar {
  readonly nodes: Indexed<GrammarNode>;
  readonly dfas: Indexed<Dfa>;
  /** The node that a whole text is of. */
  readonly root: number;
}

/** One with everything made. */
export interface WholeGrammar extends Grammar {
  readonly nodes: readonly GrammarNode[];
  readonly dfas: readonly Dfa[];
}

/** Puts a grammar together. Whatever has no text (null) takes what needs it along. */
export class GrammarBuilder {
  readonly #nodes: (GrammarNode | null)[] = [];
  readonly #dfas: Dfa[] = [];
  readonly #numbers = new Map<Dfa, number>();
  /** The work of all that is compiled into it. */
  readonly work: Work;
  readonly #maxNodes: number;

  constructor(maxNodes: number, work = new Work()) {
    this.#maxNodes = maxNodes;
    this.work = work;
  }

  literal(text: string): number {
    return this.bytes(new TextEncoder().encode(text));
  }

  bytes(bytes: Uint8Array): number {
    return this.#add({ kind: "literal", bytes });
  }

  dfa(dfa: Dfa, { mayStop = false } = {}): number {
    return this.#add({ kind: "dfa", dfa: this.#numberOf(dfa), mayStop });
  }

  characters(dfa: Dfa, min: number, max: number): number {
    return this.#add({ kind: "characters", dfa: this.#numberOf(dfa), min, max });
  }

  seq(items: readonly number[]): number {
    return items.length === 1 ? items[0] : this.#add({ kind: "seq", items });
  }

  anyOf(items: readonly number[]): number {
    return items.length === 1 ? items[0] : this.#add({ kind: "any-of", items });
  }

  repeat(item: number, min: number, max: number): number {
    return this.#add({ kind: "repeat", item, min, max });
  }

  /** A node to refer to before it is there: `define` says later what it is. */
  declare(): number {
    return this.#add(null);
  }

  define(declared: number, node: number): void {
    this.#nodes[declared] = { kind: "seq", items: [node] };
  }

  /** Those of some nodes that no text is of. */
  withoutText(nodes: readonly number[]): readonly number[] {
    const hasText = productive(this.#whole(), this.work);
    return nodes.filter((node) => !hasText[node]);
  }

  /**
   * @throws LastrowError `invalid_argument` when no text is of the grammar, or a node begins with itself
   */
  grammar(root: number): WholeGrammar {
    return checked({ nodes: this.#whole(), dfas: this.#dfas, root }, this.work);
  }

  #whole(): readonly GrammarNode[] {
    return this.#nodes.map((node, i) => {
      if (node === null) throw new Error(`node ${i} is declared and not defined`);
      return node;
    });
  }

  #add(node: GrammarNode | null): number {
    if (this.#nodes.length >= this.#maxNodes) {
      throw invalidArgument(`the grammar has more than ${this.#maxNodes} parts; make it smaller.`);
    }
    return this.#nodes.push(node) - 1;
  }

  #numberOf(dfa: Dfa): number {
    const known = this.#numbers.get(dfa);
    if (known !== undefined) return known;
    const number = this.#dfas.push(dfa) - 1;
    this.#numbers.set(dfa, number);
    return number;
  }
}

/** The grammar without what has no text; see `GrammarBuilder.grammar`. */
function checked({ nodes, dfas, root }: WholeGrammar, work: Work): WholeGrammar {
  const hasText = productive(nodes, work);
  if (!hasText[root]) throw invalidArgument("no text fits the grammar: something in it contradicts itself.");
  const kept = nodes.map((node): GrammarNode => {
    if (node.kind === "any-of") return { ...node, items: node.items.filter((item) => hasText[item]) };
    if (node.kind === "repeat" && !hasText[node.item]) return { kind: "seq", items: [] };
    return node;
  });
  refuseLeftRecursion(kept, dfas, root, work);
  return { nodes: kept, dfas, root };
}

/** Per node: whether some text is of it. */
function productive(nodes: readonly GrammarNode[], work: Work): readonly boolean[] {
  return fixedPoint(nodes, work, () => true);
}

/**
 * Per node: whether it holds, where that is known of those without parts: a sequence needs all of its parts for it, a
 * choice one.
 */
function fixedPoint(
  nodes: readonly GrammarNode[],
  work: Work,
  holds: (leaf: LeafNode) => boolean,
): readonly boolean[] {
  const users: number[][] = nodes.map(() => []);
  const missing = nodes.map((node, i) => {
    const items = new Set(itemsOf(node));
    work.spend(1 + items.size);
    for (const item of items) users[item].push(i);
    if ("items" in node) {
      if (node.kind === "seq") return items.size;
      return items.size === 0 ? Number.POSITIVE_INFINITY : 1;
    }
    if (node.kind === "repeat") return node.min === 0 ? 0 : 1;
    return holds(node) ? 0 : Number.POSITIVE_INFINITY;
  });
  const waiting = [...nodes.keys()].filter((i) => missing[i] === 0);
  for (let i = waiting.pop(); i !== undefined; i = waiting.pop()) {
    for (const user of users[i]) {
      missing[user] -= 1;
      if (missing[user] === 0) waiting.push(user);
    }
  }
  return missing.map((count) => count <= 0);
}

function itemsOf(node: GrammarNode): readonly number[] {
  if (node.kind === "repeat") return [node.item];
  return "items" in node ? node.items : [];
}

function refuseLeftRecursion(
  nodes: readonly GrammarNode[],
  dfas: readonly Dfa[],
  root: number,
  work: Work,
): void {
  const nullable = fixedPoint(nodes, work, (leaf) => {
    if (leaf.kind === "literal") return leaf.bytes.length === 0;
    return leaf.kind === "dfa" ? dfas[leaf.dfa].accepting[0] === 1 : leaf.min === 0;
  });
  const begins = (node: GrammarNode): readonly number[] => {
    if (node.kind === "any-of") return node.items;
    if (node.kind === "repeat") return node.max > 0 ? [node.item] : [];
    if (node.kind !== "seq") return [];
    const end = node.items.findIndex((item) => !nullable[item]);
    return end < 0 ? node.items : node.items.slice(0, end + 1);
  };
  const state = new Uint8Array(nodes.length);
  const path: { readonly node: number; readonly items: readonly number[]; at: number }[] = [];
  const enter = (node: number) => {
    state[node] = 1;
    path.push({ node, items: begins(nodes[node]), at: 0 });
  };
  // All that can be met, by whatever way: a loop within a part counts wherever the part is.
  for (const start of [root, ...nodes.keys()]) {
    if (state[start] !== 0) continue;
    enter(start);
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      if (top.at === top.items.length) {
        state[top.node] = 2;
        path.pop();
        continue;
      }
      const item = top.items[top.at++];
      if (state[item] === 1) {
        throw invalidArgument(
          "a part of the grammar begins with itself, which never ends; let it begin with something else.",
        );
      }
      if (state[item] === 0) enter(item);
    }
  }
}

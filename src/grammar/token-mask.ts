/**
 * Which tokens may come next: those whose bytes go on from a state of the grammar. A mask is the same on every machine, and
 * depends on the state alone. Computing one can be done in pieces, so that nothing waits for it.
 *
 * What may follow within one automaton depends on its own state and on nothing behind it, so it is found once (automaton-reach.ts): the
 * tokens that stay inside, and the nodes of the tree where the automaton is done and something else goes on. Most masks are
 * then a copy, and a walk through few tokens (a token-level split like that of Y. Dong et al., "XGrammar", 2024).
 */
import { type AutomatonReaches, GrammarReaches } from "./automaton-reach.js";
import type { Dfa } from "./dfa.js";
import type { GrammarState, GrammarStates, Way } from "./grammar-state.js";
import type { TokenMask } from "./reach-passes.js";
import type { TokenTrie } from "./token-trie.js";

/** Words of a mask, as a power of two, that are added in the time of a look at a node. */
const WORDS_PER_NODE_LOG2 = 4;

/** Most masks that are kept. */
const MAX_MASKS = 256;

export class TokenMasks {
  readonly trie: TokenTrie;
  readonly #states: GrammarStates;
  readonly #vocabSize: number;
  readonly #masks = new Map<GrammarState, TokenMask>();
  readonly #jobs = new Map<GrammarState, MaskJob>();
  readonly #reaches: GrammarReaches;

  /** @param common reaches of automata that many grammars have; they tell nothing of any of them */
  constructor(states: GrammarStates, trie: TokenTrie, common: readonly AutomatonReaches[] = []) {
    this.#states = states;
    this.#reaches = new GrammarReaches(trie, common);
    this.trie = trie;
    this.#vocabSize = trie.alike.length;
  }

  /**
   * The tokens that may follow in a state; not to be changed. No end token is among them: whether a text may end is
   * `GrammarStates.open(state).mayEnd`.
   * @param fuel nodes of the tree that may be looked at now, about
   * @returns null when that was not enough: another call goes on
   */
  mask(state: GrammarState, fuel = Number.POSITIVE_INFINITY): TokenMask | null {
    const open = this.#states.open(state);
    const known = this.#masks.get(open);
    if (known !== undefined) {
      // The one that was asked for longest ago is first to go.
      this.#masks.delete(open);
      this.#masks.set(open, known);
      return known;
    }
    let job = this.#jobs.get(open);
    if (job === undefined) {
      job = new MaskJob(
        this.#states,
        this.trie,
        this.#reaches,
        new Uint32Array(Math.ceil(this.#vocabSize / 32)),
        open,
      );
      this.#jobs.set(open, job);
    }
    if (!job.run(fuel)) return null;
    this.#jobs.delete(open);
    remember(this.#masks, open, job.mask, MAX_MASKS);
    return job.mask;
  }
}

function remember<K, V>(map: Map<K, V>, key: K, value: V, most: number): void {
  if (map.size >= most)
    for (const oldest of map.keys()) {
      map.delete(oldest);
      break;
    }
  map.set(key, value);
}

class MaskJob {
  readonly mask: TokenMask;
  readonly #states: GrammarStates;
  readonly #trie: TokenTrie;
  readonly #reaches: GrammarReaches;
  /** Ways that still are to be followed from the root, and states from other nodes. */
  readonly #ways: Way[];
  readonly #waiting: { readonly node: number; readonly state: GrammarState }[] = [];
  readonly #seen = new Set<string>();
  #fuel = 0;

  constructor(
    states: GrammarStates,
    trie: TokenTrie,
    reaches: GrammarReaches,
    mask: TokenMask,
    open: GrammarState,
  ) {
    this.#states = states;
    this.#trie = trie;
    this.#reaches = reaches;
    this.mask = mask;
    this.#ways = [...open.ways];
  }

  /** Goes on with it; true when the mask is whole. */
  run(fuel: number): boolean {
    this.#fuel = fuel;
    while (this.#fuel > 0) {
      const waiting = this.#waiting.pop();
      if (waiting !== undefined) {
        for (const way of this.#states.open(waiting.state).ways) this.#follow(waiting.node, way);
        continue;
      }
      const way = this.#ways.at(-1);
      if (way === undefined) return true;
      if (this.#fromRoot(way)) this.#ways.pop();
    }
    return this.#waiting.length === 0 && this.#ways.length === 0;
  }

  /** False when there was not enough fuel. */
  #fromRoot(way: Way): boolean {
    const { place, rest } = way;
    const { nodes, dfas } = this.#states.grammar;
    const node = nodes.at(place.node)!;
    if (node.kind !== "dfa" && node.kind !== "characters") {
      this.#follow(0, way);
      return true;
    }
    const automaton = { dfa: dfas.at(node.dfa)!, repeats: node.kind === "characters" };
    const { reach, fuel } = this.#reaches.of(automaton, node.dfa, place.a, this.#fuel);
    this.#fuel = fuel;
    if (reach === null) return false;
    if (node.kind === "dfa") {
      this.#addAll(reach.inside);
      for (const exit of reach.exits) this.#later(exit, rest);
      return true;
    }
    const room = node.max - place.b;
    const { byNeed, needs, exits, exitCounts } = reach;
    if (needs.length === 0 || needs[needs.length - 1] <= room) this.#addAll(reach.inside);
    else for (let i = 0; i < needs.length && needs[i] <= room; i++) this.#add(byNeed[i]);
    for (let i = 0; i < exits.length; i++) {
      const count = exitCounts[i];
      if (count <= room && place.b + count >= node.min) this.#intoChild(exits[i], rest);
    }
    this.#fuel -= exits.length;
    return true;
  }

  /** Follows a way through the subtree of a node. */
  #follow(node: number, { place, rest }: Way): void {
    const { nodes, dfas } = this.#states.grammar;
    const of = nodes.at(place.node)!;
    if (of.kind === "literal") this.#followLiteral(node, of.bytes, place.a, rest);
    else if (of.kind === "dfa") this.#followDfa(node, dfas.at(of.dfa)!, place.a, rest);
    else if (of.kind === "characters")
      this.#followCharacters(node, dfas.at(of.dfa)!, of, place.a, place.b, rest);
  }

  #followLiteral(from: number, bytes: Uint8Array, at: number, rest: GrammarState): void {
    let node = from;
    for (let i = at; i < bytes.length; i++) {
      node = this.#child(node, bytes[i]);
      if (node < 0) return;
      this.#addNode(node);
    }
    this.#later(node, rest);
  }

  #followDfa(from: number, dfa: Dfa, state: number, rest: GrammarState): void {
    const { byte, depth, end } = this.#trie;
    const states = [state];
    const base = depth[from];
    for (let node = from + 1; node < end[from]; ) {
      this.#fuel -= 1;
      const level = depth[node] - base;
      const to = dfa.next[states[level - 1] * dfa.numClasses + dfa.classOf[byte[node]]];
      if (to < 0) {
        node = end[node];
        continue;
      }
      states[level] = to;
      this.#addNode(node);
      if (dfa.accepting[to] === 1) this.#later(node, rest);
      node += 1;
    }
  }

  #followCharacters(
    from: number,
    dfa: Dfa,
    { min, max }: { readonly min: number; readonly max: number },
    state: number,
    count: number,
    rest: GrammarState,
  ): void {
    const { byte, depth, end } = this.#trie;
    const states = [state];
    const counts = [count];
    const base = depth[from];
    for (let node = from + 1; node < end[from]; ) {
      this.#fuel -= 1;
      const level = depth[node] - base;
      const before = counts[level - 1];
      const inside = states[level - 1];
      const to =
        inside !== 0 || before < max ? dfa.next[inside * dfa.numClasses + dfa.classOf[byte[node]]] : -1;
      if (to < 0) {
        if (inside === 0 && before >= min) this.#intoChild(node, rest);
        node = end[node];
        continue;
      }
      const isWhole = dfa.accepting[to] === 1;
      states[level] = isWhole ? 0 : to;
      counts[level] = before + (isWhole ? 1 : 0);
      this.#addNode(node);
      node += 1;
    }
  }

  /** The rest goes on with a node's own byte, and then below it. */
  #intoChild(node: number, rest: GrammarState): void {
    const key = `${rest.id},^${node}`;
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    const next = this.#states.advance(rest, [this.#trie.byte[node]]);
    if (next === null) return;
    this.#addNode(node);
    this.#later(node, next);
  }

  #later(node: number, state: GrammarState): void {
    // A leaf, or nothing that could follow.
    if (this.#trie.end[node] === node + 1) return;
    const key = `${state.id},${node}`;
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    this.#fuel -= 1;
    this.#waiting.push({ node, state });
  }

  #child(node: number, byte: number): number {
    const trie = this.#trie;
    for (let child = node + 1; child < trie.end[node]; child = trie.end[child]) {
      this.#fuel -= 1;
      if (trie.byte[child] === byte) return child;
    }
    return -1;
  }

  #addNode(node: number): void {
    for (let token = this.#trie.token[node]; token >= 0; token = this.#trie.alike[token]) this.#add(token);
  }

  #add(token: number): void {
    this.mask[token >>> 5] |= 1 << (token & 31);
  }

  #addAll(mask: TokenMask): void {
    this.#fuel -= mask.length >>> WORDS_PER_NODE_LOG2;
    for (let i = 0; i < mask.length; i++) this.mask[i] |= mask[i];
  }
}

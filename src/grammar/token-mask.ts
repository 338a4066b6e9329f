/**
 * Which tokens may come next: those whose bytes go on from a state of the grammar. A mask is the same on every machine, and
 * depends on the state alone. Computing one can be done in pieces, so that it holds up nobody.
 *
 * What may follow within one automaton depends on its own state and on nothing behind it, so it is found once (`Reach`): the
 * tokens that stay inside, and the nodes of the tree where the automaton is done and something else goes on. Most masks are
 * then a copy, and a walk through few tokens (a token-level split like that of Y. Dong et al., "XGrammar", 2024).
 */
import type { Dfa } from "./dfa.js";
import type { GrammarState, GrammarStates, Way } from "./grammar-state.js";
import type { TokenTrie } from "./token-trie.js";

/** Bit t % 32 of word ⌊t / 32⌋ says whether token t is allowed. */
export type TokenMask = Uint32Array;

/** What an automaton reaches in the tree from its root. */
interface Reach {
  /** Tokens that lead nowhere else than within the automaton. */
  readonly inside: TokenMask;
  /**
   * Nodes behind which something else goes on: where it accepts; for `characters`, children of such nodes whose byte begins
   * no character.
   */
  readonly exits: Int32Array;
  /** `characters`: whole texts read before each exit. Else empty. */
  readonly exitCounts: Int32Array;
  /** `characters`: the tokens that are inside, by how many texts they need room for, and that number. Else empty. */
  readonly byNeed: Int32Array;
  readonly needs: Int32Array;
}

/** What one automaton reaches from each of its states, found before there is a grammar with it. */
export interface AutomatonReaches {
  readonly dfa: Dfa;
  /** Whether texts of it follow each other, as in `characters`. */
  readonly repeats: boolean;
  /** (states) */
  readonly reaches: readonly Reach[];
}

/** Finds all that an automaton reaches. */
export function reachesOf(trie: TokenTrie, dfa: Dfa, repeats: boolean): AutomatonReaches {
  const words = Math.ceil(trie.alike.length / 32);
  const reaches = Array.from(dfa.accepting, (_, state) => {
    const reach = new ReachPass(trie, dfa, state, repeats, words).run(Number.POSITIVE_INFINITY);
    if (reach === null) throw new Error("a pass without end was not whole");
    return reach;
  });
  return { dfa, repeats, reaches };
}

function areEqual(a: Dfa, b: Dfa): boolean {
  const same = (one: Uint8Array | Int32Array, other: Uint8Array | Int32Array) =>
    one.length === other.length && one.every((value, i) => value === other[i]);
  return same(a.accepting, b.accepting) && same(a.classOf, b.classOf) && same(a.next, b.next);
}

/** Most masks, and most reaches of automata, that are kept. */
const MAX_MASKS = 256;
const MAX_REACHES = 256;

export class TokenMasks {
  readonly trie: TokenTrie;
  readonly #states: GrammarStates;
  readonly #vocabSize: number;
  readonly #masks = new Map<GrammarState, TokenMask>();
  readonly #jobs = new Map<GrammarState, MaskJob>();
  readonly #reaches: Reaches;

  /** @param shared reaches of automata that many grammars have; they tell nothing of any of them */
  constructor(states: GrammarStates, trie: TokenTrie, shared: readonly AutomatonReaches[] = []) {
    this.#states = states;
    this.#reaches = { found: new Map(), shared, sharedOf: new Map() };
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

/** Reaches of a grammar's automata. */
interface Reaches {
  /** Found for this grammar, by kind of node, automaton and state. */
  readonly found: Map<string, Reach>;
  /** Known before. */
  readonly shared: readonly AutomatonReaches[];
  /** Which of them an automaton has, by kind of node and its number. */
  readonly sharedOf: Map<string, AutomatonReaches | null>;
}

class MaskJob {
  readonly mask: TokenMask;
  readonly #states: GrammarStates;
  readonly #trie: TokenTrie;
  readonly #reaches: Reaches;
  /** Ways that still are to be followed from the root, and states from other nodes. */
  readonly #ways: Way[];
  readonly #waiting: { readonly node: number; readonly state: GrammarState }[] = [];
  readonly #seen = new Set<string>();
  #pass: ReachPass | null = null;
  #fuel = 0;

  constructor(states: GrammarStates, trie: TokenTrie, reaches: Reaches, mask: TokenMask, open: GrammarState) {
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
    const reach = this.#reach(dfas.at(node.dfa)!, node.dfa, place.a, node.kind === "characters");
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

  #reach(dfa: Dfa, number: number, state: number, repeats: boolean): Reach | null {
    const shared = this.#sharedOf(dfa, number, repeats);
    if (shared !== null) return shared.reaches[state];
    const key = `${repeats},${number},${state}`;
    const known = this.#reaches.found.get(key);
    if (known !== undefined) return known;
    this.#pass ??= new ReachPass(this.#trie, dfa, state, repeats, this.mask.length);
    const fuel = this.#fuel;
    this.#fuel = Math.max(0, fuel - this.#trie.byte.length);
    const reach = this.#pass.run(fuel);
    if (reach === null) return null;
    this.#pass = null;
    remember(this.#reaches.found, key, reach, MAX_REACHES);
    return reach;
  }

  #sharedOf(dfa: Dfa, number: number, repeats: boolean): AutomatonReaches | null {
    const { shared, sharedOf } = this.#reaches;
    const key = `${repeats},${number}`;
    let found = sharedOf.get(key);
    if (found === undefined) {
      found = shared.find((one) => one.repeats === repeats && areEqual(dfa, one.dfa)) ?? null;
      sharedOf.set(key, found);
    }
    return found;
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
    for (let i = 0; i < mask.length; i++) this.mask[i] |= mask[i];
  }
}

/** A walk of an automaton through the whole tree, in pieces. */
class ReachPass {
  readonly #trie: TokenTrie;
  readonly #dfa: Dfa;
  readonly #repeats: boolean;
  readonly #states: Int32Array;
  readonly #counts: Int32Array;
  readonly #inside: TokenMask;
  readonly #exits: number[] = [];
  readonly #exitCounts: number[] = [];
  /** `characters`: the tokens that are inside, and what they need; as many as were found. */
  readonly #tokens: Int32Array;
  readonly #needs: Int32Array;
  #found = 0;
  #node = 1;

  constructor(trie: TokenTrie, dfa: Dfa, state: number, repeats: boolean, words: number) {
    this.#trie = trie;
    this.#dfa = dfa;
    this.#repeats = repeats;
    this.#states = new Int32Array(trie.maxDepth + 1);
    this.#counts = new Int32Array(trie.maxDepth + 1);
    this.#states[0] = state;
    this.#inside = new Uint32Array(words);
    this.#tokens = new Int32Array(repeats ? trie.alike.length : 0);
    this.#needs = new Int32Array(this.#tokens.length);
  }

  run(fuel: number): Reach | null {
    const { byte, depth, end } = this.#trie;
    const { next, numClasses, classOf, accepting } = this.#dfa;
    const states = this.#states;
    const counts = this.#counts;
    const repeats = this.#repeats;
    const nodes = byte.length;
    let node = this.#node;
    let left = fuel;
    while (node < nodes && left > 0) {
      left -= 1;
      const level = depth[node];
      const from = states[level - 1];
      const to = next[from * numClasses + classOf[byte[node]]];
      if (to < 0) {
        if (repeats && from === 0) {
          this.#exits.push(node);
          this.#exitCounts.push(counts[level - 1]);
        }
        node = end[node];
        continue;
      }
      const accepts = accepting[to] === 1;
      if (repeats) {
        states[level] = accepts ? 0 : to;
        counts[level] = counts[level - 1] + (accepts ? 1 : 0);
        this.#addNode(node, counts[level] + (accepts ? 0 : 1));
      } else {
        states[level] = to;
        this.#addNode(node, 0);
        if (accepts && end[node] > node + 1) this.#exits.push(node);
      }
      node += 1;
    }
    this.#node = node;
    return node < nodes ? null : this.#reach();
  }

  #addNode(node: number, need: number): void {
    const { token, alike } = this.#trie;
    for (let one = token[node]; one >= 0; one = alike[one]) {
      this.#inside[one >>> 5] |= 1 << (one & 31);
      if (!this.#repeats) continue;
      this.#tokens[this.#found] = one;
      this.#needs[this.#found] = need;
      this.#found += 1;
    }
  }

  #reach(): Reach {
    const order = this.#orderByNeed();
    return {
      inside: this.#inside,
      exits: Int32Array.from(this.#exits),
      exitCounts: Int32Array.from(this.#exitCounts),
      byNeed: order.map((i) => this.#tokens[i]),
      needs: order.map((i) => this.#needs[i]),
    };
  }

  /** Indices of tokens, ascending by what they need: needs are small, so they are counted. */
  #orderByNeed(): Int32Array {
    const needs = this.#needs.subarray(0, this.#found);
    const places = new Int32Array(this.#trie.maxDepth + 3);
    for (const need of needs) places[need + 1] += 1;
    for (let need = 1; need < places.length; need++) places[need] += places[need - 1];
    const order = new Int32Array(needs.length);
    needs.forEach((need, i) => {
      order[places[need]++] = i;
    });
    return order;
  }
}

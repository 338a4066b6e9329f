/**
 * What an automaton reaches in the tree of tokens from one of its states: the tokens that stay inside, and the nodes where
 * something else goes on. That depends on the automaton alone and not on what stands behind it, so it is found once.
 *
 * The first state of an automaton is walked through the whole tree. Another one mostly comes to where that one has been after a
 * byte or two, so that only what differs is walked.
 */
import type { Dfa } from "./dfa.js";
import type { TokenTrie } from "./token-trie.js";

/** Bit t % 32 of word ⌊t / 32⌋ says whether token t is one of them. */
export type TokenMask = Uint32Array;

/** What an automaton reaches in the tree from its root. */
export interface Reach {
  /** Tokens that lead nowhere else than within the automaton. */
  readonly inside: TokenMask;
  /**
   * Nodes behind which something else goes on, ascending: where it accepts; for `characters`, children of such nodes whose byte
   * begins no character.
   */
  readonly exits: Int32Array;
  /** `characters`: whole texts read before each exit. Else empty. */
  readonly exitCounts: Int32Array;
  /** `characters`: the tokens that are inside, by how many texts they need room for, and that number. Else empty. */
  readonly byNeed: Int32Array;
  readonly needs: Int32Array;
}

/** A language that many grammars have a part of. */
export interface CommonAutomaton {
  readonly dfa: Dfa;
  /** Whether texts of it follow each other, as in `characters`. */
  readonly repeats: boolean;
}

/** What one automaton reaches from each of its states, found before there is a grammar with it. */
export interface AutomatonReaches extends CommonAutomaton {
  /** (states) */
  readonly reaches: readonly Reach[];
}

/** Finds all that an automaton reaches. */
export function reachesOf(trie: TokenTrie, { dfa, repeats }: CommonAutomaton): AutomatonReaches {
  const reaches: Reach[] = [];
  for (let state = 0; state < dfa.accepting.length; state++) {
    const like = state === 0 ? null : { state: 0, reach: reaches[0] };
    const pass = reachPass(trie, { dfa, repeats }, state, like);
    pass.run(Number.POSITIVE_INFINITY);
    reaches.push(pass.reach());
  }
  return { dfa, repeats, reaches };
}

/** Most reaches of a grammar's automata that are kept. */
const MAX_REACHES = 256;

/** Another state of the same automaton, and what it reaches. */
interface KnownReach {
  readonly state: number;
  readonly reach: Reach;
}

/** A walk under way. */
interface ReachPass {
  /** @returns nodes that may still be looked at; 0: it is not done, unless `isDone` says so */
  run(fuel: number): number;
  readonly isDone: boolean;
  /** When it is done. */
  reach(): Reach;
}

function reachPass(
  trie: TokenTrie,
  { dfa, repeats }: CommonAutomaton,
  state: number,
  like: KnownReach | null,
): ReachPass {
  if (repeats) return new CharactersPass(trie, dfa, state);
  if (like === null || !areMostlyAlike(dfa, state, like.state)) return new WholePass(trie, dfa, state);
  return new DifferencePass(trie, dfa, state, like);
}

/** Whether fewer bytes lead elsewhere from one state than from the other than lead anywhere from it. */
function areMostlyAlike({ classOf, next, numClasses }: Dfa, state: number, other: number): boolean {
  let alike = 0;
  for (const one of classOf) {
    const to = next[state * numClasses + one];
    if (to === next[other * numClasses + one]) alike += to < 0 ? 0 : 1;
    else alike -= to < 0 ? 1 : 0;
  }
  return alike > 0;
}

/** Reaches of a grammar's automata: known before, or found as they are asked for. */
export class GrammarReaches {
  readonly #trie: TokenTrie;
  readonly #common: readonly AutomatonReaches[];
  /** Which of the common ones an automaton is, by kind of node and its number. */
  readonly #commonOf = new Map<string, AutomatonReaches | null>();
  /** By kind of node, automaton and state; the one that was found last is the last. */
  readonly #found = new Map<string, Reach>();
  /** The state of each automaton that was found last. */
  readonly #last = new Map<string, KnownReach>();
  readonly #passes = new Map<string, ReachPass>();

  /** @param common reaches of automata that many grammars have; they tell nothing of any of them */
  constructor(trie: TokenTrie, common: readonly AutomatonReaches[]) {
    this.#trie = trie;
    this.#common = common;
  }

  /**
   * @param number the automaton's, in the grammar
   * @param fuel nodes of the tree that may be looked at, about; what is left of it is given back
   * @returns null when that was not enough: another call goes on
   */
  of(
    automaton: CommonAutomaton,
    number: number,
    state: number,
    fuel: number,
  ): { readonly reach: Reach | null; readonly fuel: number } {
    const kind = `${automaton.repeats},${number}`;
    const common = this.#commonFor(automaton, kind);
    if (common !== null) return { reach: common.reaches[state], fuel };
    const key = `${kind},${state}`;
    const known = this.#found.get(key);
    if (known !== undefined) return { reach: known, fuel };
    const pass =
      this.#passes.get(key) ?? reachPass(this.#trie, automaton, state, this.#last.get(kind) ?? null);
    this.#passes.set(key, pass);
    const left = pass.run(fuel);
    if (!pass.isDone) return { reach: null, fuel: 0 };
    this.#passes.delete(key);
    const reach = pass.reach();
    if (this.#found.size >= MAX_REACHES) {
      for (const oldest of this.#found.keys()) {
        this.#found.delete(oldest);
        break;
      }
    }
    this.#found.set(key, reach);
    this.#last.set(kind, { state, reach });
    return { reach, fuel: left };
  }

  #commonFor(automaton: CommonAutomaton, kind: string): AutomatonReaches | null {
    let found = this.#commonOf.get(kind);
    if (found === undefined) {
      const { dfa, repeats } = automaton;
      found = this.#common.find((one) => one.repeats === repeats && areEqual(dfa, one.dfa)) ?? null;
      this.#commonOf.set(kind, found);
    }
    return found;
  }
}

function areEqual(a: Dfa, b: Dfa): boolean {
  const same = (one: Uint8Array | Int32Array, other: Uint8Array | Int32Array) =>
    one.length === other.length && one.every((value, i) => value === other[i]);
  return same(a.accepting, b.accepting) && same(a.classOf, b.classOf) && same(a.next, b.next);
}

const NONE = new Int32Array(0);

function emptyMask(trie: TokenTrie): TokenMask {
  return new Uint32Array(Math.ceil(trie.alike.length / 32));
}

/** Through the whole tree. */
class WholePass implements ReachPass {
  readonly #trie: TokenTrie;
  readonly #dfa: Dfa;
  readonly #states: Int32Array;
  readonly #inside: TokenMask;
  readonly #exits: number[] = [];
  #node = 1;

  constructor(trie: TokenTrie, dfa: Dfa, state: number) {
    this.#trie = trie;
    this.#dfa = dfa;
    this.#states = new Int32Array(trie.maxDepth + 1);
    this.#states[0] = state;
    this.#inside = emptyMask(trie);
  }

  get isDone(): boolean {
    return this.#node >= this.#trie.byte.length;
  }

  run(fuel: number): number {
    const { byte, depth, end, token, alike } = this.#trie;
    const { next, numClasses, classOf, accepting } = this.#dfa;
    const states = this.#states;
    const inside = this.#inside;
    const nodes = byte.length;
    let node = this.#node;
    let left = fuel;
    while (node < nodes && left > 0) {
      left -= 1;
      const level = depth[node];
      const to = next[states[level - 1] * numClasses + classOf[byte[node]]];
      if (to < 0) {
        node = end[node];
        continue;
      }
      states[level] = to;
      for (let one = token[node]; one >= 0; one = alike[one]) inside[one >>> 5] |= 1 << (one & 31);
      if (accepting[to] === 1 && end[node] > node + 1) this.#exits.push(node);
      node += 1;
    }
    this.#node = node;
    return left;
  }

  reach(): Reach {
    const exits = Int32Array.from(this.#exits);
    return { inside: this.#inside, exits, exitCounts: NONE, byNeed: NONE, needs: NONE };
  }
}

/** No state: nothing goes on. */
const NOWHERE = -1;

/** Through what another state does not reach alike. */
class DifferencePass implements ReachPass {
  readonly #trie: TokenTrie;
  readonly #dfa: Dfa;
  readonly #states: Int32Array;
  readonly #others: Int32Array;
  readonly #inside: TokenMask;
  readonly #otherExits: Int32Array;
  /** How many of the other's exits lie before the node. */
  #passed = 0;
  readonly #exits: number[] = [];
  #node = 1;

  constructor(trie: TokenTrie, dfa: Dfa, state: number, like: KnownReach) {
    this.#trie = trie;
    this.#dfa = dfa;
    this.#states = new Int32Array(trie.maxDepth + 1);
    this.#others = new Int32Array(trie.maxDepth + 1);
    this.#states[0] = state;
    this.#others[0] = like.state;
    this.#inside = like.reach.inside.slice();
    this.#otherExits = like.reach.exits;
  }

  get isDone(): boolean {
    return this.#node >= this.#trie.byte.length;
  }

  run(fuel: number): number {
    const { byte, depth, end } = this.#trie;
    const { next, numClasses, classOf, accepting } = this.#dfa;
    const [states, others] = [this.#states, this.#others];
    const after = (state: number, node: number) =>
      state === NOWHERE ? NOWHERE : next[state * numClasses + classOf[byte[node]]];
    const nodes = byte.length;
    let node = this.#node;
    let left = fuel;
    while (node < nodes && left > 0) {
      left -= 1;
      const level = depth[node];
      const to = after(states[level - 1], node);
      const other = after(others[level - 1], node);
      if (to === other) {
        this.#takeExits(node, end[node]);
        node = end[node];
        continue;
      }
      states[level] = to;
      others[level] = other;
      if (to < 0) this.#remove(node);
      else if (other < 0) this.#add(node);
      if (to >= 0 && accepting[to] === 1 && end[node] > node + 1) this.#exits.push(node);
      node += 1;
    }
    this.#node = node;
    return left;
  }

  reach(): Reach {
    const exits = Int32Array.from(this.#exits);
    return { inside: this.#inside, exits, exitCounts: NONE, byNeed: NONE, needs: NONE };
  }

  /** The other's exits from one node to before another are its own, too. */
  #takeExits(from: number, to: number): void {
    this.#skipExits(from);
    const exits = this.#otherExits;
    while (this.#passed < exits.length && exits[this.#passed] < to) this.#exits.push(exits[this.#passed++]);
  }

  #skipExits(to: number): void {
    const exits = this.#otherExits;
    while (this.#passed < exits.length && exits[this.#passed] < to) this.#passed += 1;
  }

  #add(node: number): void {
    const { token, alike } = this.#trie;
    for (let one = token[node]; one >= 0; one = alike[one]) this.#inside[one >>> 5] |= 1 << (one & 31);
  }

  #remove(node: number): void {
    const { token, alike } = this.#trie;
    for (let one = token[node]; one >= 0; one = alike[one]) this.#inside[one >>> 5] &= ~(1 << (one & 31));
  }
}

/** Through the whole tree, where texts of the automaton follow each other and are counted. */
class CharactersPass implements ReachPass {
  readonly #trie: TokenTrie;
  readonly #dfa: Dfa;
  readonly #states: Int32Array;
  readonly #counts: Int32Array;
  readonly #inside: TokenMask;
  readonly #exits: number[] = [];
  readonly #exitCounts: number[] = [];
  /** The tokens that are inside, and what they need; as many as were found. */
  readonly #tokens: Int32Array;
  readonly #needs: Int32Array;
  #found = 0;
  #node = 1;

  constructor(trie: TokenTrie, dfa: Dfa, state: number) {
    this.#trie = trie;
    this.#dfa = dfa;
    this.#states = new Int32Array(trie.maxDepth + 1);
    this.#counts = new Int32Array(trie.maxDepth + 1);
    this.#states[0] = state;
    this.#inside = emptyMask(trie);
    this.#tokens = new Int32Array(trie.alike.length);
    this.#needs = new Int32Array(trie.alike.length);
  }

  get isDone(): boolean {
    return this.#node >= this.#trie.byte.length;
  }

  run(fuel: number): number {
    const { byte, depth, end } = this.#trie;
    const { next, numClasses, classOf, accepting } = this.#dfa;
    const [states, counts] = [this.#states, this.#counts];
    const nodes = byte.length;
    let node = this.#node;
    let left = fuel;
    while (node < nodes && left > 0) {
      left -= 1;
      const level = depth[node];
      const from = states[level - 1];
      const to = next[from * numClasses + classOf[byte[node]]];
      if (to < 0) {
        if (from === 0) {
          this.#exits.push(node);
          this.#exitCounts.push(counts[level - 1]);
        }
        node = end[node];
        continue;
      }
      const isWhole = accepting[to] === 1;
      states[level] = isWhole ? 0 : to;
      counts[level] = counts[level - 1] + (isWhole ? 1 : 0);
      this.#add(node, counts[level] + (isWhole ? 0 : 1));
      node += 1;
    }
    this.#node = node;
    return left;
  }

  reach(): Reach {
    const order = this.#orderByNeed();
    return {
      inside: this.#inside,
      exits: Int32Array.from(this.#exits),
      exitCounts: Int32Array.from(this.#exitCounts),
      byNeed: order.map((i) => this.#tokens[i]),
      needs: order.map((i) => this.#needs[i]),
    };
  }

  #add(node: number, need: number): void {
    const { token, alike } = this.#trie;
    for (let one = token[node]; one >= 0; one = alike[one]) {
      this.#inside[one >>> 5] |= 1 << (one & 31);
      this.#tokens[this.#found] = one;
      this.#needs[this.#found] = need;
      this.#found += 1;
    }
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

/**
 * Walks through the tree of tokens for what an automaton reaches from one of its states: the tokens that stay inside, and the nodes
 * where something else goes on. Each can be left and taken up again after any node.
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

/** Another state of the same automaton, and what it reaches. */
export interface KnownReach {
  readonly state: number;
  readonly reach: Reach;
}

/** A walk from one state of an automaton. @param like what another one reaches; null: nothing is known yet */
export function reachPass(
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

const NONE = new Int32Array(0);

/** A walk under way: where it is, and what was found so far. */
export abstract class ReachPass {
  protected readonly trie: TokenTrie;
  protected readonly dfa: Dfa;
  /** By depth: the state at the node that the walk is at or below. */
  protected readonly states: Int32Array;
  protected readonly inside: TokenMask;
  protected readonly exits: number[] = [];
  /** The next one. */
  protected node = 1;

  /** @param inside tokens that are taken to be inside until the walk says otherwise */
  constructor(trie: TokenTrie, dfa: Dfa, state: number, inside: TokenMask) {
    this.trie = trie;
    this.dfa = dfa;
    this.states = new Int32Array(trie.maxDepth + 1);
    this.states[0] = state;
    this.inside = inside;
  }

  get isDone(): boolean {
    return this.node >= this.trie.byte.length;
  }

  /** @returns nodes that may still be looked at; 0: it is not done, unless `isDone` says so */
  abstract run(fuel: number): number;

  /** When it is done. */
  reach(): Reach {
    const exits = Int32Array.from(this.exits);
    return { inside: this.inside, exits, exitCounts: NONE, byNeed: NONE, needs: NONE };
  }
}

function emptyMask(trie: TokenTrie): TokenMask {
  return new Uint32Array(Math.ceil(trie.alike.length / 32));
}

/** Through the whole tree. */
class WholePass extends ReachPass {
  constructor(trie: TokenTrie, dfa: Dfa, state: number) {
    super(trie, dfa, state, emptyMask(trie));
  }

  run(fuel: number): number {
    const { byte, depth, end, token, alike } = this.trie;
    const { next, numClasses, classOf, accepting } = this.dfa;
    const states = this.states;
    const inside = this.inside;
    const nodes = byte.length;
    let node = this.node;
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
      if (accepting[to] === 1 && end[node] > node + 1) this.exits.push(node);
      node += 1;
    }
    this.node = node;
    return left;
  }
}

/** No state: nothing goes on. */
const NOWHERE = -1;

/** Through what another state does not reach alike. */
class DifferencePass extends ReachPass {
  readonly #others: Int32Array;
  readonly #otherExits: Int32Array;
  /** How many of the other's exits lie before the node. */
  #passed = 0;

  constructor(trie: TokenTrie, dfa: Dfa, state: number, like: KnownReach) {
    super(trie, dfa, state, like.reach.inside.slice());
    this.#others = new Int32Array(trie.maxDepth + 1);
    this.#others[0] = like.state;
    this.#otherExits = like.reach.exits;
  }

  run(fuel: number): number {
    const { byte, depth, end } = this.trie;
    const { next, numClasses, classOf, accepting } = this.dfa;
    const [states, others] = [this.states, this.#others];
    const after = (state: number, node: number) =>
      state === NOWHERE ? NOWHERE : next[state * numClasses + classOf[byte[node]]];
    const nodes = byte.length;
    let node = this.node;
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
      if (to >= 0 && accepting[to] === 1 && end[node] > node + 1) this.exits.push(node);
      node += 1;
    }
    this.node = node;
    return left;
  }

  /** The other's exits from one node to before another are its own, too. */
  #takeExits(from: number, to: number): void {
    this.#skipExits(from);
    const exits = this.#otherExits;
    while (this.#passed < exits.length && exits[this.#passed] < to) this.exits.push(exits[this.#passed++]);
  }

  #skipExits(to: number): void {
    const exits = this.#otherExits;
    while (this.#passed < exits.length && exits[this.#passed] < to) this.#passed += 1;
  }

  #add(node: number): void {
    const { token, alike } = this.trie;
    for (let one = token[node]; one >= 0; one = alike[one]) this.inside[one >>> 5] |= 1 << (one & 31);
  }

  #remove(node: number): void {
    const { token, alike } = this.trie;
    for (let one = token[node]; one >= 0; one = alike[one]) this.inside[one >>> 5] &= ~(1 << (one & 31));
  }
}

/** Through the whole tree, where texts of the automaton follow each other and are counted. */
class CharactersPass extends ReachPass {
  readonly #counts: Int32Array;
  readonly #exitCounts: number[] = [];
  /** The tokens that are inside, and what they need; as many as were found. */
  readonly #tokens: Int32Array;
  readonly #needs: Int32Array;
  #found = 0;

  constructor(trie: TokenTrie, dfa: Dfa, state: number) {
    super(trie, dfa, state, emptyMask(trie));
    this.#counts = new Int32Array(trie.maxDepth + 1);
    this.#tokens = new Int32Array(trie.alike.length);
    this.#needs = new Int32Array(trie.alike.length);
  }

  run(fuel: number): number {
    const { byte, depth, end } = this.trie;
    const { next, numClasses, classOf, accepting } = this.dfa;
    const [states, counts] = [this.states, this.#counts];
    const nodes = byte.length;
    let node = this.node;
    let left = fuel;
    while (node < nodes && left > 0) {
      left -= 1;
      const level = depth[node];
      const from = states[level - 1];
      const to = next[from * numClasses + classOf[byte[node]]];
      if (to < 0) {
        if (from === 0) {
          this.exits.push(node);
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
    this.node = node;
    return left;
  }

  override reach(): Reach {
    const order = this.#orderByNeed();
    return {
      inside: this.inside,
      exits: Int32Array.from(this.exits),
      exitCounts: Int32Array.from(this.#exitCounts),
      byNeed: order.map((i) => this.#tokens[i]),
      needs: order.map((i) => this.#needs[i]),
    };
  }

  #add(node: number, need: number): void {
    const { token, alike } = this.trie;
    for (let one = token[node]; one >= 0; one = alike[one]) {
      this.inside[one >>> 5] |= 1 << (one & 31);
      this.#tokens[this.#found] = one;
      this.#needs[this.#found] = need;
      this.#found += 1;
    }
  }

  /** Indices of tokens, ascending by what they need: needs are small, so they are counted. */
  #orderByNeed(): Int32Array {
    const needs = this.#needs.subarray(0, this.#found);
    const places = new Int32Array(this.trie.maxDepth + 3);
    for (const need of needs) places[need + 1] += 1;
    for (let need = 1; need < places.length; need++) places[need] += places[need - 1];
    const order = new Int32Array(needs.length);
    needs.forEach((need, i) => {
      order[places[need]++] = i;
    });
    return order;
  }
}

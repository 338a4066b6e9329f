/**
 * What an automaton reaches in the tree of tokens from each of its states: found once (reach-passes.ts), since it depends on the
 * automaton alone and not on what stands behind it, and kept.
 */
import type { Dfa } from "./dfa.js";
import {
  type CommonAutomaton,
  type KnownReach,
  type Reach,
  type ReachPass,
  reachPass,
} from "./reach-passes.js";
import type { TokenTrie } from "./token-trie.js";

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

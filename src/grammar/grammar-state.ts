/**
 * Where a text is in its grammar: a set of ways to go on, each a part that is begun, and what comes behind it. States are
 * never changed: one that is kept can be gone on from however often, so forking and cutting back cost nothing.
 *
 * Ways that are at the same place of the same part are one way, with what comes behind either; so a grammar in which many
 * ways begin alike does not have more and more of them (as in a graph-structured stack: M. Tomita, 1985).
 */
import { invalidArgument } from "../errors.js";
import { hasNext, nextState } from "./dfa.js";
import type { Grammar } from "./grammar.js";

/**
 * A place in a node. What `a` and `b` count: `literal` a = bytes read; `dfa` a = the automaton's state; `characters` a =
 * its state, b = whole texts read, as far as it matters; `seq` a = items behind; `repeat` a = least times left, b = most times left.
 */
export interface Place {
  readonly id: number;
  readonly node: number;
  readonly a: number;
  readonly b: number;
}

/** A place, and what comes behind its node. */
export interface Way {
  readonly place: Place;
  readonly rest: GrammarState;
}

export interface GrammarState {
  readonly id: number;
  /** Ascending by their places, of which no two are equal. */
  readonly ways: readonly Way[];
  /** Whether the text may end here. */
  readonly mayEnd: boolean;
  /** The same with only places that wait for a byte (literal, dfa, characters), once it was asked for. */
  open: GrammarState | null;
}

/** Most ways of one state. */
const MAX_WAYS = 2000;
/** Most states that are remembered, to find equal ones; then it begins anew. */
const MAX_STATES = 50_000;
/** Most parts that are looked at for one byte. */
const MAX_CLOSURE = 20_000;

export class GrammarStates {
  readonly grammar: Grammar;
  /** Where a text begins. */
  readonly first: GrammarState;
  readonly #places = new Map<string, Place>();
  readonly #done: GrammarState;
  #states = new Map<string, GrammarState>();
  #unions = new Map<string, GrammarState>();
  #ids = 0;

  constructor(grammar: Grammar) {
    this.grammar = grammar;
    this.#done = this.#state([], true);
    this.first = this.#single(this.#placeAt(grammar.root), this.#done);
  }

  /** The state after some bytes; null when no text of the grammar goes on like this. */
  advance(state: GrammarState, bytes: Iterable<number>): GrammarState | null {
    let now: GrammarState | null = state;
    for (const byte of bytes) {
      now = this.#step(now, byte);
      if (now === null) return null;
    }
    return now;
  }

  /** The state with its ways opened up to where a byte is waited for. */
  open(state: GrammarState): GrammarState {
    if (state.open !== null) return state.open;
    const closure = new Closure(this);
    for (const { place, rest } of state.ways) closure.add(place, rest);
    const open = this.#merged(closure.ways, state.mayEnd || closure.mayEnd);
    open.open = open;
    state.open = open;
    return open;
  }

  /** @internal */
  place(node: number, a: number, b: number): Place {
    const key = `${node},${a},${b}`;
    let place = this.#places.get(key);
    if (place === undefined) {
      if (this.#places.size >= MAX_STATES) this.#places.clear();
      place = { id: this.#ids++, node, a, b };
      this.#places.set(key, place);
    }
    return place;
  }

  /** @internal The place before a node. */
  before(node: number): Place {
    return this.#placeAt(node);
  }

  /** @internal */
  behind(place: Place, rest: GrammarState): GrammarState {
    return this.#single(place, rest);
  }

  #placeAt(node: number): Place {
    const it = this.grammar.nodes.at(node)!;
    return it.kind === "repeat" ? this.place(node, it.min, it.max) : this.place(node, 0, 0);
  }

  #step(state: GrammarState, byte: number): GrammarState | null {
    const ways: Way[] = [];
    const { nodes, dfas } = this.grammar;
    for (const { place, rest } of this.open(state).ways) {
      const node = nodes.at(place.node)!;
      if (node.kind === "literal") {
        if (node.bytes[place.a] === byte) ways.push({ place: this.place(place.node, place.a + 1, 0), rest });
      } else if (node.kind === "dfa") {
        const to = nextState(dfas.at(node.dfa)!, place.a, byte);
        if (to >= 0) ways.push({ place: this.place(place.node, to, 0), rest });
      } else if (node.kind === "characters") {
        const dfa = dfas.at(node.dfa)!;
        const to = nextState(dfa, place.a, byte);
        if (to < 0) continue;
        if (dfa.accepting[to] === 0) ways.push({ place: this.place(place.node, to, place.b), rest });
        else ways.push({ place: this.place(place.node, 0, counted(place.b + 1, node)), rest });
      }
    }
    return ways.length === 0 ? null : this.#merged(ways, false);
  }

  /** One way for each place: what comes behind it is what comes behind any of them. */
  #merged(ways: readonly Way[], mayEnd: boolean): GrammarState {
    const byPlace = new Map<number, { place: Place; rests: Set<GrammarState> }>();
    for (const { place, rest } of ways) {
      const known = byPlace.get(place.id);
      if (known === undefined) byPlace.set(place.id, { place, rests: new Set([rest]) });
      else known.rests.add(rest);
    }
    if (byPlace.size > MAX_WAYS) {
      throw invalidArgument(
        `the grammar leaves more than ${MAX_WAYS} ways open at one place; make it less ambiguous.`,
      );
    }
    const merged = [...byPlace.values()].map(({ place, rests }) => ({
      place,
      rest: this.#union([...rests]),
    }));
    return this.#state(
      merged.sort((a, b) => a.place.id - b.place.id),
      mayEnd,
    );
  }

  #union(states: readonly GrammarState[]): GrammarState {
    if (states.length === 1) return states[0];
    const key = states
      .map(({ id }) => id)
      .sort((a, b) => a - b)
      .join(",");
    let union = this.#unions.get(key);
    if (union === undefined) {
      union = this.#merged(
        states.flatMap(({ ways }) => ways),
        states.some(({ mayEnd }) => mayEnd),
      );
      this.#unions.set(key, union);
    }
    return union;
  }

  #single(place: Place, rest: GrammarState): GrammarState {
    return this.#state([{ place, rest }], false);
  }

  #state(ways: readonly Way[], mayEnd: boolean): GrammarState {
    const key = `${mayEnd ? 1 : 0};${ways.map(({ place, rest }) => `${place.id}:${rest.id}`).join(";")}`;
    const known = this.#states.get(key);
    if (known !== undefined) return known;
    if (this.#states.size >= MAX_STATES) {
      this.#states = new Map();
      this.#unions = new Map();
    }
    const state: GrammarState = { id: this.#ids++, ways, mayEnd, open: null };
    this.#states.set(key, state);
    return state;
  }
}

/** How many texts of a `characters` node were read, as far as it matters. */
function counted(count: number, { min, max }: { readonly min: number; readonly max: number }): number {
  return max === Number.POSITIVE_INFINITY ? Math.min(count, min) : count;
}

/** The ways of a state, opened. */
class Closure {
  readonly ways: Way[] = [];
  mayEnd = false;
  readonly #states: GrammarStates;
  readonly #grammar: Grammar;
  readonly #seen = new Set<string>();

  constructor(states: GrammarStates) {
    this.#states = states;
    this.#grammar = states.grammar;
  }

  add(from: Place, behind: GrammarState): void {
    const waiting: Way[] = [{ place: from, rest: behind }];
    for (let way = waiting.pop(); way !== undefined; way = waiting.pop()) {
      const { place, rest } = way;
      const key = `${place.id},${rest.id}`;
      if (this.#seen.has(key)) continue;
      this.#seen.add(key);
      if (this.#seen.size > MAX_CLOSURE) {
        throw invalidArgument("the grammar has too many parts that may begin at one place; make it simpler.");
      }
      this.#open(way, waiting);
    }
  }

  #open(way: Way, waiting: Way[]): void {
    const { place, rest } = way;
    const { a, b } = place;
    const states = this.#states;
    const { nodes, dfas } = this.#grammar;
    const node = nodes.at(place.node)!;
    switch (node.kind) {
      case "literal":
        if (a < node.bytes.length) this.ways.push(way);
        else this.#goOn(rest, waiting);
        break;
      case "dfa":
        if (dfas.at(node.dfa)!.accepting[a] === 1) this.#goOn(rest, waiting);
        else this.mayEnd ||= node.mayStop;
        if (hasNext(dfas.at(node.dfa)!, a)) this.ways.push(way);
        break;
      case "characters":
        if (a === 0 && b >= node.min) this.#goOn(rest, waiting);
        if (a !== 0 || b < node.max) this.ways.push(way);
        break;
      case "seq":
        if (a === node.items.length) {
          this.#goOn(rest, waiting);
          break;
        }
        waiting.push({
          place: states.before(node.items[a]),
          rest: a + 1 === node.items.length ? rest : states.behind(states.place(place.node, a + 1, 0), rest),
        });
        break;
      case "any-of":
        for (const item of node.items) waiting.push({ place: states.before(item), rest });
        break;
      case "repeat":
        if (a === 0) this.#goOn(rest, waiting);
        if (b > 0) {
          const again = states.place(place.node, Math.max(0, a - 1), b - 1);
          waiting.push({
            place: states.before(node.item),
            rest: b === 1 ? rest : states.behind(again, rest),
          });
        }
    }
  }

  /** The node is at its end: what comes behind it begins. */
  #goOn(state: GrammarState, waiting: Way[]): void {
    this.mayEnd ||= state.mayEnd;
    waiting.push(...state.ways);
  }
}

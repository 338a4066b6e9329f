/**
 * The smallest automaton of a language, by refining a partition of states and one of transitions until neither splits the
 * other: O(transitions · log states), so that a text of ten thousand characters is as quick as ten short ones (A. Valmari,
 * "Fast brief practical DFA minimization", 2012).
 */
import type { Dfa } from "./dfa.js";

/** Sets that are split by what is marked. An element's set is `setOf[element]`; sets are numbered as they are made. */
class Partition {
  /** Sets there are. */
  count: number;
  /** (elements): the elements of each set side by side, from `from[set]` up to `to[set]`. */
  readonly elements: Int32Array;
  readonly setOf: Int32Array;
  readonly from: Int32Array;
  readonly to: Int32Array;
  readonly #place: Int32Array;
  /** (sets): how many elements, the first of each set, are marked. */
  readonly #marked: Int32Array;
  #touched: number[] = [];

  /** @param setOf (elements) numbers from 0 on, none left out: the sets at first */
  constructor(setOf: Int32Array, count: number) {
    const most = Math.max(setOf.length, count) + 1;
    this.count = count;
    this.setOf = setOf;
    this.elements = new Int32Array(setOf.length);
    this.#place = new Int32Array(setOf.length);
    this.from = new Int32Array(most);
    this.to = new Int32Array(most);
    this.#marked = new Int32Array(most);
    for (const set of setOf) this.from[set + 1] += 1;
    for (let set = 1; set < count; set++) this.from[set] += this.from[set - 1];
    for (let set = 0; set < count; set++) this.to[set] = this.from[set];
    setOf.forEach((set, element) => {
      this.#place[element] = this.to[set];
      this.elements[this.to[set]++] = element;
    });
  }

  mark(element: number): void {
    const set = this.setOf[element];
    const place = this.#place[element];
    const first = this.from[set] + this.#marked[set];
    const other = this.elements[first];
    this.elements[place] = other;
    this.#place[other] = place;
    this.elements[first] = element;
    this.#place[element] = first;
    if (this.#marked[set]++ === 0) this.#touched.push(set);
  }

  /** Parts what is marked from what is not; the smaller half is the new set. */
  split(): void {
    for (const set of this.#touched) {
      const border = this.from[set] + this.#marked[set];
      this.#marked[set] = 0;
      if (border === this.to[set]) continue;
      const made = this.count++;
      if (border - this.from[set] <= this.to[set] - border) {
        this.from[made] = this.from[set];
        this.to[made] = border;
        this.from[set] = border;
      } else {
        this.from[made] = border;
        this.to[made] = this.to[set];
        this.to[set] = border;
      }
      for (let i = this.from[made]; i < this.to[made]; i++) this.setOf[this.elements[i]] = made;
    }
    this.#touched = [];
  }
}

/**
 * One state for all that accept the same texts, numbered as they are met from the first, and one class for all bytes that
 * lead to the same states: equal languages get equal tables.
 * @param dfa from every state of which some text is accepted
 */
export function minimised({ numClasses, next, accepting, classOf }: Dfa): Dfa {
  const part = alikeStates(numClasses, next, accepting);
  const order: number[] = [0];
  const numbers = new Map([[part[0], 0]]);
  const rows: number[] = [];
  // In the order of their first bytes.
  const classes = [...new Set(classOf)];
  for (let s = 0; s < order.length; s++) {
    for (const c of classes) {
      const to = next[order[s] * numClasses + c];
      if (to < 0) {
        rows.push(-1);
        continue;
      }
      let number = numbers.get(part[to]);
      if (number === undefined) {
        number = order.push(to) - 1;
        numbers.set(part[to], number);
      }
      rows.push(number);
    }
  }
  return {
    ...withFewestClasses(
      classOf.map((c) => classes.indexOf(c)),
      classes.length,
      rows,
    ),
    accepting: Uint8Array.from(order, (state) => accepting[state]),
  };
}

/** (states): the same number for those that accept the same texts. */
function alikeStates(numClasses: number, next: Int32Array, accepting: Uint8Array): Int32Array {
  const numStates = accepting.length;
  // Transitions by their class, and for each state those that lead to it.
  const tails: number[] = [];
  const heads: number[] = [];
  const byClass: number[] = [];
  let classes = 0;
  for (let c = 0; c < numClasses; c++) {
    const before = tails.length;
    for (let state = 0; state < numStates; state++) {
      const to = next[state * numClasses + c];
      if (to < 0) continue;
      tails.push(state);
      heads.push(to);
      byClass.push(classes);
    }
    if (tails.length > before) classes += 1;
  }
  const states = new Partition(new Int32Array(numStates), 1);
  for (let state = 0; state < numStates; state++) if (accepting[state] === 1) states.mark(state);
  states.split();
  if (tails.length === 0) return states.setOf;
  const into = new Partition(Int32Array.from(heads), numStates);
  const transitions = new Partition(Int32Array.from(byClass), classes);
  let nextSet = 1;
  for (let set = 0; set < transitions.count; set++) {
    for (let i = transitions.from[set]; i < transitions.to[set]; i++) {
      states.mark(tails[transitions.elements[i]]);
    }
    states.split();
    for (; nextSet < states.count; nextSet++) {
      for (let i = states.from[nextSet]; i < states.to[nextSet]; i++) {
        const state = states.elements[i];
        for (let j = into.from[state]; j < into.to[state]; j++) transitions.mark(into.elements[j]);
      }
      transitions.split();
    }
  }
  return states.setOf;
}

/** Classes that lead to the same state everywhere become one. */
function withFewestClasses(
  classOf: Uint8Array,
  numClasses: number,
  rows: readonly number[],
): Pick<Dfa, "classOf" | "numClasses" | "next"> {
  const numbers = new Map<string, number>();
  const kept: number[] = [];
  const merged = Array.from({ length: numClasses }, (_, c) => {
    let key = "";
    for (let i = c; i < rows.length; i += numClasses) key += `${rows[i]},`;
    let number = numbers.get(key);
    if (number === undefined) {
      number = kept.push(c) - 1;
      numbers.set(key, number);
    }
    return number;
  });
  const next: number[] = [];
  for (let s = 0; s < rows.length; s += numClasses) for (const c of kept) next.push(rows[s + c]);
  return { classOf: classOf.map((c) => merged[c]), numClasses: kept.length, next: Int32Array.from(next) };
}

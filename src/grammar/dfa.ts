/**
 * Deterministic automata over bytes, as plain data that crosses threads. From every state that is kept some text is
 * accepted, so a text is the beginning of an accepted one if and only if its bytes lead to a state at all.
 */
import { invalidArgument } from "../errors.js";
import type { RegexTerms, Term } from "./regex-terms.js";

export interface Dfa {
  /** (256): a byte's class. */
  readonly classOf: Uint8Array;
  readonly numClasses: number;
  /** (states × numClasses): the state that a class leads to, −1: none. State 0 is the first. */
  readonly next: Int32Array;
  /** (states): 1 where what was read is accepted. */
  readonly accepting: Uint8Array;
}

/** Whether anything may follow in this state. */
export function hasNext({ next, numClasses }: Dfa, state: number): boolean {
  for (let i = state * numClasses; i < (state + 1) * numClasses; i++) if (next[i] >= 0) return true;
  return false;
}

/** The state after a byte, −1: none. */
export function nextState(dfa: Dfa, state: number, byte: number): number {
  return dfa.next[state * dfa.numClasses + dfa.classOf[byte]];
}

/** The state after some bytes, −1: they begin no accepted text. */
export function stateAfter(dfa: Dfa, bytes: Iterable<number>): number {
  let state = 0;
  for (const byte of bytes) {
    state = nextState(dfa, state, byte);
    if (state < 0) return -1;
  }
  return state;
}

/**
 * The smallest automaton of a language, null where it has no text.
 * @throws LastrowError `invalid_argument` when it has more than `maxStates` states on the way
 */
export function dfaOf(terms: RegexTerms, language: Term, maxStates: number): Dfa | null {
  const starts = terms.classStarts;
  const numClasses = starts.length;
  const states = [language];
  const numbers = new Map([[language, 0]]);
  const next: number[] = [];
  for (let s = 0; s < states.length; s++) {
    for (const byte of starts) {
      const term = terms.derivative(states[s], byte);
      let number = term === terms.none ? -1 : numbers.get(term);
      if (number === undefined) {
        number = states.push(term) - 1;
        numbers.set(term, number);
        if (states.length > maxStates) throw tooManyStates(maxStates);
      }
      next.push(number);
    }
  }
  const accepting = Uint8Array.from(states, (term) => (terms.isNullable(term) ? 1 : 0));
  const whole = { numClasses, next: Int32Array.from(next), accepting, classOf: classesOf(starts) };
  return minimised(withoutDeadEnds(whole));
}

/**
 * The smallest automaton of what a function says, null where it accepts nothing.
 * @param alphabet the bytes that its texts are of
 * @param next a state after a byte; null: none. States are told apart by their key
 */
export function dfaFrom<S>(
  first: S,
  {
    alphabet,
    keyOf,
    next,
    accepts,
  }: {
    readonly alphabet: readonly number[];
    readonly keyOf: (state: S) => string;
    readonly next: (state: S, byte: number) => S | null;
    readonly accepts: (state: S) => boolean;
  },
  maxStates: number,
): Dfa | null {
  const states = [first];
  const numbers = new Map([[keyOf(first), 0]]);
  const table: number[] = [];
  for (let s = 0; s < states.length; s++) {
    for (const byte of alphabet) {
      const to = next(states[s], byte);
      if (to === null) {
        table.push(-1);
        continue;
      }
      const key = keyOf(to);
      let number = numbers.get(key);
      if (number === undefined) {
        number = states.push(to) - 1;
        numbers.set(key, number);
        if (states.length > maxStates) throw tooManyStates(maxStates);
      }
      table.push(number);
    }
    // All other bytes.
    table.push(-1);
  }
  const accepting = Uint8Array.from(states, (state) => (accepts(state) ? 1 : 0));
  const classOf = new Uint8Array(256).fill(alphabet.length);
  alphabet.forEach((byte, i) => {
    classOf[byte] = i;
  });
  return minimised(
    withoutDeadEnds({
      classOf,
      numClasses: alphabet.length + 1,
      next: Int32Array.from(table),
      accepting,
    }),
  );
}

/** The smallest automaton of the texts that all of some automata accept, null where there is none. */
export function intersection(dfas: readonly Dfa[], maxStates: number): Dfa | null {
  if (dfas.length === 1) return dfas[0];
  // Bytes that all of them treat alike are one class.
  const numbers = new Map<string, number>();
  const bytes: number[] = [];
  const classOf = Uint8Array.from({ length: 256 }, (_, byte) => {
    const key = dfas.map((dfa) => dfa.classOf[byte]).join();
    let number = numbers.get(key);
    if (number === undefined) {
      number = bytes.push(byte) - 1;
      numbers.set(key, number);
    }
    return number;
  });
  const states = [dfas.map(() => 0)];
  const known = new Map([[states[0].join(), 0]]);
  const table: number[] = [];
  for (let s = 0; s < states.length; s++) {
    for (const byte of bytes) {
      const to = states[s].map((state, i) => nextState(dfas[i], state, byte));
      if (to.includes(-1)) {
        table.push(-1);
        continue;
      }
      const key = to.join();
      let number = known.get(key);
      if (number === undefined) {
        number = states.push(to) - 1;
        known.set(key, number);
        if (states.length > maxStates) throw tooManyStates(maxStates);
      }
      table.push(number);
    }
  }
  const accepting = Uint8Array.from(states, (state) =>
    state.every((one, i) => dfas[i].accepting[one] === 1) ? 1 : 0,
  );
  return minimised(
    withoutDeadEnds({ classOf, numClasses: bytes.length, next: Int32Array.from(table), accepting }),
  );
}

function tooManyStates(maxStates: number): Error {
  return invalidArgument(
    `a pattern, a range or a list of values needs more than ${maxStates} states; make it shorter or give it smaller counts.`,
  );
}

function classesOf(starts: readonly number[]): Uint8Array {
  const classOf = new Uint8Array(256);
  for (let byte = 0, at = 0; byte < 256; byte++) {
    if (at + 1 < starts.length && starts[at + 1] === byte) at += 1;
    classOf[byte] = at;
  }
  return classOf;
}

/** The same language, with −1 in place of every state from which nothing is accepted; null when that is the first. */
function withoutDeadEnds(dfa: Dfa): Dfa | null {
  const { numClasses, next, accepting } = dfa;
  const into: number[][] = Array.from(accepting, () => []);
  for (let i = 0; i < next.length; i++) if (next[i] >= 0) into[next[i]].push(Math.floor(i / numClasses));
  const alive = Uint8Array.from(accepting);
  const waiting: number[] = [];
  accepting.forEach((accepts, state) => {
    if (accepts === 1) waiting.push(state);
  });
  for (let state = waiting.pop(); state !== undefined; state = waiting.pop()) {
    for (const from of into[state]) {
      if (alive[from] === 1) continue;
      alive[from] = 1;
      waiting.push(from);
    }
  }
  if (alive[0] === 0) return null;
  return { ...dfa, next: next.map((to) => (to >= 0 && alive[to] === 1 ? to : -1)) };
}

/** One state for all that accept the same texts, numbered as they are met from the first: Moore's refinement. */
function minimised(dfa: Dfa | null): Dfa | null {
  if (dfa === null) return null;
  const { numClasses, next, accepting, classOf } = dfa;
  const part = Int32Array.from(accepting);
  for (let parts = new Set(part).size; ; ) {
    const refined = part.slice();
    let count = parts;
    for (let c = 0; c < numClasses; c++) {
      // States that were alike so far are still so where the class leads to one part.
      const numbers = new Map<number, number>();
      for (let state = 0; state < part.length; state++) {
        const to = next[state * numClasses + c];
        const key = refined[state] * (part.length + 1) + (to < 0 ? part.length : part[to]);
        let number = numbers.get(key);
        if (number === undefined) {
          number = numbers.size;
          numbers.set(key, number);
        }
        refined[state] = number;
      }
      count = numbers.size;
    }
    part.set(refined);
    if (count === parts) break;
    parts = count;
  }
  // Only what can be reached, in the order of a walk: equal languages get equal tables.
  const order: number[] = [0];
  const numbers = new Map([[part[0], 0]]);
  const rows: number[] = [];
  for (let s = 0; s < order.length; s++) {
    for (let c = 0; c < numClasses; c++) {
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
    ...withFewestClasses(classOf, numClasses, rows),
    accepting: Uint8Array.from(order, (state) => accepting[state]),
  };
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

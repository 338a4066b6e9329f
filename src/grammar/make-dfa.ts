/** Smallest automata: of a regular language, of what a function says, of what several automata accept. */
import { type Dfa, nextState, tooManyStates } from "./dfa.js";
import { minimised } from "./minimised.js";
import type { RegexTerms, Term } from "./regex-terms.js";
import type { Work } from "./work.js";

/** Steps of work of a `next` of `dfaFrom`, beside one of a table. Measured. */
const STEPS_OF_NEXT = 8;

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
    terms.work.spend(numClasses);
    const own = terms.startsOf(states[s]);
    let at = 0;
    let number: number | undefined;
    for (const byte of starts) {
      // Bytes that the state treats alike lead to one.
      if (own[at] === byte) {
        at += 1;
        const term = terms.derivative(states[s], byte);
        number = term === terms.none ? -1 : numbers.get(term);
        if (number === undefined) {
          number = states.push(term) - 1;
          numbers.set(term, number);
          if (states.length > maxStates) throw tooManyStates(maxStates);
        }
      }
      next.push(number!);
    }
  }
  const accepting = Uint8Array.from(states, (term) => (terms.isNullable(term) ? 1 : 0));
  const whole = { numClasses, next: Int32Array.from(next), accepting, classOf: classesOf(starts) };
  return smallest(whole);
}

/** What an automaton is made from. */
interface StateReader<S> {
  /** The bytes that its texts are of. */
  readonly alphabet: readonly number[];
  /** Tells states apart. */
  keyOf(state: S): number;
  /** The state after a byte; null: none. */
  next(state: S, byte: number): S | null;
  accepts(state: S): boolean;
}

/** The smallest automaton of what a reader accepts from its first state, null where that is nothing. */
export function dfaFrom<S>(first: S, reader: StateReader<S>, maxStates: number, work: Work): Dfa | null {
  const { alphabet } = reader;
  const states = [first];
  const numbers = new Map([[reader.keyOf(first), 0]]);
  const table: number[] = [];
  for (let s = 0; s < states.length; s++) {
    work.spend(STEPS_OF_NEXT * alphabet.length);
    for (const byte of alphabet) {
      const to = reader.next(states[s], byte);
      if (to === null) {
        table.push(-1);
        continue;
      }
      const key = reader.keyOf(to);
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
  const accepting = Uint8Array.from(states, (state) => (reader.accepts(state) ? 1 : 0));
  const classOf = new Uint8Array(256).fill(alphabet.length);
  alphabet.forEach((byte, i) => {
    classOf[byte] = i;
  });
  return smallest({ classOf, numClasses: alphabet.length + 1, next: Int32Array.from(table), accepting });
}

/** The smallest automaton of the texts that all of some automata accept, null where there is none. */
export function intersection(dfas: readonly Dfa[], maxStates: number, work: Work): Dfa | null {
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
    work.spend(bytes.length * dfas.length);
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
  return smallest({ classOf, numClasses: bytes.length, next: Int32Array.from(table), accepting });
}

function classesOf(starts: readonly number[]): Uint8Array {
  const classOf = new Uint8Array(256);
  for (let byte = 0, at = 0; byte < 256; byte++) {
    if (at + 1 < starts.length && starts[at + 1] === byte) at += 1;
    classOf[byte] = at;
  }
  return classOf;
}

function smallest(dfa: Dfa): Dfa | null {
  const alive = withoutDeadEnds(dfa);
  return alive === null ? null : minimised(alive);
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

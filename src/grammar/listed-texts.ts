/**
 * The automaton of some texts: what they begin with in common is there once, and so is what they end with, so that it never
 * has more states than the smallest one but for those of a single text (J. Daciuk et al., "Incremental construction of
 * minimal acyclic finite-state automata", 2000).
 */
import { type Dfa, tooManyStates } from "./dfa.js";
import { minimised } from "./minimised.js";
import type { Work } from "./work.js";

interface Open {
  readonly next: Map<number, number>;
  accepts: boolean;
}

/**
 * Null where there is no text.
 * @throws LastrowError `invalid_argument` when it has more than `maxStates` states
 */
export function textsDfa(texts: readonly Uint8Array[], maxStates: number, work: Work): Dfa | null {
  if (texts.length === 0) return null;
  const sorted = [...texts].sort(compareBytes);
  const closed: Open[] = [];
  const numbers = new Map<string, number>();
  // States along the text before, which may still get others behind them.
  const path: Open[] = [{ next: new Map(), accepts: false }];
  const close = (length: number, text: Uint8Array) => {
    while (path.length > length) {
      const state = path.pop()!;
      const key = `${state.accepts}${[...state.next].join(";")}`;
      let number = numbers.get(key);
      if (number === undefined) {
        number = closed.push(state) - 1;
        if (closed.length > maxStates) throw tooManyStates(maxStates);
        numbers.set(key, number);
      }
      path.at(-1)?.next.set(text[path.length - 1], number);
    }
  };
  let before: Uint8Array = new Uint8Array(0);
  for (const text of sorted) {
    work.spend(text.length);
    let shared = 0;
    while (shared < text.length && before[shared] === text[shared]) shared += 1;
    close(shared + 1, before);
    while (path.length <= text.length) path.push({ next: new Map(), accepts: false });
    path[text.length].accepts = true;
    before = text;
  }
  close(1, before);
  return minimised(tableOf([path[0], ...closed]));
}

/** @param states the first one, then those that it leads to, whose numbers begin with 0 */
function tableOf(states: readonly Open[]): Dfa {
  const alphabet = [...new Set(states.flatMap(({ next }) => [...next.keys()]))].sort((a, b) => a - b);
  // The last class, if there is one, is of all other bytes.
  const numClasses = Math.min(256, alphabet.length + 1);
  const classOf = new Uint8Array(256).fill(numClasses - 1);
  alphabet.forEach((byte, i) => {
    classOf[byte] = i;
  });
  const table = new Int32Array(states.length * numClasses).fill(-1);
  states.forEach(({ next }, state) => {
    for (const [byte, to] of next) table[state * numClasses + classOf[byte]] = to + 1;
  });
  const accepting = Uint8Array.from(states, ({ accepts }) => (accepts ? 1 : 0));
  return { classOf, numClasses, next: table, accepting };
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}

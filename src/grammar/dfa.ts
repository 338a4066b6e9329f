/**
 * Deterministic automata over bytes, as plain data that crosses threads. From every state that is kept some text is
 * accepted, so a text is the beginning of an accepted one if and only if its bytes lead to a state at all.
 */
import { invalidArgument } from "../errors.js";

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

/** The error of an automaton that is too large. */
export function tooManyStates(maxStates: number): Error {
  return invalidArgument(
    `a pattern, a range or a list of values needs more than ${maxStates} states; make it shorter or give it smaller counts.`,
  );
}

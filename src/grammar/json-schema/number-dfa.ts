/**
 * Numbers between two bounds, as automata. A number is written without an exponent, `-0` is not written, and there are at
 * most 15 digits before the point and as many behind it; where a number has bounds, 15 digits in all, so that two numbers
 * that are written differently are different doubles.
 */
import { invalidArgument } from "../../errors.js";
import type { Dfa } from "../dfa.js";
import { dfaFrom } from "../make-dfa.js";
import type { Work } from "../work.js";

export interface NumberBounds {
  readonly integer: boolean;
  /** Least and largest value, and whether they are excluded; null: none. */
  readonly min: Bound | null;
  readonly max: Bound | null;
  /** Whole multiples of it only; for integers. */
  readonly multipleOf: number | null;
}

export interface Bound {
  readonly value: number;
  readonly excluded: boolean;
}

/** Digits that a double always tells apart. */
const DIGITS = 15;
/** Largest divisor: an automaton has a state for each remainder. */
const MAX_DIVISOR = 1000;
/** Remainders of the least common multiple of several divisors are less than this, or the automaton has too many states. */
const MAX_REMAINDERS = 2 ** 36;

/** Sign, point and digits. */
const ALPHABET = [...new TextEncoder().encode("-.0123456789")];

/** Digits of a magnitude before and behind the point. */
interface Decimal {
  readonly whole: string;
  readonly fraction: string;
}

/** How what was read compares with a bound's magnitude, as far as both go: −1 less, 0 alike, 1 more. */
type Order = -1 | 0 | 1;

/** What was read last. */
const START = 0;
const SIGN = 1;
const ZERO = 2;
const WHOLE = 3;
const POINT = 4;
const FRACTION = 5;

/** There are thousands, each met from many others: all fields are small numbers, so that they are quick to make and to tell apart. */
interface State {
  readonly part: number;
  /** 1: yes. */
  readonly negative: number;
  /** Digits of the part. */
  readonly count: number;
  /** Digits before it. */
  readonly before: number;
  /** With the least and with the largest value. */
  readonly toMin: Order;
  readonly toMax: Order;
  readonly remainder: number;
  /** 1: yes. */
  readonly isZero: number;
}

/** Null where no number is within the bounds. */
export function numberDfa(bounds: NumberBounds, maxStates: number, work: Work): Dfa | null {
  const first = {
    part: START,
    negative: 0,
    count: 0,
    before: 0,
    toMin: 0,
    toMax: 0,
    remainder: 0,
    isZero: 1,
  };
  return dfaFrom(first as State, new NumberReader(bounds), maxStates, work);
}

class NumberReader {
  readonly #bounds: NumberBounds;
  readonly #min: Decimal | null;
  readonly #max: Decimal | null;
  readonly #fractionDigits: number;

  constructor(bounds: NumberBounds) {
    this.#bounds = bounds;
    this.#min = bounds.min === null ? null : decimal(bounds.min.value);
    this.#max = bounds.max === null ? null : decimal(bounds.max.value);
    this.#fractionDigits = bounds.integer ? 0 : DIGITS;
  }

  readonly alphabet = ALPHABET;

  /** The fields as digits of one number, each with room for its values. */
  keyOf({ part, negative, count, before, toMin, toMax, remainder, isZero }: State): number {
    const read = ((part * 2 + negative) * 2 + isZero) * (DIGITS + 1) * (DIGITS + 1);
    const orders = (toMin + 1) * 3 + toMax + 1;
    return ((read + count * (DIGITS + 1) + before) * 9 + orders) * MAX_REMAINDERS + remainder;
  }

  next(state: State, byte: number): State | null {
    const { part } = state;
    if (byte === 0x2d) return part === START ? { ...state, part: SIGN, negative: 1 } : null;
    if (byte === 0x2e) {
      const mayFollow = (part === ZERO || part === WHOLE) && this.#fractionDigits > 0;
      if (!mayFollow) return null;
      const before = this.#bounds.min === null && this.#bounds.max === null ? 0 : state.count;
      const [toMin, toMax] = [
        wholeOrder(state.count, state.toMin, this.#min),
        wholeOrder(state.count, state.toMax, this.#max),
      ];
      return { ...state, part: POINT, count: 0, before, toMin, toMax };
    }
    const digit = byte - 0x30;
    if (part === START || part === SIGN) return this.#digit(state, digit, digit === 0 ? ZERO : WHOLE);
    if (part === WHOLE) return state.count < DIGITS ? this.#digit(state, digit, WHOLE) : null;
    return part === ZERO ? null : this.#fractionDigit(state, digit);
  }

  accepts({ part, negative, count, toMin, toMax, remainder, isZero }: State): boolean {
    if (part === START || part === SIGN || part === POINT) return false;
    if (negative === 1 && isZero === 1) return false;
    const { min, max, multipleOf } = this.#bounds;
    if (multipleOf !== null && remainder !== 0) return false;
    const order = (bound: Decimal | null, before: Order): Order =>
      part === FRACTION
        ? fractionOrder(count, before, bound)
        : fractionOrder(0, wholeOrder(count, before, bound), bound);
    const least = signedOrder(min, order(this.#min, toMin), negative);
    const largest = signedOrder(max, order(this.#max, toMax), negative);
    return (
      (min === null || least > 0 || (least === 0 && !min.excluded)) &&
      (max === null || largest < 0 || (largest === 0 && !max.excluded))
    );
  }

  #digit(
    { part: last, negative, count, toMin, toMax, remainder, isZero }: State,
    digit: number,
    part: number,
  ): State {
    const { multipleOf } = this.#bounds;
    const at = last === WHOLE ? count : 0;
    return {
      part,
      negative,
      count: at + 1,
      before: 0,
      toMin: this.#min === null ? 0 : digitOrder(digit, at, toMin, this.#min.whole),
      toMax: this.#max === null ? 0 : digitOrder(digit, at, toMax, this.#max.whole),
      remainder: multipleOf === null ? 0 : (remainder * 10 + digit) % multipleOf,
      isZero: digit === 0 ? isZero : 0,
    };
  }

  #fractionDigit(state: State, digit: number): State | null {
    const { part: last, negative, count, before, toMin, toMax, remainder, isZero } = state;
    if (count + before >= this.#fractionDigits) return null;
    const at = last === FRACTION ? count : 0;
    return {
      part: FRACTION,
      negative,
      count: count + 1,
      before,
      toMin: this.#min === null ? 0 : digitOrder(digit, at, toMin, this.#min.fraction),
      toMax: this.#max === null ? 0 : digitOrder(digit, at, toMax, this.#max.fraction),
      remainder,
      isZero: digit === 0 ? isZero : 0,
    };
  }
}

/** With one more digit, at a place of those of the bound. */
function digitOrder(digit: number, at: number, before: Order, digits: string): Order {
  if (before !== 0) return before;
  return order(digit, at < digits.length ? digits.charCodeAt(at) - 0x30 : 0);
}

/** With the lengths: of two whole numbers the one with more digits is larger. */
function wholeOrder(count: number, before: Order, bound: Decimal | null): Order {
  if (bound === null) return 0;
  return count === bound.whole.length ? before : order(count, bound.whole.length);
}

/** With the bound's further digits, which are not all zero. */
function fractionOrder(count: number, before: Order, bound: Decimal | null): Order {
  return bound !== null && before === 0 && bound.fraction.length > count ? -1 : before;
}

/** A number of this sign, compared with a bound of its own sign. */
function signedOrder(bound: Bound | null, magnitudes: Order, negative: number): number {
  if (bound === null) return 0;
  if (bound.value < 0) return negative === 1 ? -magnitudes : 1;
  return negative === 1 ? -1 : magnitudes;
}

function order(a: number, b: number): Order {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function decimal(value: number): Decimal {
  const magnitude = Math.abs(value);
  if (magnitude >= 1e15) return { whole: `1${"0".repeat(DIGITS)}`, fraction: "" };
  const [whole, fraction = ""] = plain(magnitude).split(".");
  return { whole, fraction };
}

/** Without an exponent. */
function plain(magnitude: number): string {
  const text = String(magnitude);
  if (!text.includes("e")) return text;
  const [digits, exponent] = text.split("e");
  const zeros = -Number(exponent) - 1;
  return `0.${"0".repeat(zeros)}${digits.replace(".", "")}`;
}

/**
 * @throws LastrowError `invalid_argument` where `divisor` cannot be one
 */
export function checkDivisor(divisor: number, where: string): void {
  if (Number.isInteger(divisor) && divisor >= 1 && divisor <= MAX_DIVISOR) return;
  throw invalidArgument(
    `${where}: multipleOf must be a whole number from 1 to ${MAX_DIVISOR}, for integers; it is ${divisor}.`,
  );
}

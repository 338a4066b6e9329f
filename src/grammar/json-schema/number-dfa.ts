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

/** Sign, point and digits. */
const ALPHABET = [...new TextEncoder().encode("-.0123456789")];

/** Digits of a magnitude before and behind the point. */
interface Decimal {
  readonly whole: string;
  readonly fraction: string;
}

/** How what was read compares with a bound's magnitude, as far as both go: −1 less, 0 alike, 1 more. */
type Order = -1 | 0 | 1;

interface State {
  readonly part: "start" | "sign" | "zero" | "whole" | "point" | "fraction";
  readonly negative: boolean;
  /** Digits of the part. */
  readonly count: number;
  /** Digits before it. */
  readonly before: number;
  /** With the least and with the largest value. */
  readonly orders: readonly [Order, Order];
  readonly remainder: number;
  readonly isZero: boolean;
}

/** Null where no number is within the bounds. */
export function numberDfa(bounds: NumberBounds, maxStates: number, work: Work): Dfa | null {
  return dfaFrom<State>(
    { part: "start", negative: false, count: 0, before: 0, orders: [0, 0], remainder: 0, isZero: true },
    new NumberReader(bounds),
    maxStates,
    work,
  );
}

class NumberReader {
  readonly #bounds: NumberBounds;
  readonly #magnitudes: readonly (Decimal | null)[];
  readonly #fractionDigits: number;

  constructor(bounds: NumberBounds) {
    this.#bounds = bounds;
    this.#magnitudes = [bounds.min, bounds.max].map((bound) =>
      bound === null ? null : decimal(bound.value),
    );
    this.#fractionDigits = bounds.integer ? 0 : DIGITS;
  }

  readonly alphabet = ALPHABET;

  readonly keyOf = ({ part, negative, count, before, orders, remainder, isZero }: State): string =>
    [part[0], part.length, negative, count, before, ...orders, remainder, isZero].join();

  readonly next = (state: State, byte: number): State | null => {
    if (byte === 0x2d) return state.part === "start" ? { ...state, part: "sign", negative: true } : null;
    if (byte === 0x2e) {
      const mayFollow = (state.part === "zero" || state.part === "whole") && this.#fractionDigits > 0;
      if (!mayFollow) return null;
      const before = this.#bounds.min === null && this.#bounds.max === null ? 0 : state.count;
      return { ...state, part: "point", count: 0, before, orders: this.#wholeOrders(state) };
    }
    const digit = byte - 0x30;
    if (digit < 0 || digit > 9) return null;
    switch (state.part) {
      case "start":
      case "sign":
        return this.#digit(state, digit, digit === 0 ? "zero" : "whole");
      case "whole":
        return state.count < DIGITS ? this.#digit(state, digit, "whole") : null;
      case "point":
      case "fraction":
        return this.#fractionDigit(state, digit);
      case "zero":
        return null;
    }
  };

  readonly accepts = (state: State): boolean => {
    const { part, negative, isZero, remainder } = state;
    if (part === "start" || part === "sign" || part === "point") return false;
    if (negative && isZero) return false;
    const { min, max, multipleOf } = this.#bounds;
    if (multipleOf !== null && remainder !== 0) return false;
    const orders =
      part === "fraction"
        ? this.#fractionOrders(state)
        : this.#fractionOrders({ ...state, count: 0, orders: this.#wholeOrders(state) });
    const [least, largest] = [min, max].map((bound, i) => this.#signed(bound, orders[i], negative));
    return (
      (min === null || least > 0 || (least === 0 && !min.excluded)) &&
      (max === null || largest < 0 || (largest === 0 && !max.excluded))
    );
  };

  #digit(state: State, digit: number, part: "zero" | "whole"): State {
    const { multipleOf } = this.#bounds;
    const orders = this.#compared(state, digit, ({ whole }) => whole);
    return {
      ...{
        part,
        negative: state.negative,
        count: state.part === "whole" ? state.count + 1 : 1,
        before: 0,
        orders,
      },
      remainder: multipleOf === null ? 0 : (state.remainder * 10 + digit) % multipleOf,
      isZero: state.isZero && digit === 0,
    };
  }

  #fractionDigit(state: State, digit: number): State | null {
    if (state.count + state.before >= this.#fractionDigits) return null;
    const orders = this.#compared(state, digit, ({ fraction }) => fraction);
    return {
      ...state,
      part: "fraction",
      count: state.count + 1,
      orders,
      isZero: state.isZero && digit === 0,
    };
  }

  #compared(state: State, digit: number, digitsOf: (bound: Decimal) => string): readonly [Order, Order] {
    const at = state.part === "whole" || state.part === "fraction" ? state.count : 0;
    const one = (i: 0 | 1): Order => {
      const bound = this.#magnitudes[i];
      if (bound === null || state.orders[i] !== 0) return state.orders[i];
      return order(digit, Number(digitsOf(bound)[at] ?? "0"));
    };
    return [one(0), one(1)];
  }

  /** With the lengths: of two whole numbers the one with more digits is larger. */
  #wholeOrders({ count, orders }: State): readonly [Order, Order] {
    const one = (i: 0 | 1): Order => {
      const bound = this.#magnitudes[i];
      if (bound === null) return 0;
      return count === bound.whole.length ? orders[i] : order(count, bound.whole.length);
    };
    return [one(0), one(1)];
  }

  /** With the bound's further digits, which are not all zero. */
  #fractionOrders({ count, orders }: State): readonly [Order, Order] {
    const one = (i: 0 | 1): Order => {
      const bound = this.#magnitudes[i];
      return bound !== null && orders[i] === 0 && bound.fraction.length > count ? -1 : orders[i];
    };
    return [one(0), one(1)];
  }

  /** A number of this sign, compared with a bound of its own sign. */
  #signed(bound: Bound | null, magnitudes: Order, negative: boolean): number {
    if (bound === null) return 0;
    if (bound.value < 0) return negative ? -magnitudes : 1;
    return negative ? -1 : magnitudes;
  }
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

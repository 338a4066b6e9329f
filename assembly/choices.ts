// What the kernels were chosen to run on: a word that all threads see, written from outside between two operations, once
// when the kernels are made. Results never depend on it, only how fast they come. An operation reads it once, not in a loop.

import {
  CHOICE_FUSED, CHOICE_RELAXED_INT8, CHOICE_RELAXED_QUANTISED, CHOICE_RELAXED_QUANTISED_MANY, CHOICE_SHORT_SUMS,
  CHOICE_SHORT_SUMS_MANY,
} from "./generated/constants";

/** A cache line of its own: the counters of the team change all the time. */
const choices = memory.data(64, 64);

/** Where the word is. */
export function choicesAddress(): usize {
  return choices;
}

@inline
function chosen(choice: i32): bool {
  return (load<i32>(choices) & choice) != 0;
}

/** Pairs of vectors become one of 256 bits: wide tiles are faster, else halves of them. */
@inline
export function fused(): bool {
  return chosen(CHOICE_FUSED);
}

/** Products with int8 weights go to the module of relaxed dot products (relaxed/index.ts). */
@inline
export function relaxedInt8(): bool {
  return chosen(CHOICE_RELAXED_INT8);
}

/** The same for the types of quantised files, and int4, where few rows meet panels as they lie (`widenedFrom`). */
@inline
export function relaxedQuantised(): bool {
  return chosen(CHOICE_RELAXED_QUANTISED);
}

/** Where many do: faster with AVX-VNNI and the like, slower without, where few rows are faster. */
@inline
export function relaxedQuantisedMany(): bool {
  return chosen(CHOICE_RELAXED_QUANTISED_MANY);
}

/** Nibbles meet few rows with sums of 16 bits (relaxed/tiles-short.ts), whatever other types do. */
@inline
export function shortSums(): bool {
  return chosen(CHOICE_SHORT_SUMS);
}

/** The same where many rows do. */
@inline
export function shortSumsMany(): bool {
  return chosen(CHOICE_SHORT_SUMS_MANY);
}

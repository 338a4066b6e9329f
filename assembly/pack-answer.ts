// What packing has to say of the values that it packed: whether all could be represented in the form that they have in memory,
// and whether any was rounded. An operation's answer is made of those of its parts.

import { FORM_BF16, FORM_F32, PACK_OUT_OF_RANGE, PACK_ROUNDED } from "./generated/constants";
import { magnitudes } from "./stored";

/** The largest magnitude, as the bits of an f32, that a form can represent, rounded or not. */
@inline
function largestOf(form: i32): i32 {
  if (form == FORM_F32) return 0x7f7fffff;
  return form == FORM_BF16 ? 0x7f7f7fff : 0x477fefff;
}

/** Of four values: what they were, and what they are now. */
@inline
export function notesOn(values: v128, kept: v128, form: i32): v128 {
  const outOfRange = v128.and(i32x4.gt_s(magnitudes(values), i32x4.splat(largestOf(form))), i32x4.splat(PACK_OUT_OF_RANGE));
  if (form == FORM_F32) return outOfRange;
  return v128.or(outOfRange, v128.and(i32x4.ne(values, kept), i32x4.splat(PACK_ROUNDED)));
}

/** The answer of an operation, or its part, that made these notes. */
@inline
export function answerOf(notes: v128): i32 {
  const two = v128.or(notes, v128.shuffle<i64>(notes, notes, 1, 0));
  return i32x4.extract_lane(two, 0) | i32x4.extract_lane(two, 1);
}

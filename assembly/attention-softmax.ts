// Attention's scores become weights: each query's own, over the positions `first … position` that it sees. Lanes outside
// of them are left out by selection.

import { capped } from "./elements";
import { BLOCK_SIZE } from "./generated/constants";
import { blockBegin, inBlockOf } from "./kv-blocks";
import { expF32x4 } from "./math";

/** Which lanes of positions `p … p + 3` are among `first … position`. */
@inline
function lanesSeen(p: i32, first: i32, position: i32): v128 {
  const positions = i32x4.add(i32x4.splat(p), i32x4(0, 1, 2, 3));
  return v128.and(i32x4.ge_s(positions, i32x4.splat(first)), i32x4.le_s(positions, i32x4.splat(position)));
}

/** Scores capped, in place. */
export function capScores(scores: usize, first: i32, position: i32, cap: f32): void {
  const caps = f32x4.splat(cap);
  for (let p = first & ~3; p <= position; p += 4) {
    const at = scores + (<usize>p << 2);
    v128.store(at, capped(v128.load(at), caps));
  }
}

/** The largest score; NaN if any is NaN. */
function maxScore(scores: usize, first: i32, position: i32): f32 {
  const none = f32x4.splat(-Infinity);
  let p = first & ~3;
  let top = v128.bitselect(v128.load(scores + (<usize>p << 2)), none, lanesSeen(p, first, position));
  for (p += 4; p + 3 <= position; p += 4) top = f32x4.max(top, v128.load(scores + (<usize>p << 2)));
  if (p <= position) {
    const last = v128.load(scores + (<usize>p << 2));
    top = f32x4.max(top, v128.bitselect(last, none, lanesSeen(p, first, position)));
  }
  return max(
    max(f32x4.extract_lane(top, 0), f32x4.extract_lane(top, 1)),
    max(f32x4.extract_lane(top, 2), f32x4.extract_lane(top, 3)),
  );
}

/** ((0 + 4) + (8 + 12)) … lane by lane, then (0 + 1) + (2 + 3) of the four that remain. */
@inline
function joinLanes(a: v128, b: v128, c: v128, d: v128): f32 {
  const v = f32x4.add(f32x4.add(a, b), f32x4.add(c, d));
  return (
    f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3))
  );
}

/** Turns scores into exp(score − maximum), in place; returns their sum. */
export function weighScores(scores: usize, first: i32, position: i32): f32 {
  const tops = f32x4.splat(maxScore(scores, first, position));
  let a = f32x4.splat(0), b = a, c = a, d = a;
  for (let p = blockBegin(first); p <= position; p += BLOCK_SIZE) {
    const at = scores + (<usize>p << 2);
    const ea = expF32x4(f32x4.sub(v128.load(at), tops));
    v128.store(at, ea);
    const eb = expF32x4(f32x4.sub(v128.load(at, 16), tops));
    v128.store(at, eb, 16);
    const ec = expF32x4(f32x4.sub(v128.load(at, 32), tops));
    v128.store(at, ec, 32);
    const ed = expF32x4(f32x4.sub(v128.load(at, 48), tops));
    v128.store(at, ed, 48);
    if (first <= p && p + BLOCK_SIZE - 1 <= position) {
      a = f32x4.add(a, ea);
      b = f32x4.add(b, eb);
      c = f32x4.add(c, ec);
      d = f32x4.add(d, ed);
    } else {
      a = v128.bitselect(f32x4.add(a, ea), a, lanesSeen(p, first, position));
      b = v128.bitselect(f32x4.add(b, eb), b, lanesSeen(p + 4, first, position));
      c = v128.bitselect(f32x4.add(c, ec), c, lanesSeen(p + 8, first, position));
      d = v128.bitselect(f32x4.add(d, ed), d, lanesSeen(p + 12, first, position));
    }
  }
  return joinLanes(a, b, c, d);
}

/** Weights times the scales of their values, in place. `scales` is where those of block 0 would lie. */
export function scaleWeights(
  weights: usize, scales: usize, blockBytes: usize, blockTable: usize, first: i32, position: i32,
): void {
  for (let p = blockBegin(first); p <= position; p += BLOCK_SIZE) {
    const w = weights + (<usize>p << 2), s = inBlockOf(p, scales, blockBytes, blockTable);
    v128.store(w, f32x4.mul(v128.load(w), v128.load(s)));
    v128.store(w, f32x4.mul(v128.load(w, 16), v128.load(s, 16)), 16);
    v128.store(w, f32x4.mul(v128.load(w, 32), v128.load(s, 32)), 32);
    v128.store(w, f32x4.mul(v128.load(w, 48), v128.load(s, 48)), 48);
  }
}

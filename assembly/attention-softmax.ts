// Attention's scores become weights: each query's own, over the positions `first … position` that it sees. Lanes outside
// of them are left out by selection.

import { capPairs } from "./elements";
import { BLOCK_SIZE } from "./generated/constants";
import { blockBegin, inBlockOf, isScaled } from "./kv-blocks";
import { expF32x4 } from "./math";

/** Which lanes of positions `p … p + 3` are among `first … position`. */
@inline
function lanesSeen(p: i32, first: i32, position: i32): v128 {
  const positions = i32x4.add(i32x4.splat(p), i32x4(0, 1, 2, 3));
  return v128.and(i32x4.ge_s(positions, i32x4.splat(first)), i32x4.le_s(positions, i32x4.splat(position)));
}

/** Scores capped, in place: those of whole blocks. */
@inline
export function capScores(scores: usize, first: i32, position: i32, cap: f32): void {
  const begin = blockBegin(first), end = blockBegin(position) + BLOCK_SIZE;
  capPairs(scores + (<usize>begin << 2), <usize>(end - begin) << 2, cap);
}

/** The largest score, of those that are no NaN: with one that is, all that comes of it is NaN. */
function maxScore(scores: usize, first: i32, position: i32): f32 {
  const none = f32x4.splat(-Infinity);
  let a = none, b = none, c = none, d = none;
  let p = blockBegin(first);
  for (; p <= position; p += BLOCK_SIZE) {
    const at = scores + (<usize>p << 2);
    let s0 = v128.load(at), s1 = v128.load(at, 16), s2 = v128.load(at, 32), s3 = v128.load(at, 48);
    if (p < first || p + BLOCK_SIZE - 1 > position) {
      s0 = v128.bitselect(s0, none, lanesSeen(p, first, position));
      s1 = v128.bitselect(s1, none, lanesSeen(p + 4, first, position));
      s2 = v128.bitselect(s2, none, lanesSeen(p + 8, first, position));
      s3 = v128.bitselect(s3, none, lanesSeen(p + 12, first, position));
    }
    // pmax gives its first operand unless the second is greater.
    a = f32x4.pmax(a, s0);
    b = f32x4.pmax(b, s1);
    c = f32x4.pmax(c, s2);
    d = f32x4.pmax(d, s3);
  }
  const top = f32x4.pmax(f32x4.pmax(a, b), f32x4.pmax(c, d));
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

/** The sums of each thread, one for each position of a block: neighbours, so that V8 fuses what adds to them. */
const allSums = memory.data(64 * 64, 64);

/**
 * Turns scores into exp(score − maximum) and returns their sum. With scales, which is where those of block 0 would lie, each is
 * then multiplied by its value's. In place.
 */
export function weighScores<T>(
  scores: usize, scales: usize, blockBytes: usize, blockTable: usize, first: i32, position: i32, thread: i32,
): f32 {
  const sums = allSums + (<usize>thread << 6);
  const top = maxScore(scores, first, position);
  memory.fill(sums, 0, 64);
  let p = blockBegin(first);
  // Whole blocks, and before and behind them those that the query sees a part of.
  if (p < first) {
    weighPart<T>(scores, scales, blockBytes, blockTable, p, first, position, top, sums);
    p += BLOCK_SIZE;
  }
  const end = (position + 1) & ~(BLOCK_SIZE - 1);
  if (p < end) weighBlocks<T>(scores, scales, blockBytes, blockTable, p, end, top, sums);
  p = max(p, end);
  if (p <= position) weighPart<T>(scores, scales, blockBytes, blockTable, p, first, position, top, sums);
  return joinLanes(v128.load(sums), v128.load(sums, 16), v128.load(sums, 32), v128.load(sums, 48));
}

/** Of whole blocks, the positions `first … end − 1`. */
export function weighBlocks<T>(
  scores: usize, scales: usize, blockBytes: usize, blockTable: usize, first: i32, end: i32, top: f32, sums: usize,
): void {
  const tops = f32x4.splat(top);
  let a = v128.load(sums), b = v128.load(sums, 16), c = v128.load(sums, 32), d = v128.load(sums, 48);
  for (let p = first; p < end; p += BLOCK_SIZE) {
    const at = scores + (<usize>p << 2);
    const e0 = expF32x4(f32x4.sub(v128.load(at), tops)), e1 = expF32x4(f32x4.sub(v128.load(at, 16), tops));
    const e2 = expF32x4(f32x4.sub(v128.load(at, 32), tops)), e3 = expF32x4(f32x4.sub(v128.load(at, 48), tops));
    if (isScaled<T>()) {
      const s = inBlockOf(p, scales, blockBytes, blockTable);
      const w0 = f32x4.mul(e0, v128.load(s)), w1 = f32x4.mul(e1, v128.load(s, 16));
      const w2 = f32x4.mul(e2, v128.load(s, 32)), w3 = f32x4.mul(e3, v128.load(s, 48));
      v128.store(at, w0);
      v128.store(at, w1, 16);
      v128.store(at, w2, 32);
      v128.store(at, w3, 48);
    } else {
      v128.store(at, e0);
      v128.store(at, e1, 16);
      v128.store(at, e2, 32);
      v128.store(at, e3, 48);
    }
    a = f32x4.add(a, e0);
    b = f32x4.add(b, e1);
    c = f32x4.add(c, e2);
    d = f32x4.add(d, e3);
  }
  v128.store(sums, a);
  v128.store(sums, b, 16);
  v128.store(sums, c, 32);
  v128.store(sums, d, 48);
}

/** Of the block from position `block` on, of which the query sees a part. */
function weighPart<T>(
  scores: usize, scales: usize, blockBytes: usize, blockTable: usize, block: i32, first: i32, position: i32, top: f32, sums: usize,
): void {
  const tops = f32x4.splat(top), s = isScaled<T>() ? inBlockOf(block, scales, blockBytes, blockTable) : 0;
  for (let lane = 0; lane < BLOCK_SIZE; lane += 4) {
    const i = <usize>lane << 2, at = scores + (<usize>block << 2) + i;
    const e = expF32x4(f32x4.sub(v128.load(at), tops)), sum = v128.load(sums + i);
    v128.store(sums + i, v128.bitselect(f32x4.add(sum, e), sum, lanesSeen(block + lane, first, position)));
    v128.store(at, isScaled<T>() ? f32x4.mul(e, v128.load(s + i)) : e);
  }
}

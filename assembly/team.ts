// A team of threads over one shared memory: the caller, and helpers that spin briefly for work and then sleep.
//
// An operation is cut into chunks, each of which computes whole output elements, so that it does not matter who takes
// which. The caller writes the operation and its arguments, publishes the number of chunks, and works along; a chunk
// belongs to whoever takes the counter down by one. Arguments are read after a chunk was taken and cannot change before
// that chunk is done, so a helper that wakes up late, in the middle of a later operation, still computes the right thing.
//
// A team of one is the same code: the caller takes every chunk.

import { attention } from "./attention";
import { writeKv } from "./kv-blocks";
import { linear } from "./linear";
import { linearInt8 } from "./linear-int8";
import { PANEL_COLUMNS } from "./panels";
import { quantisedRowBytes, quantiseRows } from "./quantise";
import { activate, add, layerNorm } from "./rows";

const OP_LINEAR: i32 = 1;
const OP_ATTENTION: i32 = 2;
const OP_LAYER_NORM: i32 = 3;
const OP_ACTIVATE: i32 = 4;
const OP_ADD: i32 = 5;
const OP_LINEAR_INT8: i32 = 6;
const OP_QUANTISE: i32 = 7;
const OP_WRITE_KV: i32 = 8;

/** Types of K and V: 0 is f32. */
const KV_INT8: i32 = 1;

/** Rounds of looking before a helper goes to sleep: some hundred microseconds. */
const SPINS_BEFORE_SLEEP: i32 = 20000;
/** Rounds of looking before the caller goes back to TypeScript to see how long it has waited. */
const SPINS_BEFORE_RETURN: i32 = 2000000;

// One cache line each, so that looking at one does not disturb the others.
const generation = memory.data(64, 64);
const sleepers = memory.data(64, 64);
const remaining = memory.data(64, 64);
const done = memory.data(64, 64);
const command = memory.data(128, 64);
/** Where in `command` an f64 argument lies. */
const F64_ARGUMENT: usize = 120;

/** Where the caller writes: operation, number of chunks, 32-bit arguments; an f64 at byte 120. */
export function commandAddress(): usize {
  return command;
}

@inline
function argument(i: i32): i32 {
  return load<i32>(command + (<usize>i << 2));
}

/**
 * First of `count` items that belong to chunk `i` of `chunks`. Chunk i is i + 1 times as large as chunk 0, and the last one
 * is taken first: what is left in the end is little, so that nobody waits long for a thread whose core is slower.
 */
@inline
function share(count: i32, i: i32, chunks: i32): i32 {
  return <i32>((<i64>count * <i64>i * <i64>(i + 1)) / (<i64>chunks * <i64>(chunks + 1)));
}

/** K and V of type T. */
@inline
function attend<T>(chunk: i32, chunks: i32, thread: i32): void {
  const numHeads = argument(6), numTiles = argument(13);
  const scoreStride = <usize>argument(17);
  attention<T>(
    argument(2), argument(3), argument(4), argument(5), numHeads, argument(7), argument(8), argument(9), argument(10),
    argument(11), argument(12), numTiles, argument(14), reinterpret<f32>(argument(15)),
    <usize>argument(16) + <usize>thread * 4 * scoreStride, scoreStride,
    share(numTiles * numHeads, chunk, chunks), share(numTiles * numHeads, chunk + 1, chunks),
  );
}

@inline
function keep<T>(chunk: i32, chunks: i32): void {
  const numKvHeads = argument(12);
  writeKv<T>(
    argument(2), argument(3), argument(4), argument(5), argument(6), argument(7), argument(8), argument(9), argument(10),
    argument(11), share(numKvHeads, chunk, chunks), share(numKvHeads, chunk + 1, chunks),
  );
}

/** Computes one chunk of the published operation. Arguments from 2 on are those of the operation's own function. */
function compute(chunk: i32, thread: i32): void {
  const chunks = argument(1);
  switch (argument(0)) {
    case OP_LINEAR: {
      const outFeatures = argument(10);
      const panels = (outFeatures + PANEL_COLUMNS - 1) / PANEL_COLUMNS;
      linear(
        argument(2), argument(3), argument(4), argument(5), argument(6), argument(7), argument(8), argument(9),
        outFeatures, share(panels, chunk, chunks), share(panels, chunk + 1, chunks),
      );
      break;
    }
    case OP_ATTENTION: {
      if (argument(18) == KV_INT8) attend<i8>(chunk, chunks, thread);
      else attend<f32>(chunk, chunks, thread);
      break;
    }
    case OP_WRITE_KV: {
      if (argument(13) == KV_INT8) keep<i8>(chunk, chunks);
      else keep<f32>(chunk, chunks);
      break;
    }
    case OP_LAYER_NORM: {
      const from = share(argument(6), chunk, chunks), to = share(argument(6), chunk + 1, chunks);
      const outStride = <usize>argument(3), xStride = <usize>argument(5);
      layerNorm(
        <usize>argument(2) + <usize>from * outStride, outStride, <usize>argument(4) + <usize>from * xStride, xStride,
        to - from, argument(7), argument(8), argument(9), load<f64>(command, F64_ARGUMENT),
      );
      break;
    }
    case OP_ACTIVATE: {
      const from = share(argument(4), chunk, chunks), to = share(argument(4), chunk + 1, chunks);
      const stride = <usize>argument(3);
      activate(<usize>argument(2) + <usize>from * stride, stride, to - from, argument(5), argument(6));
      break;
    }
    case OP_ADD: {
      const from = share(argument(6), chunk, chunks), to = share(argument(6), chunk + 1, chunks);
      const xStride = <usize>argument(3), yStride = <usize>argument(5);
      add(
        <usize>argument(2) + <usize>from * xStride, xStride, <usize>argument(4) + <usize>from * yStride, yStride,
        to - from, argument(7),
      );
      break;
    }
    case OP_LINEAR_INT8: {
      const outFeatures = argument(10);
      const panels = (outFeatures + PANEL_COLUMNS - 1) / PANEL_COLUMNS;
      linearInt8(
        argument(2), argument(3), argument(4), argument(5), argument(6), argument(7), argument(8), argument(9),
        outFeatures, share(panels, chunk, chunks), share(panels, chunk + 1, chunks),
      );
      break;
    }
    case OP_QUANTISE: {
      const width = argument(6);
      const from = share(argument(5), chunk, chunks), to = share(argument(5), chunk + 1, chunks);
      const xStride = <usize>argument(4);
      quantiseRows(
        <usize>argument(2) + <usize>from * quantisedRowBytes(width), <usize>argument(3) + <usize>from * xStride, xStride,
        to - from, width,
      );
      break;
    }
  }
}

/** Takes chunks until none is left. */
function work(thread: i32): void {
  while (true) {
    const chunk = atomic.sub<i32>(remaining, 1) - 1;
    if (chunk < 0) return;
    compute(chunk, thread);
    atomic.add<i32>(done, 1);
  }
}

/** Publishes the operation in `command`, works along, and waits; 1 when every chunk is done, 0 when that takes long. */
export function publish(): i32 {
  atomic.store<i32>(done, 0);
  atomic.store<i32>(remaining, argument(1));
  atomic.add<i32>(generation, 1);
  if (atomic.load<i32>(sleepers) > 0) atomic.notify(generation, -1);
  work(0);
  return wait();
}

/** Waits on, as `publish` does. */
export function wait(): i32 {
  const chunks = argument(1);
  for (let i = 0; i < SPINS_BEFORE_RETURN; i++) if (atomic.load<i32>(done) == chunks) return 1;
  return 0;
}

/** A helper's life. `thread` is its number, from 1: it has working memory of its own. Never returns. */
export function help(thread: i32): void {
  let seen = 0;
  while (true) {
    let spins = 0;
    while (atomic.load<i32>(generation) == seen) {
      if (++spins > SPINS_BEFORE_SLEEP) {
        atomic.add<i32>(sleepers, 1);
        atomic.wait<i32>(generation, seen, -1);
        atomic.sub<i32>(sleepers, 1);
        spins = 0;
      }
    }
    seen = atomic.load<i32>(generation);
    work(thread);
  }
}

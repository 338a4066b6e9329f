// A team of threads over one shared memory: the caller, and helpers that spin briefly for work and then sleep.
//
// An operation is cut into chunks of its items, each of which computes whole output elements, so that it does not matter
// which thread takes which. The caller writes commands (generated/dispatch.ts reads them), and has them run one after the other: it
// publishes the number of chunks, and works along; a chunk belongs to the thread that takes the counter down by one. Which command it is, is
// read after a chunk was taken and cannot change before that chunk is done, so a helper that wakes up late, in the middle of a later
// operation, still computes the right thing.
//
// A team of one is the same code: the caller takes every chunk.

import { chunks, commandBytes, commands, compute, items } from "./generated/dispatch";
import { readAhead } from "./read-ahead";
import { share } from "./shares";
import { beginChunks, endChunk, latest, sleep, takeChunk, waitForChunks, wakeAll } from "./team-counters";

/** Rounds of looking before a helper goes to sleep: some hundred microseconds. */
const SPINS_BEFORE_SLEEP: i32 = 20000;
/** Helpers that sleep; a cache line of its own. */
const sleepers = memory.data(64, 64);

/** The command at work, and where those end that were written with it: a cache line of its own. */
const current = memory.data(64, 64);
const END_AT: usize = 4;
/** Of the caller: where the commands at work begin, the one that comes next, and where they end. */
let begin: usize = 0;
let next: usize = 0;
let end: usize = 0;

/** Takes chunks until none is left. */
function work(thread: i32): void {
  while (true) {
    const chunk = takeChunk();
    if (chunk < 0) return;
    // Read after the chunk was taken: these are its operation's.
    const command = load<usize>(current), count = items(command), pieces = chunks(command);
    compute(command, share(count, chunk, pieces), share(count, chunk + 1, pieces), thread);
    endChunk();
  }
}

/**
 * Runs `count` commands from number `first` on, one after the other: publishes each, works along, and waits. A single chunk is the
 * caller's: a helper that took it could only be slower.
 * @returns how many are done: fewer when one takes long
 */
export function run(first: i32, count: i32): i32 {
  begin = commands + <usize>first * commandBytes;
  next = begin;
  end = begin + <usize>count * commandBytes;
  store<usize>(current, end, END_AT);
  goOn();
  return done();
}

/** Waits on for the command that takes long, and goes on behind it, as `run` does. */
export function wait(): i32 {
  if (waitForChunks(chunks(next)) == 1) {
    next += commandBytes;
    goOn();
  }
  return done();
}

function done(): i32 {
  return <i32>((next - begin) / commandBytes);
}

function goOn(): void {
  for (; next < end; next += commandBytes) {
    const pieces = chunks(next);
    if (pieces == 1) {
      compute(next, 0, items(next), 0);
      continue;
    }
    store<usize>(current, next);
    beginChunks(pieces);
    if (atomic.load<i32>(sleepers) > 0) wakeAll();
    work(0);
    if (waitForChunks(pieces) == 0) return;
  }
}

/** A helper's life. `thread` is its number, from 1: it has working memory of its own. Never returns. */
export function help(thread: i32): void {
  let seen = 0;
  while (true) {
    let spins = 0;
    readAhead(load<usize>(current), load<usize>(current, END_AT), seen, thread);
    while (latest() == seen) {
      if (++spins > SPINS_BEFORE_SLEEP) {
        atomic.add<i32>(sleepers, 1);
        sleep(seen);
        atomic.sub<i32>(sleepers, 1);
        spins = 0;
      }
    }
    seen = latest();
    work(thread);
  }
}

// The module that measures the machine's limits (limits.ts), with the face of team.ts: run, wait, help.
//
// A chunk is one item. Helpers sleep whenever there is nothing to
// take: they must not disturb what is measured in between, and waking one takes microseconds where an operation takes
// milliseconds.

import { chunks, commands, compute } from "./generated/limits-dispatch";
export { multiplyAddF32Wide, multiplyAddInt8Wide } from "./limits";
import { beginChunks, endChunk, latest, sleep, takeChunk, waitForChunks, wakeAll } from "./team-counters";

/** Takes chunks until none is left. */
function work(): void {
  while (true) {
    const chunk = takeChunk();
    if (chunk < 0) return;
    compute(commands, chunk, chunk + 1, 0);
    endChunk();
  }
}

/** Publishes the operation of the one command, works along, and waits; 1 when it is done, 0 when that takes long. */
export function run(_first: i32, _count: i32): i32 {
  beginChunks(chunks(commands));
  wakeAll();
  work();
  return wait();
}

/** Waits on, as `run` does. */
export function wait(): i32 {
  return waitForChunks(chunks(commands));
}

/** A helper's life. Never returns. */
export function help(): void {
  let seen = 0;
  while (true) {
    // Returns at once where an operation was published since.
    sleep(seen);
    seen = latest();
    work();
  }
}

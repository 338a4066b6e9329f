// The module that measures the machine's limits (limits.ts), with the face of team.ts: commandAddress, publish, wait, help.
//
// A chunk is one item. Helpers sleep whenever there is nothing to
// take: they must not disturb what is measured in between, and waking one takes microseconds where an operation takes
// milliseconds.

import { chunks, command, compute } from "./generated/limits-dispatch";
import { beginChunks, endChunk, latest, sleep, takeChunk, waitForChunks, wakeAll } from "./team-counters";

/** Where the caller writes a command. */
export function commandAddress(): usize {
  return command;
}

/** Takes chunks until none is left. */
function work(): void {
  while (true) {
    const chunk = takeChunk();
    if (chunk < 0) return;
    compute(chunk, chunk + 1, 0);
    endChunk();
  }
}

/** Publishes the operation in `command`, works along, and waits; 1 when every chunk is done, 0 when that takes long. */
export function publish(): i32 {
  beginChunks(chunks());
  wakeAll();
  work();
  return wait();
}

/** Waits on, as `publish` does. */
export function wait(): i32 {
  return waitForChunks(chunks());
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

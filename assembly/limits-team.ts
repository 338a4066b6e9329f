// The module that measures the machine's limits (limits.ts), with the face of team.ts: commandAddress, publish, wait, help.
//
// A chunk is one item, and belongs to whoever takes the counter down by one. Helpers sleep whenever there is nothing to
// take: they must not disturb what is measured in between, and waking one takes microseconds where an operation takes
// milliseconds.

import { chunks, command, compute } from "./generated/limits-dispatch";

/** Rounds of looking before the caller goes back to TypeScript to see how long it has waited. */
const SPINS_BEFORE_RETURN: i32 = 2000000;

// One cache line each.
const generation = memory.data(64, 64);
const remaining = memory.data(64, 64);
const done = memory.data(64, 64);

/** Where the caller writes a command. */
export function commandAddress(): usize {
  return command;
}

/** Takes chunks until none is left. */
function work(): void {
  while (true) {
    const chunk = atomic.sub<i32>(remaining, 1) - 1;
    if (chunk < 0) return;
    compute(chunk, chunk + 1, 0);
    atomic.add<i32>(done, 1);
  }
}

/** Publishes the operation in `command`, works along, and waits; 1 when every chunk is done, 0 when that takes long. */
export function publish(): i32 {
  atomic.store<i32>(done, 0);
  atomic.store<i32>(remaining, chunks());
  atomic.add<i32>(generation, 1);
  atomic.notify(generation, -1);
  work();
  return wait();
}

/** Waits on, as `publish` does. */
export function wait(): i32 {
  const all = chunks();
  for (let i = 0; i < SPINS_BEFORE_RETURN; i++) if (atomic.load<i32>(done) == all) return 1;
  return 0;
}

/** A helper's life. Never returns. */
export function help(): void {
  let seen = 0;
  while (true) {
    // Returns at once where an operation was published since.
    atomic.wait<i32>(generation, seen, -1);
    seen = atomic.load<i32>(generation);
    work();
  }
}

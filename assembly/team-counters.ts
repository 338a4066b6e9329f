// What the threads of a team count together: the operations that were published, and the chunks of the present one.
//
// A chunk belongs to the thread that takes the counter down by one. The number of chunks is stored before the generation changes,
// so that a helper that sees the new generation sees its chunks.

/** Rounds of looking before the caller goes back to TypeScript to see how long it has waited. */
const SPINS_BEFORE_RETURN: i32 = 2000000;

// One cache line each, so that looking at one does not disturb the others.
const generation = memory.data(64, 64);
const remaining = memory.data(64, 64);
const done = memory.data(64, 64);

/** Publishes an operation of so many chunks. */
@inline
export function beginChunks(chunks: i32): void {
  atomic.store<i32>(done, 0);
  atomic.store<i32>(remaining, chunks);
  atomic.add<i32>(generation, 1);
}

/** Takes a chunk: its number, the last one first; below 0 when none is left. */
@inline
export function takeChunk(): i32 {
  return atomic.sub<i32>(remaining, 1) - 1;
}

@inline
export function endChunk(): void {
  atomic.add<i32>(done, 1);
}

/** Waits for all chunks: 1 when they are done, 0 when that takes long. */
export function waitForChunks(chunks: i32): i32 {
  for (let i = 0; i < SPINS_BEFORE_RETURN; i++) if (atomic.load<i32>(done) == chunks) return 1;
  return 0;
}

/** Number of the operation that was published last. */
@inline
export function latest(): i32 {
  return atomic.load<i32>(generation);
}

/** Sleeps until another operation than number `seen` is the latest; not at all where it is already. */
@inline
export function sleep(seen: i32): void {
  atomic.wait<i32>(generation, seen, -1);
}

@inline
export function wakeAll(): void {
  atomic.notify(generation, -1);
}

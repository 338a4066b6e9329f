// What a helper does before it waits: it reads the beginning of what it is likely to take of the next product, into caches of its own.
// While the caller is at small operations, or in TypeScript, memory would have nothing to do otherwise; one row by a weight takes as
// long as memory takes.
//
// Commands that come next lie behind the one at work, and behind the last of them are those of the next pass, if it is like this one:
// the first. They may be written just now, so nothing of them is trusted: what is read lies in the memory, and that is all.

import { fused, relaxedQuantised, shortSums } from "./choices";
import { chunks, commandBytes, commands, inFeaturesOf, isProductOfOne, items, panelBytesOf, weightOf } from "./generated/dispatch";
import { endInStream, PANEL_BYTES, streamsOf } from "./panels";
import { COLUMNS } from "./quantised-panels";
import { share } from "./shares";
import { latest } from "./team-counters";

/** Commands that are looked at for a product: in all families there is one among so many. */
const COMMANDS_AHEAD: i32 = 8;
/** Bytes that are read of all streams at most: a quarter of a core's own cache. */
const MOST_BYTES: usize = 262144;
/** Lines between two looks whether something is to be done, of each stream. */
const LINE_BYTES: usize = 64;

/**
 * @param command the operation that was published last @param end where commands end
 * @param seen its number: another one ends this
 */
export function readAhead(command: usize, end: usize, seen: i32, thread: i32): void {
  if (command == 0 || !fused()) return;
  let next = command;
  for (let i = 0; ; i++) {
    if (i == COMMANDS_AHEAD) return;
    next += commandBytes;
    if (next >= end) next = commands;
    if (isProductOfOne(next)) break;
  }
  const panels = items(next), pieces = chunks(next), weight = weightOf(next), panelBytes = panelBytesOf(next);
  // The caller takes the last chunk, which is the first to be taken, and helpers those before it.
  const chunk = pieces - 1 - thread;
  if (chunk < 0 || panels < pieces) return;
  const reach = <u64>weight + <u64>panels * <u64>panelBytes;
  if (reach > <u64>memory.size() << 16) return;
  // Nibbles and what belongs to them take less than a byte a weight, all other types more.
  const inFeatures = <usize>inFeaturesOf(next);
  const isStrict = !relaxedQuantised() && !shortSums();
  const streams = streamsOf(panelBytes == inFeatures * PANEL_BYTES, panelBytes < inFeatures * COLUMNS && isStrict);
  const length = panels / streams, apart = <usize>length * panelBytes;
  const first = endInStream(share(panels, chunk, pieces), panels, length);
  const last = endInStream(share(panels, chunk + 1, pieces), panels, length);
  if (first < 0 || last < first || length < last) return;
  const bytes = min(<usize>(last - first) * panelBytes, MOST_BYTES / streams);
  const from = weight + <usize>first * panelBytes;
  for (let at: usize = 0; at + 4 * LINE_BYTES <= bytes; at += 4 * LINE_BYTES) {
    if (latest() != seen) return;
    for (let p = from + at, stream = 0; stream < streams; stream++, p += apart) {
      atomic.load<u8>(p);
      atomic.load<u8>(p, LINE_BYTES);
      atomic.load<u8>(p, 2 * LINE_BYTES);
      atomic.load<u8>(p, 3 * LINE_BYTES);
    }
  }
}

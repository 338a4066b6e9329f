/**
 * Lines of a log on their way to a reader that may be slow, or stand still: what waits for it is bounded, what comes
 * beyond that is left out, and how much that was is said once the reader goes on.
 */
import type { Writable } from "node:stream";

/** Most that waits for a reader, in bytes. */
const MAX_WAITING_BYTES = 1024 * 1024;

/**
 * @param leftOut the line that says how many were left out
 * @returns takes one line; never waits
 */
export function logWriter(
  stream: Writable,
  leftOut: (lines: number) => string,
  maxWaitingBytes: number = MAX_WAITING_BYTES,
): (line: string) => void {
  let missing = 0;
  return (line) => {
    if (stream.destroyed || stream.writableEnded) return;
    if (stream.writableLength + line.length > maxWaitingBytes) {
      if (missing === 0) {
        stream.once("drain", () => {
          const lines = missing;
          missing = 0;
          stream.write(leftOut(lines));
        });
      }
      missing += 1;
      return;
    }
    stream.write(line);
  };
}

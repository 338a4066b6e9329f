/** Text from outside, read whole: a file, or standard input. */
import { addAbortSignal, type Readable } from "node:stream";
import { LastrowError } from "../errors.js";
import type { Io } from "./terminal.js";

/** Far more than a prompt or a text to measure with has. */
const MAX_BYTES = 64 * 1024 * 1024;

/**
 * All of a stream as text.
 * @param name what the stream is, at the beginning of a sentence
 * @throws LastrowError `invalid_argument` when it cannot be read, is not UTF-8, or has more than 64 MiB; `aborted`
 */
export async function readText(
  stream: Readable,
  name: string,
  { signal }: Pick<Io, "signal">,
): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  addAbortSignal(signal, stream);
  try {
    for await (const chunk of stream as AsyncIterable<Uint8Array | string>) {
      const bytes = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
      chunks.push(bytes);
      size += bytes.length;
      if (size > MAX_BYTES) break;
    }
  } catch (cause) {
    if (signal.aborted) throw new LastrowError("aborted", `Reading was cancelled: ${name}.`, { cause });
    throw new LastrowError("invalid_argument", `${name} cannot be read: ${(cause as Error).message}.`, {
      cause,
    });
  }
  if (size > MAX_BYTES) {
    throw new LastrowError("invalid_argument", `${name} has more than ${MAX_BYTES} bytes.`);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.concat(chunks));
  } catch (cause) {
    throw new LastrowError("invalid_argument", `${name} is not valid UTF-8 text.`, { cause });
  }
}

/**
 * A request's body, read and checked before anything is made of it: its type, its size as it arrives, its nesting, its
 * JSON, its fields.
 */
import type * as z from "zod";
import { ApiError } from "./api-error.js";
import type { ServerLimits } from "./limits.js";

type BodyLimits = Pick<ServerLimits, "bodyBytes" | "jsonDepth">;

/**
 * @throws ApiError 415 for another type than JSON, 413 over the size, 400 for what is no JSON or not what `schema` says
 */
export async function readBody<T>(request: Request, schema: z.ZodType<T>, limits: BodyLimits): Promise<T> {
  const type = request.headers.get("content-type") ?? "";
  if (!/^application\/json\s*(;|$)/i.test(type)) {
    throw new ApiError(415, "unsupported_media_type", "A body is JSON: send content-type: application/json.");
  }
  const bytes = await readBytes(request, limits.bodyBytes);
  checkDepth(bytes, limits.jsonDepth);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new ApiError(400, "invalid_json", `The body is not JSON: ${(cause as Error).message}.`, { cause });
  }
  const checked = schema.safeParse(value);
  if (checked.success) return checked.data;
  throw fieldError(checked.error);
}

/** The first thing that is wrong, by the field's name. */
function fieldError(error: z.ZodError): ApiError {
  const [issue] = error.issues;
  const param = issue.path.map(String).join(".") || null;
  const message = issue.message.replace(/\.?$/, ".");
  const named = param === null || message.startsWith(param) ? message : `${param}: ${message}`;
  return new ApiError(400, "invalid_request", named, { param });
}

async function readBytes(request: Request, limit: number): Promise<Uint8Array> {
  const tooLarge = () =>
    new ApiError(
      413,
      "request_too_large",
      `The body is over ${limit} bytes, which is as long as one may be.`,
    );
  const announced = request.headers.get("content-length");
  if (announced !== null) {
    if (Number(announced) > limit) throw tooLarge();
    // No more than that comes: it can be taken in one go, which is much cheaper than as a stream.
    const bytes = await request.arrayBuffer().catch((cause) => {
      throw incomplete(cause);
    });
    if (bytes.byteLength > limit) throw tooLarge();
    return new Uint8Array(bytes);
  }
  const chunks: Uint8Array[] = [];
  let size = 0;
  if (request.body !== null) {
    const reader = request.body.getReader();
    for (;;) {
      let read: ReadableStreamReadResult<Uint8Array>;
      try {
        read = await reader.read();
      } catch (cause) {
        throw incomplete(cause);
      }
      if (read.done) break;
      size += read.value.length;
      if (size > limit) {
        void reader.cancel().catch(() => undefined);
        throw tooLarge();
      }
      chunks.push(read.value);
    }
  }
  if (chunks.length === 1) return chunks[0];
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

function incomplete(cause: unknown): ApiError {
  return new ApiError(400, "incomplete_body", "The body ended before it was complete.", { cause });
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPENING = new Set([0x5b, 0x7b]);
const CLOSING = new Set([0x5d, 0x7d]);

/** Nesting, without parsing: brackets outside of texts. */
function checkDepth(bytes: Uint8Array, limit: number): void {
  let depth = 0;
  let isText = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (isText) {
      if (byte === BACKSLASH) i++;
      else if (byte === QUOTE) isText = false;
    } else if (byte === QUOTE) isText = true;
    else if (OPENING.has(byte)) {
      depth += 1;
      if (depth > limit) {
        throw new ApiError(400, "invalid_json", `The body is nested deeper than ${limit} levels.`);
      }
    } else if (CLOSING.has(byte)) depth -= 1;
  }
}

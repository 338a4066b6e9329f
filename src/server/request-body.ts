/**
 * A request's body, read and checked before anything is made of it: its type, its size as it arrives, what its JSON
 * holds, its JSON, its fields.
 */
import type * as z from "zod";
import { countJson, type JsonCounts } from "../formats/json-counts.js";
import type { Caller } from "../platform/fair-queue.js";
import { quoteValue } from "../quote-value.js";
import { ApiError } from "./api-error.js";
import type { BodyThread } from "./body-thread.js";
import type { ServerLimits } from "./limits.js";
import { wrongField } from "./schemas/wrong-field.js";

type BodyLimits = Pick<ServerLimits, "bodyBytes" | "jsonDepth" | "jsonContainers" | "jsonElements">;

/** Longer ones are not even counted on the event loop. */
const MOST_COUNTED = 2 * 1024 * 1024;
/** Milliseconds that a body may hold the event loop, as they are estimated. */
const MOST_MS = 25;

/** What a body is checked with: here, or in the thread, which knows the schema by the route's path. */
export interface BodyCheck<T> {
  readonly path: string;
  readonly schema: z.ZodType<T>;
  readonly limits: BodyLimits;
  readonly thread: Pick<BodyThread, "parse">;
  readonly caller: Caller;
}

/**
 * @throws ApiError 415 for another type than JSON and for one that is compressed, 413 over the size, 400 for what is no JSON or not what `schema` says
 */
export async function readBody<T>(
  request: Request,
  { path, schema, limits, thread, caller }: BodyCheck<T>,
): Promise<T> {
  const type = request.headers.get("content-type") ?? "";
  if (!/^application\/json\s*(;|$)/i.test(type)) {
    throw new ApiError(415, "unsupported_media_type", "A body is JSON: send content-type: application/json.");
  }
  const coding = request.headers.get("content-encoding") ?? "";
  if (!/^\s*(identity)?\s*$/i.test(coding)) {
    throw new ApiError(
      415,
      "unsupported_media_type",
      `A body is sent as it is, not compressed: leave out content-encoding: ${quoteValue(coding)}.`,
    );
  }
  const bytes = await readBytes(request, limits.bodyBytes);
  if (bytes.length <= MOST_COUNTED && estimatedMs(bytes, checkCounts(bytes, limits)) <= MOST_MS) {
    return parseBody(bytes, schema);
  }
  return (await thread.parse(path, bytes, caller)) as T;
}

/** What parsing takes on a slow machine: names cost ten times as much as numbers, objects and lists twenty times. */
function estimatedMs({ length }: Uint8Array, { elements, members, containers }: JsonCounts): number {
  return length * 2e-6 + elements * 5e-5 + members * 4.5e-4 + containers * 1e-3;
}

/** @throws ApiError 400 for what is no JSON, and for the first thing that is not what `schema` says */
export function parseBody<T>(bytes: Uint8Array, schema: z.ZodType<T>): T {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new ApiError(400, "invalid_json", `The body is not JSON: ${(cause as Error).message}.`, { cause });
  }
  const checked = schema.safeParse(value, { error: wrongField });
  if (checked.success) return checked.data;
  throw fieldError(checked.error);
}

/** The first thing that is wrong, by the field's name. */
function fieldError(error: z.ZodError): ApiError {
  const [issue] = error.issues;
  const told = withCode(issue);
  const param = issue.path.map(String).join(".") || null;
  const message = (told ?? issue).message.replace(/\.?$/, ".");
  const named = param === null || message.startsWith(param) ? message : `${param}: ${message}`;
  return new ApiError(400, told?.code ?? "invalid_request", named, { param });
}

interface CodedIssue {
  readonly message: string;
  readonly code: string;
}

/** What is wrong with a field where that has an error code of its own; among alternatives, the first such. Null: nothing. */
function withCode(issue: z.core.$ZodIssue): CodedIssue | null {
  if (issue.code === "custom" && typeof issue.params?.code === "string") {
    return { message: issue.message, code: issue.params.code };
  }
  if (issue.code !== "invalid_union") return null;
  for (const inner of issue.errors.flat()) {
    const found = withCode(inner);
    if (found !== null) return found;
  }
  return null;
}

async function readBytes(request: Request, limit: number): Promise<Uint8Array> {
  const tooLarge = () =>
    new ApiError(413, "request_too_large", `The body is over ${limit} bytes, the most that is accepted.`);
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

/** @throws ApiError 400 for a body that would cost more to parse than one may */
export function checkCounts(bytes: Uint8Array, limits: BodyLimits): JsonCounts {
  const { jsonDepth, jsonContainers, jsonElements } = limits;
  const counts = countJson(
    bytes,
    ({ depth, containers, elements }) =>
      depth > jsonDepth || containers > jsonContainers || elements > jsonElements,
  );
  const refused = (what: string) => new ApiError(400, "invalid_json", `The body ${what}.`);
  if (counts.depth > jsonDepth) throw refused(`is nested deeper than ${jsonDepth} levels`);
  if (counts.containers > jsonContainers) throw refused(`has more than ${jsonContainers} objects and lists`);
  if (counts.elements > jsonElements) throw refused(`has more than ${jsonElements} elements in its lists`);
  return counts;
}

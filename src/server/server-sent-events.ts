/**
 * An answer that is written while it comes to be. Owns what waits for the reader, and bounds it; something keeps a quiet
 * stream alive; a failure in the middle is told in it. How an event is written is the API's that is spoken: `StreamForm`.
 */
import { setImmediate } from "node:timers";
import { type ApiError, toApiError } from "./api-error.js";

/** How the events of a stream are written. */
export interface StreamForm {
  readonly contentType: string;
  /** One event. @param data a JSON text @param name of its kind, where kinds have names */
  event(data: string, name?: string): string;
  /** What failed in the middle; then comes the end. */
  failure(error: ApiError): string;
  /** Behind the last event; empty: nothing. */
  readonly end: string;
  /** What says that there is still someone; it means nothing to the reader. Empty: nothing is said. */
  readonly keepAlive: string;
}

/** Server-sent events as completions and chats of OpenAI's have them. */
export const OPENAI_STREAM: StreamForm = {
  contentType: "text/event-stream; charset=utf-8",
  event: (data) => `data: ${data}\n\n`,
  failure: (error) => `data: ${error.json}\n\n`,
  end: "data: [DONE]\n\n",
  keepAlive: ": keep-alive\n\n",
};

export interface EventStreamOptions {
  readonly form: StreamForm;
  /** Milliseconds of silence after which a comment is sent; also how long a first event is waited for. */
  readonly keepAliveMs: number;
  /** Most bytes that wait for the reader beyond what one turn of the event loop brings; a reader further behind is dropped. */
  readonly maxBufferedBytes: number;
  /** Called when the reader has gone or fallen too far behind: sending should stop. */
  readonly onReaderLost: () => void;
  /** Cuts the connection of a reader that has fallen too far behind; null: the body's reader gets an error. */
  readonly drop: (() => void) | null;
  /** Called when all has been sent; so many bytes of it still wait for the reader. */
  readonly onEnd: (waiting: number) => void;
}

/** Sends one event; its data is a JSON text, its name for forms whose events have names. */
export type SendEvent = (data: string, name?: string) => void;

/**
 * Answers with what `produce` sends. The answer begins with the first event, or after a while
 * without one: what fails before that fails as an ordinary error. Events that come in one turn of the event loop leave in
 * one piece: a write costs more than all else that is done for a token.
 * @throws what `produce` throws before it has sent anything
 */
export async function streamEvents(
  produce: (send: SendEvent) => Promise<void>,
  { form, keepAliveMs, maxBufferedBytes, onReaderLost, drop, onEnd }: EventStreamOptions,
): Promise<Response> {
  const encoder = new TextEncoder();
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  let isOpen = true;
  let hasBegun = false;
  let lastSent = performance.now();
  /** What was sent in this turn. */
  let unsent = "";
  let begin: () => void = () => undefined;
  const beginning = new Promise<void>((resolve) => {
    begin = resolve;
  });

  const lose = () => {
    if (!isOpen) return;
    isOpen = false;
    unsent = "";
    onReaderLost();
  };
  const body = new ReadableStream<Uint8Array>(
    {
      start(started) {
        controller = started;
      },
      cancel: lose,
    },
    new ByteLengthQueuingStrategy({ highWaterMark: maxBufferedBytes }),
  );
  const flush = () => {
    if (unsent === "") return;
    const bytes = encoder.encode(unsent);
    unsent = "";
    const waiting = maxBufferedBytes - (controller.desiredSize ?? 0);
    // What one turn brings may be more than that, and is not the reader's fault.
    if (waiting === 0 || waiting + bytes.length <= maxBufferedBytes) {
      controller.enqueue(bytes);
      return;
    }
    lose();
    if (drop !== null) drop();
    else controller.error(new Error("the reader of a stream fell too far behind"));
  };
  const write = (text: string) => {
    if (!isOpen) return;
    if (unsent === "") setImmediate(flush);
    unsent += text;
    hasBegun = true;
    lastSent = performance.now();
  };
  const timer = setInterval(
    () => {
      if (performance.now() - lastSent < keepAliveMs) return;
      if (hasBegun) write(form.keepAlive);
      else begin();
    },
    Math.max(1, keepAliveMs / 4),
  );
  // The stream must not keep a process alive that has nothing else to do.
  (timer as { unref?: () => void }).unref?.();

  const outcome: { failure: { readonly error: unknown } | null } = { failure: null };
  const ended = produce((data, name) => {
    write(form.event(data, name));
    begin();
  })
    .catch((error: unknown) => {
      outcome.failure = { error };
      if (hasBegun) write(form.failure(toApiError(error)));
    })
    .then(() => {
      clearInterval(timer);
      if (!isOpen || (outcome.failure !== null && !hasBegun)) return;
      write(form.end);
      flush();
      if (!isOpen) return;
      isOpen = false;
      onEnd(maxBufferedBytes - (controller.desiredSize ?? 0));
      controller.close();
    });

  await Promise.race([beginning, ended]);
  if (!hasBegun) {
    if (outcome.failure !== null) {
      isOpen = false;
      clearInterval(timer);
      throw outcome.failure.error;
    }
    write(form.keepAlive);
  }
  // With the first events there, the headers leave along with them.
  flush();
  return new Response(body, {
    headers: {
      "content-type": form.contentType,
      "cache-control": "no-cache, no-transform",
      // Proxies such as nginx would collect the events otherwise.
      "x-accel-buffering": "no",
    },
  });
}

/**
 * Server-sent events: an answer that is written while it comes to be. Owns what waits for the reader, and bounds it; a
 * comment line keeps a quiet stream alive; a failure in the middle is an event in OpenAI's shape.
 */
import { toApiError } from "./api-error.js";

export interface EventStreamOptions {
  /** Milliseconds of silence after which a comment is sent; also how long a first event is waited for. */
  readonly keepAliveMs: number;
  /** Most bytes that wait for the reader; one who is further behind is dropped. */
  readonly maxBufferedBytes: number;
  /** Called when the reader has gone or fallen too far behind: whoever sends should stop. */
  readonly onReaderLost: () => void;
}

/** Sends one event; its data is a JSON text. */
export type SendEvent = (data: string) => void;

const KEEP_ALIVE = ": keep-alive\n\n";

/**
 * Answers with what `produce` sends, and `[DONE]` at its end. The answer begins with the first event, or after a while
 * without one: what fails before that fails as an ordinary error.
 * @throws what `produce` throws before it has sent anything
 */
export async function streamEvents(
  produce: (send: SendEvent) => Promise<void>,
  { keepAliveMs, maxBufferedBytes, onReaderLost }: EventStreamOptions,
): Promise<Response> {
  const encoder = new TextEncoder();
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  let isOpen = true;
  let sent = 0;
  let lastSent = performance.now();
  let onFirst: () => void = () => undefined;
  const first = new Promise<void>((resolve) => {
    onFirst = resolve;
  });

  const lose = () => {
    if (!isOpen) return;
    isOpen = false;
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
  const write = (text: string) => {
    if (!isOpen) return;
    controller.enqueue(encoder.encode(text));
    lastSent = performance.now();
    if ((controller.desiredSize ?? 0) >= 0) return;
    lose();
    controller.error(new Error("the reader of a stream fell too far behind"));
  };
  const timer = setInterval(
    () => {
      if (sent > 0 && performance.now() - lastSent >= keepAliveMs) write(KEEP_ALIVE);
    },
    Math.max(1, keepAliveMs / 4),
  );
  // The stream must not keep a process alive that has nothing else to do.
  (timer as { unref?: () => void }).unref?.();

  const produced = produce((data) => {
    sent += 1;
    write(`data: ${data}\n\n`);
    onFirst();
  });
  const settled = produced.then(
    () => null,
    (error: unknown) => ({ error }),
  );
  const ended = settled.then((failure) => {
    clearInterval(timer);
    if (!isOpen) return;
    if (failure !== null) write(`data: ${JSON.stringify(toApiError(failure.error).body)}\n\n`);
    write("data: [DONE]\n\n");
    if (!isOpen) return;
    isOpen = false;
    controller.close();
  });

  let waited: ReturnType<typeof setTimeout> | undefined;
  const quiet = new Promise<void>((resolve) => {
    waited = setTimeout(resolve, keepAliveMs);
  });
  await Promise.race([first, settled, quiet]);
  clearTimeout(waited);
  if (sent === 0) {
    const failure = await Promise.race([settled, Promise.resolve(null)]);
    if (failure !== null) {
      isOpen = false;
      clearInterval(timer);
      await ended;
      throw failure.error;
    }
    write(KEEP_ALIVE);
    sent = 1;
  }
  return new Response(body, {
    headers: {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-cache, no-transform",
      // Proxies such as nginx would collect the events otherwise.
      "x-accel-buffering": "no",
    },
  });
}

/** Streams of events with a clock that the test turns: silence, slow readers, failures, and what leaves in one piece. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { soon } from "../../test/soon.js";
import { ANTHROPIC_STREAM } from "./anthropic/anthropic-form.js";
import { OLLAMA_STREAM } from "./ollama/ollama-form.js";
import { OPENAI_STREAM, type SendEvent, type StreamForm, streamEvents } from "./server-sent-events.js";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] }));
afterEach(() => void vi.useRealTimers());

const KEEP_ALIVE = ": keep-alive\n\n";

/** A stream that the test sends on, and ends. */
function begin({ keepAliveMs = 10_000, maxBufferedBytes = 1 << 20, form = OPENAI_STREAM } = {}) {
  let send!: SendEvent;
  let end!: () => void;
  let fail!: (error: unknown) => void;
  const onReaderLost = vi.fn();
  const onEnd = vi.fn();
  const response = streamEvents(
    (given) => {
      send = given;
      return new Promise((resolve, reject) => {
        end = resolve;
        fail = reject;
      });
    },
    { form, keepAliveMs, maxBufferedBytes, onReaderLost, drop: null, onEnd },
  );
  response.catch(() => undefined);
  return {
    response,
    onReaderLost,
    onEnd,
    send: (data: string, name?: string) => send(data, name),
    end: () => end(),
    fail,
  };
}

/** Each piece as it is read. */
function piecesOf(response: Response) {
  const reader = response.body!.getReader();
  return {
    cancel: () => reader.cancel(),
    async next(): Promise<string | null> {
      const { value, done } = await reader.read();
      return done ? null : new TextDecoder().decode(value);
    },
  };
}

/** What was sent in this turn of the event loop has left. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("what a turn of the event loop brings", () => {
  test("leaves in one piece, each event whole", async () => {
    const { response, send, end } = begin();
    send("1");
    send("2");
    const pieces = piecesOf(await response);
    expect(await pieces.next()).toBe("data: 1\n\ndata: 2\n\n");
    send("3");
    await Promise.resolve();
    send("4");
    expect(await pieces.next()).toBe("data: 3\n\ndata: 4\n\n");
    send("5");
    end();
    expect(await pieces.next()).toBe("data: 5\n\ndata: [DONE]\n\n");
    expect(await pieces.next()).toBeNull();
  });
});

describe("silence", () => {
  test("before the first event begins the answer, and later gets a comment each time", async () => {
    const { response, send, end } = begin();
    const hasBegun = vi.fn();
    void response.then(hasBegun);
    await vi.advanceTimersByTimeAsync(9_000);
    expect(hasBegun).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(2_500);
    const pieces = piecesOf(await response);
    expect(await pieces.next()).toBe(KEEP_ALIVE);
    await vi.advanceTimersByTimeAsync(5_000);
    send("1");
    expect(await pieces.next()).toBe("data: 1\n\n");
    // The clock begins anew with each event.
    await vi.advanceTimersByTimeAsync(7_500);
    const next = pieces.next();
    await turn();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(await next).toBe(KEEP_ALIVE);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await pieces.next()).toBe(KEEP_ALIVE);
    end();
    expect(await pieces.next()).toBe("data: [DONE]\n\n");
    expect(vi.getTimerCount()).toBe(0);
  });

  test("does not hide a failure, whenever it comes", async () => {
    const early = begin();
    early.fail(new Error("no"));
    await expect(early.response).rejects.toThrow("no");
    expect(vi.getTimerCount()).toBe(0);
    const late = begin();
    await vi.advanceTimersByTimeAsync(12_500);
    late.fail(new Error("no"));
    const text = await (await late.response).text();
    expect(text).toMatch(
      /^: keep-alive\n\ndata: \{"error":\{.*"code":"internal_error"\}\}\n\ndata: \[DONE\]\n\n$/,
    );
    // In the very turn in which the answer begins without an event.
    const both = begin();
    vi.advanceTimersByTime(12_500);
    both.fail(new Error("no"));
    await expect(both.response.then((response) => response.text())).rejects.toThrow("no");
  });
});

describe("a reader", () => {
  test("who does not read is dropped when more waits than may, and not before", async () => {
    const { response, send, onReaderLost } = begin({ maxBufferedBytes: 100 });
    // 24 bytes each with what is around it.
    const event = "x".repeat(16);
    send(event);
    const pieces = piecesOf(await response);
    for (let i = 0; i < 3; i++) {
      send(event);
      await turn();
    }
    expect(onReaderLost).not.toHaveBeenCalled();
    send(event);
    await turn();
    expect(onReaderLost).toHaveBeenCalledTimes(1);
    // Nothing more is taken for it.
    send(event);
    await turn();
    expect(onReaderLost).toHaveBeenCalledTimes(1);
    await expect(pieces.next()).rejects.toThrow(/too far behind/);
  });

  test("is not dropped for what one turn brings, however much", async () => {
    const { response, send, end, onReaderLost } = begin({ maxBufferedBytes: 100 });
    send("x".repeat(500));
    const pieces = piecesOf(await response);
    expect(await pieces.next()).toHaveLength(508);
    send("y".repeat(500));
    await turn();
    expect(onReaderLost).not.toHaveBeenCalled();
    expect(await pieces.next()).toHaveLength(508);
    end();
    expect(await pieces.next()).toBe("data: [DONE]\n\n");
  });

  test("who reads as it comes may read more than that", async () => {
    const { response, send, end, onReaderLost } = begin({ maxBufferedBytes: 100 });
    send("first");
    const pieces = piecesOf(await response);
    for (let i = 0; i < 50; i++) {
      expect(await pieces.next()).toMatch(/^data: /);
      send("x".repeat(50));
      await turn();
    }
    end();
    expect(await pieces.next()).toMatch(/^data: x/);
    expect(onReaderLost).not.toHaveBeenCalled();
  });

  test("who goes away is noticed at once", async () => {
    const { response, send, onReaderLost } = begin();
    send("1");
    const pieces = piecesOf(await response);
    await pieces.cancel();
    expect(onReaderLost).toHaveBeenCalledTimes(1);
    send("2");
    await turn();
    expect(onReaderLost).toHaveBeenCalledTimes(1);
  });
});

test("what still waits for the reader at the end is told", async () => {
  const slow = begin();
  slow.send("a".repeat(1000));
  await slow.response;
  slow.end();
  await soon(() => expect(slow.onEnd).toHaveBeenCalled());
  expect(slow.onEnd).toHaveBeenCalledWith("data: \n\n".length + 1000 + "data: [DONE]\n\n".length);
});

test("another form of stream: names of events, a failure of its own, nothing behind the last event, no comments", async () => {
  const form: StreamForm = {
    contentType: "application/x-ndjson",
    event: (data, name = "") => `${name}${data}\n`,
    failure: ({ message }) => `${message}\n`,
    end: "",
    keepAlive: "",
  };
  const whole = begin({ form });
  whole.send("1", "a");
  whole.send("2");
  whole.end();
  const response = await whole.response;
  expect(response.headers.get("content-type")).toBe("application/x-ndjson");
  expect(await response.text()).toBe("a1\n2\n");
  const failed = begin({ form });
  // Begins the answer, though nothing can be said.
  await vi.advanceTimersByTimeAsync(12_500);
  const late = await failed.response;
  failed.send("1");
  failed.fail(new Error("no"));
  expect(await late.text()).toBe("1\nThe server failed on this request; its log says more.\n");
});

test.each([
  [OLLAMA_STREAM, "{}\n", '{"error":"The server failed on this request; its log says more."}\n'],
  [
    ANTHROPIC_STREAM,
    "event: a\ndata: {}\n\n",
    'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"The server failed on this request; its log says more."}}\n\n',
  ],
])(
  "a failure in the midst of Ollama's lines and Anthropic's events, in their own form",
  async (form, said, failure) => {
    const { response, send, fail } = begin({ form });
    send("{}", "a");
    fail(new Error("no"));
    expect(await (await response).text()).toBe(said + failure);
  },
);

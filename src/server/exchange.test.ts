/** A request's end: once, whatever comes to it first, and nothing of it is left. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ApiError } from "./api-error.js";
import { Exchange } from "./exchange.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function begin(timeoutSeconds = 10) {
  const client = new AbortController();
  const request = new Request("http://127.0.0.1/v1/completions?a=b", { signal: client.signal });
  const removed = vi.spyOn(request.signal, "removeEventListener");
  const tell = vi.fn();
  return { client, removed, tell, exchange: new Exchange(request, { timeoutSeconds, tell }) };
}

test("tells of itself once, and leaves no timer and no listener", () => {
  const { exchange, tell, removed } = begin();
  const order: string[] = [];
  exchange.onEnd(() => order.push("first"));
  exchange.onEnd(() => order.push("second"));
  expect(vi.getTimerCount()).toBe(1);
  exchange.end();
  exchange.end();
  expect(vi.getTimerCount()).toBe(0);
  expect(removed).toHaveBeenCalledWith("abort", expect.any(Function));
  expect(order).toEqual(["first", "second"]);
  expect(tell).toHaveBeenCalledOnce();
  expect(tell.mock.calls[0][0]).toMatchObject({ path: "/v1/completions", status: 200, error: null });
  // Whoever comes too late is served at once.
  exchange.onEnd(() => order.push("late"));
  expect(order.at(-1)).toBe("late");
});

test("is cancelled for the first reason that there is", () => {
  const slow = begin(2);
  vi.advanceTimersByTime(1999);
  expect(slow.exchange.signal.aborted).toBe(false);
  vi.advanceTimersByTime(1);
  expect(slow.exchange.reason).toMatchObject({ status: 504, code: "request_timeout" });
  slow.client.abort();
  slow.exchange.cancel(new ApiError(503, "other", "Other."));
  expect(slow.exchange.reason).toMatchObject({ status: 504 });
  // It is not at its end before its handler is.
  expect(slow.tell).not.toHaveBeenCalled();
  slow.exchange.end();

  const left = begin();
  left.client.abort();
  expect(left.exchange.reason).toMatchObject({ status: 499, code: "client_closed_request" });
  left.exchange.end();
  expect(vi.getTimerCount()).toBe(0);
});

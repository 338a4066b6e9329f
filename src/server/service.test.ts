/** What becomes of the room of an answer between making it and its leaving. */
import { expect, test, vi } from "vitest";
import { AnswerMemory } from "./answer-memory.js";
import { Exchange } from "./exchange.js";
import { ApiKeys } from "./keys.js";
import { holdAnswer, reserveRoom } from "./service.js";

const keys = new ApiKeys({ saltOf: () => "", sharePrefixes: false });

function begin() {
  const exchange = new Exchange(new Request("http://127.0.0.1/"), {
    timeoutSeconds: 10,
    tell: () => undefined,
  });
  exchange.principal = keys.identify(null);
  const onClose = vi.fn<(callback: () => void) => void>();
  exchange.onClose = onClose;
  exchange.drop = vi.fn();
  return { exchange, left: () => onClose.mock.calls[0][0]() };
}

test("an answer that is made counts as what it is, and no more as what it might have been", () => {
  const limits = { answerBytes: 10_000, answerBytesPerKey: 10_000, requestSeconds: 600 };
  const service = { answers: new AnswerMemory(limits), keys };
  const dropOther = vi.fn();
  service.answers.wait("", 4000, false, dropOther);
  const { exchange, left } = begin();
  reserveRoom(service, exchange, 5000);
  expect(service.answers.bytes).toBe(9000);
  holdAnswer(service, exchange, 2000);
  // With the room for making it there would be too much, and the other one would have to go.
  expect(dropOther).not.toHaveBeenCalled();
  expect(service.answers.bytes).toBe(4000 + 2000 + 1024);
  exchange.end();
  expect(service.answers.bytes).toBe(4000 + 2000 + 1024);
  left();
  expect(service.answers.bytes).toBe(4000);
});

test("one that was not made gives its room back with the exchange", () => {
  const limits = { answerBytes: 10_000, answerBytesPerKey: 10_000, requestSeconds: 600 };
  const service = { answers: new AnswerMemory(limits), keys };
  const { exchange } = begin();
  reserveRoom(service, exchange, 5000);
  exchange.end();
  expect(service.answers.bytes).toBe(0);
});

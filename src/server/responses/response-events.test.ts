/** Failures in the stream of a response. */
import { expect, test } from "vitest";
import { ApiError } from "../api-error.js";
import { ResponseEvents } from "./response-events.js";

const ERROR = new ApiError(504, "request_timeout", "It took \u001b[31mtoo long.", { param: null });

function failing(before: (events: ResponseEvents) => void) {
  const events = new ResponseEvents(({ message }) =>
    JSON.stringify({ id: "resp_1", status: "failed", message }),
  );
  const sent: string[] = [];
  events.sendTo((data, name) => sent.push(events.form.event(data, name)));
  before(events);
  return sent.join("") + events.form.failure(ERROR);
}

const parsed = (text: string) =>
  text
    .split("\n\n")
    .filter((block) => block !== "")
    .map((block) => {
      const [name, data] = block.split("\ndata: ");
      const event = JSON.parse(data);
      expect(name).toBe(`event: ${event.type}`);
      return event;
    });

test("a response that has begun fails by an error and by its own end; the numbers go on", () => {
  const text = failing((events) => events.tell("response.created", { response: {} }));
  expect(text).not.toContain("\u001b");
  expect(parsed(text)).toMatchObject([
    { type: "response.created", sequence_number: 0 },
    { type: "error", sequence_number: 1, code: "request_timeout", param: null },
    { type: "response.failed", sequence_number: 2, response: { id: "resp_1", status: "failed" } },
  ]);
});

test("of one that has not begun there is nothing to end", () => {
  expect(parsed(failing(() => undefined))).toMatchObject([{ type: "error", sequence_number: 0 }]);
});

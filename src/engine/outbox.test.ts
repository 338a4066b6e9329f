import { describe, expect, it } from "vitest";
import type { EngineEvent } from "../protocol/engine-stats.js";
import type { HostMessage } from "../protocol/messages.js";
import { Outbox } from "./outbox.js";

const finished = (id: number): HostMessage => ({ type: "finished", id, index: 0 });
const event: EngineEvent = { type: "preempted", sequence: 1 };

/** @param gatherMs how long what may wait waits */
function begin(gatherMs: number) {
  const sent: { readonly messages: readonly HostMessage[]; readonly transfer: readonly ArrayBuffer[] }[] = [];
  const outbox = new Outbox(
    { post: (messages, transfer = []) => void sent.push({ messages, transfer }) },
    gatherMs,
  );
  return { sent, outbox, isDue: () => outbox.isDue(performance.now()) };
}

describe("Outbox", () => {
  it("sends what was said as one list, in order, with the memory that goes along; nothing twice", () => {
    const { sent, outbox } = begin(0);
    const memory = new ArrayBuffer(4);
    outbox.sayLater(finished(1));
    outbox.say({ type: "rows", id: 2, rows: new Uint8Array(memory) }, memory);
    outbox.flush();
    outbox.flush();
    expect(sent).toHaveLength(1);
    expect(sent[0].messages.map((message) => "id" in message && message.id)).toEqual([1, 2]);
    expect(sent[0].transfer).toEqual([memory]);
  });

  it("is due at once for what was said, after a while for what may wait, and never for nothing", () => {
    const patient = begin(Number.POSITIVE_INFINITY);
    expect(patient.isDue()).toBe(false);
    patient.outbox.sayLater(finished(1));
    patient.outbox.sayEvent(event);
    expect(patient.isDue()).toBe(false);
    patient.outbox.say(finished(2));
    expect(patient.isDue()).toBe(true);
    patient.outbox.flush();
    expect(patient.isDue()).toBe(false);

    const impatient = begin(0);
    expect(impatient.isDue()).toBe(false);
    impatient.outbox.sayLater(finished(1));
    expect(impatient.isDue()).toBe(true);
  });

  it("sends events before the answers that they led to, to the call that asked last", () => {
    const { sent, outbox } = begin(0);
    outbox.answerEventsTo(7);
    outbox.say(finished(1));
    outbox.sayEvent(event);
    outbox.answerEventsTo(8);
    outbox.flush();
    expect(sent[0].messages).toEqual([{ type: "events", id: 8, events: [event] }, finished(1)]);
  });

  it("forgets events, or everything, on demand", () => {
    const { sent, outbox, isDue } = begin(0);
    outbox.sayEvent(event);
    outbox.forgetEvents();
    outbox.flush();
    outbox.say({ type: "rows", id: 2, rows: new Uint8Array(4) }, new ArrayBuffer(4));
    outbox.clear();
    expect(isDue()).toBe(false);
    outbox.flush();
    expect(sent).toEqual([]);
  });
});

/** Held sequences while the engine, the server or a client goes: what was being made is let go of, and nothing is counted. */
import { expect, test, vi } from "vitest";
import type { Sequence } from "../client/sequence.js";
import { LastrowError } from "../errors.js";
import type { LanguageModel } from "../library/language-model.js";
import { HeldSequences } from "./held-sequences.js";

const LIMITS = { sequences: 2, sequenceBytes: 1000, sequenceSeconds: 60 };

function fakeSequence(length: number) {
  const sequence = { length, hasEnded: false, dispose: vi.fn(async () => undefined) };
  sequence.dispose.mockImplementation(async () => {
    sequence.hasEnded = true;
  });
  return sequence as typeof sequence & Sequence;
}

/** A request of a client's. */
function fakeExchange() {
  const client = new AbortController();
  const atEnd: (() => void)[] = [];
  return {
    principal: { name: "alice", salt: "a" },
    signal: client.signal,
    reason: new Error("the client went away") as never,
    onEnd: (callback: () => void) => void atEnd.push(callback),
    leave: () => client.abort(),
    end: () => {
      for (const callback of atEnd) callback();
    },
  };
}

/** Something that is being made until the test says so. */
function making(length: number) {
  const sequence = fakeSequence(length);
  let finish!: () => void;
  const isDone = new Promise<void>((resolve) => {
    finish = resolve;
  });
  return { sequence, finish, make: () => isDone.then(() => sequence) };
}

const lost = expect.objectContaining({ status: 503, code: "engine_unavailable" });
const fakeModel = () => ({}) as LanguageModel;

test("whoever counts sequences is told when one has gone, once", async () => {
  const sizes: number[] = [];
  const held: HeldSequences = new HeldSequences(LIMITS, 1, () => sizes.push(held.size));
  const client = fakeExchange();
  const first = await held.add(client, fakeModel(), 3, async () => fakeSequence(3));
  await held.add(client, fakeModel(), 3, async () => fakeSequence(3));
  expect(sizes).toEqual([]);
  await held.remove(held.use(client, first.id));
  expect(sizes).toEqual([1]);
  await held.dispose();
  expect(sizes).toEqual([1, 0]);
});

test.each([
  { what: "the engine is lost", go: (held: HeldSequences, model: LanguageModel) => held.forget(model), lost },
  { what: "the server ends", go: (held: HeldSequences) => void held.dispose(), lost },
  {
    what: "the client goes",
    go: (_: HeldSequences, __: LanguageModel, client: ReturnType<typeof fakeExchange>) => client.leave(),
    lost: expect.objectContaining({ message: "the client went away" }),
  },
])("what was being made when $what is let go of", async ({ go, lost }) => {
  const held = new HeldSequences(LIMITS, 1);
  const model = fakeModel();
  const client = fakeExchange();
  const before = await held.add(client, model, 3, async () => fakeSequence(3));
  const inUse = held.use(client, before.id);
  const made = [making(5), making(6)];
  const adding = held.add(client, model, 5, made[0].make);
  const replacing = held.replace(inUse, client, { model, make: made[1].make }, () => "replaced");
  const behind = held.inTurn(inUse, client, 1, async () => "behind");
  for (const waiting of [adding, replacing, behind]) waiting.catch(() => undefined);
  // It has begun to make them.
  await Promise.resolve();
  expect(held.accounts.get("alice")).toEqual({ count: 2, tokens: 8 });
  go(held, model, client);
  for (const { finish } of made) finish();
  await expect(adding).rejects.toEqual(lost);
  await expect(replacing).rejects.toEqual(lost);
  await expect(behind).rejects.toThrow();
  for (const { sequence } of made) expect(sequence.dispose).toHaveBeenCalledOnce();
  client.end();
  await held.dispose();
  expect([...held.accounts]).toEqual([]);
  expect(held.size).toBe(0);
});

test("counts what is being added before it is there, and what has become of it", async () => {
  const held = new HeldSequences(LIMITS, 100);
  const [model, client] = [fakeModel(), fakeExchange()];
  const sequence = fakeSequence(4);
  const entry = held.use(client, (await held.add(client, model, 4, async () => sequence)).id);
  const tokens = () => held.accounts.get("alice")?.tokens;
  const adding = held.inTurn(entry, client, 3, async () => {
    expect(tokens()).toBe(7);
    sequence.length = 7;
    // Ten fit into the limit.
    await expect(held.add(client, model, 4, async () => fakeSequence(4))).rejects.toMatchObject({
      status: 429,
    });
    expect(tokens()).toBe(7);
  });
  await adding;
  await expect(
    held.inTurn(entry, client, 3, async () => {
      throw new Error("it is as it was");
    }),
  ).rejects.toThrow("it is as it was");
  expect(tokens()).toBe(7);
  await expect(held.inTurn(entry, client, 4, async () => undefined)).rejects.toMatchObject({ status: 429 });
  await held.inTurn(entry, client, 0, async () => {
    sequence.length = 2;
  });
  expect(tokens()).toBe(2);
  // More than it was said to be: it must fit as well, and in another's place only what is more than before.
  await expect(held.add(client, model, 1, async () => fakeSequence(9))).rejects.toMatchObject({
    status: 429,
  });
  expect(held.accounts.get("alice")).toEqual({ count: 1, tokens: 2 });
  const make = async (expectRoom: (tokens: number) => void) => {
    expectRoom(10);
    expect(tokens()).toBe(10);
    return fakeSequence(10);
  };
  expect(await held.replace(entry, client, { model, make }, () => entry.sequence.length)).toBe(10);
  expect(sequence.dispose).toHaveBeenCalledOnce();
  await held.remove(entry);
  expect([...held.accounts]).toEqual([]);
  await expect(held.remove(entry)).rejects.toMatchObject({ status: 404 });
  await held.dispose();
});

test("one whose own computation failed is gone, and its place with it", async () => {
  const held = new HeldSequences(LIMITS, 1);
  const [model, client] = [fakeModel(), fakeExchange()];
  const sequence = fakeSequence(4);
  const entry = held.use(client, (await held.add(client, model, 4, async () => sequence)).id);
  const failing = held.inTurn(entry, client, 1, async () => {
    sequence.hasEnded = true;
    throw new LastrowError("numerical_error", "NaN");
  });
  const behind = held.inTurn(entry, client, 1, async () => undefined);
  await expect(failing).rejects.toMatchObject({ code: "numerical_error" });
  await expect(behind).rejects.toMatchObject({ status: 404, code: "sequence_not_found" });
  expect([...held.accounts]).toEqual([]);
  // It may have ended before anyone asked: then it is not there, whatever it says of itself.
  const other = fakeSequence(4);
  const ended = held.use(client, (await held.add(client, model, 4, async () => other)).id);
  other.hasEnded = true;
  const asked = held.inTurn(ended, client, 0, async () => {
    throw new LastrowError("disposed", "The sequence has ended.");
  });
  await expect(asked).rejects.toMatchObject({ status: 404, code: "sequence_not_found" });
  expect(held.list(client.principal)).toEqual([]);
  await held.dispose();
});

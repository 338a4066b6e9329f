/** Places, lines and turns: who runs, who waits, who is refused, and that nothing is left behind. */
import { describe, expect, test } from "vitest";
import { FairQueue } from "../platform/fair-queue.js";
import { Admission, type Admitted } from "./admission.js";

const NEVER = new AbortController().signal;
/** Lets everything go on that can. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

interface Options {
  readonly concurrent?: number;
  readonly perKey?: number;
  readonly queue?: number;
  readonly keys?: number;
}

/** An admission, and what has come of what was asked of it. */
class Door {
  readonly admission: Admission;
  /** What has been let in, by name. */
  readonly running = new Map<string, Admitted>();
  readonly refused: Record<string, string> = {};

  constructor({ concurrent = 4, perKey = Number.POSITIVE_INFINITY, queue = 8, keys = 3 }: Options = {}) {
    this.admission = new Admission({ concurrent, perKey, queue }, { areRequired: keys > 0, count: keys });
  }

  /** A request of the key that its name begins with. */
  async ask(name: string, choices = 1, signal = NEVER): Promise<void> {
    try {
      const admitted = await this.admission.enter({ name: name[0], salt: "" }, signal);
      try {
        await admitted.count(choices);
      } catch (error) {
        admitted.release();
        throw error;
      }
      this.running.set(name, admitted);
    } catch (error) {
      this.refused[name] = (error as { code: string }).code;
    }
  }

  async askAll(...names: string[]): Promise<void> {
    for (const name of names) void this.ask(name);
    await settle();
  }

  async end(name: string): Promise<void> {
    const admitted = this.running.get(name);
    this.running.delete(name);
    admitted!.release();
    admitted!.release();
    await settle();
  }

  get names(): string[] {
    return [...this.running.keys()].sort();
  }
}

test("a line for each key, in turns; the key that was served last is behind all that wait", () => {
  const queue = new FairQueue<string>();
  for (const item of ["a1", "a2", "a3", "b1"]) queue.add(item[0], item);
  expect(queue.take()).toBe("a1");
  // Who comes while a's first is at work has at most that one before it.
  queue.add("c", "c1");
  expect(queue.take()).toBe("b1");
  expect(queue.take()).toBe("c1");
  queue.add("d", "d1");
  expect(queue.take()).toBe("a2");
  expect(queue.take()).toBe("d1");
  expect(queue.take()).toBe("a3");
  // The line has been empty meanwhile: another's turn all the same.
  queue.add("a", "a4");
  queue.add("e", "e1");
  expect([queue.take(), queue.take(), queue.take(), queue.size]).toEqual(["e1", "a4", null, 0]);
});

test("what is passed over or taken out leaves the others in their order", () => {
  const queue = new FairQueue<string>();
  for (const item of ["a1", "a2", "b1", "b2", "c1"]) queue.add(item[0], item);
  expect(queue.take((key) => key === "b")).toBe("b1");
  expect(queue.remove("a", "a1")).toBe(true);
  expect(queue.remove("a", "a1")).toBe(false);
  expect(queue.take(() => false)).toBe(null);
  expect(queue.takeBack(1)).toBe(null);
  queue.add("c", "c2");
  expect(queue.takeBack(1)).toBe("c2");
  expect([queue.size, queue.sizeOf("c")]).toEqual([3, 1]);
  expect(queue.take()).toBe("a2");
  expect(queue.clear()).toEqual(["c1", "b2"]);
  expect(queue.size).toBe(0);
});

describe("keys", () => {
  test("one has half of the places where there are more, and all where there is one; over it: 429", async () => {
    for (const { keys, perKey, most } of [
      { keys: 3, most: 2 },
      { keys: 1, most: 4 },
      { keys: 3, perKey: 3, most: 3 },
    ]) {
      const door = new Door({ keys, ...(perKey !== undefined && { perKey }) });
      await door.askAll("a1", "a2", "a3", "a4", "a5");
      expect(door.names).toHaveLength(most);
      expect(Object.values(door.refused)).toEqual(new Array(5 - most).fill("rate_limit_exceeded"));
    }
  });

  test("without keys all wait in one line, up to the queue's length", async () => {
    const door = new Door({ keys: 0, queue: 2 });
    await door.askAll("a1", "a2", "a3", "a4", "a5", "a6", "a7");
    expect(door.names).toEqual(["a1", "a2", "a3", "a4"]);
    expect(door.refused).toEqual({ a7: "rate_limit_exceeded" });
    await door.end("a2");
    expect(door.names).toEqual(["a1", "a3", "a4", "a5"]);
  });

  test("one that has nothing never waits, whatever the others have", async () => {
    const door = new Door({ keys: 5 });
    await door.askAll("a1", "a2", "b1", "b2", "c1", "d1");
    expect(door.names).toEqual(["a1", "a2", "b1", "b2", "c1", "d1"]);
    await door.askAll("c2", "d2", "c3");
    expect(door.names).toHaveLength(6);
    await door.end("a1");
    await door.end("a2");
    expect(door.names).not.toContain("c2");
    // In turns, as soon as there is a place within the whole.
    await door.end("b1");
    expect(door.names).toContain("c2");
    await door.end("b2");
    expect(door.names).toContain("d2");
    expect(door.refused).toEqual({ c3: "rate_limit_exceeded" });
  });

  test("one that has nothing is let in though the queue is full and its line would be no shorter", async () => {
    const door = new Door({ keys: 3, concurrent: 2, perKey: 9, queue: 1 });
    await door.askAll("a1", "a2", "a3", "b1");
    expect([door.names, door.admission.waiting]).toEqual([["a1", "a2", "b1"], 1]);
    expect(door.refused).toEqual({});
  });

  test("the longest line gives way where the queue is full", async () => {
    const door = new Door({ keys: 3, concurrent: 3, perKey: 9, queue: 4 });
    await door.askAll("a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8");
    expect(door.refused).toEqual({ a8: "rate_limit_exceeded" });
    await door.askAll("b1", "b2");
    expect(door.names).toEqual(["a1", "a2", "a3", "b1"]);
    expect(door.refused).toEqual({ a8: "rate_limit_exceeded", a7: "rate_limit_exceeded" });
    await door.askAll("b3", "b4");
    // Two and two: neither line is longer.
    expect(Object.keys(door.refused).sort()).toEqual(["a6", "a7", "a8", "b4"]);
    expect(door.admission.waiting).toBe(4);
  });
});

describe("what is asked for at once", () => {
  test("counts as soon as it is known: a request of many is not one of one", async () => {
    const door = new Door({ concurrent: 8, keys: 3 });
    void door.ask("a1", 3);
    void door.ask("a2", 2);
    void door.ask("b1", 2);
    await settle();
    expect(door.names).toEqual(["a1", "b1"]);
    await door.end("a1");
    expect(door.names).toEqual(["a2", "b1"]);
  });

  test("more than a key's part is let in when the key has nothing else, and another is let in beside it", async () => {
    const door = new Door({ concurrent: 8, keys: 2 });
    void door.ask("a1", 128);
    void door.ask("a2", 128);
    await settle();
    void door.ask("b1");
    await settle();
    expect(door.names).toEqual(["a1", "b1"]);
    await door.end("a1");
    expect(door.names).toEqual(["a2", "b1"]);
  });

  test("one that needs many places is not overtaken for ever by those that need few", async () => {
    const door = new Door({ concurrent: 8, keys: 3, perKey: 6 });
    for (const [name, count] of [
      ["a1", 3],
      ["b1", 2],
      ["c1", 2],
    ] as const)
      void door.ask(name, count);
    await settle();
    void door.ask("a2", 3);
    await settle();
    void door.ask("b2", 1);
    await settle();
    // One place is free, and b's would fit; a came first.
    expect(door.names).toEqual(["a1", "b1", "c1"]);
    await door.end("c1");
    expect(door.names).toEqual(["a1", "a2", "b1"]);
    await door.end("a1");
    expect(door.names).toEqual(["a2", "b1", "b2"]);
  });
});

describe("a client that leaves", () => {
  test("gives its place in the line back, each time, in both lines", async () => {
    const door = new Door({ keys: 2, perKey: 3, concurrent: 2, queue: 2 });
    await door.askAll("a1", "a2");
    for (let round = 0; round < 5; round++) {
      const leaving = new AbortController();
      void door.ask(`a-waits-${round}`, 1, leaving.signal);
      await settle();
      expect(door.admission.waiting).toBe(1);
      leaving.abort();
      await settle();
      expect(door.admission.waiting).toBe(0);
      expect(door.refused[`a-waits-${round}`]).toBe("client_closed_request");
    }
    const before = new AbortController();
    before.abort();
    await door.ask("a-gone", 1, before.signal);
    expect(door.refused["a-gone"]).toBe("client_closed_request");
    await door.end("a1");
    await door.end("a2");
    // The same with what waits for its texts' places.
    for (let round = 0; round < 5; round++) {
      await door.askAll("a3");
      const leaving = new AbortController();
      void door.ask(`a-many-${round}`, 2, leaving.signal);
      await settle();
      expect(door.admission.waiting).toBe(1);
      leaving.abort();
      await settle();
      await door.end("a3");
      expect(door.admission.waiting).toBe(0);
    }
    void door.ask("a4", 2);
    await settle();
    expect(door.names).toEqual(["a4"]);
    await door.end("a4");
    await door.admission.close();
  });

  test("lets those go on that waited behind it", async () => {
    const door = new Door({ keys: 3, concurrent: 4, perKey: 4 });
    void door.ask("a1", 2);
    void door.ask("b1", 1);
    await settle();
    const leaving = new AbortController();
    void door.ask("a2", 2, leaving.signal);
    void door.ask("b2", 1);
    await settle();
    expect(door.names).toEqual(["a1", "b1"]);
    leaving.abort();
    await settle();
    expect(door.names).toEqual(["a1", "b1", "b2"]);
  });

  test("between its place and its texts' places leaves neither behind", async () => {
    const door = new Door({ keys: 1, concurrent: 1 });
    const leaving = new AbortController();
    const admitted = await door.admission.enter({ name: "a", salt: "" }, leaving.signal);
    leaving.abort();
    await expect(admitted.count(1)).rejects.toMatchObject({ code: "client_closed_request" });
    admitted.release();
    await door.askAll("a1");
    expect(door.names).toEqual(["a1"]);
  });
});

test("closed, it lets those go on that wait and run, and resolves with the last", async () => {
  const door = new Door({ keys: 0, concurrent: 1 });
  await door.askAll("a1", "a2");
  let isClosed = false;
  void door.admission.close().then(() => {
    isClosed = true;
  });
  await door.askAll("a3");
  expect(door.refused).toEqual({ a3: "shutting_down" });
  await door.end("a1");
  expect([door.names, isClosed]).toEqual([["a2"], false]);
  await door.end("a2");
  expect(isClosed).toBe(true);
});

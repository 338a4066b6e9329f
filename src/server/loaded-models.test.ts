/** Which models are in memory, with models that are nothing but a number and loads that end when the test says so. */
import fc from "fast-check";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ApiError } from "./api-error.js";
import { type Lease, LoadedModels, type LoadedModelsOptions } from "./loaded-models.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

interface FakeModel {
  readonly id: string;
  held: number;
  isGone: boolean;
}

interface Step {
  readonly id: string;
  readonly signal: AbortSignal;
  done(): void;
  fail(why: string): void;
}

/** Room for two of the three small models; the large one needs all of it. */
const SIZES = { a: 1, b: 1, c: 1, large: 2 } as const;
type Id = keyof typeof SIZES;

function machine(options: Partial<LoadedModelsOptions> = {}) {
  /** What is under way, oldest first. */
  const loads: Step[] = [];
  const unloads: Step[] = [];
  const changes: string[] = [];
  const all: FakeModel[] = [];
  /** What must never be. */
  const wrong: string[] = [];
  const leases = new Map<string, number>();
  const models = new LoadedModels<FakeModel>(
    Object.entries(SIZES).map(([id, bytes]) => ({
      ...{ id, bytes },
      load: (signal) =>
        new Promise((resolve, reject) => {
          if (loads.length > 0) wrong.push(`${id} is loaded beside ${loads[0].id}`);
          const step = {
            ...{ id, signal },
            done: () => {
              loads.splice(loads.indexOf(step), 1);
              const model = { id, held: 0, isGone: false };
              all.push(model);
              resolve(model);
            },
            fail: (why: string) => {
              loads.splice(loads.indexOf(step), 1);
              reject(new Error(why));
            },
          };
          loads.push(step);
        }),
      unload: (model) =>
        new Promise((resolve, reject) => {
          if (model.isGone) wrong.push(`${id} is unloaded twice`);
          if (!isDisposed && ((leases.get(id) ?? 0) > 0 || model.held > 0))
            wrong.push(`${id} is unloaded in use`);
          model.isGone = true;
          const end = (settle: () => void) => () => {
            unloads.splice(unloads.indexOf(step), 1);
            settle();
          };
          const step: Step = {
            ...{ id, signal: new AbortController().signal },
            done: end(resolve),
            fail: (why) => end(() => reject(new Error(why)))(),
          };
          unloads.push(step);
        }),
      isHeld: ({ held }) => held > 0,
    })),
    {
      ...{ budgetBytes: 2, waitMs: 1000, idleMs: null },
      onChange: (id, change) => changes.push(`${id} ${change}`),
      ...options,
    },
  );
  let isDisposed = false;
  const use = async (id: Id, signal = new AbortController().signal): Promise<Lease<FakeModel>> => {
    const lease = await models.use(id, signal);
    if (lease.loaded.isGone || lease.loaded.id !== id) wrong.push(`${id} is not there`);
    leases.set(id, (leases.get(id) ?? 0) + 1);
    const release = () => {
      leases.set(id, leases.get(id)! - 1);
      lease.release();
    };
    return { loaded: lease.loaded, release };
  };
  /** Ends whatever is under way. */
  const settle = async () => {
    await tick();
    while (loads.length + unloads.length > 0) {
      for (const { done } of [...unloads, ...loads]) done();
      await tick();
    }
  };
  return {
    ...{ models, loads, unloads, changes, all, wrong, use, settle },
    /** Uses a model, loading it where needed. */
    async have(id: Id) {
      const lease = use(id);
      await settle();
      return lease;
    },
    dispose: () => {
      isDisposed = true;
      return models.dispose();
    },
  };
}

const tick = () => vi.advanceTimersByTimeAsync(0);
const ids = (models: LoadedModels<FakeModel>) => models.loaded.map(({ id }) => id);

/** What a promise has come to by now. */
async function outcome(promise: Promise<unknown>): Promise<unknown> {
  let result: unknown = "pending";
  promise.then(
    () => (result = "done"),
    (error: unknown) => (result = error instanceof ApiError ? error.code : error),
  );
  await tick();
  return result;
}

test("is loaded when it is first asked for, once for all that ask, and stays", async () => {
  const { models, use, loads, changes, wrong } = machine();
  expect(loads).toEqual([]);
  const asked = [use("a"), use("a"), use("a")];
  await tick();
  expect(loads.map(({ id }) => id)).toEqual(["a"]);
  expect(models.waitingFor("a")).toBe(3);
  expect(models.useLoaded("a")).toBeNull();
  loads[0].done();
  for (const { release } of await Promise.all(asked)) release();
  expect(models.waitingFor("a")).toBe(0);
  (await use("a")).release();
  await vi.advanceTimersByTimeAsync(10 ** 9);
  expect(ids(models)).toEqual(["a"]);
  expect(changes).toEqual(["a loading", "a loaded"]);
  expect(wrong).toEqual([]);
});

test("one load at a time, in the order in which they were asked for", async () => {
  const { models, use, loads, settle, changes, wrong } = machine();
  const asked = [use("b"), use("a"), use("b")];
  await tick();
  expect(loads.map(({ id }) => id)).toEqual(["b"]);
  expect(models.reservedBytes).toBe(1);
  loads[0].done();
  await tick();
  expect(loads.map(({ id }) => id)).toEqual(["a"]);
  await settle();
  await Promise.all(asked);
  expect(changes).toEqual(["b loading", "b loaded", "a loading", "a loaded"]);
  expect(wrong).toEqual([]);
});

test("the one that was unused longest makes room, and only as many as are needed", async () => {
  const { models, have, changes, wrong } = machine();
  const a = await have("a");
  (await have("b")).release();
  a.release();
  // b was used before a.
  (await have("c")).release();
  expect(ids(models)).toEqual(["a", "c"]);
  (await have("a")).release();
  (await have("b")).release();
  expect(ids(models)).toEqual(["a", "b"]);
  (await have("large")).release();
  expect(ids(models)).toEqual(["large"]);
  expect(changes.filter((change) => change.endsWith("unloaded"))).toEqual([
    "b unloaded",
    "c unloaded",
    "a unloaded",
    "b unloaded",
  ]);
  expect(wrong).toEqual([]);
});

test("nothing is loaded before what makes room for it is gone, and it counts until then", async () => {
  const { models, have, use, loads, unloads, settle } = machine();
  (await have("large")).release();
  const asked = use("a");
  await tick();
  expect([loads.length, unloads.length, models.reservedBytes]).toEqual([0, 1, 3]);
  // What is on its way out is not there any more, and waits like anything else.
  const again = use("large");
  expect(models.useLoaded("large")).toBeNull();
  unloads[0].done();
  await tick();
  expect([loads.map(({ id }) => id), models.reservedBytes]).toEqual([["a"], 1]);
  loads[0].done();
  (await asked).release();
  await settle();
  await again;
  expect(ids(models)).toEqual(["large"]);
});

test("what requests have, or what holds something, is not unloaded; what waits for room is refused at its deadline", async () => {
  const { models, have, use, settle, changes, wrong } = machine();
  const a = await have("a");
  const { loaded, release } = await have("b");
  loaded.held = 1;
  release();
  const tooLate = use("c");
  const refused = expect(tooLate).rejects.toMatchObject({
    ...{ status: 503, code: "model_no_room", retryAfter: 5 },
    message: expect.stringContaining("no memory for c within 1 s"),
  });
  await vi.advanceTimersByTimeAsync(999);
  expect(await outcome(tooLate)).toBe("pending");
  await vi.advanceTimersByTimeAsync(1);
  await refused;
  // It is out of the queue: what becomes free later is not taken for it.
  a.release();
  await settle();
  expect(ids(models)).toEqual(["a", "b"]);
  // b makes room as soon as nothing is held in it any more.
  const c = use("large");
  await tick();
  loaded.held = 0;
  models.holdsLess("b");
  await settle();
  await c;
  expect(ids(models)).toEqual(["large"]);
  expect(changes.filter((change) => change.startsWith("c"))).toEqual([]);
  expect(wrong).toEqual([]);
});

test("room is waited for: the end of the last request that had a model lets the next one in", async () => {
  const { have, use, settle, wrong } = machine();
  const [first, second] = [await have("large"), await have("large")];
  const waiting = use("a");
  first.release();
  first.release();
  await tick();
  expect(await outcome(waiting)).toBe("pending");
  second.release();
  await settle();
  await waiting;
  expect(wrong).toEqual([]);
});

test("what can have room goes before what cannot yet", async () => {
  const { models, have, use, settle } = machine();
  await have("a");
  const large = use("large");
  const b = use("b");
  await settle();
  await b;
  expect(await outcome(large)).toBe("pending");
  expect(ids(models)).toEqual(["a", "b"]);
  const refused = expect(large).rejects.toMatchObject({ code: "model_no_room" });
  await vi.advanceTimersByTimeAsync(1000);
  await refused;
});

test("a load goes on when its request has been told to come back, and is there then", async () => {
  const { models, use, loads } = machine();
  const late = use("a");
  const refused = expect(late).rejects.toMatchObject({ status: 503, code: "model_loading", retryAfter: 5 });
  await vi.advanceTimersByTimeAsync(1000);
  await refused;
  const behind = use("b");
  const alsoRefused = expect(behind).rejects.toMatchObject({ code: "model_loading" });
  await vi.advanceTimersByTimeAsync(1000);
  await alsoRefused;
  loads[0].done();
  await tick();
  // No request waits for b any more.
  expect([ids(models), loads]).toEqual([["a"], []]);
  expect(await outcome(use("a"))).toBe("done");
});

test("a client that goes away leaves the queue, with its own reason", async () => {
  const { models, have, use, settle, changes } = machine();
  const large = await have("large");
  const client = new AbortController();
  const left = expect(use("a", client.signal)).rejects.toThrow("the client went away");
  const stays = use("b");
  client.abort(new Error("the client went away"));
  await left;
  await expect(use("c", client.signal)).rejects.toThrow("the client went away");
  expect(models.waitingFor("a")).toBe(0);
  large.release();
  await settle();
  await stays;
  expect(ids(models)).toEqual(["b"]);
  expect(changes).not.toContain("a loading");
});

test("room that is made for a client that has gone meanwhile is not filled", async () => {
  const { models, have, use, loads, unloads } = machine();
  (await have("large")).release();
  const client = new AbortController();
  const left = expect(use("a", client.signal)).rejects.toThrow("gone");
  await tick();
  client.abort(new Error("gone"));
  await left;
  unloads[0].done();
  await tick();
  expect([loads, ids(models), models.reservedBytes]).toEqual([[], [], 0]);
});

test("a load that fails is told to all that wait, and tried again after a while that grows", async () => {
  const { models, use, loads, changes } = machine();
  const waits: number[] = [];
  for (let i = 0; i < 8; i++) {
    const asked = [use("a"), use("a")];
    const refused = asked.map((one) =>
      expect(one).rejects.toMatchObject({
        ...{ status: 503, code: "model_not_loaded", cause: new Error("disk") },
        message: "a could not be loaded; the server's log says why.",
      }),
    );
    await tick();
    loads[0].fail("disk");
    await Promise.all(refused);
    expect(models.reservedBytes).toBe(ids(models).length);
    const early: unknown = await use("a").catch((error: unknown) => error);
    expect(early).toMatchObject({ status: 503, code: "model_not_loaded" });
    expect(loads).toEqual([]);
    const seconds = (early as ApiError).retryAfter!;
    waits.push(seconds);
    // Others are not kept waiting by it.
    const other = use("b");
    await tick();
    loads[0]?.done();
    (await other).release();
    await vi.advanceTimersByTimeAsync(seconds * 1000);
  }
  expect(waits).toEqual([1, 2, 4, 8, 16, 32, 60, 60]);
  const asked = use("a");
  await tick();
  loads[0].done();
  (await asked).release();
  expect(changes.filter((change) => change === "a failed").length).toBe(8);
  // Once it was there, it counts as new.
  expect(ids(models)).toEqual(["a", "b"]);
});

test("an unused model is unloaded when its time is up, which every use begins anew; a held one is not", async () => {
  const { models, have, use, settle, wrong } = machine({ idleMs: 100 });
  const first = await have("a");
  await vi.advanceTimersByTimeAsync(500);
  expect(ids(models)).toEqual(["a"]);
  expect(models.unloadsAt("a")).toBeNull();
  first.release();
  expect(models.unloadsAt("a")).toBe(Date.now() + 100);
  await vi.advanceTimersByTimeAsync(99);
  (await use("a")).release();
  await vi.advanceTimersByTimeAsync(99);
  expect(ids(models)).toEqual(["a"]);
  const { loaded, release } = await use("a");
  loaded.held = 1;
  release();
  expect(models.unloadsAt("a")).toBeNull();
  await vi.advanceTimersByTimeAsync(500);
  expect(ids(models)).toEqual(["a"]);
  loaded.held = 0;
  models.holdsLess("a");
  await vi.advanceTimersByTimeAsync(99);
  expect(ids(models)).toEqual(["a"]);
  await vi.advanceTimersByTimeAsync(1);
  expect(ids(models)).toEqual([]);
  await settle();
  expect(models.reservedBytes).toBe(0);
  // It comes back when it is asked for.
  (await have("a")).release();
  expect(ids(models)).toEqual(["a"]);
  expect(wrong).toEqual([]);
});

test("one that no request waits for any more when it is there is unloaded like any unused one", async () => {
  const { models, use, loads, settle } = machine({ idleMs: 100 });
  const client = new AbortController();
  const left = expect(use("a", client.signal)).rejects.toThrow();
  await tick();
  client.abort(new Error("gone"));
  await left;
  loads[0].done();
  await tick();
  expect(ids(models)).toEqual(["a"]);
  await vi.advanceTimersByTimeAsync(100);
  await settle();
  expect([ids(models), models.reservedBytes]).toEqual([[], 0]);
});

test("one that is kept is loaded with its own error, without a deadline, and never unloaded", async () => {
  const { models, loads, use } = machine({ idleMs: 10 });
  const failing = expect(models.keep("a")).rejects.toThrow(/^disk$/);
  await tick();
  loads[0].fail("disk");
  await failing;
  const { models: others, loads: othersLoads, use: useOther } = machine({ idleMs: 10 });
  const kept = others.keep("a");
  await vi.advanceTimersByTimeAsync(100_000);
  othersLoads[0].done();
  expect((await kept).id).toBe("a");
  const refused = expect(useOther("large")).rejects.toMatchObject({ code: "model_no_room" });
  await vi.advanceTimersByTimeAsync(100_000);
  await refused;
  expect(ids(others)).toEqual(["a"]);
  expect(use).toBeDefined();
});

test("an unload that fails gives its room back all the same", async () => {
  const { models, have, use, loads, unloads } = machine();
  (await have("large")).release();
  const asked = use("a");
  await tick();
  unloads[0].fail("no");
  await tick();
  loads[0].done();
  await asked;
  expect([ids(models), models.reservedBytes]).toEqual([["a"], 1]);
});

test("disposing ends what waits, what is being loaded and what is loaded, in use or not", async () => {
  const { models, all, have, use, loads, unloads, dispose } = machine();
  const a = await have("a");
  const asked = [use("b"), use("b"), use("c")];
  const refused = asked.map((one) =>
    expect(one).rejects.toMatchObject({ status: 503, code: "shutting_down" }),
  );
  await tick();
  const { signal } = loads[0];
  let isOver = false;
  const over = dispose().then(() => (isOver = true));
  await Promise.all(refused);
  expect(signal.aborted).toBe(true);
  await expect(use("a")).rejects.toMatchObject({ code: "shutting_down" });
  // A load that does not stop: what it gives is let go of.
  loads[0].done();
  await tick();
  expect(isOver).toBe(false);
  expect(unloads.map(({ id }) => id)).toEqual(["a", "b"]);
  for (const { done } of [...unloads]) done();
  await over;
  a.release();
  await dispose();
  expect(all.every(({ isGone }) => isGone)).toBe(true);
  expect([models.loaded, models.reservedBytes, vi.getTimerCount()]).toEqual([[], 0, 0]);
});

type Action =
  | { readonly kind: "use"; readonly id: Id; readonly isImpatient: boolean }
  | {
      readonly kind: "release" | "leave" | "load" | "fail" | "unload" | "hold" | "let go";
      readonly which: number;
    }
  | { readonly kind: "wait"; readonly ms: number };

const actions: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("use" as const),
      id: fc.constantFrom(...(Object.keys(SIZES) as Id[])),
      isImpatient: fc.boolean(),
    }),
  },
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        "release",
        "release",
        "leave",
        "load",
        "load",
        "fail",
        "unload",
        "unload",
        "hold",
        "let go",
      ),
      which: fc.nat(7),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("wait" as const), ms: fc.constantFrom(1, 60, 1000, 70_000) }),
  },
);

test("whatever comes in whatever order: one load, never over the budget, nothing in use unloaded, all answered, nothing left", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(actions, { minLength: 5, maxLength: 60 }),
      fc.constantFrom(null, 50),
      fc.integer({ min: 0, max: 60 }),
      async (sequence, idleMs, disposeAfter) => {
        const { models, loads, unloads, all, wrong, use, dispose } = machine({ idleMs });
        const leases: Lease<FakeModel>[] = [];
        const clients: AbortController[] = [];
        let numAsked = 0;
        let numAnswered = 0;
        let disposed: Promise<void> | null = null;
        const pick = <T>(list: readonly T[], which: number): T | undefined =>
          list[which % (list.length || 1)];
        for (const [i, action] of sequence.entries()) {
          if (i === disposeAfter) disposed = dispose();
          if (action.kind === "use") {
            const client = new AbortController();
            clients.push(client);
            numAsked += 1;
            void use(action.id, client.signal).then(
              (lease) => {
                numAnswered += 1;
                if (action.isImpatient) lease.release();
                else leases.push(lease);
              },
              () => (numAnswered += 1),
            );
          } else if (action.kind === "wait") await vi.advanceTimersByTimeAsync(action.ms);
          else if (action.kind === "release") {
            const lease = pick(leases, action.which);
            if (lease !== undefined) {
              leases.splice(leases.indexOf(lease), 1);
              lease.release();
            }
          } else if (action.kind === "leave") pick(clients, action.which)?.abort(new Error("left"));
          else if (action.kind === "load") pick(loads, action.which)?.done();
          else if (action.kind === "fail") pick(loads, action.which)?.fail("no");
          else if (action.kind === "unload") pick(unloads, action.which)?.done();
          else {
            // Only a request makes something to be held.
            const model =
              action.kind === "hold"
                ? pick(leases, action.which)?.loaded
                : pick(
                    models.loaded.filter(({ held }) => held > 0),
                    action.which,
                  );
            if (model !== undefined) {
              model.held = Math.max(0, model.held + (action.kind === "hold" ? 1 : -1));
              models.holdsLess(model.id);
            }
          }
          await tick();
          const there = models.loaded.reduce((sum, { id }) => sum + SIZES[id as Id], 0);
          if (there > 2) wrong.push("more is loaded than the budget allows");
          if (loads.length > 1) wrong.push("two loads at once");
          const isStill = loads.length + unloads.length === 0 && disposed === null;
          const waiting = (Object.keys(SIZES) as Id[]).find(
            (id) => models.waitingFor(id) > 0 && SIZES[id] + there <= 2,
          );
          if (isStill && waiting !== undefined) wrong.push(`${waiting} waits though there is room`);
          if (loads.some(({ id }) => SIZES[id as Id] + there > 2)) wrong.push("a load has no room");
        }
        // At the end of all: what waits is answered or refused, whatever happens to it.
        for (const lease of leases.splice(0)) lease.release();
        for (let round = 0; round < 20; round++) {
          for (const { done } of [...unloads, ...loads]) done();
          await vi.advanceTimersByTimeAsync(1000);
          for (const lease of leases.splice(0)) lease.release();
        }
        if (numAnswered !== numAsked) wrong.push(`${numAsked - numAnswered} were never answered`);
        disposed ??= dispose();
        for (let round = 0; round < 5; round++) {
          for (const { done } of [...unloads, ...loads]) done();
          await tick();
        }
        await disposed;
        if (all.some(({ isGone }) => !isGone)) wrong.push("something is left in memory");
        if (models.reservedBytes !== 0) wrong.push(`${models.reservedBytes} bytes are left reserved`);
        expect(wrong).toEqual([]);
        expect(vi.getTimerCount()).toBe(0);
      },
    ),
    { numRuns: 80 },
  );
});

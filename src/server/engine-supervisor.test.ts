/** What becomes of an engine that is lost, with a clock that the test turns. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { LastrowError } from "../errors.js";
import type { LanguageModel } from "../library/language-model.js";
import type { ModelInfo } from "../library/model-info.js";
import { ApiError } from "./api-error.js";
import { type EngineState, EngineSupervisor } from "./engine-supervisor.js";
import { failureOf } from "./generation-service.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** What the supervisor sees of a model. */
function fakeModel() {
  let lose!: (error: Error) => void;
  const lost = new Promise<Error>((resolve) => {
    lose = resolve;
  });
  const dispose = vi.fn(async () => undefined);
  const info = {} as ModelInfo;
  return { model: { lost, dispose, info } as unknown as LanguageModel, lose, dispose };
}

type FakeModel = ReturnType<typeof fakeModel>;

/** @param loads what each loading gives; a sentence is an error */
function supervisorOf(loads: (FakeModel | string)[]) {
  const states: [EngineState, unknown][] = [];
  const gone: LanguageModel[] = [];
  const told: (ModelInfo | null)[] = [];
  let numLoads = 0;
  const supervisor = new EngineSupervisor({
    load: async (_, before) => {
      told.push(before);
      const next = loads[numLoads];
      numLoads += 1;
      if (typeof next === "string") throw new Error(next);
      return next.model;
    },
    onChange: (state, error) => states.push([state, (error as Error | null)?.message ?? null]),
    onLost: (model) => gone.push(model),
    backoffMs: 100,
    maxBackoffMs: 350,
  });
  /** Milliseconds until it loads again. */
  const untilLoad = async () => {
    const before = numLoads;
    let ms = 0;
    for (; numLoads === before && ms < 10_000; ms += 10) await vi.advanceTimersByTimeAsync(10);
    return ms;
  };
  return { supervisor, states, gone, told, untilLoad };
}

test("waits twice as long after each failure, to a limit, and begins anew once it has loaded", async () => {
  const [first, second, third] = [fakeModel(), fakeModel(), fakeModel()];
  const loads = [first, "a", "b", "c", second, "d", third];
  const { supervisor, states, gone, told, untilLoad } = supervisorOf(loads);
  await supervisor.start();
  expect(supervisor.answersWith(first.model)).toBe(true);
  first.lose(new Error("gone"));
  await vi.advanceTimersByTimeAsync(0);
  expect(supervisor.state).toBe("restarting");
  expect(supervisor.problem).toBe("The engine is not there (internal_error); the server's log says more.");
  expect(supervisor.answersWith(first.model)).toBe(false);
  expect(() => supervisor.model).toThrow(expect.objectContaining({ status: 503, retryAfter: 2 }));
  expect(first.dispose).toHaveBeenCalledOnce();
  expect(gone).toEqual([first.model]);
  expect([await untilLoad(), await untilLoad(), await untilLoad(), await untilLoad()]).toEqual([
    100, 200, 350, 350,
  ]);
  expect(supervisor.model).toBe(second.model);
  expect(supervisor.restarts).toBe(1);
  expect(supervisor.problem).toBeNull();
  // A second round is as the first.
  second.lose(new Error("gone again"));
  expect([await untilLoad(), await untilLoad()]).toEqual([100, 200]);
  expect(supervisor.model).toBe(third.model);
  expect(supervisor.restarts).toBe(2);
  // Each is to have what the first had.
  expect(told.length).toBe(loads.length);
  for (const [i, before] of told.entries()) expect(before).toBe(i === 0 ? null : first.model.info);
  expect(states).toEqual([
    ["ready", null],
    ["restarting", "gone"],
    ["restarting", "a"],
    ["restarting", "b"],
    ["restarting", "c"],
    ["ready", null],
    ["restarting", "gone again"],
    ["restarting", "d"],
    ["ready", null],
  ]);
  await supervisor.dispose();
  expect(third.dispose).toHaveBeenCalledOnce();
});

test("hears of a lost engine once, and nothing of one that is replaced or let go of", async () => {
  const [first, second] = [fakeModel(), fakeModel()];
  const { supervisor, states, untilLoad } = supervisorOf([first, second]);
  await supervisor.start();
  first.lose(new Error("gone"));
  await untilLoad();
  first.lose(new Error("gone twice"));
  await vi.advanceTimersByTimeAsync(1000);
  expect(supervisor.model).toBe(second.model);
  await supervisor.dispose();
  second.lose(new Error("too late"));
  await vi.advanceTimersByTimeAsync(1000);
  expect(states.map(([state]) => state)).toEqual(["ready", "restarting", "ready", "stopped"]);
});

test("loads nothing any more once it is stopped, and lets go of what comes too late", async () => {
  const [first, second] = [fakeModel(), fakeModel()];
  const { supervisor, untilLoad } = supervisorOf([first, second]);
  await supervisor.start();
  first.lose(new Error("gone"));
  await vi.advanceTimersByTimeAsync(50);
  await supervisor.dispose();
  expect(await untilLoad()).toBe(10_000);
  expect(vi.getTimerCount()).toBe(0);

  const late = fakeModel();
  let loaded!: () => void;
  let numLoads = 0;
  const slow = new EngineSupervisor({
    load: async () => {
      numLoads += 1;
      if (numLoads === 1) return second.model;
      await new Promise<void>((resolve) => {
        loaded = resolve;
      });
      return late.model;
    },
    backoffMs: 10,
  });
  await slow.start();
  second.lose(new Error("gone"));
  await vi.advanceTimersByTimeAsync(20);
  await slow.dispose();
  loaded();
  await vi.advanceTimersByTimeAsync(0);
  expect(late.dispose).toHaveBeenCalledOnce();
  expect(slow.state).toBe("stopped");
});

test("what fails because its engine is gone is told as that, and anything else as it is", async () => {
  const [first, second] = [fakeModel(), fakeModel()];
  const { supervisor, untilLoad } = supervisorOf([first, second]);
  await supervisor.start();
  const gone = new LastrowError("engine_lost", "gone");
  const refused = new ApiError(429, "saved_limit", "Too much.");
  const disposed = new LastrowError("disposed", "The sequence was used after dispose().");
  for (const error of [gone, disposed, refused]) {
    expect(failureOf(supervisor, first.model, error)).toBe(error);
  }
  // An error of a call is no reason to restart.
  expect(supervisor.state).toBe("ready");
  first.lose(gone);
  await untilLoad();
  for (const error of [gone, disposed, new Error("anything")]) {
    expect(failureOf(supervisor, first.model, error)).toMatchObject({
      status: 503,
      retryAfter: 2,
      cause: error,
    });
    expect(failureOf(supervisor, second.model, error)).toBe(error);
  }
  expect(failureOf(supervisor, first.model, refused)).toBe(refused);
  await supervisor.dispose();
});

import { describe, expect, test, vi } from "vitest";
import { loadInProcess } from "../../../test/in-process.js";
import { LanguageModel } from "../../library/language-model.js";
import { threads as platformThreads } from "../../platform/node-threads.js";
import type { Kernels } from "../kernels.js";
import { MemoryPlan, RESERVED_BYTES } from "../memory-plan.js";
import { COMMAND_BYTES, COMMANDS, COMMANDS_AT, OPERATIONS } from "./operations.js";
import { type Helper, ThreadTeam } from "./thread-team.js";
import { type WasmOptions, wasmBackend } from "./wasm-kernels.js";

/** Kernels with helpers, and the helpers. */
async function startTeam(threads: number, options: Pick<WasmOptions, "vectors"> = {}) {
  const helpers: Helper[] = [];
  const backend = wasmBackend({
    ...{ ...options, threads },
    startHelper: async (start) => {
      const helper = await platformThreads.startHelper(start);
      helpers.push(helper);
      return helper;
    },
  });
  const plan = new MemoryPlan(backend);
  const x = plan.tensor(64, 512);
  const kernels: Kernels = await backend.create(plan.bytes);
  return { kernels, helpers, x };
}

const ended = (helper: Helper) => new Promise<string>((resolve) => helper.onEnd(resolve));

describe("a team of threads", () => {
  test("works again after its helpers have gone to sleep", async () => {
    const { kernels, x } = await startTeam(3);
    for (let round = 1; round <= 3; round++) {
      kernels.add(x, x);
      kernels.f32(x.offset, 64 * 512).fill(round);
      kernels.add(x, x);
      expect(kernels.f32(x.offset, 64 * 512).every((value) => value === 2 * round)).toBe(true);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await kernels.dispose();
  });

  test("runs what is asked for together in order, more than there is room for at once, and up to each view", async () => {
    const { kernels, x } = await startTeam(3);
    kernels.f32(x.offset, 64 * 512).fill(1);
    const seen = kernels.together(() => {
      // Each doubles; a thread alone does the single row, all of them the 64.
      for (let i = 0; i < 100; i++) kernels.add({ ...x, rows: 1 }, { ...x, rows: 1 });
      const after100 = kernels.f32(x.offset, 1)[0];
      for (let i = 0; i < 100; i++) kernels.scale(x, i % 2 === 0 ? 0.5 : 2);
      kernels.add(x, x);
      return after100;
    });
    expect(seen).toBe(2 ** 100);
    const values = kernels.f32(x.offset, 64 * 512);
    expect([values[0], values[512], values[64 * 512 - 1]]).toEqual([2 ** 101, 2, 2]);
    await kernels.dispose();
  });

  test("does again what was asked for together last, with what is in memory then", async () => {
    const { kernels, x } = await startTeam(3);
    const values = kernels.f32(x.offset, 64 * 512);
    values.fill(1);
    const ask = () => {
      kernels.scale(x, 3);
      for (let i = 0; i < 200; i++) kernels.scale(x, i % 2 === 0 ? 0.5 : 2);
      kernels.add({ ...x, rows: 1 }, { ...x, rows: 1 });
    };
    expect(kernels.again(ask)).toBe(false);
    kernels.together(ask);
    // An operation by itself in between leaves them as they are.
    kernels.scale(x, 5);
    expect(kernels.again(ask)).toBe(true);
    expect([values[0], values[512], values[64 * 512 - 1]]).toEqual([180, 45, 45]);
    expect(kernels.again(() => undefined)).toBe(false);
    kernels.together(() => kernels.scale(x, 2));
    expect(kernels.again(ask)).toBe(false);
    expect(values[512]).toBe(90);
    await kernels.dispose();
  });

  test("does not do again what did not run in one piece: up to a view, or more than there is room for", async () => {
    const { kernels, x } = await startTeam(1);
    const withView = () => {
      kernels.scale(x, 3);
      kernels.f32(x.offset, 1);
      kernels.scale(x, 3);
    };
    const tooMany = () => {
      for (let i = 0; i < COMMANDS; i++) kernels.scale(x, 2);
    };
    const failed = () => {
      kernels.scale(x, 3);
      throw new Error("no more");
    };
    for (const ask of [withView, tooMany]) {
      kernels.together(ask);
      expect(kernels.again(ask)).toBe(false);
    }
    expect(() => kernels.together(failed)).toThrow();
    expect(kernels.again(failed)).toBe(false);
    const most = () => {
      for (let i = 1; i < COMMANDS; i++) kernels.scale(x, i % 2 === 0 ? 0.5 : 2);
    };
    kernels.f32(x.offset, 64 * 512).fill(1);
    kernels.together(most);
    kernels.scale(x, 3);
    expect(kernels.again(most)).toBe(true);
    expect(kernels.f32(x.offset, 1)[0]).toBe(12);
    await kernels.dispose();
  });

  test("forgets what was asked for together when asking failed", async () => {
    const { kernels, x } = await startTeam(2);
    kernels.f32(x.offset, 64 * 512).fill(1);
    const ask = () => {
      kernels.add(x, x);
      throw new Error("no more");
    };
    expect(() => kernels.together(ask)).toThrow("no more");
    kernels.scale(x, 3);
    expect(kernels.f32(x.offset, 1)[0]).toBe(3);
    await kernels.dispose();
  });

  test("reads nothing beyond its memory ahead, whatever stands where its next product would", async () => {
    const { kernels, x } = await startTeam(3, { vectors: 256 });
    const ask = () => kernels.scale(x, 2);
    kernels.f32(x.offset, 64 * 512).fill(1);
    kernels.together(ask);
    // Behind the last command a helper looks at the first ones.
    const words = kernels.i32(COMMANDS_AT, COMMAND_BYTES / 4);
    const product = Object.keys(OPERATIONS).indexOf("linear");
    for (const [weight, panelBytes, panels, chunks] of [
      [0, 2 ** 31 - 1, 2 ** 31 - 1, 12],
      [-64, 64, 1000, 12],
      [-(2 ** 31), 2 ** 20, 4000, 2 ** 31 - 1],
      [x.offset, 0, 2 ** 31 - 1, 2 ** 31 - 2],
      [x.offset, 64, 3, 12],
      [x.offset, 64, 1000, 0],
      [x.offset, -1, -1, -1],
    ]) {
      words.set([product, panels, chunks, 0, 0, 0, 0, 0, 1, weight, panelBytes]);
      kernels.scale(x, 0.5);
      kernels.scale(x, 2);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(kernels.f32(x.offset, 64 * 512).every((value) => value === 2)).toBe(true);
    await kernels.dispose();
  });

  test("may take longer in all than a single operation, as long as it goes on", () => {
    const memory = new WebAssembly.Memory({ initial: RESERVED_BYTES / 65536 });
    let ms = 0;
    const clock = vi.spyOn(performance, "now").mockImplementation(() => ms);
    let done = 0;
    const wait = () => {
      ms += 3;
      done += 1;
      return done;
    };
    const team = new ThreadTeam({ run: () => 0, wait }, memory, [], 10);
    try {
      team.gather(() => {
        for (let i = 0; i < 8; i++) team.add(0, 2, 2);
      });
    } finally {
      clock.mockRestore();
    }
    expect([done, ms]).toEqual([8, 24]);
  });

  test("whose helper was killed says so instead of waiting for it", async () => {
    const { kernels, helpers, x } = await startTeam(2);
    kernels.add(x, x);
    // The team heard of it first; its own listener is replaced by this one otherwise.
    await helpers[0].terminate();
    await new Promise((resolve) => setImmediate(resolve));
    expect(() => kernels.add(x, x)).toThrow(
      expect.objectContaining({ code: "thread_lost", message: expect.stringMatching(/exited with code 1/) }),
    );
    await kernels.dispose();
  });

  test("whose helper never finishes says so after a while", async () => {
    const memory = new WebAssembly.Memory({ initial: RESERVED_BYTES / 65536 });
    const exports = { run: () => 0, wait: () => 0 };
    const team = new ThreadTeam(exports, memory, [], 5);
    expect(() => team.run(0, 2, 2)).toThrow(
      expect.objectContaining({ code: "thread_lost", message: expect.stringMatching(/did not finish/) }),
    );
    expect(() => team.run(0, 2, 2)).toThrow(expect.objectContaining({ code: "thread_lost" }));
  });

  test("is refused when a helper cannot be started", async () => {
    const backend = wasmBackend({
      threads: 2,
      startHelper: () => Promise.reject(new Error("no threads today")),
    });
    await expect(backend.create(RESERVED_BYTES)).rejects.toThrow(/no threads today/);
  });

  test("ends with the model", async () => {
    const { helpers, kernels } = await startTeam(2);
    const end = ended(helpers[0]);
    await kernels.dispose();
    expect(await end).toMatch(/exited/);
  });
});

test("a generation ends with an error when the model is disposed under it", async () => {
  const parts = await loadInProcess(undefined, { threads: 2 });
  const lm = new LanguageModel(parts);
  let pieces = 0;
  const generating = (async () => {
    for await (const _ of lm.generate("Once", { ignoreEos: true, maxTokens: 400 })) pieces += 1;
  })();
  const ended = expect(generating).rejects.toMatchObject({ code: "disposed" });
  await lm.dispose();
  await ended;
  expect(pieces).toBeLessThan(400);
});

/** A client that goes away: its blocks are free within one step, whatever was generated for it. */
import { expect, test, vi } from "vitest";
import type { EngineCore } from "../../src/engine/engine-core.js";
import { LanguageModel } from "../../src/language-model.js";
import { loadInProcess } from "../in-process.js";
import { served } from "./served.js";

const PROMPT = "Once upon a time there was a little girl who had a red ball and a blue hat";

test("frees its blocks within one step", async () => {
  let core!: EngineCore;
  await using api = await served({
    loadModel: async () => {
      const parts = await loadInProcess(undefined, { threads: 1 });
      core = parts.core;
      return new LanguageModel(parts);
    },
  });
  for (const body of [
    { stream: true },
    { stream: false },
    { stream: true, n: 4 },
    { stream: false, prompt: [PROMPT, "Tom had a dog", "Lily"], n: 2 },
    { stream: true, num_beams: 3 },
    { stream: false, echo: true, logprobs: 1 },
    { stream: true, stop: "never said" },
  ]) {
    const what = JSON.stringify(body);
    const controller = new AbortController();
    let reader: ReadableStreamDefaultReader | null = null;
    let leftAt = 0;
    let freeAt = 0;
    const from = core.stats.steps;
    const stop = core.listen(({ type }) => {
      const { steps, blocks } = core.stats;
      if (type === "step" && steps === from + 12) {
        leftAt = steps;
        if (reader === null) controller.abort();
        else void reader.cancel();
      }
      if (type === "released" && leftAt > 0 && blocks.referenced === 0) freeAt = steps;
    });
    const asked = { prompt: PROMPT, max_tokens: 300, ignore_eos: true, ...body };
    const pending = api.post("/v1/completions", asked, { signal: controller.signal });
    if (body.stream && !("num_beams" in body)) reader = (await pending).body!.getReader();
    await vi.waitFor(() => expect(freeAt, what).toBeGreaterThan(0), 20_000);
    stop();
    expect(freeAt - leftAt, what).toBeLessThanOrEqual(1);
    // And nothing is computed for it any more.
    expect(core.hasWork, what).toBe(false);
    expect(core.stats.steps, what).toBe(freeAt);
    await vi.waitFor(() => {
      expect(api.records.at(-1)).toMatchObject({ error: "client_closed_request", completionTokens: null });
      expect(api.records).toHaveLength(1);
    });
    api.records.length = 0;
    await pending.catch(() => undefined);
  }
});

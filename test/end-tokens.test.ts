/** Which tokens end a text: whose word counts. */
import { expect, test } from "vitest";
import { load } from "../src/index.js";
import { memoryFiles } from "./memory-files.js";
import { randomModelFiles } from "./random-model.js";

test("the end tokens of generation_config.json come before those of config.json", async () => {
  const files = randomModelFiles({ config: { eos_token_id: 5 } });
  const forced = { logitBias: { 7: 1000 }, temperature: 0, maxTokens: 2 };
  const run = async (generation: string) => {
    const all = { ...files, "generation_config.json": new TextEncoder().encode(generation) };
    await using lm = await load(memoryFiles("m", all), { threads: 1 });
    return { ...(await lm.generate([1], forced).result()), ends: lm.info.config.eosTokenIds };
  };
  const ended = { finishReason: "stop", tokens: [] };
  expect(await run('{"eos_token_id":[6,7]}')).toMatchObject({ ...ended, ends: [6, 7] });
  expect(await run('{"eos_token_id":7}')).toMatchObject({ ...ended, ends: [7] });
  expect(await run("{}")).toMatchObject({ finishReason: "length", tokens: [7, 7], ends: [5] });
});

test.each([
  [{ eos_token_id: 61, bos_token_id: 61 }, "{}"],
  [{ eos_token_id: -1, bos_token_id: -1 }, "{}"],
  [{ eos_token_id: [61, 50256] }, "{}"],
  [{ eos_token_id: 7 }, '{"eos_token_id":[61,-1],"bos_token_id":50256}'],
])(
  "a model whose config is %j and generation config %s loads: a token outside the vocabulary never comes",
  async (config, generation) => {
    const files = {
      ...randomModelFiles({ config }),
      "generation_config.json": new TextEncoder().encode(generation),
    };
    await using lm = await load(memoryFiles("m", files), { threads: 1 });
    expect(lm.info.config.vocabSize).toBe(61);
    const forced = { logitBias: { 7: 1000 }, temperature: 0, maxTokens: 2 };
    expect(await lm.generate([1], forced).result()).toMatchObject({ finishReason: "length", tokens: [7, 7] });
  },
);

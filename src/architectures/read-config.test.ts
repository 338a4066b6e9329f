import { describe, expect, it } from "vitest";
import { refusalOf } from "../../test/config-texts.js";
import { fetchArchitecture, MODEL_TYPES } from "./fetch-architecture.js";
import { knownArchitectures } from "./known-architectures.js";

const known = knownArchitectures.map(({ id }) => `"${id}"`).join(", ");

describe("model_type", () => {
  it.each([
    [{}, `model_file_invalid: config.json has no model_type; expected one of ${known}.`],
    [{ model_type: null }, `model_file_invalid: config.json has no model_type; expected one of ${known}.`],
    [
      { model_type: "gpt17" },
      `model_unsupported: config.json: model_type is "gpt17"; these are run: ${known}.`,
    ],
    [
      { model_type: ["gpt2"] },
      `model_unsupported: config.json: model_type is a list of 1; these are run: ${known}.`,
    ],
    [
      { model_type: "constructor" },
      `model_unsupported: config.json: model_type is "constructor"; these are run: ${known}.`,
    ],
  ])("%j is not known", async (config, message) => {
    expect(await refusalOf(config)).toBe(message);
  });

  it("lists what runs", () => {
    expect(known).toContain('"llama", "mistral", "qwen2", "qwen3"');
    expect(new Set(knownArchitectures.map(({ id }) => id)).size).toBe(knownArchitectures.length);
  });

  it("leads to the same family, whether it is fetched or all are", async () => {
    expect(MODEL_TYPES).toEqual(knownArchitectures.map(({ id }) => id));
    expect(await Promise.all(MODEL_TYPES.map(fetchArchitecture))).toEqual(knownArchitectures);
  });

  it.each([
    ["mixtral", "its MLPs are mixtures of experts, which are not run"],
    ["qwen2_moe", "its MLPs are mixtures of experts, which are not run"],
    ["qwen3_moe", "its MLPs are mixtures of experts, which are not run"],
    ["granitemoe", "its MLPs are mixtures of experts, which are not run"],
    ["mamba", "its layers keep a state that is not K and V, which is not run"],
    ["lfm2", "its layers keep a state that is not K and V, which is not run"],
    ["qwen35", "its layers keep a state that is not K and V, which is not run"],
    ["qwen3_5", "its layers keep a state that is not K and V, which is not run"],
    ["qwen3_next", "its layers keep a state that is not K and V, which is not run"],
    ["gemma3n", "its layers share K and V and have embeddings of their own, which are not run"],
    ["gemma4", "its layers differ in the size of their heads, which is not run"],
    ["falcon", "its Q, K and V are stored by groups of heads, which is not read"],
    ["opt", "its positions start at 2, and some of its sizes have norms elsewhere, which is not run"],
    ["bloom", "its scores fall with the distance (ALiBi), which is not run"],
    ["mpt", "its scores fall with the distance (ALiBi), which is not run"],
    ["phi", "its head has a bias, which is not run"],
    ["gpt_oss", "its attention has sinks and its MLPs are mixtures of experts, which are not run"],
    [
      "deepseek_v3",
      "its K and V are stored compressed and its MLPs are mixtures of experts, which are not run",
    ],
    ["t5", "it has an encoder, and decoders alone are run"],
    ["bert", "its attention reads text in both directions, and models that continue a text are run"],
    ["qwen2_vl", "it reads more than text, and its text model is not run apart"],
    ["gptj", "its rotation turns neighbouring values, which is not run"],
  ])("%s is refused by what is missing", async (modelType, reason) => {
    expect(await refusalOf({ model_type: modelType })).toBe(
      `model_unsupported: config.json: model_type is "${modelType}"; ${reason}.`,
    );
  });
});

import { describe, expect, it, test } from "vitest";
import { ggufValue } from "../../../scripts/gguf-writer.js";
import { LastrowError } from "../../errors.js";
import { GgufMetadata, type GgufValue } from "../../formats/gguf/gguf-metadata.js";
import type { ModelConfig } from "../../model/config.js";
import type { WantedContext } from "../architecture.js";
import { ggufArchitectures } from "./gguf-architectures.js";
import { fetchGgufArchitecture, ggufRotaryTensors, readGgufConfig } from "./read-gguf-config.js";
import type { RotaryFactors } from "./rotary-keys.js";

const { u32, i32, u64, f32, f32s, flag, text, texts } = ggufValue;

type Keys = Readonly<Record<string, GgufValue | undefined>>;
type Shapes = Readonly<Record<string, readonly number[] | undefined>>;

/** Width 64, 4 heads, 2 of K and V, 2 layers, 99 tokens. */
function file(architecture: string, keys: Keys = {}, shapes: Shapes = {}) {
  const hasLayerNorm = /^(gpt2|gptneox|stablelm)$/.test(architecture);
  const sizes: Keys = {
    "general.architecture": text(architecture),
    block_count: u32(2),
    context_length: u32(128),
    embedding_length: u32(64),
    feed_forward_length: u32(96),
    "attention.head_count": u32(4),
    "attention.head_count_kv": u32(/^gpt/.test(architecture) ? 4 : 2),
    [`attention.layer_norm_${hasLayerNorm ? "" : "rms_"}epsilon`]: f32(1e-5),
    ...(architecture === "gptneox" && { use_parallel_residual: flag(true) }),
  };
  const own = Object.entries({ ...sizes, ...keys }).map(
    ([key, value]) => [/^(general|tokenizer)\./.test(key) ? key : `${architecture}.${key}`, value] as const,
  );
  const stored = { "token_embd.weight": [99, 64], "output.weight": [99, 64], ...shapes };
  return {
    metadata: new GgufMetadata("m.gguf", new Map(own.filter((one): one is [string, GgufValue] => !!one[1]))),
    tensors: new Map(
      Object.entries(stored).flatMap(([name, shape]) => (shape === undefined ? [] : [[name, { shape }]])),
    ),
  };
}

const all = ggufArchitectures.map(({ id }) => id);
const fetched = new Map(
  await Promise.all(all.map(async (id) => [id, await fetchGgufArchitecture(file(id).metadata)] as const)),
);

function read(
  architecture: string,
  keys: Keys = {},
  shapes: Shapes = {},
  { factors = null, ...wanted }: WantedContext & { factors?: RotaryFactors | null } = {},
): ModelConfig {
  return readGgufConfig(fetched.get(architecture)!, file(architecture, keys, shapes), factors, wanted).config;
}

function refusal(...of: Parameters<typeof read>): string {
  try {
    read(...of);
  } catch (error) {
    expect(error).toBeInstanceOf(LastrowError);
    return `${(error as LastrowError).code}: ${(error as LastrowError).message}`;
  }
  throw new Error("accepted");
}

describe("general.architecture", () => {
  it("is one of twelve", () => {
    expect(all.join(" ")).toBe(
      "llama qwen2 qwen3 smollm3 gemma2 gemma3 phi3 granite olmo2 stablelm gptneox gpt2",
    );
  });

  it.each([
    ["mamba", "its layers keep a state that is not K and V, which is not run"],
    ["qwen3moe", "its MLPs are mixtures of experts, which are not run"],
    ["gpt-oss", "its attention has sinks and its MLPs are mixtures of experts, which are not run"],
    ["falcon", "its Q, K and V are stored by groups of heads, which is not read"],
    ["command-r", "its rotation turns neighbouring values, which is not run"],
    ["gemma3n", "its layers share K and V and have embeddings of their own, which are not run"],
    ["gemma", `these are run: ${all.join(", ")}`],
    ["constructor", `these are run: ${all.join(", ")}`],
  ])("%s is refused by name", async (name, reason) => {
    await expect(fetchGgufArchitecture(file(name).metadata)).rejects.toMatchObject({
      code: "model_unsupported",
      message: `m.gguf: general.architecture is "${name}"; ${reason}.`,
    });
  });

  it("must be there", async () => {
    const { metadata } = file("llama", { "general.architecture": undefined });
    await expect(fetchGgufArchitecture(metadata)).rejects.toMatchObject({
      code: "model_file_invalid",
      message: `m.gguf has no general.architecture; expected one of ${all.join(", ")}.`,
    });
  });

  it("must be of a whole model", async () => {
    const { metadata } = file("llama", { "general.type": text("adapter") });
    await expect(fetchGgufArchitecture(metadata)).rejects.toMatchObject({
      code: "model_unsupported",
      message: 'm.gguf: general.type is "adapter"; whole models of text are run.',
    });
  });
});

describe.each(all)("%s", (architecture) => {
  it("reads its sizes", () => {
    const config = read(architecture);
    expect(config).toMatchObject({
      ...{ numLayers: 2, numHeads: 4, headDim: 16, hiddenSize: 64, innerSize: 96, vocabSize: 99 },
      ...{ contextLength: 128, tieWordEmbeddings: false },
    });
    expect(config.numKvHeads).toBe(/^gpt/.test(architecture) ? 4 : 2);
    expect(config.decoder.finalNorm.epsilon).toBe(0.00001);
  });

  it("is tied without a head of its own, and has as many tokens as the embedding has rows", () => {
    const shapes = { "output.weight": undefined, "token_embd.weight": [77, 64] };
    expect(read(architecture, { vocab_size: u32(99) }, shapes)).toMatchObject({
      ...{ tieWordEmbeddings: true, vocabSize: 77 },
    });
  });

  it("takes integers of any type, and a list where all its numbers are the same", () => {
    const keys = {
      block_count: i32(2),
      context_length: u64(128),
      "attention.head_count": ggufValue.i32s([4, 4]),
    };
    expect(read(architecture, keys)).toEqual(read(architecture));
  });

  it("has heads as many as K and V where their number is left out", () => {
    expect(read(architecture, { "attention.head_count_kv": undefined }).numKvHeads).toBe(4);
  });

  it.each([
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "attention.head_count",
  ])("must have %s", (key) => {
    expect(refusal(architecture, { [key]: undefined })).toBe(
      `model_file_invalid: m.gguf has no ${architecture}.${key}.`,
    );
  });

  it.each([
    [{ block_count: u32(0) }, `${architecture}.block_count is 0, but must be a whole number from 1 to 4096`],
    [
      { context_length: u32(2 ** 21) },
      `${architecture}.context_length is 2097152, but must be a whole number from 1 to 1048576`,
    ],
    [{ embedding_length: u32(66) }, `${architecture}.attention.key_length is 16.5, but heads must have`],
    [{ "attention.head_count": u32(0) }, `${architecture}.attention.head_count is 0, but must be at least 1`],
    [
      { feed_forward_length: u32(10 ** 6) },
      `${architecture}.feed_forward_length is 1000000, but must be a whole`,
    ],
  ])("bounds its sizes: %j", (keys, message) => {
    expect(refusal(architecture, keys)).toContain(`model_file_invalid: m.gguf: ${message}`);
  });

  it("must have an epsilon that changes something", () => {
    const key = `attention.layer_norm_${/^(gpt|stable)/.test(architecture) ? "" : "rms_"}epsilon`;
    expect(refusal(architecture, { [key]: undefined })).toBe(
      `model_file_invalid: m.gguf has no ${architecture}.${key}.`,
    );
    expect(refusal(architecture, { [key]: f32(0) })).toContain(
      `m.gguf: ${architecture}.${key} is 0, but must be a number from`,
    );
    expect(refusal(architecture, { [key]: f32(Number.NaN) })).toContain(`${architecture}.${key}`);
  });

  it("refuses layers that differ, experts, and attention in both directions", () => {
    expect(refusal(architecture, { "attention.head_count_kv": ggufValue.i32s([4, 2]) })).toBe(
      `model_unsupported: m.gguf: ${architecture}.attention.head_count_kv has 4 and 2; layers that differ in it are not run.`,
    );
    expect(refusal(architecture, { expert_count: u32(8) })).toBe(
      `model_unsupported: m.gguf: ${architecture}.expert_count is 8; mixtures of experts are not run.`,
    );
    expect(read(architecture, { expert_count: u32(0), "attention.causal": flag(true) })).toEqual(
      read(architecture),
    );
    expect(refusal(architecture, { "attention.causal": flag(false) })).toContain("both directions");
  });

  it("refuses a key that it does not know, and no other program's", () => {
    expect(refusal(architecture, { "attention.clamp_kqv": f32(8) })).toBe(
      `model_unsupported: m.gguf has "${architecture}.attention.clamp_kqv", a setting that is not run.`,
    );
    const others = {
      "general.name": text("x"),
      "general.tags": texts(["y"]),
      "tokenizer.ggml.pre": text("z"),
    };
    expect(read(architecture, others)).toEqual(read(architecture));
  });

  it("takes its start and end token, and none that is outside the vocabulary", () => {
    const tokens = { "tokenizer.ggml.bos_token_id": u32(1), "tokenizer.ggml.eos_token_id": u32(2) };
    expect(read(architecture, tokens)).toMatchObject({ bosTokenId: 1, eosTokenIds: [2] });
    expect(read(architecture, { "tokenizer.ggml.bos_token_id": u32(99) })).toMatchObject({
      ...{ bosTokenId: null, eosTokenIds: [] },
    });
  });

  it("takes a context that is asked for", () => {
    expect(read(architecture, {}, {}, { contextLength: 12 })).toMatchObject({
      ...{ contextLength: 12, maxContextLength: 128 },
    });
    expect(() => read(architecture, {}, {}, { contextLength: 129 })).toThrow(/made for 128/);
  });
});

test("heads of K and V divide those of queries, in the file's own words", () => {
  expect(refusal("llama", { "attention.head_count_kv": u32(3) })).toBe(
    "model_file_invalid: m.gguf: llama.attention.head_count is 4, but must be a multiple of llama.attention.head_count_kv, which is 3.",
  );
});

test.each(all.filter((id) => !/^gpt/.test(id)))("%s has heads as wide as they say", (architecture) => {
  const wide = { "attention.key_length": u32(32), "attention.value_length": u32(32) };
  expect(read(architecture, wide).headDim).toBe(32);
  expect(refusal(architecture, { ...wide, "attention.value_length": u32(16) })).toBe(
    `model_unsupported: m.gguf: ${architecture}.attention.value_length is 16; values as wide as keys are run, here 32.`,
  );
});

test.each(["gpt2", "gptneox"])(
  "%s has heads that share the width, and no fewer of K and V",
  (architecture) => {
    expect(refusal(architecture, { "attention.key_length": u32(32) })).toContain(
      "share the width of the rows, 16 each",
    );
    expect(refusal(architecture, { "attention.head_count_kv": u32(2) })).toContain(
      "as many heads of K and V",
    );
  },
);

describe("rotation", () => {
  const frequencies = (...of: Parameters<typeof read>) => read(...of).decoder.rotations[0]!.frequencies;
  const turning = all.filter((id) => id !== "gpt2");

  it.each(turning)("of %s has the base 10,000 where the file has none", (architecture) => {
    expect(frequencies(architecture)).toEqual(frequencies(architecture, { "rope.freq_base": f32(10_000) }));
    expect(frequencies(architecture)).not.toEqual(
      frequencies(architecture, { "rope.freq_base": f32(20_000) }),
    );
  });

  it.each(turning)("of %s has a base above 1", (architecture) => {
    for (const base of [0, 1, Number.POSITIVE_INFINITY]) {
      expect(refusal(architecture, { "rope.freq_base": f32(base) })).toContain(
        `${architecture}.rope.freq_base`,
      );
    }
  });

  it.each(["phi3", "stablelm", "gptneox"])("of %s may be of a part of each head", (architecture) => {
    for (const width of [2, 4, 6, 10, 14, 16]) {
      expect(frequencies(architecture, { "rope.dimension_count": u32(width) })).toHaveLength(width / 2);
    }
  });

  it.each(turning)("of %s is of pairs within a head", (architecture) => {
    for (const width of [0, 3, 18]) {
      expect(refusal(architecture, { "rope.dimension_count": u32(width) })).toBe(
        `model_file_invalid: m.gguf: ${architecture}.rope.dimension_count is ${width}, but must be an even number from 2 to 16, the width of a head.`,
      );
    }
  });

  it("of whole heads is refused in part", () => {
    expect(refusal("llama", { "rope.dimension_count": u32(8) })).toBe(
      "model_unsupported: m.gguf: llama.rope.dimension_count is 8; in this model heads turn whole, all of their 16 values.",
    );
  });

  it("is stretched by a factor, by either of its keys, and not by 0 or 1", () => {
    const plain = frequencies("qwen2");
    const stretched = plain.map((frequency) => Math.fround(frequency / 4));
    const type = { "rope.scaling.type": text("linear") };
    expect(frequencies("qwen2", { ...type, "rope.scaling.factor": f32(4) })).toEqual(stretched);
    expect(frequencies("qwen2", { "rope.scaling.factor": f32(4) })).toEqual(stretched);
    expect(frequencies("qwen2", { "rope.scale_linear": f32(4) })).toEqual(stretched);
    expect(frequencies("qwen2", { "rope.scaling.factor": f32(0) })).toEqual(plain);
    expect(
      frequencies("qwen2", { "rope.scaling.type": text("none"), "rope.scaling.factor": f32(4) }),
    ).toEqual(plain);
    expect(refusal("qwen2", { ...type, "rope.scaling.factor": f32(-4) })).toBe(
      "model_file_invalid: m.gguf: qwen2.rope.scaling.factor is -4, but must be a number above 0 and at most 1000000.",
    );
    expect(refusal("qwen2", { "rope.scaling.type": text("other") })).toBe(
      'model_unsupported: m.gguf: qwen2.rope.scaling.type is "other"; known are none, linear, yarn and longrope.',
    );
    expect(refusal("qwen2", { "rope.scaling.attn_factor": f32(2) })).toContain(
      "a rotation of type linear is run without",
    );
  });

  it("of yarn reads its settings", () => {
    const yarn = {
      "rope.scaling.type": text("yarn"),
      "rope.scaling.factor": f32(4),
      "rope.scaling.original_context_length": u32(32),
    };
    const { rotations, contextLength } = read("qwen3", yarn).decoder;
    expect(contextLength).toBe(128);
    expect(rotations[0]!.factor).toBe(Math.fround(0.1 * Math.log(4) + 1));
    expect(
      read("qwen3", { ...yarn, "rope.scaling.yarn_attn_factor": f32(1.5) }).decoder.rotations[0]!.factor,
    ).toBe(1.5);
    expect(refusal("qwen3", { ...yarn, "rope.scaling.yarn_ext_factor": f32(0.5) })).toContain(
      "yarn_ext_factor is 0.5",
    );
    expect(refusal("qwen3", { ...yarn, "rope.scaling.yarn_beta_slow": f32(40) })).toContain(
      "qwen3.rope.scaling.yarn_beta_slow is 40, but must be below",
    );
  });

  it("is divided by the tensor of a Llama 3", () => {
    const shapes = { "rope_freqs.weight": [8] };
    const divisors = [1, 1, 1, 4, 2, 8, 8, 8];
    const factors = { all: divisors, short: null, long: null };
    const plain = frequencies("llama", { "rope.freq_base": f32(500_000) });
    const { metadata, tensors } = file("llama", { "rope.freq_base": f32(500_000) }, shapes);
    expect(ggufRotaryTensors(fetched.get("llama")!, tensors)).toEqual([["all", "rope_freqs.weight"]]);
    const { config, family } = readGgufConfig(fetched.get("llama")!, { metadata, tensors }, factors);
    const found = config.decoder.rotations[0]!.frequencies;
    expect(found.map((frequency, i) => frequency * divisors[i]!).map(Math.fround)).toEqual(plain);
    expect(found[0]).toBe(plain[0]);
    expect(family.ignored.test("rope_freqs.weight")).toBe(true);
    const { family: other } = readGgufConfig(fetched.get("llama")!, file("llama"), null);
    expect(other.ignored.test("rope_freqs.weight")).toBe(false);
  });

  it.each([
    [
      [1, 1, 1],
      "m.gguf has 3 divisors of rotary frequencies, but must have 8: one for each pair of values that turns.",
    ],
    [
      [1, 1, 1, 1, 1, 1, 1, 0],
      'm.gguf: tensor "rope_freqs.weight" has 0, but frequencies are divided by its values',
    ],
    [new Array(8).fill(Number.NaN), 'm.gguf: tensor "rope_freqs.weight" has NaN, but'],
  ])("is not divided by %j", (divisors, message) => {
    const factors = { all: divisors, short: null, long: null };
    expect(refusal("llama", {}, { "rope_freqs.weight": [8] }, { factors })).toContain(message);
  });

  it("of longrope has two tables, one for short and one for long contexts", () => {
    const keys = {
      "rope.scaling.original_context_length": u32(32),
      "rope.scaling.attn_factor": f32(1.25),
      "rope.dimension_count": u32(12),
    };
    const shapes = { "rope_factors_short.weight": [6], "rope_factors_long.weight": [6] };
    const factors = { all: null, short: new Array(6).fill(1), long: new Array(6).fill(2) };
    const short = read("phi3", keys, shapes, { factors });
    expect(short).toMatchObject({ contextLength: 32, maxContextLength: 128, rotaryTable: "short" });
    expect(short.decoder.rotations[0]!.factor).toBe(1.25);
    const long = read("phi3", keys, shapes, { factors, contextLength: 100 });
    expect(long).toMatchObject({ contextLength: 100, rotaryTable: "long" });
    // Unread, they stand for tables of as many.
    expect(read("phi3", keys, shapes)).toMatchObject({ contextLength: 32, rotaryTable: "short" });
    expect(refusal("phi3", keys, shapes, { factors: { ...factors, long: null } })).toBe(
      "model_file_invalid: m.gguf: rope_factors_long.weight has no numbers, but must have 6: one for each pair of values that turns.",
    );
  });
});

describe("windows", () => {
  const windows = (...of: Parameters<typeof read>) =>
    read(...of).decoder.layers.map(({ attention }) => attention.window);
  const window = { "attention.sliding_window": u32(9) };
  const pattern = "attention.sliding_window_pattern";
  const flags = (...values: number[]): GgufValue => ({
    ...{ type: "array", elementType: "bool" },
    values: Uint8Array.from(values),
  });

  it("are of every layer of a Mistral, which calls itself llama, and of a Phi-3", () => {
    expect(windows("llama", window)).toEqual([9, 9]);
    expect(read("llama", window).modelType).toBe("mistral");
    expect(windows("phi3", window)).toEqual([9, 9]);
    expect(windows("phi3", { "attention.sliding_window": u32(0) })).toEqual([null, null]);
  });

  it("are of every other layer of a Gemma 2", () => {
    expect(windows("gemma2", window)).toEqual([9, null]);
    expect(windows("gemma2")).toEqual([4096, null]);
    expect(windows("gemma2", { ...window, [pattern]: flags(0, 1) })).toEqual([null, 9]);
    expect(windows("gemma2", { ...window, [pattern]: u32(2) })).toEqual([9, null]);
    expect(refusal("gemma2", { ...window, [pattern]: u32(3) })).toContain("sliding_window_pattern is 3");
  });

  it("are of five in six layers of a Gemma 3, or as its pattern says", () => {
    const layers = { block_count: u32(7) };
    expect(windows("gemma3", { ...layers, ...window })).toEqual([9, 9, 9, 9, 9, null, 9]);
    expect(windows("gemma3", layers)).toEqual(new Array(7).fill(null));
    expect(windows("gemma3", { ...layers, ...window, [pattern]: u32(3) })).toEqual([
      9,
      9,
      null,
      9,
      9,
      null,
      9,
    ]);
    expect(windows("gemma3", { ...window, [pattern]: flags(0, 1) })).toEqual([null, 9]);
    expect(refusal("gemma3", { ...window, [pattern]: flags(0, 1, 1) })).toContain(
      `m.gguf: gemma3.${pattern} is a list of 3, but must be a list of 2`,
    );
    const { decoder } = read("gemma3", { ...window, [pattern]: flags(0, 1), "rope.freq_base": f32(1e6) });
    expect(decoder.layers.map(({ attention }) => attention.rotation)).toEqual([0, 1]);
    expect(decoder.rotations[0]!.frequencies).not.toEqual(decoder.rotations[1]!.frequencies);
  });

  it.each(all.filter((id) => !/^(llama|phi3|gemma.)$/.test(id)))("are not run of %s", (architecture) => {
    expect(refusal(architecture, window)).toBe(
      `model_unsupported: m.gguf: ${architecture}.attention.sliding_window is 9; this family is run without a window of keys.`,
    );
    expect(windows(architecture, { "attention.sliding_window": u32(0) })).toEqual([null, null]);
  });
});

describe("what files leave out", () => {
  const layer = (...of: Parameters<typeof read>) => read(...of).decoder.layers[0]!;

  it("is Gemma's: √width, tanh, the factor on scores", () => {
    for (const architecture of ["gemma2", "gemma3"]) {
      const { decoder } = read(architecture, { "attention.key_length": u32(32) });
      expect(decoder.embeddingScale).toBe(8);
      expect(decoder.layers[0]!.mlp.activation).toBe("gelu_pytorch_tanh");
      expect(decoder.layers[0]!.attention.scale).toBe(Math.fround(1 / Math.sqrt(32)));
    }
    // The largest of each, whose heads are smaller than what scores are divided by.
    const sizes = { "attention.key_length": u32(8), "attention.value_length": u32(8) };
    expect(layer("gemma2", { ...sizes, block_count: u32(46) }).attention.scale).toBe(0.25);
    expect(layer("gemma3", { ...sizes, block_count: u32(62) }).attention.scale).toBe(0.25);
  });

  it("is Gemma 2's caps, where it does not state them", () => {
    const { decoder } = read("gemma2");
    expect([decoder.logitSoftcap, decoder.layers[0]!.attention.softcap]).toEqual([30, 50]);
    const stated = { final_logit_softcapping: f32(7), attn_logit_softcapping: f32(6) };
    const changed = read("gemma2", stated).decoder;
    expect([changed.logitSoftcap, changed.layers[0]!.attention.softcap]).toEqual([7, 6]);
    expect(read("gemma3").decoder.logitSoftcap).toBeNull();
  });

  it("is which layers of a SmolLM3 turn", () => {
    const { layers } = read("smollm3", { block_count: u32(5) }).decoder;
    expect(layers.map(({ attention }) => attention.rotation)).toEqual([0, 0, 0, null, 0]);
  });

  it("is Granite's factors, none of which counts as 0", () => {
    const factors = { "attention.scale": f32(0.3), embedding_scale: f32(6), residual_scale: f32(0.22) };
    const { decoder } = read("granite", { ...factors, logit_scale: f32(4) });
    expect(decoder).toMatchObject({ embeddingScale: 6, logitScale: 0.25 });
    expect(decoder.layers[0]).toMatchObject({
      ...{ residualScale: Math.fround(0.22), attention: { scale: Math.fround(0.3) } },
    });
    const plain = read("granite", { "attention.scale": f32(0) }).decoder;
    expect(plain).toMatchObject({ embeddingScale: 1, logitScale: 1 });
    expect(plain.layers[0]).toMatchObject({ residualScale: 1, attention: { scale: 0.25 } });
    expect(refusal("granite", { "rope.scaling.finetuned": flag(false) })).toContain("do not turn");
  });

  it("is that a dense Granite 4 has the sizes of layers that it does not have", () => {
    const sizes = {
      ...{ "ssm.conv_kernel": u32(4), "ssm.state_size": u32(128), "ssm.group_count": u32(1) },
      ...{ "ssm.inner_size": u32(128), "ssm.time_step_rank": u32(4), "rope.scaling.finetuned": flag(true) },
      ...{ expert_count: u32(0), expert_used_count: u32(0), expert_shared_feed_forward_length: u32(96) },
      "attention.head_count_kv": ggufValue.i32s([2, 2]),
    };
    expect(read("granite", sizes)).toEqual(read("granite"));
    expect(refusal("llama", { "ssm.conv_kernel": u32(4) })).toContain('"llama.ssm.conv_kernel"');
    expect(refusal("llama", { nextn_predict_layers: u32(1) })).toContain("predict further tokens");
  });

  it("is which biases there are, which the tensors tell", () => {
    const bias = { "blk.0.attn_q.bias": [64] };
    for (const architecture of ["llama", "qwen3", "smollm3", "granite", "olmo2"]) {
      expect(layer(architecture).attention.bias).toEqual({ qkv: false, o: false });
      expect(layer(architecture, {}, bias).attention.bias).toEqual({ qkv: true, o: true });
    }
    expect(layer("stablelm", {}, bias).attention.bias).toEqual({ qkv: true, o: false });
    expect(layer("gptneox", {}, { "blk.0.attn_qkv.bias": [192] }).attention.bias).toEqual({
      qkv: true,
      o: true,
    });
    expect(layer("llama", {}, { "blk.0.ffn_up.bias": [96] }).mlp.bias).toBe(true);
  });

  it("is whether a StableLM's residuals are parallel, which its second norm tells", () => {
    expect(layer("stablelm", { use_parallel_residual: flag(false) }).residual).toBe("parallel");
    const shapes = { "blk.0.ffn_norm.weight": [64] };
    expect(layer("stablelm", { use_parallel_residual: flag(true) }, shapes).residual).toBe("serial");
  });

  it("is not whether a GPT-NeoX's are", () => {
    expect(layer("gptneox").residual).toBe("parallel");
    expect(layer("gptneox", { use_parallel_residual: flag(false) }).residual).toBe("serial");
    expect(refusal("gptneox", { use_parallel_residual: undefined })).toBe(
      "model_file_invalid: m.gguf has no gptneox.use_parallel_residual.",
    );
  });
});

test("a list in the place of a number, and what is no number, name the key", () => {
  expect(refusal("llama", { block_count: f32s([2]) })).toContain("llama.block_count");
  expect(refusal("llama", { "rope.freq_base": text("10000") })).toContain("llama.rope.freq_base");
});

test("a Qwen3-Reranker has the head's rows of its answers once more, which are not used", () => {
  const rank = { pooling_type: u32(4), "classifier.output_labels": texts(["yes", "no"]) };
  const { metadata, tensors } = file("qwen3", rank, { "cls.output.weight": [2, 64] });
  const { config, family } = readGgufConfig(fetched.get("qwen3")!, { metadata, tensors }, null);
  expect(config).toEqual(read("qwen3"));
  expect(family.ignored.test("cls.output.weight")).toBe(true);
  expect(family.ignored.test("cls.output.weights")).toBe(false);
  expect(refusal("qwen2", rank)).toMatch(/classifier.output_labels", a setting that is not run/);
});

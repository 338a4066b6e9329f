/**
 * Shows that lastrow and llama.cpp read the same model out of a GGUF file: for each architecture a random model in F32, and
 * the small files of the tests in the types that they store. Greedy tokens must be equal as long as the two best logits lie
 * apart, and logits within a share of their row's range. Ends with status 1 otherwise.
 *
 * llama.cpp rounds the activations of quantised matrices to 8 bits, lastrow those that meet at least 6 bits to 14: what is
 * tolerated there is the rounding of both. Its GELU reads a table of f16, and is the tanh form for all models. K and V are
 * f32 in both.
 */
import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { getLlama, LlamaLogLevel, type Token } from "node-llama-cpp";
import { load } from "../../dist/index.js";
import { ggufValue, writeGgufFile } from "../../scripts/gguf-writer.js";
import { hfToGguf, sourceTensors } from "../../scripts/hf-to-gguf.js";
import { planRandomFamilyModel } from "../../scripts/random-model.js";
import { openGguf } from "../../src/formats/gguf/open-gguf.js";
import { folderFiles } from "../../src/platform/disk-files.js";
import { MODELS } from "./paths.js";

const VOCABULARY = 288;
const PROMPTS = [[10], [88, 147, 129, 281, 79, 70, 182, 256, 14, 68, 99, 270, 70, 252, 230, 45, 90, 98, 179]];
const NEW_TOKENS = 24;
/** Tolerated, as shares of a row's range: of F32 and F16, of BF16, whose activations llama.cpp rounds to it, of others. */
const FLOATS = 0.001;
const BF16 = 0.01;
const QUANTISED = 0.03;

const FIXTURES = fileURLToPath(new URL("../../test/fixtures/gguf/", import.meta.url));
const TOKENIZER_OF = "llama-f32.gguf";

const common = {
  ...{ vocab_size: VOCABULARY, hidden_size: 128, intermediate_size: 192, num_hidden_layers: 4 },
  ...{
    num_attention_heads: 4,
    num_key_value_heads: 2,
    max_position_embeddings: 128,
    tie_word_embeddings: true,
  },
};
const rms = { rms_norm_eps: 1e-5, rope_theta: 10_000 };

/** `config.json` of a model of each architecture. */
const CONFIGS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  llama: { model_type: "llama", ...common, ...rms, tie_word_embeddings: false },
  "llama, scaled as Llama 3": {
    ...{ model_type: "llama", ...common, ...rms },
    rope_parameters: {
      ...{ rope_type: "llama3", rope_theta: 500_000, factor: 8, low_freq_factor: 1, high_freq_factor: 4 },
      original_max_position_embeddings: 32,
    },
  },
  qwen2: { model_type: "qwen2", ...common, ...rms },
  qwen3: { model_type: "qwen3", ...common, ...rms, head_dim: 64 },
  smollm3: { model_type: "smollm3", ...common, ...rms },
  gemma2: {
    ...{
      model_type: "gemma2",
      ...common,
      ...rms,
      head_dim: 64,
      query_pre_attn_scalar: 64,
      sliding_window: 8,
    },
    ...{ attn_logit_softcapping: 50, final_logit_softcapping: 30 },
  },
  gemma3: {
    ...{ model_type: "gemma3_text", ...common, ...rms, head_dim: 64, query_pre_attn_scalar: 64 },
    ...{ sliding_window: 8, num_hidden_layers: 7, rope_theta: 1_000_000, rope_local_base_freq: 10_000 },
  },
  phi3: { model_type: "phi3", ...common, ...rms, tie_word_embeddings: false },
  granite: {
    ...{ model_type: "granite", ...common, ...rms },
    ...{ attention_multiplier: 0.1, embedding_multiplier: 6, residual_multiplier: 0.5, logits_scaling: 4 },
  },
  olmo2: { model_type: "olmo2", ...common, ...rms, tie_word_embeddings: false },
  stablelm: {
    ...{ model_type: "stablelm", ...common, layer_norm_eps: 1e-5, rope_theta: 10_000 },
    ...{ partial_rotary_factor: 0.25, use_qkv_bias: true, tie_word_embeddings: false },
  },
  gptneox: {
    ...{ model_type: "gpt_neox", ...common, layer_norm_eps: 1e-5, rotary_pct: 0.25 },
    ...{ use_parallel_residual: true, tie_word_embeddings: false },
  },
  gpt2: {
    ...{ model_type: "gpt2", vocab_size: VOCABULARY, n_embd: 128, n_layer: 4, n_head: 4, n_positions: 128 },
    layer_norm_epsilon: 1e-5,
  },
};

const llama = await getLlama({
  ...{ gpu: false, build: "never", skipDownload: true, maxThreads: 2, logLevel: LlamaLogLevel.error },
} as const);

await mkdir(`${MODELS}/families`, { recursive: true });
for (const [name, config] of Object.entries(CONFIGS)) {
  const path = `${MODELS}/families/${name.replace(/\W+/g, "-")}.gguf`;
  await writeRandom(path, config);
  await compare(name, path, FLOATS);
}
const stored = [
  "llama-f16",
  "llama-bf16",
  "llama-q8_0",
  "llama-q4_0",
  "llama-q4_1",
  "llama-q5_0",
  "llama-iq4_nl",
];
const others = [
  "llama-q4_k_m",
  "llama-q5_k",
  "llama-rope3-q8_0",
  "qwen2-q8_0",
  "qwen3-f16",
  "qwen3-q4_0",
  "gemma3-q8_0",
];
for (const name of [...stored, ...others]) {
  const tolerance = /-f16$/.test(name) ? FLOATS : name === "llama-bf16" ? BF16 : QUANTISED;
  await compare(name, `${FIXTURES}${name}.gguf`, tolerance);
}

/** A random model as a file, with the vocabulary of the tests. */
async function writeRandom(path: string, config: Readonly<Record<string, unknown>>): Promise<void> {
  const files = planRandomFamilyModel(config, { std: 0.2 });
  const weights = files.find(({ name }) => name === "model.safetensors")!;
  const bytes = Buffer.concat([...weights.pieces()]);
  const vocabulary = await openGguf(folderFiles("fixtures", FIXTURES), [TOKENIZER_OF]);
  await vocabulary.close();
  const tokenizer = Object.fromEntries(
    [...vocabulary.metadata.entries()].filter(([key]) => key.startsWith("tokenizer.")),
  );
  const made = hfToGguf(config, sourceTensors(bytes), {
    ...tokenizer,
    "general.file_type": ggufValue.u32(0),
  });
  await writeGgufFile(path, {
    ...made,
    tensors: made.tensors.map(({ data, ...tensor }) => ({ ...tensor, data: () => [data] })),
  });
}

async function compare(name: string, path: string, tolerance: number): Promise<void> {
  await using ours = await load(path, { threads: 1 });
  const model = await llama.loadModel({ modelPath: path });
  const context = await model.createContext({
    ...{ contextSize: 128, batchSize: 128, flashAttention: false, threads: 1 },
    ...{ experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32" },
  });
  const sequence = context.getSequence();
  let farthest = 0;
  let agreed = 0;
  let differed = "";
  for (const prompt of PROMPTS) {
    const { tokens } = await ours
      .generate(prompt, { maxTokens: NEW_TOKENS, temperature: 0, ignoreEos: true })
      .result();
    const ids = [...prompt, ...tokens.slice(0, -1)];
    const { logits } = await ours.logits(ids, { rows: "all" });
    await sequence.clearHistory();
    const rows = await sequence.controlledEvaluate(
      ids.map((id) => [id as Token, { generateNext: { logits: true } }] as const),
    );
    // What it would go on with behind the same tokens.
    for (const [row, output] of rows.entries()) {
      const own = logits.subarray(row * VOCABULARY, (row + 1) * VOCABULARY);
      const theirs = Float32Array.from(own, (_, id) => output!.next.logits!.get(id as Token)!);
      const range = Math.max(...own) - Math.min(...own);
      farthest = Math.max(farthest, distance(own, theirs) / range);
      if (row < prompt.length - 1) continue;
      const [best, gap] = bestOf(own);
      const [theirBest] = bestOf(theirs);
      if (best === theirBest) agreed += 1;
      else if (gap > 2 * tolerance * range) differed = `token ${best} against ${theirBest}, ${gap} apart`;
    }
  }
  await model.dispose();
  const isEqual = farthest <= tolerance && differed === "";
  if (!isEqual) process.exitCode = 1;
  const cells = [
    name.padEnd(26),
    `${(100 * farthest).toPrecision(2)} % of the range`.padEnd(24),
    `${agreed} of ${PROMPTS.length * NEW_TOKENS} greedy tokens`.padEnd(24),
    isEqual ? "ok" : `DIFFERENT ${differed}`,
  ];
  process.stdout.write(`${cells.join("  ")}\n`);
}

function distance(a: Float32Array, b: Float32Array): number {
  return a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - b[i]!)), 0);
}

/** The likeliest token, and how far the next one is behind it. */
function bestOf(row: Float32Array): [token: number, gap: number] {
  let [best, second] = [0, 1];
  if (row[1]! > row[0]!) [best, second] = [1, 0];
  for (let id = 2; id < row.length; id++) {
    if (row[id]! > row[best]!) [best, second] = [id, best];
    else if (row[id]! > row[second]!) second = id;
  }
  return [best, row[best]! - row[second]!];
}

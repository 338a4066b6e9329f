/** Random models for servers that share a tier: what is computed of them takes long beside what their K and V take to load. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { tokenizerJson, vocabSizeOf } from "../family-tokenizers.js";
import { randomFamilyFiles } from "../random-model.js";

/**
 * - `slow`: 15 million parameters, and one head of K and V: a block of 16 KiB stands for 500 million operations.
 * - `tiny`: 50,000 parameters, for the reference kernels, which take as long for it.
 * - `windowed`: as small; its first layer sees only the last 32 positions.
 */
export type FleetModel = "slow" | "tiny" | "windowed";

const QWEN = { model_type: "qwen2", hidden_act: "silu", use_sliding_window: false, rope_theta: 10_000 };
const WINDOW = 32;

const CONFIGS = {
  slow: {
    ...QWEN,
    ...{ hidden_size: 512, intermediate_size: 2048, num_hidden_layers: 4, num_attention_heads: 16 },
  },
  tiny: {
    ...QWEN,
    ...{ hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2 },
  },
  windowed: {
    ...{ model_type: "gemma3_text", hidden_activation: "gelu_pytorch_tanh", query_pre_attn_scalar: 16 },
    ...{ hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2 },
    ...{ head_dim: 16, rope_theta: 1_000_000, rope_local_base_freq: 10_000, sliding_window: WINDOW },
    layer_types: ["sliding_attention", "full_attention"],
  },
} as const;

const TOKENIZER = tokenizerJson("Qwen 2 and 3");
const VOCABULARY = vocabSizeOf(TOKENIZER);

/** Writes its files into a folder `name` of a folder. @returns its path */
export async function writeModel(parent: string, name: string, kind: FleetModel, seed = 1): Promise<string> {
  const config = {
    ...{ max_position_embeddings: 1024, tie_word_embeddings: true, rms_norm_eps: 1e-6 },
    ...{ vocab_size: VOCABULARY, bos_token_id: 0, eos_token_id: 1, num_key_value_heads: 1 },
    ...CONFIGS[kind],
  };
  const files = {
    ...randomFamilyFiles(config, { dtype: "F16", std: 0.05, seed }),
    "tokenizer.json": JSON.stringify(TOKENIZER),
  };
  const folder = join(parent, name);
  await mkdir(folder);
  for (const [file, content] of Object.entries(files)) await writeFile(join(folder, file), content);
  return folder;
}

/** Ids of a text that nothing else begins like: the same ones each time. */
export function arbitraryPrompt(length: number, seed: number): number[] {
  let state = seed;
  return Array.from({ length }, () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    // Without the tokens that begin and end a text.
    return 2 + (state % 750);
  });
}

/**
 * Shapes of models that people use, as their `config.json` has them, for random weights where the models themselves cannot
 * be downloaded. The fields that say nothing of the shape are left out.
 */

import type { RandomModelFile, RandomWeightOptions } from "./random-checkpoint.js";
import { planRandomFamilyModel } from "./random-model.js";

/** A model whose shape random weights can have. */
export interface Preset {
  /** What its publisher calls it. */
  readonly model: string;
  readonly parameters: number;
  readonly config: Readonly<Record<string, unknown>>;
  /** What GGUF files call the way in which its byte-level vocabulary splits texts; undefined: its vocabulary is another. */
  readonly pre?: string;
}

export const PRESETS = {
  "smollm2-135m": {
    model: "HuggingFaceTB/SmolLM2-135M",
    pre: "smollm",
    parameters: 134_515_008,
    config: {
      architectures: ["LlamaForCausalLM"],
      attention_bias: false,
      bos_token_id: 0,
      eos_token_id: 0,
      hidden_act: "silu",
      hidden_size: 576,
      intermediate_size: 1536,
      max_position_embeddings: 8192,
      model_type: "llama",
      num_attention_heads: 9,
      num_hidden_layers: 30,
      num_key_value_heads: 3,
      rms_norm_eps: 1e-5,
      rope_scaling: null,
      rope_theta: 100_000,
      tie_word_embeddings: true,
      torch_dtype: "bfloat16",
      vocab_size: 49_152,
    },
  },
  "qwen3-0.6b": {
    model: "Qwen/Qwen3-0.6B",
    pre: "qwen2",
    parameters: 596_049_920,
    config: {
      architectures: ["Qwen3ForCausalLM"],
      attention_bias: false,
      bos_token_id: 151_643,
      eos_token_id: 151_645,
      head_dim: 128,
      hidden_act: "silu",
      hidden_size: 1024,
      intermediate_size: 3072,
      max_position_embeddings: 40_960,
      max_window_layers: 28,
      model_type: "qwen3",
      num_attention_heads: 16,
      num_hidden_layers: 28,
      num_key_value_heads: 8,
      rms_norm_eps: 1e-6,
      rope_scaling: null,
      rope_theta: 1_000_000,
      sliding_window: null,
      tie_word_embeddings: true,
      torch_dtype: "bfloat16",
      use_sliding_window: false,
      vocab_size: 151_936,
    },
  },
  "llama-3.2-1b": {
    model: "meta-llama/Llama-3.2-1B",
    pre: "llama-bpe",
    parameters: 1_235_814_400,
    config: {
      architectures: ["LlamaForCausalLM"],
      attention_bias: false,
      bos_token_id: 128_000,
      eos_token_id: 128_001,
      head_dim: 64,
      hidden_act: "silu",
      hidden_size: 2048,
      intermediate_size: 8192,
      max_position_embeddings: 131_072,
      mlp_bias: false,
      model_type: "llama",
      num_attention_heads: 32,
      num_hidden_layers: 16,
      num_key_value_heads: 8,
      rms_norm_eps: 1e-5,
      rope_scaling: {
        factor: 32,
        high_freq_factor: 4,
        low_freq_factor: 1,
        original_max_position_embeddings: 8192,
        rope_type: "llama3",
      },
      rope_theta: 500_000,
      tie_word_embeddings: true,
      torch_dtype: "bfloat16",
      vocab_size: 128_256,
    },
  },
  "gemma-3-270m": {
    model: "google/gemma-3-270m",
    parameters: 268_098_176,
    config: {
      architectures: ["Gemma3ForCausalLM"],
      attention_bias: false,
      attn_logit_softcapping: null,
      bos_token_id: 2,
      eos_token_id: 1,
      final_logit_softcapping: null,
      head_dim: 256,
      hidden_activation: "gelu_pytorch_tanh",
      hidden_size: 640,
      intermediate_size: 2048,
      // Every sixth layer sees all positions.
      layer_types: Array.from({ length: 18 }, (_, i) =>
        (i + 1) % 6 === 0 ? "full_attention" : "sliding_attention",
      ),
      max_position_embeddings: 32_768,
      model_type: "gemma3_text",
      num_attention_heads: 4,
      num_hidden_layers: 18,
      num_key_value_heads: 1,
      pad_token_id: 0,
      query_pre_attn_scalar: 256,
      rms_norm_eps: 1e-6,
      rope_local_base_freq: 10_000,
      rope_scaling: null,
      rope_theta: 1_000_000,
      sliding_window: 512,
      tie_word_embeddings: true,
      torch_dtype: "bfloat16",
      use_bidirectional_attention: false,
      vocab_size: 262_144,
    },
  },
} as const satisfies Readonly<Record<string, Preset>>;

export type PresetName = keyof typeof PRESETS;

/**
 * Plans the files of a random model of a preset's shape: in bf16 where nothing else is said.
 * @throws LastrowError as `planRandomFamilyModel`
 */
export function planPreset(name: PresetName, options: RandomWeightOptions = {}): RandomModelFile[] {
  return planRandomFamilyModel({ ...PRESETS[name].config }, { ...options, dtype: options.dtype ?? "BF16" });
}

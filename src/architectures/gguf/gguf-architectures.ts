/**
 * The architectures of GGUF files that run, by `general.architecture`: which family each is, what its keys say of the
 * family's fields, and how its tensors lie. What files do not have is as llama.cpp takes it to be.
 */
import type { ArchitectureKeys } from "./architecture-keys.js";
import { readSizes, type SizeFields, type Sizes, type StoredShapes, USUAL_SIZES } from "./common-keys.js";
import type { GgufTensorLayout } from "./gguf-tensors.js";
import { type ROTARY_TENSORS, type RotaryFactors, readRotary } from "./rotary-keys.js";

/** What a file says, to be read. */
interface GgufContents {
  readonly keys: ArchitectureKeys;
  readonly stored: StoredShapes;
  readonly factors: RotaryFactors;
}

export interface GgufArchitecture {
  /** `general.architecture`. */
  readonly id: string;
  /** `model_type`s of the families that it may be. */
  readonly families: readonly string[];
  /** States the family's fields, all that its files decide, and says which of its families it is. */
  readonly read: (contents: GgufContents) => string;
  readonly layout: GgufTensorLayout;
  /** Keys of its own that change nothing that is run. */
  readonly harmlessKeys?: readonly string[];
  /** Tensors that its files may have and that are not used. */
  readonly unusedTensors?: readonly string[];
  /** Tensors of factors that its files may have. */
  readonly rotaryTensors: readonly (keyof typeof ROTARY_TENSORS)[];
}

const NORMED_LAYERS = {
  ...USUAL_SIZES,
  epsilon: "layer_norm_eps",
  epsilonKey: "attention.layer_norm_epsilon",
} as const satisfies SizeFields;

/** Sizes, whole heads that turn, no windows. */
function readUsual({ keys, stored, factors }: GgufContents): Sizes {
  const sizes = readSizes(keys, stored, USUAL_SIZES);
  readRotary(keys, sizes, factors);
  return sizes;
}

function hasBias(stored: StoredShapes, ...names: readonly string[]): boolean {
  return names.some((name) => stored.has(`blk.0.${name}.bias`));
}

/** @throws LastrowError `model_unsupported` for a window where the family has none */
function expectNoWindow(keys: ArchitectureKeys): void {
  const window = keys.wholeNumber("attention.sliding_window");
  if (window) keys.refuse("attention.sliding_window", window, "this family is run without a window of keys");
}

/** Which layers have a window: a period, or a flag for each. */
function readPattern(keys: ArchitectureKeys): number | readonly string[] | null {
  const flags = keys.flagsOrNumber("attention.sliding_window_pattern");
  if (flags === null || typeof flags === "number") return flags;
  return flags.map((isWindowed) => (isWindowed ? "sliding_attention" : "full_attention"));
}

export const ggufArchitectures: readonly GgufArchitecture[] = [
  {
    id: "llama",
    families: ["llama", "mistral"],
    read(contents) {
      const { keys, stored } = contents;
      readUsual(contents);
      keys.state("attention_bias", hasBias(stored, "attn_q", "attn_k", "attn_v", "attn_output"), null);
      keys.state("mlp_bias", hasBias(stored, "ffn_gate", "ffn_up", "ffn_down"), null);
      const window = keys.wholeNumber("attention.sliding_window");
      if (!window) return "llama";
      keys.state("sliding_window", window, "attention.sliding_window");
      return "mistral";
    },
    layout: { interleaved: true },
    rotaryTensors: ["all", "short", "long"],
  },
  {
    id: "qwen2",
    families: ["qwen2"],
    read(contents) {
      readUsual(contents);
      expectNoWindow(contents.keys);
      return "qwen2";
    },
    layout: {},
    rotaryTensors: [],
  },
  {
    id: "qwen3",
    families: ["qwen3"],
    read(contents) {
      const { keys, stored } = contents;
      readUsual(contents);
      expectNoWindow(keys);
      keys.state("attention_bias", hasBias(stored, "attn_q", "attn_k", "attn_v", "attn_output"), null);
      return "qwen3";
    },
    layout: {},
    // Of Qwen3-Reranker: the head's rows of "yes" and "no" once more.
    harmlessKeys: ["classifier.output_labels"],
    unusedTensors: ["cls.output.weight"],
    rotaryTensors: [],
  },
  {
    id: "smollm3",
    families: ["smollm3"],
    read(contents) {
      const { keys, stored } = contents;
      readUsual(contents);
      expectNoWindow(keys);
      keys.state("attention_bias", hasBias(stored, "attn_q", "attn_k", "attn_v", "attn_output"), null);
      keys.state("mlp_bias", hasBias(stored, "ffn_gate", "ffn_up", "ffn_down"), null);
      return "smollm3";
    },
    layout: { interleaved: true },
    rotaryTensors: [],
  },
  {
    id: "gemma2",
    families: ["gemma2"],
    read(contents) {
      const { keys } = contents;
      const sizes = readUsual(contents);
      readGemma(keys, sizes, { of27B: 46 });
      const window = keys.wholeNumber("attention.sliding_window");
      if (window !== null) keys.state("sliding_window", window, "attention.sliding_window");
      const types = readPattern(keys);
      if (typeof types === "number") {
        if (types !== 2)
          keys.refuse("attention.sliding_window_pattern", types, "every other layer has a window");
      } else if (types !== null) keys.state("layer_types", types, "attention.sliding_window_pattern");
      const cap = keys.float("attn_logit_softcapping");
      if (cap !== null) keys.state("attn_logit_softcapping", cap, "attn_logit_softcapping");
      const finalCap = keys.float("final_logit_softcapping");
      if (finalCap !== null) keys.state("final_logit_softcapping", finalCap, "final_logit_softcapping");
      return "gemma2";
    },
    layout: {},
    rotaryTensors: [],
  },
  {
    id: "gemma3",
    families: ["gemma3_text"],
    read(contents) {
      const { keys } = contents;
      const sizes = readUsual(contents);
      readGemma(keys, sizes, { of27B: 62 });
      keys.state("rope_local_base_freq", keys.float("rope.freq_base_swa") ?? 10_000, "rope.freq_base_swa");
      const window = keys.wholeNumber("attention.sliding_window");
      const types = readPattern(keys);
      const patternKey = "attention.sliding_window_pattern";
      if (window === null) keys.state("sliding_window_pattern", 1, null);
      else {
        keys.state("sliding_window", window, "attention.sliding_window");
        if (typeof types === "number") keys.state("sliding_window_pattern", types, patternKey);
        else if (types !== null) keys.state("layer_types", types, patternKey);
      }
      keys.state("final_logit_softcapping", keys.float("final_logit_softcapping"), "final_logit_softcapping");
      return "gemma3_text";
    },
    layout: {},
    rotaryTensors: [],
  },
  {
    id: "phi3",
    families: ["phi3"],
    read({ keys, stored, factors }) {
      const sizes = readSizes(keys, stored, USUAL_SIZES);
      readRotary(keys, sizes, factors, { partialField: "partial_rotary_factor" });
      // 0 is how files say that there is none.
      const window = keys.wholeNumber("attention.sliding_window") || null;
      keys.state("sliding_window", window, "attention.sliding_window");
      return "phi3";
    },
    layout: { fusedQkv: true, fusedGateUp: true },
    rotaryTensors: ["short", "long"],
  },
  {
    id: "granite",
    families: ["granite"],
    read(contents) {
      const { keys, stored } = contents;
      const { headDim } = readUsual(contents);
      expectNoWindow(keys);
      keys.state("attention_bias", hasBias(stored, "attn_q", "attn_k", "attn_v", "attn_output"), null);
      keys.state("mlp_bias", hasBias(stored, "ffn_gate", "ffn_up", "ffn_down"), null);
      const scale = (field: string, key: string, byDefault: number) =>
        keys.state(field, keys.float(key) || byDefault, key);
      scale("attention_multiplier", "attention.scale", 1 / Math.sqrt(headDim));
      scale("embedding_multiplier", "embedding_scale", 1);
      scale("residual_multiplier", "residual_scale", 1);
      scale("logits_scaling", "logit_scale", 1);
      if (keys.flag("rope.scaling.finetuned") === false) {
        keys.refuse(
          "rope.scaling.finetuned",
          false,
          "a Granite whose queries and keys do not turn is not run",
        );
      }
      return "granite";
    },
    layout: { interleaved: true },
    // Of Granite 4: sizes of layers with a state and of shared experts, of which its dense models have none.
    harmlessKeys: [
      ...["ssm.conv_kernel", "ssm.state_size", "ssm.group_count", "ssm.inner_size", "ssm.time_step_rank"],
      "expert_shared_feed_forward_length",
    ],
    rotaryTensors: ["all"],
  },
  {
    id: "olmo2",
    families: ["olmo2"],
    read(contents) {
      const { keys, stored } = contents;
      readUsual(contents);
      // Files of OLMo 3 call themselves so, too.
      expectNoWindow(keys);
      keys.state("attention_bias", hasBias(stored, "attn_q", "attn_k", "attn_v", "attn_output"), null);
      return "olmo2";
    },
    layout: {},
    rotaryTensors: [],
  },
  {
    id: "stablelm",
    families: ["stablelm"],
    read({ keys, stored, factors }) {
      const sizes = readSizes(keys, stored, NORMED_LAYERS);
      readRotary(keys, sizes, factors, { partialField: "partial_rotary_factor" });
      expectNoWindow(keys);
      keys.state("use_qkv_bias", hasBias(stored, "attn_q", "attn_k", "attn_v"), null);
      // Writers state it where the model's config does not say, so it is the second norm that tells.
      keys.flag("use_parallel_residual");
      keys.state("use_parallel_residual", !stored.has("blk.0.ffn_norm.weight"), null);
      return "stablelm";
    },
    layout: {},
    rotaryTensors: [],
  },
  {
    id: "gptneox",
    families: ["gpt_neox"],
    read({ keys, stored, factors }) {
      const sizes = readSizes(keys, stored, { ...NORMED_LAYERS, kvHeads: null, headDim: null });
      readRotary(keys, sizes, factors, { thetaField: "rotary_emb_base", partialField: "rotary_pct" });
      expectNoWindow(keys);
      keys.state("attention_bias", hasBias(stored, "attn_qkv", "attn_output"), null);
      const key = "use_parallel_residual";
      keys.state(key, keys.required(keys.flag(key), key), key);
      return "gpt_neox";
    },
    layout: { fusedQkv: true },
    rotaryTensors: [],
  },
  {
    id: "gpt2",
    families: ["gpt2"],
    read({ keys, stored }) {
      readSizes(keys, stored, {
        ...{ layers: "n_layer", width: "n_embd", heads: "n_head", kvHeads: null, headDim: null },
        ...{ inner: "n_inner", positions: "n_positions" },
        ...{ epsilon: "layer_norm_epsilon", epsilonKey: "attention.layer_norm_epsilon" },
      });
      expectNoWindow(keys);
      return "gpt2";
    },
    layout: { fusedQkv: true },
    rotaryTensors: [],
  },
];

/** What Gemma's files leave out of its attention: the factor on the scores, by the one size where it is another. */
function readGemma(
  keys: ArchitectureKeys,
  { layers, width, heads, headDim }: Sizes,
  { of27B }: { readonly of27B: number },
): void {
  keys.state("query_pre_attn_scalar", layers === of27B ? width / heads : headDim, null);
}

/**
 * Writes a Hugging Face folder as a GGUF file, as llama.cpp's `convert_hf_to_gguf.py` does: names, keys, rows of Q and K by
 * pairs, gains of Gemma's norms with their 1, vectors as F32. Values stay as they are, and so do types of matrices.
 * For tests and for random models; it has no tokenizer but what is given. `npx tsx scripts/hf-to-gguf.ts FOLDER FILE`.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { GgufValue } from "../src/formats/gguf/gguf-metadata.js";
import { STORED_VALUES } from "../src/kernels/reference/packed-types.js";
import type { StoredFloat } from "../src/kernels/weight-types.js";
import { ggufValue, type NewGgufFile, type NewGgufTensor, writeGgufFile } from "./gguf-writer.js";

type Config = Readonly<Record<string, unknown>>;

/** A tensor of the folder. */
export interface SourceTensor {
  readonly dtype: StoredFloat;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

type MadeTensor = NewGgufTensor & { readonly data: Uint8Array };

/** Metadata and tensors of a model's config and tensors, by their names in the folder. */
export function hfToGguf(
  config: Config,
  tensors: ReadonlyMap<string, SourceTensor>,
  tokenizer: Readonly<Record<string, GgufValue>> = {},
): NewGgufFile<MadeTensor> {
  const converter = new Converter(config);
  const made = [...tensors].flatMap(([name, tensor]) => converter.tensor(name, tensor));
  return {
    metadata: { ...converter.metadata(), ...tokenizer },
    tensors: [...converter.rotaryTensors(), ...made],
  };
}

/** `model_type` → `general.architecture`. */
const ARCHITECTURES: Readonly<Record<string, string>> = {
  ...{ llama: "llama", mistral: "llama", qwen2: "qwen2", qwen3: "qwen3", smollm3: "smollm3" },
  ...{ gemma2: "gemma2", gemma3_text: "gemma3", phi3: "phi3", granite: "granite", olmo2: "olmo2" },
  ...{ stablelm: "stablelm", gpt_neox: "gptneox", gpt2: "gpt2" },
};

/** Names below `model.layers.N.` and its like. */
const LAYER_NAMES: Readonly<Record<string, string>> = {
  "self_attn.q_proj": "attn_q",
  "self_attn.k_proj": "attn_k",
  "self_attn.v_proj": "attn_v",
  "self_attn.qkv_proj": "attn_qkv",
  "self_attn.o_proj": "attn_output",
  "self_attn.q_norm": "attn_q_norm",
  "self_attn.k_norm": "attn_k_norm",
  "mlp.gate_proj": "ffn_gate",
  "mlp.gate_up_proj": "ffn_up",
  "mlp.up_proj": "ffn_up",
  "mlp.down_proj": "ffn_down",
  input_layernorm: "attn_norm",
  pre_feedforward_layernorm: "ffn_norm",
  post_feedforward_layernorm: "post_ffw_norm",
  "attention.query_key_value": "attn_qkv",
  "attention.dense": "attn_output",
  "mlp.dense_h_to_4h": "ffn_up",
  "mlp.dense_4h_to_h": "ffn_down",
  ln_1: "attn_norm",
  ln_2: "ffn_norm",
  "attn.c_attn": "attn_qkv",
  "attn.c_proj": "attn_output",
  "mlp.c_fc": "ffn_up",
  "mlp.c_proj": "ffn_down",
};

const OTHER_NAMES: Readonly<Record<string, string>> = {
  embed_tokens: "token_embd",
  norm: "output_norm",
  lm_head: "output",
  embed_in: "token_embd",
  final_layer_norm: "output_norm",
  embed_out: "output",
  wte: "token_embd",
  wpe: "position_embd",
  ln_f: "output_norm",
};

class Converter {
  readonly #config: Config;
  readonly #architecture: string;
  readonly #heads: number;
  readonly #kvHeads: number;
  readonly #headDim: number;

  constructor(config: Config) {
    this.#config = config;
    const architecture = ARCHITECTURES[String(config.model_type)];
    if (architecture === undefined) throw new Error(`${config.model_type} has no architecture in GGUF`);
    this.#architecture = architecture;
    this.#heads = this.#number("num_attention_heads", "n_head");
    this.#kvHeads = (config.num_key_value_heads as number | null | undefined) ?? this.#heads;
    this.#headDim =
      (config.head_dim as number | null | undefined) ?? this.#number("hidden_size", "n_embd") / this.#heads;
  }

  metadata(): Record<string, GgufValue> {
    const { u32, f32, text, flag } = ggufValue;
    const made: Record<string, GgufValue> = {
      "general.architecture": text(this.#architecture),
      "general.type": text("model"),
      "general.quantization_version": u32(2),
    };
    const add = (key: string, value: GgufValue) => {
      made[`${this.#architecture}.${key}`] = value;
    };
    const config = this.#config;
    const hidden = this.#number("hidden_size", "n_embd");
    add("block_count", u32(this.#number("num_hidden_layers", "n_layer")));
    add("context_length", u32(this.#number("max_position_embeddings", "n_positions")));
    add("embedding_length", u32(hidden));
    const inner = config.intermediate_size ?? config.n_inner ?? 4 * hidden;
    add("feed_forward_length", u32(inner as number));
    add("attention.head_count", u32(this.#heads));
    const layerNorm = config.layer_norm_eps ?? config.layer_norm_epsilon;
    if (layerNorm !== undefined) add("attention.layer_norm_epsilon", f32(layerNorm as number));
    if (config.rms_norm_eps !== undefined) {
      add("attention.layer_norm_rms_epsilon", f32(config.rms_norm_eps as number));
    }
    if (this.#architecture === "gpt2") return made;
    const rope = this.#rope();
    const partial = rope.partial_rotary_factor ?? config.partial_rotary_factor ?? config.rotary_pct ?? 1;
    add("rope.dimension_count", u32(Math.trunc(this.#headDim * (partial as number))));
    if (config.use_parallel_residual !== undefined) {
      add("use_parallel_residual", flag(config.use_parallel_residual === true));
    }
    if (this.#architecture === "gptneox") return made;
    add("attention.head_count_kv", u32(this.#kvHeads));
    if (config.head_dim) {
      add("attention.key_length", u32(this.#headDim));
      add("attention.value_length", u32(this.#headDim));
    }
    add("rope.freq_base", f32(rope.rope_theta as number));
    this.#addRotary(add, rope);
    this.#addWindow(add);
    for (const [field, key] of FACTORS) {
      if (config[field]) add(key, f32(config[field] as number));
    }
    return made;
  }

  /** Longrope's two tables. Llama 3's divisors are made as there, in f32. */
  rotaryTensors(): MadeTensor[] {
    const rope = this.#rope();
    const made = (name: string, values: readonly number[]): MadeTensor => ({
      ...{ name, dtype: "F32", shape: [values.length] },
      data: new Uint8Array(Float32Array.from(values).buffer),
    });
    if (rope.rope_type === "llama3") return [made("rope_freqs.weight", llama3Divisors(rope, this.#headDim))];
    if (rope.rope_type !== "longrope") return [];
    return [
      made("rope_factors_long.weight", rope.long_factor as number[]),
      made("rope_factors_short.weight", rope.short_factor as number[]),
    ];
  }

  tensor(source: string, tensor: SourceTensor): MadeTensor[] {
    const name = source.replace(/^(model|gpt_neox|transformer)\./, "");
    if (/rotary_emb|\.(attn\.bias|masked_bias|attention\.bias)$/.test(name)) return [];
    if (this.#config.tie_word_embeddings === true && /^(lm_head|embed_out)\./.test(name)) return [];
    const [, layer, place = name, part] = /^(?:(?:layers|h)\.(\d+)\.)?(.*)\.(weight|bias)$/.exec(name) ?? [];
    const known =
      layer === undefined
        ? OTHER_NAMES[place]
        : `blk.${layer}.${LAYER_NAMES[place] ?? this.#normName(place)}`;
    if (known === undefined) throw new Error(`${source} has no name in GGUF`);
    const made = this.#arranged(place, tensor);
    return [{ name: `${known}.${part}`, ...(made.shape.length === 1 ? this.#asF32(place, made) : made) }];
  }

  #normName(place: string): string {
    if (place !== "post_attention_layernorm") throw new Error(`${place} has no name in GGUF`);
    return /^(gemma|olmo)/.test(this.#architecture) ? "post_attention_norm" : "ffn_norm";
  }

  /** Rows in the order of the file. */
  #arranged(place: string, tensor: SourceTensor): SourceTensor {
    const { shape, data } = tensor;
    if (place.endsWith(".c_attn") || place.endsWith(".c_proj") || place.endsWith(".c_fc")) {
      return shape.length === 2 ? transposed(tensor) : tensor;
    }
    const isPaired = /^(llama|smollm3|granite)$/.test(this.#architecture);
    const heads =
      isPaired && place.endsWith(".q_proj")
        ? this.#heads
        : isPaired && place.endsWith(".k_proj")
          ? this.#kvHeads
          : null;
    const d = this.#headDim;
    // Where row r of the file is in the folder.
    let from: ((r: number) => number) | null = null;
    if (heads !== null) from = (r) => r - (r % d) + ((r % d) % 2) * (d / 2) + Math.floor((r % d) / 2);
    else if (place === "attention.query_key_value") {
      from = (r) => {
        const which = Math.floor(r / (this.#heads * d));
        const within = r % (this.#heads * d);
        return (3 * Math.floor(within / d) + which) * d + (within % d);
      };
    }
    if (from === null) return tensor;
    const rowBytes = data.length / shape[0]!;
    const moved = new Uint8Array(data.length);
    for (let r = 0; r < shape[0]!; r++) {
      moved.set(data.subarray(from(r) * rowBytes, (from(r) + 1) * rowBytes), r * rowBytes);
    }
    return { ...tensor, data: moved };
  }

  #asF32(place: string, { dtype, shape, data }: SourceTensor): SourceTensor {
    const { Values, toF32 } = STORED_VALUES[dtype];
    const values = Float32Array.from(new Values(new Uint8Array(data).buffer), (bits) => toF32(bits));
    const isLess1 = this.#architecture.startsWith("gemma") && place.endsWith("norm");
    const whole = isLess1 ? values.map((value) => 1 + value) : values;
    return { dtype: "F32", shape, data: new Uint8Array(whole.buffer) };
  }

  #addRotary(add: (key: string, value: GgufValue) => void, rope: Config): void {
    const { u32, f32, text } = ggufValue;
    if (rope.rope_type === "linear") {
      add("rope.scaling.type", text("linear"));
      add("rope.scaling.factor", f32(rope.factor as number));
    }
    if (rope.rope_type === "yarn") {
      add("rope.scaling.type", text("yarn"));
      add("rope.scaling.factor", f32(rope.factor as number));
      add("rope.scaling.original_context_length", u32(rope.original_max_position_embeddings as number));
    }
    if (rope.rope_type === "longrope") {
      const original = rope.original_max_position_embeddings as number;
      const scale = (this.#config.max_position_embeddings as number) / original;
      add("rope.scaling.original_context_length", u32(original));
      add("rope.scaling.attn_factor", f32(Math.sqrt(1 + Math.log(scale) / Math.log(original))));
    }
    const local = this.#localTheta();
    if (local !== undefined) add("rope.freq_base_swa", f32(local));
  }

  #addWindow(add: (key: string, value: GgufValue) => void): void {
    const { sliding_window: window, layer_types: types, model_type: family } = this.#config;
    if (!["mistral", "gemma2", "gemma3_text", "phi3"].includes(String(family))) return;
    add("attention.sliding_window", ggufValue.u32((window as number | null) ?? 0));
    if (family !== "gemma3_text" || !Array.isArray(types)) return;
    add("attention.sliding_window_pattern", {
      ...{ type: "array", elementType: "bool" },
      values: Uint8Array.from(types, (type) => Number(type === "sliding_attention")),
    });
  }

  /** Of layers that see everything. */
  #rope(): Config {
    const parameters = (this.#config.rope_parameters ?? {}) as Config;
    const own = (parameters.full_attention ?? parameters) as Config;
    return { rope_theta: this.#config.rope_theta ?? 10_000, ...own };
  }

  #localTheta(): number | undefined {
    const parameters = (this.#config.rope_parameters ?? {}) as Readonly<Record<string, Config>>;
    return (parameters.sliding_attention?.rope_theta ?? this.#config.rope_local_base_freq) as
      | number
      | undefined;
  }

  #number(...fields: readonly string[]): number {
    const value = fields.map((field) => this.#config[field]).find((found) => typeof found === "number");
    if (typeof value !== "number") throw new Error(`the config has no ${fields.join(", no ")}`);
    return value;
  }
}

/** Fields with a factor → their keys. */
const FACTORS = [
  ["attention_multiplier", "attention.scale"],
  ["embedding_multiplier", "embedding_scale"],
  ["residual_multiplier", "residual_scale"],
  ["logits_scaling", "logit_scale"],
  ["attn_logit_softcapping", "attn_logit_softcapping"],
  ["final_logit_softcapping", "final_logit_softcapping"],
] as const;

function llama3Divisors(rope: Config, width: number): number[] {
  const [theta, factor, low, high, original] = [
    ...["rope_theta", "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"],
  ].map((field) => rope[field] as number) as [number, number, number, number, number];
  return Array.from({ length: width / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * theta ** ((2 * i) / width);
    if (wavelength < original / high) return 1;
    if (wavelength > original / low) return factor;
    const smooth = (original / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

function transposed({ dtype, shape: [rows, cols], data }: SourceTensor): SourceTensor {
  const size = data.length / (rows! * cols!);
  const turned = new Uint8Array(data.length);
  for (let r = 0; r < rows!; r++) {
    for (let c = 0; c < cols!; c++) {
      const from = (r * cols! + c) * size;
      turned.set(data.subarray(from, from + size), (c * rows! + r) * size);
    }
  }
  return { dtype, shape: [cols!, rows!], data: turned };
}

/** The tensors of a file of safetensors. */
export function sourceTensors(file: Uint8Array): Map<string, SourceTensor> {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const begin = 8 + Number(view.getBigUint64(0, true));
  const { __metadata__, ...header } = JSON.parse(new TextDecoder().decode(file.subarray(8, begin))) as Record<
    string,
    { dtype: StoredFloat; shape: number[]; data_offsets: [number, number] }
  >;
  return new Map(
    Object.entries(header).map(
      ([
        name,
        {
          dtype,
          shape,
          data_offsets: [from, to],
        },
      ]) => [name, { dtype, shape, data: file.subarray(begin + from, begin + to) }],
    ),
  );
}

async function main(folder: string, path: string): Promise<void> {
  const config = JSON.parse(await readFile(join(folder, "config.json"), "utf8"));
  const tensors = sourceTensors(await readFile(join(folder, "model.safetensors")));
  const made = hfToGguf(config, tensors);
  await writeGgufFile(path, {
    ...made,
    tensors: made.tensors.map(({ data, ...tensor }) => ({ ...tensor, data: () => [data] })),
  });
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [folder, path] = process.argv.slice(2);
  if (folder === undefined || path === undefined)
    throw new Error("give a folder and the name of a file to write");
  await main(folder, path);
}

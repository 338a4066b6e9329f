/**
 * GPT-2 as GGUF: keys and tensor names are those that llama.cpp's `convert_hf_to_gguf.py` writes for
 * `GPT2LMHeadModel`, and 8-bit tensors those that `llama-quantize` makes 8-bit. There is no `output.weight`: llama.cpp
 * takes `token_embd.weight`, as GPT-2 does.
 */
import {
  ggufValue,
  type NewGgufTensor,
  type NewMetadata,
  writeGgufFile,
} from "../../../scripts/gguf-writer.js";
import { bytesOf, GPT2, type Gpt2Weights, transpose } from "./gpt2-weights.js";
import { quantiseQ8 } from "./q8.js";

type Tensor = NewGgufTensor & { readonly data: () => AsyncIterable<Uint8Array> };

/** `llama_ftype`. */
const FILE_TYPE = { F32: 0, Q8_0: 7 } as const;
/** `llama_token_type`. */
const NORMAL_TOKEN = 1;
const CONTROL_TOKEN = 3;

/** Writes the weights as f32, or with all matrices but the position embeddings as Q8_0. */
export async function writeGpt2Gguf(path: string, weights: Gpt2Weights, type: "F32" | "Q8_0"): Promise<void> {
  const tensors = [
    matrix("token_embd.weight", "wte.weight", [GPT2.vocab, GPT2.width]),
    plain("position_embd.weight", "wpe.weight", [GPT2.context, GPT2.width]),
    plain("output_norm.weight", "ln_f.weight", [GPT2.width]),
    plain("output_norm.bias", "ln_f.bias", [GPT2.width]),
  ];
  for (let layer = 0; layer < GPT2.layers; layer++) {
    for (const [gguf, name] of [
      ["attn_norm", "ln_1"],
      ["ffn_norm", "ln_2"],
    ]) {
      for (const part of ["weight", "bias"]) {
        tensors.push(plain(`blk.${layer}.${gguf}.${part}`, `h.${layer}.${name}.${part}`, [GPT2.width]));
      }
    }
    for (const [gguf, name, rows, columns] of [
      ["attn_qkv", "attn.c_attn", 3 * GPT2.width, GPT2.width],
      ["attn_output", "attn.c_proj", GPT2.width, GPT2.width],
      ["ffn_up", "mlp.c_fc", GPT2.inner, GPT2.width],
      ["ffn_down", "mlp.c_proj", GPT2.width, GPT2.inner],
    ] as const) {
      tensors.push(linear(`blk.${layer}.${gguf}.weight`, `h.${layer}.${name}.weight`, [rows, columns]));
      tensors.push(plain(`blk.${layer}.${gguf}.bias`, `h.${layer}.${name}.bias`, [rows]));
    }
  }
  await writeGgufFile(path, { metadata: metadata(type), tensors });

  function plain(name: string, source: string, shape: readonly number[]): Tensor {
    return {
      name,
      shape,
      dtype: "F32",
      data: () => later(async () => bytesOf((await weights.read(source)).data)),
    };
  }

  /** A matrix that is (out, in) already. */
  function matrix(name: string, source: string, shape: readonly number[]): Tensor {
    return {
      name,
      shape,
      dtype: type,
      data: () => later(async () => encode((await weights.read(source)).data)),
    };
  }

  /** A linear layer: (in, out) in the checkpoint, (out, in) here. */
  function linear(name: string, source: string, shape: readonly number[]): Tensor {
    return {
      name,
      shape,
      dtype: type,
      data: () => later(async () => encode(transpose(await weights.read(source)).data)),
    };
  }

  function encode(data: Float32Array): Uint8Array {
    return type === "F32" ? bytesOf(data) : quantiseQ8(data);
  }
}

/** A tensor's bytes in one piece, when they are asked for. */
async function* later(bytes: () => Promise<Uint8Array>): AsyncIterable<Uint8Array> {
  yield await bytes();
}

function metadata(type: keyof typeof FILE_TYPE): NewMetadata {
  const { text, texts, u32, f32, i32s } = ggufValue;
  const { tokens, merges } = byteLevelVocabulary();
  const types = tokens.map((_, id) => (id === GPT2.vocab - 1 ? CONTROL_TOKEN : NORMAL_TOKEN));
  return {
    "general.architecture": text("gpt2"),
    "general.name": text("GPT-2 with random weights"),
    "general.file_type": u32(FILE_TYPE[type]),
    "general.quantization_version": u32(2),
    "gpt2.block_count": u32(GPT2.layers),
    "gpt2.context_length": u32(GPT2.context),
    "gpt2.embedding_length": u32(GPT2.width),
    "gpt2.feed_forward_length": u32(GPT2.inner),
    "gpt2.attention.head_count": u32(GPT2.heads),
    "gpt2.attention.layer_norm_epsilon": f32(GPT2.layerNormEpsilon),
    "tokenizer.ggml.model": text("gpt2"),
    "tokenizer.ggml.pre": text("gpt-2"),
    "tokenizer.ggml.tokens": texts(tokens),
    "tokenizer.ggml.token_type": i32s(types),
    "tokenizer.ggml.merges": texts(merges),
    "tokenizer.ggml.bos_token_id": u32(GPT2.vocab - 1),
    "tokenizer.ggml.eos_token_id": u32(GPT2.vocab - 1),
  };
}

/**
 * A vocabulary of GPT-2's form and size: the 256 bytes in GPT-2's printable spelling, 50,000 merges of two bytes, and
 * the end token. llama.cpp loads no model without one; nothing here turns text into tokens.
 */
function byteLevelVocabulary(): { tokens: string[]; merges: string[] } {
  const bytes: string[] = [];
  let unprintable = 0;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    bytes.push(String.fromCodePoint(printable ? byte : 256 + unprintable++));
  }
  const pairs = bytes.flatMap((first) => bytes.map((second) => [first, second] as const));
  const merged = pairs.slice(0, GPT2.vocab - 257);
  return {
    tokens: [...bytes, ...merged.map((pair) => pair.join("")), "<|endoftext|>"],
    merges: merged.map((pair) => pair.join(" ")),
  };
}

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
import { q4_0Blocks } from "../../../scripts/quantise-blocks.js";
import { bytesOf, GPT2, type Gpt2Weights, transpose } from "./gpt2-weights.js";
import { q6_KBlocks } from "./q6k.js";
import { quantiseQ8 } from "./q8.js";

type Tensor = NewGgufTensor & { readonly data: () => AsyncIterable<Uint8Array> };

/** `llama_ftype`. */
const FILE_TYPE = { F32: 0, Q4_0: 2, Q8_0: 7 } as const;
/** `llama_token_type`. */
const NORMAL_TOKEN = 1;
const CONTROL_TOKEN = 3;

/**
 * Writes the weights as f32, or with all matrices but the position embeddings as Q8_0 or Q4_0; with Q4_0 the token
 * embedding, which is the head, is Q6_K.
 */
export async function writeGpt2Gguf(
  path: string,
  weights: Gpt2Weights,
  type: keyof typeof FILE_TYPE,
): Promise<void> {
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
      dtype: type === "Q4_0" ? "Q6_K" : type,
      data: () =>
        later(async () => {
          const { data } = await weights.read(source);
          return type === "Q4_0" ? q6_KBlocks(data) : encode(data);
        }),
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
    if (type === "F32") return bytesOf(data);
    return type === "Q8_0" ? quantiseQ8(data) : q4_0Blocks(data);
  }
}

/** A tensor's bytes in one piece, when they are asked for. */
async function* later(bytes: () => Promise<Uint8Array>): AsyncIterable<Uint8Array> {
  yield await bytes();
}

function metadata(type: keyof typeof FILE_TYPE): NewMetadata {
  const { text, texts, u32, f32, i32s } = ggufValue;
  const { tokens, merges } = asciiVocabulary();
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
 * A vocabulary of GPT-2's form and size, in which every token is text that a browser prints: the newline, single characters of
 * ASCII and pairs of them are at the ids of GPT-2's scheme (256 bytes, 50,000 merges of two), and the other ids are made-up
 * words that no text becomes. A token of half a character would end wllama, which decodes each by itself; and a space with
 * a letter is one token, which is how bench/page gives it ids. llama.cpp loads no model without a vocabulary.
 */
function asciiVocabulary(): { tokens: string[]; merges: string[] } {
  const isPrinted = (byte: number) => byte >= 32 && byte < 127;
  const spelled = (byte: number) => (byte === 32 ? SPELLED_SPACE : String.fromCharCode(byte));
  const tokens: string[] = [];
  const merges: string[] = [];
  for (let id = 0; id < GPT2.vocab - 1; id++) {
    const [first, second] = id < 256 ? [id, null] : [(id - 256) >> 8, (id - 256) & 255];
    if (id === NEWLINE) tokens.push(SPELLED_NEWLINE);
    else if (!isPrinted(first) || (second !== null && !isPrinted(second))) tokens.push(`unused${id}`);
    else if (second === null) tokens.push(spelled(first));
    else {
      tokens.push(spelled(first) + spelled(second));
      merges.push(`${spelled(first)} ${spelled(second)}`);
    }
  }
  return { tokens: [...tokens, "<|endoftext|>"], merges };
}

const NEWLINE = 10;
/** How GPT-2's files spell bytes that are no visible character. */
const SPELLED_SPACE = "\u0120";
const SPELLED_NEWLINE = "\u010a";

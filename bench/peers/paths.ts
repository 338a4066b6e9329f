/** Where the generated models lie, and which file each engine takes. Everything below `models/` can be made again. */
import { fileURLToPath } from "node:url";

/** A path next to this file. */
function local(path: string): string {
  return fileURLToPath(new URL(path, import.meta.url));
}

export const MODELS = local("models");
/** A Hugging Face folder with safetensors: what lastrow loads, and what the other files are made of. */
export const SAFETENSORS_FOLDER = local("models/gpt2");
export const GGUF_FILES = {
  f32: local("models/gguf/gpt2-f32.gguf"),
  int8: local("models/gguf/gpt2-q8_0.gguf"),
  int4: local("models/gguf/gpt2-q4_0.gguf"),
} as const;
/** GGUF models of other shapes and mixtures, by `preset:mixture` of `make-random-model.ts`. */
export const GGUF_MODELS = ["smollm2-135m:q4_0", "smollm2-135m:q8_0", "llama-3.2-1b:q4_k_m"] as const;
export type GgufModel = (typeof GGUF_MODELS)[number];

export function ggufPath(model: GgufModel): string {
  return local(`models/gguf/${model.replace(":", "-")}.gguf`);
}

/** transformers.js looks for `<name>/onnx/model.onnx` and `model_quantized.onnx` in here. */
export const ONNX_FOLDER = local("models/onnx");
export const ONNX_NAME = "gpt2";

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
export type GgufModel = `${"smollm2-135m" | "llama-3.2-1b"}:${"q4_0" | "q4_k_m" | "q8_0" | "bf16"}`;
/** 0.6 GB together. */
export const SMALL_GGUF_MODELS: readonly GgufModel[] = [
  ...(["smollm2-135m:q4_0", "smollm2-135m:q4_k_m", "smollm2-135m:q8_0", "smollm2-135m:bf16"] as const),
];
/** 5.4 GB together. */
export const LARGE_GGUF_MODELS: readonly GgufModel[] = [
  ...(["llama-3.2-1b:q4_0", "llama-3.2-1b:q4_k_m", "llama-3.2-1b:q8_0", "llama-3.2-1b:bf16"] as const),
];
export const GGUF_MODELS = [...SMALL_GGUF_MODELS, ...LARGE_GGUF_MODELS];

export function ggufPath(model: GgufModel): string {
  return local(`models/gguf/${model.replace(":", "-")}.gguf`);
}

/** transformers.js looks for `<name>/onnx/model.onnx` and `model_quantized.onnx` in here. */
export const ONNX_FOLDER = local("models/onnx");
export const ONNX_NAME = "gpt2";

/** Files of the models, below the folder that `--models` names and below `/models/` of the server. */
export const MODEL_FILES = {
  safetensors: "gpt2",
  ggufF32: "gguf/gpt2-f32.gguf",
  ggufQ8: "gguf/gpt2-q8_0.gguf",
  onnx: "onnx/gpt2",
} as const;

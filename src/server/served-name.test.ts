import { expect, test } from "vitest";
import { servedName } from "./served-name.js";

test.each([
  [undefined, "stories"],
  ["stories", "stories"],
  ["openai-community/gpt2", "openai-community/gpt2"],
  ["Qwen/Qwen3-0.6B-GGUF:Q8_0", "Qwen/Qwen3-0.6B-GGUF:Q8_0"],
  ["org/repo/model-Q8_0.gguf", "model-Q8_0.gguf"],
  ["./secret/gpt2/", "gpt2"],
  ["/home/secret/model.Q4_K_M.gguf", "model.Q4_K_M.gguf"],
  ["https://secret.example/secret/model.gguf?token=secret", "model.gguf"],
  [new URL("https://secret.example/secret/gpt2/?token=secret"), "gpt2"],
  [{ "config.json": "https://secret.example" }, "model"],
])("%o is served as %s", (model, name) => expect(servedName(model)).toBe(name));

/** lastrow as a program uses it: the built library of this repository. */
import { load } from "../../../dist/index.js";
import { SAFETENSORS_FOLDER } from "../paths.js";
import { CONTEXT_SIZE } from "./context-size.js";
import { type Engine, type EngineOptions, ggufFileOf, isGgufModel, TokenClock } from "./engine.js";

/** K and V of one full context in f32; the peers have one, too. */
const KV_MEMORY = "72MiB";

export async function startLastrow({ dtype, threads, vectors }: EngineOptions): Promise<Engine> {
  const shared = { threads, vectors, kvMemory: KV_MEMORY };
  const model = isGgufModel(dtype)
    ? await load(ggufFileOf(dtype), { ...shared, contextLength: CONTEXT_SIZE })
    : dtype === "int4+kv8"
      ? await load(SAFETENSORS_FOLDER, { ...shared, dtype: "int4", kvDtype: "int8" })
      : await load(SAFETENSORS_FOLDER, { ...shared, dtype });
  const { info } = model;
  return {
    description: `${info.kernels} kernels, ${info.threads} threads, vectors of ${info.vectors} bits, dots ${info.dots}, ${dtype}`,
    async generate(prompt, newTokens) {
      const clock = new TokenClock();
      const generation = model.generate(prompt, { maxTokens: newTokens, temperature: 0, ignoreEos: true });
      for await (const { tokens } of generation) for (const token of tokens) clock.add(token);
      return clock.finish();
    },
    async logits(prompt) {
      return (await model.logits(prompt)).logits;
    },
  };
}

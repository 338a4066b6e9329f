/** lastrow as a program uses it: the built library of this repository. */
import { load } from "../../../dist/index.js";
import { SAFETENSORS_FOLDER } from "../paths.js";
import { CONTEXT_SIZE } from "./context-size.js";
import { type Engine, type EngineOptions, ggufFileOf, isGgufModel, TokenClock } from "./engine.js";

/** K and V of one full context in f32; the peers have one, too. */
const KV_MEMORY = "72MiB";

export async function startLastrow({ dtype, threads }: EngineOptions): Promise<Engine> {
  const model = isGgufModel(dtype)
    ? await load(ggufFileOf(dtype), { threads, contextLength: CONTEXT_SIZE, kvMemory: KV_MEMORY })
    : await load(SAFETENSORS_FOLDER, { dtype, threads, kvMemory: KV_MEMORY });
  if (!isGgufModel(dtype) && model.info.dtype !== dtype)
    throw new Error(`The build in dist/ has no ${dtype}; run npm run build.`);
  return {
    description: `${model.info.kernels} kernels, ${model.info.threads} threads, ${dtype}`,
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

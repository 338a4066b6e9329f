import { Wllama } from "@wllama/wllama";
import { MODEL_FILES } from "../model-files.js";
import { runPage, textOf } from "./run-page.js";

void runPage(async ({ type, variant, threads }) => {
  const silent = () => {};
  const logger = { debug: silent, log: silent, warn: silent, error: silent };
  const wllama = new Wllama({ default: "/wllama-wasm/wllama.wasm" }, { logger });
  // Its build for browsers without JSPI and 64-bit memories lies on a CDN; those of today need none.
  wllama.setCompat(null);
  const file = type === "f32" ? MODEL_FILES.ggufF32 : MODEL_FILES.ggufQ8;
  // As a Blob, so that no copy is stored.
  const blob = await (await fetch(`/models/${file}`)).blob();
  await wllama.loadModel([blob], {
    ...{ n_threads: threads, n_gpu_layers: 0, n_ctx: 1024, n_batch: 512, n_ubatch: 512, n_parallel: 1 },
    flash_attn: variant !== "kv-f32",
    ...(variant === "kv-f32" && { cache_type_k: "f32", cache_type_v: "f32" }),
  });
  return {
    info: { version: Wllama.getLibllamaVersion(), threads: wllama.getNumThreads() },
    async generate(prompt, newTokens) {
      const start = performance.now();
      const [since, completion] = [
        () => performance.now() - start,
        await wllama.createCompletion({
          ...{ prompt: textOf(prompt), max_tokens: newTokens, temperature: 0, top_k: 1, samplers: ["top_k"] },
          ...{ ignore_eos: true, cache_prompt: false, stream: true, timings_per_token: true },
        }),
      ];
      let [firstMs, lastMs, firstTokens, predicted, promptTokens] = [0, 0, 1, 0, 0];
      for await (const chunk of completion) {
        if (chunk.choices?.[0]?.text === undefined && chunk.timings === undefined) continue;
        lastMs = since();
        predicted = chunk.timings?.predicted_n ?? predicted;
        promptTokens = chunk.timings?.prompt_n ?? promptTokens;
        if (firstMs === 0) [firstMs, firstTokens] = [lastMs, Math.max(predicted, 1)];
      }
      if (promptTokens !== prompt.length) throw new Error(`${promptTokens} tokens of ${prompt.length}`);
      return { firstTokens, newTokens: predicted, firstMs, lastMs, totalMs: since() };
    },
  };
});

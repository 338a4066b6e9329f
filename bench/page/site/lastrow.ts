import { load } from "lastrow";
import { MODEL_FILES } from "../model-files.js";
import { runPage, TokenClock } from "./run-page.js";

void runPage(async ({ type, threads }) => {
  const path = type === "f32" ? `${MODEL_FILES.safetensors}/` : MODEL_FILES.ggufQ8;
  // K and V for one context, as the peers have; by default there would be room for four.
  const lm = await load(new URL(`/models/${path}`, location.href).href, {
    ...{ dtype: type === "q8_0" ? "auto" : (type as "f32" | "int8"), threads, kvMemory: "72MiB" },
  });
  // The lists of tensors and of metadata are long and the same every time.
  const { tensors, metadata, files, ...info } = lm.info as typeof lm.info & Record<string, unknown>;
  return {
    info,
    async generate(prompt, newTokens) {
      const clock = new TokenClock();
      const options = { maxTokens: newTokens, temperature: 0, ignoreEos: true };
      for await (const { tokens } of lm.generate(prompt, options)) {
        for (const token of tokens) clock.add(token);
      }
      return clock.stop();
    },
  };
});

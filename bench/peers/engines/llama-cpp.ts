/**
 * llama.cpp through node-llama-cpp: its prebuilt binary, which picks the code for this machine's instructions when it
 * starts (AVX-512 and AMX where they are). A prompt of 512 tokens is one batch, the default. Flash attention is on:
 * documented as the faster way, and it was. K and V are f16, the default and the only documented type.
 */
import { getLlama, type Token } from "node-llama-cpp";
import { CONTEXT_SIZE } from "./context-size.js";
import { type Engine, type EngineOptions, ggufFileOf, TokenClock } from "./engine.js";

const BATCH_SIZE = 512;

export async function startLlamaCpp({ dtype, threads }: EngineOptions): Promise<Engine> {
  const llama = await getLlama({ gpu: false, build: "never", skipDownload: true, maxThreads: threads });
  const model = await llama.loadModel({ modelPath: ggufFileOf(dtype) });
  const context = await model.createContext({
    contextSize: CONTEXT_SIZE,
    batchSize: BATCH_SIZE,
    flashAttention: true,
    threads: { ideal: threads, min: threads },
  });
  const sequence = context.getSequence();
  return {
    description: `prebuilt binary, ${context.currentThreads || threads} threads, ${ggufFileOf(dtype).split("/").at(-1)}`,
    async generate(prompt, newTokens) {
      await sequence.clearHistory();
      const clock = new TokenClock();
      // Temperature 0, the default, is greedy.
      for await (const token of sequence.evaluate(asTokens(prompt), {
        temperature: 0,
        yieldEogToken: true,
      })) {
        clock.add(token);
        if (clock.count === newTokens) break;
      }
      return clock.finish();
    },
    async logits(prompt) {
      await sequence.clearHistory();
      const last = prompt.length - 1;
      const input = asTokens(prompt).map((token, i) =>
        i === last ? ([token, { generateNext: { logits: true } }] satisfies [Token, object]) : token,
      );
      const byToken = (await sequence.controlledEvaluate(input))[last]?.next.logits;
      if (byToken === undefined) throw new Error("node-llama-cpp gave no logits.");
      const logits = new Float32Array(byToken.size);
      for (const [token, logit] of byToken) logits[token] = logit;
      return logits;
    },
  };
}

function asTokens(ids: readonly number[]): Token[] {
  return [...ids] as Token[];
}

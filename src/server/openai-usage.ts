/** What an answer took, as completions and chats of OpenAI's say it, and as llama.cpp does beside it. */
import type { z } from "@hono/zod-openapi";
import type { AnswerCost } from "./generation-service.js";
import type { timingsSchema, usageSchema } from "./schemas/generation.js";

/** OpenAI's `usage`. */
export function usageOf(cost: AnswerCost): z.infer<typeof usageSchema> {
  const { promptTokens, cachedTokens, completionTokens, reasoningTokens } = cost;
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
    ...(reasoningTokens !== null && {
      completion_tokens_details: { reasoning_tokens: reasoningTokens },
    }),
  };
}

/** The same where nothing is generated. */
export function readoutUsage({
  promptTokens,
  cachedTokens,
}: Pick<AnswerCost, "promptTokens" | "cachedTokens">) {
  return {
    prompt_tokens: promptTokens,
    total_tokens: promptTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  };
}

/** llama.cpp's `timings`. */
export function timingsOf(cost: AnswerCost): z.infer<typeof timingsSchema> {
  const { promptTokens, cachedTokens, completionTokens, prefillMs, decodeMs } = cost;
  const computed = promptTokens - cachedTokens;
  return {
    cache_n: cachedTokens,
    prompt_n: computed,
    prompt_ms: prefillMs,
    prompt_per_token_ms: ratio(prefillMs, computed),
    prompt_per_second: ratio(computed * 1000, prefillMs),
    predicted_n: completionTokens,
    predicted_ms: decodeMs,
    predicted_per_token_ms: ratio(decodeMs, completionTokens),
    predicted_per_second: ratio(completionTokens * 1000, decodeMs),
    ...(cost.proposedTokens > 0 && { draft_n: cost.proposedTokens, draft_n_accepted: cost.acceptedTokens }),
  };
}

/** A quotient that JSON can hold. */
function ratio(a: number, b: number): number {
  return b === 0 ? 0 : a / b;
}

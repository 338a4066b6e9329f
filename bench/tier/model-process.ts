/**
 * A process of models, for the benchmark of the tier: what a server is, without HTTP. Loads models under names, generates with them,
 * and says how long the first tokens took, in its own time. Speaks over the channel of `fork`; see model-link.ts.
 */
import { type LanguageModel, load } from "lastrow";
import { redisTier } from "lastrow/tier";
import type { Answer, Ask, Generated, ModelOptions, Prompt } from "./model-link.js";

const models = new Map<string, LanguageModel>();

process.on("message", async ({ id, ask }: { id: number; ask: Ask }) => {
  try {
    process.send!({ id, answer: await answered(ask) } satisfies Answer);
  } catch (error) {
    process.send!({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
});
// The benchmark is gone.
process.on("disconnect", () => process.exit());

async function answered(ask: Ask): Promise<unknown> {
  switch (ask.kind) {
    case "load":
      models.set(ask.name, await load(ask.model, loadOptions(ask.options)));
      return modelNamed(ask.name).info;
    case "generate": {
      const lm = modelNamed(ask.name);
      return ask.atOnce
        ? Promise.all(ask.prompts.map((prompt) => generated(lm, prompt)))
        : inTurn(lm, ask.prompts);
    }
    case "stats":
      return {
        engine: (await modelNamed(ask.name).stats()).tier,
        tier: await modelNamed(ask.name).tierStats(),
      };
    case "unload":
      await modelNamed(ask.name).dispose();
      models.delete(ask.name);
      return null;
  }
}

function modelNamed(name: string): LanguageModel {
  const lm = models.get(name);
  if (lm === undefined) throw new Error(`No model ${name}.`);
  return lm;
}

function loadOptions({ tier, ...options }: ModelOptions) {
  if (tier === undefined) return { ...options, worker: true };
  const { key, ...settings } = tier;
  return { ...options, worker: true, tier: redisTier({ ...settings, key: Buffer.from(key, "hex") }) };
}

async function inTurn(lm: LanguageModel, prompts: readonly Prompt[]): Promise<Generated[]> {
  const all: Generated[] = [];
  for (const prompt of prompts) all.push(await generated(lm, prompt));
  return all;
}

async function generated(lm: LanguageModel, { tokens, maxTokens, salt }: Prompt): Promise<Generated> {
  const begun = performance.now();
  let firstMs = 0;
  const generation = lm.generate(tokens, { maxTokens, salt, temperature: 0, ignoreEos: true });
  for await (const _ of generation) firstMs ||= performance.now() - begun;
  const { tokens: ids, numCachedTokens, rowsComputed } = await generation.result();
  return { firstMs, totalMs: performance.now() - begun, tokens: ids, numCachedTokens, rowsComputed };
}

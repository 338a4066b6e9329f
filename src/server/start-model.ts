/** Puts together everything that belongs to one model: its engine, its text thread, what is held in it. */
import type { LanguageModel } from "../library/language-model.js";
import type { LoadOptions } from "../library/load-options.js";
import type { ModelInfo } from "../library/model-info.js";
import type { CallFormatName } from "../tools/call-format.js";
import { type EngineState, EngineSupervisor } from "./engine-supervisor.js";
import { HeldSequences } from "./held-sequences.js";
import type { NewKeptId } from "./instance.js";
import type { ServerLimits } from "./limits.js";
import type { ModelMetrics } from "./metrics.js";
import type { ModelService, ServedModel } from "./model-service.js";
import { TextThread } from "./text-thread.js";
import type { TierWatch } from "./tier-watch.js";

export interface ModelParts {
  /** What clients call it. */
  readonly id: string;
  /** Unix seconds of when the server had it first; null: when it is loaded. */
  readonly created: number | null;
  /** Loads it with these options over the server's own. */
  readonly load: (
    options: Pick<LoadOptions, "contextLength" | "kvMemory" | "signal">,
  ) => Promise<LanguageModel>;
  readonly limits: ServerLimits;
  readonly newId: NewKeptId;
  /** The text of a chat template in place of the model's own. */
  readonly chatTemplate: string | undefined;
  /** How it writes calls of tools; undefined: as its template asks for them. */
  readonly toolFormat: CallFormatName | undefined;
  readonly metrics: ModelMetrics;
  readonly onEngine: (state: EngineState, error: unknown) => void;
  /** Looks at the tier that it shares for as long as it is loaded; null: it shares none. */
  readonly tier: TierWatch | null;
  /** Told when something that was held in it is gone. */
  readonly holdsLess: () => void;
}

/**
 * Loads a model and starts what answers for it.
 * @param signal ends the loading, not what comes after it
 * @throws LastrowError as `load`; `invalid_argument` for a template that cannot be used
 */
export async function startModel(parts: ModelParts, signal: AbortSignal): Promise<ModelService> {
  const { id, metrics, limits: serverLimits, tier } = parts;
  let sequences: HeldSequences | null = null;
  const engine = new EngineSupervisor({
    load: (own, before) =>
      parts.load({ ...sameMemory(before), signal: before === null ? AbortSignal.any([own, signal]) : own }),
    onChange: parts.onEngine,
    onLost: (model) => sequences?.forget(model),
    onModel: (model) => {
      metrics.beginsAnew();
      void watchSteps(model, metrics);
      tier?.begin(() => model.tierStats());
    },
  });
  const model = await engine.start();
  let texts: TextThread | null;
  try {
    texts = await startTexts(model, parts);
  } catch (error) {
    tier?.end();
    await engine.dispose();
    throw error;
  }
  const { info } = model;
  const served: ServedModel = {
    id,
    info,
    longestToken: model.tokenizer?.longestToken ?? 0,
    created: parts.created ?? Math.floor(Date.now() / 1000),
  };
  const promptTokens = Math.min(serverLimits.promptTokens, info.config.contextLength);
  const limits: ServerLimits = { ...serverLimits, promptTokens };
  metrics.describe(info);
  const held = new HeldSequences(limits, info.kv.bytesPerToken, parts.holdsLess, parts.newId);
  sequences = held;
  return {
    ...{ served, limits, engine, texts, sequences, metrics },
    async dispose() {
      tier?.end();
      await held.dispose();
      await Promise.all([engine.dispose(), texts?.dispose()]);
    },
  };
}

/**
 * A model that is loaded again has the context and the KV cache of the one before, whatever is free by now: clients were
 * told of them, and limits are set by them.
 */
function sameMemory(before: ModelInfo | null): Pick<LoadOptions, "contextLength" | "kvMemory"> {
  return before === null ? {} : { contextLength: before.contextLength, kvMemory: before.kv.bytes };
}

/** Each forward pass becomes a number in the histograms. */
async function watchSteps(model: LanguageModel, metrics: ModelMetrics): Promise<void> {
  try {
    for await (const event of model.events(["step"])) {
      if (event.type === "step") metrics.step(event.rows, event.sequences);
    }
  } catch {
    // The engine is lost; its callers are told, and the next one is watched anew.
  }
}

async function startTexts(
  model: LanguageModel,
  { chatTemplate: given, toolFormat, limits }: ModelParts,
): Promise<TextThread | null> {
  const tokenizer = model.tokenizer?.portable() ?? null;
  if (tokenizer === null) return null;
  const chatTemplate = given === undefined ? model.chatTemplate : { source: given };
  const deadlineMs = limits.textSeconds * 1000;
  const { vocabSize, contextLength } = model.info.config;
  // A template has half of the time, so that a slow template is told from a long text.
  const data = {
    tokenizer,
    vocabSize,
    contextLength,
    chatTemplate,
    toolFormat,
    isTemplateGiven: given !== undefined,
    renderMs: deadlineMs / 2,
  };
  return TextThread.start(data, deadlineMs);
}

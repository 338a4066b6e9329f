/**
 * From the models that a server is told of to what it serves. A single one is loaded at once and stays. Of several each is
 * downloaded and planned before the server answers, and loaded when it is first asked for.
 */
import type { FoundTemplate } from "../chat/chat-template.js";
import { type TemplateAbilities, templateAbilities } from "../chat/template-abilities.js";
import { load } from "../library/load.js";
import { LOAD_OPTIONS, type LoadOptions } from "../library/load-options.js";
import { withoutOthers } from "../option-names.js";
import type { NewKeptId } from "./instance.js";
import type { ServerLimits } from "./limits.js";
import { LoadedModels } from "./loaded-models.js";
import { planModels } from "./memory-budget.js";
import type { Metrics } from "./metrics.js";
import type { ModelService } from "./model-service.js";
import { type ListedModel, ServedModels } from "./served-models.js";
import type { NamedModel, ServerOptions } from "./server-options.js";
import { type ModelParts, startModel } from "./start-model.js";
import { type TierProblem, TierWatch } from "./tier-watch.js";

/** What the models of a server share. */
interface Shared {
  readonly limits: ServerLimits;
  readonly metrics: Metrics;
  readonly newId: NewKeptId;
}

/** @throws LastrowError as `createServer` */
export function openModels(
  named: readonly NamedModel[],
  options: ServerOptions,
  shared: Shared,
): Promise<ServedModels> {
  return named.length === 1 ? openOne(named[0], options, shared) : openSeveral(named, options, shared);
}

async function openOne(
  { id, source }: NamedModel,
  options: ServerOptions,
  shared: Shared,
): Promise<ServedModels> {
  const { loadModel } = options;
  const loadOne: ModelParts["load"] = (own) =>
    loadModel === undefined
      ? load(source, { ...engineOptions(options), ...own })
      : loadModel(own.signal ?? new AbortController().signal);
  const parts = { id, created: null, load: loadOne, holdsLess: () => undefined };
  const loaded = new LoadedModels<ModelService>(
    [{ id, bytes: 0, ...lifeOf({ ...parts, ...partsOf(id, options, shared) }) }],
    { budgetBytes: Number.POSITIVE_INFINITY, waitMs: 0, idleMs: null },
  );
  try {
    const { served, texts, engine } = await loaded.keep(id);
    const { created, info } = served;
    const { contextLength } = info.config;
    const { tokenizer } = engine.model;
    const infills = tokenizer !== null && tokenizer.infillTokens !== null;
    const about = { ...info, abilities: texts?.abilities ?? null, infills };
    const listed = { id, created, contextLength, memoryBytes: info.memoryBytes, about };
    return new ServedModels([listed], loaded, null);
  } catch (error) {
    await loaded.dispose();
    throw error;
  }
}

async function openSeveral(
  named: readonly NamedModel[],
  options: ServerOptions,
  shared: Shared,
): Promise<ServedModels> {
  // The first model that is connected to it may be asked for much later.
  const tierProblem = (await options.tier?.check()) ?? null;
  const { budgetBytes, idleMs, models } = await planModels(named, options, engineOptions(options));
  const created = Math.floor(Date.now() / 1000);
  const turns = new LoadTurns();
  const loaded: LoadedModels<ModelService> = new LoadedModels<ModelService>(
    models.map(({ id, files, plan }) => {
      // What was planned is what it gets, whatever is free by then; its files are here.
      const planned = { contextLength: plan.contextLength, kvMemory: plan.kvBytes, onProgress: undefined };
      const loadOne: ModelParts["load"] = (own) =>
        turns.take(() => load(files, { ...engineOptions(options), ...planned, ...own }));
      const parts = { id, created, load: loadOne, holdsLess: () => loaded.holdsLess(id) };
      return {
        ...{ id, bytes: plan.memoryBytes },
        ...lifeOf({ ...parts, ...partsOf(id, options, shared, tierProblem) }),
      };
    }),
    {
      budgetBytes,
      waitMs: shared.limits.loadSeconds * 1000,
      idleMs,
      onChange: (id, change, error) => {
        if (change === "loaded") shared.metrics.of(id).loaded();
        options.onLoad?.(change, error, id);
      },
    },
  );
  const listed = models.map(({ id, plan, embedding, infills, chatTemplate }): ListedModel => {
    const { contextLength, memoryBytes, config, dtype, parameters, files } = plan;
    const abilities = abilitiesOf(chatTemplate);
    const about = { config, dtype, parameters: parameters!, files: files!, embedding, abilities, infills };
    return { id, created, contextLength, memoryBytes, about };
  });
  return new ServedModels(listed, loaded, budgetBytes);
}

/** What a model's template lets it do, whether it is loaded or not; one that cannot be read counts as if it could. */
function abilitiesOf(found: FoundTemplate): TemplateAbilities | null {
  return "source" in found ? templateAbilities(found.source) : null;
}

function partsOf(
  id: string,
  { chatTemplate, toolFormat, onEngine, tier, onTier }: ServerOptions,
  { limits, metrics, newId }: Shared,
  tierProblem: TierProblem = null,
) {
  const tell = (problem: TierProblem) => onTier?.(problem, id);
  return {
    ...{ limits, newId, chatTemplate, toolFormat, metrics: metrics.of(id) },
    onEngine: (...[state, error]: Parameters<ModelParts["onEngine"]>) => onEngine?.(state, error, id),
    tier: tier === undefined ? null : new TierWatch(tell, tierProblem),
  };
}

/** How a model comes and goes. */
function lifeOf(parts: ModelParts) {
  return {
    load: (signal: AbortSignal) => startModel(parts, signal),
    unload: (model: ModelService) => model.dispose(),
    isHeld: ({ sequences }: ModelService) => sequences.size > 0,
  };
}

function engineOptions(options: ServerOptions): LoadOptions {
  return withoutOthers(options as LoadOptions, LOAD_OPTIONS);
}

/** One load at a time, also of an engine that was lost and is replaced. */
class LoadTurns {
  #last: Promise<unknown> = Promise.resolve();

  take<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined);
    return done;
  }
}

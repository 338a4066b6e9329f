/** What a server is told, and which models that names. */
import { invalidArgument } from "../errors.js";
import type { LanguageModel } from "../library/language-model.js";
import { checkTier, type LoadOptions } from "../library/load-options.js";
import { checkOptions, oneOf, shown } from "../option-checks.js";
import { optionNames } from "../option-names.js";
import type { ModelSource } from "../platform/platform.js";
import type { KvTier } from "../protocol/kv-tier.js";
import { CALL_FORMATS, type CallFormatName } from "../tools/call-format.js";
import type { EngineState } from "./engine-supervisor.js";
import type { RequestRecord } from "./exchange.js";
import type { ServerLimits } from "./limits.js";
import type { LoadChange } from "./loaded-models.js";
import { isModelId, servedName } from "./served-name.js";
import type { TierProblem } from "./tier-watch.js";

/** What is served, who may use it, and how much of it. `LoadOptions` are the engine's, of each model. */
export interface ServerOptions extends Omit<LoadOptions, "signal"> {
  /** As `load` takes it; the embedded model by default. */
  readonly model?: ModelSource | undefined;
  /**
   * Several models in its place, each under the name that clients call it: `{ chat: "Qwen/Qwen3-0.6B", small: "./models/s" }`.
   * What has to be downloaded is downloaded before the server answers; each is loaded when it is first asked for.
   */
  readonly models?: Readonly<Record<string, ModelSource>> | undefined;
  /**
   * With several models: memory that those that are loaded take together, bytes or a text such as `"12GiB"`. Default: three
   * quarters of what is free. Where it does not hold all of them, those that were unused longest make room.
   */
  readonly memory?: number | string | undefined;
  /**
   * With several models: how long one may be unused before it is unloaded, seconds or a text such as `"10m"`. Default: it
   * stays until another needs its room.
   */
  readonly idle?: number | string | undefined;
  /** The address that it listens on; a request's Host is checked against it. Default: this machine's. */
  readonly boundTo?: string | null | undefined;
  /** More host names of this server, such as a proxy's. */
  readonly allowedHosts?: readonly string[] | undefined;
  /** Origins whose pages may use it; `*` for all. Default: none. */
  readonly corsOrigins?: readonly string[] | undefined;
  /** What clients call a single model. Default: its Hub name, or the name of its folder. */
  readonly servedModelName?: string | undefined;
  /**
   * The name of this server among several, such as a pod's: ids of held sequences and of responses begin with it
   * (`seq_NAME_…`), so that requests for them can be sent to it. Default: they have none.
   */
  readonly instance?: string | undefined;
  /** The file of keys; without it no key is asked for. */
  readonly apiKeys?: string | undefined;
  /** The text of a chat template, in place of a single model's own. */
  readonly chatTemplate?: string | undefined;
  /** How the model writes calls of tools; docs/tools.md has the forms. Default: as its template asks for them. */
  readonly toolFormat?: CallFormatName | undefined;
  /** The folder, this server's alone, in which clients may save sequences; without it they cannot. */
  readonly saveDir?: string | undefined;
  /**
   * A KV tier that servers share; each model has a namespace of its own in it. Keys' salts come from its key then, so that a name
   * finds its blocks on every server: on all of them a name must mean the same people.
   */
  readonly tier?: KvTier | undefined;
  /** Share the prefix cache among all keys. Default false. */
  readonly sharePrefixes?: boolean | undefined;
  /**
   * What the keys' salts are derived from. Default: kept in `saveDir`; without one random, new with each start. Not with a `tier`:
   * then they are derived from its key.
   */
  readonly cacheSecret?: Uint8Array | undefined;
  /** The server's limits; docs/serving.md has them all, with their defaults. */
  readonly limits?: Partial<ServerLimits> | undefined;
  /** Milliseconds after which a quiet stream gets a comment line. Default 10,000. */
  readonly keepAliveMs?: number | undefined;
  /** Whether records of requests hold the prompts. Default false. */
  readonly logPrompts?: boolean | undefined;
  /** Called at the end of every request, with the failure if it is the server's own (else null). */
  readonly onRequest?: ((record: RequestRecord, failure: unknown) => void) | undefined;
  /** Called when the state of a model's engine changes. */
  readonly onEngine?: ((state: EngineState, error: unknown, model: string) => void) | undefined;
  /** Called with what is the matter with a model's tier, which is of no use then, or of less; null: nothing any more. */
  readonly onTier?: ((problem: TierProblem, model: string) => void) | undefined;
  /** Called when one of several models is loaded, cannot be, or is unloaded. */
  readonly onLoad?: ((change: LoadChange, error: unknown, model: string) => void) | undefined;
  /** How a single model is loaded; `load` unless a test has another way. @internal */
  readonly loadModel?: ((signal: AbortSignal) => Promise<LanguageModel>) | undefined;
}

const ENGINE_OPTIONS = {
  ...{ kernels: true, dtype: true, contextLength: true, kvDtype: true, kvMemory: true, threads: true },
  ...{ vectors: true, worker: true, tokenBudget: true, installationKey: true, onProgress: true, tier: true },
};
const SERVER_OPTIONS = optionNames<ServerOptions>()("createServer", {
  ...ENGINE_OPTIONS,
  ...{
    model: true,
    models: true,
    memory: true,
    idle: true,
    servedModelName: true,
    chatTemplate: true,
    toolFormat: true,
    saveDir: true,
    limits: true,
  },
  ...{ instance: true, boundTo: true, allowedHosts: true, corsOrigins: true, apiKeys: true },
  ...{ sharePrefixes: true, cacheSecret: true, keepAliveMs: true, logPrompts: true },
  ...{ onRequest: true, onEngine: true, onTier: true, onLoad: true, loadModel: true },
});

/** A model, and what clients call it. */
export interface NamedModel {
  readonly id: string;
  /** Undefined: the embedded one. */
  readonly source: ModelSource | undefined;
}

/**
 * Checks the options, and says which models they name.
 * @throws LastrowError `invalid_argument`
 */
export function askedModels(options: ServerOptions): readonly NamedModel[] {
  if (typeof options === "string") {
    throw invalidArgument(`The options of createServer are an object: { model: ${shown(options)} }.`);
  }
  checkOptions(options, SERVER_OPTIONS);
  if (options.toolFormat !== undefined) oneOf("toolFormat", options.toolFormat, CALL_FORMATS);
  if (options.tier !== undefined) {
    checkTier(options.tier);
    expectNone(
      options,
      ["cacheSecret"],
      "is for a server without a tier: with one, salts come from the tier's key",
    );
  }
  const { model, models, servedModelName } = options;
  const named = models === undefined ? null : namedModels(models);
  if (named === null) {
    expectNone(options, ["memory", "idle"], "is for several models; a single one stays loaded");
    return [{ id: servedModelName ?? servedName(model), source: model }];
  }
  if (model !== undefined) throw invalidArgument("There is either a model or models, not both.");
  expectNone(options, ["servedModelName"], "is for a single model; each of several has its name in models");
  if (named.length > 1) {
    expectNone(options, ["chatTemplate"], "is for a single model; each of several has its own template");
    expectNone(options, ["toolFormat"], "is for a single model; each of several has that of its template");
    expectNone(options, ["loadModel"], "is for a single model");
  } else expectNone(options, ["memory", "idle"], "is for several models; a single one stays loaded");
  return named;
}

function namedModels(models: unknown): readonly NamedModel[] {
  if (typeof models !== "object" || models === null || Array.isArray(models)) {
    throw invalidArgument(
      `models is an object, in which each model has a name: { chat: "Qwen/Qwen3-0.6B" }, not ${shown(models)}.`,
    );
  }
  const named = Object.entries(models).map(([id, source]) => ({ id, source }));
  if (named.length === 0) throw invalidArgument("models names none.");
  for (const { id } of named) {
    if (isModelId(id)) continue;
    throw invalidArgument(
      `${shown(id)} cannot be a model's name: it has up to 200 letters, digits, dots, dashes, underscores, slashes, colons or @, a letter or digit first.`,
    );
  }
  return named;
}

function expectNone(options: ServerOptions, names: readonly (keyof ServerOptions)[], why: string): void {
  const given = names.find((name) => options[name] !== undefined);
  if (given !== undefined) throw invalidArgument(`${given} ${why}.`);
}

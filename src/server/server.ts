/**
 * A server for one model: `fetch` answers requests wherever there are web-standard ones (Node, Deno, Bun, a test), with
 * no socket of its own. Puts the parts together and owns them until `dispose`.
 */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { invalidArgument, LastrowError } from "../errors.js";
import type { LanguageModel, ModelInfo } from "../library/language-model.js";
import { load } from "../library/load.js";
import { LOAD_OPTIONS, type LoadOptions } from "../library/load-options.js";
import { checkOptions, shown } from "../option-checks.js";
import { optionNames, withoutOthers } from "../option-names.js";
import type { ModelSource } from "../platform/platform.js";
import { VERSION } from "../version.js";
import { Admission } from "./admission.js";
import { AnswerMemory } from "./answer-memory.js";
import type { ApiError } from "./api-error.js";
import { createApp } from "./app.js";
import { BodyThread } from "./body-thread.js";
import { type EngineState, EngineSupervisor } from "./engine-supervisor.js";
import type { RequestRecord } from "./exchange.js";
import { Guard } from "./guard.js";
import { HeldSequences } from "./held-sequences.js";
import { ApiKeys } from "./keys.js";
import { type ServerLimits, settleLimits } from "./limits.js";
import { Metrics } from "./metrics.js";
import type { ServedModel } from "./model-service.js";
import { type Refusal, refuseRequest } from "./refused-request.js";
import { StoredResponses } from "./responses/stored-responses.js";
import type { Connection } from "./routes/routing.js";
import { SavedFolder } from "./saved-folder.js";
import { ServedModels } from "./served-models.js";
import { servedName } from "./served-name.js";
import type { Service } from "./service.js";
import { StaticPage } from "./static-page.js";
import { TextThread } from "./text-thread.js";

/** What is served, who may use it, and how much of it. `LoadOptions` are the engine's. */
export interface ServerOptions extends Omit<LoadOptions, "signal"> {
  /** As `load` takes it; the embedded model by default. */
  readonly model?: ModelSource | undefined;
  /** The address that it listens on; a request's Host is checked against it. Default: this machine's. */
  readonly boundTo?: string | null | undefined;
  /** More host names of this server, such as a proxy's. */
  readonly allowedHosts?: readonly string[] | undefined;
  /** Origins whose pages may use it; `*` for all. Default: none. */
  readonly corsOrigins?: readonly string[] | undefined;
  /** What clients call the model. Default: its Hub name, or the name of its folder. */
  readonly servedModelName?: string | undefined;
  /** The file of keys; without it no key is asked for. */
  readonly apiKeys?: string | undefined;
  /** The text of a chat template, in place of the model's own. */
  readonly chatTemplate?: string | undefined;
  /** The folder, this server's alone, in which clients may save sequences; without it they cannot. */
  readonly saveDir?: string | undefined;
  /** Share the prefix cache among all keys. Default false. */
  readonly sharePrefixes?: boolean | undefined;
  /** What the keys' salts are derived from. Default: kept in `saveDir`; without one random, new with each start. */
  readonly cacheSecret?: Uint8Array | undefined;
  /** The server's limits; docs/serving.md has them all, with their defaults. */
  readonly limits?: Partial<ServerLimits> | undefined;
  /** Milliseconds after which a quiet stream gets a comment line. Default 10,000. */
  readonly keepAliveMs?: number | undefined;
  /** Whether records of requests hold the prompts. Default false. */
  readonly logPrompts?: boolean | undefined;
  /** Called at the end of every request, with the failure if it is the server's own (else null). */
  readonly onRequest?: ((record: RequestRecord, failure: unknown) => void) | undefined;
  /** Called when the state of the engine changes. */
  readonly onEngine?: ((state: EngineState, error: unknown) => void) | undefined;
  /** How a model is loaded; `load` unless a test has another way. @internal */
  readonly loadModel?: ((signal: AbortSignal) => Promise<LanguageModel>) | undefined;
}

const ENGINE_OPTIONS = {
  ...{ kernels: true, dtype: true, contextLength: true, kvDtype: true, kvMemory: true, threads: true },
  ...{ vectors: true, worker: true, tokenBudget: true, installationKey: true, onProgress: true },
};
const SERVER_OPTIONS = optionNames<ServerOptions>()("createServer", {
  ...ENGINE_OPTIONS,
  ...{ model: true, servedModelName: true, chatTemplate: true, saveDir: true, limits: true },
  ...{ boundTo: true, allowedHosts: true, corsOrigins: true, apiKeys: true },
  ...{ sharePrefixes: true, cacheSecret: true, keepAliveMs: true, logPrompts: true },
  ...{ onRequest: true, onEngine: true, loadModel: true },
});

/** A server that answers. */
export interface LastrowServer extends AsyncDisposable {
  /** The model, as clients see it. */
  readonly served: ServedModel;
  /** The server's limits, defaults filled in. */
  readonly limits: ServerLimits;
  /** Answers one request; its signal ends the work. */
  fetch(request: Request, connection?: Connection): Promise<Response>;
  /** What to send back for a request that HTTP's own layer refuses; it is counted and logged like all others. */
  refuse(error: ApiError): Refusal;
  /** Whether it has a page at `/`. */
  readonly hasPage: boolean;
  /** Whether it can generate just now. */
  readonly isReady: boolean;
  /** Reads the file of keys again; on an error the old keys stay. */
  reloadKeys(): Promise<number>;
  /** Takes no more requests; resolves when the last one has been answered. */
  drain(): Promise<void>;
  /** Its parts. For tests that look inside. @internal */
  readonly service: Service;
  /** Lets what is under way finish, takes nothing more, and ends: as other servers close. */
  close(): Promise<void>;
  /** Ends it at once: the engine, what is held, what is under way. */
  dispose(): Promise<void>;
}

/**
 * Loads a model and everything around it.
 * @throws LastrowError as `load`; `invalid_argument` for options, keys or a template that cannot be used
 */
export async function createServer(options: ServerOptions = {}): Promise<LastrowServer> {
  if (typeof options === "string") {
    throw invalidArgument(`The options of createServer are an object: { model: ${shown(options)} }.`);
  }
  checkOptions(options, SERVER_OPTIONS);
  const settled = settleLimits(options.limits);
  const saved = options.saveDir === undefined ? null : await SavedFolder.open(options.saveDir, settled);
  const keys = new ApiKeys({
    secret: options.cacheSecret ?? saved?.secret ?? randomBytes(32),
    sharePrefixes: options.sharePrefixes === true,
  });
  const reloadKeys = async () => {
    if (options.apiKeys !== undefined) keys.replace(await readKeys(options.apiKeys), options.apiKeys);
    return keys.count;
  };
  await reloadKeys();

  const admission = new Admission(settled, keys);
  const textTurns = new Admission(settled, keys);
  const answers = new AnswerMemory(settled);
  let held: HeldSequences | null = null;
  const { installationKey = saved?.installationKey } = options;
  const engine = new EngineSupervisor({
    load:
      options.loadModel ??
      ((signal, before) =>
        load(options.model, {
          ...withoutOthers(options, LOAD_OPTIONS),
          ...sameMemory(before),
          ...{ installationKey, signal },
        })),
    onChange: (state, error) => options.onEngine?.(state, error),
    onLost: (model) => held?.forget(model),
    onModel: (model) => void watchSteps(model, metrics),
  });
  const metrics = new Metrics(options.servedModelName ?? servedName(options.model), {
    stats: async () => {
      if (engine.state !== "ready") return null;
      // The engine may be lost meanwhile; the other numbers are still wanted.
      return engine.model.stats().catch(() => null);
    },
    waiting: () => admission.waiting,
    engineRestarts: () => engine.restarts,
    heldSequences: () => held?.size ?? 0,
    answerBytes: () => answers.bytes,
  });

  const model = await engine.start();
  let texts: TextThread | null = null;
  try {
    texts = await startTexts(model, options, settled);
  } catch (error) {
    await engine.dispose();
    throw error;
  }
  const served: ServedModel = {
    id: options.servedModelName ?? servedName(options.model),
    info: model.info,
    longestToken: model.tokenizer?.longestToken ?? 0,
    created: Math.floor(Date.now() / 1000),
  };
  const limits: ServerLimits = {
    ...settled,
    promptTokens: Math.min(settled.promptTokens, model.info.config.contextLength),
  };
  metrics.describe(model.info);
  held = new HeldSequences(limits, model.info.kv.bytesPerToken);
  const models = new ServedModels({ served, limits, engine, texts, sequences: held, metrics });
  const bodies = new BodyThread({ limits, contextLength: models.contextLength });
  const responses = new StoredResponses(limits);
  const service: Service = {
    version: VERSION,
    limits,
    keys,
    admission,
    textTurns,
    answers,
    bodies,
    models,
    model: async (name) => models.find(name),
    responses,
    saved,
    metrics,
    keepAliveMs: options.keepAliveMs ?? 10_000,
    logPrompts: options.logPrompts === true,
  };
  const tell = (record: RequestRecord, failure: unknown) => {
    metrics.request(record);
    options.onRequest?.(record, failure);
  };
  const page = await StaticPage.open();
  const app = createApp({
    service,
    guard: new Guard({
      boundTo: options.boundTo ?? null,
      allowedHosts: options.allowedHosts ?? [],
      corsOrigins: options.corsOrigins ?? [],
    }),
    page,
    tell,
  });

  const dispose = async () => {
    responses.dispose();
    await Promise.all([models.dispose(), bodies.dispose()]);
  };
  const drain = async () => void (await Promise.all([admission.close(), textTurns.close()]));
  return {
    served,
    limits,
    service,
    fetch: async (request, connection = {}) => app.fetch(request, connection),
    refuse: (error) => refuseRequest(error, tell),
    hasPage: page.has("/"),
    get isReady() {
      return engine.state === "ready" && !admission.isClosed;
    },
    reloadKeys,
    drain,
    async close() {
      await drain();
      await dispose();
    },
    dispose,
    [Symbol.asyncDispose]: dispose,
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
async function watchSteps(model: LanguageModel, metrics: Metrics): Promise<void> {
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
  options: ServerOptions,
  limits: ServerLimits,
): Promise<TextThread | null> {
  const tokenizer = model.tokenizer?.portable() ?? null;
  if (tokenizer === null) return null;
  const chatTemplate =
    options.chatTemplate === undefined ? model.chatTemplate : { source: options.chatTemplate };
  const deadlineMs = limits.textSeconds * 1000;
  const { vocabSize, contextLength } = model.info.config;
  // A template has half of the time, so that a slow template is told from a long text.
  const data = {
    tokenizer,
    vocabSize,
    contextLength,
    chatTemplate,
    isTemplateGiven: options.chatTemplate !== undefined,
    renderMs: deadlineMs / 2,
  };
  return TextThread.start(data, deadlineMs);
}

async function readKeys(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new LastrowError(
      "invalid_argument",
      `The file of keys cannot be read: ${(cause as Error).message}.`,
      {
        cause,
      },
    );
  }
}

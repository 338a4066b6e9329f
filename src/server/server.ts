/**
 * A server for one model or several: `fetch` answers requests wherever there are web-standard ones (Node, Deno, Bun, a test), with
 * no socket of its own. Puts the parts together and owns them until `dispose`.
 */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { LastrowError } from "../errors.js";
import { VERSION } from "../version.js";
import { Admission } from "./admission.js";
import { AnswerMemory } from "./answer-memory.js";
import type { ApiError } from "./api-error.js";
import { createApp } from "./app.js";
import { BodyThread } from "./body-thread.js";
import type { RequestRecord } from "./exchange.js";
import { Guard } from "./guard.js";
import { keptIds } from "./instance.js";
import { ApiKeys, saltsUnder } from "./keys.js";
import { type ServerLimits, settleLimits } from "./limits.js";
import { Metrics, type ModelReading } from "./metrics.js";
import type { ServedModel } from "./model-service.js";
import { openModels } from "./open-models.js";
import { type Refusal, refuseRequest } from "./refused-request.js";
import { StoredResponses } from "./responses/stored-responses.js";
import type { Connection } from "./routes/routing.js";
import { SavedFolder } from "./saved-folder.js";
import type { ListedModel, ServedModels } from "./served-models.js";
import { askedModels, type ServerOptions } from "./server-options.js";
import type { Service } from "./service.js";
import { StaticPages } from "./static-pages.js";
import { Tracing } from "./tracing.js";

/** A server that answers. */
export interface LastrowServer extends AsyncDisposable {
  /** The models, as they are listed. */
  readonly models: readonly ListedModel[];
  /** Those that are loaded just now: a single model always is. */
  readonly loaded: readonly ServedModel[];
  /** Bytes that all loaded models may take; null for a single one. */
  readonly budgetBytes: number | null;
  /** The server's limits, defaults filled in. */
  readonly limits: ServerLimits;
  /** Answers one request; its signal ends the work. */
  fetch(request: Request, connection?: Connection): Promise<Response>;
  /** What to send back for a request that HTTP's own layer refuses; it is counted and logged like all others. */
  refuse(error: ApiError): Refusal;
  /** Whether it has a page to talk at `/`, and the explorer beside it. */
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
 * Makes a server: loads its model, or, of several, downloads and plans each.
 * @throws LastrowError as `load`; `memory_limit_exceeded` for a model that does not fit into what several may take;
 *   `invalid_argument` for options, keys or a template that cannot be used
 */
export async function createServer(options: ServerOptions = {}): Promise<LastrowServer> {
  const named = askedModels(options);
  const settled = settleLimits(options.limits);
  const newId = keptIds(options.instance);
  const saved = options.saveDir === undefined ? null : await SavedFolder.open(options.saveDir, settled);
  const { tier } = options;
  const keys = new ApiKeys({
    // Under a tier a name has the same salt on all servers that share it.
    saltOf:
      tier === undefined
        ? saltsUnder(options.cacheSecret ?? saved?.secret ?? randomBytes(32))
        : (name) => tier.tenantSalt(name),
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
  const metrics = new Metrics(
    named.map(({ id }) => id),
    {
      waiting: () => admission.waiting,
      answerBytes: () => answers.bytes,
      models: () => Promise.all(models.listed.map(({ id }) => readModel(models, id))),
    },
    tier !== undefined,
  );
  const { installationKey = saved?.installationKey } = options;
  const models = await openModels(
    named,
    { ...options, installationKey },
    { limits: settled, metrics, newId },
  );
  const limits: ServerLimits = {
    ...settled,
    promptTokens: Math.min(settled.promptTokens, models.contextLength),
  };
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
    model: (name, exchange) => models.use(name, exchange),
    newId,
    responses,
    saved,
    metrics,
    tracing: await Tracing.open(),
    keepAliveMs: options.keepAliveMs ?? 10_000,
    logPrompts: options.logPrompts === true,
  };
  const tell = (record: RequestRecord, failure: unknown) => {
    metrics.request(record);
    options.onRequest?.(record, failure);
  };
  const pages = await StaticPages.open();
  const app = createApp({
    service,
    guard: new Guard({
      boundTo: options.boundTo ?? null,
      allowedHosts: options.allowedHosts ?? [],
      corsOrigins: options.corsOrigins ?? [],
    }),
    pages,
    tell,
  });

  const dispose = async () => {
    responses.dispose();
    await Promise.all([models.dispose(), bodies.dispose()]);
  };
  const drain = async () => void (await Promise.all([admission.close(), textTurns.close()]));
  return {
    models: models.listed,
    budgetBytes: models.budgetBytes,
    get loaded() {
      return models.loaded.map(({ served }) => served);
    },
    limits,
    service,
    fetch: async (request, connection = {}) => app.fetch(request, connection),
    refuse: (error) => refuseRequest(error, tell),
    hasPage: pages.has("/"),
    get isReady() {
      return models.canAnswer && !admission.isClosed;
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
 * What the metrics tell of a model, as of now: the engine says it between two steps, so a scrape takes as long as what is left of
 * one. What it said after the last step would be there at once, and would be wrong: it knows nothing of the prompt that the
 * step at hand computes, so that a server which is busy for seconds would look idle, and of an engine that hangs it would go on to
 * say that all is well.
 */
async function readModel(models: ServedModels, id: string): Promise<ModelReading> {
  const model = models.peek(id);
  const waiting = models.waitingFor(id);
  if (model === null) return { id, loaded: null, waiting };
  const { engine, sequences } = model;
  // The engine may be lost meanwhile; the other numbers are still wanted.
  const [stats, tier] =
    engine.state === "ready"
      ? await Promise.all([
          engine.model.stats().catch(() => null),
          engine.model.tierStats().catch(() => null),
        ])
      : [null, null];
  return {
    id,
    loaded: { stats, tier, engineRestarts: engine.restarts, heldSequences: sequences.size },
    waiting,
  };
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

/** `lastrow serve`: the OpenAI-compatible server, until a signal ends it. */
import { readFile } from "node:fs/promises";
import { LastrowError } from "../../errors.js";
import type { ModelInfo } from "../../library/model-info.js";
import { formatMemorySize } from "../../memory-size.js";
import { printable, printableJson } from "../../printable.js";
import { isLoopback } from "../../server/guard.js";
import { LIMITS, type LimitName, type ServerLimits } from "../../server/limits.js";
import { logWriter } from "../../server/log-writer.js";
import { listen } from "../../server/node-listener.js";
import { jsonLog, type Log, readableLog } from "../../server/request-log.js";
import { createServer, type LastrowServer } from "../../server/server.js";
import type { CallFormatName } from "../../tools/call-format.js";
import { contextWords, formatCount, kvBoundWords, machineWords, roundingNotice } from "../format.js";
import { modelsOf, type NamedSource } from "../named-source.js";
import { askedVectors, type EngineOptions } from "../options.js";
import { loadingDisplay } from "../progress.js";
import { coloursFor, columnsOf, type Io, joinedLines, wrapText, write } from "../terminal.js";
import { type TierCommandOptions, tierOf, tierPlace } from "../tier-options.js";

export interface ServeCommandOptions extends Omit<EngineOptions, "model">, TierCommandOptions {
  readonly model?: readonly NamedSource[] | undefined;
  readonly memory?: string | undefined;
  readonly idle?: string | undefined;
  readonly host: string;
  readonly port: number;
  readonly instance?: string | undefined;
  readonly apiKeys?: string | undefined;
  readonly insecure?: boolean | undefined;
  readonly allowHost?: readonly string[] | undefined;
  readonly corsOrigin?: readonly string[] | undefined;
  readonly chatTemplate?: string | undefined;
  readonly toolFormat?: CallFormatName | undefined;
  readonly servedModelName?: string | undefined;
  readonly sharePrefixes?: boolean | undefined;
  readonly cacheSecretFile?: string | undefined;
  readonly saveDir?: string | undefined;
  readonly drainSeconds: number;
  readonly logPrompts?: boolean | undefined;
  /** Limits, by the names of their options in camel case. */
  readonly [limit: string]: unknown;
}

/** Of a secret that salts are derived from. */
const LEAST_SECRET_BYTES = 16;

/** @returns the exit code: 0 after a signal, when all that was under way has been answered */
export async function serve(options: ServeCommandOptions, io: Io): Promise<number> {
  const { host, port, apiKeys } = options;
  if (apiKeys === undefined && options.insecure !== true && !isLoopback(host)) {
    throw new LastrowError(
      "invalid_argument",
      `Anyone who can reach ${host} could use this server; give --api-keys FILE, or --insecure if that is what you want.`,
    );
  }
  const cacheSecret =
    options.cacheSecretFile === undefined ? undefined : await readSecret(options.cacheSecretFile);
  const chatTemplate =
    options.chatTemplate === undefined
      ? undefined
      : await readFileFor("--chat-template", options.chatTemplate);
  const tier = await tierOf(options);
  const log = logFor(io);
  const { model: named = [] } = options;
  const label = named.length > 1 ? `${named.length} models` : (named[0]?.source ?? "stories");
  const display = loadingDisplay(io, printable(label));
  let server: LastrowServer;
  try {
    server = await createServer({
      ...modelsOf(named, options.servedModelName),
      memory: options.memory,
      idle: options.idle,
      kernels: options.kernels,
      contextLength: options.context,
      kvMemory: options.kvMemory,
      kvDtype: options.kvDtype,
      threads: options.threads,
      vectors: askedVectors(options),
      dtype: options.dtype,
      tokenBudget: options.tokenBudget,
      onProgress: display.onProgress,
      instance: options.instance,
      apiKeys,
      chatTemplate: chatTemplate?.toString("utf8"),
      toolFormat: options.toolFormat,
      sharePrefixes: options.sharePrefixes,
      cacheSecret,
      tier,
      saveDir: options.saveDir,
      boundTo: host,
      allowedHosts: options.allowHost,
      corsOrigins: options.corsOrigin,
      limits: askedLimits(options),
      logPrompts: options.logPrompts,
      onRequest: (record, failure) => log.request(record, failure),
      onEngine: (state, error, model) => {
        if (state === "restarting") log.warn(`The engine of ${model} is lost; it is being restarted.`, error);
      },
      onTier: (problem, model) => {
        if (problem === null) log.info(`The KV tier of ${model} is in use again.`);
        else
          log.warn(`The KV tier of ${model} is of no use just now; what it has is computed here. ${problem}`);
      },
      onLoad: (change, error, model) => {
        if (change === "failed") log.warn(`${model} could not be loaded.`, error);
        else if (change === "loaded") log.info(`${model} is loaded.`);
        else if (change === "unloaded") log.info(`${model} is unloaded.`);
      },
    });
  } finally {
    display.stop();
  }
  try {
    await using listening = await listen(server, { host, port });
    // Without a file of keys it means what it means to any other program: the terminal was closed.
    const onHangUp = () => {
      server.reloadKeys().then(
        (count) => log.info(`Keys read again: ${count}.`),
        (error) => log.warn(`The keys stay as they were: ${(error as Error).message}`),
      );
    };
    if (apiKeys !== undefined) process.on("SIGHUP", onHangUp);
    try {
      await announce(server, listening.url, options, io);
      await new Promise<void>((resolve) => {
        if (io.signal.aborted) resolve();
        else io.signal.addEventListener("abort", () => resolve(), { once: true });
      });
    } finally {
      process.off("SIGHUP", onHangUp);
    }
    log.info(`Shutting down: what is under way has ${options.drainSeconds} s to finish.`);
    const isDrained = await listening.close(options.drainSeconds);
    log.info(isDrained ? "Done." : "Some requests were cut off.");
  } finally {
    await server.dispose();
  }
  return 0;
}

/** A log for a person on a terminal, JSON otherwise. */
function logFor(io: Io): Log {
  const { stderr, env } = io;
  const missed = (lines: number) =>
    `Lines of the log that were left out, since its reader stood still: ${lines}.`;
  if (stderr.isTTY !== true) {
    return jsonLog(logWriter(stderr, (lines) => `${JSON.stringify({ level: 40, msg: missed(lines) })}\n`));
  }
  return readableLog(
    logWriter(stderr, (lines) => `${missed(lines)}\n`),
    coloursFor(stderr, env),
  );
}

/** What a person sees when it is up. */
async function announce(
  server: LastrowServer,
  url: string,
  options: ServeCommandOptions,
  io: Io,
): Promise<void> {
  const { models, limits, hasPage } = server;
  const { bold, cyan, dim, yellow } = coloursFor(io.stdout, io.env);
  const key = options.apiKeys === undefined ? "" : ' -H "authorization: Bearer $KEY"';
  const access =
    options.apiKeys !== undefined
      ? "each request needs a key"
      : isLoopback(options.host)
        ? "no keys; this machine only"
        : yellow("no keys: anyone who can reach this address may use it");
  const isOne = models.length === 1;
  const title = isOne ? printable(models[0].id) : `${models.length} models`;
  const model = isOne ? "" : `"model": ${printableJson(JSON.stringify(models[0].id))}, `;
  const tier = tierPlace(options);
  const width = columnsOf(io.stdout);
  const lines = [
    `${bold(title)} at ${cyan(url)}   ${dim(access)}`,
    ...(isOne
      ? oneModelLines(server.loaded[0].info, width, { dim, yellow })
      : severalModelsLines(server, width, { dim, yellow })),
    ...joinedLines(
      [
        `${limits.concurrent} requests at once, ${limits.queue} may wait`,
        `${limits.requestSeconds} s and ${formatMemorySize(limits.bodyBytes)} a request`,
      ],
      width,
    ).map(dim),
    ...(tier === null ? [] : [dim(`Keys and values of prompts are shared through ${printable(tier)}`)]),
    ...(hasPage
      ? ["", `Talk to it         ${cyan(`${url}/`)}`, `See why it works   ${cyan(`${url}/explorer/`)}`]
      : []),
    "",
    `curl ${url}/v1/completions${key} -H "content-type: application/json" \\`,
    `  -d '{${model}"prompt": "Once upon a time", "max_tokens": 32}'`,
    "",
    "",
  ];
  await write(io, lines.join("\n"));
}

type Style = Readonly<Record<"dim" | "yellow", (text: string) => string>>;

function oneModelLines(info: ModelInfo, width: number, { dim, yellow }: Style): string[] {
  const rounding = roundingNotice(info);
  return [
    ...joinedLines(
      [
        `${info.dtype} weights, ${formatMemorySize(info.weightBytes)}`,
        machineWords(info),
        `context: ${contextWords(info)}`,
        `${formatMemorySize(info.kv.bytes)} for keys and values (${formatCount(info.kv.tokens)} tokens; ${kvBoundWords(info.kv.bound)})`,
      ],
      width,
    ).map(dim),
    ...[...info.notices, ...(rounding === null ? [] : [rounding])].map((notice) =>
      yellow(wrapText(notice, width)),
    ),
  ];
}

function severalModelsLines(
  { models, budgetBytes }: LastrowServer,
  width: number,
  { dim, yellow }: Style,
): string[] {
  const ids = models.map(({ id }) => printable(id));
  const longest = Math.max(...ids.map(({ length }) => length));
  const needed = models.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
  const sizes = `${formatMemorySize(needed)} of the ${formatMemorySize(budgetBytes!)} that models may take`;
  return [
    ...models.map(
      ({ contextLength, memoryBytes }, i) =>
        `${ids[i].padEnd(longest)}   ${dim(`context: ${formatCount(contextLength)} tokens · ${formatMemorySize(memoryBytes)}`)}`,
    ),
    dim("Each is loaded when it is first asked for."),
    needed <= budgetBytes!
      ? dim(`All together they take ${sizes}.`)
      : yellow(
          wrapText(
            `They do not fit beside each other (${sizes}): the ones that are unused longest make room, and a request waits for it up to --load-timeout.`,
            width,
          ),
        ),
  ];
}

/** The limits among the options. */
function askedLimits(options: ServeCommandOptions): Partial<ServerLimits> {
  const asked = Object.entries(LIMITS).flatMap(([name, { flag }]) => {
    const value = options[flag.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())];
    return typeof value === "number" ? [[name as LimitName, value]] : [];
  });
  return Object.fromEntries(asked);
}

async function readSecret(path: string): Promise<Uint8Array> {
  const secret = await readFileFor("--cache-secret-file", path);
  if (secret.length >= LEAST_SECRET_BYTES) return secret;
  throw new LastrowError(
    "invalid_argument",
    `${path} has ${secret.length} bytes; a secret has ${LEAST_SECRET_BYTES} or more.`,
  );
}

async function readFileFor(flag: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new LastrowError(
      "invalid_argument",
      `${flag}: ${path} cannot be read: ${(cause as Error).message}.`,
      {
        cause,
      },
    );
  }
}

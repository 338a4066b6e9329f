/**
 * Records in a Redis, or in what speaks its protocol, such as Valkey. Owns its connections: one for reads and one for writes, so
 * that no read waits behind a record that is being sent. They are made again by themselves, for as long as the store is open;
 * what is asked meanwhile fails at once.
 *
 * The client, ioredis, is an optional peer, and imported here alone. Its own errors stay here: they hold what was sent.
 */
import { readFile } from "node:fs/promises";
import type { ConnectionOptions } from "node:tls";
import type { Redis, RedisOptions } from "ioredis";
import { onAbort } from "../abort-listeners.js";
import { invalidArgument, LastrowError } from "../errors.js";
import { readPrivateFile } from "./private-file.js";
import { type RedisWork, redisFailure } from "./redis-failures.js";
import { parseRedisUrl, type RedisAddress } from "./redis-url.js";
import { StoreError, type TierStore } from "./store.js";

/** Which Redis, and how records are kept in it. Plain data. */
export interface RedisSettings {
  /** As `parseRedisUrl` takes it. */
  readonly url: string;
  /** A file that holds the password alone, in place of the URL's; only its owner may read it. */
  readonly passwordFile?: string | undefined;
  /** Of TLS: certificates of the authorities that may sign the store's (PEM). Default: the system's. */
  readonly caFile?: string | undefined;
  /** Of TLS: this client's certificate and its key (PEM), where the server wants one. */
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  /** Seconds that a record is kept. */
  readonly ttlSeconds: number;
  /** Bytes of the longest record. A server that sends much more than that at once is let go of. */
  readonly longestRecord: number;
  /** Milliseconds after which what was asked has failed, and the connection is made anew. */
  readonly commandTimeoutMs?: number | undefined;
}

/** Half a second beyond the longest deadline of a load; of a connection that has died, TCP itself says nothing for minutes. */
const COMMAND_TIMEOUT_MS = 2000;
/**
 * Waits between attempts to connect: doubled up to this, and spread, so that servers do not come back all at once. As long as an
 * attempt is refused at once, it is all that a store which is back is waited for.
 */
const LONGEST_PAUSE_MS = 500;
const FIRST_PAUSE_MS = 50;
/** Beside a record that is being received there may be more of them, and the rest of what was asked. */
const UNASKED_RECORDS = 8;
const MOST_PASSWORD_BYTES = 4096;

type ImportClient = () => Promise<{ readonly Redis: typeof Redis }>;

/**
 * Opens a store in a Redis. Waits for the first attempt to connect, whether or not it succeeds.
 * @param importClient ioredis
 * @throws LastrowError `invalid_argument` for settings that cannot be used, `runtime_unsupported` where ioredis is not installed
 */
export async function openRedisStore(
  settings: RedisSettings,
  importClient: ImportClient = () => import("ioredis"),
): Promise<TierStore> {
  const address = parseRedisUrl(settings.url);
  const { Client, options } = {
    Client: await clientOf(importClient),
    options: await optionsOf(settings, address),
  };
  const store = new RedisStore(Client, options, address, settings);
  await store.connect();
  return store;
}

class RedisStore implements TierStore {
  readonly address: string;
  readonly #ttlSeconds: number;
  readonly #reads: Connection;
  readonly #writes: Connection;

  constructor(Client: typeof Redis, options: RedisOptions, address: RedisAddress, settings: RedisSettings) {
    this.address = address.shown;
    this.#ttlSeconds = settings.ttlSeconds;
    const connection = () =>
      new Connection(
        new Client({ ...options, replyMapping: "legacy" }),
        address.shown,
        settings.longestRecord,
      );
    this.#reads = connection();
    this.#writes = connection();
  }

  async connect(): Promise<void> {
    await Promise.all([this.#reads.connect(), this.#writes.connect()]);
  }

  get(name: string, signal: AbortSignal): Promise<Uint8Array | null> {
    return this.#reads.ask("get", (client) => client.getBuffer(name).catch(asNoRecord), signal);
  }

  async setIfAbsent(name: string, record: Uint8Array): Promise<boolean> {
    const bytes = Buffer.from(record.buffer, record.byteOffset, record.length);
    const set = (client: Redis) => client.set(name, bytes, "EX", this.#ttlSeconds, "NX");
    return (await this.#writes.ask("set", set)) === "OK";
  }

  async ping(signal: AbortSignal): Promise<void> {
    // Where one of the two has no connection yet, what fails next would be its work.
    const both = [this.#reads, this.#writes];
    await Promise.all(both.map((connection) => connection.ask("ping", (client) => client.ping(), signal)));
  }

  onConnected(listener: () => void): void {
    const both = [this.#reads, this.#writes];
    for (const connection of both) {
      connection.onReady(() => {
        if (both.every(({ isReady }) => isReady)) listener();
      });
    }
  }

  async close(): Promise<void> {
    this.#reads.close();
    this.#writes.close();
  }
}

/** One connection, for as long as it takes. */
class Connection {
  readonly #client: Redis;
  readonly #shown: string;
  readonly #secret: string;
  readonly #mostUnasked: number;
  /** Why there is none now. */
  #problem: StoreError | null = null;
  #isClosed = false;
  /** Bytes that came since the last whole answer. */
  #unanswered = 0;

  constructor(client: Redis, shown: string, longestRecord: number) {
    this.#client = client;
    this.#shown = shown;
    this.#secret = client.options.password ?? "";
    this.#mostUnasked = UNASKED_RECORDS * (longestRecord + 1024);
    client.on("error", (error: unknown) => {
      this.#problem = this.#failure("connect", error);
    });
    client.on("ready", () => {
      this.#problem = null;
    });
    client.on("connect", () => this.#watch());
  }

  /** Whether it can be asked now. */
  get isReady(): boolean {
    return this.#client.status === "ready";
  }

  /** Calls back whenever it can be asked, from now on. */
  onReady(listener: () => void): void {
    this.#client.on("ready", listener);
  }

  /** One attempt; further ones follow by themselves. */
  async connect(): Promise<void> {
    await this.#client.connect().catch(() => undefined);
  }

  /** @throws StoreError */
  async ask<Answer>(
    work: RedisWork,
    send: (client: Redis) => Promise<Answer>,
    signal?: AbortSignal,
  ): Promise<Answer> {
    if (this.#isClosed) throw new StoreError("unreachable", `${this.#shown} is not used any more.`);
    if (signal?.aborted) throw this.#tooLate();
    if (!this.isReady) {
      throw this.#problem ?? new StoreError("unreachable", `${this.#shown} is not connected.`);
    }
    const answered = send(this.#client).finally(() => {
      this.#unanswered = 0;
    });
    try {
      return await untilAborted(answered, signal);
    } catch (error) {
      if (signal?.aborted) throw this.#tooLate();
      if (isTimeout(error)) {
        // What did not come may still come, in front of all else; or nothing will, and TCP says nothing of it.
        this.#client.stream.destroy();
        throw this.#tooLate();
      }
      throw this.#failure(work, error);
    }
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#client.disconnect();
    this.#client.stream?.destroy();
  }

  /** A server is not trusted: what it sends without being asked, or without an end, is not collected. */
  #watch(): void {
    this.#unanswered = 0;
    const { stream } = this.#client;
    stream.on("data", (bytes: Buffer) => {
      this.#unanswered += bytes.length;
      if (this.#unanswered > this.#mostUnasked) stream.destroy(new Error("it sends more than was asked for"));
    });
  }

  #tooLate(): StoreError {
    return new StoreError("unreachable", `${this.#shown} did not answer in time.`);
  }

  #failure(work: RedisWork, error: unknown): StoreError {
    // Of a connection that is gone the client says how often it has tried; why it is gone, it may have said before.
    if (work !== "connect" && !this.isReady) {
      return this.#problem ?? new StoreError("unreachable", `The connection to ${this.#shown} was lost.`);
    }
    return redisFailure(this.#shown, work, error, this.#secret);
  }
}

/** The package as it is installed beside lastrow. */
async function clientOf(importClient: ImportClient): Promise<typeof Redis> {
  try {
    return (await importClient()).Redis;
  } catch (cause) {
    throw new LastrowError(
      "runtime_unsupported",
      "A tier in Redis needs the package ioredis, which cannot be loaded; install it beside lastrow: npm install ioredis@6 (--global, if lastrow is).",
      { cause },
    );
  }
}

async function optionsOf(settings: RedisSettings, address: RedisAddress): Promise<RedisOptions> {
  const tls = await tlsOf(settings, address);
  const password = await passwordOf(settings, address);
  return {
    ...address.at,
    db: address.db,
    ...(address.user !== null && { username: address.user }),
    ...(password !== null && { password }),
    ...(tls !== null && { tls }),
    // GET, SET and PING are the same in both, and this one asks the server for one right less.
    protocol: 2,
    disableClientInfo: true,
    lazyConnect: true,
    // It would ask for INFO; a server that is still loading says so.
    enableReadyCheck: false,
    // Nothing waits for a connection: what asks has something better to do than to wait.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    connectTimeout: settings.commandTimeoutMs ?? COMMAND_TIMEOUT_MS,
    commandTimeout: settings.commandTimeoutMs ?? COMMAND_TIMEOUT_MS,
    retryStrategy: (attempts) =>
      Math.min(FIRST_PAUSE_MS * 2 ** Math.min(attempts, 10), LONGEST_PAUSE_MS) * (0.8 + 0.4 * Math.random()),
  };
}

async function passwordOf({ passwordFile }: RedisSettings, address: RedisAddress): Promise<string | null> {
  if (passwordFile === undefined) return address.password;
  if (address.password !== null) {
    throw invalidArgument("The Redis has a password in its URL and a passwordFile; give one of them.");
  }
  const what = "The password of the Redis";
  const bytes = await readPrivateFile(passwordFile, what, { least: 1, most: MOST_PASSWORD_BYTES });
  // Editors end a file with one.
  return bytes.toString("utf8").replace(/\r?\n$/, "");
}

async function tlsOf(settings: RedisSettings, { tls }: RedisAddress): Promise<ConnectionOptions | null> {
  const { caFile, certFile, keyFile } = settings;
  if (!tls) {
    if (caFile !== undefined || certFile !== undefined || keyFile !== undefined) {
      throw invalidArgument("Certificates are of use with rediss:// alone, which is Redis with TLS.");
    }
    return null;
  }
  if ((certFile === undefined) !== (keyFile === undefined)) {
    throw invalidArgument("certFile and keyFile, a certificate and its key, go together.");
  }
  return {
    ...(caFile !== undefined && { ca: await pem(caFile, "certificates") }),
    ...(certFile !== undefined && { cert: await pem(certFile, "certificate") }),
    ...(keyFile !== undefined && {
      key: await readPrivateFile(keyFile, "The key of the certificate", { least: 1, most: 1 << 16 }),
    }),
  };
}

async function pem(path: string, what: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw invalidArgument(
      `The ${what} of the Redis cannot be read from ${path}: ${(error as Error).message}.`,
    );
  }
}

/** A list or a hash under a record's name says nothing of the store: it was put there by other software, and is no record. */
function asNoRecord(error: Error): Buffer {
  if (error.message.startsWith("WRONGTYPE")) return Buffer.alloc(0);
  throw error;
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.message === "Command timed out";
}

/** What was promised, or nothing any more: what comes later is dropped. */
function untilAborted<Answer>(promise: Promise<Answer>, signal: AbortSignal | undefined): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stop = onAbort(signal, () => reject(new Error("aborted")));
    promise.then(resolve, reject).finally(stop);
  });
}

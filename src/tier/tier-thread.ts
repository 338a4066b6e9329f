/**
 * A tier in a thread of its own, as seen from the program: started, asked for its counters, closed. What goes wrong in it is
 * seen here: the engine's port closes, the counters stay as they were and say why, and the model goes on without a tier.
 * Owns the thread, which does not keep the program alive.
 */
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import { threadScript } from "../platform/package-files.js";
import type { TierConnection, TierPolicy, TierStats } from "../protocol/kv-tier.js";
import { fromRemoteError, type RemoteError } from "../protocol/remote-error.js";
import type { TierIdentity } from "../protocol/tier-messages.js";
import { TierCounters } from "./counters.js";
import type { StoreSettings } from "./open-store.js";

/** What the thread is started with. */
export interface ThreadData {
  readonly settings: StoreSettings;
  readonly key: Uint8Array;
  readonly identity: TierIdentity;
  /** The tier's end of the way to the engine. */
  readonly port: MessagePort;
}

/** Counters are asked for; `close` also lets go of the store before it gives them. */
export interface ThreadAsk {
  readonly kind: "stats" | "close";
  readonly id: number;
}

export type ThreadAnswer =
  | { readonly kind: "ready" }
  | { readonly kind: "failed"; readonly error: RemoteError }
  | { readonly kind: "answer"; readonly id: number; readonly stats: TierStats };

/** The compiled thread; the sources cannot run as a thread, so tests use the build's. */
const SCRIPT = "dist/tier/tier-thread-main.js";
/** MiB of heap; records lie outside of it. */
const HEAP_MIB = 128;
const YOUNG_HEAP_MIB = 32;
/** Milliseconds that the thread has to answer: it does nothing that takes long. */
const ANSWER_MS = 1000;

/**
 * Starts a tier's thread, and waits until the store was tried.
 * @throws LastrowError for settings that cannot be used; what keeps a thread from being started
 */
export async function startTierThread(
  data: Omit<ThreadData, "port">,
  policy: TierPolicy,
): Promise<TierConnection> {
  const { port1, port2 } = new MessageChannel();
  const worker = new Worker(threadScript(SCRIPT), {
    name: "lastrow tier",
    execArgv: [],
    env: quietEnvironment(),
    workerData: { ...data, port: port2 } satisfies ThreadData,
    transferList: [port2],
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB, maxYoungGenerationSizeMb: YOUNG_HEAP_MIB },
  });
  const thread = new TierThread(worker, port1, policy);
  const problem = await thread.begun;
  if (problem === null) return thread;
  await worker.terminate();
  port1.close();
  throw problem;
}

/** The process's, without what makes the client of a Redis print what it sends: the password, and records. */
function quietEnvironment(): NodeJS.ProcessEnv {
  const { DEBUG: _, ...environment } = process.env;
  return environment;
}

class TierThread implements TierConnection {
  readonly port: TierConnection["port"];
  readonly policy: TierPolicy;
  /** Null, or why it could not begin. */
  readonly begun: Promise<Error | null>;
  readonly #worker: Worker;
  #stats: TierStats = { ...new TierCounters().told(), breaker: "half-open", lost: null, problem: null };
  #hasBegun = false;
  #lost: string | null = null;
  #closed: Promise<void> | null = null;
  /** By the id of what was asked: called with the answer, or without one when none will come. */
  readonly #waiting = new Map<number, (stats: TierStats | null) => void>();
  #lastId = 0;

  constructor(worker: Worker, port: MessagePort, policy: TierPolicy) {
    this.#worker = worker;
    // Node's type has more than that of a page; both are the same thing here.
    this.port = port as unknown as TierConnection["port"];
    this.policy = policy;
    this.begun = new Promise((resolve) => {
      worker.on("message", (answer: ThreadAnswer) => {
        if (answer.kind === "ready") this.#begin(() => resolve(null));
        else if (answer.kind === "failed") resolve(fromRemoteError(answer.error));
        else this.#waiting.get(answer.id)?.(answer.stats);
      });
      worker.once("error", (error: NodeJS.ErrnoException) => {
        resolve(error);
        this.#lose(
          error.code === "ERR_WORKER_OUT_OF_MEMORY" ? `it took more than ${HEAP_MIB} MiB` : error.message,
        );
      });
      worker.once("exit", (code) => {
        resolve(new Error(`The tier's thread exited with code ${code}.`));
        this.#lose(`it exited with code ${code}`);
      });
    });
  }

  async stats(): Promise<TierStats> {
    if (this.#lost === null && this.#closed === null) await this.#ask("stats");
    return this.#lost === null ? this.#stats : { ...this.#stats, breaker: "open", lost: this.#lost };
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    if (this.#lost === null) await this.#ask("close");
    await this.#worker.terminate();
  }

  #begin(resolve: () => void): void {
    this.#hasBegun = true;
    // A program ends when its own work is done.
    this.#worker.unref();
    resolve();
  }

  /** Takes up the counters that the thread gives, if it does so in time. */
  #ask(kind: ThreadAsk["kind"]): Promise<void> {
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise((resolve) => {
      const end = (stats: TierStats | null) => {
        clearTimeout(timer);
        this.#waiting.delete(id);
        if (this.#waiting.size === 0) this.#worker.unref();
        if (stats !== null) this.#stats = stats;
        resolve();
      };
      const timer = setTimeout(() => end(null), ANSWER_MS);
      this.#waiting.set(id, end);
      // Whoever asks waits for the answer, and the program with it.
      this.#worker.ref();
      this.#worker.postMessage({ kind, id } satisfies ThreadAsk);
    });
  }

  #lose(reason: string): void {
    if (this.#lost !== null) return;
    if (this.#closed === null && this.#hasBegun) {
      this.#lost = reason;
      process.emitWarning(`The KV tier's thread was lost (${reason}); the model goes on without it.`, {
        type: "LastrowWarning",
      });
    }
    for (const end of [...this.#waiting.values()]) end(null);
  }
}

/**
 * Which models are in memory. Owns that: each is loaded when it is first asked for, one at a time; what waits for that has
 * a deadline; where the budget does not hold one more, those that were unused longest make room. A model is in use while a
 * request has it or something in it is held, and what is in use is never unloaded. What is reserved never goes over the
 * budget: a model counts from before it is loaded until it has been unloaded.
 */
import { ApiError, shuttingDown } from "./api-error.js";

/** A model that may be loaded. */
export interface Loadable<T> {
  readonly id: string;
  /** Bytes that it takes. */
  readonly bytes: number;
  readonly load: (signal: AbortSignal) => Promise<T>;
  /** Gives its memory back, whatever happens. */
  readonly unload: (loaded: T) => Promise<void>;
  /** Whether something in it outlives its requests. */
  readonly isHeld: (loaded: T) => boolean;
}

/** What becomes of a model. */
export type LoadChange = "loading" | "loaded" | "failed" | "unloaded";

export interface LoadedModelsOptions {
  /** Bytes that all together may take. */
  readonly budgetBytes: number;
  /** Milliseconds that a request waits for its model. */
  readonly waitMs: number;
  /** Milliseconds after which an unused model is unloaded; null: it stays. */
  readonly idleMs: number | null;
  readonly onChange?: (id: string, change: LoadChange, error: unknown) => void;
}

/** A model in use: it stays until `release`, which may be called twice. */
export interface Lease<T> {
  readonly loaded: T;
  release(): void;
}

interface Waiter<T> {
  resolve(lease: Lease<T>): void;
  reject(error: unknown): void;
}

interface Entry<T> {
  readonly what: Loadable<T>;
  state: "unloaded" | "waiting" | "loading" | "loaded" | "unloading";
  loaded: T | null;
  /** Requests that have it. */
  users: number;
  /** Grows with each use: the least was used longest ago. */
  lastUse: number;
  readonly waiters: Set<Waiter<T>>;
  idle: ReturnType<typeof setTimeout> | undefined;
  /** When that timer goes off, in milliseconds of Unix time; null: it does not run. */
  unloadsAt: number | null;
  /** Loads that failed one after the other. */
  failures: number;
  /** No load is tried before this, by the monotonic clock. */
  retryAt: number;
}

/** Seconds after which a client whose model is not there is asked to come back. */
const RETRY_AFTER = 5;
/** Milliseconds after a failed load before the next one; doubled each time. */
const BACKOFF_MS = 1000;
const MAX_BACKOFF_MS = 60_000;
/** A timer holds at most so many milliseconds. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export class LoadedModels<T> {
  readonly #options: LoadedModelsOptions;
  readonly #entries: ReadonlyMap<string, Entry<T>>;
  /** Those that wait to be loaded, in the order in which they were asked for. */
  readonly #queue: Entry<T>[] = [];
  readonly #stop = new AbortController();
  /** Loads and unloads under way; each ends whatever happens. */
  readonly #underWay = new Set<Promise<void>>();
  #reservedBytes = 0;
  #uses = 0;
  #isLoading = false;

  constructor(models: readonly Loadable<T>[], options: LoadedModelsOptions) {
    this.#options = options;
    this.#entries = new Map(
      models.map((what) => [
        what.id,
        {
          ...{ what, state: "unloaded", loaded: null, users: 0, lastUse: 0, waiters: new Set() },
          ...{ idle: undefined, unloadsAt: null, failures: 0, retryAt: 0 },
        },
      ]),
    );
  }

  /** Those that are loaded, in the order in which they were given. */
  get loaded(): readonly T[] {
    return [...this.#entries.values()].flatMap(({ loaded }) => (loaded === null ? [] : [loaded]));
  }

  /** The one of that name if it is loaded just now; it is not in use by that. */
  peek(id: string): T | null {
    return this.#entries.get(id)!.loaded;
  }

  /** As `use`, of one that is loaded just now; null for any other. */
  useLoaded(id: string): Lease<T> | null {
    const entry = this.#entries.get(id)!;
    return entry.state === "loaded" ? this.#lease(entry) : null;
  }

  /** When an unused model will be unloaded, in milliseconds of Unix time; null for one that is used, or stays. */
  unloadsAt(id: string): number | null {
    return this.#entries.get(id)!.unloadsAt;
  }

  /** Requests that wait for a model. */
  waitingFor(id: string): number {
    return this.#entries.get(id)!.waiters.size;
  }

  /** Bytes that count: of what is loaded, being loaded, or not yet unloaded. */
  get reservedBytes(): number {
    return this.#reservedBytes;
  }

  /**
   * A model for a request, when it is loaded.
   * @param id of one of them
   * @param signal ends the waiting with its reason
   * @throws ApiError 503 when it cannot be loaded, or not in time
   */
  async use(id: string, signal: AbortSignal): Promise<Lease<T>> {
    const entry = this.#entries.get(id)!;
    if (this.#stop.signal.aborted) throw shuttingDown();
    if (signal.aborted) throw signal.reason;
    if (entry.state === "loaded") return this.#lease(entry);
    const untilRetry = entry.retryAt - performance.now();
    if (entry.state === "unloaded" && untilRetry > 0) throw cannotLoad(id, untilRetry, undefined);
    return this.#wait(entry, signal, this.#options.waitMs);
  }

  /**
   * Loads a model that is never unloaded.
   * @throws what loading throws
   */
  async keep(id: string): Promise<T> {
    try {
      const { loaded } = await this.#wait(this.#entries.get(id)!, null, null);
      return loaded;
    } catch (error) {
      throw error instanceof ApiError && error.cause !== undefined ? error.cause : error;
    }
  }

  /** To be told when something that was held in a model is gone. */
  holdsLess(id: string): void {
    this.#look(this.#entries.get(id)!);
  }

  /** Ends everything at once: what waits, what is being loaded, what is loaded. */
  async dispose(): Promise<void> {
    this.#stop.abort();
    this.#queue.length = 0;
    for (const entry of this.#entries.values()) {
      clearTimeout(entry.idle);
      for (const { reject } of [...entry.waiters]) reject(shuttingDown());
      if (entry.state === "loaded") this.#unload(entry);
    }
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  #lease(entry: Entry<T>): Lease<T> {
    stopIdleTimer(entry);
    entry.users += 1;
    let isHeld = true;
    return {
      loaded: entry.loaded!,
      release: () => {
        if (!isHeld) return;
        isHeld = false;
        entry.users -= 1;
        this.#uses += 1;
        entry.lastUse = this.#uses;
        this.#look(entry);
      },
    };
  }

  #wait(entry: Entry<T>, signal: AbortSignal | null, waitMs: number | null): Promise<Lease<T>> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        entry.waiters.delete(waiter);
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        if (entry.waiters.size > 0 || entry.state !== "waiting") return;
        // No request wants it any more.
        this.#queue.splice(this.#queue.indexOf(entry), 1);
        entry.state = "unloaded";
      };
      const waiter: Waiter<T> = {
        resolve: (lease) => {
          leave();
          resolve(lease);
        },
        reject: (error) => {
          leave();
          reject(error);
        },
      };
      const onAbort = () => waiter.reject(signal!.reason);
      const timer =
        waitMs === null || waitMs > MAX_TIMER_MS
          ? undefined
          : setTimeout(() => waiter.reject(this.#tooLate(entry)), waitMs);
      signal?.addEventListener("abort", onAbort, { once: true });
      entry.waiters.add(waiter);
      if (entry.state === "unloaded") this.#enqueue(entry);
    });
  }

  #enqueue(entry: Entry<T>): void {
    entry.state = "waiting";
    this.#queue.push(entry);
    this.#loadNext();
  }

  /** Begins the next load: of the first that waits and for which there is, or can be made, room. */
  #loadNext(): void {
    if (this.#isLoading || this.#stop.signal.aborted) return;
    for (const [i, entry] of this.#queue.entries()) {
      const toUnload = this.#makingRoomFor(entry);
      if (toUnload === null) continue;
      this.#queue.splice(i, 1);
      this.#isLoading = true;
      entry.state = "loading";
      this.#reservedBytes += entry.what.bytes;
      this.#track(
        this.#load(
          entry,
          toUnload.map((unused) => this.#unload(unused)),
        ),
      );
      return;
    }
  }

  /** The unused models that make room for one, those unused longest first; null where that is not enough. */
  #makingRoomFor({ what }: Entry<T>): readonly Entry<T>[] | null {
    let lack = this.#reservedBytes + what.bytes - this.#options.budgetBytes;
    const chosen: Entry<T>[] = [];
    const unused = [...this.#entries.values()].filter((entry) => isUnused(entry));
    for (const entry of unused.sort((a, b) => a.lastUse - b.lastUse)) {
      if (lack <= 0) break;
      chosen.push(entry);
      lack -= entry.what.bytes;
    }
    return lack <= 0 ? chosen : null;
  }

  async #load(entry: Entry<T>, roomMade: readonly Promise<void>[]): Promise<void> {
    const { what, waiters } = entry;
    const { onChange = () => undefined } = this.#options;
    await Promise.all(roomMade);
    let failure: unknown;
    // Those that wanted it may have gone meanwhile.
    const isWanted = waiters.size > 0;
    if (isWanted) {
      onChange(what.id, "loading", null);
      try {
        const loaded = await what.load(this.#stop.signal);
        if (this.#stop.signal.aborted) await what.unload(loaded);
        else entry.loaded = loaded;
      } catch (error) {
        failure = error;
      }
    }
    this.#isLoading = false;
    if (entry.loaded !== null) {
      entry.state = "loaded";
      entry.failures = 0;
      this.#uses += 1;
      entry.lastUse = this.#uses;
      onChange(what.id, "loaded", null);
      for (const { resolve } of [...waiters]) resolve(this.#lease(entry));
      this.#look(entry);
      this.#loadNext();
      return;
    }
    this.#reservedBytes -= what.bytes;
    entry.state = "unloaded";
    if (failure !== undefined && !this.#stop.signal.aborted) {
      const waitMs = Math.min(MAX_BACKOFF_MS, BACKOFF_MS * 2 ** entry.failures);
      entry.failures += 1;
      entry.retryAt = performance.now() + waitMs;
      onChange(what.id, "failed", failure);
      for (const { reject } of [...waiters]) reject(cannotLoad(what.id, waitMs, failure));
    }
    this.#loadNext();
  }

  /** Begins to unload one; the promise ends whatever happens. */
  #unload(entry: Entry<T>): Promise<void> {
    const { what } = entry;
    const loaded = entry.loaded!;
    stopIdleTimer(entry);
    entry.state = "unloading";
    entry.loaded = null;
    const done = what.unload(loaded).then(
      () => this.#unloaded(entry, null),
      (error: unknown) => this.#unloaded(entry, error),
    );
    this.#track(done);
    return done;
  }

  #unloaded(entry: Entry<T>, error: unknown): void {
    this.#reservedBytes -= entry.what.bytes;
    entry.state = "unloaded";
    this.#options.onChange?.(entry.what.id, "unloaded", error);
    if (this.#stop.signal.aborted) return;
    // It may be wanted again by now.
    if (entry.waiters.size > 0) this.#enqueue(entry);
    else this.#loadNext();
  }

  /** When something that kept a model is gone: it may make room now, or has begun to be unused. */
  #look(entry: Entry<T>): void {
    if (!isUnused(entry) || this.#stop.signal.aborted) return;
    this.#loadNext();
    const { idleMs } = this.#options;
    if (idleMs === null || idleMs > MAX_TIMER_MS || !isUnused(entry)) return;
    stopIdleTimer(entry);
    entry.unloadsAt = Date.now() + idleMs;
    entry.idle = setTimeout(() => {
      entry.unloadsAt = null;
      if (isUnused(entry)) this.#unload(entry);
    }, idleMs);
    (entry.idle as { unref?: () => void }).unref?.();
  }

  #track(work: Promise<void>): void {
    this.#underWay.add(work);
    void work.finally(() => this.#underWay.delete(work));
  }

  #tooLate({ what, state }: Entry<T>): ApiError {
    const seconds = this.#options.waitMs / 1000;
    const hasNoRoom = state === "waiting" && !this.#isLoading;
    return hasNoRoom
      ? unavailable(
          "model_no_room",
          `There was no memory for ${what.id} within ${seconds} s: the models that are loaded are in use, or hold sequences. Try again later.`,
        )
      : unavailable("model_loading", `${what.id} was not loaded within ${seconds} s; try again.`);
  }
}

function stopIdleTimer<T>(entry: Entry<T>): void {
  clearTimeout(entry.idle);
  entry.unloadsAt = null;
}

function isUnused<T>({ what, state, users, loaded }: Entry<T>): boolean {
  return state === "loaded" && users === 0 && !what.isHeld(loaded!);
}

function unavailable(code: string, message: string, retryAfter = RETRY_AFTER, cause?: unknown): ApiError {
  return new ApiError(503, code, message, { retryAfter, cause });
}

/** An error's own words are for the log alone: they name files. */
function cannotLoad(id: string, waitMs: number, cause: unknown): ApiError {
  return unavailable(
    "model_not_loaded",
    `${id} could not be loaded; the server's log says why.`,
    Math.ceil(waitMs / 1000),
    cause,
  );
}

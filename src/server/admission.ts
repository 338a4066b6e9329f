/**
 * Which requests run, which wait, which are refused. Owns the queue and the counts of each key; a place is given back
 * exactly once.
 */
import { ApiError } from "./api-error.js";
import type { Principal } from "./keys.js";
import type { ServerLimits } from "./limits.js";

/** A place among those that run. */
export interface Admitted {
  /** Milliseconds that it waited. */
  readonly queueMs: number;
  /** Gives the place back; calling it twice is fine. */
  release(): void;
}

interface Waiting {
  start(): void;
}

/** Seconds after which a refused client is asked to come back. */
const RETRY_AFTER = 1;

export class Admission {
  readonly #limits: Pick<ServerLimits, "concurrent" | "perKey" | "queue">;
  readonly #perKey = new Map<string, number>();
  readonly #queue: Waiting[] = [];
  readonly #idle: (() => void)[] = [];
  #running = 0;
  #isClosed = false;

  constructor(limits: Pick<ServerLimits, "concurrent" | "perKey" | "queue">) {
    this.#limits = limits;
  }

  get running(): number {
    return this.#running;
  }

  /** Nobody is admitted any more. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  /**
   * Waits for a place.
   * @param countsForKey whether the limit of one key applies
   * @throws ApiError 429 over the queue or the key's limit, 503 once closed, 499 when the client has gone
   */
  async admit(principal: Principal, countsForKey: boolean, signal: AbortSignal): Promise<Admitted> {
    const { concurrent, perKey, queue } = this.#limits;
    if (this.#isClosed) throw shuttingDown();
    const ofKey = this.#perKey.get(principal.name) ?? 0;
    if (countsForKey && ofKey >= perKey) {
      throw new ApiError(
        429,
        "rate_limit_exceeded",
        `This key has ${ofKey} requests under way, which is as many as it may have.`,
        { retryAfter: RETRY_AFTER },
      );
    }
    const start = performance.now();
    if (this.#running >= concurrent) {
      if (this.#queue.length >= queue) {
        throw new ApiError(
          429,
          "rate_limit_exceeded",
          `${this.#running} requests run and ${this.#queue.length} wait, which is as many as may; try again later.`,
          { retryAfter: RETRY_AFTER },
        );
      }
      this.#perKey.set(principal.name, ofKey + 1);
      try {
        await this.#wait(signal);
      } catch (error) {
        this.#forget(principal);
        throw error;
      }
    } else {
      this.#perKey.set(principal.name, ofKey + 1);
      this.#running += 1;
    }
    let isHeld = true;
    return {
      queueMs: performance.now() - start,
      release: () => {
        if (!isHeld) return;
        isHeld = false;
        this.#forget(principal);
        this.#leave();
      },
    };
  }

  /** Admits nobody any more, lets those who wait and run finish, and resolves when the last one has. */
  close(): Promise<void> {
    this.#isClosed = true;
    if (this.#running === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const entry = {
        start: () => {
          signal.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      const onAbort = () => {
        this.#queue.splice(this.#queue.indexOf(entry), 1);
        reject(new ApiError(499, "client_closed_request", "The client went away while its request waited."));
      };
      if (signal.aborted) {
        reject(new ApiError(499, "client_closed_request", "The client went away before its request began."));
        return;
      }
      signal.addEventListener("abort", onAbort, { once: true });
      this.#queue.push(entry);
    });
  }

  /** The place goes to whoever waits longest. */
  #leave(): void {
    const next = this.#queue.shift();
    if (next !== undefined) {
      next.start();
      return;
    }
    this.#running -= 1;
    if (this.#running === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }

  #forget({ name }: Principal): void {
    const left = (this.#perKey.get(name) ?? 1) - 1;
    if (left > 0) this.#perKey.set(name, left);
    else this.#perKey.delete(name);
  }
}

function shuttingDown(): ApiError {
  return new ApiError(503, "shutting_down", "The server is shutting down.", { retryAfter: RETRY_AFTER });
}

/**
 * One request and its answer, from arrival to the last byte: whose it is, what it took, and the one signal that ends its
 * work: the client went away, its time is up, or the server stops. Ends exactly once, and then tells the log and the
 * metrics.
 */

import type { GenerateOptions } from "../library/generate-options.js";
import type { Admitted } from "./admission.js";
import { ApiError, clientGone } from "./api-error.js";
import type { Principal } from "./keys.js";
import { timerMs } from "./limits.js";

/** What is known of a request at its end; milliseconds from its arrival. */
export interface RequestRecord {
  /** Made up here, and sent back as `x-request-id`. */
  readonly id: string;
  readonly method: string;
  /** The address's path, without its query. */
  readonly path: string;
  /** The route's pattern; null where none matched. */
  readonly route: string | null;
  /** The HTTP status; of a stream the one that it began with. */
  readonly status: number;
  /** The code of the error, also of one in mid-stream. */
  readonly error: string | null;
  /** The name of the key that asked; null without keys. */
  readonly key: string | null;
  /** The model that it was for; null where it was for none, or for one that is not served. */
  readonly model: string | null;
  /** What its answers were held to; null: nothing. */
  readonly structure: "schema" | "regex" | "grammar" | "tools" | null;
  /** Whether its answer was a stream: one that failed before its first event was answered as a whole, and is none. */
  readonly stream: boolean;
  /** Tokens of its prompts; null where there were none. */
  readonly promptTokens: number | null;
  /** Those of them whose K and V were there already. */
  readonly cachedTokens: number | null;
  /** Those of the cached that were loaded for it from the KV tier; null: no tier was asked. */
  readonly tierTokens: number | null;
  /** Tokens that were generated for it. */
  readonly completionTokens: number | null;
  /** Tokens that were proposed for it. */
  readonly proposedTokens: number | null;
  /** Those of the proposed that were kept. */
  readonly acceptedTokens: number | null;
  /** Why each of its texts ended. */
  readonly finishReasons: readonly string[];
  /** Milliseconds until it was its turn. */
  readonly queueMs: number | null;
  /** Milliseconds until its first token. */
  readonly firstTokenMs: number | null;
  /** The engine's steps until the first token of each of its prompts, of the one that took most. */
  readonly firstTokenSteps: number | null;
  /** Milliseconds until its answer ended. */
  readonly totalMs: number;
  /** The prompts, where they are to be logged. */
  readonly prompts: readonly unknown[] | null;
}

/** A part of a request's time, in milliseconds from its arrival. */
export interface Phase {
  /** `queue`: until it was its turn. `tier load`: K and V came from the tier. `prefill`: until the first token. `decode`: the rest. */
  readonly name: "queue" | "tier load" | "prefill" | "decode";
  readonly from: number;
  readonly to: number;
  /** What else is known of it. */
  readonly attributes: Readonly<Record<string, number>>;
}

/** A record while its request is served. */
type OpenRecord = { -readonly [K in keyof Omit<RequestRecord, "totalMs">]: RequestRecord[K] };

/** What is known of a request when it arrives. */
export function newRecord(method: string, path: string): OpenRecord {
  return {
    id: `req-${crypto.randomUUID()}`,
    method,
    path,
    route: null,
    status: 200,
    error: null,
    key: null,
    model: null,
    structure: null,
    stream: false,
    promptTokens: null,
    cachedTokens: null,
    tierTokens: null,
    completionTokens: null,
    proposedTokens: null,
    acceptedTokens: null,
    finishReasons: [],
    queueMs: null,
    firstTokenMs: null,
    firstTokenSteps: null,
    prompts: null,
  };
}

export class Exchange {
  readonly record: OpenRecord;
  readonly arrival = performance.now();
  readonly url: URL;
  principal: Principal | null = null;
  /** Its places, from before its body is read until it ends; null for what needs none. */
  admitted: Admitted | null = null;
  /** What a failure of the server's own was, for the log. */
  failure: unknown = null;
  /** Cuts its connection, where there is one that can be cut. */
  drop: (() => void) | null = null;
  /** Calls back when its answer has left or its connection is gone, where that can be known. */
  onClose: ((callback: () => void) => void) | null = null;
  /** What it wants generated, settled; null until then, and where nothing is. */
  asked: GenerateOptions | null = null;
  /** The parts of its time that are over. */
  readonly phases: Phase[] = [];
  /** Gives back the room that it has for an answer that is being made; twice is fine. */
  giveRoomBack: () => void = () => undefined;
  /** Its answer is a stream that goes on when the handler has returned. */
  outlivesHandler = false;
  readonly #abort = new AbortController();
  readonly #client: AbortSignal;
  readonly #onEnd: (() => void)[] = [];
  readonly #tell: (record: RequestRecord, failure: unknown) => void;
  readonly #logPrompts: boolean;
  readonly #timer: ReturnType<typeof setTimeout>;
  #hasEnded = false;

  constructor(
    request: Request,
    options: {
      readonly timeoutSeconds: number;
      readonly tell: (record: RequestRecord, failure: unknown) => void;
      /** Whether its record holds its prompts. Default false. */
      readonly logPrompts?: boolean;
    },
  ) {
    this.url = new URL(request.url);
    this.record = newRecord(request.method, this.url.pathname);
    this.#tell = options.tell;
    this.#logPrompts = options.logPrompts === true;
    this.#client = request.signal;
    if (request.signal.aborted) this.#clientLeft();
    else request.signal.addEventListener("abort", this.#clientLeft, { once: true });
    this.#timer = setTimeout(() => {
      this.cancel(
        new ApiError(504, "request_timeout", `The request took more than ${options.timeoutSeconds} s.`),
      );
    }, timerMs(options.timeoutSeconds));
    (this.#timer as { unref?: () => void }).unref?.();
  }

  /** Aborted when its work is in vain. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Why it was ended early. */
  get reason(): ApiError {
    return this.#abort.signal.reason;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  cancel(reason: ApiError): void {
    if (!this.#abort.signal.aborted) this.#abort.abort(reason);
  }

  /** Runs when it has ended. */
  onEnd(callback: () => void): void {
    if (this.#hasEnded) callback();
    else this.#onEnd.push(callback);
  }

  /** Milliseconds since it arrived. */
  get elapsedMs(): number {
    return performance.now() - this.arrival;
  }

  /** A part of its time is over: it began so many milliseconds after the arrival. */
  phase(name: Phase["name"], from: number, to = this.elapsedMs, attributes: Phase["attributes"] = {}): void {
    this.phases.push({ name, from, to, attributes });
  }

  /** What it asks, as it came. */
  asks(prompts: readonly unknown[]): void {
    if (this.#logPrompts) this.record.prompts = prompts;
  }

  fail(error: ApiError): void {
    this.record.error = error.code;
    if (error.status >= 500) this.failure = error.cause ?? error;
  }

  end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    clearTimeout(this.#timer);
    this.#client.removeEventListener("abort", this.#clientLeft);
    for (const callback of this.#onEnd.splice(0)) callback();
    this.#tell({ ...this.record, totalMs: this.elapsedMs }, this.failure);
  }

  readonly #clientLeft = () => {
    this.cancel(clientGone());
  };
}

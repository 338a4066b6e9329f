/**
 * Large bodies are parsed and checked beside the event loop: what comes back is a right body, whose size the limits
 * bound, or what is wrong. Owns the thread, which starts with the first such body and ends with the server, and the bodies
 * that wait for it, of which keys take turns; one that is lost takes the body that it was at with it, and no other.
 */
import { Worker } from "node:worker_threads";
import { type Caller, FairQueue } from "../platform/fair-queue.js";
import { threadScript } from "../platform/package-files.js";
import { ApiError, clientGone, shuttingDown } from "./api-error.js";
import type { SchemaParts } from "./schemas/requests.js";

/** A body, and the path of the route that it was sent to. */
export interface BodyTask {
  readonly path: string;
  readonly bytes: Uint8Array;
}

export type BodyAnswer =
  | { readonly kind: "body"; readonly value: unknown }
  | {
      readonly kind: "error";
      readonly status: number;
      readonly code: string;
      readonly message: string;
      readonly param: string | null;
    };

interface Waiting {
  readonly task: BodyTask;
  readonly caller: Caller;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

const MIB = 1024 * 1024;
/** MiB of heap that a body of a MiB may take, and what the thread takes without one. */
const HEAP_PER_MIB = 64;
const HEAP_BASE = 64;

/** The compiled thread; the sources cannot run as a thread, so tests use the build's. */
const SCRIPT = "dist/server/body-thread-main.js";

export class BodyThread {
  readonly #parts: SchemaParts;
  readonly #script = threadScript(SCRIPT);
  readonly #waiting = new FairQueue<Waiting>();
  #current: Waiting | null = null;
  #worker: Worker | null = null;
  #isDisposed = false;

  constructor(parts: SchemaParts) {
    this.#parts = parts;
  }

  /**
   * @param bytes are given away
   * @param caller keys take turns: of the bodies that wait, one of each key is parsed after the other
   * @returns what the schema of the route makes of it
   * @throws ApiError as `parseBody`; 503 when the thread is lost or the server ends, 499 when the client has gone
   */
  parse(path: string, bytes: Uint8Array, caller: Caller): Promise<unknown> {
    if (this.#isDisposed) return Promise.reject(shuttingDown());
    return new Promise((resolve, reject) => {
      this.#waiting.add(caller.key, { task: { path, bytes }, caller, resolve, reject });
      this.#next();
    });
  }

  async dispose(): Promise<void> {
    this.#isDisposed = true;
    const worker = this.#worker;
    this.#worker = null;
    worker?.removeAllListeners();
    this.#current?.reject(shuttingDown());
    for (const { reject } of this.#waiting.clear()) reject(shuttingDown());
    await worker?.terminate();
  }

  #next(): void {
    if (this.#current !== null || this.#isDisposed) return;
    let next = this.#waiting.take();
    while (next?.caller.signal.aborted) {
      next.reject(clientGone());
      next = this.#waiting.take();
    }
    if (next === null) return;
    this.#current = next;
    this.#worker ??= this.#start();
    const { buffer, byteLength } = next.task.bytes;
    const isWhole = buffer instanceof ArrayBuffer && buffer.byteLength === byteLength;
    this.#worker.postMessage(next.task, isWhole ? [buffer] : []);
  }

  #start(): Worker {
    const { bodyBytes } = this.#parts.limits;
    const worker = new Worker(this.#script, {
      workerData: this.#parts,
      name: "lastrow bodies",
      resourceLimits: { maxOldGenerationSizeMb: HEAP_BASE + Math.ceil(bodyBytes / MIB) * HEAP_PER_MIB },
    });
    worker.unref();
    worker.on("message", (answer: BodyAnswer) => {
      const current = this.#current;
      this.#current = null;
      if (answer.kind === "body") current?.resolve(answer.value);
      else current?.reject(new ApiError(answer.status, answer.code, answer.message, { param: answer.param }));
      this.#next();
    });
    worker.on("error", (cause) => {
      if (this.#worker === worker) this.#worker = null;
      const current = this.#current;
      this.#current = null;
      current?.reject(
        new ApiError(503, "body_thread_lost", "The thread that reads large bodies was lost; try again.", {
          cause,
          retryAfter: 1,
        }),
      );
      this.#next();
    });
    return worker;
  }
}

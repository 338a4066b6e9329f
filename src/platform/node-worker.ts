/** The engine's worker in Node, as seen from its client. */
import { type TransferListItem, Worker, type WorkerOptions } from "node:worker_threads";
import type { EngineConnection } from "../protocol/messages.js";
import { POSTED } from "./node-threads.js";
import { putBackAfter, type StarterFlags, V8_FLAGS } from "./v8-flags.js";

/** A worker that can see how many messages it was sent, without a turn of its event loop. */
class CountedWorker extends Worker {
  readonly #posted: Int32Array;

  constructor(address: URL, options: WorkerOptions & { readonly workerData: object }) {
    const posted = new Int32Array(new SharedArrayBuffer(4));
    super(address, { ...options, workerData: { ...options.workerData, [POSTED]: posted } });
    this.#posted = posted;
  }

  override postMessage(...message: Parameters<Worker["postMessage"]>): void {
    super.postMessage(...message);
    Atomics.add(this.#posted, 0, 1);
  }
}

/** Starts a worker that runs a module; what it leaves of V8's flags when it is ended is put back. */
export function startWorker(address: URL): Worker {
  const flags: StarterFlags = {
    areSet: new Int32Array(new SharedArrayBuffer(4)),
    execArgv: process.execArgv,
  };
  // It needs none of the loaders that this process was started with, and some options cannot be inherited.
  const worker = new CountedWorker(address, {
    name: "lastrow engine",
    execArgv: [],
    workerData: { [V8_FLAGS]: flags },
  });
  worker.once("exit", () => void putBackAfter(flags.areSet));
  return worker;
}

/**
 * Waits until an engine's worker listens, and takes it over.
 * @throws what ended it before that
 */
export async function connectEngineWorker(worker: Worker): Promise<EngineConnection> {
  let isClosed = false;
  let ended: string | null = null;
  let onEnd: (reason: string) => void = () => undefined;
  const end = (reason: string) => {
    ended ??= reason;
    if (!isClosed) onEnd(ended);
  };
  worker.once("error", (error) => end(error.message));
  worker.once("messageerror", (error) => end(error.message));
  worker.once("exit", (code) => end(`its worker exited with code ${code}`));
  await new Promise<void>((resolve, reject) => {
    worker.once("message", () => resolve());
    onEnd = (reason) => reject(new Error(reason));
  });
  worker.unref();
  return {
    isWorker: true,
    // Node's types have a port of their own.
    post: (message, transfer) => worker.postMessage(message, transfer as readonly TransferListItem[]),
    onMessage: (listener) => worker.on("message", listener),
    onLost(listener) {
      onEnd = listener;
      if (ended !== null) listener(ended);
    },
    hold(isHeld) {
      // While it is being ended it holds the program, which waits for that.
      if (isClosed) return;
      if (isHeld) worker.ref();
      else worker.unref();
    },
    async close() {
      isClosed = true;
      await worker.terminate();
    },
  };
}

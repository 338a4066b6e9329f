/** Threads of Node: worker threads. */
import { availableParallelism } from "node:os";
import { setImmediate as nextTurn } from "node:timers/promises";
import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { parentPort, Worker, workerData } from "node:worker_threads";
import { LastrowError } from "../errors.js";
import { HELP, type Helper, type HelperStart } from "../kernels/wasm/thread-team.js";
import type { Port } from "../protocol/port.js";
import type { HeapLook } from "./limited-thread.js";
import { machineMemory } from "./node-memory.js";
import type { Threads } from "./threads.js";
import { wideVectors } from "./v8-flags.js";

/** What a helper runs. Text, not a file: it then starts from the sources, from a package and from a bundle alike. */
const HELPER_SOURCE = `${HELP}
const { parentPort, workerData } = require("node:worker_threads");
help(workerData, () => parentPort.postMessage("ready"));
`;

async function startHelper(start: HelperStart): Promise<Helper> {
  const worker = new Worker(HELPER_SOURCE, {
    eval: true,
    workerData: start,
    name: `lastrow ${start.thread}`,
  });
  let ended: string | null = null;
  let callback: (reason: string) => void = () => undefined;
  const end = (reason: string) => {
    ended ??= reason;
    callback(ended);
  };
  worker.once("error", (error) => end(error.message));
  worker.once("exit", (code) => end(`it exited with code ${code}`));
  await new Promise<void>((resolve, reject) => {
    worker.once("message", () => resolve());
    callback = (reason) =>
      reject(new LastrowError("thread_lost", `A thread could not be started: ${reason}.`));
  });
  // A program ends when its own work is done; sleeping helpers do not hold it up.
  worker.unref();
  return {
    onEnd(onEnd) {
      callback = onEnd;
      if (ended !== null) onEnd(ended);
    },
    async terminate() {
      await worker.terminate();
    },
  };
}

/** How many messages its starter has sent a worker, as `workerData[POSTED]`: an `Int32Array` of one, shared. */
export const POSTED = "lastrow: messages";

/** What this worker's starter and it say to each other. */
export function workerPort<Sent, Received>(): Port<Sent, Received> {
  const port = parentPort;
  if (port === null) throw new Error("this is not a worker");
  const posted = (workerData as Record<string, Int32Array> | null)?.[POSTED];
  let received = 0;
  return {
    post: (message, transfer) => port.postMessage(message, transfer),
    onMessage: (listener) =>
      port.on("message", (message) => {
        received += 1;
        listener(message);
      }),
    ...(posted !== undefined && { hasMore: () => Atomics.load(posted, 0) !== received }),
  };
}

/** Bytes that a heap has grown by before it is collected once more: that takes a tenth of a second. */
const COLLECT_STEP = 32 * 2 ** 20;

/**
 * What says whether more of this thread's heap is used than so many bytes, without those that are used now. What nothing refers to
 * any more does not count: the engine keeps it as long as there is room, so it is made to collect it before the answer is yes.
 */
export function heapLook(): HeapLook | undefined {
  const collect = garbageCollection();
  if (collect === null) return undefined;
  collect();
  const used = () => getHeapStatistics().used_heap_size;
  const before = used();
  let collectAt = 0;
  return (bytes) => {
    const taken = used() - before;
    if (taken <= bytes || taken <= collectAt) return false;
    collect();
    const left = used() - before;
    collectAt = left + COLLECT_STEP;
    return left > bytes;
  };
}

/**
 * Null where the runtime does not have it. A context that is made while the flag is set has it as a global; what else is made
 * meanwhile comes to no harm by that.
 */
function garbageCollection(): (() => void) | null {
  if (globalThis.gc !== undefined) return globalThis.gc;
  try {
    setFlagsFromString("--expose-gc");
    return runInNewContext("gc");
  } catch {
    return null;
  } finally {
    setFlagsFromString("--no-expose-gc");
  }
}

export const threads: Threads = {
  availableThreads: () => availableParallelism(),
  canShareMemory: () => true,
  memory: machineMemory,
  startHelper,
  wideVectors,
  yieldToEventLoop: () => nextTurn(),
};

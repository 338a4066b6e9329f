/** Threads of Node: worker threads. */
import { availableParallelism } from "node:os";
import { setImmediate as nextTurn } from "node:timers/promises";
import { parentPort, Worker, workerData } from "node:worker_threads";
import { LastrowError } from "../errors.js";
import { HELP, type Helper, type HelperStart } from "../kernels/wasm/thread-team.js";
import type { Port } from "../protocol/port.js";
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

export const threads: Threads = {
  availableThreads: () => availableParallelism(),
  canShareMemory: () => true,
  memory: machineMemory,
  startHelper,
  wideVectors,
  yieldToEventLoop: () => nextTurn(),
};

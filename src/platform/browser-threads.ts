/** Threads of a browser, or of any other runtime without Node's modules: Web Workers. */

import { LastrowError } from "../errors.js";
import { HELP, type Helper, type HelperStart } from "../kernels/wasm/thread-team.js";
import type { Port } from "../protocol/port.js";
import type { HeapLook } from "./limited-thread.js";
import type { Threads } from "./threads.js";

const GIB = 2 ** 30;
/** What a browser's machine is taken to have when the browser does not tell. */
const LIKELY_GIB = 4;
/** What of it a page is taken to find free: no browser tells. */
const FREE_SHARE = 3 / 4;

/** What a helper runs. Text, not a file: no bundler has to find it. */
const HELPER_SOURCE = `${HELP}
onmessage = ({ data }) => help(data, () => postMessage("ready"));
`;

async function startHelper(start: HelperStart): Promise<Helper> {
  const address = URL.createObjectURL(new Blob([HELPER_SOURCE], { type: "text/javascript" }));
  const worker = new Worker(address, { name: `lastrow ${start.thread}` });
  try {
    await new Promise<void>((resolve, reject) => {
      worker.onmessage = () => resolve();
      worker.onerror = (event) =>
        reject(new LastrowError("thread_lost", `A thread could not be started: ${event.message}.`));
      worker.postMessage(start);
    });
  } finally {
    URL.revokeObjectURL(address);
  }
  return {
    onEnd(callback) {
      worker.onerror = (event) => callback(event.message);
    },
    async terminate() {
      worker.terminate();
    },
  };
}

/** What this worker's starter and it say to each other. */
export function workerPort<Sent, Received>(): Port<Sent, Received> {
  return {
    post: (message, transfer = []) => globalThis.postMessage(message, { transfer }),
    onMessage(listener) {
      globalThis.onmessage = ({ data }) => listener(data);
    },
  };
}

/** No browser tells. */
export function heapLook(): HeapLook | undefined {
  return undefined;
}

export const threads: Threads = {
  availableThreads: () => globalThis.navigator?.hardwareConcurrency ?? 1,
  canShareMemory() {
    // Only a page with isolation headers may share memory.
    if (globalThis.crossOriginIsolated !== true || typeof SharedArrayBuffer === "undefined") return false;
    // Some browsers' workers start no others.
    return typeof Worker !== "undefined";
  },
  memory() {
    // Chromium tells, in coarse steps and 8 at most; other browsers do not.
    const gib = (globalThis.navigator as { deviceMemory?: number })?.deviceMemory ?? LIKELY_GIB;
    return { totalBytes: gib * GIB, freeBytes: gib * GIB * FREE_SHARE };
  },
  startHelper,
  wideVectors: () => "only Node has them",
  yieldToEventLoop() {
    // A message comes back at once; a timer would wait four milliseconds.
    return new Promise((resolve) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        port1.close();
        resolve();
      };
      port2.postMessage(null);
    });
  },
};

/** A thread of Node's with a limit on its heap. */
import { Worker } from "node:worker_threads";
import type { LimitedThread } from "./limited-thread.js";

const YOUNG_HEAP_MIB = 32;

/**
 * Starts a thread that runs a script, and waits for the script's first message, which says that it listens.
 * @param heapMib MiB that it may take
 * @throws what keeps it from being started
 */
export async function startLimitedThread<Sent, Received>(
  address: URL,
  name: string,
  heapMib: number,
): Promise<LimitedThread<Sent, Received>> {
  const worker = new Worker(address, {
    name,
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: heapMib, maxYoungGenerationSizeMb: YOUNG_HEAP_MIB },
  });
  let isClosed = false;
  let onLost: (reason: string) => void = () => undefined;
  let onMessage: (message: Received) => void = () => undefined;
  const end = (reason: string) => {
    if (isClosed) return;
    isClosed = true;
    onLost(reason);
  };
  worker.on("error", (error: NodeJS.ErrnoException) =>
    end(
      error.code === "ERR_WORKER_OUT_OF_MEMORY"
        ? `it took more than ${heapMib} MiB of memory`
        : `its thread ended: ${error.message}`,
    ),
  );
  worker.on("exit", (code) => end(`its thread exited with code ${code}`));
  await new Promise<void>((resolve, reject) => {
    onLost = (reason) => reject(new Error(reason));
    onMessage = () => resolve();
    worker.on("message", (message: Received) => onMessage(message));
  });
  worker.unref();
  return {
    post: (message) => worker.postMessage(message),
    onMessage(listener) {
      onMessage = listener;
    },
    onLost(listener) {
      onLost = listener;
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

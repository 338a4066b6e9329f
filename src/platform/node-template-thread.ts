/** A thread of Node's that renders chat templates, with a limit on its heap. */
import { Worker } from "node:worker_threads";
import type { TemplateAnswer } from "../chat/template-messages.js";
import type { TemplateThread } from "../chat/template-runner.js";

/** MiB that a template may take; those of a conversation take a few. */
const HEAP_MIB = 256;
const YOUNG_HEAP_MIB = 32;

/**
 * Starts a thread that runs template-thread.ts.
 * @throws what keeps it from being started
 */
export async function startTemplateThread(address: URL): Promise<TemplateThread> {
  const worker = new Worker(address, {
    name: "lastrow template",
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB, maxYoungGenerationSizeMb: YOUNG_HEAP_MIB },
  });
  let isClosed = false;
  let onLost: (reason: string) => void = () => undefined;
  let onMessage: (answer: TemplateAnswer) => void = () => undefined;
  const end = (reason: string) => {
    if (isClosed) return;
    isClosed = true;
    onLost(reason);
  };
  worker.on("error", (error: NodeJS.ErrnoException) =>
    end(
      error.code === "ERR_WORKER_OUT_OF_MEMORY"
        ? `it took more than ${HEAP_MIB} MiB of memory`
        : `its thread ended: ${error.message}`,
    ),
  );
  worker.on("exit", (code) => end(`its thread exited with code ${code}`));
  await new Promise<void>((resolve, reject) => {
    onLost = (reason) => reject(new Error(reason));
    onMessage = () => resolve();
    worker.on("message", (answer: TemplateAnswer) => onMessage(answer));
  });
  worker.unref();
  return {
    post: (task) => worker.postMessage(task),
    onMessage(listener) {
      onMessage = listener;
    },
    onLost(listener) {
      onLost = listener;
    },
    hold(isHeld) {
      if (isHeld) worker.ref();
      else worker.unref();
    },
    async close() {
      isClosed = true;
      await worker.terminate();
    },
  };
}

/** Threads where a bundler does not say for which runtime it builds; see by-runtime.ts. */
import { isNode } from "./runtime.js";
import type { Threads } from "./threads.js";

const chosen = await (isNode ? import("./node-threads.js") : import("./browser-threads.js"));

export const threads: Threads = chosen.threads;
export const { heapLook, workerPort } = chosen;

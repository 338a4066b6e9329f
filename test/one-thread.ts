/**
 * Node's threads, of which an engine takes one unless a test asks for more. Files of tests run beside each other on all cores; the
 * threads of a team whose cores are taken wait for one another at every product, and all files take twice as long.
 */
import { threads as nodeThreads } from "../src/platform/node-threads.js";
import type { Threads } from "../src/platform/threads.js";

export { workerPort } from "../src/platform/node-threads.js";

export const threads: Threads = { ...nodeThreads, availableThreads: () => 1 };

/**
 * lastrow/server: the OpenAI-compatible server as a library. `createServer` gives a `fetch` for any runtime with
 * web-standard requests; `listen` puts it on a socket of Node's.
 */
export type { EngineState } from "./engine-supervisor.js";
export type { RequestRecord } from "./exchange.js";
export type { ServerLimits } from "./limits.js";
export { type Listening, type ListenOptions, listen } from "./node-listener.js";
export { createServer, type LastrowServer, type ServerOptions } from "./server.js";

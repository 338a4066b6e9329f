/**
 * lastrow/server: the OpenAI-compatible server as a library. `createServer` gives a `fetch` for any runtime with
 * web-standard requests; `listen` puts it on a socket of Node's.
 */
export type { EngineState } from "./engine-supervisor.js";
export type { RequestRecord } from "./exchange.js";
export type { ServerLimits } from "./limits.js";
export type { LoadChange } from "./loaded-models.js";
export type { ServedModel } from "./model-service.js";
export { type Listening, type ListenOptions, listen } from "./node-listener.js";
export type { ListedModel } from "./served-models.js";
export { createServer, type LastrowServer } from "./server.js";
export type { ServerOptions } from "./server-options.js";
export type { TierProblem } from "./tier-watch.js";

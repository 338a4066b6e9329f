/** What an engine's worker runs, in Node and in a browser. */
import { threads, workerPort } from "#threads";
import type { ClientMessage, HostMessage } from "../protocol/messages.js";
import { EngineHost } from "./engine-host.js";

/** Milliseconds that tokens may wait for those of the next steps: a frame of a screen, too short to see. */
const GATHER_MS = 16;

// Nothing else is at work here: what has arrived is taken after every step.
new EngineHost(workerPort<readonly HostMessage[], ClientMessage>(), threads, {
  longestHoldMs: 0,
  gatherMs: GATHER_MS,
});

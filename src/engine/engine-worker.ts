/** What an engine's worker runs, in Node and in a browser. */
import { threads, workerPort } from "#threads";
import type { ClientMessage, HostMessage } from "../protocol/messages.js";
import { EngineHost } from "./engine-host.js";

/** Milliseconds that tokens may wait for those of the next steps: a frame of a screen, too short to see. */
const GATHER_MS = 16;
/** What else than a message happens here may wait for so long: that a thread of the kernels was lost. */
const LONGEST_HOLD_MS = 100;

const port = workerPort<readonly HostMessage[], ClientMessage>();
// A message is taken after the step in which it comes: where it can't be seen, there is a turn of the event loop after every step.
new EngineHost(port, threads, {
  longestHoldMs: port.hasMore === undefined ? 0 : LONGEST_HOLD_MS,
  gatherMs: GATHER_MS,
});

/** The tier's thread itself: a tier at work between an engine's port and a store. */
import { parentPort, workerData } from "node:worker_threads";
import { systemClock } from "../platform/clock.js";
import { toRemoteError } from "../protocol/remote-error.js";
import type { TierAsk } from "../protocol/tier-messages.js";
import { TierNamespace } from "./names.js";
import { openStore } from "./open-store.js";
import { recordBytes } from "./record.js";
import { TierHost } from "./tier-host.js";
import type { ThreadAnswer, ThreadAsk, ThreadData } from "./tier-thread.js";

const { settings, key, identity, port }: ThreadData = workerData;
const starter = parentPort!;
const tell = (answer: ThreadAnswer) => starter.postMessage(answer);

async function start(): Promise<void> {
  const namespace = new TierNamespace(key, identity);
  const store = await openStore(settings, recordBytes(namespace));
  const host = new TierHost({
    ...{ namespace, store, clock: systemClock, random: Math.random },
    port: {
      post: (answer, transfer) => port.postMessage(answer, transfer),
      onMessage: (listener) => void port.on("message", (ask: TierAsk) => listener(ask)),
    },
  });
  await host.begin();
  starter.on("message", async ({ kind, id }: ThreadAsk) => {
    if (kind === "close") await host.close();
    tell({ kind: "answer", id, stats: host.stats() });
  });
  tell({ kind: "ready" });
}

start().catch((error: unknown) => tell({ kind: "failed", error: toRemoteError(error) }));

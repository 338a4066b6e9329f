/**
 * The process of one engine, forked by `engine-process.ts`: loads the model, says that it is ready, and then answers
 * one message at a time.
 */
import type { Engine, EngineName, EngineOptions } from "./engine.js";
import type { Answer, Request } from "./engine-process.js";

const name = process.argv[2] as EngineName;
const options = JSON.parse(process.argv[3]!) as EngineOptions;

const start = performance.now();
const engine = await startEngine();
send({ ready: { description: engine.description, loadMs: performance.now() - start } });

process.on("message", async (request: Request) => {
  try {
    if ("generate" in request) {
      const { prompt, newTokens } = request.generate;
      const cpuBefore = process.cpuUsage();
      const run = await engine.generate(prompt, newTokens);
      const { user, system } = process.cpuUsage(cpuBefore);
      send({ run, cpuMs: (user + system) / 1000, peakRssBytes: process.resourceUsage().maxRSS * 1024 });
    } else {
      send({ logits: await engine.logits(request.logits) });
    }
  } catch (error) {
    send({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
});

/** Only the engine that runs here is imported, so that no other one adds to this process's memory. */
async function startEngine(): Promise<Engine> {
  if (name === "lastrow") return (await import("./lastrow.js")).startLastrow(options);
  if (name === "node-llama-cpp") return (await import("./llama-cpp.js")).startLlamaCpp(options);
  return (await import("./transformers.js")).startTransformers(options);
}

function send(answer: Answer): void {
  process.send?.(answer);
}

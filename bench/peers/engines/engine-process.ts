/** The benchmark's end of an engine's process. Requests are answered one after the other. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { EngineName, EngineOptions, GreedyRun } from "./engine.js";

export type Request =
  | { readonly generate: { readonly prompt: readonly number[]; readonly newTokens: number } }
  | { readonly logits: readonly number[] };

/** A run, the processor time it took, and the most memory the process has had so far. */
export interface MeasuredRun {
  readonly run: GreedyRun;
  readonly cpuMs: number;
  readonly peakRssBytes: number;
}

export type Answer =
  | { readonly ready: { readonly description: string; readonly loadMs: number } }
  | MeasuredRun
  | { readonly logits: Float32Array }
  | { readonly error: string };

export class EngineProcess {
  readonly description: string;
  readonly loadMs: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, ready: { description: string; loadMs: number }) {
    this.#child = child;
    this.description = ready.description;
    this.loadMs = ready.loadMs;
  }

  /** Starts the process and waits until its model is loaded. */
  static async start(name: EngineName, options: EngineOptions): Promise<EngineProcess> {
    const child = fork(fileURLToPath(new URL("child.ts", import.meta.url)), [name, JSON.stringify(options)], {
      execArgv: ["--import", import.meta.resolve("tsx")],
      serialization: "advanced",
    });
    const answer = await nextAnswer(child, `${name} ${options.dtype}`);
    if (!("ready" in answer)) throw new Error(`${name} ${options.dtype} did not start.`);
    return new EngineProcess(child, answer.ready);
  }

  async generate(prompt: readonly number[], newTokens: number): Promise<MeasuredRun> {
    const answer = await this.#ask({ generate: { prompt, newTokens } });
    if (!("run" in answer)) throw new Error("The engine gave no run.");
    if (answer.run.tokens.length !== newTokens) {
      throw new Error(`${this.description}: ${answer.run.tokens.length} tokens instead of ${newTokens}.`);
    }
    return answer;
  }

  async logits(prompt: readonly number[]): Promise<Float32Array> {
    const answer = await this.#ask({ logits: prompt });
    if (!("logits" in answer)) throw new Error("The engine gave no logits.");
    return answer.logits;
  }

  /** Ends the process; engines leave their threads to the system. */
  async stop(): Promise<void> {
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await ended;
  }

  async #ask(request: Request): Promise<Answer> {
    this.#child.send(request);
    return nextAnswer(this.#child, this.description);
  }
}

async function nextAnswer(child: ChildProcess, label: string): Promise<Answer> {
  const waiting = new AbortController();
  const exited = once(child, "exit", { signal: waiting.signal }).then(([code, signal]) => {
    throw new Error(`${label}: the process ended (${signal ?? code}).`);
  });
  try {
    const [answer] = (await Promise.race([once(child, "message", { signal: waiting.signal }), exited])) as [
      Answer,
    ];
    if ("error" in answer) throw new Error(`${label}: ${answer.error}`);
    return answer;
  } finally {
    exited.catch(() => undefined);
    waiting.abort();
  }
}

/** The benchmark's side of a process of models: what may be asked of it, and what it answers. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { EngineStats } from "../../src/protocol/engine-stats.js";
import type { TierStats } from "../../src/protocol/kv-tier.js";

export interface TierSettings {
  readonly url: string;
  /** Hexadecimal digits. */
  readonly key: string;
  readonly caFile?: string;
  readonly write?: "auto" | "first" | "second";
}

export interface ModelOptions {
  readonly dtype: "f32" | "int8";
  readonly kvDtype: "f32" | "int8";
  readonly vectors: 128 | 256;
  readonly threads?: number;
  readonly kvMemory?: number;
  readonly tier?: TierSettings;
}

export interface Prompt {
  readonly tokens: readonly number[];
  readonly maxTokens: number;
  readonly salt: string;
}

/** How a prompt went; times are of the process itself, in milliseconds. */
export interface Generated {
  readonly firstMs: number;
  readonly totalMs: number;
  readonly tokens: readonly number[];
  readonly numCachedTokens: number;
  readonly rowsComputed: number;
}

export type Ask =
  | { readonly kind: "load"; readonly name: string; readonly model: string; readonly options: ModelOptions }
  | {
      readonly kind: "generate";
      readonly name: string;
      readonly prompts: readonly Prompt[];
      readonly atOnce: boolean;
    }
  | { readonly kind: "stats" | "unload"; readonly name: string };

export type Answer = { readonly id: number } & ({ readonly answer: unknown } | { readonly error: string });

export interface Stats {
  readonly engine: EngineStats["tier"];
  readonly tier: TierStats | null;
}

/** Writing takes a twentieth of the time at most, so it goes on behind the last answer. */
const LONGEST_WRITING_MS = 60_000;
const SCRIPT = fileURLToPath(new URL("./model-process.ts", import.meta.url));

/** A process of models. Ends when it is disposed of, or the benchmark ends. */
export class ModelProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve(answer: unknown): void; reject(error: Error): void }>();
  #lastId = 0;

  /** @param by what runs it, such as `["ip", "netns", "exec", "a"]` */
  constructor(by: readonly string[] = []) {
    const [command, ...args] = [...by, process.execPath, ...process.execArgv, SCRIPT];
    this.#child = spawn(command, args, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    this.#child.on("message", (message: Answer) => {
      const waiting = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if ("error" in message) waiting?.reject(new Error(message.error));
      else waiting?.resolve(message.answer);
    });
    const lost = () => {
      for (const { reject } of this.#waiting.values()) reject(new Error("The process of models has ended."));
    };
    this.#child.on("error", lost).on("exit", lost);
  }

  async load(name: string, model: string, options: ModelOptions): Promise<void> {
    await this.#ask({ kind: "load", name, model, options });
  }

  unload(name: string): Promise<unknown> {
    return this.#ask({ kind: "unload", name });
  }

  /** One after the other. */
  inTurn(name: string, prompts: readonly Prompt[]): Promise<Generated[]> {
    return this.#ask({ kind: "generate", name, prompts, atOnce: false }) as Promise<Generated[]>;
  }

  atOnce(name: string, prompts: readonly Prompt[]): Promise<Generated[]> {
    return this.#ask({ kind: "generate", name, prompts, atOnce: true }) as Promise<Generated[]>;
  }

  stats(name: string): Promise<Stats> {
    return this.#ask({ kind: "stats", name }) as Promise<Stats>;
  }

  /** Until all that was offered to the tier is there, or was given up. */
  async written(name: string): Promise<void> {
    for (let begun = performance.now(); performance.now() - begun < LONGEST_WRITING_MS; ) {
      const { engine, tier } = await this.stats(name);
      if (engine === null || tier === null) return;
      const ended = tier.written + tier.skippedWrites + tier.droppedWrites;
      if (ended >= engine.stores - engine.droppedStores) return;
      await new Promise((next) => setTimeout(next, 5));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const exit = once(this.#child, "exit");
    this.#child.disconnect();
    await exit;
  }

  #ask(ask: Ask): Promise<unknown> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.send({ id, ask });
    });
  }
}
